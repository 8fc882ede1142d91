//! What all temporary files of a service may take together: who is refused, when, and how.

use futures::StreamExt;
use rowlift::config::Config;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, CommitMode, import_header};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::service::PEOPLE;
use crate::service::files::workbook;
use crate::support::service::{
    Service, chunks, file_header, file_messages, import_request, request,
};
use crate::support::waits::eventually;

const ROOM: u64 = 1 << 20;

fn with_little_room(config: &mut Config) {
    config.spool_bytes_max = Some(ROOM);
    config.limits.workbook_bytes_max = ROOM / 2;
}

/// Bytes that are spoken for.
fn used(service: &Service) -> u64 {
    let metrics = service.app.metrics_text();
    let series = "rowlift_spool_used_bytes";
    let line = metrics.lines().find(|line| line.starts_with(series));
    let (_, value) = line.unwrap().rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

fn announcing(id: &str, n_bytes: u64) -> proto::ImportHeader {
    let mut header = file_header(id, "people");
    header.source = Some(import_header::Source::File(proto::FileSource {
        total_bytes: Some(n_bytes.try_into().unwrap()),
        ..Default::default()
    }));
    header
}

/// An import that holds all input until its end: what it announces, sends, and then its silence, for
/// as long as the sender lives.
async fn silent(
    announced: u64,
    chunks: Vec<Payload>,
) -> (mpsc::Sender<proto::ImportRequest>, Whole) {
    let header = proto::ImportHeader {
        commit_mode: CommitMode::Atomic.into(),
        ..announcing("first", announced)
    };
    let (sender, receiver) = mpsc::channel(chunks.len() + 1);
    sender.send(request(Payload::Header(header))).await.unwrap();
    for chunk in chunks {
        sender.send(request(chunk)).await.unwrap();
    }
    (sender, Request::new(ReceiverStream::new(receiver)))
}

type Whole = Request<ReceiverStream<proto::ImportRequest>>;

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_and_does_not_send_keeps_nobody_out() {
    const SENT: usize = 100_000;
    let service = Service::sqlite_with(PEOPLE, with_little_room).await;
    let workbook = workbook();
    let (sender, first) = silent(ROOM, chunks(&vec![b' '; SENT], SENT)).await;
    let mut client = service.another_client().await;
    let second = async {
        let is_taken = async || used(&service) == SENT as u64;
        eventually("what was sent takes room", is_taken).await;
        let header = announcing("second", workbook.len() as u64);
        let ended = service.import(file_messages(header, &workbook)).await;
        assert_eq!(ended.ok().inserted_row_count, 50);
        drop(sender);
    };
    let (ended, ()) = tokio::join!(import_request(&mut client, first), second);
    assert_eq!(ended.refusal().1, "INCOMPLETE_STREAM");
    eventually("the room is given back", async || used(&service) == 0).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_more_than_is_left_is_refused_and_may_resume() {
    const TAKEN: usize = 1_047_000;
    let service = Service::sqlite_with(PEOPLE, with_little_room).await;
    let workbook = workbook();
    // Chunks that are not collected before they are written.
    let (sender, first) = silent(0, chunks(&vec![b' '; TAKEN], TAKEN / 10)).await;
    let mut client = service.another_client().await;
    let second = async {
        let is_taken = async || used(&service) == TAKEN as u64;
        eventually("the room is taken", is_taken).await;
        let n_bytes = workbook.len() as u64;
        assert!(n_bytes > ROOM - TAKEN as u64);
        let messages = file_messages(announcing("second", n_bytes), &workbook);
        // Refused with the first bytes: the others need not be sent.
        let some = messages.into_iter().take(2).map(request);
        let silent = futures::stream::iter(some).chain(futures::stream::pending());
        let mut client = service.client.clone();
        let ended = import_request(&mut client, Request::new(silent)).await;
        let refusal = (Code::Unavailable, "OVERLOADED".to_owned());
        assert_eq!(ended.refusal(), refusal);
        let status = ended.status.as_ref().unwrap();
        assert!(status.get_details_retry_info().is_some());
        assert_eq!(service.job("second").await.state(), proto::State::Suspended);
        drop(sender);
    };
    let (ended, ()) = tokio::join!(import_request(&mut client, first), second);
    assert_eq!(ended.refusal().1, "INCOMPLETE_STREAM");
    eventually("the room is given back", async || used(&service) == 0).await;
    let header = proto::ImportHeader {
        resume: true,
        ..announcing("second", workbook.len() as u64)
    };
    let ended = service.import(file_messages(header, &workbook)).await;
    assert_eq!(ended.ok().inserted_row_count, 50);
    eventually("the room is given back", async || used(&service) == 0).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_that_waits_for_its_end_is_there_once() {
    let workbook = workbook();
    let n_bytes = workbook.len() as u64;
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.spool_bytes_max = Some(n_bytes);
    })
    .await;
    let atomic = proto::ImportHeader {
        commit_mode: CommitMode::Atomic.into(),
        ..announcing("atomic", n_bytes)
    };
    let tried = proto::ImportHeader {
        validate_only: true,
        ..file_header("tried", "people")
    };
    let refusing = proto::ImportHeader {
        duplicate_file: proto::DuplicateFilePolicy::Refuse.into(),
        ..announcing("refusing", n_bytes)
    };
    for header in [refusing, tried, atomic] {
        let id = header.import_id.clone();
        service.execute_sqlite("delete from people").await;
        let ended = service.import(file_messages(header, &workbook)).await;
        assert_eq!(ended.ok().inserted_row_count, 50, "{id}");
        eventually("the room is given back", async || used(&service) == 0).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_strings_find_a_place_with_and_without_room() {
    let workbook = workbook();
    // Half of it stays free, which the workbook has alone.
    for room in [ROOM, workbook.len() as u64] {
        let service = Service::sqlite_with(PEOPLE, |config| {
            config.spool_bytes_max = Some(room);
            config.limits.shared_strings_memory_bytes_max = 0;
        })
        .await;
        for header in [
            file_header("rows", "people"),
            proto::ImportHeader {
                commit_mode: CommitMode::Atomic.into(),
                ..file_header("whole", "people")
            },
        ] {
            service.execute_sqlite("delete from people").await;
            let ended = service.import(file_messages(header, &workbook)).await;
            assert_eq!(ended.ok().inserted_row_count, 50);
            eventually("the room is given back", async || used(&service) == 0).await;
        }
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_workbook_that_never_fits_beside_itself_is_over_a_limit() {
    let workbook = workbook();
    let compressed = zstd::encode_all(workbook.as_slice(), 3).unwrap();
    let needed = (workbook.len() + compressed.len()) as u64;
    for (room, reason) in [(needed, None), (needed - 1, Some("LIMIT_EXCEEDED"))] {
        let service = Service::sqlite_with(PEOPLE, |config| {
            config.spool_bytes_max = Some(room);
        })
        .await;
        let header = proto::ImportHeader {
            commit_mode: CommitMode::Atomic.into(),
            ..file_header("compressed", "people")
        };
        let ended = service.import(file_messages(header, &compressed)).await;
        let refusal = ended.status.as_ref().map(|_| ended.refusal().1);
        assert_eq!(refusal.as_deref(), reason);
        eventually("the room is given back", async || used(&service) == 0).await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_that_never_fit_beside_their_file_are_over_a_limit() {
    // About 300,000 bytes; the rejected rows take half as much again at least, and less than twice.
    let rejected = format!("{},x\n", "Ann".repeat(100)).repeat(1000);
    let csv = format!("name,age\nBo,1\n{rejected}");
    for (room, reason) in [(ROOM, None), (700_000, Some("LIMIT_EXCEEDED"))] {
        let service = Service::sqlite_with(PEOPLE, |config| {
            config.spool_bytes_max = Some(room);
        })
        .await;
        let header = proto::ImportHeader {
            commit_mode: CommitMode::Atomic.into(),
            ..file_header("rejected", "people")
        };
        let ended = service.import(file_messages(header, csv.as_bytes())).await;
        let refusal = ended.status.as_ref().map(|_| ended.refusal().1);
        assert_eq!(refusal.as_deref(), reason);
        eventually("the room is given back", async || used(&service) == 0).await;
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_fits_is_over_a_limit() {
    let service = Service::sqlite_with(PEOPLE, with_little_room).await;
    let csv = "name\n".to_owned() + &"Ann\n".repeat(usize::try_from(ROOM).unwrap() / 4);
    for (id, header) in [
        ("announced", announcing("announced", csv.len() as u64)),
        ("unannounced", file_header("unannounced", "people")),
    ] {
        let header = proto::ImportHeader {
            commit_mode: CommitMode::Atomic.into(),
            ..header
        };
        let ended = service.import(file_messages(header, csv.as_bytes())).await;
        let limit = (Code::ResourceExhausted, "LIMIT_EXCEEDED".to_owned());
        assert_eq!(ended.refusal(), limit, "{id}");
        let info = ended.status.as_ref().unwrap().get_details_error_info();
        let metadata = info.unwrap().metadata;
        assert_eq!(metadata["limit"], "spool_bytes_max", "{id}");
        assert_eq!(metadata["bound"], ROOM.to_string(), "{id}");
        assert_eq!(service.job(id).await.state(), proto::State::Failed);
    }
    assert_eq!(used(&service), 0);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_looked_into_takes_room_too() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        with_little_room(config);
        config.spool_bytes_max = Some(2000);
    })
    .await;
    let header = proto::InspectFileRequest {
        payload: Some(proto::inspect_file_request::Payload::Header(
            proto::InspectHeader {
                file: Some(proto::FileSource {
                    total_bytes: Some(7000),
                    ..Default::default()
                }),
                ..Default::default()
            },
        )),
    };
    let chunk = |data: Vec<u8>| proto::InspectFileRequest {
        payload: Some(proto::inspect_file_request::Payload::Chunk(
            proto::FileChunk {
                data: data.into(),
                ..Default::default()
            },
        )),
    };
    let messages = vec![header, chunk(workbook())];
    let stream = futures::stream::iter(messages).chain(futures::stream::pending());
    let status = service
        .client
        .clone()
        .inspect_file(stream)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(used(&service), 0);
    service.stop().await;
}

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
use crate::support::service::{Service, file_header, file_messages, import_request, request};
use crate::support::waits::eventually;

const ROOM: u64 = 1 << 20;

fn with_little_room(config: &mut Config) {
    config.spool_bytes_max = Some(ROOM);
    config.limits.workbook_bytes_max = ROOM;
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

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_more_than_is_left_is_refused_and_may_resume() {
    let service = Service::sqlite_with(PEOPLE, with_little_room).await;
    let workbook = workbook();
    // An import that holds all input until its end has announced most of the room, and is silent.
    let header = proto::ImportHeader {
        commit_mode: CommitMode::Atomic.into(),
        ..announcing("first", ROOM - 1000)
    };
    let (sender, receiver) = mpsc::channel(1);
    sender.send(request(Payload::Header(header))).await.unwrap();
    let mut client = service.another_client().await;
    let first = Request::new(ReceiverStream::new(receiver));
    let second = async {
        eventually("the room is taken", async || used(&service) == ROOM - 1000).await;
        let n_bytes = workbook.len() as u64;
        assert!(n_bytes > 1000);
        let messages = file_messages(announcing("second", n_bytes), &workbook);
        // Refused with the first bytes: the others need not be sent.
        let some = messages.into_iter().take(2).map(request);
        let silent = futures::stream::iter(some).chain(futures::stream::pending());
        let mut client = service.client.clone();
        let ended = import_request(&mut client, Request::new(silent)).await;
        assert_eq!(
            ended.refusal(),
            (Code::Unavailable, "OVERLOADED".to_owned())
        );
        let status = ended.status.as_ref().unwrap();
        assert!(status.get_details_retry_info().is_some());
        assert_eq!(service.job("second").await.state(), proto::State::Suspended);
        drop(sender);
    };
    let (ended, ()) = tokio::join!(import_request(&mut client, first), second);
    assert_eq!(ended.refusal().1, "INCOMPLETE_STREAM");
    eventually("the room is given back", async || used(&service) == 0).await;
    // Whole, it is there twice: as it was sent, and for its decoder.
    for commit_mode in [CommitMode::PerBatch, CommitMode::Atomic] {
        service.execute_sqlite("delete from people").await;
        let id = match commit_mode {
            CommitMode::Atomic => "third",
            _ => "second",
        };
        let header = proto::ImportHeader {
            resume: true,
            commit_mode: commit_mode.into(),
            ..announcing(id, workbook.len() as u64)
        };
        let ended = service.import(file_messages(header, &workbook)).await;
        assert_eq!(ended.ok().inserted_row_count, 50, "{id}");
        eventually("the room is given back", async || used(&service) == 0).await;
    }
    service.stop().await;
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

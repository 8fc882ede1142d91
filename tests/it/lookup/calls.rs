//! The calls themselves: the order of messages, checksums, and what ends a call.

use std::time::Duration;

use futures::StreamExt;
use rowlift::config::Config;
use rowlift::proto::decode_file_request::Payload;
use rowlift::proto::decode_file_response::Event;
use rowlift::proto::{self, FileChunk, FileSource, Finish, inspect_file_request};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use super::{chunk, decode, decode_all, decode_request, inspect_all, inspect_request, refusal};
use crate::support::service::Service;
use crate::support::waits::{eventually, told_of_deadline};

const CSV: &[u8] = b"name,age\nAnn,30\n\nBo,41\n";

fn file() -> Payload {
    Payload::File(FileSource::default())
}

fn finish() -> Payload {
    Payload::Finish(Finish::default())
}

fn at(offset: i64, data: &[u8]) -> Payload {
    Payload::Chunk(FileChunk {
        offset: Some(offset),
        ..chunk(data)
    })
}

/// What becomes of these messages.
async fn outcome(service: &Service, messages: Vec<Payload>) -> Result<usize, (Code, String)> {
    let messages: Vec<_> = messages.into_iter().map(decode_request).collect();
    let decoded = decode_all(service, futures::stream::iter(messages)).await;
    match decoded.status {
        None => Ok(decoded.rows().len()),
        Some(_) => Err(decoded.refusal()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_order_are_refused() {
    let service = Service::sqlite("").await;
    let data = || Payload::Chunk(chunk(CSV));
    let invalid = |reason| (Code::InvalidArgument, reason);
    let cases = [
        (vec![], invalid("HEADER_REQUIRED")),
        (vec![data(), finish()], invalid("HEADER_REQUIRED")),
        (vec![file(), file(), finish()], invalid("DUPLICATE_HEADER")),
        (vec![file(), data()], (Code::Aborted, "INCOMPLETE_STREAM")),
        (
            vec![file(), at(3, CSV), finish()],
            (Code::OutOfRange, "OFFSET_GAP"),
        ),
    ];
    for (messages, (code, reason)) in cases {
        let found = outcome(&service, messages).await;
        assert_eq!(found, Err((code, reason.to_owned())));
    }
    let empty = vec![decode_request(file()), proto::DecodeFileRequest::default()];
    let decoded = decode_all(&service, futures::stream::iter(empty)).await;
    assert_eq!(decoded.refusal().1, "WRONG_PAYLOAD");
    let header = inspect_file_request::Payload::Header(proto::InspectHeader::default());
    let headers = vec![inspect_request(header.clone()), inspect_request(header)];
    let status = inspect_all(&service, headers).await.unwrap_err();
    assert_eq!(refusal(&status).1, "DUPLICATE_HEADER");
    // A field's path begins with the message's own field.
    let source = FileSource {
        decimal_separator: ";".to_owned(),
        ..Default::default()
    };
    let status = decode(&service, source, CSV).await.status.unwrap();
    assert!(
        status.message().starts_with("file.decimal_separator"),
        "{status}"
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_after_finish_is_refused() {
    let service = Service::sqlite("").await;
    let mut workbook = rust_xlsxwriter::Workbook::new();
    workbook.add_worksheet().write(0, 0, "name").unwrap();
    let workbook = workbook.save_to_buffer().unwrap();
    // The child has not even started when the message is there.
    let messages = vec![file(), Payload::Chunk(chunk(&workbook)), finish(), finish()];
    let wanted = (Code::InvalidArgument, "MESSAGE_AFTER_FINISH".to_owned());
    assert_eq!(outcome(&service, messages).await, Err(wanted));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_totals_are_compared() {
    let service = Service::sqlite("").await;
    let n_bytes = i64::try_from(CSV.len()).unwrap();
    let right = Finish {
        total_row_count: Some(3),
        total_bytes: Some(n_bytes),
        sha256: Sha256::digest(CSV).to_vec(),
    };
    let finishes = [
        (right.clone(), true),
        (
            Finish {
                total_row_count: Some(2),
                ..right.clone()
            },
            false,
        ),
        (
            Finish {
                total_bytes: Some(n_bytes - 1),
                ..right.clone()
            },
            false,
        ),
        (
            Finish {
                sha256: vec![7; 32],
                ..right.clone()
            },
            false,
        ),
    ];
    for (finish, is_right) in finishes {
        // Bytes that come again are dropped.
        let messages = vec![
            file(),
            at(0, &CSV[..10]),
            at(5, &CSV[5..]),
            at(0, &CSV[..3]),
            Payload::Finish(finish.clone()),
        ];
        let found = outcome(&service, messages).await;
        let wanted = (Code::InvalidArgument, "CHECKSUM_MISMATCH".to_owned());
        assert_eq!(
            found,
            if is_right { Ok(2) } else { Err(wanted) },
            "{finish:?}"
        );
    }
    let wrong = Payload::Chunk(FileChunk {
        crc32c: Some(1),
        ..chunk(CSV)
    });
    let found = outcome(&service, vec![file(), wrong, finish()]).await;
    assert_eq!(found.unwrap_err().1, "CHECKSUM_MISMATCH");
    service.stop().await;
}

/// A call whose messages are sent one by one.
struct Call {
    messages: mpsc::Sender<proto::DecodeFileRequest>,
    responses: Streaming<proto::DecodeFileResponse>,
}

impl Call {
    async fn begin(service: &Service, timeout: Option<Duration>) -> Result<Call, Status> {
        let (messages, receiver) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let response = service.client.clone().decode_file(request).await?;
        Ok(Call {
            messages,
            responses: response.into_inner(),
        })
    }

    async fn send(&self, payload: Payload) {
        self.messages.send(decode_request(payload)).await.unwrap();
    }

    async fn next(&mut self) -> Result<Event, Status> {
        let next = self.responses.next().await.expect("something comes");
        next.map(|response| response.event.unwrap())
    }

    /// The status at the end, however many rows come before.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

async fn service(change: impl FnOnce(&mut Config)) -> Service {
    Service::sqlite_with("", |config| {
        config.lookups_max = 1;
        change(config);
    })
    .await
}

/// Waits until the one place is free again.
async fn is_free(service: &Service) {
    eventually("the place is given back", async || {
        decode(service, FileSource::default(), CSV)
            .await
            .status
            .is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_csv_come_while_the_caller_still_sends() {
    let service = service(|_| {}).await;
    let mut call = Call::begin(&service, None).await.unwrap();
    call.send(file()).await;
    // More than what the delimiter is told by.
    let csv = format!("name,age\n{}", "Ann,30\n".repeat(5000));
    call.send(Payload::Chunk(chunk(csv.as_bytes()))).await;
    assert!(matches!(call.next().await, Ok(Event::Header(_))));
    let mut n_rows = 0;
    while n_rows < 5000 {
        match call.next().await.unwrap() {
            Event::Rows(batch) => n_rows += batch.rows.len(),
            other => panic!("{other:?}"),
        }
    }
    call.send(Payload::Chunk(chunk(b"Bo,41\n"))).await;
    let Ok(Event::Rows(batch)) = call.next().await else {
        panic!("the last row");
    };
    assert_eq!(batch.offset, Some(5000));
    assert_eq!(batch.rows[0].source_row_number, 5002);
    call.send(finish()).await;
    assert!(call.responses.next().await.is_none());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_calls_as_places_and_a_dropped_one_gives_its_back() {
    let service = service(|_| {}).await;
    let call = Call::begin(&service, None).await.unwrap();
    call.send(file()).await;
    let wanted = (Code::Unavailable, "OVERLOADED".to_owned());
    let status = Call::begin(&service, None).await.map(drop).unwrap_err();
    assert_eq!(refusal(&status), wanted);
    let status = inspect_all(&service, Vec::new()).await.unwrap_err();
    assert_eq!(refusal(&status), wanted);
    drop(call);
    is_free(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_its_decoder_too() {
    let service = service(|_| {}).await;
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for row in 0..20_000 {
        sheet
            .write(row, 0, "a text of some length, in every row")
            .unwrap();
    }
    let mut call = Call::begin(&service, None).await.unwrap();
    call.send(file()).await;
    call.send(Payload::Chunk(chunk(&workbook.save_to_buffer().unwrap())))
        .await;
    call.send(finish()).await;
    // Its child has begun, and more rows are in the file than queues and windows hold.
    assert!(matches!(call.next().await, Ok(Event::Header(_))));
    drop(call);
    // The place goes with the thread, which ends once the child is reaped.
    is_free(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_that_waits_for_its_caller() {
    let service = service(|_| {}).await;
    let timeout = Duration::from_secs(1);
    let mut call = Call::begin(&service, Some(timeout)).await.unwrap();
    call.send(file()).await;
    let status = call.end().await;
    assert_eq!(
        refusal(&status),
        (Code::DeadlineExceeded, "DEADLINE".to_owned())
    );
    is_free(&service).await;
    let status = told_of_deadline(async || {
        is_free(&service).await;
        let (messages, receiver) = mpsc::channel(1);
        let mut request = Request::new(ReceiverStream::new(receiver));
        request.set_timeout(timeout);
        let header = inspect_file_request::Payload::Header(proto::InspectHeader::default());
        messages.send(inspect_request(header)).await.unwrap();
        let mut client = service.client.clone();
        client.inspect_file(request).await.unwrap_err()
    })
    .await;
    assert_eq!(
        refusal(&status),
        (Code::DeadlineExceeded, "DEADLINE".to_owned())
    );
    is_free(&service).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_or_reads_nothing_is_given_up() {
    let service = service(|config| config.idle_timeout = Duration::from_millis(200)).await;
    let wanted = (Code::Aborted, "IDLE_TIMEOUT".to_owned());
    let mut silent = Call::begin(&service, None).await.unwrap();
    silent.send(file()).await;
    assert_eq!(refusal(&silent.end().await), wanted);
    // Far more rows than windows and queues hold.
    let csv = format!("name,age\n{}", "Ann,30\n".repeat(20_000));
    let mut deaf = Call::begin(&service, None).await.unwrap();
    deaf.send(file()).await;
    let messages = deaf.messages.clone();
    let flood = async move {
        let data = chunk(csv.as_bytes());
        let request = || decode_request(Payload::Chunk(data.clone()));
        while messages.send(request()).await.is_ok() {}
    };
    let give_up = async {
        // Its place is given back although its caller still sends, and has read nothing.
        is_free(&service).await;
        deaf.end().await
    };
    let ((), status) = tokio::join!(flood, give_up);
    assert_eq!(refusal(&status), wanted);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_refuses_new_calls_and_ends_those_that_run() {
    let service = service(|config| {
        config.lookups_max = 2;
        config.drain_grace = Duration::from_millis(500);
    })
    .await;
    let mut call = Call::begin(&service, None).await.unwrap();
    call.send(file()).await;
    let mut client = service.another_client().await;
    let stopped = tokio::join!(service.stop(), async {
        let mut refused = None;
        eventually("new calls are refused", async || {
            let messages = futures::stream::iter([decode_request(file())]);
            refused = client.decode_file(messages).await.err();
            refused.is_some()
        })
        .await;
        (refused.unwrap(), call.end().await)
    });
    let ((), (refused, ended)) = stopped;
    let wanted = (Code::Unavailable, "DRAINING".to_owned());
    assert_eq!(refusal(&refused), wanted);
    assert_eq!(refusal(&ended), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_told_while_it_is_sent() {
    let service = service(|_| {}).await;
    let mut call = Call::begin(&service, None).await.unwrap();
    call.send(file()).await;
    call.send(Payload::Chunk(chunk(b"%PDF-1.7 and so on")))
        .await;
    let status = call.end().await;
    let wanted = (Code::InvalidArgument, "UNSUPPORTED_FORMAT".to_owned());
    assert_eq!(refusal(&status), wanted);
    is_free(&service).await;
    service.stop().await;
}

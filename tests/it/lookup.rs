//! InspectFile and DecodeFile from outside: what a caller sees, over real loopback gRPC.

use std::time::Duration;

use futures::{Stream, StreamExt};
use rowlift::proto::decode_file_response::Event;
use rowlift::proto::value::Kind;
use rowlift::proto::{self, FileSource, Finish, decode_file_request, inspect_file_request};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::service::Service;

mod calls;
mod formats;
mod inspect;
mod layouts;
mod memory;

/// A test fails rather than hangs.
const WAIT: Duration = Duration::from_mins(1);

/// What DecodeFile told: its events, and its status if that is not OK.
#[derive(Debug)]
struct Decoded {
    events: Vec<Event>,
    status: Option<Status>,
}

fn decode_request(payload: decode_file_request::Payload) -> proto::DecodeFileRequest {
    proto::DecodeFileRequest {
        payload: Some(payload),
    }
}

fn inspect_request(payload: inspect_file_request::Payload) -> proto::InspectFileRequest {
    proto::InspectFileRequest {
        payload: Some(payload),
    }
}

fn chunk(data: &[u8]) -> proto::FileChunk {
    proto::FileChunk {
        data: data.to_vec().into(),
        ..Default::default()
    }
}

/// A whole file in chunks.
fn decode_messages(source: FileSource, data: &[u8]) -> Vec<proto::DecodeFileRequest> {
    use decode_file_request::Payload;
    let chunks = data.chunks(10_000).map(|data| Payload::Chunk(chunk(data)));
    std::iter::once(Payload::File(source))
        .chain(chunks)
        .chain([Payload::Finish(Finish::default())])
        .map(decode_request)
        .collect()
}

async fn decode_all(
    service: &Service,
    messages: impl Stream<Item = proto::DecodeFileRequest> + Send + 'static,
) -> Decoded {
    let mut client = service.client.clone();
    let call = async move {
        let mut decoded = Decoded {
            events: Vec::new(),
            status: None,
        };
        match client.decode_file(Request::new(messages)).await {
            Ok(response) => {
                let mut responses = response.into_inner();
                while let Some(next) = responses.next().await {
                    match next {
                        Ok(response) => decoded.events.push(response.event.unwrap()),
                        Err(status) => decoded.status = Some(status),
                    }
                }
            }
            Err(status) => decoded.status = Some(status),
        }
        decoded
    };
    tokio::time::timeout(WAIT, call)
        .await
        .expect("the call ends")
}

async fn decode(service: &Service, source: FileSource, data: &[u8]) -> Decoded {
    let messages = decode_messages(source, data);
    decode_all(service, futures::stream::iter(messages)).await
}

async fn inspect_all(
    service: &Service,
    messages: Vec<proto::InspectFileRequest>,
) -> Result<proto::InspectFileResponse, Status> {
    let mut client = service.client.clone();
    let call = client.inspect_file(futures::stream::iter(messages));
    let response = tokio::time::timeout(WAIT, call)
        .await
        .expect("the call ends");
    response.map(tonic::Response::into_inner)
}

async fn inspect(
    service: &Service,
    header: proto::InspectHeader,
    data: &[u8],
) -> Result<proto::InspectFileResponse, Status> {
    use inspect_file_request::Payload;
    let chunks = data.chunks(10_000).map(|data| Payload::Chunk(chunk(data)));
    let messages = std::iter::once(Payload::Header(header))
        .chain(chunks)
        .chain([Payload::Finish(Finish::default())])
        .map(inspect_request);
    inspect_all(service, messages.collect()).await
}

fn refusal(status: &Status) -> (Code, String) {
    let info = status
        .get_details_error_info()
        .expect("every status has ErrorInfo");
    assert_eq!(info.domain, "rowlift");
    (status.code(), info.reason)
}

impl Decoded {
    /// The events of a call that ended OK.
    fn ok(&self) -> &[Event] {
        assert!(self.status.is_none(), "{self:?}");
        assert!(
            matches!(self.events.first(), Some(Event::Header(_))),
            "{self:?}"
        );
        &self.events
    }

    fn header(&self) -> &proto::Sheet {
        match self.events.first() {
            Some(Event::Header(sheet)) => sheet,
            _ => panic!("no header: {self:?}"),
        }
    }

    fn refusal(&self) -> (Code, String) {
        refusal(
            self.status
                .as_ref()
                .unwrap_or_else(|| panic!("ended OK: {self:?}")),
        )
    }

    /// Each row as its number and values; those of a faulty row are its raw ones, after `!`.
    fn rows(&self) -> Vec<(i64, String)> {
        let mut rows = Vec::new();
        for event in &self.events {
            match event {
                Event::Header(_) => {}
                Event::Rows(batch) => rows.extend(batch.rows.iter().map(|row| {
                    let values: Vec<String> = row.values.iter().map(shown).collect();
                    (row.source_row_number, values.join("|"))
                })),
                Event::FaultyRow(row) => {
                    let errors: Vec<String> = row
                        .errors
                        .iter()
                        .map(|error| format!("{}={}", error.cell, error.code().as_str_name()))
                        .collect();
                    let raw = row.raw_values.join("|");
                    rows.push((row.row_number, format!("!{} {raw}", errors.join(","))));
                }
            }
        }
        rows
    }
}

/// A value by its kind.
fn shown(value: &proto::Value) -> String {
    match &value.kind {
        None => String::new(),
        Some(Kind::StringValue(text)) => format!("text:{text}"),
        Some(Kind::DoubleValue(number)) => format!("number:{number}"),
        Some(Kind::BoolValue(value)) => format!("bool:{value}"),
        Some(Kind::DateValue(text)) => format!("date:{text}"),
        Some(Kind::TimeValue(text)) => format!("time:{text}"),
        Some(Kind::TimestampValue(time)) => format!("moment:{}.{}", time.seconds, time.nanos),
        Some(other) => panic!("no value of a file: {other:?}"),
    }
}

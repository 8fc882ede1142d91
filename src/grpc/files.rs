//! InspectFile and DecodeFile: their messages in, what was found in the file out.
//!
//! In: tonic's streams, and what [`lookup`](crate::lookup) finds. Out: specs and chunks, and
//! messages of the contract, none larger than [`RESPONSE_BYTES_MAX`]. Only the message in hand is
//! held.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use prost::Message as _;
use tonic::{Status, Streaming};

use crate::decode::Decoded;
use crate::grpc::convert;
use crate::grpc::header::file_spec;
use crate::grpc::messages::{chunk_of, totals_of};
use crate::grpc::status::{from_caller, invalid};
use crate::lookup::Message;
use crate::lookup::decode::Convert;
use crate::lookup::inspect::{InspectSpec, Inspection};
use crate::lookup::sheet::InspectedSheet;
use crate::mapping::plain::{Plain, faulty_row, plain};
use crate::model::frame::{Frame, FrameRow};
use crate::model::import::{Failure, Reason};
use crate::proto;
use crate::proto::decode_file_response::Event;
use crate::session::spec::FileSpec;

#[cfg(test)]
mod tests;

/// What a gRPC client takes in one message, unless it is told otherwise.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Rows of one message together; more come where a single one is larger.
const ROWS_BYTES_TARGET: usize = 256 << 10;
/// What a message adds to its rows.
const MESSAGE_BYTES: usize = 64;
const SAMPLES_DEFAULT: usize = 20;
const SAMPLES_MAX: usize = 1000;

/// The messages of a call that brings a file.
#[derive(Debug)]
pub struct FileMessages<R> {
    inner: Streaming<R>,
}

/// A message of such a call.
pub trait FileRequest: Send + 'static {
    /// What its header becomes.
    type Spec: Send;

    /// What it carries; `None`: nothing.
    fn message(self) -> Option<Result<Message<Self::Spec>, Failure>>;
}

impl<R> FileMessages<R> {
    /// Wraps the messages of one call.
    pub fn new(inner: Streaming<R>) -> FileMessages<R> {
        FileMessages { inner }
    }
}

impl<R: FileRequest> Stream for FileMessages<R> {
    type Item = Result<Message<R::Spec>, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled: Poll<Option<Result<R, Status>>> = Pin::new(&mut self.inner).poll_next(cx);
        polled.map(|next| {
            next.map(|result| match result {
                Ok(request) => request.message().unwrap_or_else(|| {
                    Err(Failure::new(Reason::WrongPayload, "an empty message")
                        .with_field("payload", "not set"))
                }),
                Err(status) => Err(from_caller(&status)),
            })
        })
    }
}

impl FileRequest for proto::InspectFileRequest {
    type Spec = InspectSpec;

    fn message(self) -> Option<Result<Message<InspectSpec>, Failure>> {
        use proto::inspect_file_request::Payload;
        Some(match self.payload? {
            Payload::Header(header) => inspect_spec(header).map(|it| Message::Header(Box::new(it))),
            Payload::Chunk(chunk) => chunk_of(chunk).map(Message::Chunk),
            Payload::Finish(finish) => totals_of(&finish).map(Message::Finish),
        })
    }
}

impl FileRequest for proto::DecodeFileRequest {
    type Spec = FileSpec;

    fn message(self) -> Option<Result<Message<FileSpec>, Failure>> {
        use proto::decode_file_request::Payload;
        Some(match self.payload? {
            Payload::File(file) => match file_spec(file) {
                Ok(file) => Ok(Message::Header(Box::new(file))),
                Err(failure) => Err(without_header(failure)),
            },
            Payload::Chunk(chunk) => chunk_of(chunk).map(Message::Chunk),
            Payload::Finish(finish) => totals_of(&finish).map(Message::Finish),
        })
    }
}

fn inspect_spec(header: proto::InspectHeader) -> Result<InspectSpec, Failure> {
    let n_samples = match usize::try_from(header.sample_row_count) {
        Ok(0) => SAMPLES_DEFAULT,
        Ok(n) if n <= SAMPLES_MAX => n,
        _ => {
            let why = format!("not between 0 and {SAMPLES_MAX}");
            return Err(invalid("header.sample_row_count", why));
        }
    };
    let file = header.file.unwrap_or_default();
    let is_given = file.header_row_number.is_some();
    let file = file_spec(file)?;
    Ok(InspectSpec {
        header: is_given.then_some(file.options.header),
        file,
        table: header.table,
        n_samples,
    })
}

/// The file is a header's field in other calls; here it is one by itself.
fn without_header(mut failure: Failure) -> Failure {
    failure.message = failure.message.replace("header.file", "file");
    for (path, _) in &mut failure.fields {
        *path = path.replace("header.file", "file");
    }
    failure
}

// DecodeFile.

/// Turns what a decoder yields into responses.
pub fn responses() -> Convert<proto::DecodeFileResponse> {
    let mut source = Source::default();
    Box::new(move |decoded| match decoded {
        Decoded::Header(header) => {
            let sheet = proto::Sheet {
                name: header.sheet.clone(),
                hidden: header.is_hidden,
                header_row_number: i32::try_from(header.header_row).unwrap_or(i32::MAX),
                header: header.names.clone(),
                sample_rows: Vec::new(),
            };
            check_size(sheet.encoded_len(), "the header")?;
            source = Source {
                sheet: header.sheet,
                names: header.names,
            };
            Ok(vec![response(Event::Header(sheet))])
        }
        Decoded::Rows(frame) => source.responses(&frame),
    })
}

/// Where rows come from.
#[derive(Debug, Default)]
struct Source {
    sheet: String,
    names: Vec<String>,
}

impl Source {
    /// Rows in batches of ordinals without a gap, faulty ones by themselves, in their order.
    fn responses(&self, frame: &Frame) -> Result<Vec<proto::DecodeFileResponse>, Failure> {
        let mut responses = Vec::new();
        let mut open = Batch::default();
        for row in frame.rows() {
            let place = format!("row {}", row.row_number);
            if let Some(faulty) = faulty_row(row, &self.sheet, &self.names) {
                open.close_into(&mut responses);
                let faulty = convert::whole_rejected_row(faulty);
                check_size(faulty.encoded_len(), &place)?;
                responses.push(response(Event::FaultyRow(faulty)));
                continue;
            }
            let values = self::row(row, &self.sheet);
            let n_bytes = values.encoded_len();
            check_size(n_bytes, &place)?;
            if open.end != row.ordinal || open.n_bytes + n_bytes > ROWS_BYTES_TARGET {
                open.close_into(&mut responses);
                open.first = row.ordinal;
            }
            open.end = row.ordinal + 1;
            open.n_bytes += n_bytes + MESSAGE_BYTES;
            open.rows.push(values);
        }
        open.close_into(&mut responses);
        Ok(responses)
    }
}

/// Rows that go into one message.
#[derive(Debug, Default)]
struct Batch {
    rows: Vec<proto::Row>,
    n_bytes: usize,
    /// Ordinals of its rows.
    first: u64,
    end: u64,
}

impl Batch {
    fn close_into(&mut self, responses: &mut Vec<proto::DecodeFileResponse>) {
        let batch = std::mem::take(self);
        if batch.rows.is_empty() {
            return;
        }
        responses.push(response(Event::Rows(proto::RowBatch {
            offset: Some(convert::count(batch.first)),
            rows: batch.rows,
            position: Vec::new().into(),
        })));
    }
}

fn response(event: Event) -> proto::DecodeFileResponse {
    proto::DecodeFileResponse { event: Some(event) }
}

/// A row with its place.
fn row(row: FrameRow<'_>, sheet: &str) -> proto::Row {
    proto::Row {
        values: row.cells().map(|cell| value(plain(cell))).collect(),
        source_row_number: convert::count(row.row_number),
        source_sheet: sheet.to_owned(),
    }
}

fn value(plain: Plain<'_>) -> proto::Value {
    use proto::value::Kind;
    let kind = match plain {
        Plain::Empty => None,
        Plain::Bool(value) => Some(Kind::BoolValue(value)),
        Plain::Number(value) => Some(Kind::DoubleValue(value)),
        Plain::Text(text) => Some(Kind::StringValue(text.into_owned())),
        Plain::Date(text) => Some(Kind::DateValue(text)),
        Plain::Time(text) => Some(Kind::TimeValue(text)),
        Plain::DateTime { seconds, nanos } => Some(Kind::TimestampValue(prost_types::Timestamp {
            seconds,
            nanos,
        })),
    };
    proto::Value { kind }
}

fn check_size(n_bytes: usize, what: &str) -> Result<(), Failure> {
    if n_bytes + MESSAGE_BYTES <= RESPONSE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{what} takes {n_bytes} bytes, more than fit into one message");
    Err(Failure::new(Reason::LimitExceeded, message)
        .with("limit", "response_bytes_max")
        .with("value", n_bytes)
        .with("bound", RESPONSE_BYTES_MAX))
}

// InspectFile.

/// What was found in a file; fewer sample rows where not all fit.
pub fn inspection(found: Inspection) -> Result<proto::InspectFileResponse, Failure> {
    let mut response = proto::InspectFileResponse {
        format: i32::from(found.format.number()),
        sheets: found.sheets.into_iter().map(sheet).collect(),
        mappings: found
            .proposals
            .into_iter()
            .map(|(proposal, target)| proto::MappingProposal {
                source_name: proposal.source_name,
                target_column: target.unwrap_or_default(),
                score: proposal.score,
                source_index: i32::try_from(proposal.source_index).unwrap_or(i32::MAX),
            })
            .collect(),
        sample_rejected_rows: found
            .rejected
            .into_iter()
            .map(convert::rejected_row)
            .collect(),
        missing_columns: found.missing_columns,
    };
    loop {
        let n_bytes = response.encoded_len();
        if n_bytes <= RESPONSE_BYTES_MAX {
            return Ok(response);
        }
        if !halve_samples(&mut response) {
            check_size(n_bytes, "what is in the file")?;
        }
    }
}

/// Leaves out half of the sample rows; whether there were any.
fn halve_samples(response: &mut proto::InspectFileResponse) -> bool {
    let mut had_any = !response.sample_rejected_rows.is_empty();
    let half = response.sample_rejected_rows.len() / 2;
    response.sample_rejected_rows.truncate(half);
    for sheet in &mut response.sheets {
        had_any |= !sheet.sample_rows.is_empty();
        let half = sheet.sample_rows.len() / 2;
        sheet.sample_rows.truncate(half);
    }
    had_any
}

fn sheet(sheet: InspectedSheet) -> proto::Sheet {
    let samples = sheet.samples.rows().map(|row| self::row(row, &sheet.name));
    proto::Sheet {
        sample_rows: samples.collect(),
        header_row_number: i32::try_from(sheet.header_row).unwrap_or(i32::MAX),
        hidden: sheet.is_hidden,
        name: sheet.name,
        header: sheet.header,
    }
}

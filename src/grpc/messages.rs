//! A call's messages as the session takes them.
//!
//! In: tonic's stream of `ImportRequest`. Out: [`Message`]s, or why the stream broke off. Only
//! the message in hand is held.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tonic::{Status, Streaming};

use crate::grpc::status::{from_caller, invalid};
use crate::grpc::{header, rows};
use crate::model::import::{Failure, Reason};
use crate::proto::{self, import_request::Payload};
use crate::session::Message;
use crate::session::inbound::{Chunk, Inbound, Totals};
use crate::session::spec::SourceSpec;

/// The stream.
#[derive(Debug)]
pub struct Messages {
    inner: Streaming<proto::ImportRequest>,
    /// Values of a row; `None` until the header, 0 for files.
    n_columns: Option<usize>,
}

impl Messages {
    /// Wraps the messages of one call.
    pub fn new(inner: Streaming<proto::ImportRequest>) -> Messages {
        Messages {
            inner,
            n_columns: None,
        }
    }

    fn convert(&mut self, request: proto::ImportRequest) -> Result<Message, Failure> {
        let Some(payload) = request.payload else {
            return Err(Failure::new(Reason::WrongPayload, "an empty message")
                .with_field("payload", "not set"));
        };
        let n_columns = match (&payload, self.n_columns) {
            (Payload::Header(_), Some(_)) => {
                return Err(Failure::new(Reason::DuplicateHeader, "a second header"));
            }
            (Payload::Header(_), None) => 0,
            (_, Some(n_columns)) => n_columns,
            (_, None) => {
                let message = "the first message is not a header";
                return Err(Failure::new(Reason::HeaderRequired, message));
            }
        };
        let inbound = match payload {
            Payload::Header(header) => {
                let spec = header::import_spec(header)?;
                self.n_columns = Some(match &spec.source {
                    SourceSpec::Rows(rows) => rows.column_names.len(),
                    SourceSpec::File(_) => 0,
                });
                return Ok(Message::Header(Box::new(spec)));
            }
            Payload::Chunk(chunk) => Inbound::Chunk(chunk_of(chunk)?),
            Payload::Rows(_) | Payload::PackedRows(_) if n_columns == 0 => {
                let message = "rows for an import whose header names no row_source";
                return Err(Failure::new(Reason::WrongPayload, message));
            }
            Payload::Rows(batch) => Inbound::Rows(rows::row_batch(batch, n_columns)?),
            Payload::PackedRows(packed) => Inbound::Rows(rows::packed_rows(packed, n_columns)?),
            Payload::Heartbeat(proto::Heartbeat {}) => Inbound::Heartbeat,
            Payload::Finish(finish) => {
                let mut totals = totals_of(&finish)?;
                if n_columns > 0 {
                    // The hash of a file, which a row import has none of.
                    totals.sha256 = None;
                }
                Inbound::Finish(totals)
            }
            Payload::Abort(abort) => Inbound::Abort {
                reason: abort.reason.chars().take(256).collect(),
            },
        };
        Ok(Message::Inbound(inbound))
    }
}

impl Stream for Messages {
    type Item = Result<Message, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled: Poll<Option<Result<_, Status>>> = Pin::new(&mut self.inner).poll_next(cx);
        polled.map(|next| {
            next.map(|result| match result {
                Ok(request) => self.convert(request),
                Err(status) => Err(from_caller(&status)),
            })
        })
    }
}

/// A chunk of a file.
pub fn chunk_of(chunk: proto::FileChunk) -> Result<Chunk, Failure> {
    let offset = match chunk.offset {
        None => None,
        Some(offset) => {
            Some(u64::try_from(offset).map_err(|_| invalid("chunk.offset", "negative"))?)
        }
    };
    Ok(Chunk {
        offset,
        data: chunk.data,
        crc32c: chunk.crc32c,
    })
}

/// What finish says of the whole.
pub fn totals_of(finish: &proto::Finish) -> Result<Totals, Failure> {
    let total = |path: &str, wire: Option<i64>| {
        wire.map(|total| u64::try_from(total).map_err(|_| invalid(path, "negative")))
            .transpose()
    };
    Ok(Totals {
        rows: total("finish.total_row_count", finish.total_row_count)?,
        bytes: total("finish.total_bytes", finish.total_bytes)?,
        sha256: header::sha256("finish.sha256", &finish.sha256)?,
    })
}

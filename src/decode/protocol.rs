//! What the decoder's child process says to its parent, over a pipe.
//!
//! In, in the child: a header, frames, the end or a failure. Out, in the parent: the same as
//! [`Message`]s, or a complaint about the bytes. The parent trusts nothing: lengths are bounded
//! by [`MESSAGE_BYTES_MAX`] and memory grows with what arrives, not with what is announced.
//! Reading blocks; killing the child ends it.
//!
//! ```text
//! stream  = header (rows)* end | (header (rows)*)? failure      a sheet is decoded
//!         | ((rows)* sheet)* end | ((rows)* sheet)* failure      a workbook is surveyed
//! message = u8 kind | u32 length, little-endian | payload
//! ```
//!
//! The request goes the other way, as JSON in one command line argument; the file is the child's
//! standard input.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::survey::{SheetEntry, SurveyRequest};
use crate::decode::{FileOptions, HeaderRow, SourceHeader};
use crate::model::frame::{Frame, FrameError};
use crate::model::import::FileFormat;

/// A row's cells take at most this many bytes.
pub const ROW_BYTES_MAX: usize = 32 << 20;

/// A message's payload takes at most this many bytes: a frame, its last row at its bound, and
/// the cell that went beyond it.
pub const MESSAGE_BYTES_MAX: u64 = 64 << 20;

const HEADER: u8 = b'H';
const ROWS: u8 = b'R';
const SHEET: u8 = b'S';
const END: u8 = b'E';
const FAILURE: u8 = b'F';

/// What is wanted of a workbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkbookRequest {
    /// `None`: decided by content, which has to agree with it otherwise.
    pub format: Option<FileFormat>,
    /// Empty: the first visible sheet that holds data.
    pub sheet: String,
    /// Where the header stands.
    pub header: HeaderRow,
}

impl WorkbookRequest {
    /// As the options of the file have it.
    pub fn of(options: &FileOptions) -> WorkbookRequest {
        WorkbookRequest {
            format: options.format,
            sheet: options.sheet.clone(),
            header: options.header,
        }
    }
}

/// What the parent tells the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildRequest {
    /// What is wanted of the workbook.
    pub task: Task,
    /// The bounds, the child's own among them.
    pub limits: Limits,
    /// CPU seconds that the child may use.
    pub cpu_seconds: u64,
}

/// What a child does with a workbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// All rows of one sheet.
    Decode(WorkbookRequest),
    /// The first rows of every sheet.
    Survey(SurveyRequest),
}

/// What the child tells the parent.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The header; the first message.
    Header(SourceHeader),
    /// Rows.
    Rows(Frame),
    /// The sheet whose first rows precede.
    Sheet(SheetEntry),
    /// Nothing follows.
    End(Totals),
    /// Nothing follows, and why.
    Failure(DecodeError),
}

/// What the child has sent in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Rows in all frames.
    pub n_rows: u64,
}

/// Bytes that are not this protocol, or none at all.
#[derive(Debug, Error)]
pub enum ProtocolError {
    /// The pipe broke.
    #[error("cannot read from the pipe")]
    Io(#[source] io::Error),
    /// The pipe ended inside a message.
    #[error("the pipe ended inside a message")]
    Cut,
    /// The kind is none of ours.
    #[error("message of unknown kind {0}")]
    UnknownKind(u8),
    /// The length is beyond its bound.
    #[error("message of {0} bytes")]
    TooLong(u64),
    /// A payload is not what its kind says.
    #[error("payload is not the JSON of its kind")]
    Json(#[source] serde_json::Error),
    /// A payload is no frame.
    #[error("payload is no frame")]
    Frame(#[source] FrameError),
}

/// Writes a header.
pub fn write_header(pipe: &mut impl Write, header: &SourceHeader) -> io::Result<()> {
    write_json(pipe, HEADER, header)
}

/// Writes rows.
pub fn write_rows(pipe: &mut impl Write, frame: &Frame) -> io::Result<()> {
    write_message(pipe, ROWS, frame.as_bytes())
}

/// Writes a sheet, after its rows.
pub fn write_sheet(pipe: &mut impl Write, entry: &SheetEntry) -> io::Result<()> {
    write_json(pipe, SHEET, entry)
}

/// Writes the end.
pub fn write_end(pipe: &mut impl Write, totals: Totals) -> io::Result<()> {
    write_json(pipe, END, &totals)
}

/// Writes a failure.
pub fn write_failure(pipe: &mut impl Write, failure: &DecodeError) -> io::Result<()> {
    write_json(pipe, FAILURE, failure)
}

/// Reads the next message; `None` where the pipe ends between messages.
pub fn read_message(pipe: &mut impl Read) -> Result<Option<Message>, ProtocolError> {
    let mut kind = Vec::with_capacity(1);
    pipe.take(1)
        .read_to_end(&mut kind)
        .map_err(ProtocolError::Io)?;
    let Some(&kind) = kind.first() else {
        return Ok(None);
    };
    let mut length = [0; 4];
    pipe.read_exact(&mut length).map_err(cut)?;
    let length = u64::from(u32::from_le_bytes(length));
    if !matches!(kind, HEADER | ROWS | SHEET | END | FAILURE) {
        return Err(ProtocolError::UnknownKind(kind));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(ProtocolError::TooLong(length));
    }
    let mut payload = Vec::new();
    let n_read = pipe
        .take(length)
        .read_to_end(&mut payload)
        .map_err(ProtocolError::Io)?;
    if u64::try_from(n_read).unwrap_or(u64::MAX) < length {
        return Err(ProtocolError::Cut);
    }
    let message = match kind {
        HEADER => Message::Header(parse_json(&payload)?),
        SHEET => Message::Sheet(parse_json(&payload)?),
        END => Message::End(parse_json(&payload)?),
        FAILURE => Message::Failure(parse_json(&payload)?),
        _ => Message::Rows(Frame::parse(payload).map_err(ProtocolError::Frame)?),
    };
    Ok(Some(message))
}

fn parse_json<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, ProtocolError> {
    serde_json::from_slice(payload).map_err(ProtocolError::Json)
}

fn cut(error: io::Error) -> ProtocolError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProtocolError::Cut,
        _ => ProtocolError::Io(error),
    }
}

fn write_json(pipe: &mut impl Write, kind: u8, value: &impl Serialize) -> io::Result<()> {
    let payload = serde_json::to_vec(value).map_err(io::Error::other)?;
    write_message(pipe, kind, &payload)
}

fn write_message(pipe: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|length| u64::from(*length) <= MESSAGE_BYTES_MAX)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let [a, b, c, d] = length.to_le_bytes();
    pipe.write_all(&[kind, a, b, c, d])?;
    pipe.write_all(payload)
}

#[cfg(test)]
mod tests;

//! What the decoder's child process and its parent say to each other, over a pipe with two ways.
//!
//! In, in the child: a header, frames, the end or a failure. Out, in the parent: the same as
//! [`Message`]s, or a complaint about the bytes. The child may ask for room on the disk, once,
//! before anything else, and then waits for the parent's [`RoomAnswer`], one byte. The parent trusts nothing: lengths are bounded
//! by [`MESSAGE_BYTES_MAX`] and memory grows with what arrives, not with what is announced.
//! Reading blocks; killing the child ends it.
//!
//! ```text
//! stream  = room? (header (rows)* end | (header (rows)*)? failure)      a sheet is decoded
//!         | room? (((rows)* sheet)* end | ((rows)* sheet)* failure)     a workbook is surveyed
//! message = u8 kind | u32 length, little-endian | payload
//! ```
//!
//! The request goes the other way, as JSON in one command line argument; the file is the child's
//! standard input.

use std::io::{self, Read, Write};
use std::path::PathBuf;

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
const ROOM: u8 = b'D';

const GRANTED: u8 = b'y';
const REFUSED: u8 = b'n';

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
    /// Where the child may make an unnamed file, once it is granted the room; `None`: nowhere.
    pub spill_dir: Option<PathBuf>,
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
    /// The child wants to know whether there is room for a file; the first message.
    Room(RoomRequest),
}

/// What the child asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomRequest {
    /// What its file will have at most, bytes.
    pub n_bytes: u64,
}

/// What the parent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomAnswer {
    /// The room is held for as long as the child lives.
    Granted,
    /// There is none.
    Refused,
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

/// Asks for room, which [`read_answer`] waits for.
pub fn write_room_request(pipe: &mut impl Write, request: RoomRequest) -> io::Result<()> {
    write_json(pipe, ROOM, &request)
}

/// Answers a [`RoomRequest`], in the parent.
pub fn write_answer(pipe: &mut impl Write, answer: RoomAnswer) -> io::Result<()> {
    let byte = match answer {
        RoomAnswer::Granted => GRANTED,
        RoomAnswer::Refused => REFUSED,
    };
    pipe.write_all(&[byte])
}

/// Reads the answer, in the child. Blocks; a parent that is gone ends it.
pub fn read_answer(pipe: &mut impl Read) -> io::Result<RoomAnswer> {
    let mut byte = [0];
    pipe.read_exact(&mut byte)?;
    match byte {
        [GRANTED] => Ok(RoomAnswer::Granted),
        [REFUSED] => Ok(RoomAnswer::Refused),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Reads the next message; `None` where the pipe ends between messages.
pub fn read_message(pipe: &mut impl Read) -> Result<Option<Message>, ProtocolError> {
    let mut kind = Vec::with_capacity(1);
    pipe.take(1).read_to_end(&mut kind).map_err(cut)?;
    let Some(&kind) = kind.first() else {
        return Ok(None);
    };
    let mut length = [0; 4];
    pipe.read_exact(&mut length).map_err(cut)?;
    let length = u64::from(u32::from_le_bytes(length));
    if !matches!(kind, HEADER | ROWS | SHEET | END | FAILURE | ROOM) {
        return Err(ProtocolError::UnknownKind(kind));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(ProtocolError::TooLong(length));
    }
    let mut payload = Vec::new();
    let n_read = pipe.take(length).read_to_end(&mut payload).map_err(cut)?;
    if u64::try_from(n_read).unwrap_or(u64::MAX) < length {
        return Err(ProtocolError::Cut);
    }
    let message = match kind {
        HEADER => Message::Header(parse_json(&payload)?),
        SHEET => Message::Sheet(parse_json(&payload)?),
        END => Message::End(parse_json(&payload)?),
        FAILURE => Message::Failure(parse_json(&payload)?),
        ROOM => Message::Room(parse_json(&payload)?),
        _ => Message::Rows(Frame::parse(payload).map_err(ProtocolError::Frame)?),
    };
    Ok(Some(message))
}

fn parse_json<T: for<'de> Deserialize<'de>>(payload: &[u8]) -> Result<T, ProtocolError> {
    serde_json::from_slice(payload).map_err(ProtocolError::Json)
}

fn cut(error: io::Error) -> ProtocolError {
    match error.kind() {
        // Reset: the child died before it took an answer.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => ProtocolError::Cut,
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

//! From UTF-8 to records and cells: quotes, line ends, line numbers.
//!
//! In: bytes, cut anywhere. Out: [`Records`] is told of every record, blank lines included, and
//! of each of its cells. Holds the cell that is incomplete, at most `csv_cell_bytes_max`.
//!
//! The rules are those of the csv crate, with which this is tested: a quote counts at the start
//! of a cell only; within quotes a doubled one is one; what follows a closing quote belongs to
//! the cell; LF, CRLF and CR end a record. Unlike there, blank lines are records, and a quote
//! that never closes is an error.

use std::ops::Range;
use std::str;

use memchr::{memchr, memchr2_iter, memchr3};

use crate::decode::csv::dialect::Dialect;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;

#[cfg(test)]
mod tests;

/// Bytes that are checked and cut up at once, so that they are in the cache the second time.
const WINDOW_BYTES: usize = 32 * 1024;

/// Who is told what the tokenizer finds.
pub(super) trait Records {
    /// A record starts on this physical line, 1-based.
    fn begin(&mut self, line: u64);

    /// Its next cell; every record has at least one.
    fn cell(&mut self, cell: RawCell<'_>) -> Result<(), DecodeError>;

    /// It is complete; the next one would start on `next_line`.
    fn end(&mut self, next_line: u64) -> Result<(), DecodeError>;
}

/// A cell without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawCell<'a> {
    /// Known to be UTF-8 without U+0000.
    Text(&'a str),
    /// Not checked.
    Bytes(&'a [u8]),
}

/// Cuts a file up; `feed`, then `finish`. Of no use after an error.
#[derive(Debug)]
pub(super) struct Tokenizer {
    dialect: Dialect,
    cell_bytes_max: usize,
    state: State,
    /// The beginning of the current cell, where it is not all in one piece.
    held: Vec<u8>,
    /// The physical line that is being read, 1-based.
    line: u64,
    /// The line on which the current cell's quote stands.
    quote_line: u64,
    /// Whether the byte before, within quotes, was a CR, so that an LF belongs to it.
    quoted_cr: bool,
    /// Whether a CR has just ended a record, so that an LF belongs to it.
    record_cr: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    CellStart,
    Unquoted,
    Quoted,
    /// After a quote within quotes: it closes them or is the first of two.
    QuoteInQuoted,
}

/// A piece of the input, and how much of it is known to be good text.
#[derive(Clone, Copy)]
struct Window<'a> {
    bytes: &'a [u8],
    /// The beginning of `bytes` that is UTF-8 without U+0000: most often all of it, so that cells
    /// need not be checked one by one.
    text: &'a str,
}

// === impl Window ===

impl<'a> Window<'a> {
    fn new(bytes: &'a [u8]) -> Window<'a> {
        let n_bytes = memchr(0, bytes).unwrap_or(bytes.len());
        let text = match str::from_utf8(&bytes[..n_bytes]) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).expect("valid up to there"),
        };
        Window { bytes, text }
    }

    fn cell(self, range: Range<usize>) -> RawCell<'a> {
        match self.text.get(range.clone()) {
            Some(text) => RawCell::Text(text),
            None => RawCell::Bytes(&self.bytes[range]),
        }
    }
}

// === impl Tokenizer ===

impl Tokenizer {
    /// At the start of a file.
    pub(super) fn new(dialect: Dialect, limits: &Limits) -> Tokenizer {
        Tokenizer {
            dialect,
            cell_bytes_max: usize::try_from(limits.csv_cell_bytes_max).unwrap_or(usize::MAX),
            state: State::RecordStart,
            held: Vec::new(),
            line: 1,
            quote_line: 1,
            quoted_cr: false,
            record_cr: false,
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed<R: Records>(
        &mut self,
        bytes: &[u8],
        records: &mut R,
    ) -> Result<(), DecodeError> {
        for bytes in bytes.chunks(WINDOW_BYTES) {
            let window = Window::new(bytes);
            let mut at = 0;
            while at < bytes.len() {
                at = self.step(window, at, records)?;
            }
        }
        Ok(())
    }

    /// The file is complete: its last record may lack a line end.
    pub(super) fn finish<R: Records>(mut self, records: &mut R) -> Result<(), DecodeError> {
        match self.state {
            State::RecordStart => Ok(()),
            State::CellStart | State::Unquoted | State::QuoteInQuoted => {
                records.cell(RawCell::Bytes(&self.held))?;
                self.held.clear();
                self.end_record(b'\n', records)
            }
            State::Quoted => Err(DecodeError::corrupt(format!(
                "the quote that opens on line {} never closes",
                self.quote_line
            ))),
        }
    }

    /// Reads on at `at` as far as one state goes; says where it ended.
    fn step<R: Records>(
        &mut self,
        window: Window<'_>,
        at: usize,
        records: &mut R,
    ) -> Result<usize, DecodeError> {
        let byte = window.bytes[at];
        match self.state {
            State::RecordStart => {
                if std::mem::take(&mut self.record_cr) && byte == b'\n' {
                    return Ok(at + 1);
                }
                records.begin(self.line);
                self.state = State::CellStart;
                Ok(at)
            }
            State::CellStart if byte == self.dialect.quote => {
                self.state = State::Quoted;
                self.quote_line = self.line;
                self.quoted_cr = false;
                Ok(at + 1)
            }
            State::Quoted => self.quoted(window, at, records),
            State::QuoteInQuoted if byte == self.dialect.quote => {
                self.hold(&[byte])?;
                self.state = State::Quoted;
                self.quoted_cr = false;
                Ok(at + 1)
            }
            // After a closing quote, a delimiter or line end ends the cell, anything else is
            // more of it.
            State::CellStart | State::Unquoted | State::QuoteInQuoted => {
                self.state = State::Unquoted;
                self.unquoted(window, at, records)
            }
        }
    }

    /// Reads cells from `at` on, up to one that is quoted, the end of the record or of the window.
    fn unquoted<R: Records>(
        &mut self,
        window: Window<'_>,
        mut at: usize,
        records: &mut R,
    ) -> Result<usize, DecodeError> {
        let Dialect { delimiter, quote } = self.dialect;
        loop {
            let rest = &window.bytes[at..];
            let Some(n_bytes) = cell_end(delimiter, rest) else {
                self.hold(rest)?;
                return Ok(window.bytes.len());
            };
            let end = at + n_bytes;
            self.cell(window, at..end, records)?;
            if rest[n_bytes] != delimiter {
                self.end_record(rest[n_bytes], records)?;
                return Ok(end + 1);
            }
            at = end + 1;
            match window.bytes.get(at) {
                Some(byte) if *byte != quote => {}
                _ => {
                    self.state = State::CellStart;
                    return Ok(at);
                }
            }
        }
    }

    /// Reads from `at`, within quotes, to the closing one, and past what ends the cell if that
    /// follows at once.
    fn quoted<R: Records>(
        &mut self,
        window: Window<'_>,
        at: usize,
        records: &mut R,
    ) -> Result<usize, DecodeError> {
        let Dialect { delimiter, quote } = self.dialect;
        let rest = &window.bytes[at..];
        let Some(n_bytes) = memchr(quote, rest) else {
            self.hold(rest)?;
            self.count_lines(rest);
            return Ok(window.bytes.len());
        };
        let end = at + n_bytes;
        match rest.get(n_bytes + 1) {
            Some(&byte) if byte == delimiter || byte == b'\n' || byte == b'\r' => {
                self.cell(window, at..end, records)?;
                self.count_lines(&rest[..n_bytes]);
                if byte == delimiter {
                    self.state = State::CellStart;
                } else {
                    self.end_record(byte, records)?;
                }
                Ok(end + 2)
            }
            _ => {
                self.hold(&rest[..n_bytes])?;
                self.count_lines(&rest[..n_bytes]);
                self.state = State::QuoteInQuoted;
                Ok(end + 1)
            }
        }
    }

    /// A cell ends: what was held of it, and `range`.
    fn cell<R: Records>(
        &mut self,
        window: Window<'_>,
        range: Range<usize>,
        records: &mut R,
    ) -> Result<(), DecodeError> {
        if self.held.is_empty() {
            self.check_length(range.len())?;
            return records.cell(window.cell(range));
        }
        self.hold(&window.bytes[range])?;
        records.cell(RawCell::Bytes(&self.held))?;
        self.held.clear();
        Ok(())
    }

    /// Keeps a part of a cell that is not all in one piece.
    fn hold(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        self.check_length(self.held.len() + part.len())?;
        self.held.extend_from_slice(part);
        Ok(())
    }

    fn check_length(&self, n_bytes: usize) -> Result<(), DecodeError> {
        if n_bytes <= self.cell_bytes_max {
            return Ok(());
        }
        let place = match self.state {
            State::Quoted | State::QuoteInQuoted => {
                format!("in the cell whose quote opens on line {}", self.quote_line)
            }
            _ => format!("on line {}", self.line),
        };
        let (value, bound) = (n_bytes as u64, self.cell_bytes_max as u64);
        let name = "csv_cell_bytes_max";
        Err(DecodeError::limit_at(name, value, bound, place))
    }

    fn end_record<R: Records>(&mut self, line_end: u8, records: &mut R) -> Result<(), DecodeError> {
        self.line += 1;
        self.record_cr = line_end == b'\r';
        self.state = State::RecordStart;
        records.end(self.line)
    }

    /// Counts the physical lines that end within quotes.
    fn count_lines(&mut self, part: &[u8]) {
        for at in memchr2_iter(b'\n', b'\r', part) {
            let after_cr = match at {
                0 => self.quoted_cr,
                _ => part[at - 1] == b'\r',
            };
            let is_second = part[at] == b'\n' && after_cr;
            self.line += u64::from(!is_second);
        }
        if let Some(last) = part.last() {
            self.quoted_cr = *last == b'\r';
        }
    }
}

/// Bytes that are looked at eight at a time, before a search is set up: most cells are shorter.
const SHORT_BYTES: usize = 16;

/// How many bytes stand before the first delimiter, LF or CR.
#[inline]
fn cell_end(delimiter: u8, bytes: &[u8]) -> Option<usize> {
    let short = bytes.get(..SHORT_BYTES).unwrap_or_default();
    for (index, word) in short.as_chunks::<8>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (LANES * u64::from(delimiter)))
            | zeros(word ^ (LANES * u64::from(b'\n')))
            | zeros(word ^ (LANES * u64::from(b'\r')));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let n_bytes = memchr3(delimiter, b'\n', b'\r', &bytes[short.len()..])?;
    Some(short.len() + n_bytes)
}

/// A one in every byte.
const LANES: u64 = u64::MAX / 255;

/// The high bit of the first byte that is zero, perhaps with others above it; 0 if there is none.
/// A subtraction borrows from the bytes above a zero only, so that the lowest bit is right.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LANES) & !word & (LANES << 7)
}

//! CSV as it arrives: rows leave while later chunks travel.
//!
//! In: a file's bytes, uncompressed, in chunks cut anywhere; the result does not depend on where.
//! Out: one header, then frames of rows. Holds the sample that the delimiter is detected by
//! (16 KiB), the record that is incomplete (`csv_row_bytes_max`) and the frame
//! that is not full, never the file. Cancelled by dropping.
//!
//! ```text
//! bytes ─▶ charset (UTF-8) ─▶ dialect (delimiter) ─▶ tokenizer (cells, lines) ─▶ rows (ordinals, frames)
//! ```
//!
//! A row's *ordinal* is its place among the records after the header, blank lines included: a
//! line break within quotes begins no row. Its *row number* is the physical line on which it
//! starts, where CRLF, LF and CR each end a line, in quotes too. A record whose cells are all
//! empty, quoted or not, is blank: it has an ordinal and is left out.
//!
//! A cell with bytes that do not decode, or with U+0000, is [`Cell::InvalidText`], that cell
//! only. Apart from that a cell is its text: `="00123"` stays as it is.
//!
//! [`Cell::InvalidText`]: crate::model::cell::Cell::InvalidText

use crate::decode::csv::charset::Charset;
use crate::decode::csv::dialect::{Dialect, Sample};
use crate::decode::csv::rows::{RecordSink, Rows};
use crate::decode::csv::tokenizer::Tokenizer;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::{Decoded, FileOptions};

mod charset;
mod dialect;
mod rows;
mod tokenizer;

#[cfg(test)]
mod tests;

/// Takes what the decoder yields.
pub type Output<'a> = dyn FnMut(Decoded) + 'a;

/// Reads one CSV file: `feed` every chunk, then `finish`. Of no use after an error.
#[derive(Debug)]
pub struct CsvDecoder {
    n_bytes: u64,
    bytes_max: u64,
    charset: Charset,
    parser: Parser,
}

/// What comes after the charset.
#[derive(Debug)]
struct Parser {
    stage: Stage,
    rows: Rows,
    limits: Limits,
}

#[derive(Debug)]
enum Stage {
    /// Collects what the delimiter is told by.
    Sampling(Sample),
    Tokenizing(Tokenizer),
}

// === impl CsvDecoder ===

impl CsvDecoder {
    /// For a file that is described by `options`; an error if they contradict each other.
    pub fn new(options: &FileOptions, limits: &Limits) -> Result<CsvDecoder, DecodeError> {
        Ok(CsvDecoder {
            n_bytes: 0,
            bytes_max: limits.csv_bytes_max,
            charset: Charset::new(options.csv.encoding),
            parser: Parser {
                stage: Stage::Sampling(Sample::new(&options.csv, options.header)?),
                rows: Rows::new(options.header, limits),
                limits: limits.clone(),
            },
        })
    }

    /// Takes the next chunk. Rows are handed out as frames fill up.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Output<'_>) -> Result<(), DecodeError> {
        self.n_bytes = self.n_bytes.saturating_add(bytes.len() as u64);
        if self.n_bytes > self.bytes_max {
            let (value, bound) = (self.n_bytes, self.bytes_max);
            return Err(DecodeError::limit("csv_bytes_max", value, bound));
        }
        let parser = &mut self.parser;
        self.charset.feed(bytes, &mut |text| parser.feed(text, out))
    }

    /// Hands out the rows that are complete, so that those of a slow stream do not wait for a
    /// frame to fill up. While the delimiter is being detected there are none.
    pub fn flush(&mut self, out: &mut Output<'_>) {
        self.parser.rows.flush(out);
    }

    /// The file is complete: hands out the rest.
    pub fn finish(mut self, out: &mut Output<'_>) -> Result<(), DecodeError> {
        let parser = &mut self.parser;
        self.charset.finish(&mut |text| parser.feed(text, out))?;
        self.parser.finish(out)
    }
}

// === impl Parser ===

impl Parser {
    fn feed(&mut self, text: &[u8], out: &mut Output<'_>) -> Result<(), DecodeError> {
        let mut rest = text;
        if let Stage::Sampling(sample) = &mut self.stage {
            let n_taken = sample.extend(text);
            rest = &text[n_taken..];
            let Some(dialect) = sample.dialect() else {
                return Ok(());
            };
            self.begin(dialect, out)?;
        }
        self.tokenize(rest, out)
    }

    fn finish(mut self, out: &mut Output<'_>) -> Result<(), DecodeError> {
        if let Stage::Sampling(sample) = &self.stage {
            let dialect = sample.dialect_of_all();
            self.begin(dialect, out)?;
        }
        let rows = &mut self.rows;
        if let Stage::Tokenizing(tokenizer) = self.stage {
            tokenizer.finish(&mut RecordSink { rows, out })?;
        }
        self.rows.finish(out)
    }

    /// The delimiter is known: what was sampled is the first to be read.
    fn begin(&mut self, dialect: Dialect, out: &mut Output<'_>) -> Result<(), DecodeError> {
        let tokenizer = Stage::Tokenizing(Tokenizer::new(dialect, &self.limits));
        self.rows.begin(out);
        match std::mem::replace(&mut self.stage, tokenizer) {
            Stage::Sampling(sample) => self.tokenize(sample.as_bytes(), out),
            Stage::Tokenizing(_) => Ok(()),
        }
    }

    fn tokenize(&mut self, text: &[u8], out: &mut Output<'_>) -> Result<(), DecodeError> {
        let rows = &mut self.rows;
        match &mut self.stage {
            Stage::Tokenizing(tokenizer) => tokenizer.feed(text, &mut RecordSink { rows, out }),
            Stage::Sampling(_) => Ok(()),
        }
    }
}

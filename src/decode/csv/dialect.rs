//! Which byte separates cells: as declared, or told by the first records.
//!
//! In: the beginning of a file as UTF-8. Out: a [`Dialect`]. Holds [`SAMPLE_BYTES`] at most.
//! The answer depends on the content alone, never on how the upload was cut or timed: a resumed
//! import must read the same rows.

use crate::decode::error::DecodeError;
use crate::decode::{CsvOptions, HeaderRow};
use crate::model::layout::OWN_COLUMNS;

#[cfg(test)]
mod tests;

/// Bytes of a file that the delimiter is told by, at most.
pub(super) const SAMPLE_BYTES: usize = 16 * 1024;

/// Records, from the header on, that suffice to tell.
const SAMPLE_RECORDS: usize = 10;

/// What delimiters are detected among; of two that fit as well, the earlier one.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

const DEFAULT_DELIMITER: u8 = b',';
const DEFAULT_QUOTE: u8 = b'"';

/// How records and cells are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between cells; an ASCII byte.
    pub(super) delimiter: u8,
    /// Around cells; an ASCII byte.
    pub(super) quote: u8,
}

/// The beginning of a file, until the delimiter can be told.
#[derive(Debug)]
pub(super) struct Sample {
    declared: Option<u8>,
    quote: u8,
    /// 1-based; `None`: there is no header.
    header_record: Option<usize>,
    bytes: Vec<u8>,
    n_line_ends: usize,
    /// Bytes from which on another look is worth while. Looking later never changes the answer.
    next_look: usize,
}

// === impl Sample ===

impl Sample {
    /// An empty sample; an error if delimiter and quote cannot be what the options say.
    pub(super) fn new(options: &CsvOptions, header: HeaderRow) -> Result<Sample, DecodeError> {
        let quote = options.quote.unwrap_or(DEFAULT_QUOTE);
        for (name, byte) in [("delimiter", options.delimiter), ("quote", Some(quote))] {
            if let Some(byte) = byte
                && (!byte.is_ascii() || matches!(byte, 0 | b'\n' | b'\r'))
            {
                let byte = byte.escape_ascii();
                let what = format!("{name} \"{byte}\" is not an ASCII character within a line");
                return Err(DecodeError::InvalidOption { what });
            }
        }
        if options.delimiter == Some(quote) {
            let what = format!("delimiter and quote are both \"{}\"", quote.escape_ascii());
            return Err(DecodeError::InvalidOption { what });
        }
        let header_record = match header {
            HeaderRow::Absent | HeaderRow::Any | HeaderRow::Row(0) => None,
            HeaderRow::Row(row) => Some(usize::try_from(row).unwrap_or(usize::MAX)),
        };
        Ok(Sample {
            declared: options.delimiter,
            quote,
            header_record,
            bytes: Vec::new(),
            n_line_ends: 0,
            next_look: 0,
        })
    }

    /// Adds the beginning of `text`, as much as the sample takes; says how much that is.
    pub(super) fn extend(&mut self, text: &[u8]) -> usize {
        if self.declared.is_some() {
            return 0;
        }
        let n_taken = text.len().min(SAMPLE_BYTES - self.bytes.len());
        let taken = &text[..n_taken];
        self.n_line_ends += memchr::memchr2_iter(b'\n', b'\r', taken).count();
        self.bytes.extend_from_slice(taken);
        n_taken
    }

    /// What the sample holds.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The dialect, if the sample is large enough to tell.
    pub(super) fn dialect(&mut self) -> Option<Dialect> {
        if self.declared.is_some() || self.bytes.len() == SAMPLE_BYTES {
            return Some(self.dialect_of_all());
        }
        // A look costs a pass over the sample: none before there can be enough records, and few
        // where line breaks within quotes feign them.
        let n_wanted = self.n_records_wanted();
        if self.n_line_ends < n_wanted || self.bytes.len() < self.next_look {
            return None;
        }
        self.next_look = self.bytes.len() + self.bytes.len() / 4;
        let suffices = self
            .candidates()
            .all(|delimiter| self.widths(delimiter).len() == n_wanted);
        suffices.then(|| self.dialect_of_all())
    }

    /// The dialect, if the sample is all that there is.
    pub(super) fn dialect_of_all(&self) -> Dialect {
        let quote = self.quote;
        if let Some(delimiter) = self.declared {
            return Dialect { delimiter, quote };
        }
        if let Some(delimiter) = self.candidates().find(|it| self.is_returned(*it)) {
            return Dialect { delimiter, quote };
        }
        let mut best = (DEFAULT_DELIMITER, None);
        for delimiter in self.candidates() {
            let score = self.score(delimiter);
            // Later candidates must be better, not as good.
            if score > best.1 {
                best = (delimiter, score);
            }
        }
        let delimiter = best.0;
        Dialect { delimiter, quote }
    }

    /// Whether the first line ends in our columns, divided by `delimiter`: an export of rejected
    /// rows tells its delimiter, whatever else its cells hold.
    fn is_returned(&self, delimiter: u8) -> bool {
        let line_end = memchr::memchr2(b'\n', b'\r', &self.bytes).unwrap_or(self.bytes.len());
        let line = &self.bytes[..line_end];
        // Programs that save it may put every cell in quotes.
        [false, true].into_iter().any(|is_quoted| {
            let mut own = Vec::new();
            for name in &OWN_COLUMNS[1..] {
                own.push(delimiter);
                own.extend(is_quoted.then_some(self.quote));
                own.extend_from_slice(name.as_bytes());
                own.extend(is_quoted.then_some(self.quote));
            }
            line.ends_with(&own)
        })
    }

    fn candidates(&self) -> impl Iterator<Item = u8> + use<> {
        let quote = self.quote;
        let is_free = move |candidate: &u8| *candidate != quote;
        CANDIDATES.into_iter().filter(is_free)
    }

    fn n_records_wanted(&self) -> usize {
        self.header_record
            .unwrap_or(1)
            .saturating_add(SAMPLE_RECORDS)
    }

    /// How well a delimiter explains the sample: records as wide as the header, then the header's
    /// width. `None`: it does not divide the header.
    fn score(&self, delimiter: u8) -> Option<(usize, usize)> {
        let widths = self.widths(delimiter);
        let first = widths.iter().position(|&width| width > 0)?;
        let header = match self.header_record {
            // A header beyond the sample: its first record has to do.
            Some(record) if record <= widths.len() => record - 1,
            _ => first,
        };
        let width = widths[header];
        if width < 2 {
            return None;
        }
        let n_equal = widths[header + 1..].iter().filter(|&&it| it == width);
        Some((n_equal.count(), width))
    }

    /// Cells of each record, 0 for a blank line; at most the records that are wanted. The last
    /// record counts once its line has ended, unless there is no other.
    fn widths(&self, delimiter: u8) -> Vec<usize> {
        let n_wanted = self.n_records_wanted();
        let mut widths = Vec::new();
        let (mut width, mut at_field_start, mut in_quotes) = (0, true, false);
        // Whether the byte before closed a quote, so that another one would be a doubled quote.
        let mut closed = false;
        let mut previous = 0;
        for &byte in &self.bytes {
            let after_cr = std::mem::replace(&mut previous, byte) == b'\r';
            let was_closed = std::mem::take(&mut closed);
            if in_quotes {
                in_quotes = byte != self.quote;
                closed = !in_quotes;
            } else if byte == b'\n' || byte == b'\r' {
                if byte == b'\n' && after_cr {
                    continue;
                }
                widths.push(width);
                (width, at_field_start) = (0, true);
                if widths.len() == n_wanted {
                    return widths;
                }
            } else {
                width = width.max(1);
                if byte == self.quote && (at_field_start || was_closed) {
                    in_quotes = true;
                }
                at_field_start = byte == delimiter;
                width += usize::from(at_field_start);
            }
        }
        if widths.is_empty() && width > 0 {
            widths.push(width);
        }
        widths
    }
}

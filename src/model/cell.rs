//! One cell as read from a file or as sent by a caller, before any column type is known.
//!
//! A [`Cell`] borrows from the [`Frame`](super::frame::Frame) that holds its row. What a cell
//! becomes in a column is decided in [`crate::mapping`].

use std::fmt;

use crate::model::serial::{write_cell_duration, write_serial};

/// What a source says about one cell.
///
/// File formats make the first group; row imports make the second, besides `Text` and `Bool`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    // From files.
    /// No content.
    Empty,
    /// Text as it stands in the file, untrimmed.
    Text(&'a str),
    /// Text whose bytes do not decode, or that holds U+0000; shown with U+FFFD in their place.
    InvalidText(&'a str),
    /// A number without a date format.
    Number(f64),
    /// A number whose format consists of zeros and literals, such as `00000` or `000-0000`.
    ZerosNumber {
        /// The value.
        value: f64,
        /// The text that the spreadsheet program shows, such as `01234`.
        shown: &'a str,
    },
    /// TRUE or FALSE.
    Bool(bool),
    /// A number with a date or time format.
    DateSerial {
        /// Days since the epoch of `system`, fraction of a day for the time.
        serial: f64,
        /// Which epoch.
        system: DateSystem,
    },
    /// A span of time, in days (`[h]:mm` formats, ods durations).
    Duration(f64),
    /// An ISO 8601 date, date-time or time, from formats that store them as text (ods).
    IsoDateTime(&'a str),
    /// An error value such as `#N/A`.
    Error(&'a str),
    /// A formula that no program has computed yet.
    FormulaWithoutValue,

    // From row imports.
    /// SQL NULL.
    Null,
    /// The column's default in a new row, the old value in an updated one.
    Unset,
    /// A whole number.
    Int(i64),
    /// A double, bit for bit.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// A decimal number as text.
    Decimal(&'a str),
    /// A date as text.
    Date(&'a str),
    /// A time of day as text.
    Time(&'a str),
    /// A point in time.
    Timestamp {
        /// Seconds since 1970-01-01T00:00:00Z.
        seconds: i64,
        /// Nanoseconds of the second.
        nanos: i32,
    },
}

/// The epoch of date serials in a workbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateSystem {
    /// Day 1 is 1900-01-01, with the non-existent 1900-02-29 as day 60.
    Y1900,
    /// Day 0 is 1904-01-01.
    Y1904,
}

impl Cell<'_> {
    /// Whether the cell has no content before trimming: `Empty`, `Null`, `Unset` or `""`.
    pub fn is_vacant(&self) -> bool {
        matches!(
            self,
            Cell::Empty | Cell::Null | Cell::Unset | Cell::Text("")
        )
    }
}

/// The cell as text, for `raw_values` and error messages; numbers at 15 significant digits,
/// which is what a spreadsheet program shows, from 10^15 on with the digits that tell the double from its
/// neighbours, for which most columns refuse it; dates and spans of time as a person is shown them.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cell::Empty | Cell::FormulaWithoutValue | Cell::Null | Cell::Unset => Ok(()),
            Cell::Text(text)
            | Cell::InvalidText(text)
            | Cell::IsoDateTime(text)
            | Cell::Error(text)
            | Cell::Decimal(text)
            | Cell::Date(text)
            | Cell::Time(text) => f.write_str(text),
            Cell::ZerosNumber { shown, .. } => f.write_str(shown),
            Cell::Number(value) if value.abs() >= SIXTEEN_DIGITS => write!(f, "{value}"),
            Cell::Number(value) => write!(f, "{}", round_to_15_digits(value)),
            Cell::DateSerial { serial, system } => {
                let mut text = String::new();
                write_serial(serial, system, &mut text);
                f.write_str(&text)
            }
            Cell::Duration(days) => {
                let mut text = String::new();
                write_cell_duration(days, &mut text);
                f.write_str(&text)
            }
            Cell::Bool(value) => write!(f, "{value}"),
            Cell::Int(value) => write!(f, "{value}"),
            Cell::Double(value) => write!(f, "{value}"),
            Cell::Bytes(bytes) => {
                f.write_str("\\x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Cell::Timestamp { seconds, nanos } => match jiff::Timestamp::new(seconds, nanos) {
                Ok(timestamp) => write!(f, "{timestamp}"),
                Err(_) => write!(f, "{seconds}s {nanos}ns"),
            },
        }
    }
}

/// From here on a number has more than 15 digits before the point.
pub const SIXTEEN_DIGITS: f64 = 1e15;

/// The double nearest to `value` written with 15 significant decimal digits.
pub fn round_to_15_digits(value: f64) -> f64 {
    // Whole numbers below 1e15 have at most 15 digits already.
    if value.fract() == 0.0 && value.abs() < SIXTEEN_DIGITS || !value.is_finite() {
        return value;
    }
    format!("{value:.14e}")
        .parse()
        .expect("a formatted double parses")
}

/// A whole double as an integer, if it is one that i64 holds.
pub fn whole_of(value: f64) -> Option<i64> {
    /// 2^63: the first double beyond i64.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() != 0.0 || !(-BEYOND..BEYOND).contains(&value) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and in range, checked above"
    )]
    let whole = value as i64;
    Some(whole)
}

/// The letters of a 1-based column, as spreadsheet programs show them: 1 is `A`, 27 is `AA`.
pub fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).expect("below 26");
        letters.push(b'A' + digit);
        rest = (rest - 1) / 26;
    }
    letters.reverse();
    String::from_utf8(letters).expect("ASCII letters")
}

#[cfg(test)]
mod tests;

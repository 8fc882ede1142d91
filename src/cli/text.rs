//! Numbers, values, names and tables as people read them.

use std::borrow::Cow;
use std::fmt;

use crate::cli::terminal::escape;
use crate::proto::Value;
use crate::proto::value::Kind;

/// Characters of a cell's value that are shown.
const VALUE_CHARS_MAX: usize = 60;

/// A count with its thousands apart: `1,234,567`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        grouped.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 row`, `2 rows`.
pub(super) fn rows(number: i64) -> String {
    format!(
        "{} {}",
        count(number),
        if number == 1 { "row" } else { "rows" }
    )
}

/// Rows a second.
pub(super) fn rate(rows_per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded for display; a rate beyond i64 saturates"
    )]
    let whole = rows_per_second.round() as i64;
    format!("{} rows/s", count(whole))
}

/// Seconds, in the unit that suits.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{:.0} min {:02.0} s",
            (seconds / 60.0).floor(),
            (seconds % 60.0).floor()
        )
    }
}

/// A cell's value in quotes, escaped and cut.
pub(super) fn value(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(VALUE_CHARS_MAX).collect();
    let rest = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("\"{}{rest}\"", escape(&shown))
}

/// A value of the contract; NULL is empty.
pub(super) fn contract_value(value: &Value) -> String {
    let Some(kind) = &value.kind else {
        return String::new();
    };
    match kind {
        Kind::BoolValue(value) => value.to_string(),
        Kind::IntValue(value) => value.to_string(),
        Kind::DoubleValue(value) => value.to_string(),
        Kind::StringValue(text)
        | Kind::DecimalValue(text)
        | Kind::DateValue(text)
        | Kind::TimeValue(text) => text.chars().take(VALUE_CHARS_MAX).collect(),
        Kind::BytesValue(bytes) => format!("{} bytes", bytes.len()),
        Kind::TimestampValue(timestamp) => time(timestamp.seconds),
        Kind::Unset(_) => String::new(),
    }
}

/// The name of an enum's value without the prefix that the contract demands.
pub(super) fn short_name<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// Seconds and nanoseconds since 1970 as ISO 8601, to the second.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

/// Columns of text, each as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A grid with these headings.
    pub(super) fn new(headings: &[&str]) -> Grid {
        Grid {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| escape(heading).into_owned())
                    .collect(),
            ],
        }
    }

    /// Adds a row.
    pub(super) fn push<const N: usize>(&mut self, cells: [Cow<'_, str>; N]) {
        self.push_row(cells.into_iter());
    }

    /// Adds a row of any number of cells.
    pub(super) fn push_row<T: AsRef<str>>(&mut self, cells: impl Iterator<Item = T>) {
        let cells = cells.map(|cell| escape(cell.as_ref()).into_owned());
        self.rows.push(cells.collect());
    }

    /// The lines from the headings on.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; n_columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.rows.iter().map(move |row| {
            let line = GridLine {
                row,
                widths: &widths,
            }
            .to_string();
            line.trim_end().to_owned()
        })
    }
}

struct GridLine<'a> {
    row: &'a [String],
    widths: &'a [usize],
}

impl fmt::Display for GridLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cell, width) in self.row.iter().zip(self.widths) {
            write!(f, "{cell:width$}  ")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Rejected rows as a file: the source's own columns, then the row's number and what is wrong.
//!
//! In: a [`SourceLayout`] and [`RejectedRow`]s by ordinal. Out: a CSV's bytes piece by piece
//! ([`csv`]), or a workbook ([`xlsx`]). Bounded: nothing is kept but the row that is written and,
//! for a workbook, its file. Synchronous; the values are whole or the export fails.
//!
//! ```text
//! | header of the source | extra cells, no header | rowlift_row_number | rowlift_errors |
//! ```

use crate::disk::Full;
use crate::model::cell::column_letters;
use crate::model::import::{Failure, FileFormat, Reason};
use crate::model::layout::{OWN_COLUMNS, SourceLayout};
use crate::model::reject::{CellError, RejectedRow};
use thiserror::Error;

pub mod csv;
pub mod xlsx;

/// Bytes of a row's errors in an export: a cell of a workbook holds so many characters.
const ERRORS_BYTES_MAX: usize = 30_000;

/// The columns of an export.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Of the source, as many as its widest row has, then ours.
    names: Vec<String>,
    /// How many of them are the source's.
    n_source: usize,
    /// Cells have names such as `F1042`.
    is_file: bool,
}

/// One row of an export.
#[derive(Debug)]
pub struct Line<'a> {
    /// Cells of the source; may be fewer than its columns.
    pub values: &'a [String],
    /// Our cells.
    pub own: Vec<String>,
    /// Indexes of the source's columns whose cells are wrong.
    pub marked: Vec<usize>,
}

/// Why there is no export.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ExportError {
    /// A workbook cannot hold it, or could not be imported again.
    #[error("{what}; export as CSV")]
    Limit {
        /// What is beyond which bound.
        what: String,
        /// The bound's name.
        limit: &'static str,
        /// What would be needed.
        value: u64,
    },
    /// The workbook cannot be written.
    #[error("the workbook cannot be written to the spool directory: {0}")]
    Io(String),
    /// What all temporary files may take is taken.
    #[error("{0}")]
    Full(Full),
    /// The values were never stored, have been deleted, or their time is over.
    #[error("the values of row {row_number} are not kept")]
    Expired {
        /// Its number.
        row_number: u64,
    },
}

// === impl Columns ===

impl Columns {
    /// Columns for rows of at most `width` cells with content.
    pub fn new(layout: &SourceLayout, width: usize) -> Columns {
        let n_source = layout.names.len().max(width);
        let mut names = layout.names.clone();
        names.resize(n_source, String::new());
        if !layout.has_header {
            // Under a header, content without a name would be EXTRA_CELLS.
            for (index, name) in names.iter_mut().enumerate() {
                if name.is_empty() {
                    *name = format!("column {}", index + 1);
                }
            }
        }
        let is_file = layout.format.is_some();
        names.extend(own_names(is_file).iter().map(|&name| name.to_owned()));
        Columns {
            names,
            n_source,
            is_file,
        }
    }

    /// The header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many columns are the source's; ours follow.
    pub fn n_source(&self) -> usize {
        self.n_source
    }

    /// A row under this header.
    pub fn line<'a>(&self, row: &'a RejectedRow) -> Result<Line<'a>, ExportError> {
        // A row without a cell is blank and is not rejected, and sent rows have all their columns:
        // the values were forgotten.
        if row.raw_values.is_empty() {
            let row_number = row.row_number;
            return Err(ExportError::Expired { row_number });
        }
        let n_values = row.raw_values.len().min(self.n_source);
        // Beyond stands nothing that an import reads: the widest row was looked for.
        let (values, _) = row.raw_values.split_at(n_values);
        let mut own = Vec::with_capacity(OWN_COLUMNS.len());
        if !self.is_file {
            own.push(row.sheet.clone());
        }
        own.push(row.row_number.to_string());
        own.push(errors(row));
        let marked = row.errors.iter().filter_map(|error| self.index_of(error));
        Ok(Line {
            values,
            own,
            marked: marked.collect(),
        })
    }

    /// The source's column that an error is about.
    fn index_of(&self, error: &CellError) -> Option<usize> {
        let index = if self.is_file {
            column_of(&error.cell)
        } else {
            let names = &self.names[..self.n_source];
            names.iter().position(|name| *name == error.source_name)
        };
        index.filter(|index| *index < self.n_source)
    }
}

/// Our columns.
fn own_names(is_file: bool) -> &'static [&'static str] {
    if is_file {
        &OWN_COLUMNS[1..]
    } else {
        &OWN_COLUMNS
    }
}

/// How many of the row's cells are needed to have all content.
pub fn width(row: &RejectedRow) -> usize {
    let last = row.raw_values.iter().rposition(|it| !is_blank(it));
    last.map_or(0, |last| last + 1)
}

/// Whether an import takes the cell for an empty one.
fn is_blank(value: &str) -> bool {
    value.trim_matches([' ', '\u{a0}', '\u{3000}']).is_empty()
}

/// The 0-based column of a cell such as `F1042`.
fn column_of(cell: &str) -> Option<usize> {
    let letters = cell.trim_end_matches(|it: char| it.is_ascii_digit());
    let number = letters.bytes().try_fold(0_u32, |number, letter| {
        let digit = letter.is_ascii_uppercase().then(|| letter - b'A' + 1)?;
        number.checked_mul(26)?.checked_add(u32::from(digit))
    })?;
    usize::try_from(number.checked_sub(1)?).ok()
}

/// Everything that is wrong with the row, for a person.
fn errors(row: &RejectedRow) -> String {
    let mut text = String::new();
    for (index, error) in row.errors.iter().enumerate() {
        let place = if error.cell.is_empty() {
            &error.column
        } else {
            &error.cell
        };
        let told = match place.as_str() {
            "" => format!("{}: {}", error.code.name(), error.message),
            place => format!("{place} {}: {}", error.code.name(), error.message),
        };
        if text.len() + told.len() > ERRORS_BYTES_MAX && index > 0 {
            let n_more = row.errors.len() - index;
            let more = format!("; and {n_more} more");
            text.push_str(&more);
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.extend(told.chars().take(ERRORS_BYTES_MAX / 4));
    }
    text
}

/// A name for the file: that of the source without its folders, else the import's.
pub fn file_name(source: &str, import_id: &str, format: FileFormat) -> String {
    /// Characters of the source's name.
    const STEM_CHARS_MAX: usize = 64;
    let name = source.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    let stem: String = stem.chars().filter(is_kept).take(STEM_CHARS_MAX).collect();
    let stem = match stem.trim() {
        "" => import_id,
        stem => stem,
    };
    let extension = match format {
        FileFormat::Csv => "csv",
        _ => "xlsx",
    };
    format!("{stem}-rejected-rows.{extension}")
}

impl From<Full> for ExportError {
    fn from(full: Full) -> ExportError {
        ExportError::Full(full)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Failure {
        let message = error.to_string();
        match error {
            ExportError::Limit { limit, value, .. } => Failure::new(Reason::LimitExceeded, message)
                .with("limit", limit)
                .with("value", value),
            ExportError::Full(full) => full.into(),
            ExportError::Io(_) => Failure::new(Reason::DiskFull, message),
            ExportError::Expired { .. } => Failure::new(Reason::WrongState, message),
        }
    }
}

/// A cell of the source for a message, as the export has it.
fn place(column: usize, row: u32) -> String {
    let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
    format!("{}{}", column_letters(column), row + 1)
}

#[cfg(test)]
mod tests;

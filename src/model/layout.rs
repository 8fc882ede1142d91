//! How a source was laid out, and how its rejected rows are laid out when they are handed back.
//!
//! An export of rejected rows has the source's own columns and, behind them, columns of ours
//! ([`OWN_COLUMNS`]). Sent again, ours are recognised by their names at the end of the header and
//! not read.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::import::FileFormat;

/// The row's sheet as the caller named it; in exports of row imports only.
pub const SHEET_COLUMN: &str = "rowlift_sheet";
/// The row's number in the source.
pub const ROW_NUMBER_COLUMN: &str = "rowlift_row_number";
/// Everything that is wrong with the row.
pub const ERRORS_COLUMN: &str = "rowlift_errors";
/// Our columns, from the left; the first may be missing.
pub const OWN_COLUMNS: [&str; 3] = [SHEET_COLUMN, ROW_NUMBER_COLUMN, ERRORS_COLUMN];

/// What the ledger keeps of a source, so that its rejected rows can be handed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLayout {
    /// The format of the file; `None`: a row import.
    pub format: Option<FileFormat>,
    /// The sheet that was read; empty for CSV and row imports.
    pub sheet: String,
    /// The header's names in source order, as the source spells them, without those of ours. For a
    /// source without a header: the columns of the table that its positions feed, empty where a
    /// position feeds none.
    pub names: Vec<String>,
    /// Whether the source had a header.
    pub has_header: bool,
}

/// Where our columns are in a header: its last names, but for blank ones. `None`: it is not that
/// of an export.
pub fn own_columns(names: &[String]) -> Option<Range<usize>> {
    let n_names = names.iter().rposition(|name| !name.trim().is_empty())? + 1;
    let names = &names[..n_names];
    let ends_with = |own: &[&str]| {
        let start = n_names.checked_sub(own.len())?;
        let is_own = names[start..]
            .iter()
            .zip(own)
            .all(|(name, own)| name == own);
        is_own.then_some(start..n_names)
    };
    ends_with(&OWN_COLUMNS).or_else(|| ends_with(&OWN_COLUMNS[1..]))
}

#[cfg(test)]
mod tests;

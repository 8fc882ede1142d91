//! What is asked of the ledger, and the larger of its answers.
//!
//! In: filters and places to go on from. Out: pages, each bounded by what its question says.

use std::collections::BTreeMap;

use crate::model::import::ImportState;
use crate::model::layout::SourceLayout;
use crate::model::reject::{RejectedRow, RowErrorCode};

/// A file as the look-up for duplicates sees it.
#[derive(Debug, Clone, Copy)]
pub struct SameFile<'a> {
    /// Whose imports count.
    pub owner: &'a str,
    /// Of which tenant; empty: of none.
    pub tenant: &'a str,
    /// Into which table, `schema.name`.
    pub table: &'a str,
    /// Of the bytes as sent.
    pub sha256: [u8; 32],
    /// The import that asks, which does not count.
    pub import_id: &'a str,
}

/// Filter and page of a list of imports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportFilter {
    /// Only this state.
    pub state: Option<ImportState>,
    /// Only this table (`schema.name`); empty: any.
    pub table: String,
    /// Only imports with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only this tenant; empty: any.
    pub tenant: String,
    /// Only imports older than this `imports.id` (the last of the previous page).
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A page of rejected rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedPage {
    /// By ordinal.
    pub rows: Vec<RejectedRow>,
    /// All rejected rows of the import that the filter lets through.
    pub total: u64,
    /// Whether there are rows after these.
    pub more: bool,
}

/// An import's rejected rows as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedSource {
    /// `imports.id`.
    pub import: i64,
    /// Rejected rows.
    pub n_rows: u64,
    /// How their source is laid out; `None`: it was not noted, or it is forgotten.
    pub layout: Option<SourceLayout>,
}

/// Which of an import's rejected rows are wanted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedQuery {
    /// Only rows with an error of this code.
    pub code: Option<RowErrorCode>,
    /// Only rows after this ordinal.
    pub after: Option<u64>,
    /// At most so many rows.
    pub rows_max: u32,
    /// No more rows once those before take so many bytes as stored: a single row may be larger.
    pub bytes_max: u32,
}

//! From rows as read to typed rows: which cell feeds which column, and what it becomes there.
//!
//! In: a [`Table`](crate::model::table::Table), a [`MappingSpec`] and the source's column names,
//! once; then [`FrameRow`](crate::model::frame::FrameRow)s. Out: values in a
//! [`RowBuffer`](crate::model::value::RowBuffer), or a
//! [`RejectedRow`](crate::model::reject::RejectedRow) with every error of the row at once.
//! Synchronous and pure: no clock, no IO; a row costs no allocation unless it is rejected.

use jiff::tz::TimeZone;

use crate::model::frame::Frame;
use crate::model::reject::SourceKind;

/// What the caller asks for, once its names and numbers are checked.
#[derive(Debug, Clone)]
pub struct MappingSpec {
    /// Empty: by header name. Otherwise the whole mapping.
    pub columns: Vec<ColumnRule>,
    /// What source columns do that nothing maps.
    pub unmapped_source: UnmappedSource,
    /// How cells are read.
    pub mode: CellMode,
    /// Rejects carry cell references or not.
    pub source_kind: SourceKind,
    /// Exact cell texts that are NULL.
    pub null_tokens: Vec<String>,
    /// For date-times without an offset.
    pub time_zone: Option<TimeZone>,
    /// Of numbers in text cells; `None`: `.` and no grouping.
    pub decimal_separator: Option<DecimalSeparator>,
    /// Of dates such as 01/02/2024; `None`: such dates are AMBIGUOUS_VALUE.
    pub date_order: Option<DateOrder>,
    /// For row contexts.
    pub context: ImportContext,
}

/// One entry of an explicit mapping.
#[derive(Debug, Clone)]
pub struct ColumnRule {
    /// Where values come from.
    pub source: ColumnSource,
    /// Column of the table, by its exact name.
    pub target_column: String,
    /// strftime pattern for dates and times in text cells; empty: none.
    pub format: String,
    /// What an empty cell does.
    pub on_empty: EmptyAction,
    /// UPDATE: written for new rows only.
    pub insert_only: bool,
}

/// Where a column's values come from.
#[derive(Debug, Clone)]
pub enum ColumnSource {
    /// The source column with this header.
    Name(String),
    /// The source column at this 1-based position.
    Position(u32),
    /// The same in every row: a frame of one row with one cell, taken as sent.
    Constant(Box<Frame>),
    /// Something Rowlift knows.
    Context(RowContext),
}

/// What a row context stands for; the same over resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowContext {
    /// The import's id.
    ImportId,
    /// The row's number as a person finds it.
    RowNumber,
    /// The row's sheet.
    Sheet,
    /// When the import began.
    CreateTime,
}

/// Values of row contexts that are the same for the whole import.
#[derive(Debug, Clone, Default)]
pub struct ImportContext {
    /// The import's id.
    pub import_id: String,
    /// When the import began, milliseconds since 1970.
    pub create_time_ms: i64,
    /// The sheet of a workbook.
    pub sheet: String,
}

/// What source columns do that nothing maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmappedSource {
    /// They fail the import before a row is written.
    Fail,
    /// They are not read.
    Ignore,
}

/// How cells are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellMode {
    /// By cells.md: trimmed, empty is NULL, text is converted. Files, and row imports on request.
    Cells,
    /// As sent: no trimming, `''` is the empty string, no rounding. Row imports.
    Exact,
}

/// The decimal separator of numbers in text; the other of the two groups digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalSeparator {
    /// `1,234.50`
    Point,
    /// `1.234,50`
    Comma,
}

/// Order of day, month and year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// 31/12/2024
    Dmy,
    /// 12/31/2024
    Mdy,
    /// 2024/12/31
    Ymd,
}

/// What an empty cell does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyAction {
    /// A new row gets the default, else NULL, else REQUIRED_MISSING; an updated one keeps its value.
    #[default]
    Automatic,
    /// NULL.
    Null,
    /// The column's default.
    Default,
    /// An updated row keeps its value; a new one gets the default.
    Keep,
    /// REQUIRED_MISSING.
    Reject,
}

//! From rows as read to typed rows: which cell feeds which column, and what it becomes there.
//!
//! In: a [`Table`], a [`MappingSpec`] and the source's column names, once; then [`FrameRow`]s.
//! Out: values in a [`RowBuffer`], or a [`RejectedRow`] with every error of the row at once.
//! Bounded: one row at a time, and nothing is kept between rows. Synchronous and pure: no clock,
//! no IO, nothing to cancel; a row costs no allocation unless it is rejected or a cell has to be
//! spelled anew.
//!
//! ```text
//! Table, MappingSpec, SourceColumns ─▶ resolve (header) ─▶ Mapping
//!                                                             │
//! FrameRow ─▶ row ─▶ coerce, cell by cell ──┬─ all well ──▶ RowBuffer
//!                                           └─ any fault ─▶ describe ─▶ RejectedRow
//! ```

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::mapping::coerce::{Settings, Target};
use crate::mapping::conflict::ConflictSpec;
use crate::model::frame::{Frame, FrameRow};
use crate::model::import::Failure;
use crate::model::plan::{OnConflict, PlannedColumn};
use crate::model::reject::{RejectedRow, SourceKind};
use crate::model::table::Table;
use crate::model::value::RowBuffer;

pub mod conflict;
mod coerce;
mod describe;
pub mod guess;
mod header;
pub mod plain;
pub mod propose;
mod resolve;
mod row;
mod words;

/// The source's columns as the decoder or the caller names them.
#[derive(Debug, Clone, Copy)]
pub struct SourceColumns<'a> {
    /// The header's cells, untrimmed, from the left; blank ones at the end are no columns. Empty
    /// where there is no header.
    pub names: &'a [String],
    /// Without a header, columns are mapped by position.
    pub has_header: bool,
    /// What messages call the source, such as `sheet "Q3"`; empty: nothing.
    pub where_: &'a str,
}

/// A resolved mapping: every row of an import goes through the same one.
#[derive(Debug, Clone)]
pub struct Mapping {
    table: Arc<Table>,
    /// Targets with a source column, ascending by it.
    fed: Vec<(usize, Target)>,
    /// Targets whose values do not come from cells, after those of `fed` in a row.
    given: Vec<(Given, Target)>,
    /// One for each of `fed` and `given`, in their order.
    effective: Vec<EffectiveColumn>,
    settings: Settings,
    source_kind: SourceKind,
    n_source_columns: usize,
    /// See [`Mapping::unread`].
    unread: Vec<usize>,
    /// What content in a cell means that feeds nothing.
    strays: Strays,
    /// The sheet of a workbook, for rejects and row contexts.
    sheet: String,
    on_conflict: OnConflict,
}

/// A value that is not read from a cell.
#[derive(Debug, Clone)]
enum Given {
    /// Evaluated when the mapping was resolved: one row of one value.
    Fixed(RowBuffer),
    /// The row's number.
    RowNumber,
    /// The row's sheet, where every row may have its own.
    Sheet,
}

/// Source columns in which content is EXTRA_CELLS; none of them feeds anything.
#[derive(Debug, Clone)]
struct Strays {
    /// Columns without a name between columns with one, ascending.
    unnamed: Vec<usize>,
    /// From this column on; `None`: nowhere.
    beyond: Option<usize>,
}

/// One column of the mapping in force, for reports.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveColumn {
    /// Where its values come from: the header as the source spells it where there is one, else
    /// the position; constants and contexts as they were asked for.
    pub source: ColumnSource,
    /// The header above the cells, as the source spells it; empty where there is none.
    pub source_name: String,
    /// 1-based position of the source column; `None` for constants and contexts.
    pub source_index: Option<u32>,
    /// Column of the table.
    pub target_column: String,
    /// strftime pattern; empty: none.
    pub format: String,
    /// What an empty cell does.
    pub on_empty: EmptyAction,
    /// UPDATE: written for new rows only.
    pub insert_only: bool,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its values are in the buffer.
    Mapped,
    /// It has no content; counted, nothing written.
    Blank,
    /// It will not be in the table.
    Rejected(RejectedRow),
}

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
    /// What a row does that meets an existing key.
    pub conflict: ConflictSpec,
}

impl MappingSpec {
    /// A file without any options, mapped by its header.
    pub fn of_file() -> MappingSpec {
        MappingSpec {
            columns: Vec::new(),
            unmapped_source: UnmappedSource::Fail,
            mode: CellMode::Cells,
            source_kind: SourceKind::File,
            null_tokens: Vec::new(),
            time_zone: None,
            decimal_separator: None,
            date_order: None,
            context: ImportContext::default(),
            conflict: ConflictSpec::default(),
        }
    }
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
#[derive(Debug, Clone, PartialEq)]
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

// === impl Mapping ===

impl Mapping {
    /// Decides which source column feeds which column of `table`.
    ///
    /// Every problem is reported at once, as one [`Failure`] with reason COLUMN_MAPPING: unknown,
    /// duplicate and missing columns, targets that may not be filled, constants that do not fit.
    ///
    /// Header cells that are blank feed nothing: those at the end are no columns at all, those in
    /// between are columns without a name. Content below them is EXTRA_CELLS, except that nothing
    /// below an unnamed column in between is read under [`UnmappedSource::Ignore`].
    ///
    /// The columns of ours at the end of an [export of rejected rows](crate::model::layout) are no
    /// columns of a file's source unless a rule names them.
    pub fn resolve(
        table: &Arc<Table>,
        spec: &MappingSpec,
        source: SourceColumns<'_>,
    ) -> Result<Mapping, Failure> {
        resolve::resolve(table, spec, source)
    }

    /// The mapped columns, in the order of the values in a row.
    pub fn planned_columns(&self) -> Vec<PlannedColumn> {
        let fed = self.fed.iter().map(|(at, target)| (Some(*at), target));
        let given = self.given.iter().map(|(_, target)| (None, target));
        fed.chain(given)
            .zip(&self.effective)
            .map(|((source_index, target), effective)| PlannedColumn {
                table_column: target.table_column,
                source_index,
                source_name: effective.source_name.clone(),
                insert_only: effective.insert_only,
            })
            .collect()
    }

    /// The mapping in force, one entry for each of [`Mapping::planned_columns`].
    pub fn effective(&self) -> &[EffectiveColumn] {
        &self.effective
    }

    /// Columns that the source has: those of its header, else up to the last that is mapped.
    pub fn n_source_columns(&self) -> usize {
        self.n_source_columns
    }

    /// Columns that are not the source's but ours, see [`crate::model::layout`]: whoever reads the
    /// source leaves out what stands there. Ascending indexes, without those that a rule reads.
    pub fn unread(&self) -> &[usize] {
        &self.unread
    }

    /// What a row does that meets an existing key.
    pub fn on_conflict(&self) -> OnConflict {
        self.on_conflict.clone()
    }

    /// Whether the row has no content, so that [`Mapping::map_row`] would call it blank.
    pub fn is_blank(&self, row: FrameRow<'_>) -> bool {
        row::is_blank(self, row)
    }

    /// The table that the mapping was resolved against.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Turns one row into values of `out`, whose width is that of [`Mapping::planned_columns`].
    ///
    /// A row that is not `Mapped` leaves no row in `out`. Rows of files without any content are
    /// `Blank`; rows of row imports are always rows.
    ///
    /// # Panics
    /// If `out` is of another width, or ends in an incomplete row.
    pub fn map_row(&self, row: FrameRow<'_>, out: &mut RowBuffer) -> Verdict {
        row::map_row(self, row, out)
    }
}

#[cfg(test)]
mod tests;

//! Rejected rows: where they stood, what is wrong with each cell, and what they held.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::cell::{Cell, column_letters};
use crate::model::frame::FrameRow;
use crate::model::plan::WritePlan;

/// What an error's message becomes once values are not kept.
const NOT_KEPT: &str = "the value is not kept";

/// Why a cell or row is not in the table. Numbers are those of the contract and of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum RowErrorCode {
    /// No value for a column that needs one.
    RequiredMissing = 1,
    /// The value is not of the column's type.
    TypeMismatch = 2,
    /// Of the type, but beyond its range.
    OutOfRange = 3,
    /// More characters than the column holds.
    TooLong = 4,
    /// Digits or a time of day would be lost.
    PrecisionLoss = 5,
    /// Could mean two things, e.g. 01/02/2024.
    AmbiguousValue = 6,
    /// Not a label of the enum.
    InvalidEnum = 7,
    /// Bytes that do not decode, or U+0000.
    InvalidText = 8,
    /// An error value such as #N/A.
    CellError = 9,
    /// A formula that was never computed.
    FormulaWithoutValue = 10,
    /// Content beyond the last header column.
    ExtraCells = 11,
    /// A unique key has this value already.
    UniqueViolation = 12,
    /// The referenced row does not exist.
    ForeignKeyViolation = 13,
    /// A check constraint refuses the row.
    CheckViolation = 14,
    /// An exclusion constraint refuses the row.
    ExclusionViolation = 15,
    /// The database refuses the row for another reason, a trigger's own included.
    Database = 16,
    /// UPDATE with on_missing REJECT: no row has this key.
    NoMatch = 17,
}

/// A row that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Position in the import, 0-based.
    pub ordinal: u64,
    /// Sheet of the workbook, or the caller's name for it; empty for CSV.
    pub sheet: String,
    /// As a person finds it; see [`FrameRow::row_number`].
    pub row_number: u64,
    /// Everything that is wrong; never empty.
    pub errors: Vec<CellError>,
    /// The row as read, as text, never truncated here.
    pub raw_values: Vec<String>,
}

/// One thing that is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellError {
    /// Why.
    pub code: RowErrorCode,
    /// Target column; empty for an error of the whole row.
    pub column: String,
    /// Such as `F1042`; empty for row imports and errors of the whole row.
    pub cell: String,
    /// For a person: lowercase, no full stop, escaped.
    pub message: String,
    /// The cell as text.
    pub value: String,
    /// The database's constraint; empty where none is involved.
    pub constraint: String,
    /// The database's SQLSTATE; empty where it was not asked.
    pub sql_state: String,
    /// The header above the cell.
    pub source_name: String,
    /// What the message says, for callers that write their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// What a store says of a row that the database refused, before it is put in the source's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowViolation {
    /// Why.
    pub code: RowErrorCode,
    /// Constraint by its catalogue name, without a shard's suffix; empty if none.
    pub constraint: String,
    /// Column where the database names one and no constraint does; empty otherwise.
    pub column: String,
    /// SQLSTATE; empty where a probe, not an error, found it.
    pub sql_state: String,
    /// For a person; values escaped and cut.
    pub message: String,
}

/// Whether the source has cell references that a person can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Cells have names such as `F1042`.
    File,
    /// Row imports: no cell names.
    Rows,
}

impl RowErrorCode {
    /// All codes, by number.
    pub const ALL: [RowErrorCode; 17] = [
        RowErrorCode::RequiredMissing,
        RowErrorCode::TypeMismatch,
        RowErrorCode::OutOfRange,
        RowErrorCode::TooLong,
        RowErrorCode::PrecisionLoss,
        RowErrorCode::AmbiguousValue,
        RowErrorCode::InvalidEnum,
        RowErrorCode::InvalidText,
        RowErrorCode::CellError,
        RowErrorCode::FormulaWithoutValue,
        RowErrorCode::ExtraCells,
        RowErrorCode::UniqueViolation,
        RowErrorCode::ForeignKeyViolation,
        RowErrorCode::CheckViolation,
        RowErrorCode::ExclusionViolation,
        RowErrorCode::Database,
        RowErrorCode::NoMatch,
    ];

    /// The number in contract and ledger.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name without the contract's prefix, such as `REQUIRED_MISSING`.
    pub fn name(self) -> &'static str {
        match self {
            RowErrorCode::RequiredMissing => "REQUIRED_MISSING",
            RowErrorCode::TypeMismatch => "TYPE_MISMATCH",
            RowErrorCode::OutOfRange => "OUT_OF_RANGE",
            RowErrorCode::TooLong => "TOO_LONG",
            RowErrorCode::PrecisionLoss => "PRECISION_LOSS",
            RowErrorCode::AmbiguousValue => "AMBIGUOUS_VALUE",
            RowErrorCode::InvalidEnum => "INVALID_ENUM",
            RowErrorCode::InvalidText => "INVALID_TEXT",
            RowErrorCode::CellError => "CELL_ERROR",
            RowErrorCode::FormulaWithoutValue => "FORMULA_WITHOUT_VALUE",
            RowErrorCode::ExtraCells => "EXTRA_CELLS",
            RowErrorCode::UniqueViolation => "UNIQUE_VIOLATION",
            RowErrorCode::ForeignKeyViolation => "FOREIGN_KEY_VIOLATION",
            RowErrorCode::CheckViolation => "CHECK_VIOLATION",
            RowErrorCode::ExclusionViolation => "EXCLUSION_VIOLATION",
            RowErrorCode::Database => "DATABASE",
            RowErrorCode::NoMatch => "NO_MATCH",
        }
    }

    /// The code with this number.
    pub fn from_number(number: u8) -> Option<RowErrorCode> {
        RowErrorCode::ALL
            .into_iter()
            .find(|code| code.number() == number)
    }
}

impl RejectedRow {
    /// What is kept of the row once its values are not: where it stood, and the code, column, cell
    /// and constraint of each error. Messages quote values, a header may be a row of data by
    /// mistake; neither stays. This is the one place that says what of a rejected row is a value.
    #[must_use]
    pub fn without_values(&self) -> RejectedRow {
        let errors = self.errors.iter().map(CellError::without_values);
        RejectedRow {
            ordinal: self.ordinal,
            sheet: self.sheet.clone(),
            row_number: self.row_number,
            errors: errors.collect(),
            raw_values: Vec::new(),
        }
    }

    /// Bytes that the row holds in memory.
    pub fn n_bytes(&self) -> usize {
        let errors = self.errors.iter().map(CellError::n_bytes);
        let values = self
            .raw_values
            .iter()
            .map(|value| value.len() + size_of::<String>());
        size_of::<RejectedRow>() + errors.sum::<usize>() + values.sum::<usize>()
    }

    /// Whether the database refused it, rather than the mapping.
    pub fn is_from_database(&self) -> bool {
        self.errors
            .iter()
            .any(|error| error.code >= RowErrorCode::UniqueViolation || !error.sql_state.is_empty())
    }

    /// Puts a database's refusal of `row` in the source's words: one error for each mapped column
    /// of the constraint, else one for the named column, else one for the whole row.
    pub fn from_violation(
        plan: &WritePlan,
        source: SourceKind,
        sheet: &str,
        row: FrameRow<'_>,
        violation: &RowViolation,
    ) -> RejectedRow {
        let raw_values = raw_values(row.cells());
        let named = std::slice::from_ref(&violation.column);
        let columns = match plan.table.constraint_columns(&violation.constraint) {
            [] if violation.column.is_empty() => &[],
            [] => named,
            columns => columns,
        };
        let mapped = columns.iter().filter_map(|column| plan.index_of(column));
        let mut errors: Vec<CellError> = mapped
            .map(|index| {
                let planned = &plan.columns[index];
                let value = planned
                    .source_index
                    .and_then(|at| raw_values.get(at).cloned());
                CellError {
                    code: violation.code,
                    column: plan.column(index).name.clone(),
                    cell: cell_reference(source, planned.source_index, row.row_number),
                    message: violation.message.clone(),
                    value: value.unwrap_or_default(),
                    constraint: violation.constraint.clone(),
                    sql_state: violation.sql_state.clone(),
                    source_name: planned.source_name.clone(),
                    params: BTreeMap::new(),
                }
            })
            .collect();
        if errors.is_empty() {
            errors.push(CellError {
                code: violation.code,
                column: String::new(),
                cell: String::new(),
                message: violation.message.clone(),
                value: String::new(),
                constraint: violation.constraint.clone(),
                sql_state: violation.sql_state.clone(),
                source_name: String::new(),
                params: BTreeMap::new(),
            });
        }
        let sheet = if row.sheet.is_empty() {
            sheet
        } else {
            row.sheet
        };
        RejectedRow {
            ordinal: row.ordinal,
            sheet: sheet.to_owned(),
            row_number: row.row_number,
            errors,
            raw_values,
        }
    }
}

impl CellError {
    /// See [`RejectedRow::without_values`].
    fn without_values(&self) -> CellError {
        CellError {
            code: self.code,
            column: self.column.clone(),
            cell: self.cell.clone(),
            message: NOT_KEPT.to_owned(),
            value: String::new(),
            constraint: self.constraint.clone(),
            sql_state: self.sql_state.clone(),
            source_name: String::new(),
            params: BTreeMap::new(),
        }
    }

    /// Bytes that the error holds in memory.
    fn n_bytes(&self) -> usize {
        let texts = [
            &self.column,
            &self.cell,
            &self.message,
            &self.value,
            &self.constraint,
            &self.sql_state,
            &self.source_name,
        ];
        let params = self
            .params
            .iter()
            .map(|(key, value)| key.len() + value.len() + 64);
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        size_of::<CellError>() + texts + params.sum::<usize>()
    }
}

/// The name of a cell such as `F1042`; empty for row imports and for values without a cell.
pub fn cell_reference(source: SourceKind, source_index: Option<usize>, row_number: u64) -> String {
    match (
        source,
        source_index.and_then(|index| u32::try_from(index + 1).ok()),
    ) {
        (SourceKind::File, Some(column)) => format!("{}{row_number}", column_letters(column)),
        _ => String::new(),
    }
}

/// The cells of a row as text, for [`RejectedRow::raw_values`].
pub fn raw_values<'a>(cells: impl Iterator<Item = Cell<'a>>) -> Vec<String> {
    cells.map(|cell| cell.to_string()).collect()
}

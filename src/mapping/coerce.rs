//! What one cell becomes in one column: cells.md as code.
//!
//! In: a [`Cell`] and the [`Target`] that it feeds. Out: a [`Value`] that keeps the promises of
//! [`crate::model::value`], or a [`Fault`]. Text that has to be spelled anew goes through a
//! [`Scratch`] of the caller's, so a clean row allocates at most once. Bounded by the cell and,
//! for numbers with exponents, by the digits that PostgreSQL's numeric holds.
//!
//! Kinds of cells that files make follow the table of cells.md in either mode; kinds that row
//! imports make are exact in either mode. Text and booleans are made by both: the mode decides.

use jiff::tz::TimeZone;

use crate::mapping::{CellMode, DateOrder, DecimalSeparator, EmptyAction};
use crate::model::cell::Cell;
use crate::model::reject::RowErrorCode;
use crate::model::table::{Column, ColumnType};
use crate::model::value::Value;

mod calendar;
mod date;
mod decimal;
mod exact;
mod json;
mod number;
mod serial;
mod text;

pub(super) use date::check_format;
pub(super) use serial::{Meaning, duration_meaning, meaning};

/// What a column takes, once it is mapped.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Index into the table's columns.
    pub(super) table_column: usize,
    pub(super) ty: ColumnType,
    pub(super) nullable: bool,
    pub(super) has_default: bool,
    pub(super) on_empty: EmptyAction,
    /// strftime pattern; empty: none.
    pub(super) format: String,
    pub(super) role: Role,
}

/// What a column is for where rows may meet an existing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// New rows take its value; so do all rows where none meet.
    Inserted,
    /// Updated rows take it too: without a value they keep theirs.
    Updated,
    /// Rows meet by it: a row cannot do without.
    Key,
}

/// What all cells of an import have in common.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) mode: CellMode,
    pub(super) null_tokens: Vec<String>,
    pub(super) time_zone: Option<TimeZone>,
    pub(super) decimal_separator: Option<DecimalSeparator>,
    pub(super) date_order: Option<DateOrder>,
}

/// Room for values that are not spelled as their cell is.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A number without grouping and with a decimal point.
    plain: String,
    /// The value itself.
    text: String,
    /// The value of a bytea.
    bytes: Vec<u8>,
}

/// What is wrong with a cell; the message is made when somebody will read it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fault {
    pub(super) code: RowErrorCode,
    /// Follows the value in the message: `is not a whole number`.
    pub(super) what: &'static str,
    pub(super) bound: Bound,
}

// Cells that have no value for any column.
const CELL_ERROR: Fault = Fault::new(RowErrorCode::CellError, "is an error value");
const FORMULA_WITHOUT_VALUE: Fault = Fault::new(
    RowErrorCode::FormulaWithoutValue,
    "is a formula that no program has computed yet",
);
const INVALID_TEXT: Fault = Fault::new(RowErrorCode::InvalidText, "holds bytes that are not text");

/// Why a cell has no value of its own, whatever the column; `None`: it has one, or is empty.
pub(super) fn fault_of(cell: Cell<'_>) -> Option<Fault> {
    match cell {
        Cell::Error(_) => Some(CELL_ERROR),
        Cell::FormulaWithoutValue => Some(FORMULA_WITHOUT_VALUE),
        Cell::InvalidText(_) => Some(INVALID_TEXT),
        _ => None,
    }
}

/// The bound that a value broke, for the message and its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    None,
    Length { max: u32, length: usize },
    Whole { min: i64, max: i64 },
    Numeric { precision: i32, scale: i32 },
}

// === impl Fault ===

impl Fault {
    pub(super) const fn new(code: RowErrorCode, what: &'static str) -> Fault {
        Fault {
            code,
            what,
            bound: Bound::None,
        }
    }

    pub(super) const fn mismatch(what: &'static str) -> Fault {
        Fault::new(RowErrorCode::TypeMismatch, what)
    }

    const fn ambiguous(what: &'static str) -> Fault {
        Fault::new(RowErrorCode::AmbiguousValue, what)
    }

    const fn out_of_range(what: &'static str) -> Fault {
        Fault::new(RowErrorCode::OutOfRange, what)
    }

    const fn precision_loss(what: &'static str) -> Fault {
        Fault::new(RowErrorCode::PrecisionLoss, what)
    }

    const fn bounded(self, bound: Bound) -> Fault {
        Fault { bound, ..self }
    }
}

// === impl Scratch ===

impl Scratch {
    /// The digits of a whole number.
    pub(super) fn write_int(&mut self, value: i64) -> &str {
        exact::write_int(value, &mut self.text)
    }
}

// === impl Settings ===

impl Settings {
    /// The settings under which constants and row contexts are read: as sent.
    pub(super) fn exact(&self) -> Settings {
        Settings {
            mode: CellMode::Exact,
            ..self.clone()
        }
    }

    /// The cell that counts: in [`CellMode::Cells`] text is trimmed, empty text is `Empty`, and a
    /// null token is `Null`.
    #[inline]
    pub(super) fn read<'a>(&self, cell: Cell<'a>) -> Cell<'a> {
        match (self.mode, cell) {
            (CellMode::Cells, Cell::Text(text)) => {
                let text = trim(text);
                if text.is_empty() {
                    Cell::Empty
                } else if !self.null_tokens.is_empty() && self.is_null_token(text) {
                    Cell::Null
                } else {
                    Cell::Text(text)
                }
            }
            _ => cell,
        }
    }

    fn is_null_token(&self, text: &str) -> bool {
        self.null_tokens.iter().any(|token| trim(token) == text)
    }
}

/// Text without ASCII spaces, U+00A0 and U+3000 at its ends; tabs and newlines stay.
#[inline]
pub(super) fn trim(text: &str) -> &str {
    // Most cells begin and end in a byte that no blank has.
    let may_be_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | 0x80..));
    let bytes = text.as_bytes();
    if may_be_blank(bytes.first()) || may_be_blank(bytes.last()) {
        text.trim_matches([' ', '\u{a0}', '\u{3000}'])
    } else {
        text
    }
}

// === impl Target ===

impl Target {
    pub(super) fn new(
        table_column: usize,
        column: &Column,
        on_empty: EmptyAction,
        format: String,
        role: Role,
    ) -> Target {
        Target {
            table_column,
            ty: column.ty.clone(),
            nullable: column.nullable,
            has_default: column.has_default,
            on_empty,
            format,
            role,
        }
    }

    /// What `cell`, already [`read`](Settings::read), becomes in this column.
    #[inline]
    pub(super) fn coerce<'v>(
        &'v self,
        cell: Cell<'v>,
        settings: &Settings,
        scratch: &'v mut Scratch,
    ) -> Result<Value<'v>, Fault> {
        match cell {
            Cell::Text(text) => text::from_text(self, text, settings, scratch),
            _ => self.coerce_other(cell, settings, scratch),
        }
    }

    fn coerce_other<'v>(
        &'v self,
        cell: Cell<'v>,
        settings: &Settings,
        scratch: &'v mut Scratch,
    ) -> Result<Value<'v>, Fault> {
        match cell {
            Cell::Empty => self.absent(self.on_empty),
            Cell::Null => match self.on_empty {
                EmptyAction::Automatic => self.absent(EmptyAction::Null),
                action => self.absent(action),
            },
            Cell::Unset => self.absent(EmptyAction::Automatic),
            Cell::Error(_) => Err(CELL_ERROR),
            Cell::FormulaWithoutValue => Err(FORMULA_WITHOUT_VALUE),
            Cell::InvalidText(_) => Err(INVALID_TEXT),
            Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Time(text) => {
                text::from_text(self, text, settings, scratch)
            }
            Cell::Number(value) => number::from_number(self, value, None, scratch),
            Cell::ZerosNumber { value, shown } => {
                number::from_number(self, value, Some(shown), scratch)
            }
            Cell::Bool(value) => match settings.mode {
                CellMode::Cells => number::from_bool(self, value),
                CellMode::Exact => exact::from_bool(self, value),
            },
            Cell::DateSerial { serial, system } => {
                serial::from_serial(self, serial, system, settings, scratch)
            }
            Cell::Duration(days) => serial::from_duration(self, days, scratch),
            Cell::IsoDateTime(text) => date::from_iso_cell(self, text, settings, scratch),
            Cell::Int(value) => exact::from_int(self, value, scratch),
            Cell::Double(value) => exact::from_double(self, value, scratch),
            Cell::Bytes(bytes) => exact::from_bytes(self, bytes),
            Cell::Timestamp { seconds, nanos } => {
                exact::from_timestamp(self, seconds, nanos, scratch)
            }
        }
    }

    /// What no value becomes: see [`EmptyAction`]. A column without default that takes no NULL is
    /// REQUIRED_MISSING whatever the action says, because a new row could not be written; where
    /// rows may be updated, the store tells for the new ones. A key is always required.
    fn absent(&self, action: EmptyAction) -> Result<Value<'static>, Fault> {
        let value = match action {
            _ if self.role == Role::Key => None,
            EmptyAction::Automatic | EmptyAction::Keep if self.role == Role::Updated => {
                Some(Value::Unset)
            }
            EmptyAction::Default if self.role == Role::Updated => {
                if self.has_default {
                    Some(Value::Default)
                } else {
                    self.nullable.then_some(Value::Null)
                }
            }
            EmptyAction::Automatic | EmptyAction::Default | EmptyAction::Keep => {
                (self.has_default || self.nullable).then_some(Value::Unset)
            }
            EmptyAction::Null => self.nullable.then_some(Value::Null),
            EmptyAction::Reject => None,
        };
        value.ok_or(Fault::new(RowErrorCode::RequiredMissing, "needs a value"))
    }

    /// Text for the column's own rules: length, U+0000.
    #[inline]
    pub(super) fn fits<'v>(&self, text: &'v str) -> Result<Value<'v>, Fault> {
        let max = match self.ty {
            ColumnType::Varchar(max) => max,
            ColumnType::Char(max) => Some(max),
            _ => None,
        };
        if memchr::memchr(0, text.as_bytes()).is_some() {
            return Err(Fault::new(RowErrorCode::InvalidText, "holds U+0000"));
        }
        let Some(max) = max else {
            return Ok(Value::Text(text));
        };
        // A character takes at least one byte, so that short text need not be counted.
        let bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
        if text.len() > bytes_max {
            let length = text.chars().count();
            if length > bytes_max {
                let fault = Fault::new(RowErrorCode::TooLong, "is too long");
                return Err(fault.bounded(Bound::Length { max, length }));
            }
        }
        Ok(Value::Text(text))
    }

    /// Whether cells that are no text reach the column as the text that a person sees: text
    /// columns, and types that only the database can read.
    fn takes_shown_text(&self) -> bool {
        matches!(
            self.ty,
            ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Char(_) | ColumnType::Other
        )
    }
}

#[cfg(test)]
mod tests;

//! Values of any workbook format as [`Cell`]s, and the texts of error values.
//!
//! In: numbers with the kind that their format gives them, texts, calamine's values. Out:
//! borrowed cells. No allocation a cell, except for texts that hold U+0000.

use calamine::CellErrorType;

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::formats::NumberKind;
use crate::model::cell::{Cell, DateSystem};

/// Rows of a sheet in every program.
pub(crate) const ROWS_OF_SHEET: u32 = 1_048_576;

/// Columns of a sheet in every program: A to XFD.
pub(crate) const COLUMNS_OF_SHEET: u32 = 16_384;

/// Turns values into cells; holds what texts are made in.
#[derive(Debug)]
pub(crate) struct Values {
    cell_chars_max: u64,
    system: DateSystem,
    scratch: String,
}

// === impl Values ===

impl Values {
    /// Values of a workbook with this date system.
    pub(crate) fn new(limits: &Limits, is_1904: bool) -> Values {
        Values {
            cell_chars_max: limits.cell_chars_max,
            system: if is_1904 {
                DateSystem::Y1904
            } else {
                DateSystem::Y1900
            },
            scratch: String::new(),
        }
    }

    /// A text; empty text is no content.
    pub(crate) fn text<'a>(&'a mut self, text: &'a str) -> Result<Cell<'a>, DecodeError> {
        if text.is_empty() {
            return Ok(Cell::Empty);
        }
        let n_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if n_bytes > self.cell_chars_max {
            let n_chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
            if n_chars > self.cell_chars_max {
                return Err(DecodeError::limit(
                    "cell_chars_max",
                    n_chars,
                    self.cell_chars_max,
                ));
            }
        }
        if memchr::memchr(0, text.as_bytes()).is_some() {
            self.scratch.clear();
            self.scratch
                .extend(text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }));
            return Ok(Cell::InvalidText(&self.scratch));
        }
        Ok(Cell::Text(text))
    }

    /// A number, by what its format makes of it.
    pub(crate) fn number<'a>(&'a mut self, value: f64, kind: &NumberKind) -> Cell<'a> {
        match kind {
            NumberKind::Plain => Cell::Number(value),
            NumberKind::DateTime => Cell::DateSerial {
                serial: value,
                system: self.system,
            },
            NumberKind::Duration => Cell::Duration(value),
            NumberKind::Zeros(format) => {
                if format.show(value, &mut self.scratch) {
                    Cell::ZerosNumber {
                        value,
                        shown: &self.scratch,
                    }
                } else {
                    Cell::Number(value)
                }
            }
        }
    }
}

/// Whether a number has no fraction.
pub(crate) fn is_whole(value: f64) -> bool {
    value.is_finite() && value.fract() == 0.0
}

/// The text of an error value.
pub(crate) fn error_text(error: &CellErrorType) -> &'static str {
    match error {
        CellErrorType::Div0 => "#DIV/0!",
        CellErrorType::NA => "#N/A",
        CellErrorType::Name => "#NAME?",
        CellErrorType::Null => "#NULL!",
        CellErrorType::Num => "#NUM!",
        CellErrorType::Ref => "#REF!",
        CellErrorType::Value => "#VALUE!",
        CellErrorType::GettingData => "#GETTING_DATA",
    }
}

/// The text of an error's code in binary formats, MS-XLSB 2.5.97.2.
pub(crate) fn error_code_text(code: u8) -> &'static str {
    match code {
        0x00 => "#NULL!",
        0x07 => "#DIV/0!",
        0x0f => "#VALUE!",
        0x17 => "#REF!",
        0x1d => "#NAME?",
        0x24 => "#NUM!",
        0x2a => "#N/A",
        0x2b => "#GETTING_DATA",
        _ => "#ERROR!",
    }
}

/// Whether a text is how a program shows an error: for formats that keep errors as texts.
pub(crate) fn is_error_text(text: &str) -> bool {
    let is_libre_office = text
        .strip_prefix("Err:")
        .is_some_and(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()));
    is_libre_office
        || matches!(
            text,
            "#DIV/0!"
                | "#N/A"
                | "#NAME?"
                | "#NULL!"
                | "#NUM!"
                | "#REF!"
                | "#VALUE!"
                | "#SPILL!"
                | "#CALC!"
                | "#FIELD!"
                | "#BLOCKED!"
                | "#CONNECT!"
                | "#UNKNOWN!"
                | "#GETTING_DATA"
        )
}

/// The days of an ISO 8601 duration such as `PT36H30M00S`; `None` for anything else, months and
/// years included, whose length is not fixed.
pub(crate) fn duration_days(text: &str) -> Option<f64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) => (days, time),
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0.0;
    let mut n_fields = 0;
    for (part, units) in [(days, &[('D', 86_400.0)][..]), (time, &TIME_UNITS)] {
        let mut units = units.iter();
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
            let (number, tail) = rest.split_at(end);
            let mut tail_chars = tail.chars();
            let unit = tail_chars.next()?;
            // Each unit once, in their order.
            let (_, unit_seconds) = units.find(|(letter, _)| *letter == unit)?;
            seconds += number.replace(',', ".").parse::<f64>().ok()? * unit_seconds;
            n_fields += 1;
            rest = tail_chars.as_str();
        }
    }
    (n_fields > 0).then_some(sign * seconds / 86_400.0)
}

const TIME_UNITS: [(char, f64); 3] = [('H', 3_600.0), ('M', 60.0), ('S', 1.0)];

#[cfg(test)]
mod tests;

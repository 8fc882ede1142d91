//! Faults in a person's words.
//!
//! In: faults. Out: [`CellError`]s, quoted values. Messages are lowercase
//! and show at most [`QUOTED_CHARS_MAX`] characters of a value, escaped; the values themselves
//! are not cut here.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::mapping::coerce::{Bound, Fault};
use crate::model::reject::{CellError, RowErrorCode};
use crate::model::table::ColumnType;

/// Characters of a value that a message shows.
pub(super) const QUOTED_CHARS_MAX: usize = 256;
/// Labels of an enum that a message and its parameters name.
const LABELS_SHOWN_MAX: usize = 20;

/// Where a faulty value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) column: &'a str,
    pub(super) ty: Option<&'a ColumnType>,
    pub(super) source_name: &'a str,
}

/// The error of one cell.
pub(super) fn cell_error(place: Place<'_>, cell: String, value: String, fault: Fault) -> CellError {
    let (message, params) = message(place, &value, fault);
    CellError {
        code: fault.code,
        column: place.column.to_owned(),
        cell,
        message,
        value,
        constraint: String::new(),
        sql_state: String::new(),
        source_name: place.source_name.to_owned(),
        params,
    }
}

/// What is wrong with `value`, and the figures in it for callers that write their own.
pub(super) fn message(
    place: Place<'_>,
    value: &str,
    fault: Fault,
) -> (String, BTreeMap<String, String>) {
    let mut params = BTreeMap::new();
    let mut text = match fault.code {
        RowErrorCode::RequiredMissing => {
            return (
                format!("column {} {}", quoted(place.column), fault.what),
                params,
            );
        }
        RowErrorCode::FormulaWithoutValue => {
            return (format!("the cell {}", fault.what), params);
        }
        _ => format!("{} {}", quoted(value), fault.what),
    };
    let add = |text: &mut String, words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).expect("writing to a string");
    };
    let mut param = |name: &str, value: String| {
        params.insert(name.to_owned(), value);
    };
    match fault.bound {
        Bound::None => {}
        Bound::Length { max, length } => {
            add(
                &mut text,
                format_args!(": {length} characters, column holds {max}"),
            );
            param("max_length", max.to_string());
            param("length", length.to_string());
        }
        Bound::Whole { min, max } => {
            add(&mut text, format_args!(": {min} to {max}"));
            param("min", min.to_string());
            param("max", max.to_string());
        }
        Bound::Numeric { precision, scale } => {
            add(&mut text, format_args!(": numeric({precision},{scale})"));
            param("precision", precision.to_string());
            param("scale", scale.to_string());
        }
    }
    if let (RowErrorCode::InvalidEnum, Some(ColumnType::Enum(labels))) = (fault.code, place.ty) {
        let shown = labels.iter().take(LABELS_SHOWN_MAX);
        let labels_shown: Vec<&str> = shown.map(String::as_str).collect();
        let joined = labels_shown.join(", ");
        let more = if labels.len() > LABELS_SHOWN_MAX {
            ", ..."
        } else {
            ""
        };
        add(&mut text, format_args!(": {}{more}", escaped(&joined)));
        param("values", joined);
    }
    (text, params)
}

/// Text between quotes, escaped and cut.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Text without quotes, line breaks, and characters that cannot be seen or that turn the text
/// around them; at most [`QUOTED_CHARS_MAX`] of its characters.
fn escaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut escaped = String::new();
    for letter in chars.by_ref().take(QUOTED_CHARS_MAX) {
        let is_invisible = letter.is_control()
            || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(letter, '\u{2060}'..='\u{206f}' | '\u{feff}');
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            '\n' | '\r' | '\t' => escaped.extend(letter.escape_default()),
            _ if is_invisible => escaped.extend(letter.escape_unicode()),
            _ => escaped.push(letter),
        }
    }
    if chars.next().is_some() {
        escaped.push('…');
    }
    escaped
}

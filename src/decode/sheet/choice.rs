//! Which of a workbook's sheets is read.
//!
//! In: the sheets as calamine lists them, and the name that was asked for. Out: the indexes to
//! try in order. A named sheet is read although it is hidden; otherwise visible ones are tried
//! until one holds data. Chart and macro sheets are never read.

use calamine::{Sheet, SheetType, SheetVisible};

use crate::decode::error::{DecodeError, shown};
use crate::decode::sheet::corrupt;

/// Sheets that an error lists.
const LISTED_MAX: usize = 20;

/// Sheets that hold cells, with their indexes.
pub(crate) fn worksheets(sheets: &[Sheet]) -> impl Iterator<Item = (usize, &Sheet)> {
    sheets
        .iter()
        .enumerate()
        .filter(|(_, sheet)| sheet.typ == SheetType::WorkSheet)
}

/// Indexes into `sheets`, in the order in which to try them.
pub(crate) fn candidates(sheets: &[Sheet], wanted: &str) -> Result<Vec<usize>, DecodeError> {
    if wanted.is_empty() {
        let visible =
            worksheets(sheets).filter(|(_, sheet)| sheet.visible == SheetVisible::Visible);
        let candidates: Vec<usize> = visible.map(|(index, _)| index).collect();
        // calamine finds sheets by name, and would read the first of two.
        return match repeated(sheets) {
            Some(name) => Err(ambiguous(name)),
            None => Ok(candidates),
        };
    }
    let mut named = sheets
        .iter()
        .enumerate()
        .filter(|(_, sheet)| sheet.name == wanted);
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => Err(ambiguous(wanted)),
        (Some((index, sheet)), None) if sheet.typ == SheetType::WorkSheet => Ok(vec![index]),
        _ => Err(DecodeError::SheetNotFound {
            wanted: wanted.to_owned(),
            available: worksheets(sheets)
                .take(LISTED_MAX)
                .map(|(_, sheet)| sheet.name.clone())
                .collect(),
        }),
    }
}

fn ambiguous(name: &str) -> DecodeError {
    corrupt(format!("two sheets have the name \"{}\"", shown(name)))
}

fn repeated(sheets: &[Sheet]) -> Option<&str> {
    let mut names: Vec<&str> = sheets.iter().map(|sheet| sheet.name.as_str()).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
}

//! Which of a workbook's sheets is read.
//!
//! In: the sheets of the workbook's list, and the name that was asked for. Out: the indexes to
//! try in order. A named sheet is read although it is hidden; otherwise visible ones are tried
//! until one holds data. Chart and macro sheets are never read.

use calamine::{Sheet, SheetType, SheetVisible};

use crate::decode::error::{DecodeError, shown};
use crate::decode::sheet::corrupt;

/// Sheets that an error lists.
const LISTED_MAX: usize = 20;

/// A sheet of a workbook's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct SheetMeta {
    /// Its name.
    pub(in crate::decode) name: String,
    /// Whether the program hides it, in one way or another.
    pub(in crate::decode) is_hidden: bool,
    /// Whether it holds cells: charts and macros do not.
    pub(in crate::decode) holds_cells: bool,
}

impl From<&Sheet> for SheetMeta {
    fn from(sheet: &Sheet) -> SheetMeta {
        SheetMeta {
            name: sheet.name.clone(),
            is_hidden: sheet.visible != SheetVisible::Visible,
            holds_cells: sheet.typ == SheetType::WorkSheet,
        }
    }
}

/// The sheets that calamine lists.
pub(crate) fn listed(sheets: &[Sheet]) -> Vec<SheetMeta> {
    sheets.iter().map(SheetMeta::from).collect()
}

/// Sheets that hold cells, with their indexes.
pub(crate) fn worksheets(sheets: &[SheetMeta]) -> impl Iterator<Item = (usize, &SheetMeta)> {
    sheets
        .iter()
        .enumerate()
        .filter(|(_, sheet)| sheet.holds_cells)
}

/// Indexes into `sheets`, in the order in which to try them.
pub(crate) fn candidates(sheets: &[SheetMeta], wanted: &str) -> Result<Vec<usize>, DecodeError> {
    if wanted.is_empty() {
        let visible = worksheets(sheets).filter(|(_, sheet)| !sheet.is_hidden);
        let candidates: Vec<usize> = visible.map(|(index, _)| index).collect();
        // Sheets are asked for by name, by calamine as well, which would read the first of two.
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
        (Some((index, sheet)), None) if sheet.holds_cells => Ok(vec![index]),
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

fn repeated(sheets: &[SheetMeta]) -> Option<&str> {
    let mut names: Vec<&str> = sheets.iter().map(|sheet| sheet.name.as_str()).collect();
    names.sort_unstable();
    names
        .windows(2)
        .find_map(|pair| (pair[0] == pair[1]).then_some(pair[0]))
}

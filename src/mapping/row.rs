//! One row: the good path, and the one that collects every error.
//!
//! In: a [`FrameRow`]. Out: a row of a [`RowBuffer`], or a [`RejectedRow`]. The good path stops at
//! the first fault without describing it; then the row is read once more, for all of them.

use crate::mapping::coerce::{Fault, Scratch, Settings, Target};
use crate::mapping::describe::{Place, cell_error};
use crate::mapping::{EffectiveColumn, Given, Mapping, Strays, Verdict};
use crate::model::cell::Cell;
use crate::model::frame::FrameRow;
use crate::model::reject::{
    CellError, RejectedRow, RowErrorCode, SourceKind, cell_reference, raw_values,
};
use crate::model::table::ColumnType;
use crate::model::value::{RowBuffer, Value};

const EXTRA: Fault = Fault::new(
    RowErrorCode::ExtraCells,
    "stands in a column without a header",
);

/// See [`Mapping::map_row`].
pub(super) fn map_row(mapping: &Mapping, row: FrameRow<'_>, out: &mut RowBuffer) -> Verdict {
    assert_eq!(
        out.n_columns(),
        mapping.effective.len(),
        "a buffer as wide as the planned columns"
    );
    if is_blank(mapping, row) {
        return Verdict::Blank;
    }
    if let Err(Faulty) = push_row(mapping, row, out) {
        out.discard_partial_row();
        return Verdict::Rejected(reject(mapping, row));
    }
    Verdict::Mapped
}

/// Something in the row is wrong; what, the second reading tells.
struct Faulty;

impl From<Fault> for Faulty {
    fn from(_: Fault) -> Faulty {
        Faulty
    }
}

/// Whether a file's row has nothing in it. Ends at the first cell with content, as a rule the
/// first of all.
pub(super) fn is_blank(mapping: &Mapping, row: FrameRow<'_>) -> bool {
    mapping.source_kind == SourceKind::File
        && !row.cells().any(|cell| has_content(&mapping.settings, cell))
}

fn has_content(settings: &Settings, cell: Cell<'_>) -> bool {
    match cell {
        Cell::Text(text) => !matches!(settings.read(Cell::Text(text)), Cell::Empty),
        _ => !matches!(cell, Cell::Empty | Cell::Null | Cell::Unset),
    }
}

fn push_row(mapping: &Mapping, row: FrameRow<'_>, out: &mut RowBuffer) -> Result<(), Faulty> {
    let settings = &mapping.settings;
    let mut scratch = Scratch::default();
    // Before anything is pushed: a row that is complete cannot be taken back.
    if mapping.strays.may_be_in(row) && strays(mapping, row).next().is_some() {
        return Err(Faulty);
    }
    let mut fed = mapping.fed.iter().peekable();
    for (index, cell) in row.cells().enumerate() {
        while let Some((_, target)) = fed.next_if(|(source_index, _)| *source_index == index) {
            out.push(target.coerce(settings.read(cell), settings, &mut scratch)?);
        }
    }
    for (_, target) in fed {
        out.push(target.coerce(Cell::Empty, settings, &mut scratch)?);
    }
    for (given, target) in &mapping.given {
        match given {
            Given::Fixed(value) => out.push(value.row(0).value(0)),
            Given::RowNumber => out.push(row_number(target, row, settings, &mut scratch)?),
            Given::Sheet => out.push(sheet(mapping, target, row, &mut scratch)?),
        }
    }
    Ok(())
}

/// Cells with content in columns where that is EXTRA_CELLS, with their indexes.
fn strays<'a>(
    mapping: &'a Mapping,
    row: FrameRow<'a>,
) -> impl Iterator<Item = (usize, Cell<'a>)> + 'a {
    let cells = row.cells().enumerate();
    cells.filter(|(index, cell)| {
        mapping.strays.refuse(*index) && has_content(&mapping.settings, *cell)
    })
}

impl Strays {
    /// Whether the row has cells in such columns at all.
    fn may_be_in(&self, row: FrameRow<'_>) -> bool {
        !self.unnamed.is_empty() || self.beyond.is_some_and(|beyond| row.n_cells() > beyond)
    }

    /// Whether content at this index is EXTRA_CELLS.
    fn refuse(&self, index: usize) -> bool {
        self.beyond.is_some_and(|beyond| index >= beyond)
            || self.unnamed.binary_search(&index).is_ok()
    }
}

// Row contexts.

/// The row's number in a column of numbers or text.
pub(super) fn row_number<'v>(
    target: &'v Target,
    row: FrameRow<'_>,
    settings: &Settings,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    let number = i64::try_from(row.row_number)
        .map_err(|_| Fault::new(RowErrorCode::OutOfRange, "is out of range"))?;
    number_value(target, number, settings, scratch)
}

/// A number as a context gives it: as sent, or as text where the column is one.
pub(super) fn number_value<'v>(
    target: &'v Target,
    number: i64,
    settings: &Settings,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    let is_text = matches!(
        target.ty,
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Char(_)
    );
    if !is_text {
        return target.coerce(Cell::Int(number), settings, scratch);
    }
    let digits = scratch.write_int(number);
    target.fits(digits)
}

/// The row's own sheet, else the import's; none is an empty cell.
fn sheet<'v>(
    mapping: &'v Mapping,
    target: &'v Target,
    row: FrameRow<'v>,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    let cell = match sheet_name(mapping, row) {
        "" => Cell::Empty,
        name => Cell::Text(name),
    };
    target.coerce(cell, &mapping.settings, scratch)
}

fn sheet_name<'v>(mapping: &'v Mapping, row: FrameRow<'v>) -> &'v str {
    if row.sheet.is_empty() {
        &mapping.sheet
    } else {
        row.sheet
    }
}

// The bad path.

fn reject(mapping: &Mapping, row: FrameRow<'_>) -> RejectedRow {
    let errors = errors(mapping, row);
    assert!(!errors.is_empty(), "a faulty row has a fault");
    RejectedRow {
        ordinal: row.ordinal,
        sheet: sheet_name(mapping, row).to_owned(),
        row_number: row.row_number,
        errors,
        raw_values: raw_values(row.cells()),
    }
}

/// Everything that is wrong with the row, from the left; constants and contexts last.
fn errors(mapping: &Mapping, row: FrameRow<'_>) -> Vec<CellError> {
    let settings = &mapping.settings;
    let mut scratch = Scratch::default();
    // Each with the index of its cell.
    let mut found: Vec<(usize, CellError)> = Vec::new();
    let (of_fed, of_given) = mapping.effective.split_at(mapping.fed.len());
    let reference = |index| cell_reference(mapping.source_kind, Some(index), row.row_number);
    let cells: Vec<Cell<'_>> = row.cells().collect();
    for ((index, target), effective) in mapping.fed.iter().zip(of_fed) {
        let cell = cells.get(*index).copied().unwrap_or(Cell::Empty);
        if let Err(fault) = target.coerce(settings.read(cell), settings, &mut scratch) {
            let place = place(mapping, target, effective);
            let error = cell_error(place, reference(*index), cell.to_string(), fault);
            found.push((*index, error));
        }
    }
    for (index, cell) in strays(mapping, row) {
        let place = Place {
            column: "",
            ty: None,
            source_name: "",
        };
        found.push((
            index,
            cell_error(place, reference(index), cell.to_string(), EXTRA),
        ));
    }
    found.sort_by_key(|(index, _)| *index);
    let mut errors: Vec<CellError> = found.into_iter().map(|(_, error)| error).collect();
    for ((given, target), effective) in mapping.given.iter().zip(of_given) {
        let (result, value) = match given {
            Given::Fixed(_) => continue,
            Given::RowNumber => (
                row_number(target, row, settings, &mut scratch),
                row.row_number.to_string(),
            ),
            Given::Sheet => (
                sheet(mapping, target, row, &mut scratch),
                sheet_name(mapping, row).to_owned(),
            ),
        };
        if let Err(fault) = result {
            let place = place(mapping, target, effective);
            errors.push(cell_error(place, String::new(), value, fault));
        }
    }
    errors
}

fn place<'a>(
    mapping: &'a Mapping,
    target: &'a Target,
    effective: &'a EffectiveColumn,
) -> Place<'a> {
    Place {
        column: &mapping.table.columns[target.table_column].name,
        ty: Some(&target.ty),
        source_name: &effective.source_name,
    }
}

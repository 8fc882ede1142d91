//! A file of rejected rows that comes back: what our export put into it is taken out again.
//!
//! In: the header and frames of a file whose header ends in our columns. Out: the same as the
//! source had them: no guards against formulas, nothing in our columns. Bounded by the frame.
//! Synchronous and pure.

use crate::decode::SourceHeader;
use crate::decode::sheet::is_error_text;
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder, FrameRow};
use crate::model::guard::unguarded;
use crate::model::layout::{self, ERRORS_COLUMN};
use crate::model::reject::RowErrorCode;

/// What stands for what a text could not hold; see [`Cell::InvalidText`].
const REPLACEMENT: char = '\u{fffd}';

/// How a file is read whose header ends in our columns.
#[derive(Debug, Clone)]
pub struct Returned {
    /// Where the errors stand.
    errors_at: usize,
    /// Columns that are left out, ascending.
    unread: Vec<usize>,
}

impl Returned {
    /// Whether the header is one of ours; then its names are those of the source again.
    pub fn recognise(header: &mut SourceHeader) -> Option<Returned> {
        if !header.has_header {
            return None;
        }
        let own = layout::own_columns(&header.names)?;
        for name in &mut header.names[..own.start] {
            *name = unguarded(name).to_owned();
        }
        Some(Returned {
            errors_at: own.end - 1,
            unread: own.collect(),
        })
    }

    /// Only these of our columns are left out: the others are asked for.
    pub fn leave_out(&mut self, unread: &[usize]) {
        self.unread = unread.to_vec();
    }

    /// Rows as they were before the export.
    pub fn rows(&self, frame: &Frame) -> Frame {
        let mut builder = FrameBuilder::new();
        for row in frame.rows() {
            self.row(row, &mut builder);
        }
        builder.take()
    }

    fn row(&self, row: FrameRow<'_>, builder: &mut FrameBuilder) {
        let is_unread = |at: usize| self.unread.binary_search(&at).is_ok();
        let had = |code: RowErrorCode| {
            let errors = row.cells().nth(self.errors_at);
            matches!(errors, Some(Cell::Text(errors)) if errors.contains(code.name()))
        };
        let had_invalid_text = had(RowErrorCode::InvalidText);
        let had_error = had(RowErrorCode::CellError);
        let has_content = |(at, cell): &(usize, Cell<'_>)| !is_unread(*at) && !cell.is_vacant();
        let last = row.cells().enumerate().filter(has_content).last();
        let n_cells = last.map_or(0, |(at, _)| at + 1);
        builder.begin_row(row.ordinal, row.row_number, row.sheet);
        for (at, cell) in row.cells().enumerate().take(n_cells) {
            builder.push(match cell {
                _ if is_unread(at) => Cell::Empty,
                // What the text was is not known, only that it was none.
                Cell::Text(text) if had_invalid_text && text.contains(REPLACEMENT) => {
                    Cell::InvalidText(text)
                }
                // An export shows an error value as text: nobody has put another one there.
                Cell::Text(text) if had_error && is_error_text(text) => Cell::Error(text),
                Cell::Text(text) => Cell::Text(unguarded(text)),
                cell => cell,
            });
        }
        builder.end_row();
    }
}

/// Whether a cell of the first row says that the header stands there although it is said to be
/// elsewhere: rows would be lost, or the header read as one.
pub(in crate::decode) fn is_misplaced(cell: Cell<'_>) -> bool {
    matches!(cell, Cell::Text(ERRORS_COLUMN))
}

/// What to tell then.
pub(in crate::decode) const MISPLACED: &str =
    "row 1 is the header of exported rejected rows: leave header_row_number (--header-row) unset";

#[cfg(test)]
mod tests;

//! Which row of a sheet is its header.
//!
//! In: a sheet's first rows, and what is known of names. Out: the header's ordinal, or none. A
//! header covers the columns that the rows below use, is of short texts that differ, names things
//! that are known, and does not look like what stands below it. Of two header rows the one that
//! names more columns is taken: the lower one, where the upper one groups. Where the first row
//! looks like the rows below, there is no header; a file of nothing but words has one. Bounded: up to
//! [`ROWS_MAX`] rows and [`COLUMNS_MAX`] columns are looked at. Pure; rows without content are not
//! expected.

use std::collections::HashSet;

use crate::mapping::header::Names;
use crate::mapping::resolve::names_of;
use crate::mapping::words::{concept, concept_within};
use crate::model::cell::Cell;
use crate::model::frame::FrameRow;
use crate::model::table::Table;

pub use shape::{Shape, shape};

mod shape;
#[cfg(test)]
mod tests;

/// Rows with content that are looked at; a header is among the first [`CANDIDATES_MAX`].
pub const ROWS_MAX: usize = 50;
/// Rows that may be the header.
const CANDIDATES_MAX: usize = 30;
/// Columns that are looked at.
const COLUMNS_MAX: usize = 256;
/// Headers are shorter.
const HEADER_CHARS_MAX: usize = 60;

// What speaks for a header, of its cells' share that does.
const COVERAGE_WEIGHT: f64 = 3.0;
const KNOWN_WEIGHT: f64 = 3.0;
const CONTRAST_WEIGHT: f64 = 2.0;
const WORDS_WEIGHT: f64 = 2.0;
const DISTINCT_WEIGHT: f64 = 1.0;
/// What each wide row further up costs: a header is the first of them.
const LATER_COST: f64 = 0.5;
/// A wide row covers this share of the columns.
const WIDE: f64 = 0.5;
/// Below it, rows look like data.
const CONTRAST_MIN: f64 = -0.2;
/// Names that are known outweigh what values look like.
const KNOWN_MIN: f64 = 0.25;

/// What is known of names: the table's columns, and words of common headers.
#[derive(Debug)]
pub struct Known<'t> {
    names: Option<Names<'t>>,
}

impl<'t> Known<'t> {
    /// The names of `table` where there is one.
    pub fn new(table: Option<&'t Table>) -> Known<'t> {
        Known {
            names: table.map(names_of),
        }
    }

    /// How sure it is that `text` names something, 0 to 1.
    fn certainty(&self, text: &str) -> f64 {
        if self
            .names
            .as_ref()
            .is_some_and(|names| names.is_known(text))
        {
            1.0
        } else if concept(text).is_some() {
            0.8
        } else if concept_within(text).is_some() {
            0.5
        } else {
            0.0
        }
    }
}

/// The ordinal of the row that is the header of `rows`; `None`: there is none.
pub fn header_row(rows: &[FrameRow<'_>], known: &Known<'_>) -> Option<u64> {
    let rows: Vec<Row<'_>> = rows.iter().take(ROWS_MAX).map(Row::of).collect();
    let mut best: Option<(f64, Traits)> = None;
    let mut n_wide = 0_u32;
    for at in 0..rows.len().min(CANDIDATES_MAX) {
        let traits = traits(&rows, at, known);
        let score = traits.score() - LATER_COST * f64::from(n_wide);
        if traits.coverage >= WIDE {
            n_wide += 1;
        }
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, traits));
        }
    }
    let (_, traits) = best?;
    (!traits.is_data()).then_some(traits.ordinal)
}

/// A row's cells by column.
struct Row<'a> {
    ordinal: u64,
    cells: Vec<(Cell<'a>, Shape)>,
}

impl<'a> Row<'a> {
    fn of(row: &FrameRow<'a>) -> Row<'a> {
        let cells = row.cells().take(COLUMNS_MAX);
        Row {
            ordinal: row.ordinal,
            cells: cells.map(|cell| (cell, shape(cell))).collect(),
        }
    }

    fn shape(&self, column: usize) -> Shape {
        self.cells
            .get(column)
            .map_or(Shape::Empty, |(_, shape)| *shape)
    }

    /// Columns with content.
    fn filled(&self) -> impl Iterator<Item = (usize, Cell<'a>, Shape)> + '_ {
        let cells = self.cells.iter().enumerate();
        let cells = cells.map(|(column, (cell, shape))| (column, *cell, *shape));
        cells.filter(|(_, _, shape)| *shape != Shape::Empty)
    }
}

/// What a row looks like as a header, each 0 to 1 but contrast, which is -1 to 1.
#[derive(Debug)]
struct Traits {
    ordinal: u64,
    /// Share of the used columns that it names.
    coverage: f64,
    /// Share of them that it gives a known name.
    known: f64,
    /// How unlike the cells below its own are.
    contrast: f64,
    /// Share of its cells that are short words.
    words: f64,
    /// Share of its cells that no other of its cells repeats.
    distinct: f64,
}

impl Traits {
    fn score(&self) -> f64 {
        COVERAGE_WEIGHT * self.coverage
            + KNOWN_WEIGHT * self.known
            + CONTRAST_WEIGHT * self.contrast
            + WORDS_WEIGHT * self.words
            + DISTINCT_WEIGHT * self.distinct
    }

    fn is_data(&self) -> bool {
        self.known < KNOWN_MIN && (self.contrast < CONTRAST_MIN || self.words < 0.5)
    }
}

fn traits(rows: &[Row<'_>], at: usize, known: &Known<'_>) -> Traits {
    let (row, below) = (&rows[at], &rows[at + 1..]);
    // The last row is compared with those above, which it follows as data would.
    let others = if below.is_empty() { &rows[..at] } else { below };
    let used = used_columns(row, below);
    let n_used = used.len().max(1) as f64;
    let mut n_covered = 0.0;
    let (mut known_sum, mut contrast, mut n_words) = (0.0, 0.0, 0.0);
    let mut texts = HashSet::new();
    let mut n_filled = 0.0_f64;
    for (column, cell, shape) in row.filled() {
        n_filled += 1.0;
        if used.contains(&column) {
            n_covered += 1.0;
        }
        let text = cell.to_string();
        if matches!(shape, Shape::Word | Shape::Code) && text.chars().count() <= HEADER_CHARS_MAX {
            known_sum += known.certainty(text.trim());
            n_words += 1.0;
        }
        let unlike = contrast_with(others, column, &text, shape);
        if shape == Shape::Number && unlike > 0.0 {
            // A year above figures is as good as a word.
            n_words += 1.0;
        }
        contrast += unlike;
        texts.insert(text);
    }
    let n_filled = n_filled.max(1.0);
    // Rows below a title are wider than it; a header that is alone is as wide as any.
    let widest = rows.iter().map(|row| row.filled().count()).max();
    let coverage = if below.is_empty() {
        n_filled / widest.unwrap_or(1).max(1) as f64
    } else {
        n_covered / n_used
    };
    Traits {
        ordinal: row.ordinal,
        coverage,
        known: (known_sum / n_used).min(1.0),
        contrast: contrast / n_filled,
        words: n_words / n_filled,
        distinct: texts.len() as f64 / n_filled,
    }
}

/// Columns in which a third of the rows below have content; without rows below, the row's own.
fn used_columns(row: &Row<'_>, below: &[Row<'_>]) -> HashSet<usize> {
    if below.is_empty() {
        return row.filled().map(|(column, _, _)| column).collect();
    }
    let n_columns = below.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    (0..n_columns)
        .filter(|column| {
            let n_filled = below
                .iter()
                .filter(|row| row.shape(*column) != Shape::Empty);
            n_filled.count() * 3 >= below.len()
        })
        .collect()
}

/// How unlike a cell is to those below it, `below`: -1 to 1.
fn contrast_with(below: &[Row<'_>], column: usize, text: &str, shape: Shape) -> f64 {
    let shapes: Vec<Shape> = below
        .iter()
        .map(|row| row.shape(column))
        .filter(|shape| *shape != Shape::Empty)
        .collect();
    let Some(usual) = usual(&shapes) else {
        return 0.0;
    };
    let repeats = || {
        let mut cells = below.iter().filter_map(|row| row.cells.get(column));
        cells.any(|(cell, _)| matches!(cell, Cell::Text(other) if *other == text))
    };
    match (shape, usual) {
        (Shape::Word, Shape::Word) if repeats() => -1.0,
        (Shape::Word | Shape::Code, Shape::Word | Shape::Code | Shape::Long) => 0.0,
        (Shape::Word | Shape::Code, _) => 1.0,
        // The years above a table of figures.
        (Shape::Number, Shape::Number) if is_year(text) => {
            let years = below.iter().filter_map(|row| row.cells.get(column));
            let n_years = years.filter(|(cell, _)| is_year(&cell.to_string())).count();
            if n_years * 2 < shapes.len() {
                0.5
            } else {
                -1.0
            }
        }
        (shape, usual) if shape == usual => -1.0,
        _ => -0.5,
    }
}

/// The shape that most have.
fn usual(shapes: &[Shape]) -> Option<Shape> {
    let count = |wanted: Shape| shapes.iter().filter(|shape| **shape == wanted).count();
    shapes
        .iter()
        .copied()
        .find(|shape| count(*shape) * 2 >= shapes.len())
}

fn is_year(text: &str) -> bool {
    text.parse::<u32>()
        .is_ok_and(|year| (1900..=2100).contains(&year))
}

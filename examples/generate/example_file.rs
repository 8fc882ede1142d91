//! The rows of `examples/businesses.xlsx`: 1,000 businesses as people keep them, 13 of them bad.
//!
//! The good ones have what tripped the tutorial that this project began with: blank last cells,
//! phone numbers stored as numbers, a number shown with leading zeros, formulas with their value.
//! What is wrong with the bad ones is in [`BAD`] and, for people, in `examples/README.md`.

use crate::rows::{Cell, Random, Row, header, plain_row};

const N_ROWS: u64 = 1000;
const SEED: u64 = 2024;

// Columns.
const NAME: usize = 0;
const CATEGORY: usize = 1;
const PHONE: usize = 2;
const EMAIL: usize = 3;
const WEBSITE: usize = 7;
const DESCRIPTION: usize = 8;
/// The first column that has no header.
const BEYOND: usize = 9;

/// A fault: the row as Excel shows it, the column, what the cell holds.
type Fault = (usize, usize, fn(&Row) -> Cell);

/// 14 faults in 13 rows: row 901 has two.
const BAD: &[Fault] = &[
    (17, NAME, |_| Cell::Empty),
    (88, PHONE, |_| Cell::Number("4930123456789012")),
    (142, WEBSITE, |_| Cell::Error("#N/A")),
    (205, NAME, |_| Cell::Common("   ")),
    (271, EMAIL, |row| formula_without_value(row)),
    (333, DESCRIPTION, |_| {
        Cell::Text(String::from("Cut off here:\0and never seen again."))
    }),
    (418, CATEGORY, |_| Cell::Error("#REF!")),
    (504, BEYOND, |_| Cell::Common("ask Petra about this one")),
    (590, PHONE, |_| Cell::Number("8.1352468135246E15")),
    (667, NAME, |_| Cell::Common("\u{a0}")),
    (745, WEBSITE, |row| formula_without_value(row)),
    (823, PHONE, |_| Cell::Error("#DIV/0!")),
    (901, NAME, |_| Cell::Empty),
    (901, CATEGORY, |_| Cell::Error("#VALUE!")),
];

/// The header and the rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![header()];
    rows.extend((0..N_ROWS).map(good_row));
    for (number, column, fault) in BAD {
        let row = &mut rows[number - 1];
        let cell = fault(row);
        // Trailing cells may be missing.
        if row.len() <= *column {
            row.resize(column + 1, Cell::Empty);
        }
        row[*column] = cell;
    }
    rows
}

/// A row as somebody typed it.
fn good_row(index: u64) -> Row {
    let mut row = plain_row(index, SEED);
    let mut random = Random::new(SEED + 1, index);
    match random.below(10) {
        // Nobody wrote a description: the row ends early.
        0..=2 => row.truncate(DESCRIPTION),
        3 => row[PHONE] = Cell::Number("13800138000"),
        4 => row[PHONE] = Cell::ZerosNumber(30_000_000 + random.below(9_000_000)),
        5 => {
            row[WEBSITE] = Cell::Formula {
                formula: format!("\"https://example.com/\"&ROW({})", index + 2),
                value: Some(format!("https://example.com/{}", index + 2)),
            };
        }
        _ => {}
    }
    row
}

/// As a program leaves it that writes formulas and computes none.
fn formula_without_value(_: &Row) -> Cell {
    Cell::Formula {
        formula: String::from("LOWER(SUBSTITUTE(A2,\" \",\"\"))&\"@example.com\""),
        value: None,
    }
}

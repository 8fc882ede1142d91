//! What the parts are given: two tables, and rows for each.
//!
//! In: nothing but the seed. Out: the rows of the end-to-end benchmarks, by the generator's own
//! files, which are nine texts each; and orders, nine values of other types, as text in a CSV.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use rowlift::model::frame::Frame;
use rowlift::model::table::{Column, ColumnType, NumericBounds, Table};

use rows::{Format, Random, Row, Variant};

#[path = "../../examples/load/batches.rs"]
pub(crate) mod batches;
#[path = "../../examples/generate/rows.rs"]
#[expect(dead_code, reason = "some cells are in the example file only")]
mod rows;
#[path = "../../examples/generate/text.rs"]
mod text;
#[path = "../../examples/generate/words.rs"]
mod words;
#[path = "../../examples/generate/xlsx.rs"]
mod xlsx;

/// Rows of every input.
pub(crate) const ROWS: u64 = 20_000;

const PLAIN: Variant = Variant {
    seed: 1,
    bad_cells: 0.0,
    repeat_keys: 0.0,
};

/// A table with a CSV file for it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) table: Arc<Table>,
    pub(crate) csv: Vec<u8>,
}

/// Texts, as in the sample table.
pub(crate) fn businesses() -> Source {
    let columns = rows::header();
    let columns = columns.iter().map(|cell| {
        let name = String::from_utf8(cell.as_csv().into_owned()).expect("names are ASCII");
        column(&name, ColumnType::Text, "text")
    });
    Source {
        name: "businesses",
        table: table("businesses", columns),
        csv: text::write(Vec::new(), business_rows(Format::Csv)).expect("memory takes all bytes"),
    }
}

/// The same rows as a workbook.
pub(crate) fn workbook() -> Vec<u8> {
    let output = Cursor::new(Vec::new());
    xlsx::write(output, "Businesses", || business_rows(Format::Xlsx))
        .expect("memory takes all bytes")
        .into_inner()
}

fn business_rows(format: Format) -> impl Iterator<Item = Row> {
    let data = (0..ROWS).map(move |index| rows::row(index, &PLAIN, format));
    std::iter::once(rows::header()).chain(data)
}

/// Values that have to be converted.
pub(crate) fn orders() -> Source {
    let bounds = NumericBounds {
        precision: 12,
        scale: 2,
    };
    let columns = [
        ("id", ColumnType::Int8, "bigint"),
        ("customer", ColumnType::Uuid, "uuid"),
        ("ordered_at", ColumnType::TimestampTz, "timestamptz"),
        ("due", ColumnType::Date, "date"),
        ("amount", ColumnType::Numeric(Some(bounds)), "numeric(12,2)"),
        ("quantity", ColumnType::Int4, "integer"),
        ("weight", ColumnType::Float8, "double precision"),
        ("paid", ColumnType::Bool, "boolean"),
        ("note", ColumnType::Varchar(Some(40)), "varchar(40)"),
    ];
    let mut csv = columns.each_ref().map(|(name, ..)| *name).join(",");
    csv.push('\n');
    for index in 0..ROWS {
        push_order(&mut csv, index);
    }
    let columns = columns.map(|(name, ty, type_name)| column(name, ty, type_name));
    Source {
        name: "orders",
        table: table("orders", columns),
        csv: csv.into_bytes(),
    }
}

fn push_order(csv: &mut String, index: u64) {
    let mut random = Random::new(PLAIN.seed, index);
    let mut below = |bound| random.below(bound);
    writeln!(
        csv,
        "{index},{:08x}-0000-4000-8000-{:012x},2024-{:02}-{:02}T{:02}:{:02}:{:02}Z,\
         2025-{:02}-{:02},{}.{:02},{},{}.{:03},{},order {index} of the year",
        below(1 << 32),
        below(1 << 48),
        1 + below(12),
        1 + below(28),
        below(24),
        below(60),
        below(60),
        1 + below(12),
        1 + below(28),
        below(1_000_000),
        below(100),
        below(1000),
        below(500),
        below(1000),
        below(2) == 0,
    )
    .expect("memory takes all bytes");
}

/// Bytes of all frames.
pub(crate) fn n_bytes(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| frame.as_bytes().len()).sum()
}

fn table(name: &str, columns: impl IntoIterator<Item = Column>) -> Arc<Table> {
    Arc::new(Table::bare("public", name, columns.into_iter().collect()))
}

fn column(name: &str, ty: ColumnType, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty,
        type_name: type_name.to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    }
}

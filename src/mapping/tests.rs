use std::sync::Arc;

use super::{
    CellMode, ColumnRule, ColumnSource, EmptyAction, ImportContext, Mapping, MappingSpec,
    RowContext, SourceColumns, UnmappedSource, Verdict,
};
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder};
use crate::model::import::{Failure, Reason};
use crate::model::reject::{RejectedRow, SourceKind};
use crate::model::table::{Column, ColumnType, NumericBounds, Table};
use crate::model::value::RowBuffer;

mod columns;
mod rows;

/// A column that may be filled and may stay empty.
fn column(name: &str, ty: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        ty,
        type_name: "as the database spells it".to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    }
}

/// A table with these columns.
pub(super) fn table_of(columns: &[(&str, ColumnType)]) -> Table {
    Table {
        columns: columns
            .iter()
            .map(|(name, ty)| column(name, ty.clone()))
            .collect(),
        ..Table::clone(&contacts())
    }
}

/// Columns of a table that has one of everything that matters to the mapping.
fn contacts() -> Arc<Table> {
    let price = ColumnType::Numeric(Some(NumericBounds {
        precision: 8,
        scale: 2,
    }));
    let status = ColumnType::Enum(["new", "old"].map(str::to_owned).into());
    Arc::new(Table::bare(
        "public",
        "contacts",
        vec![
            Column {
                generated: true,
                importable: false,
                ..column("id", ColumnType::Int8)
            },
            Column {
                nullable: false,
                ..column("name", ColumnType::Varchar(Some(10)))
            },
            Column {
                aliases: vec!["Mail address".to_owned()],
                ..column("email", ColumnType::Text)
            },
            column("age", ColumnType::Int2),
            column("price", price),
            column("status", status),
            column("born", ColumnType::Date),
            Column {
                importable: false,
                ..column("is_admin", ColumnType::Bool)
            },
            Column {
                importable: false,
                assignable: true,
                ..column("import", ColumnType::Text)
            },
            Column {
                importable: false,
                assignable: true,
                ..column("line", ColumnType::Int4)
            },
            Column {
                importable: false,
                assignable: true,
                ..column("at", ColumnType::TimestampTz)
            },
            column("tags", ColumnType::Array),
        ],
    ))
}

fn spec() -> MappingSpec {
    MappingSpec {
        context: ImportContext {
            import_id: "import-1".to_owned(),
            create_time_ms: 1_709_201_106_789,
            sheet: "Q3".to_owned(),
        },
        ..MappingSpec::of_file()
    }
}

/// A spec for values as sent.
fn rows_spec() -> MappingSpec {
    MappingSpec {
        mode: CellMode::Exact,
        source_kind: SourceKind::Rows,
        ..spec()
    }
}

fn rule(source: ColumnSource, target_column: &str) -> ColumnRule {
    ColumnRule {
        source,
        target_column: target_column.to_owned(),
        format: String::new(),
        on_empty: EmptyAction::Automatic,
        insert_only: false,
    }
}

fn named(name: &str, target_column: &str) -> ColumnRule {
    rule(ColumnSource::Name(name.to_owned()), target_column)
}

fn constant(cell: Cell<'_>, target_column: &str) -> ColumnRule {
    rule(
        ColumnSource::Constant(Box::new(frame(1, &[cell]))),
        target_column,
    )
}

/// A frame of one row.
fn frame(row_number: u64, cells: &[Cell<'_>]) -> Frame {
    let mut builder = FrameBuilder::new();
    builder.begin_row(row_number - 1, row_number, "");
    for cell in cells {
        builder.push(*cell);
    }
    builder.end_row();
    builder.take()
}

fn resolve(spec: &MappingSpec, names: &[&str]) -> Result<Mapping, Failure> {
    resolve_in(&contacts(), spec, names)
}

fn resolve_in(table: &Arc<Table>, spec: &MappingSpec, names: &[&str]) -> Result<Mapping, Failure> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let source = SourceColumns {
        names: &names,
        has_header: !names.is_empty(),
        where_: "sheet \"Q3\"",
    };
    Mapping::resolve(table, spec, source)
}

/// The problems of a mapping that must not resolve, as `path: what`.
fn problems(result: Result<Mapping, Failure>) -> Vec<String> {
    let failure = result.expect_err("a mapping with problems");
    assert_eq!(failure.reason, Reason::ColumnMapping);
    let fields = failure.fields.into_iter();
    fields
        .map(|(path, what)| format!("{path}: {what}"))
        .collect()
}

/// Target columns in the order of the values, each with the 0-based index of its cell.
fn plan(mapping: &Mapping) -> Vec<(String, Option<usize>)> {
    let planned = mapping.planned_columns().into_iter();
    planned
        .map(|column| {
            let name = &mapping.table().columns[column.table_column].name;
            (name.clone(), column.source_index)
        })
        .collect()
}

fn map(mapping: &Mapping, frame: &Frame) -> (Verdict, Vec<String>) {
    let mut out = RowBuffer::new(mapping.planned_columns().len());
    let row = frame.rows().next().unwrap();
    let verdict = mapping.map_row(row, &mut out);
    let values: Vec<String> = out
        .rows()
        .flat_map(|row| {
            row.values()
                .map(|value| format!("{value:?}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(out.n_rows(), usize::from(verdict == Verdict::Mapped));
    (verdict, values)
}

fn rejected(mapping: &Mapping, frame: &Frame) -> RejectedRow {
    match map(mapping, frame).0 {
        Verdict::Rejected(row) => row,
        other => panic!("expected a rejected row, got {other:?}"),
    }
}

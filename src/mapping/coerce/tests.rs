use jiff::tz::TimeZone;

use super::{Fault, Role, Scratch, Settings, Target};
use crate::mapping::{CellMode, DateOrder, DecimalSeparator, EmptyAction};
use crate::model::cell::{Cell, DateSystem};
use crate::model::reject::RowErrorCode::{self, *};
use crate::model::table::{ColumnType, NumericBounds};
use crate::model::value::Value;

mod exact;
mod properties;
mod text;
mod text_dates;
mod text_numbers;
mod workbook;

fn cells() -> Settings {
    Settings {
        mode: CellMode::Cells,
        null_tokens: Vec::new(),
        time_zone: None,
        decimal_separator: None,
        date_order: None,
    }
}

fn target(ty: ColumnType) -> Target {
    Target {
        table_column: 0,
        ty,
        nullable: true,
        has_default: false,
        on_empty: EmptyAction::Automatic,
        format: String::new(),
        role: Role::Inserted,
    }
}

fn numeric(precision: i32, scale: i32) -> ColumnType {
    ColumnType::Numeric(Some(NumericBounds { precision, scale }))
}

fn colours() -> ColumnType {
    ColumnType::Enum(["red", "green", "42"].map(str::to_owned).into())
}

/// Every type once, as a table would have it.
fn all_types() -> Vec<ColumnType> {
    vec![
        ColumnType::Text,
        ColumnType::Varchar(None),
        ColumnType::Varchar(Some(5)),
        ColumnType::Char(3),
        ColumnType::Int2,
        ColumnType::Int4,
        ColumnType::Int8,
        ColumnType::Numeric(None),
        numeric(10, 2),
        numeric(5, -2),
        numeric(2, 4),
        ColumnType::Float4,
        ColumnType::Float8,
        ColumnType::Bool,
        ColumnType::Date,
        ColumnType::Time,
        ColumnType::Timestamp,
        ColumnType::TimestampTz,
        ColumnType::Uuid,
        ColumnType::Json,
        ColumnType::Jsonb,
        ColumnType::Bytea,
        colours(),
        ColumnType::Other,
        ColumnType::Array,
    ]
}

fn coerce(target: &Target, cell: Cell<'_>, settings: &Settings) -> Result<String, RowErrorCode> {
    let mut scratch = Scratch::default();
    target
        .coerce(settings.read(cell), settings, &mut scratch)
        .map(|value| format!("{value:?}"))
        .map_err(|fault: Fault| fault.code)
}

/// Checks one row of the table after the other: a cell, a type, and what it becomes.
fn check(settings: &Settings, rows: &[(Cell<'_>, ColumnType, Result<Value<'_>, RowErrorCode>)]) {
    for (cell, ty, expected) in rows {
        let expected = expected.map(|value| format!("{value:?}"));
        let got = coerce(&target(ty.clone()), *cell, settings);
        assert_eq!(got, expected, "{cell:?} in {ty:?}");
    }
}

/// The same for text cells of one type.
fn check_text(
    settings: &Settings,
    ty: &ColumnType,
    rows: &[(&str, Result<Value<'_>, RowErrorCode>)],
) {
    for (text, expected) in rows {
        check(settings, &[(Cell::Text(text), ty.clone(), *expected)]);
    }
}

fn day(year: u32, month: u32, day: u32) -> i64 {
    super::calendar::days_of(year, month, day).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "stands beside faults in tables")]
fn date(days: i64) -> Result<Value<'static>, RowErrorCode> {
    Ok(Value::Date(days.try_into().unwrap()))
}

#[expect(clippy::unnecessary_wraps, reason = "stands beside faults in tables")]
fn moment(
    days: i64,
    hours: i64,
    minutes: i64,
    micros: i64,
) -> Result<Value<'static>, RowErrorCode> {
    let micros = ((days * 24 + hours) * 60 + minutes) * 60_000_000 + micros;
    Ok(Value::Timestamp(micros))
}

#[expect(clippy::unnecessary_wraps, reason = "stands beside faults in tables")]
fn time(hours: i64, minutes: i64, micros: i64) -> Result<Value<'static>, RowErrorCode> {
    Ok(Value::Time((hours * 60 + minutes) * 60_000_000 + micros))
}

#[test]
fn broken_cells_are_errors_in_every_column() {
    for ty in all_types() {
        for mode in [CellMode::Cells, CellMode::Exact] {
            let settings = Settings { mode, ..cells() };
            let target = target(ty.clone());
            for (cell, code) in [
                (Cell::Error("#N/A"), CellError),
                (Cell::Error("#SPILL!"), CellError),
                (Cell::FormulaWithoutValue, FormulaWithoutValue),
                (Cell::InvalidText("a\u{fffd}"), InvalidText),
            ] {
                assert_eq!(coerce(&target, cell, &settings), Err(code), "{ty:?}");
            }
        }
    }
}

#[test]
fn empty_cells_follow_their_action() {
    use EmptyAction::{Automatic, Default, Keep, Null, Reject};
    let unset = || Ok("Unset".to_owned());
    let null = || Ok("Null".to_owned());
    let missing = || Err(RequiredMissing);
    // Nullable, has a default: what an empty cell and what an explicit NULL become.
    let rows = [
        (Automatic, true, true, unset(), null()),
        (Automatic, true, false, unset(), null()),
        (Automatic, false, true, unset(), missing()),
        (Automatic, false, false, missing(), missing()),
        (Null, true, true, null(), null()),
        (Null, false, true, missing(), missing()),
        (Default, true, true, unset(), unset()),
        (Default, true, false, unset(), unset()),
        (Default, false, true, unset(), unset()),
        (Default, false, false, missing(), missing()),
        (Keep, true, true, unset(), unset()),
        (Keep, false, false, missing(), missing()),
        (Reject, true, true, missing(), missing()),
        (Reject, false, false, missing(), missing()),
    ];
    for (on_empty, nullable, has_default, of_empty, of_null) in rows {
        let target = Target {
            nullable,
            has_default,
            on_empty,
            ..target(ColumnType::Int4)
        };
        let what = format!("{on_empty:?}, nullable {nullable}, default {has_default}");
        for empty in ["", " ", "\u{a0}\u{3000} "] {
            assert_eq!(
                coerce(&target, Cell::Text(empty), &cells()),
                of_empty,
                "{what}"
            );
        }
        assert_eq!(coerce(&target, Cell::Empty, &cells()), of_empty, "{what}");
        assert_eq!(
            coerce(&target, Cell::Null, &cells().exact()),
            of_null,
            "{what}"
        );
    }
}

#[test]
fn null_tokens_are_null_where_they_are_declared() {
    let declared = Settings {
        null_tokens: vec!["NULL".to_owned(), "\\N".to_owned()],
        ..cells()
    };
    let text = target(ColumnType::Text);
    let becomes = |cell: Cell<'_>, settings: &Settings| coerce(&text, cell, settings).unwrap();
    assert_eq!(becomes(Cell::Text("NULL"), &cells()), r#"Text("NULL")"#);
    assert_eq!(becomes(Cell::Text(" NULL "), &declared), "Null");
    assert_eq!(becomes(Cell::Text("\\N"), &declared), "Null");
    assert_eq!(becomes(Cell::Text("Null"), &declared), r#"Text("Null")"#);
    assert_eq!(
        becomes(Cell::Text("NULL"), &declared.exact()),
        r#"Text("NULL")"#
    );
}

use std::borrow::Cow;

use super::{Plain, faulty_row, plain};
use crate::model::cell::{Cell, DateSystem};
use crate::model::frame::FrameBuilder;
use crate::model::reject::RowErrorCode;

const Y1900: DateSystem = DateSystem::Y1900;
const Y1904: DateSystem = DateSystem::Y1904;

fn serial(serial: f64, system: DateSystem) -> Plain<'static> {
    plain(Cell::DateSerial { serial, system })
}

fn date(text: &str) -> Plain<'static> {
    Plain::Date(text.to_owned())
}

fn time(text: &str) -> Plain<'static> {
    Plain::Time(text.to_owned())
}

fn date_time(seconds: i64, nanos: i32) -> Plain<'static> {
    Plain::DateTime { seconds, nanos }
}

#[test]
fn serials_are_dates_times_or_both() {
    assert_eq!(serial(45351.0, Y1900), date("2024-02-29"));
    assert_eq!(serial(59.0, Y1900), date("1900-02-28"));
    assert_eq!(serial(61.0, Y1900), date("1900-03-01"));
    assert_eq!(serial(43889.0, Y1904), date("2024-02-29"));
    assert_eq!(serial(0.0, Y1904), date("1904-01-01"));
    assert_eq!(serial(0.0, Y1900), time("00:00:00"));
    assert_eq!(serial(0.395_833_333_333_333, Y1900), time("09:30:00"));
    assert_eq!(serial(0.5, Y1904), time("12:00:00"));
    assert_eq!(
        serial(45_351.573_263_888_9, Y1900),
        date_time(1_709_214_330, 0)
    );
    assert_eq!(serial(25_569.000_005_787, Y1900), date_time(0, 500_000_000));
    // Days that no calendar has.
    for number in [60.0, -1.0, 2_958_466.0, 1e300] {
        assert_eq!(serial(number, Y1900), Plain::Number(number));
    }
    assert!(matches!(serial(f64::NAN, Y1900), Plain::Number(number) if number.is_nan()));
}

#[test]
fn iso_texts_are_what_serials_are() {
    let iso = |text: &'static str| plain(Cell::IsoDateTime(text));
    assert_eq!(iso("2024-02-29"), date("2024-02-29"));
    assert_eq!(iso("2024-02-29T00:00:00"), date("2024-02-29"));
    assert_eq!(iso("2024-02-29T13:45:30"), date_time(1_709_214_330, 0));
    assert_eq!(iso("1970-01-01T00:00:00.5"), date_time(0, 500_000_000));
    assert_eq!(iso("1969-12-31T23:59:59"), date_time(-1, 0));
    assert_eq!(iso("09:30:00"), time("09:30:00"));
    for text in ["2024-02-30", "soon", "2024", "", "-0044-03-15"] {
        assert_eq!(iso(text), Plain::Text(Cow::Borrowed(text)), "{text}");
    }
}

#[test]
fn spans_within_a_day_are_times_and_longer_ones_text() {
    let span = |days| plain(Cell::Duration(days));
    assert_eq!(span(0.0), time("00:00:00"));
    assert_eq!(span(0.999_988_425_925_926), time("23:59:59"));
    assert_eq!(span(1.520_833_333_333_33), Plain::Text("36:30:00".into()));
    assert_eq!(span(-0.5), Plain::Text("-12:00:00".into()));
}

#[test]
fn other_cells_are_themselves() {
    let shown = "01234";
    let zeros = Cell::ZerosNumber {
        value: 1234.0,
        shown,
    };
    assert_eq!(plain(zeros), Plain::Text("01234".into()));
    assert_eq!(plain(Cell::Text("  a ")), Plain::Text("  a ".into()));
    assert_eq!(plain(Cell::Number(0.1)), Plain::Number(0.1));
    assert_eq!(plain(Cell::Bool(true)), Plain::Bool(true));
    assert_eq!(plain(Cell::Empty), Plain::Empty);
}

#[test]
fn a_row_is_faulty_for_every_cell_without_a_value() {
    let mut builder = FrameBuilder::new();
    for cells in [
        [Cell::Text("a"), Cell::Empty, Cell::Number(1.0)],
        [
            Cell::Error("#N/A"),
            Cell::Text("b"),
            Cell::FormulaWithoutValue,
        ],
    ] {
        builder.begin_row(builder.n_rows() as u64, 7 + builder.n_rows() as u64, "");
        for cell in cells {
            builder.push(cell);
        }
        builder.end_row();
    }
    let frame = builder.take();
    let names = ["one".to_owned(), "two".to_owned()];
    let rows: Vec<_> = frame.rows().collect();
    assert_eq!(faulty_row(rows[0], "Data", &names), None);
    let faulty = faulty_row(rows[1], "Data", &names).unwrap();
    assert_eq!((faulty.ordinal, faulty.row_number), (1, 8));
    assert_eq!(faulty.raw_values, ["#N/A", "b", ""]);
    let errors: Vec<_> = faulty
        .errors
        .iter()
        .map(|error| (error.code, error.cell.as_str(), error.source_name.as_str()))
        .collect();
    assert_eq!(
        errors,
        [
            (RowErrorCode::CellError, "A8", "one"),
            (RowErrorCode::FormulaWithoutValue, "C8", "")
        ]
    );
}

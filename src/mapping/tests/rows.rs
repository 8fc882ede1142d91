//! What becomes of whole rows.

use proptest::prelude::*;

use super::*;
use crate::model::cell::DateSystem;
use crate::model::reject::RowErrorCode::{self, *};

fn all_columns() -> Mapping {
    resolve(
        &spec(),
        &["Name", "E-Mail", "Age", "Price", "Status", "Born"],
    )
    .unwrap()
}

fn codes(row: &RejectedRow) -> Vec<(RowErrorCode, &str, &str)> {
    let errors = row.errors.iter();
    errors
        .map(|error| (error.code, error.column.as_str(), error.cell.as_str()))
        .collect()
}

#[test]
fn a_clean_row_becomes_values_in_the_order_of_its_cells() {
    let cells = [
        Cell::Text(" Ann "),
        Cell::Empty,
        Cell::Number(42.0),
        Cell::Text("12.50"),
        Cell::Text("new"),
        Cell::Text("2024-02-29"),
    ];
    let (verdict, values) = map(&all_columns(), &frame(2, &cells));
    assert_eq!(verdict, Verdict::Mapped);
    let expected = [
        "Text(\"Ann\")",
        "Unset",
        "Int(42)",
        "Decimal(\"12.50\")",
        "Text(\"new\")",
        "Date(19782)",
    ];
    assert_eq!(values, expected);
}

#[test]
fn missing_cells_at_the_end_are_empty() {
    let (_, values) = map(&all_columns(), &frame(2, &[Cell::Text("Ann")]));
    assert_eq!(values[0], "Text(\"Ann\")");
    assert!(values[1..].iter().all(|value| value == "Unset"));
    let row = rejected(&all_columns(), &frame(7, &[Cell::Empty, Cell::Text("a@b")]));
    assert_eq!(codes(&row), [(RequiredMissing, "name", "A7")]);
    assert_eq!(row.errors[0].message, "column \"name\" needs a value");
}

#[test]
fn all_errors_of_a_row_come_at_once_from_the_left() {
    let serial = Cell::DateSerial {
        serial: 45_351.5,
        system: DateSystem::Y1900,
    };
    let cells = [
        Cell::Text("Ann Elisabeth"),
        Cell::Error("#N/A"),
        serial,
        Cell::Text("12.505"),
        Cell::Text("stale"),
        Cell::Text("01/02/2024"),
        Cell::Empty,
        Cell::Text("stray"),
    ];
    let row = rejected(&all_columns(), &frame(1042, &cells));
    assert_eq!(
        codes(&row),
        [
            (TooLong, "name", "A1042"),
            (CellError, "email", "B1042"),
            (TypeMismatch, "age", "C1042"),
            (PrecisionLoss, "price", "D1042"),
            (InvalidEnum, "status", "E1042"),
            (AmbiguousValue, "born", "F1042"),
            (ExtraCells, "", "H1042"),
        ]
    );
    let messages: Vec<&str> = row
        .errors
        .iter()
        .map(|error| error.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "\"Ann Elisabeth\" is too long: 13 characters, column holds 10",
            "\"#N/A\" is an error value",
            "\"2024-02-29T12:00:00\" is a date",
            "\"12.505\" has more decimals than the column keeps: numeric(8,2)",
            "\"stale\" is not a value of the enum: new, old",
            "\"01/02/2024\" could be more than one date: declare the order of day, month and year",
            "\"stray\" stands in a column without a header",
        ]
    );
    assert_eq!(row.errors[0].params["max_length"], "10");
    assert_eq!(row.errors[0].params["length"], "13");
    assert_eq!(row.errors[0].source_name, "Name");
    assert_eq!(row.errors[3].params["scale"], "2");
    assert_eq!(row.errors[4].params["values"], "new, old");
    assert_eq!(row.errors[2].value, "2024-02-29T12:00:00");
    assert_eq!(
        (row.ordinal, row.row_number, row.sheet.as_str()),
        (1041, 1042, "Q3")
    );
    assert_eq!(
        row.raw_values,
        [
            "Ann Elisabeth",
            "#N/A",
            "2024-02-29T12:00:00",
            "12.505",
            "stale",
            "01/02/2024",
            "",
            "stray"
        ]
    );
}

#[test]
fn a_rejected_row_leaves_the_rows_around_it_alone() {
    let mapping = resolve(&spec(), &["name", "age"]).unwrap();
    let mut builder = FrameBuilder::new();
    for (number, age) in [(2, "1"), (3, "x"), (4, ""), (5, "3")] {
        builder.begin_row(number - 2, number, "");
        let name = if age.is_empty() { "" } else { "Ann" };
        builder.push(Cell::Text(name));
        builder.push(Cell::Text(age));
        builder.end_row();
    }
    let frame = builder.take();
    let mut out = RowBuffer::new(2);
    let verdicts: Vec<bool> = frame
        .rows()
        .map(|row| mapping.map_row(row, &mut out) == Verdict::Mapped)
        .collect();
    assert_eq!(verdicts, [true, false, false, true]);
    assert_eq!(out.n_rows(), 2);
    assert_eq!(format!("{:?}", out.row(1).value(1)), "Int(3)");
}

#[test]
fn rows_of_files_without_content_are_blank() {
    let mapping = all_columns();
    let blanks = [Cell::Text(" \u{a0}"), Cell::Empty, Cell::Text("")];
    for cells in [&blanks[..], &[], &[Cell::Empty; 20]] {
        assert_eq!(
            map(&mapping, &frame(2, cells)).0,
            Verdict::Blank,
            "{cells:?}"
        );
    }
    for cell in [
        Cell::Bool(false),
        Cell::Error("#N/A"),
        Cell::FormulaWithoutValue,
    ] {
        let verdict = map(&mapping, &frame(2, &[Cell::Empty, Cell::Empty, cell])).0;
        assert!(matches!(verdict, Verdict::Rejected(_)), "{cell:?}");
    }
}

#[test]
fn content_of_ignored_columns_keeps_a_row_from_being_blank() {
    let ignore = MappingSpec {
        unmapped_source: UnmappedSource::Ignore,
        ..spec()
    };
    let mapping = resolve(&ignore, &["note", "name"]).unwrap();
    let row = rejected(&mapping, &frame(2, &[Cell::Text("x")]));
    assert_eq!(codes(&row), [(RequiredMissing, "name", "B2")]);
}

#[test]
fn content_without_a_header_is_extra() {
    let names = ["name", " ", "email"];
    let in_between = frame(2, &[Cell::Text("Ann"), Cell::Number(1.0)]);
    let beyond = frame(
        2,
        &[
            Cell::Text("Ann"),
            Cell::Empty,
            Cell::Empty,
            Cell::Bool(true),
        ],
    );
    let blank = frame(
        2,
        &[
            Cell::Text("Ann"),
            Cell::Text(" "),
            Cell::Empty,
            Cell::Text(" "),
        ],
    );
    let mapping = resolve(&spec(), &names).unwrap();
    assert_eq!(
        codes(&rejected(&mapping, &in_between)),
        [(ExtraCells, "", "B2")]
    );
    assert_eq!(
        codes(&rejected(&mapping, &beyond)),
        [(ExtraCells, "", "D2")]
    );
    assert_eq!(map(&mapping, &blank).0, Verdict::Mapped);

    let ignore = MappingSpec {
        unmapped_source: UnmappedSource::Ignore,
        ..spec()
    };
    let mapping = resolve(&ignore, &names).unwrap();
    assert_eq!(map(&mapping, &in_between).0, Verdict::Mapped);
    assert_eq!(
        codes(&rejected(&mapping, &beyond)),
        [(ExtraCells, "", "D2")]
    );
}

#[test]
fn without_a_header_what_is_beyond_the_mapping_is_unmapped() {
    let mut by_position = spec();
    by_position.columns = vec![rule(ColumnSource::Position(1), "name")];
    let row = frame(1, &[Cell::Text("Ann"), Cell::Text("x")]);
    let mapping = resolve(&by_position, &[]).unwrap();
    assert_eq!(codes(&rejected(&mapping, &row)), [(ExtraCells, "", "B1")]);
    by_position.unmapped_source = UnmappedSource::Ignore;
    let mapping = resolve(&by_position, &[]).unwrap();
    assert_eq!(map(&mapping, &row).0, Verdict::Mapped);
}

#[test]
fn constants_and_contexts_fill_every_row() {
    let mut by_rules = spec();
    by_rules.columns = vec![
        named("name", "name"),
        constant(Cell::Text("  as sent "), "import"),
        rule(ColumnSource::Context(RowContext::RowNumber), "line"),
        rule(ColumnSource::Context(RowContext::CreateTime), "at"),
    ];
    let mapping = resolve(&by_rules, &["name"]).unwrap();
    let (_, values) = map(&mapping, &frame(7, &[Cell::Text("Ann")]));
    let expected = [
        "Text(\"Ann\")",
        "Text(\"  as sent \")",
        "Int(7)",
        "Timestamp(1709201106789000)",
    ];
    assert_eq!(values, expected);

    let row = rejected(&mapping, &frame(u64::from(u32::MAX), &[Cell::Text("Ann")]));
    assert_eq!(codes(&row), [(OutOfRange, "line", "")]);
    assert_eq!(row.errors[0].value, "4294967295");
}

#[test]
fn the_import_and_the_sheet_are_known_to_rows() {
    let of = |context, source_kind| {
        let mut by_rules = MappingSpec {
            source_kind,
            ..spec()
        };
        by_rules.columns = vec![
            named("name", "name"),
            rule(ColumnSource::Context(context), "import"),
        ];
        let mapping = resolve(&by_rules, &["name"]).unwrap();
        let mut builder = FrameBuilder::new();
        let sheet = if source_kind == SourceKind::Rows {
            "their sheet"
        } else {
            ""
        };
        builder.begin_row(0, 2, sheet);
        builder.push(Cell::Text("Ann"));
        builder.end_row();
        map(&mapping, &builder.take()).1[1].clone()
    };
    assert_eq!(
        of(RowContext::ImportId, SourceKind::File),
        "Text(\"import-1\")"
    );
    assert_eq!(of(RowContext::Sheet, SourceKind::File), "Text(\"Q3\")");
    assert_eq!(
        of(RowContext::Sheet, SourceKind::Rows),
        "Text(\"their sheet\")"
    );
    assert_eq!(of(RowContext::RowNumber, SourceKind::File), "Text(\"2\")");
}

#[test]
fn rows_as_sent_are_neither_trimmed_nor_blank() {
    let mapping = resolve(&rows_spec(), &["name", "email", "age"]).unwrap();
    let cells = [Cell::Text(" "), Cell::Text(""), Cell::Null];
    let (verdict, values) = map(&mapping, &frame(1, &cells));
    assert_eq!(verdict, Verdict::Mapped);
    assert_eq!(values, ["Text(\" \")", "Text(\"\")", "Null"]);

    let row = rejected(&mapping, &frame(1, &[Cell::Null, Cell::Null, Cell::Null]));
    assert_eq!(codes(&row), [(RequiredMissing, "name", "")]);
    let cells = [
        Cell::Unset,
        Cell::Bytes(b"x"),
        Cell::Int(70_000),
        Cell::Int(1),
    ];
    let row = rejected(&mapping, &frame(1, &cells));
    assert_eq!(
        codes(&row),
        [
            (RequiredMissing, "name", ""),
            (TypeMismatch, "email", ""),
            (OutOfRange, "age", ""),
            (ExtraCells, "", ""),
        ]
    );
    assert_eq!(row.raw_values, ["", "\\x78", "70000", "1"]);
    let nulls = [
        Cell::Text("Ann"),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Unset,
    ];
    assert_eq!(map(&mapping, &frame(1, &nulls)).0, Verdict::Mapped);
}

#[test]
fn rows_as_cells_are_read_like_a_file_and_still_never_blank() {
    let as_cells = MappingSpec {
        mode: CellMode::Cells,
        ..rows_spec()
    };
    let mapping = resolve(&as_cells, &["name", "age"]).unwrap();
    let (_, values) = map(
        &mapping,
        &frame(1, &[Cell::Text(" Ann "), Cell::Text(" 42 ")]),
    );
    assert_eq!(values, ["Text(\"Ann\")", "Int(42)"]);
    let row = rejected(&mapping, &frame(1, &[Cell::Text(" "), Cell::Text("")]));
    assert_eq!(codes(&row), [(RequiredMissing, "name", "")]);
}

#[test]
fn messages_show_a_bounded_and_escaped_part_of_a_value() {
    let mapping = resolve(&spec(), &["name", "age"]).unwrap();
    let long = format!("\n\u{202e}\"{}", "é".repeat(5000));
    let row = rejected(&mapping, &frame(2, &[Cell::Text("Ann"), Cell::Text(&long)]));
    let message = &row.errors[0].message;
    assert!(message.starts_with("\"\\n\\u{202e}\\\"ééé"), "{message}");
    assert!(message.ends_with("é…\" is not a whole number"), "{message}");
    assert_eq!(message.matches('é').count(), 253);
    assert_eq!(row.errors[0].value, long);
    assert_eq!(row.raw_values[1], long);
}

#[test]
#[should_panic(expected = "as wide as the planned columns")]
fn a_buffer_of_another_width_is_refused() {
    let mapping = all_columns();
    let mut out = RowBuffer::new(1);
    mapping.map_row(
        frame(2, &[Cell::Text("x")]).rows().next().unwrap(),
        &mut out,
    );
}

proptest! {
    #[test]
    fn any_header_resolves_or_is_refused_with_reasons(
        names in proptest::collection::vec("\\PC{0,8}|(name|email|E-Mail|tags|id| )", 0..8),
        ignores in any::<bool>(),
    ) {
        let mut spec = spec();
        if ignores {
            spec.unmapped_source = UnmappedSource::Ignore;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match resolve(&spec, &names) {
            Ok(mapping) => {
                prop_assert!(mapping.n_source_columns() <= names.len().max(7));
                prop_assert_eq!(mapping.effective().len(), mapping.planned_columns().len());
            }
            Err(failure) => prop_assert!(!failure.fields.is_empty()),
        }
    }

    #[test]
    fn any_row_of_text_gets_exactly_one_verdict(
        texts in proptest::collection::vec("[ a-z0-9/.#-]{0,12}", 0..9),
    ) {
        let cells: Vec<Cell<'_>> = texts.iter().map(|text| Cell::Text(text)).collect();
        let is_blank = texts.iter().all(|text| text.trim().is_empty());
        match map(&all_columns(), &frame(2, &cells)).0 {
            Verdict::Blank => prop_assert!(is_blank),
            Verdict::Mapped => prop_assert!(!is_blank),
            Verdict::Rejected(row) => {
                prop_assert!(!is_blank && !row.errors.is_empty());
                prop_assert_eq!(row.raw_values, texts);
            }
        }
    }
}

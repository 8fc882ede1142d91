use proptest::prelude::*;

use super::{UsualCell, cell};
use crate::decode::xlsx::value::CellType;

fn usual(row: u32, column: u32, style: u32, cell_type: CellType, value: &str) -> UsualCell<'_> {
    UsualCell {
        row,
        column,
        style,
        cell_type,
        value: value.as_bytes(),
        n_bytes: 0,
    }
}

#[test]
fn the_usual_forms_are_taken() {
    let cases = [
        (
            "<c r=\"A1\"><v>1</v></c>",
            usual(0, 0, 0, CellType::Untyped, "1"),
        ),
        (
            "\r\n\t<c r=\"B12\" s=\"3\" t=\"s\"><v>7</v></c>",
            usual(11, 1, 3, CellType::SharedString, "7"),
        ),
        (
            "<c r=\"AA3\" t=\"n\" s=\"0\"><v>-1.5E3</v></c>",
            usual(2, 26, 0, CellType::Number, "-1.5E3"),
        ),
        (
            "<c r=\"XFD1048576\" t=\"b\"><v>1</v></c>",
            usual(1_048_575, 16_383, 0, CellType::Bool, "1"),
        ),
        (
            "<c r=\"A1\" t=\"e\"><v>#N/A</v></c>",
            usual(0, 0, 0, CellType::Error, "#N/A"),
        ),
        (
            "<c r=\"A1\" t=\"str\"><v>a b_c</v></c>",
            usual(0, 0, 0, CellType::FormulaText, "a b_c"),
        ),
        (
            "<c r=\"A1\" s=\"12\"/>",
            usual(0, 0, 12, CellType::Untyped, ""),
        ),
    ];
    for (text, wanted) in cases {
        let bytes = format!("{text}</row>");
        let found = cell(bytes.as_bytes()).unwrap();
        assert_eq!(found.n_bytes, text.len(), "{text}");
        assert_eq!(
            UsualCell {
                n_bytes: 0,
                ..found
            },
            wanted,
            "{text}"
        );
    }
}

#[test]
fn everything_else_is_left_to_the_tags() {
    for text in [
        "<c><v>1</v></c>",
        "<c r='A1'><v>1</v></c>",
        "<c s=\"1\" r=\"A1\"><v>1</v></c>",
        "<c  r=\"A1\"><v>1</v></c>",
        "<c r=\"A1\" s=\"1\" s=\"2\"><v>1</v></c>",
        "<c r=\"A1\" x=\"1\"><v>1</v></c>",
        "<c r=\"a1\"><v>1</v></c>",
        "<c r=\"XFE1\"><v>1</v></c>",
        "<c r=\"AAAA1\"/>",
        "<c r=\"A1048577\"/>",
        "<c r=\"A0\"/>",
        "<c r=\"A00000001\"/>",
        "<c r=\"A\"/>",
        "<c r=\"1\"/>",
        "<c r=\"A1\"></c>",
        "<c r=\"A1\"><v></v></c>",
        "<c r=\"A1\"><v/></c>",
        "<c r=\"A1\"><v> </v></c>",
        "<c r=\"A1\"><f>B1</f><v>1</v></c>",
        "<c r=\"A1\" t=\"inlineStr\"><is><t>1</t></is></c>",
        "<c r=\"A1\" t=\"inlineStr\"><v>1</v></c>",
        "<c r=\"A1\" t=\"x\"><v>1</v></c>",
        "<c r=\"A1\" s=\"\"/>",
        "<c r=\"A1\" t=\"str\"><v>a&amp;b</v></c>",
        "<c r=\"A1\" t=\"str\"><v>_x0041_</v></c>",
        "<c r=\"A1\"><v>1</v><v>2</v></c>",
        "<x:c r=\"A1\"><v>1</v></x:c>",
    ] {
        assert_eq!(cell(text.as_bytes()), None, "{text}");
    }
    let whole = b"<c r=\"B12\" s=\"3\" t=\"s\"><v>7</v></c>";
    for length in 0..whole.len() {
        assert_eq!(cell(&whole[..length]), None, "{length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(&b"<c r=\"A1/>v stn&_x"[..]), 0..80)) {
        if let Some(found) = cell(&bytes) {
            prop_assert!(found.n_bytes <= bytes.len());
        }
    }
}

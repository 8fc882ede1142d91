use super::{Values, duration_days, is_error_text};
use crate::decode::limits::Limits;
use crate::decode::sheet::formats::NumberKind;
use crate::model::cell::{Cell, DateSystem};

#[test]
fn texts_keep_their_blanks_and_lose_nothing_else() {
    let mut values = Values::new(&Limits::default(), false);
    assert_eq!(values.text("").unwrap(), Cell::Empty);
    assert_eq!(values.text("  a ").unwrap(), Cell::Text("  a "));
    assert_eq!(
        values.text("a\0b").unwrap(),
        Cell::InvalidText("a\u{fffd}b")
    );
}

#[test]
fn a_text_beyond_its_limit_is_refused_by_characters() {
    let mut values = Values::new(&Limits::default(), false);
    let long = "é".repeat(32_767);
    assert_eq!(values.text(&long).unwrap(), Cell::Text(&long));
    let longer = format!("{long}é");
    let error = values.text(&longer).unwrap_err();
    assert!(error.to_string().contains("cell_chars_max exceeded: 32768"));
}

#[test]
fn formats_decide_what_a_number_is() {
    let mut values = Values::new(&Limits::default(), true);
    let cases = [
        ("0.00%", Cell::Number(7.0)),
        (
            "yyyy",
            Cell::DateSerial {
                serial: 7.0,
                system: DateSystem::Y1904,
            },
        ),
        ("[h]:mm", Cell::Duration(7.0)),
        (
            "000",
            Cell::ZerosNumber {
                value: 7.0,
                shown: "007",
            },
        ),
    ];
    for (code, wanted) in cases {
        let kind = NumberKind::of_code(code);
        assert_eq!(values.number(7.0, &kind), wanted, "{code}");
    }
    let kind = NumberKind::of_code("000");
    assert_eq!(values.number(7.5, &kind), Cell::Number(7.5));
}

#[test]
fn durations_are_days() {
    let cases = [
        ("PT36H30M00S", Some(36.5 / 24.0)),
        ("PT0S", Some(0.0)),
        ("-PT12H", Some(-0.5)),
        ("P1DT12H", Some(1.5)),
        ("P2D", Some(2.0)),
        ("PT0H0M30.5S", Some(30.5 / 86_400.0)),
        ("PT", None),
        ("P", None),
        ("", None),
        ("P1Y", None),
        ("P1M", None),
        ("PT1S1H", None),
        ("PT1H1H", None),
        ("PT1", None),
        ("PTé", None),
        ("PT1.2.3S", None),
        ("12:30", None),
    ];
    for (text, wanted) in cases {
        let days = duration_days(text);
        match (days, wanted) {
            (Some(days), Some(wanted)) => assert!((days - wanted).abs() < 1e-12, "{text}: {days}"),
            _ => assert_eq!(days, wanted, "{text}"),
        }
    }
}

#[test]
fn texts_of_errors_are_known() {
    for text in ["#DIV/0!", "#N/A", "#SPILL!", "Err:502"] {
        assert!(is_error_text(text), "{text}");
    }
    for text in ["Err:", "Err:x", "#", "N/A", "", "#1"] {
        assert!(!is_error_text(text), "{text}");
    }
}

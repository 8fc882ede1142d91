use super::NumberKind;

fn shown(code: &str, value: f64) -> Option<String> {
    let NumberKind::Zeros(format) = NumberKind::of_code(code) else {
        return None;
    };
    let mut text = String::new();
    format.show(value, &mut text).then_some(text)
}

#[test]
fn dates_and_times_are_told_from_numbers() {
    let dates = [
        "yyyy-mm-dd",
        "DD/MM/YY",
        "H:MM:SS;@",
        "m\"M\"d\"D\";@",
        "[$-409]mmm\\ d\\,\\ yyyy;@",
        "[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy",
        "[$-404]e\"\u{5e74}\"",
        "[Red]yyyy",
        "*-yyyy-mm-dd",
        "h:mm AM/PM",
        "ha/p",
        "mm:ss.0",
        "ggge",
    ];
    for code in dates {
        assert_eq!(NumberKind::of_code(code), NumberKind::DateTime, "{code}");
    }
    let durations = [
        "[h]:mm:ss",
        "[HH]:MM",
        "[mm]:ss",
        "[ss].00",
        "[Blue]\\+[h]:mm",
    ];
    for code in durations {
        assert_eq!(NumberKind::of_code(code), NumberKind::Duration, "{code}");
    }
    let numbers = [
        "General",
        "GENERAL",
        "General\" d\"",
        "0",
        "0.00",
        "#,##0",
        "0%",
        "0.00E+00",
        "##0.0e-0",
        "# ?/?",
        "00/00",
        "0000.0",
        "@",
        "",
        ";;;",
        "#,##0.00\\ \"days\"",
        "[$\u{20ac}-407]000",
        "$000",
        "#,##0*y",
        "#,##0_d",
        "[>=100]000;General",
        "_(* #,##0.00_);_(* (#,##0.00);_(* \"-\"??_);_(@_)",
    ];
    for code in numbers {
        assert_eq!(NumberKind::of_code(code), NumberKind::Plain, "{code}");
    }
}

#[test]
fn built_in_ids_are_those_of_the_standard() {
    for id in 0..=60 {
        let wanted = match id {
            14..=22 | 27..=36 | 45 | 47 | 50..=58 => NumberKind::DateTime,
            46 => NumberKind::Duration,
            _ => NumberKind::Plain,
        };
        assert_eq!(NumberKind::of_builtin(id), wanted, "{id}");
    }
    assert_eq!(NumberKind::of("General", Some(31)), NumberKind::DateTime);
    assert_eq!(NumberKind::of("General", Some(0)), NumberKind::Plain);
    assert_eq!(NumberKind::of("0.0", Some(31)), NumberKind::Plain);
}

#[test]
fn zeros_formats_show_what_a_spreadsheet_program_shows() {
    let cases = [
        ("00000", 1234.0, Some("01234")),
        ("00000", 0.0, Some("00000")),
        ("00000", 123_456.0, Some("123456")),
        ("000-0000", 5_551_234.0, Some("555-1234")),
        ("000\\-0000", 15_551_234.0, Some("1555-1234")),
        ("000-00-0000", 12_345_678.0, Some("012-34-5678")),
        ("\"Nr. \"0000", 7.0, Some("Nr. 0007")),
        ("[Red]00000", 7.0, Some("00007")),
        ("[$-409]00000", 7.0, Some("00007")),
        ("0000_)", 7.0, Some("0007")),
        ("(00) 0000", 123_456.0, Some("(12) 3456")),
        ("00000;-00000", 7.0, Some("00007")),
        ("00000;-00000;\"none\"", 7.0, Some("00007")),
        ("00000;-00000;\"none\"", 0.0, None),
        ("00000", 999_999_999_999_999.0, Some("999999999999999")),
        ("00000", 1e15, None),
        ("00000", 12.5, None),
        ("00000", -7.0, None),
        ("00000", f64::NAN, None),
        ("00000", f64::INFINITY, None),
        ("0", 7.0, None),
    ];
    for (code, value, wanted) in cases {
        assert_eq!(shown(code, value).as_deref(), wanted, "{code} {value}");
    }
}

use super::{catalogue_name, concerns_row, copy_line, fatal_state, row_code, shown};
use crate::model::reject::RowErrorCode;
use crate::model::table::{CheckConstraint, Table};
use crate::store::StoreError;

#[test]
fn classes_of_the_contract_end_the_batch_and_others_reject_the_row() {
    for state in [
        "08006", "25006", "28P01", "3D000", "3F000", "40001", "40P01", "42501", "42P01", "53100",
        "54000", "55P03", "57014", "57P01", "58030", "F0000", "XX000",
    ] {
        assert!(!concerns_row(state), "{state}");
    }
    for state in [
        "22001", "22003", "22P02", "23502", "23505", "23P01", "P0001", "ABC12", "0A000", "21000",
        "38000", "44000",
    ] {
        assert!(concerns_row(state), "{state}");
    }
}

#[test]
fn states_become_the_codes_of_the_contract() {
    for (state, code) in [
        ("23502", RowErrorCode::RequiredMissing),
        ("23505", RowErrorCode::UniqueViolation),
        ("23503", RowErrorCode::ForeignKeyViolation),
        ("23514", RowErrorCode::CheckViolation),
        ("23P01", RowErrorCode::ExclusionViolation),
        ("22001", RowErrorCode::TooLong),
        ("22003", RowErrorCode::OutOfRange),
        ("22P02", RowErrorCode::TypeMismatch),
        ("22007", RowErrorCode::TypeMismatch),
        ("22008", RowErrorCode::TypeMismatch),
        ("22021", RowErrorCode::InvalidText),
        ("P0001", RowErrorCode::Database),
        ("44000", RowErrorCode::Database),
    ] {
        assert_eq!(row_code(state), code, "{state}");
    }
}

#[test]
fn the_line_of_a_copy_is_read_from_its_context() {
    for (context, expected) in [
        ("COPY businesses, line 5", Some((5, ""))),
        (
            "COPY t, line 12, column net: \"x\"",
            Some((12, ", column net: \"x\"")),
        ),
        (
            "PL/pgSQL function f() line 3 at RAISE\nCOPY t, line 7",
            Some((7, "")),
        ),
        ("PL/pgSQL function f() line 3 at RAISE", None),
        ("COPY t", None),
        ("COPY t, line x", None),
    ] {
        let line = copy_line(context);
        let line = line.as_ref().map(|(line, after)| (*line, after.as_str()));
        assert_eq!(line, expected, "{context}");
    }
}

#[test]
fn messages_are_escaped_and_cut() {
    assert_eq!(shown("a\nb\u{202e}c"), "a\\u{a}b\\u{202e}c");
    let long = shown(&"é".repeat(300));
    assert_eq!(long.chars().count(), 257);
    assert!(long.ends_with('…'));
}

#[test]
fn words_of_a_trigger_are_not_logged() {
    for state in [
        "40001", "40P01", "53400", "55P03", "57014", "57P01", "XX000", "F0000",
    ] {
        match fatal_state(state, "bad row zq7secret") {
            StoreError::Transient { message, .. } => {
                assert!(!message.contains("zq7secret"), "{state}: {message}");
            }
            other => panic!("{state}: {other:?}"),
        }
    }
}

#[test]
fn a_shards_number_behind_a_constraint_is_not_shown() {
    let column = |name: &str| name.to_owned();
    let table = Table {
        checks: vec![
            CheckConstraint {
                name: "t_check".to_owned(),
                columns: vec![column("a")],
            },
            CheckConstraint {
                name: "t_check_7".to_owned(),
                columns: vec![column("b")],
            },
        ],
        ..Table::bare("public", "t", Vec::new())
    };
    for (named, shown) in [
        ("t_check_102009", "t_check"),
        ("t_check_7_102009", "t_check_7"),
        ("t_check_7", "t_check_7"),
        ("t_check", "t_check"),
        ("t_check_x", "t_check_x"),
        ("other_102009", "other_102009"),
    ] {
        assert_eq!(catalogue_name(&table, named), shown);
    }
}

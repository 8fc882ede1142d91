use std::path::Path;

use super::{Summary, equation};
use crate::cli::terminal::Terminal;
use crate::cli::tests::Captured;
use crate::proto::{
    CellError, ImportResult, ImportStats, RejectedRow, RowErrorCode, State, WriteMethod,
};

fn stats() -> ImportStats {
    ImportStats {
        received_row_count: 1000,
        inserted_row_count: 987,
        rejected_row_count: 13,
        rows_per_second: 8333.4,
        elapsed: Some(std::time::Duration::from_millis(120).try_into().unwrap()),
        ..ImportStats::default()
    }
}

fn rejected_row() -> RejectedRow {
    let required = CellError {
        code: RowErrorCode::RequiredMissing.into(),
        column: String::from("name"),
        cell: String::from("A17"),
        message: String::from("no value for a required column"),
        ..CellError::default()
    };
    let unique = CellError {
        code: RowErrorCode::UniqueViolation.into(),
        column: String::from("email"),
        cell: String::from("D17"),
        value: String::from("a\u{202e}@x"),
        message: String::from("is taken"),
        constraint: String::from("businesses_email_key"),
        ..CellError::default()
    };
    RejectedRow {
        row_number: 17,
        errors: vec![required, unique],
        ..RejectedRow::default()
    }
}

fn print(result: &ImportResult, rejected_rows: &[RejectedRow]) -> String {
    let output = Captured::default();
    let mut terminal = Terminal::to(output.clone(), Captured::default());
    let summary = Summary {
        file: Path::new("my file.xlsx"),
        table: "businesses",
        flags: " --addr h:1",
        result,
        is_fenced: false,
        asked: WriteMethod::Copy,
        rejected_rows,
        resumed_from: (result.committed_offset == 7).then_some(7),
    };
    summary.print(&mut terminal).unwrap();
    output.text()
}

#[test]
fn the_summary_adds_up_and_shows_rejected_rows() {
    let result = ImportResult {
        import_id: String::from("a-1"),
        state: State::Succeeded.into(),
        stats: Some(stats()),
        rejected_row_count_by_code: [(String::from("ROW_ERROR_CODE_REQUIRED_MISSING"), 13)].into(),
        write_method: WriteMethod::Copy.into(),
        ..ImportResult::default()
    };
    assert_eq!(
        print(&result, &[rejected_row()]),
        "\
'my file.xlsx' into businesses: finished, with rejected rows
  1,000 rows = 987 inserted + 13 rejected
  120 ms, 8,333 rows/s, COPY
  import a-1

Rejected: 13 rows (13 REQUIRED_MISSING)
  row  cell  code              value          message
  17   A17   REQUIRED_MISSING  \"\"             no value for a required column
  17   D17   UNIQUE_VIOLATION  \"a\\u{202e}@x\"  is taken (businesses_email_key)
and 12 rows more; to see all: rowlift rejects a-1 --addr h:1
"
    );
}

#[test]
fn a_clean_import_is_told_in_four_lines() {
    let result = ImportResult {
        state: State::Succeeded.into(),
        stats: Some(ImportStats {
            received_row_count: 1,
            inserted_row_count: 1,
            ..ImportStats::default()
        }),
        ..ImportResult::default()
    };
    let told = print(&result, &[]);
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(
        told.starts_with("'my file.xlsx' into businesses: all rows are in\n"),
        "{told}"
    );
}

#[test]
fn what_was_updated_and_where_it_went_on_is_told() {
    let result = ImportResult {
        state: State::Succeeded.into(),
        committed_offset: 7,
        write_method: WriteMethod::Batch.into(),
        stats: Some(ImportStats {
            received_row_count: 9,
            updated_row_count: 5,
            unchanged_row_count: 3,
            skipped_row_count: 1,
            ..ImportStats::default()
        }),
        ..ImportResult::default()
    };
    let told = print(&result, &[]);
    assert!(
        told.contains("  9 rows = 5 updated + 3 unchanged + 1 skipped\n"),
        "{told}"
    );
    assert!(told.contains("BATCH instead of COPY, "), "{told}");
    assert!(
        told.contains("  went on after 7 rows that were decided before\n"),
        "{told}"
    );
}

#[test]
fn a_dry_run_is_told_as_one_however_it_ends() {
    for state in [
        State::Succeeded,
        State::Failed,
        State::Cancelled,
        State::Suspended,
    ] {
        let result = ImportResult {
            state: state.into(),
            stats: Some(stats()),
            validate_only: true,
            ..ImportResult::default()
        };
        let told = print(&result, &[]);
        let first = told.lines().next().unwrap();
        assert!(first.contains("dry run"), "{state:?}: {first}");
    }
}

#[test]
fn every_count_is_a_term_of_the_equation() {
    let stats = ImportStats {
        received_row_count: 2800,
        inserted_row_count: 1000,
        updated_row_count: 600,
        unchanged_row_count: 500,
        skipped_row_count: 400,
        rejected_row_count: 150,
        blank_row_count: 100,
        unprocessed_row_count: 50,
        ..ImportStats::default()
    };
    assert_eq!(
        equation(&stats),
        "2,800 rows = 1,000 inserted + 600 updated + 500 unchanged + 400 skipped + 150 rejected \
         + 100 blank + 50 unprocessed"
    );
    assert_eq!(equation(&ImportStats::default()), "0 rows");
}

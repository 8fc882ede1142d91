use super::{HEAD_START, import_spec, sha256, without_header};
use crate::grpc::deadline::earlier;
use crate::model::import::{Failure, Reason};
use crate::proto::{ErrorPolicy, ImportRowsRequest, Row, Value};
use crate::session::spec::{CommitMode, RejectPolicy};
use crate::store::OpenMode;

use std::time::{Duration, Instant};

fn request() -> ImportRowsRequest {
    ImportRowsRequest {
        import_id: "a".to_owned(),
        table: "t".to_owned(),
        column_names: vec!["x".to_owned(), "y".to_owned()],
        rows: vec![Row {
            values: vec![Value::default(), Value::default()],
            ..Row::default()
        }],
        ..ImportRowsRequest::default()
    }
}

#[test]
fn rows_are_all_or_nothing_unless_skipped() {
    for (policy, rejects, commit_mode) in [
        (
            ErrorPolicy::Unspecified,
            RejectPolicy::AbortTellingAll,
            CommitMode::OneBatch,
        ),
        (
            ErrorPolicy::Abort,
            RejectPolicy::AbortTellingAll,
            CommitMode::OneBatch,
        ),
        (
            ErrorPolicy::SkipRow,
            RejectPolicy::SkipDefault,
            CommitMode::PerBatch,
        ),
    ] {
        let request = ImportRowsRequest {
            error_policy: policy.into(),
            ..request()
        };
        let (spec, batch) = import_spec(request).unwrap();
        assert_eq!((spec.rejects, spec.commit_mode), (rejects, commit_mode));
        assert_eq!(spec.mode, OpenMode::Repeat);
        assert_eq!(batch.offset, Some(0), "a repetition appends nothing");
    }
}

#[test]
fn every_fault_is_named_by_its_own_path() {
    type Change = fn(&mut ImportRowsRequest);
    let cases: [(&str, Change); 11] = [
        ("import_id", |it| it.import_id.clear()),
        ("import_id", |it| it.import_id = "A".to_owned()),
        ("table", |it| it.table.clear()),
        ("column_names", |it| it.column_names.clear()),
        ("rows[0].values", |it| it.rows[0].values.clear()),
        ("rows[0].source_row_number", |it| {
            it.rows[0].source_row_number = -1;
        }),
        ("error_policy", |it| it.error_policy = 9),
        ("on_conflict", |it| it.on_conflict = 9),
        ("conflict_key", |it| it.conflict_key = "k".to_owned()),
        ("labels", |it| {
            it.labels.insert(String::new(), String::new());
        }),
        ("settings", |it| {
            it.settings.insert(String::new(), String::new());
        }),
    ];
    for (path, change) in cases {
        let mut request = request();
        change(&mut request);
        let failure = import_spec(request).expect_err(path);
        assert_eq!(failure.fields[0].0, path);
        assert!(failure.message.starts_with(path), "{}", failure.message);
    }
    let mut request = request();
    request.columns.push(crate::proto::ColumnMapping::default());
    let failure = import_spec(request).expect_err("a mapping without a source");
    assert_eq!(failure.fields[0].0, "columns[0].source");
}

#[test]
fn fields_of_a_header_are_those_of_the_request() {
    let failure = Failure::new(Reason::ColumnMapping, "x")
        .with_field("header.row_source.column_names[1]", "unknown")
        .with_field("header.columns[0].target_column", "unknown")
        .with_field("rows.offset", "x");
    let paths: Vec<String> = without_header(failure)
        .fields
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        paths,
        ["column_names[1]", "columns[0].target_column", "rows.offset"]
    );
}

#[test]
fn a_session_ends_before_its_call() {
    let now = Instant::now();
    let far = now + Duration::from_mins(1);
    assert_eq!(
        earlier(far, HEAD_START),
        far.checked_sub(HEAD_START).unwrap()
    );
    let near = now + Duration::from_millis(100);
    let session = earlier(near, HEAD_START);
    assert!(session < near && session > now, "{session:?}");
}

#[test]
fn rows_are_told_apart_by_their_content_and_id() {
    let rows = request().rows;
    let mut other = rows.clone();
    other[0].source_row_number = 1;
    assert_eq!(sha256("a", &rows), sha256("a", &request().rows));
    assert_ne!(sha256("a", &rows), sha256("b", &rows));
    assert_ne!(sha256("a", &rows), sha256("a", &other));
    assert_ne!(sha256("a", &rows), sha256("a", &[]));
}

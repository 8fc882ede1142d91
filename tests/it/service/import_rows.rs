//! ImportRows: one small batch in one call, all or nothing, again without harm.

use std::time::{Duration, Instant};

use rowlift::proto::value::Kind;
use rowlift::proto::{self, ErrorPolicy, ImportRowsRequest, ImportRowsResponse, State};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::service::PEOPLE;
use crate::support::service::Service;
use crate::support::waits::told_of_deadline;

/// Rows of name and age; `None` is NULL.
fn request(id: &str, rows: &[(Option<&str>, i64)]) -> ImportRowsRequest {
    let row = |(name, age): &(Option<&str>, i64)| proto::Row {
        values: vec![
            proto::Value {
                kind: name.map(|name| Kind::StringValue(name.to_owned())),
            },
            proto::Value {
                kind: Some(Kind::IntValue(*age)),
            },
        ],
        ..Default::default()
    };
    ImportRowsRequest {
        import_id: id.to_owned(),
        table: "people".to_owned(),
        column_names: vec!["name".to_owned(), "age".to_owned()],
        rows: rows.iter().map(row).collect(),
        ..Default::default()
    }
}

async fn send(service: &Service, request: ImportRowsRequest) -> Result<ImportRowsResponse, Status> {
    let response = service.client.clone().import_rows(request).await?;
    let response = response.into_inner();
    let stats = response.result.as_ref().unwrap().stats.unwrap();
    assert_eq!(
        stats.received_row_count,
        stats.inserted_row_count
            + stats.updated_row_count
            + stats.unchanged_row_count
            + stats.skipped_row_count
            + stats.rejected_row_count
            + stats.unprocessed_row_count,
        "conservation law: {stats:?}"
    );
    Ok(response)
}

fn counts(response: &ImportRowsResponse) -> (State, i64, i64) {
    let result = response.result.as_ref().unwrap();
    let stats = result.stats.unwrap();
    (
        result.state(),
        stats.inserted_row_count,
        stats.rejected_row_count,
    )
}

fn refusal(status: &Status) -> (Code, String, String) {
    let info = status.get_details_error_info().unwrap();
    let fields = status.get_details_bad_request();
    let field = fields.and_then(|it| it.field_violations.first().map(|it| it.field.clone()));
    (status.code(), info.reason, field.unwrap_or_default())
}

async fn names(service: &Service) -> Vec<String> {
    let rows = service
        .query_sqlite("select name from people order by id")
        .await;
    rows.into_iter()
        .map(|row| row.into_iter().next().flatten().unwrap())
        .collect()
}

/// Waits until the ledger has the import in this state.
async fn wait_for(service: &Service, id: &str, wanted: State) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let get = proto::GetImportRequest {
            import_id: id.to_owned(),
            ..Default::default()
        };
        let job = service.client.clone().get_import(get).await;
        let state = job.map(|response| response.into_inner().job.unwrap().state());
        if state.as_ref().is_ok_and(|state| *state == wanted) {
            return;
        }
        assert!(
            Instant::now() < until,
            "import {id} is {state:?}, not {wanted:?}"
        );
        tokio::task::yield_now().await;
    }
}

/// Waits until the server works on a call.
async fn has_begun(service: &Service) {
    let until = Instant::now() + Duration::from_secs(20);
    while service.app.tasks().is_empty() {
        assert!(Instant::now() < until, "nothing has begun");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_written_once_however_often_it_is_sent() {
    let service = Service::sqlite(PEOPLE).await;
    let rows = [(Some("Ann"), 1), (Some("Bo"), 2)];
    let first = send(&service, request("batch", &rows)).await.unwrap();
    assert_eq!(counts(&first), (State::Succeeded, 2, 0));
    assert!(!first.replayed);
    for _ in 0..2 {
        let again = send(&service, request("batch", &rows)).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.result, first.result);
    }
    let other = [(Some("Ann"), 1), (Some("Bob"), 2)];
    let status = send(&service, request("batch", &other)).await.unwrap_err();
    let (code, reason, field) = refusal(&status);
    assert_eq!(
        (code, reason.as_str()),
        (Code::AlreadyExists, "ID_CONFLICT")
    );
    assert_eq!(field, "rows");
    assert_eq!(names(&service).await, ["Ann", "Bo"]);
    // No rows are a batch too.
    let none = send(&service, request("none", &[])).await.unwrap();
    assert_eq!(counts(&none), (State::Succeeded, 0, 0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_leaves_nothing_and_the_id_free() {
    let service = Service::sqlite(PEOPLE).await;
    // The second breaks NOT NULL, the third the table's check.
    let bad = [(Some("Ann"), 1), (None, 2), (Some("Cy"), -3)];
    let failed = send(&service, request("again", &bad)).await.unwrap();
    let result = failed.result.as_ref().unwrap();
    assert_eq!(result.state(), State::Failed);
    assert!(result.error.is_some());
    assert!(!failed.replayed);
    let told: Vec<(i64, &str)> = failed
        .rejected_rows
        .iter()
        .map(|row| (row.offset, row.errors[0].code().as_str_name()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "ROW_ERROR_CODE_REQUIRED_MISSING"),
            (2, "ROW_ERROR_CODE_CHECK_VIOLATION")
        ]
    );
    assert_eq!(names(&service).await, [""; 0]);
    let good = [(Some("Ann"), 1), (Some("Bo"), 2), (Some("Cy"), 3)];
    let fixed = send(&service, request("again", &good)).await.unwrap();
    assert_eq!(counts(&fixed), (State::Succeeded, 3, 0));
    assert!(!fixed.replayed);
    assert!(fixed.rejected_rows.is_empty());
    assert_eq!(names(&service).await, ["Ann", "Bo", "Cy"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_with_a_late_bad_row_leaves_nothing() {
    let service = Service::sqlite_with(PEOPLE, |config| config.batch_rows_first = 10).await;
    let mut rows = vec![(Some("Ann"), 1); 500];
    rows[499].1 = -1;
    let failed = send(&service, request("large", &rows)).await.unwrap();
    assert_eq!(counts(&failed).0, State::Failed);
    assert_eq!(failed.rejected_rows.len(), 1);
    assert_eq!(failed.rejected_rows[0].offset, 499);
    assert_eq!(names(&service).await, [""; 0]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_left_out_where_the_caller_says_so() {
    let service = Service::sqlite(PEOPLE).await;
    let rows = [(Some("Ann"), 1), (None, 2), (Some("Cy"), 3)];
    let skipping = ImportRowsRequest {
        error_policy: ErrorPolicy::SkipRow.into(),
        ..request("skip", &rows)
    };
    let first = send(&service, skipping.clone()).await.unwrap();
    assert_eq!(counts(&first), (State::Succeeded, 2, 1));
    assert_eq!(first.rejected_rows.len(), 1);
    let again = send(&service, skipping).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.rejected_rows, first.rejected_rows);
    assert_eq!(names(&service).await, ["Ann", "Cy"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_like_a_real_one_and_writes_nothing() {
    let service = Service::sqlite(PEOPLE).await;
    let dry = |id: &str, rows| ImportRowsRequest {
        validate_only: true,
        ..request(id, rows)
    };
    let good = [(Some("Ann"), 1)];
    let response = send(&service, dry("dry", &good)).await.unwrap();
    assert_eq!(counts(&response), (State::Succeeded, 1, 0));
    assert!(response.result.unwrap().validate_only);
    let bad = [(Some("Ann"), 1), (Some("Bo"), -1)];
    let response = send(&service, dry("dry-bad", &bad)).await.unwrap();
    assert_eq!(response.result.as_ref().unwrap().state(), State::Failed);
    assert_eq!(response.rejected_rows.len(), 1);
    assert_eq!(names(&service).await, [""; 0]);
    let real = send(&service, request("real", &good)).await.unwrap();
    assert_eq!(counts(&real), (State::Succeeded, 1, 0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_writes_its_rows_nevertheless() {
    let service = Service::sqlite(PEOPLE).await;
    // Somebody else writes: the call cannot end before that.
    let writer = service.hold_sqlite().await;
    let rows = [(Some("Ann"), 1)];
    let mut client = service.client.clone();
    let mut call = Box::pin(client.import_rows(request("dropped", &rows)));
    tokio::select! {
        ended = &mut call => panic!("ended although the writer is held: {ended:?}"),
        () = has_begun(&service) => {}
    }
    drop(call);
    drop(writer);
    wait_for(&service, "dropped", State::Succeeded).await;
    let again = send(&service, request("dropped", &rows)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(counts(&again), (State::Succeeded, 1, 0));
    assert_eq!(names(&service).await, ["Ann"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named_by_its_path() {
    type Change = fn(&mut ImportRowsRequest);
    let service = Service::sqlite(PEOPLE).await;
    let good = || request("r", &[(Some("Ann"), 1)]);
    let cases: [(Change, Code, &str, &str); 5] = [
        (
            |it| it.import_id.clear(),
            Code::InvalidArgument,
            "INVALID_OPTION",
            "import_id",
        ),
        (
            |it| it.table = "nowhere".to_owned(),
            Code::NotFound,
            "TABLE_NOT_FOUND",
            "",
        ),
        (
            |it| it.column_names[1] = "nonsense".to_owned(),
            Code::InvalidArgument,
            "COLUMN_MAPPING",
            "column_names[1]",
        ),
        (
            |it| it.on_conflict = proto::ConflictAction::Skip.into(),
            Code::FailedPrecondition,
            "NO_UNIQUE_KEY",
            "on_conflict",
        ),
        (
            |it| {
                it.settings.insert("app.x".to_owned(), String::new());
            },
            Code::InvalidArgument,
            "INVALID_OPTION",
            "settings",
        ),
    ];
    for (change, code, reason, field) in cases {
        let mut request = good();
        change(&mut request);
        let status = send(&service, request).await.unwrap_err();
        let (found_code, found_reason, found_field) = refusal(&status);
        assert_eq!(
            (found_code, found_reason.as_str()),
            (code, reason),
            "{status}"
        );
        assert!(found_field.starts_with(field), "{found_field}");
    }
    // None of them has used the id.
    let response = send(&service, good()).await.unwrap();
    assert_eq!(counts(&response), (State::Succeeded, 1, 0));
    // Now it has: other options are another import.
    let mut other = good();
    other.error_policy = ErrorPolicy::SkipRow.into();
    let (code, reason, _) = refusal(&send(&service, other).await.unwrap_err());
    assert_eq!(
        (code, reason.as_str()),
        (Code::AlreadyExists, "ID_CONFLICT")
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_answered_as_one_and_the_call_can_be_repeated() {
    let service = Service::sqlite(PEOPLE).await;
    let writer = service.hold_sqlite().await;
    let rows = [(Some("Ann"), 1)];
    let status = told_of_deadline(async || {
        let mut late = Request::new(request("late", &rows));
        late.set_timeout(Duration::from_millis(900));
        service.client.clone().import_rows(late).await.unwrap_err()
    })
    .await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    drop(writer);
    let response = send(&service, request("late", &rows)).await.unwrap();
    assert_eq!(counts(&response), (State::Succeeded, 1, 0));
    assert_eq!(names(&service).await, ["Ann"]);
    service.stop().await;
}

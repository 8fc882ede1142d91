//! What an import makes of a table is what writing its rows one by one makes of it, with four
//! writers too; and a dry run says what the real run then says.

use std::fmt::Write;

use bytes::Bytes;
use rowlift::client::json;
use rowlift::client::{FinishedImport, ImportClient};
use rowlift::proto::{ConflictAction, ImportHeader, ImportStats};
use serde_json::Value;

use super::leaves_nothing;
use crate::support::postgres::Database;
use crate::support::running::{Running, stats};
use crate::support::service::{Service, file_header};
use crate::support::size::short_or_long;

use model::{KeyedRow, Outcome};

mod model;
mod random;

/// Three unique keys.
const KEYED: &str = "create table keyed (
    id bigint constraint keyed_pkey primary key,
    email text constraint keyed_email_key unique,
    code text constraint keyed_code_key unique,
    name text
)";

async fn start(schema: &str, change: &[(&str, usize)]) -> (Database, Service) {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |config| {
        config.writers_max = 4;
        config.writers_per_import = 4;
        for (key, value) in change {
            match *key {
                "batch_rows_max" => config.batch_rows_max = *value,
                other => panic!("{other} is not changed here"),
            }
        }
    })
    .await;
    database.execute(schema).await;
    (database, service)
}

fn keyed_csv(rows: &[KeyedRow]) -> Bytes {
    let mut csv = String::from("id,email,code,name\n");
    for row in rows {
        let KeyedRow {
            id,
            email,
            code,
            name,
        } = row;
        writeln!(csv, "{id},{email},{code},{name}").unwrap();
    }
    csv.into()
}

/// All rejected rows: row number, cell and constraint.
async fn rejected_rows(client: &ImportClient, id: &str) -> Vec<model::Rejected> {
    let mut rejected = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = client.rejected_rows(id, 1000, &page_token).await.unwrap();
        for row in page.rejected_rows {
            assert_eq!(row.errors.len(), 1, "{row:?}");
            let error = &row.errors[0];
            rejected.push((row.row_number, error.cell.clone(), error.constraint.clone()));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return rejected;
        }
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap()
}

/// Imports rows of which 1 % repeat a key, and compares with what one by one gives.
async fn keeps_to_the_model(action: ConflictAction, n_rows: u64, n_times: usize) {
    let rows = model::rows(n_rows);
    let expected = model::one_by_one(&rows, action);
    let (database, service) = start(KEYED, &[("batch_rows_max", 5_000)]).await;
    let client = service.import_client().await;
    for round in 0..n_times {
        database.execute("truncate keyed").await;
        let id = format!("round-{round}");
        let header = ImportHeader {
            on_conflict: action.into(),
            conflict_columns: match action {
                ConflictAction::Reject => Vec::new(),
                _ => vec!["email".to_owned()],
            },
            ..file_header(&id, "keyed")
        };
        let import = Running::file(client.clone(), header, keyed_csv(&rows), 64 << 10);
        let counts = stats(&import.end().await.unwrap());
        assert_as_expected(&counts, &expected);
        assert_eq!(rejected_rows(&client, &id).await, expected.rejected, "{id}");
        let table = database
            .query("select id::text, email, code, name from keyed order by keyed.id")
            .await;
        // Not assert_eq: a hundred thousand rows are no message.
        assert!(table == expected.table(), "{id}: the table differs");
    }
    leaves_nothing(&database).await;
    service.stop().await;
}

fn assert_as_expected(counts: &ImportStats, expected: &Outcome) {
    assert_eq!(
        [
            counts.inserted_row_count,
            counts.updated_row_count,
            counts.skipped_row_count,
            counts.rejected_row_count,
            counts.unprocessed_row_count,
        ],
        [
            signed(expected.n_inserted),
            signed(expected.n_updated),
            signed(expected.n_skipped),
            signed(expected.rejected.len()),
            0,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_rows_that_break_a_key_are_rejected() {
    let n_times = short_or_long(3, 20);
    keeps_to_the_model(ConflictAction::Reject, 100_000, n_times).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_rows_that_meet_a_key_are_skipped() {
    let n_rows = short_or_long(20_000, 100_000);
    keeps_to_the_model(ConflictAction::Skip, n_rows, short_or_long(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_row_of_a_key_is_what_an_update_leaves() {
    let n_rows = short_or_long(20_000, 100_000);
    keeps_to_the_model(ConflictAction::Update, n_rows, short_or_long(2, 20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_with_blank_cells_loses_nothing_that_was_there() {
    let n_rows: u64 = short_or_long(20_000, 1_000_000);
    let schema = format!(
        "create table contacts (email text primary key, name text not null, phone text, age int);
         insert into contacts select n || '@x', 'old ' || n, 'phone ' || n, n
         from generate_series(0, {n_rows} - 1) n"
    );
    let (database, service) = start(&schema, &[]).await;
    // Each column is blank in rows of its own; every row has its key.
    let mut csv = String::from("email,name,phone,age\n");
    let cell = |n: u64, blank_every: u64, text: String| {
        if n.is_multiple_of(blank_every) {
            String::new()
        } else {
            text
        }
    };
    for n in 0..n_rows {
        let name = cell(n, 2, format!("new {n}"));
        let phone = cell(n, 3, format!("call {n}"));
        let age = cell(n, 5, (n + 7).to_string());
        writeln!(csv, "{n}@x,{name},{phone},{age}").unwrap();
    }
    let header = ImportHeader {
        on_conflict: ConflictAction::Update.into(),
        conflict_columns: vec!["email".to_owned()],
        ..file_header("upsert", "contacts")
    };
    let client = service.import_client().await;
    let import = Running::file(client, header, csv.into(), 256 << 10);
    let counts = stats(&import.end().await.unwrap());
    // A row whose cells are all blank leaves its row as it was.
    let n_unchanged = i64::try_from(n_rows.div_ceil(30)).unwrap();
    let n_updated = i64::try_from(n_rows).unwrap() - n_unchanged;
    assert_eq!(
        [
            counts.updated_row_count,
            counts.unchanged_row_count,
            counts.inserted_row_count,
            counts.rejected_row_count,
        ],
        [n_updated, n_unchanged, 0, 0]
    );
    let wrong = "select count(*), count(*) filter (where
            name is distinct from case when n % 2 = 0 then 'old ' else 'new ' end || n
            or phone is distinct from case when n % 3 = 0 then 'phone ' else 'call ' end || n
            or age is distinct from case when n % 5 = 0 then n else n + 7 end)
        from (select *, split_part(email, '@', 1)::bigint n from contacts) c";
    let wanted = [n_rows, 0].map(|n| Some(n.to_string()));
    assert_eq!(database.query(wrong).await, [wanted]);
    leaves_nothing(&database).await;
    service.stop().await;
}

/// The result as JSON, without ids, times and the flag of a dry run.
fn comparable(finished: &FinishedImport) -> Value {
    let mut result: Value = serde_json::from_str(&json::line(&finished.result)).unwrap();
    let result_fields = result.as_object_mut().unwrap();
    result_fields.remove("importId").unwrap();
    result_fields.remove("validateOnly");
    let stats = result_fields["stats"].as_object_mut().unwrap();
    stats.remove("elapsed");
    stats.remove("rowsPerSecond");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_the_real_run_then_says() {
    let rows = model::rows(10_000);
    let (database, service) = start(KEYED, &[("batch_rows_max", 1_000)]).await;
    let client = service.import_client().await;
    for action in [
        ConflictAction::Reject,
        ConflictAction::Skip,
        ConflictAction::Update,
    ] {
        database.execute("truncate keyed").await;
        let mut said = Vec::new();
        for validate_only in [true, false] {
            let id = format!("{action:?}-{validate_only}").to_lowercase();
            let header = ImportHeader {
                on_conflict: action.into(),
                conflict_columns: match action {
                    ConflictAction::Reject => Vec::new(),
                    _ => vec!["email".to_owned()],
                },
                validate_only,
                ..file_header(&id, "keyed")
            };
            let import = Running::file(client.clone(), header, keyed_csv(&rows), 64 << 10);
            let finished = import.end().await.unwrap();
            assert_eq!(finished.result.validate_only, validate_only);
            let rejected = rejected_rows(&client, &id).await;
            said.push((comparable(&finished), rejected));
            let n_rows = database.value("select count(*) from keyed").await;
            assert_eq!(n_rows == "0", validate_only, "{id}: {n_rows} rows");
        }
        assert_eq!(said[0], said[1], "{action:?}");
    }
    leaves_nothing(&database).await;
    service.stop().await;
}

//! Keys that repeat at random over many small batches, with four writers; cut short and resumed,
//! too. The outcome is that of writing the rows one by one.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rowlift::proto::{ConflictAction, ImportHeader};

use super::model::{self, KeyedRow};
use super::{KEYED, assert_as_expected, keyed_csv, rejected_rows};
use crate::faults::leaves_nothing;
use crate::support::postgres::Database;
use crate::support::running::{Running, stats};
use crate::support::service::{Service, file_header};
use crate::support::size::short_or_long;
use crate::support::waits::eventually;

const ROWS: u64 = 400;

/// One unique key alone, so that updates overlap, too.
const BY_EMAIL: &str = "create table keyed (
    id bigint, email text constraint keyed_email_key unique, code text, name text
)";

/// Rows of which about a third repeat one key of an earlier one, mostly of one that is near.
fn rows(random: &mut StdRng, action: ConflictAction) -> Vec<KeyedRow> {
    let mut rows: Vec<KeyedRow> = Vec::new();
    for n in 0..ROWS {
        let mut row = KeyedRow {
            id: n,
            email: format!("{n}@x"),
            code: format!("c{n}"),
            name: format!("name {n}"),
        };
        if n > 0 && random.random_range(0..3) == 0 {
            let far = if random.random_range(0..4) == 0 {
                n
            } else {
                n.min(40)
            };
            let back = random.random_range(1..=far);
            let earlier = &rows[usize::try_from(n - back).unwrap()];
            match random.random_range(0..3) {
                0 if action != ConflictAction::Update => row.id = earlier.id,
                1 if action != ConflictAction::Update => row.code.clone_from(&earlier.code),
                _ => row.email.clone_from(&earlier.email),
            }
        }
        rows.push(row);
    }
    rows
}

async fn service(database: &Database, batch_rows_max: usize) -> Service {
    Service::postgres(database, |config| {
        config.writers_max = 4;
        config.writers_per_import = 4;
        config.batch_rows_first = 1;
        config.batch_rows_max = batch_rows_max;
    })
    .await
}

async fn keeps_to_the_model(action: ConflictAction) {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let database = Database::fresh().await;
    let services = [service(&database, 9).await, service(&database, 5).await];
    let schema = match action {
        ConflictAction::Update => BY_EMAIL,
        _ => KEYED,
    };
    database.execute(schema).await;
    let clients = [
        services[0].import_client().await,
        services[1].import_client().await,
    ];
    for round in 0..short_or_long(4, 40) {
        database.execute("truncate keyed").await;
        let rows = rows(&mut random, action);
        let expected = model::one_by_one(&rows, action);
        let id = format!("round-{round}");
        let header = ImportHeader {
            on_conflict: action.into(),
            conflict_columns: match action {
                ConflictAction::Reject => Vec::new(),
                _ => vec!["email".to_owned()],
            },
            resume: true,
            ..file_header(&id, "keyed")
        };
        let begin = |at: usize| {
            let (client, header) = (clients[at].clone(), header.clone());
            Running::file(client, header, keyed_csv(&rows), 1 << 10)
        };
        // Every other one is taken over by another server at some moment, from a session that may be
        // gone by then.
        let mut first = None;
        if round % 2 == 1 {
            first = Some(begin(0));
            let n_rows = random.random_range(1..ROWS / 2);
            until_committed(&database, &id, n_rows).await;
            if random.random() {
                first = None;
            }
        }
        let counts = stats(&begin(1).end().await.unwrap());
        drop(first);
        assert_as_expected(&counts, &expected);
        let rejected = rejected_rows(&clients[0], &id).await;
        assert_eq!(rejected, expected.rejected, "{id}");
        let table = database
            .query("select id::text, email, code, name from keyed order by keyed.id")
            .await;
        assert_eq!(table, expected.table(), "{id}");
    }
    leaves_nothing(&database).await;
    for service in services {
        service.stop().await;
    }
}

/// Waits until so many rows are decided, in whatever order.
async fn until_committed(database: &Database, id: &str, n_rows: u64) {
    let sql = format!(
        "select coalesce(sum(end_ordinal - first_ordinal), 0) >= {n_rows}
         from rowlift.import_batches b join rowlift.imports i on i.id = b.import
         where i.import_id = '{id}'"
    );
    eventually("rows are committed", async || {
        database.value(&sql).await == "t"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_rows_that_break_a_key_are_rejected_as_one_by_one() {
    Box::pin(keeps_to_the_model(ConflictAction::Reject)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_rows_that_meet_a_key_are_skipped_as_one_by_one() {
    Box::pin(keeps_to_the_model(ConflictAction::Skip)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_rows_that_meet_a_key_update_it_as_one_by_one() {
    Box::pin(keeps_to_the_model(ConflictAction::Update)).await;
}

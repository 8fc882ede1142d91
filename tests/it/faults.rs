//! What dies while an import runs, and that every row is in the table exactly once all the same.
//!
//! Each test ends with nothing left behind: no decoder, spool file, open transaction or lock. The
//! sizes are those of a quick run; `scripts/test --long` has the full ones.

#![expect(
    clippy::print_stdout,
    reason = "a failed test shows what it did, and when"
)]

use futures::{Stream, stream};
use rowlift::client::messages;
use rowlift::client::messages::finish_rows;
use rowlift::proto::{ImportHeader, ImportRequest};
use rowlift::store::allow::AllowList;
use rowlift::store::copying::Copying;
use rowlift::store::postgres::{PgConfig, PgStore};
use rowlift::store::{Retention, Store};

use crate::support::businesses::{self, COLUMNS};
use crate::support::postgres::Database;
use crate::support::waits::eventually;

mod contention;
mod crashes;
mod drain;
mod kills;
mod outcomes;
mod overlap;
mod pooler;
mod replies;
mod sessions;

/// Rows of a message.
const MESSAGE_ROWS: u64 = 500;

/// Brings the database to this version.
pub(crate) async fn migrate(database: &Database) {
    let config = PgConfig {
        url: database.url().to_owned(),
        allow: AllowList::new(Vec::new(), "public"),
        writers_total: 1,
        writers_per_import: 1,
        control_timeout: std::time::Duration::from_secs(20),
        lease: std::time::Duration::from_secs(15),
        server: "test".to_owned(),
        pooled: false,
        retention: Retention::default(),
        copying: Copying::default(),
        copy_detected: true,
    };
    let store = PgStore::connect(config).await.unwrap();
    store.migrate().await.unwrap();
}

/// A new database with the ledger and the sample table.
pub(crate) async fn migrated() -> Database {
    let database = Database::fresh().await;
    migrate(&database).await;
    database
}

/// A file for `businesses`, begun or resumed.
fn file_header(id: &str) -> ImportHeader {
    ImportHeader {
        import_id: id.to_owned(),
        resume: true,
        ..messages::file_header("businesses")
    }
}

/// Rows for `businesses`, begun or resumed.
fn row_header(id: &str) -> ImportHeader {
    ImportHeader {
        import_id: id.to_owned(),
        resume: true,
        ..messages::row_header("businesses", &COLUMNS)
    }
}

/// The rows from 0 on, for as long as somebody takes them.
fn endless() -> impl Stream<Item = ImportRequest> + Send + 'static {
    let messages = (0..).map(|n: u64| {
        let first = n * MESSAGE_ROWS;
        businesses::packed(first..first + MESSAGE_ROWS, 1)
    });
    stream::iter(messages)
}

/// The rows from 0 to `n_rows`, and the end.
fn whole(n_rows: u64) -> impl Stream<Item = ImportRequest> + Send + 'static {
    let firsts = (0..n_rows).step_by(usize::try_from(MESSAGE_ROWS).unwrap());
    let messages =
        firsts.map(move |first| businesses::packed(first..n_rows.min(first + MESSAGE_ROWS), 1));
    let finish = finish_rows(i64::try_from(n_rows).unwrap());
    stream::iter(messages.chain([finish]))
}

/// Waits until no transaction, statement or lock of a service is left in the database.
async fn leaves_nothing(database: &Database) {
    let sql = "select count(*) from pg_stat_activity a
        where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'
        and (state <> 'idle' or exists (select from pg_locks l where l.pid = a.pid))";
    eventually("transactions and locks are gone", async || {
        database.value(sql).await == "0"
    })
    .await;
}

/// The ledger has decided each of `n_rows` rows once, and all of them are in.
async fn ledger_has(database: &Database, id: &str, n_rows: u64) {
    let sql = format!(
        "select sum(inserted), sum(end_ordinal - first_ordinal), min(first_ordinal),
            max(end_ordinal)
         from rowlift.import_batches b join rowlift.imports i on i.id = b.import
         where i.import_id = '{id}'"
    );
    let rows = database.query(&sql).await;
    let wanted = [n_rows, n_rows, 0, n_rows].map(|n| Some(n.to_string()));
    assert_eq!(rows, [wanted]);
}

/// A number of rows with `n_more` beyond the last one that is committed: four writers leave gaps, so
/// that it is not the number of rows in the table.
async fn rows_beyond(database: &Database, id: &str, n_more: u64) -> u64 {
    let sql = format!(
        "select coalesce(max(end_ordinal), 0)
         from rowlift.import_batches b join rowlift.imports i on i.id = b.import
         where i.import_id = '{id}'"
    );
    database.value(&sql).await.parse::<u64>().unwrap() + n_more
}

/// Numbers that look random, from a seed that a failing test shows.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = rand::random();
        println!("seed {seed}");
        Random(seed)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = businesses::mixed(self.0);
        self.0 % bound
    }

    /// One of these.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

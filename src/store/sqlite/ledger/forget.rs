//! Forgetting: ids and values that have expired, and what DeleteImport wipes.
//!
//! In: the clock, or an import to wipe now. Out: fewer rows and fewer values, a bounded number of
//! rows in each `BEGIN IMMEDIATE`, so that a batch never waits long for the only writer. An import
//! that a session holds is never touched; one whose session died gets its times from
//! [`date_abandoned`].
//!
//! Values are not told any more once their time has come, wiped or not ([`super::records`]).
//! `secure_delete` overwrites what is deleted in the file; of what it does not reach, and of what the
//! log holds, the file is cleaned afterwards ([`super::scrub`]).
//!
//! What counts as a value is said in [`RejectedRow::without_values`] and
//! [`ImportOutcome::without_values`]; which columns hold some, in [`strip`].

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{from_json, json, now_ms, number, records};
use crate::model::import::{Failure, ImportOutcome, ImportRecord};
use crate::model::reject::RejectedRow;
use crate::store::sqlite::sql::{execute, fetch_all, fetch_one, fetch_optional, run, run_counted};
use crate::store::{Forgotten, Retention, StoreError};

/// Imports of one step.
const IMPORTS_MAX: u32 = 100;
/// Bytes of rejected rows in memory at once, but for the first row.
const PIECE_BYTES_MAX: i64 = 4 << 20;

/// When the lease of the newest session of the import `i` ends or ended, in SQL.
macro_rules! lease_end {
    () => {
        "coalesce((SELECT s.lease_until_ms FROM rowlift_sessions s WHERE s.import = i.id \
         ORDER BY s.epoch DESC LIMIT 1), 0)"
    };
}

/// A duration as the ledger has it; short enough to be added to a time.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    const MAX: i64 = i64::MAX / 4;
    i64::try_from(duration.as_millis()).map_or(MAX, |it| it.min(MAX))
}

/// Whether [`forget`] would find something; for a connection that reads.
pub(in crate::store::sqlite) async fn is_due(
    connection: &mut SqliteConnection,
) -> Result<bool, StoreError> {
    let sql = concat!(
        "SELECT EXISTS (SELECT 1 FROM rowlift_imports WHERE expire_time_ms <= now_ms) \
         OR EXISTS (SELECT 1 FROM rowlift_imports WHERE rejects_expire_time_ms <= now_ms \
         AND wiped = 0) \
         OR EXISTS (SELECT 1 FROM rowlift_imports i WHERE i.state = 2 \
         AND (i.expire_time_ms IS NULL OR i.expire_time_ms < ",
        lease_end!(),
        ") AND ",
        lease_end!(),
        " <= now_ms) FROM (SELECT ",
        now_ms!(),
        " AS now_ms)"
    );
    let row = fetch_one(connection, sqlx::query(sql)).await?;
    Ok(row.get(0))
}

/// One step; see [`crate::store::Store::forget`].
pub(in crate::store::sqlite) async fn forget(
    connection: &mut SqliteConnection,
    retention: Retention,
    n_rows_max: u32,
) -> Result<Forgotten, StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    date_abandoned(connection, retention).await?;
    let mut done = delete_expired(connection, n_rows_max).await?;
    if done == Forgotten::default() {
        done = wipe_expired(connection, n_rows_max).await?;
    }
    execute(connection, "COMMIT").await?;
    Ok(done)
}

/// Gives imports whose session died the times that they would have had, had it said so; anew where
/// one that was taken for dead has held its import since.
async fn date_abandoned(
    connection: &mut SqliteConnection,
    retention: Retention,
) -> Result<(), StoreError> {
    let sql = concat!(
        "UPDATE rowlift_imports SET expire_time_ms = a.since + ?1, \
         rejects_expire_time_ms = a.since + coalesce(reject_retention_ms, ?2) \
         FROM (SELECT i.id, max(i.update_time_ms, ",
        lease_end!(),
        ") AS since FROM rowlift_imports i WHERE i.state = 2 AND ",
        lease_end!(),
        " <= ",
        now_ms!(),
        " AND (i.expire_time_ms IS NULL OR i.expire_time_ms < ?1 + max(i.update_time_ms, ",
        lease_end!(),
        ")) LIMIT ?3) AS a WHERE rowlift_imports.id = a.id"
    );
    let query = sqlx::query(sql)
        .bind(milliseconds(retention.ids))
        .bind(milliseconds(retention.rejects))
        .bind(IMPORTS_MAX);
    run(connection, query).await
}

/// Deletes imports with all that belongs to them, rejected rows first.
async fn delete_expired(
    connection: &mut SqliteConnection,
    n_rows_max: u32,
) -> Result<Forgotten, StoreError> {
    let sql = concat!(
        "SELECT i.id FROM rowlift_imports i WHERE i.expire_time_ms <= ",
        now_ms!(),
        " AND (i.state <> 2 OR ",
        lease_end!(),
        " <= i.expire_time_ms) ORDER BY i.expire_time_ms LIMIT ?"
    );
    let query = sqlx::query(sql).bind(IMPORTS_MAX);
    let imports = fetch_all(connection, query).await?;
    let mut done = Forgotten {
        more: !imports.is_empty(),
        ..Forgotten::default()
    };
    for row in imports {
        let import: i64 = row.get(0);
        let left = u64::from(n_rows_max) - done.n_rows;
        let sql = "DELETE FROM rowlift_rejected_rows WHERE import = ?1 AND ordinal IN (\
                   SELECT ordinal FROM rowlift_rejected_rows WHERE import = ?1 \
                   ORDER BY ordinal LIMIT ?2)";
        let query = sqlx::query(sql).bind(import).bind(super::stored(left));
        let n_rows = run_counted(connection, query).await?;
        done.n_rows += n_rows;
        if n_rows == left {
            return Ok(done);
        }
        // Sessions and ranges go with it.
        let sql = "DELETE FROM rowlift_imports WHERE id = ?";
        run(connection, sqlx::query(sql).bind(import)).await?;
        done.n_ids += 1;
    }
    Ok(done)
}

/// Wipes values of imports whose time for them has passed.
async fn wipe_expired(
    connection: &mut SqliteConnection,
    n_rows_max: u32,
) -> Result<Forgotten, StoreError> {
    let sql = concat!(
        "SELECT i.id FROM rowlift_imports i WHERE i.rejects_expire_time_ms <= ",
        now_ms!(),
        " AND i.wiped = 0 AND (i.state <> 2 OR ",
        lease_end!(),
        " <= i.rejects_expire_time_ms) ORDER BY i.rejects_expire_time_ms LIMIT ?"
    );
    let query = sqlx::query(sql).bind(IMPORTS_MAX);
    let imports = fetch_all(connection, query).await?;
    let mut done = Forgotten {
        more: imports.len() >= IMPORTS_MAX as usize,
        ..Forgotten::default()
    };
    for row in imports {
        let import = row.get(0);
        loop {
            let left = u64::from(n_rows_max).saturating_sub(done.n_rows);
            if left == 0 {
                done.more = true;
                return Ok(done);
            }
            let n_rows = wipe_rows(connection, import, left).await?;
            done.n_rows += n_rows;
            if n_rows == 0 {
                break;
            }
        }
        strip(connection, import).await?;
        set_wiped(connection, import).await?;
        done.n_wiped += 1;
    }
    Ok(done)
}

async fn set_wiped(connection: &mut SqliteConnection, import: i64) -> Result<(), StoreError> {
    let sql = "UPDATE rowlift_imports SET wiped = 1 WHERE id = ?";
    run(connection, sqlx::query(sql).bind(import)).await
}

/// Takes the values from the next rejected rows of an import; how many these were.
async fn wipe_rows(
    connection: &mut SqliteConnection,
    import: i64,
    n_rows_max: u64,
) -> Result<u64, StoreError> {
    let sql = "SELECT ordinal, row_number, detail FROM (SELECT p.*, row_number() OVER in_order \
               AS nth, sum(length(p.detail)) OVER in_order AS n_bytes FROM (\
               SELECT r.ordinal, r.row_number, r.detail FROM rowlift_rejected_rows r \
               WHERE r.import = ?1 AND r.ordinal >= \
               (SELECT i.wiped_below FROM rowlift_imports i WHERE i.id = ?1) \
               ORDER BY r.ordinal LIMIT ?2) p WINDOW in_order AS (ORDER BY p.ordinal)) \
               WHERE nth = 1 OR n_bytes <= ?3 ORDER BY ordinal";
    let query = sqlx::query(sql)
        .bind(import)
        .bind(super::stored(n_rows_max))
        .bind(PIECE_BYTES_MAX);
    let rows = fetch_all(connection, query).await?;
    let Some(last) = rows.last() else {
        return Ok(0);
    };
    let below = last.get::<i64, _>(0) + 1;
    for row in &rows {
        let sql = "UPDATE rowlift_rejected_rows SET detail = ? WHERE import = ? AND ordinal = ?";
        let query = sqlx::query(sql)
            .bind(json(&without_values(row))?.into_bytes())
            .bind(import)
            .bind(row.get::<i64, _>(0));
        run(connection, query).await?;
    }
    let sql = "UPDATE rowlift_imports SET wiped_below = ? WHERE id = ?";
    run(connection, sqlx::query(sql).bind(below).bind(import)).await?;
    Ok(rows.len() as u64)
}

/// Ordinal, row number and detail, wiped. A detail that cannot be read is wiped all the same.
fn without_values(row: &SqliteRow) -> RejectedRow {
    let detail: &[u8] = row.get(2);
    match serde_json::from_slice::<RejectedRow>(detail) {
        Ok(rejected) => rejected.without_values(),
        Err(_) => RejectedRow {
            ordinal: number(row.get(0)),
            sheet: String::new(),
            row_number: row.get::<i64, _>(1).cast_unsigned(),
            errors: Vec::new(),
            raw_values: Vec::new(),
        },
    }
}

/// Takes from an import what is a value, or may quote one, outside of its rejected rows. A column
/// that comes to hold something of the file is emptied here too.
async fn strip(connection: &mut SqliteConnection, import: i64) -> Result<(), StoreError> {
    let sql = "SELECT outcome, failure FROM rowlift_imports WHERE id = ?";
    let row = fetch_one(connection, sqlx::query(sql).bind(import)).await?;
    let outcome: Option<&str> = row.get(0);
    let outcome: Option<ImportOutcome> = outcome.map(from_json).transpose()?;
    let failure: Option<&str> = row.get(1);
    let failure: Option<Failure> = failure.map(from_json).transpose()?;
    let outcome = outcome.map(|it| json(&it.without_values())).transpose()?;
    let failure = failure.map(|it| json(&it.without_values())).transpose()?;
    let sql = "UPDATE rowlift_imports SET outcome = ?, failure = ?, source_layout = NULL \
               WHERE id = ?";
    let query = sqlx::query(sql).bind(outcome).bind(failure).bind(import);
    run(connection, query).await?;
    // The caller's place is of use to a resume only.
    let sql = "UPDATE rowlift_import_batches SET position = NULL WHERE import = ?1 \
               AND position IS NOT NULL AND EXISTS (SELECT 1 FROM rowlift_imports i \
               WHERE i.id = ?1 AND i.state <> 2)";
    run(connection, sqlx::query(sql).bind(import)).await?;
    let sql = "UPDATE rowlift_sessions SET cancel_reason = '' WHERE import = ? \
               AND cancel_reason <> ''";
    run(connection, sqlx::query(sql).bind(import)).await
}

/// An import that is to be wiped.
#[derive(Debug)]
pub(in crate::store::sqlite) enum Deleting {
    /// Its rejected rows are left, by `rowlift_imports.id`.
    Begun(i64),
    /// It has not ended, and stays as it is.
    Open(Box<ImportRecord>),
    /// There is none.
    Unknown,
}

/// The first part of [`crate::store::Store::delete_import`]: from here on nothing is told.
pub(in crate::store::sqlite) async fn begin_delete(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<Deleting, StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let Some(known) = records::find(connection, owner, id).await? else {
        execute(connection, "ROLLBACK").await?;
        return Ok(Deleting::Unknown);
    };
    if !known.state.is_terminal() {
        let record = records::record(connection, known).await?;
        execute(connection, "ROLLBACK").await?;
        return Ok(Deleting::Open(Box::new(record)));
    }
    let import = known.id;
    let sql = concat!(
        "UPDATE rowlift_imports SET file_name = '', labels = '{}', rejects_expire_time_ms = \
         min(coalesce(rejects_expire_time_ms, now_ms), now_ms), update_time_ms = now_ms \
         FROM (SELECT ",
        now_ms!(),
        " AS now_ms) WHERE id = ? AND (file_name <> '' OR labels <> '{}' OR wiped = 0)"
    );
    if run_counted(connection, sqlx::query(sql).bind(import)).await? > 0 {
        strip(connection, import).await?;
    }
    execute(connection, "COMMIT").await?;
    Ok(Deleting::Begun(import))
}

/// The next rejected rows of an import whose wiping has begun; `false`: none was left.
pub(in crate::store::sqlite) async fn go_on_deleting(
    connection: &mut SqliteConnection,
    import: i64,
    n_rows_max: u32,
) -> Result<bool, StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let sql = concat!(
        "SELECT 1 FROM rowlift_imports WHERE id = ? AND state <> 2 AND wiped = 0 \
         AND rejects_expire_time_ms <= ",
        now_ms!()
    );
    let query = sqlx::query(sql).bind(import);
    if fetch_optional(connection, query).await?.is_none() {
        execute(connection, "ROLLBACK").await?;
        return Ok(false);
    }
    let n_rows = wipe_rows(connection, import, u64::from(n_rows_max)).await?;
    if n_rows == 0 {
        set_wiped(connection, import).await?;
    }
    execute(connection, "COMMIT").await?;
    Ok(n_rows > 0)
}

/// Frees an id that has expired and is not deleted yet; its import goes under another name until
/// it is.
pub(super) async fn free_id(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<(), StoreError> {
    // No caller can name such an id.
    let sql = concat!(
        "UPDATE rowlift_imports AS i SET import_id = '#' || i.id WHERE i.owner = ?1 \
         AND i.import_id = ?2 AND i.expire_time_ms <= ",
        now_ms!(),
        " AND (i.state <> 2 OR ",
        lease_end!(),
        " <= i.expire_time_ms)"
    );
    let query = sqlx::query(sql).bind(owner).bind(id);
    run(connection, query).await
}

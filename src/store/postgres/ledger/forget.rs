//! Forgetting: ids and values that have expired, and what DeleteImport wipes.
//!
//! In: the database's clock, or an import to wipe now. Out: fewer rows and fewer values, in
//! transactions of a bounded number of rows, so that many servers may do it at once and a
//! pooler's connection is soon free: imports are locked with SKIP LOCKED. An import that a session
//! holds is never touched; one whose session died gets its times from [`date_abandoned`].
//!
//! Values are not told any more once their time has come, wiped or not ([`super::record`]). What
//! counts as a value is said in [`RejectedRow::without_values`] and
//! [`ImportOutcome::without_values`]; which columns hold some, in [`strip`].

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::import::{Failure, ImportOutcome, ImportRecord};
use crate::model::reject::RejectedRow;
use crate::store::{Forgotten, StoreError};

use super::super::arguments::{self, number};
use super::super::connection::Transaction;
use super::super::error;
use super::end::json;
use super::{Ledger, record};

/// Imports of one step.
const IMPORTS_MAX: u32 = 100;
/// Bytes of rejected rows in memory at once, but for the first row.
const PIECE_BYTES_MAX: u32 = 4 << 20;

/// A duration as the ledger has it.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// One step; see [`crate::store::Store::forget`].
pub(in super::super) async fn forget(
    ledger: Ledger<'_>,
    n_rows_max: u32,
) -> Result<Forgotten, StoreError> {
    let step = async {
        let mut transaction = ledger.begin().await?;
        date_abandoned(&mut transaction, ledger).await?;
        let mut done = delete_expired(&mut transaction, n_rows_max).await?;
        if done == Forgotten::default() {
            done = wipe_expired(&mut transaction, n_rows_max).await?;
        }
        transaction.commit().await?;
        Ok(done)
    };
    step.await.map_err(error::of_ledger)
}

/// Gives imports whose session died the times that they would have had, had it said so; anew where
/// one that was taken for dead has held its import since.
async fn date_abandoned(
    transaction: &mut Transaction,
    ledger: Ledger<'_>,
) -> Result<(), sqlx::Error> {
    let (ids, rejects) = (ledger.retention.ids, ledger.retention.rejects);
    let sql = format!(
        "UPDATE rowlift.imports i SET expire_time = a.since + {ids} * interval '1 millisecond', \
         rejects_expire_time = a.since + coalesce(i.reject_retention_ms, {rejects}) \
         * interval '1 millisecond' FROM (SELECT o.id, greatest(o.update_time, s.lease_until) \
         AS since FROM rowlift.imports o LEFT JOIN LATERAL (SELECT n.lease_until \
         FROM rowlift.sessions n WHERE n.import = o.id ORDER BY n.epoch DESC LIMIT 1) s ON true \
         WHERE o.state < 5 AND coalesce(s.lease_until <= clock_timestamp(), true) \
         AND (o.expire_time IS NULL OR o.expire_time \
         < greatest(o.update_time, s.lease_until) + {ids} * interval '1 millisecond') \
         LIMIT {IMPORTS_MAX} FOR NO KEY UPDATE OF o SKIP LOCKED) a WHERE i.id = a.id",
        ids = milliseconds(ids),
        rejects = milliseconds(rejects),
    );
    transaction.simple(&sql).await?;
    Ok(())
}

/// Whether the `time` of the import `i` has passed, and no session has held it since.
fn has_expired(time: &str) -> String {
    format!(
        "i.{time} <= clock_timestamp() AND NOT (i.state < 5 AND EXISTS (SELECT \
         FROM rowlift.sessions s WHERE s.import = i.id AND s.lease_until > i.{time}))"
    )
}

/// Deletes imports with all that belongs to them, rejected rows first.
async fn delete_expired(
    transaction: &mut Transaction,
    n_rows_max: u32,
) -> Result<Forgotten, sqlx::Error> {
    let expired = has_expired("expire_time");
    let sql = format!(
        "SELECT i.id FROM rowlift.imports i WHERE {expired} ORDER BY i.expire_time \
         LIMIT {IMPORTS_MAX} FOR UPDATE OF i SKIP LOCKED"
    );
    let locked = ids_of(&transaction.simple(&sql).await?)?;
    if locked.is_empty() {
        return Ok(Forgotten::default());
    }
    // A session may have come between the look and the lock; none comes from here on.
    let sql = format!("SELECT i.id FROM rowlift.imports i WHERE i.id = ANY ($1) AND {expired}");
    let rows = transaction.fetch(&sql, one(locked.clone())).await?;
    let imports = ids_of(&rows)?;
    let sql = format!(
        "DELETE FROM rowlift.rejected_rows WHERE ctid = ANY (ARRAY(SELECT r.ctid \
         FROM rowlift.rejected_rows r WHERE r.import = ANY ($1) LIMIT {n_rows_max}))"
    );
    let n_rows = transaction.execute(&sql, one(imports.clone())).await?;
    let mut done = Forgotten {
        n_rows,
        more: true,
        ..Forgotten::default()
    };
    if n_rows < u64::from(n_rows_max) {
        let batches = "DELETE FROM rowlift.import_batches WHERE import = ANY ($1)";
        transaction.execute(batches, one(imports.clone())).await?;
        let sql = "DELETE FROM rowlift.imports WHERE id = ANY ($1)";
        done.n_ids = transaction.execute(sql, one(imports)).await?;
    }
    Ok(done)
}

/// Wipes values of imports whose time for them has passed.
async fn wipe_expired(
    transaction: &mut Transaction,
    n_rows_max: u32,
) -> Result<Forgotten, sqlx::Error> {
    let sql = format!(
        "SELECT i.id FROM rowlift.imports i WHERE NOT i.wiped AND {} \
         ORDER BY i.rejects_expire_time LIMIT {IMPORTS_MAX} FOR NO KEY UPDATE OF i SKIP LOCKED",
        has_expired("rejects_expire_time")
    );
    let imports = ids_of(&transaction.simple(&sql).await?)?;
    let mut done = Forgotten {
        more: imports.len() >= IMPORTS_MAX as usize,
        ..Forgotten::default()
    };
    for import in imports {
        loop {
            let left = n_rows_max.saturating_sub(u32::try_from(done.n_rows).unwrap_or(n_rows_max));
            if left == 0 {
                done.more = true;
                return Ok(done);
            }
            let n_rows = wipe_rows(transaction, import, left).await?;
            done.n_rows += n_rows;
            if n_rows == 0 {
                break;
            }
        }
        strip(transaction, import).await?;
        let sql = format!("UPDATE rowlift.imports SET wiped = true WHERE id = {import}");
        transaction.simple(&sql).await?;
        done.n_wiped += 1;
    }
    Ok(done)
}

/// Takes the values from the next rejected rows of an import that the transaction has locked;
/// how many these were.
async fn wipe_rows(
    transaction: &mut Transaction,
    import: i64,
    n_rows_max: u32,
) -> Result<u64, sqlx::Error> {
    let sql = format!(
        "SELECT ordinal, row_number, detail FROM (SELECT p.*, row_number() OVER in_order AS nth, \
         sum(octet_length(p.detail)) OVER in_order AS n_bytes FROM (SELECT r.ordinal, \
         r.row_number, r.detail FROM rowlift.rejected_rows r WHERE r.import = {import} \
         AND r.ordinal >= (SELECT i.wiped_below FROM rowlift.imports i WHERE i.id = {import}) \
         ORDER BY r.ordinal LIMIT {n_rows_max}) p WINDOW in_order AS (ORDER BY p.ordinal)) q \
         WHERE nth = 1 OR n_bytes <= {PIECE_BYTES_MAX} ORDER BY ordinal"
    );
    let rows = transaction.simple(&sql).await?;
    let Some(last) = rows.last() else {
        return Ok(0);
    };
    let below = last.try_get::<i64, _>(0)? + 1;
    let mut ordinals: Vec<i64> = Vec::new();
    let mut details: Vec<Vec<u8>> = Vec::new();
    for row in &rows {
        ordinals.push(row.try_get(0)?);
        details.push(json(&without_values(row)?).into_bytes());
    }
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, import);
    arguments::add(&mut parameters, ordinals);
    arguments::add(&mut parameters, details);
    let sql = "UPDATE rowlift.rejected_rows r SET detail = n.detail \
        FROM unnest($2::bigint[], $3::bytea[]) AS n(ordinal, detail) \
        WHERE r.import = $1 AND r.ordinal = n.ordinal";
    transaction.execute(sql, parameters).await?;
    let sql = format!("UPDATE rowlift.imports SET wiped_below = {below} WHERE id = {import}");
    transaction.simple(&sql).await?;
    Ok(rows.len() as u64)
}

/// Ordinal, row number and detail, wiped. A detail that cannot be read is wiped all the same.
fn without_values(row: &PgRow) -> Result<RejectedRow, sqlx::Error> {
    let detail: Vec<u8> = row.try_get(2)?;
    match serde_json::from_slice::<RejectedRow>(&detail) {
        Ok(rejected) => Ok(rejected.without_values()),
        Err(_) => Ok(RejectedRow {
            ordinal: number(row.try_get(0)?),
            sheet: String::new(),
            row_number: row.try_get::<i64, _>(1)?.cast_unsigned(),
            errors: Vec::new(),
            raw_values: Vec::new(),
        }),
    }
}

/// Takes from an import what is a value, or may quote one, outside of its rejected rows. A column
/// that comes to hold something of the file is emptied here too.
async fn strip(transaction: &mut Transaction, import: i64) -> Result<(), sqlx::Error> {
    let sql = format!("SELECT outcome, failure FROM rowlift.imports WHERE id = {import}");
    let rows = transaction.simple(&sql).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let outcome: Option<ImportOutcome> = record::json(row, "outcome")?;
    let failure: Option<Failure> = record::json(row, "failure")?;
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, import);
    arguments::add(
        &mut parameters,
        outcome.map(|it| json(&it.without_values())),
    );
    arguments::add(
        &mut parameters,
        failure.map(|it| json(&it.without_values())),
    );
    let sql = "UPDATE rowlift.imports SET outcome = $2, failure = $3, source_layout = NULL \
               WHERE id = $1";
    transaction.execute(sql, parameters).await?;
    // The caller's place is of use to a resume only.
    let sql = format!(
        "UPDATE rowlift.import_batches SET position = NULL WHERE import = {import} \
         AND position IS NOT NULL AND EXISTS (SELECT FROM rowlift.imports i \
         WHERE i.id = {import} AND i.state IN (5, 6, 7)); \
         UPDATE rowlift.sessions SET cancel_reason = '' WHERE import = {import} \
         AND cancel_reason <> ''"
    );
    transaction.simple(&sql).await?;
    Ok(())
}

/// An import that is to be wiped.
#[derive(Debug)]
pub(in super::super) enum Deleting {
    /// Its rejected rows are left, by `imports.id`.
    Begun(i64),
    /// It has not ended, and stays as it is.
    Open(Box<ImportRecord>),
    /// There is none.
    Unknown,
}

/// The first part of [`crate::store::Store::delete_import`]: from here on nothing is told.
pub(in super::super) async fn begin_delete(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
) -> Result<Deleting, StoreError> {
    let Some(stored) = record::find(ledger, owner, id).await? else {
        return Ok(Deleting::Unknown);
    };
    if !stored.record.state.is_terminal() {
        return Ok(Deleting::Open(Box::new(stored.record)));
    }
    let import = stored.id;
    let begin = async {
        let mut transaction = ledger.begin().await?;
        let sql = format!(
            "UPDATE rowlift.imports SET file_name = '', labels = '{{}}', \
             rejects_expire_time = least(rejects_expire_time, clock_timestamp()), \
             update_time = clock_timestamp() WHERE id = {import} AND state IN (5, 6, 7) \
             AND (file_name <> '' OR labels <> '{{}}' OR NOT wiped) RETURNING id"
        );
        if !transaction.simple(&sql).await?.is_empty() {
            strip(&mut transaction, import).await?;
        }
        transaction.commit().await
    };
    begin.await.map_err(error::of_ledger)?;
    Ok(Deleting::Begun(import))
}

/// The next rejected rows of an import whose wiping has begun; `false`: none was left.
pub(in super::super) async fn go_on_deleting(
    ledger: Ledger<'_>,
    import: i64,
    n_rows_max: u32,
) -> Result<bool, StoreError> {
    let step = async {
        let mut transaction = ledger.begin().await?;
        let sql = format!(
            "SELECT FROM rowlift.imports WHERE id = {import} AND state IN (5, 6, 7) \
             AND NOT wiped AND rejects_expire_time <= clock_timestamp() FOR NO KEY UPDATE"
        );
        if transaction.simple(&sql).await?.is_empty() {
            transaction.rollback().await?;
            return Ok(false);
        }
        let n_rows = wipe_rows(&mut transaction, import, n_rows_max).await?;
        if n_rows == 0 {
            let sql = format!("UPDATE rowlift.imports SET wiped = true WHERE id = {import}");
            transaction.simple(&sql).await?;
        }
        transaction.commit().await?;
        Ok(n_rows > 0)
    };
    step.await.map_err(error::of_ledger)
}

/// Frees an id that has expired and is not deleted yet; its import goes under another name until
/// it is. Whether there was one.
pub(super) async fn free_id(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
) -> Result<bool, sqlx::Error> {
    // No caller can name such an id.
    let sql = format!(
        "UPDATE rowlift.imports i SET import_id = '#' || i.id WHERE i.owner = $1 \
         AND i.import_id = $2 AND {}",
        has_expired("expire_time")
    );
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, owner);
    arguments::add(&mut parameters, id);
    let mut transaction = ledger.begin().await?;
    let n_freed = transaction.execute(&sql, parameters).await?;
    transaction.commit().await?;
    Ok(n_freed > 0)
}

fn ids_of(rows: &[PgRow]) -> Result<Vec<i64>, sqlx::Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn one(imports: Vec<i64>) -> PgArguments {
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, imports);
    parameters
}

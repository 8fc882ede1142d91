//! Imports as the ledger knows them.
//!
//! In: rows of `rowlift_imports` with their newest session. Out: [`ImportRecord`]s, with counts
//! and watermark computed from the batches until the import has ended.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{batches, from_json, now_ms, number, phase};
use crate::model::import::{Failure, ImportOutcome, ImportRecord, ImportState, Phase, WriteMethod};
use crate::model::stats::ImportStats;
use crate::store::StoreError;
use crate::store::query::ImportFilter;
use crate::store::sqlite::error::internal;
use crate::store::sqlite::sql::{fetch_all, fetch_optional};

/// An import with its newest session.
pub(in crate::store::sqlite) struct Stored {
    pub(in crate::store::sqlite) id: i64,
    pub(super) epoch: u64,
    pub(super) state: ImportState,
    pub(super) fingerprint: [u8; 32],
    pub(super) create_time_ms: i64,
    pub(super) file_sha256: Option<[u8; 32]>,
    pub(super) tenant: String,
    pub(super) reject_retention_ms: Option<i64>,
    /// Values are not told any more.
    pub(in crate::store::sqlite) values_expired: bool,
    pub(super) session: StoredSession,
    row: SqliteRow,
}

pub(super) struct StoredSession {
    pub(super) epoch: u64,
    pub(super) cancel_reason: Option<String>,
    is_leased: bool,
    received_bytes: u64,
    received_rows: u64,
    phase: Phase,
    retries: u64,
    age_ms: u64,
}

/// Columns by name: a newer program may add some while this one has its statements prepared.
const SELECT: &str = concat!(
    "SELECT i.id, i.owner, i.import_id, i.tenant, i.target_table, i.fingerprint, i.file_name, \
     i.labels, i.validate_only, i.write_method, i.epoch, i.state, i.failure, i.outcome, \
     i.create_time_ms, i.update_time_ms, i.end_time_ms, i.expire_time_ms, \
     i.rejects_expire_time_ms, i.file_sha256, i.source_layout, i.reject_retention_ms, \
     i.wiped_below, i.wiped, \
     s.epoch AS session_epoch, s.cancel_reason, s.received_bytes, s.received_rows, \
     s.phase, s.retries, s.lease_until_ms > now_ms AS is_leased, \
     coalesce(i.reject_retention_ms = 0, 0) \
     OR coalesce(i.rejects_expire_time_ms <= now_ms, 0) AS values_expired, \
     CASE WHEN s.lease_until_ms > now_ms THEN max(now_ms - s.begin_time_ms, 0) ELSE 0 END AS age_ms \
     FROM (SELECT ",
    now_ms!(),
    " AS now_ms), rowlift_imports i JOIN rowlift_sessions s ON s.import = i.id \
     AND s.epoch = (SELECT max(epoch) FROM rowlift_sessions WHERE import = i.id) \
     WHERE NOT (coalesce(i.expire_time_ms <= now_ms, 0) \
     AND (i.state <> 2 OR s.lease_until_ms <= i.expire_time_ms)) AND "
);

/// What [`ImportRecord::state`] is, in SQL.
const STATE: &str = "CASE WHEN i.state <> 2 THEN i.state WHEN s.lease_until_ms <= now_ms THEN 3 \
                     WHEN s.cancel_reason IS NOT NULL THEN 4 ELSE 2 END";

/// One import by its id, unless that has expired.
pub(in crate::store::sqlite) async fn find(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<Option<Stored>, StoreError> {
    let mut query: QueryBuilder<'_, Sqlite> = QueryBuilder::new(SELECT);
    query.push("i.owner = ").push_bind(owner);
    query.push(" AND i.import_id = ").push_bind(id);
    let row = fetch_optional(connection, query.build()).await?;
    row.map(stored_import).transpose()
}

/// See [`crate::store::Store::import`].
pub(in crate::store::sqlite) async fn one(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<Option<ImportRecord>, StoreError> {
    let Some(found) = find(connection, owner, id).await? else {
        return Ok(None);
    };
    record(connection, found).await.map(Some)
}

/// See [`crate::store::Store::imports`].
pub(in crate::store::sqlite) async fn list(
    connection: &mut SqliteConnection,
    owner: &str,
    filter: &ImportFilter,
) -> Result<Vec<(i64, ImportRecord)>, StoreError> {
    let mut query: QueryBuilder<'_, Sqlite> = QueryBuilder::new(SELECT);
    query.push("i.owner = ").push_bind(owner);
    if let Some(state) = filter.state {
        query
            .push(format!(" AND {STATE} = "))
            .push_bind(state.number());
    }
    if !filter.table.is_empty() {
        query
            .push(" AND i.target_table = ")
            .push_bind(&filter.table);
    }
    if !filter.tenant.is_empty() {
        query.push(" AND i.tenant = ").push_bind(&filter.tenant);
    }
    for (key, value) in &filter.labels {
        query.push(" AND EXISTS (SELECT 1 FROM json_each(i.labels) WHERE key = ");
        query
            .push_bind(key)
            .push(" AND value = ")
            .push_bind(value)
            .push(")");
    }
    if let Some(before) = filter.before {
        query.push(" AND i.id < ").push_bind(before);
    }
    query
        .push(" ORDER BY i.id DESC LIMIT ")
        .push_bind(filter.limit);
    let rows = fetch_all(connection, query.build()).await?;
    let mut records = Vec::new();
    for row in rows {
        let found = stored_import(row)?;
        records.push((found.id, record(connection, found).await?));
    }
    Ok(records)
}

/// The whole record of an import.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    found: Stored,
) -> Result<ImportRecord, StoreError> {
    let row = &found.row;
    let outcome: Option<&str> = row.get("outcome");
    let mut outcome: Option<ImportOutcome> = outcome.map(from_json).transpose()?;
    let failure: Option<&str> = row.get("failure");
    let mut failure: Option<Failure> = failure.map(from_json).transpose()?;
    if found.values_expired {
        outcome = outcome.map(|outcome| outcome.without_values());
        failure = failure.map(|failure| failure.without_values());
    }
    let (stats, committed_offset) = match &outcome {
        Some(outcome) => (outcome.stats, outcome.committed_offset),
        None => live_stats(connection, &found).await?,
    };
    let method = u8::try_from(row.get::<i64, _>("write_method")).ok();
    let method = method.and_then(WriteMethod::from_number);
    Ok(ImportRecord {
        owner: row.get("owner"),
        import_id: row.get("import_id"),
        tenant: found.tenant.clone(),
        table: row.get("target_table"),
        file_name: row.get("file_name"),
        state: match found.state {
            ImportState::Running if !found.session.is_leased => ImportState::Suspended,
            ImportState::Running if found.session.cancel_reason.is_some() => {
                ImportState::Cancelling
            }
            state => state,
        },
        epoch: found.session.epoch,
        stats,
        committed_offset,
        phase: found.session.phase,
        failure,
        outcome,
        labels: from_json(row.get("labels"))?,
        validate_only: row.get("validate_only"),
        write_method: method.ok_or_else(|| internal("ledger: an unknown write method"))?,
        create_time_ms: found.create_time_ms,
        update_time_ms: row.get("update_time_ms"),
        end_time_ms: row.get("end_time_ms"),
        expire_time_ms: row.get("expire_time_ms"),
        rejects_expire_time_ms: row.get("rejects_expire_time_ms"),
    })
}

/// Counts of an import that has not ended. What the session received is as old as its last
/// heartbeat, so it may be less than what is committed.
async fn live_stats(
    connection: &mut SqliteConnection,
    found: &Stored,
) -> Result<(ImportStats, u64), StoreError> {
    let ranges = batches::ranges(connection, found.id).await?;
    let rows = batches::total(&ranges);
    let session = &found.session;
    let stats = ImportStats {
        received_bytes: session.received_bytes,
        received_rows: session.received_rows.max(rows.total()),
        rows,
        batches: batches::n_batches(&ranges),
        retries: session.retries,
        duplicate_rows: 0,
        elapsed_ms: session.age_ms,
    };
    Ok((stats, batches::prefix(&ranges).end))
}

fn stored_import(row: SqliteRow) -> Result<Stored, StoreError> {
    let state = u8::try_from(row.get::<i64, _>("state")).ok();
    let state = state.and_then(ImportState::from_number);
    let fingerprint: &[u8] = row.get("fingerprint");
    let fingerprint = fingerprint.try_into();
    let file_sha256: Option<&[u8]> = row.get("file_sha256");
    let file_sha256 = file_sha256.map(TryInto::try_into).transpose();
    Ok(Stored {
        id: row.get("id"),
        epoch: number(row.get("epoch")),
        state: state.ok_or_else(|| internal("ledger: an unknown state"))?,
        fingerprint: fingerprint
            .map_err(|_| internal("ledger: a fingerprint is not of 32 bytes"))?,
        create_time_ms: row.get("create_time_ms"),
        file_sha256: file_sha256.map_err(|_| internal("ledger: a SHA-256 is not of 32 bytes"))?,
        tenant: row.get("tenant"),
        reject_retention_ms: row.get("reject_retention_ms"),
        values_expired: row.get("values_expired"),
        session: StoredSession {
            epoch: number(row.get("session_epoch")),
            cancel_reason: row.get("cancel_reason"),
            is_leased: row.get("is_leased"),
            received_bytes: number(row.get("received_bytes")),
            received_rows: number(row.get("received_rows")),
            phase: phase(row.get("phase")),
            retries: number(row.get("retries")),
            age_ms: number(row.get("age_ms")),
        },
        row,
    })
}

// === impl Stored ===

impl Stored {
    /// Whether a session holds it.
    pub(super) fn is_live(&self) -> bool {
        self.session.is_leased
    }
}

//! The ledger: who holds an import, and how it ended.
//!
//! In: identities and outcomes. Out: [`Pulse`]s, [`ImportRecord`]s. Every change is one
//! `BEGIN IMMEDIATE` transaction, so takeovers and batches are in one order; the caller rolls
//! back where an error is returned. Leases go by the database's clock.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use self::records::Stored;
use super::error::internal;
use super::sql::{execute, fetch_all, fetch_one, fetch_optional, run};
use crate::model::import::{Failure, ImportOutcome, ImportRecord, ImportState, Phase, Reason};
use crate::model::layout::SourceLayout;
use crate::model::reject::RejectedRow;
use crate::store::query::SameFile;
use crate::store::{LiveCounters, Pulse, Retention, SessionKey, StoreError, WholeRange};

pub(super) mod batches;
pub(super) mod forget;
pub(super) mod open;
pub(super) mod records;
pub(super) mod rejects;
pub(super) mod scrub;

/// Milliseconds since 1970, by the clock of SQLite.
macro_rules! now_ms {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}
pub(super) use now_ms;

/// Sessions in one statement of a heartbeat.
const PULSES_MAX: usize = 1000;

/// A number that SQLite stores; ordinals, counts and epochs stay below 2^63.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).expect("ordinals, counts and epochs are below 2^63")
}

/// A number as it was stored; the schema keeps them from being negative.
pub(super) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

/// Refuses a session that no longer holds its import.
pub(super) async fn fence(
    connection: &mut SqliteConnection,
    key: SessionKey,
) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM rowlift_imports i WHERE i.id = ?1 AND i.epoch = ?2 AND i.state = 2 \
               AND NOT EXISTS (SELECT 1 FROM rowlift_sessions s \
                               WHERE s.import = i.id AND s.epoch > ?2)";
    let query = sqlx::query(sql).bind(key.import).bind(stored(key.epoch));
    let held = fetch_optional(connection, query).await?;
    held.map(|_| ()).ok_or(StoreError::Fenced)
}

/// See [`crate::store::Store::end_import`]. A repeat by the same session changes nothing.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    key: SessionKey,
    outcome: &ImportOutcome,
    retention: Retention,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let sql = "SELECT 1 FROM rowlift_imports WHERE id = ? AND epoch = ? AND state = ?";
    let query = sqlx::query(sql)
        .bind(key.import)
        .bind(stored(key.epoch))
        .bind(outcome.state.number());
    let repeated = fetch_optional(connection, query).await?;
    if outcome.state.is_terminal() && repeated.is_some() {
        return execute(connection, "ROLLBACK").await;
    }
    fence(connection, key).await?;
    let stats = outcome.stats;
    let sql = "UPDATE rowlift_sessions SET lease_until_ms = 0, received_bytes = ?, \
               received_rows = ?, retries = ? WHERE import = ? AND epoch = ?";
    let query = sqlx::query(sql)
        .bind(stored(stats.received_bytes))
        .bind(stored(stats.received_rows))
        .bind(stored(stats.retries))
        .bind(key.import)
        .bind(stored(key.epoch));
    run(connection, query).await?;
    store_outcome(connection, key.import, outcome, retention).await?;
    batches::fold(connection, key.import, u64::MAX).await?;
    execute(connection, "COMMIT").await
}

/// Sets state and outcome; SUSPENDED only says why, and from when on it is forgotten.
async fn store_outcome(
    connection: &mut SqliteConnection,
    import: i64,
    outcome: &ImportOutcome,
    retention: Retention,
) -> Result<(), StoreError> {
    let sql = "SELECT coalesce(reject_retention_ms, ?) FROM rowlift_imports WHERE id = ?";
    let query = sqlx::query(sql)
        .bind(forget::milliseconds(retention.rejects))
        .bind(import);
    let reject_retention_ms: i64 = fetch_one(connection, query).await?.get(0);
    let outcome = match reject_retention_ms {
        0 => Cow::Owned(outcome.without_values()),
        _ => Cow::Borrowed(outcome),
    };
    let failure = outcome.failure.as_ref().map(json).transpose()?;
    let ended = outcome.state.is_terminal();
    let sha256 = outcome.file_sha256.as_slice();
    let sql = concat!(
        "UPDATE rowlift_imports SET state = ?, failure = ?, outcome = ?, \
         file_sha256 = coalesce(?, file_sha256), update_time_ms = now_ms, \
         end_time_ms = iif(?, now_ms, NULL), expire_time_ms = now_ms + ?, \
         rejects_expire_time_ms = now_ms + ? FROM (SELECT ",
        now_ms!(),
        " AS now_ms) WHERE id = ?"
    );
    let state = if ended {
        outcome.state
    } else {
        ImportState::Running
    };
    let query = sqlx::query(sql)
        .bind(state.number())
        .bind(failure)
        .bind(ended.then(|| json(&*outcome)).transpose()?)
        .bind((!sha256.is_empty()).then_some(sha256))
        .bind(ended)
        .bind(forget::milliseconds(retention.ids))
        .bind(reject_retention_ms)
        .bind(import);
    run(connection, query).await?;
    Ok(())
}

/// See [`crate::store::Store::record_rejects`].
pub(super) async fn record_rejects(
    connection: &mut SqliteConnection,
    key: SessionKey,
    rejected: &[RejectedRow],
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    fence(connection, key).await?;
    rejects::insert(connection, key.import, rejected).await?;
    execute(connection, "COMMIT").await
}

/// See [`crate::store::Store::record_dry_run`].
pub(super) async fn record_dry_run(
    connection: &mut SqliteConnection,
    key: SessionKey,
    whole: &WholeRange,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    fence(connection, key).await?;
    // A repeat finds the range: there is nothing to write twice.
    batches::insert_whole(connection, key.import, whole).await?;
    execute(connection, "COMMIT").await
}

/// See [`crate::store::Store::note_file`].
pub(super) async fn note_file(
    connection: &mut SqliteConnection,
    key: SessionKey,
    sha256: [u8; 32],
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    fence(connection, key).await?;
    let sql = "UPDATE rowlift_imports SET file_sha256 = ? WHERE id = ?";
    let query = sqlx::query(sql).bind(sha256.as_slice()).bind(key.import);
    run(connection, query).await?;
    execute(connection, "COMMIT").await
}

/// See [`crate::store::Store::note_layout`].
pub(super) async fn note_layout(
    connection: &mut SqliteConnection,
    key: SessionKey,
    layout: &SourceLayout,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    fence(connection, key).await?;
    let sql = "UPDATE rowlift_imports SET source_layout = ? WHERE id = ?";
    let query = sqlx::query(sql)
        .bind(json(layout)?.into_bytes())
        .bind(key.import);
    run(connection, query).await?;
    execute(connection, "COMMIT").await
}

/// See [`crate::store::Store::earlier_import`].
pub(super) async fn earlier_import(
    connection: &mut SqliteConnection,
    file: SameFile<'_>,
) -> Result<Option<String>, StoreError> {
    let sql = concat!(
        "SELECT import_id FROM rowlift_imports WHERE owner = ? AND tenant = ? \
         AND target_table = ? AND file_sha256 = ? AND import_id <> ? AND state = 5 \
         AND validate_only = 0 AND expire_time_ms > ",
        now_ms!(),
        " ORDER BY end_time_ms, id LIMIT 1"
    );
    let query = sqlx::query(sql)
        .bind(file.owner)
        .bind(file.tenant)
        .bind(file.table)
        .bind(file.sha256.as_slice())
        .bind(file.import_id);
    let found = fetch_optional(connection, query).await?;
    Ok(found.map(|row| row.get(0)))
}

/// See [`crate::store::Store::compact`].
pub(super) async fn compact(
    connection: &mut SqliteConnection,
    key: SessionKey,
    watermark: u64,
) -> Result<(), StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    fence(connection, key).await?;
    batches::fold(connection, key.import, watermark).await?;
    execute(connection, "COMMIT").await
}

/// See [`crate::store::Store::heartbeat`].
pub(super) async fn heartbeat(
    connection: &mut SqliteConnection,
    sessions: &[(SessionKey, LiveCounters)],
    lease: Duration,
) -> Result<Vec<(SessionKey, Pulse)>, StoreError> {
    let mut pulses: Vec<(SessionKey, Pulse)> = sessions
        .iter()
        .map(|(key, _)| (*key, Pulse::Fenced))
        .collect();
    for chunk in sessions.chunks(PULSES_MAX) {
        let mut query: QueryBuilder<'_, Sqlite> =
            QueryBuilder::new("WITH pulse(import, epoch, bytes, n_rows, phase, retries) AS (");
        query.push_values(chunk, |mut row, (key, counters)| {
            row.push_bind(key.import)
                .push_bind(stored(key.epoch))
                .push_bind(stored(counters.received_bytes))
                .push_bind(stored(counters.received_rows))
                .push_bind(counters.phase.number())
                .push_bind(stored(counters.retries));
        });
        query.push(concat!(
            ") UPDATE rowlift_sessions SET lease_until_ms = ",
            now_ms!(),
            " + "
        ));
        query.push_bind(lease_ms(lease)).push(
            ", received_bytes = pulse.bytes, received_rows = pulse.n_rows, phase = pulse.phase, \
             retries = pulse.retries FROM pulse \
             WHERE rowlift_sessions.import = pulse.import AND rowlift_sessions.epoch = pulse.epoch \
             AND lease_until_ms > 0 AND NOT EXISTS (SELECT 1 FROM rowlift_sessions newer \
                 WHERE newer.import = pulse.import AND newer.epoch > pulse.epoch) \
             RETURNING import, epoch, cancel_reason IS NOT NULL",
        );
        let rows = fetch_all(connection, query.build()).await?;
        for row in rows {
            let key = SessionKey {
                import: row.get(0),
                epoch: number(row.get(1)),
            };
            let pulse = if row.get(2) {
                Pulse::CancelRequested
            } else {
                Pulse::Held
            };
            for known in pulses.iter_mut().filter(|known| known.0 == key) {
                known.1 = pulse;
            }
        }
    }
    Ok(pulses)
}

/// See [`crate::store::Store::request_cancel`].
pub(super) async fn request_cancel(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
    reason: &str,
    server: &str,
    retention: Retention,
) -> Result<Option<ImportRecord>, StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let Some(known) = records::find(connection, owner, id).await? else {
        execute(connection, "ROLLBACK").await?;
        return Ok(None);
    };
    if !known.state.is_terminal() && known.is_live() {
        let sql = "UPDATE rowlift_sessions SET cancel_reason = coalesce(cancel_reason, ?) \
                   WHERE import = ? AND epoch = ?";
        let query = sqlx::query(sql)
            .bind(reason)
            .bind(known.id)
            .bind(stored(known.session.epoch));
        run(connection, query).await?;
    } else if !known.state.is_terminal() {
        cancel_idle(connection, known, reason, server, retention).await?;
    }
    let known = records::find(connection, owner, id).await?;
    let known = known.ok_or_else(|| internal("an import vanished inside a transaction"))?;
    let record = records::record(connection, known).await?;
    execute(connection, "COMMIT").await?;
    Ok(Some(record))
}

/// Takes over an import that nobody holds, and ends it.
async fn cancel_idle(
    connection: &mut SqliteConnection,
    known: Stored,
    reason: &str,
    server: &str,
    retention: Retention,
) -> Result<(), StoreError> {
    let key = SessionKey {
        import: known.id,
        epoch: known.session.epoch.max(known.epoch) + 1,
    };
    rejects::delete_undecided(connection, key.import).await?;
    open::insert_session(connection, key, server, Duration::ZERO, None).await?;
    let sql = "UPDATE rowlift_imports SET epoch = ? WHERE id = ?";
    let query = sqlx::query(sql).bind(stored(key.epoch)).bind(key.import);
    run(connection, query).await?;
    let message = match reason {
        "" => "cancelled by request".to_owned(),
        reason => format!("cancelled by request: {}", super::error::shown(reason)),
    };
    let import = key.import;
    let before = records::record(connection, known).await?;
    let outcome = ImportOutcome {
        state: ImportState::Cancelled,
        stats: before.stats,
        committed_offset: before.committed_offset,
        failure: Some(Failure::new(Reason::CancelledByRequest, message)),
        rejected_by_code: rejects::count_by_code(connection, import).await?,
        write_method: before.write_method,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: before.validate_only,
    };
    store_outcome(connection, import, &outcome, retention).await?;
    batches::fold(connection, import, u64::MAX).await
}

/// The phase with this number; the first one for a number of another version.
fn phase(stored: i64) -> Phase {
    let number = u8::try_from(stored).ok();
    number.and_then(Phase::from_number).unwrap_or_default()
}

fn lease_ms(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2)
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| internal(&format!("ledger: {error}")))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| internal(&format!("ledger: {error}")))
}

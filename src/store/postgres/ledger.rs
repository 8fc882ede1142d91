//! The ledger: who holds an import, what became of it.
//!
//! In: a session's claims and ends, other replicas' questions. Out: holds, records, pulses. All
//! of it on the control pool, in short transactions; `imports` is written at takeover and at the end
//! only, what changes meanwhile is in `sessions`. Times are the database's.
//!
//! [`open`] begins, takes over or replays; [`mod@end`] is what an end changes; [`record`] reads;
//! [`note`] is what a session leaves beside its batches; [`forget`] is what goes in time; here are the
//! rest.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::import::{Failure, ImportOutcome, ImportRecord, ImportState, Reason};
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::store::query::RejectedPage;
use crate::store::{Committed, LiveCounters, Pulse, Retention, SessionKey, StoreError};

use super::arguments::{self, bigint, number};
use super::checkpoint;
use super::connection::{Limits, Transaction};
use super::error;
use super::pool::Pool;

mod end;
pub(super) mod fold;
pub(super) mod forget;
pub(super) mod note;
pub(super) mod open;
pub(super) mod record;
pub(super) mod rejects;

/// Attempts at taking an import over while others do the same.
const TAKEOVERS_MAX: usize = 3;

/// What ledger operations need of the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger<'a> {
    /// Control pool.
    pub(super) pool: &'a Pool,
    /// Of its transactions.
    pub(super) limits: Limits,
    /// For how long a session holds its import without a heartbeat.
    pub(super) lease: Duration,
    /// Name of this server.
    pub(super) server: &'a str,
    /// How long imports and values are remembered.
    pub(super) retention: Retention,
}

impl Ledger<'_> {
    async fn begin(self) -> Result<Transaction, sqlx::Error> {
        let (transaction, _) = Transaction::begin(self.pool, &self.limits.begin()).await?;
        Ok(transaction)
    }

    /// Runs statements without parameters in a transaction of their own, in one round trip, and
    /// returns the rows of all of them.
    async fn once(self, statements: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let sql = format!("{}{statements}; COMMIT", self.limits.begin());
        let (transaction, rows) = Transaction::begin(self.pool, &sql).await?;
        transaction.ended();
        Ok(rows)
    }

    /// Whether rejected rows of an import that asks for such a retention are stored with their
    /// values.
    fn keeps_values(self, stored: Option<i64>) -> bool {
        stored.unwrap_or_else(|| forget::milliseconds(self.retention.rejects)) > 0
    }

    /// The end of a lease that begins now, as SQL.
    fn lease_sql(self) -> String {
        format!(
            "clock_timestamp() + interval '{} milliseconds'",
            self.lease.as_millis()
        )
    }
}

/// Ends a session; see [`crate::store::Store::end_import`].
pub(super) async fn end_import(
    ledger: Ledger<'_>,
    key: SessionKey,
    outcome: &ImportOutcome,
) -> Result<(), StoreError> {
    let ended = end(ledger, key, outcome).await.map_err(error::of_ledger)?;
    if ended {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

async fn end(
    ledger: Ledger<'_>,
    key: SessionKey,
    outcome: &ImportOutcome,
) -> Result<bool, sqlx::Error> {
    let update = end::update(ledger, key, outcome);
    let leave = end::leave(key, outcome);
    // One range is folded already: one round trip is enough.
    if outcome.stats.batches <= 1 && update.parameters.is_none() {
        let ended = ledger.once(&format!("{}; {leave}", update.sql)).await?;
        return Ok(!ended.is_empty());
    }
    let mut transaction = ledger.begin().await?;
    if !updated(&mut transaction, update).await? {
        transaction.rollback().await?;
        return Ok(false);
    }
    fold::fold(&mut transaction, key.import).await?;
    transaction.end_with(&format!("{leave}; COMMIT")).await?;
    Ok(true)
}

/// Whether the session still held its import.
async fn updated(transaction: &mut Transaction, update: end::Update) -> Result<bool, sqlx::Error> {
    let rows = match update.parameters {
        Some(parameters) => transaction.fetch(&update.sql, parameters).await?,
        None => transaction.simple(&update.sql).await?,
    };
    Ok(!rows.is_empty())
}

/// What is decided; see [`crate::store::Store::committed`].
pub(super) async fn committed(
    ledger: Ledger<'_>,
    key: SessionKey,
) -> Result<Committed, StoreError> {
    let committed = record::committed(ledger, key.import).await;
    committed.map_err(error::of_ledger)
}

/// What is decided once nothing is in doubt; see [`crate::store::Store::settled`].
pub(super) async fn settled(ledger: Ledger<'_>, key: SessionKey) -> Result<Committed, StoreError> {
    let wait = async {
        let mut transaction = ledger.begin().await?;
        // Every transaction of a session holds this row from its fence to its end.
        let sql = format!(
            "SELECT FROM rowlift.imports WHERE id = {} FOR NO KEY UPDATE",
            key.import
        );
        transaction.simple(&sql).await?;
        transaction.rollback().await
    };
    wait.await.map_err(error::of_ledger)?;
    committed(ledger, key).await
}

/// Renews leases; see [`crate::store::Store::heartbeat`].
pub(super) async fn heartbeat(
    ledger: Ledger<'_>,
    sessions: &[(SessionKey, LiveCounters)],
) -> Result<Vec<(SessionKey, Pulse)>, StoreError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let held = renew(ledger, sessions).await.map_err(error::of_ledger)?;
    let pulses = sessions.iter().map(|(key, _)| {
        let pulse = match held.get(&(key.import, key.epoch)) {
            None => Pulse::Fenced,
            Some(true) => Pulse::CancelRequested,
            Some(false) => Pulse::Held,
        };
        (*key, pulse)
    });
    Ok(pulses.collect())
}

/// Sessions that still hold their imports, and whether each was asked to cancel.
async fn renew(
    ledger: Ledger<'_>,
    sessions: &[(SessionKey, LiveCounters)],
) -> Result<BTreeMap<(i64, u64), bool>, sqlx::Error> {
    let column = |value: &dyn Fn(&(SessionKey, LiveCounters)) -> i64| -> Vec<i64> {
        sessions.iter().map(value).collect()
    };
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, column(&|(key, _)| key.import));
    arguments::add(&mut parameters, column(&|(key, _)| bigint(key.epoch)));
    arguments::add(
        &mut parameters,
        column(&|(_, live)| bigint(live.received_bytes)),
    );
    arguments::add(
        &mut parameters,
        column(&|(_, live)| bigint(live.received_rows)),
    );
    arguments::add(
        &mut parameters,
        column(&|(_, live)| i64::from(live.phase.number())),
    );
    arguments::add(&mut parameters, column(&|(_, live)| bigint(live.retries)));
    let sql = format!(
        "UPDATE rowlift.sessions s SET lease_until = {lease}, received_bytes = h.bytes, \
         received_rows = h.rows, phase = h.phase::smallint, retries = h.retries \
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
         $6::bigint[]) AS h(import, epoch, bytes, rows, phase, retries) \
         WHERE s.import = h.import AND s.epoch = h.epoch AND s.lease_until > '-infinity' \
         AND NOT EXISTS (SELECT \
         FROM rowlift.sessions n WHERE n.import = s.import AND n.epoch > s.epoch) \
         RETURNING s.import, s.epoch, s.cancel_requested_at IS NOT NULL",
        lease = ledger.lease_sql()
    );
    let mut transaction = ledger.begin().await?;
    let rows = transaction.fetch(&sql, parameters).await?;
    transaction.commit().await?;
    let mut held = BTreeMap::new();
    for row in rows {
        let epoch: i64 = row.try_get(1)?;
        held.insert((row.try_get(0)?, number(epoch)), row.try_get(2)?);
    }
    Ok(held)
}

/// Cancels; see [`crate::store::Store::request_cancel`].
pub(super) async fn request_cancel(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
    reason: &str,
) -> Result<Option<ImportRecord>, StoreError> {
    for _ in 0..TAKEOVERS_MAX {
        let Some(stored) = record::find(ledger, owner, id).await? else {
            return Ok(None);
        };
        if stored.record.state.is_terminal() {
            return Ok(Some(stored.record));
        }
        let done = if stored.live {
            ask_to_cancel(ledger, &stored, reason)
                .await
                .map_err(error::of_ledger)?
        } else {
            cancel_now(ledger, &stored, reason).await?
        };
        if done {
            let stored = record::find(ledger, owner, id).await?;
            return Ok(stored.map(|stored| stored.record));
        }
    }
    Err(error::lost(
        "the import changes hands too often to be cancelled",
    ))
}

/// Leaves the request for the session to find; `false` if nobody holds the import by
/// now.
async fn ask_to_cancel(
    ledger: Ledger<'_>,
    stored: &record::Stored,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, stored.id);
    arguments::add(&mut parameters, bigint(stored.newest_epoch));
    arguments::add(&mut parameters, reason.replace('\0', "\u{fffd}"));
    let sql = "UPDATE rowlift.sessions SET \
        cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), \
        cancel_reason = coalesce(cancel_reason, $3) WHERE import = $1 AND epoch = $2 \
        AND lease_until > clock_timestamp()";
    let mut transaction = ledger.begin().await?;
    let n_updated = transaction.execute(sql, parameters).await?;
    transaction.commit().await?;
    Ok(n_updated == 1)
}

/// Takes an import over that nobody holds and ends it; `false` if somebody else was first.
async fn cancel_now(
    ledger: Ledger<'_>,
    stored: &record::Stored,
    reason: &str,
) -> Result<bool, StoreError> {
    let epoch = stored.newest_epoch + 1;
    let claimed = open::claim(ledger, stored.id, epoch).await;
    if !claimed.map_err(error::of_ledger)? {
        return Ok(false);
    }
    let end = async {
        let mut transaction = ledger.begin().await?;
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, stored.id);
        arguments::add(&mut parameters, bigint(epoch));
        // Waits for batches of the former session that are in flight.
        let sql = "UPDATE rowlift.imports SET epoch = $2 WHERE id = $1 AND epoch < $2 \
            AND state NOT IN (5, 6, 7)";
        if transaction.execute(sql, parameters).await? == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        record::forget_undecided(&mut transaction, stored.id).await?;
        let progress = record::progress(&mut transaction, stored.id).await?;
        let rejected_by_code = record::rejected_by_code(&mut transaction, stored.id).await?;
        let mut stats = stored.record.stats;
        stats.rows = progress.counts;
        stats.batches = progress.n_batches;
        stats.received_rows = stats.received_rows.max(stats.rows.total());
        let outcome = ImportOutcome {
            state: ImportState::Cancelled,
            stats,
            committed_offset: progress.watermark,
            failure: Some(Failure::new(Reason::CancelledByRequest, reason)),
            rejected_by_code,
            write_method: stored.record.write_method,
            file_sha256: Vec::new(),
            duplicate_of_import_id: String::new(),
            validate_only: stored.record.validate_only,
        };
        fold::fold(&mut transaction, stored.id).await?;
        let key = SessionKey {
            import: stored.id,
            epoch,
        };
        let update = end::update(ledger, key, &outcome);
        if !updated(&mut transaction, update).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        let leave = end::leave(key, &outcome);
        transaction.end_with(&format!("{leave}; COMMIT")).await?;
        Ok(true)
    };
    end.await.map_err(error::of_ledger)
}

/// A page of rejected rows; see [`crate::store::Store::rejected_rows`].
pub(super) async fn rejected_rows(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
    code: Option<RowErrorCode>,
    after: Option<u64>,
    limit: u32,
) -> Result<Option<RejectedPage>, StoreError> {
    let Some(stored) = record::find(ledger, owner, id).await? else {
        return Ok(None);
    };
    let read = async {
        let filter = match code {
            Some(code) => format!(" AND {}::smallint = ANY (codes)", code.number()),
            None => String::new(),
        };
        let import = stored.id;
        let after = after.map_or(-1, bigint);
        let beyond = i64::from(limit) + 1;
        let mut transaction = ledger.begin().await?;
        let sql =
            format!("SELECT count(*) FROM rowlift.rejected_rows WHERE import = {import}{filter}");
        let rows = transaction.simple(&sql).await?;
        let total: i64 = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        let sql = format!(
            "SELECT detail FROM rowlift.rejected_rows WHERE import = {import} \
             AND ordinal > {after}{filter} ORDER BY ordinal LIMIT {beyond}"
        );
        let rows = transaction.simple(&sql).await?;
        transaction.commit().await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        let page: Result<Vec<_>, sqlx::Error> = rows
            .iter()
            .take(limit)
            .map(|row| checkpoint::rejected_row(row, 0))
            .collect();
        let mut page = page?;
        if stored.values_expired {
            page = page.iter().map(RejectedRow::without_values).collect();
        }
        Ok(RejectedPage {
            rows: page,
            total: number(total),
            more,
        })
    };
    read.await.map(Some).map_err(error::of_ledger)
}

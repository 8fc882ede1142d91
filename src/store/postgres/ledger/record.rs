//! Imports as the ledger knows them.
//!
//! In: an owner's question. Out: [`ImportRecord`]s, counts and watermark computed from the
//! committed ranges. A session whose lease has run out is nobody's: its import reads as
//! SUSPENDED.

use std::collections::BTreeMap;

use bytes::Bytes;
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::import::{Failure, ImportOutcome, ImportRecord, ImportState, Phase, WriteMethod};
use crate::model::reject::RowErrorCode;
use crate::model::stats::{ImportStats, RowCounts};
use crate::store::query::ImportFilter;
use crate::store::{Committed, CommittedRange, StoreError};

use super::super::arguments::{self, bigint, number};
use super::super::checkpoint;
use super::super::connection::Transaction;
use super::super::error;
use super::{Ledger, fold};

/// An import with what only the ledger itself needs to know.
#[derive(Debug)]
pub(in super::super) struct Stored {
    /// `imports.id`.
    pub(in super::super) id: i64,
    /// Of the newest session, which may not have taken over yet.
    pub(in super::super) newest_epoch: u64,
    /// The newest session's lease has not run out.
    pub(in super::super) live: bool,
    /// Values are not told any more.
    pub(in super::super) values_expired: bool,
    /// What makes two requests the same import.
    pub(in super::super) fingerprint: Vec<u8>,
    /// Of the file, where it is known.
    pub(in super::super) file_sha256: Option<[u8; 32]>,
    /// Committed batches.
    pub(in super::super) n_batches: u64,
    /// What callers see.
    pub(in super::super) record: ImportRecord,
}

/// What is committed.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Progress {
    /// Decided rows.
    pub(in super::super) counts: RowCounts,
    /// Committed batches.
    pub(in super::super) n_batches: u64,
    /// First ordinal that is not decided.
    pub(in super::super) watermark: u64,
}

/// Sums over the committed ranges of the import `{import}`. Ranges are disjoint, so one that begins
/// at the length of all before it begins where they end: there is no gap below it.
macro_rules! progress_sql {
    ($import:literal) => {
        concat!(
            "SELECT sum(inserted)::int8 AS inserted, sum(updated)::int8 AS updated, \
             sum(unchanged)::int8 AS unchanged, sum(skipped)::int8 AS skipped, \
             sum(rejected)::int8 AS rejected, sum(blank)::int8 AS blank, \
             sum(batches)::int8 AS batches, \
             coalesce(max(end_ordinal) FILTER (WHERE first_ordinal = below), 0)::int8 AS watermark \
             FROM (SELECT b.*, coalesce(sum(end_ordinal - first_ordinal) OVER (ORDER BY \
             first_ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS below \
             FROM rowlift.import_batches b WHERE b.import = ",
            $import,
            ") AS ranges"
        )
    };
}

const RECORDS_SQL: &str = concat!(
    "SELECT * FROM (SELECT i.id, i.owner, i.import_id, i.tenant, i.table_name, i.file_name, \
     CASE WHEN i.state IN (5, 6, 7) THEN i.state \
     WHEN coalesce(s.lease_until > clock_timestamp(), false) THEN \
     CASE WHEN s.cancel_requested_at IS NULL THEN 2 ELSE 4 END ELSE 3 END::int8 AS shown_state, \
     greatest(i.epoch, s.epoch) AS epoch, i.labels::text AS labels_text, i.labels, \
     i.validate_only, i.write_method::int8 AS write_method, i.outcome, i.failure, \
     floor(extract(epoch FROM i.create_time) * 1000)::int8 AS create_ms, \
     floor(extract(epoch FROM i.update_time) * 1000)::int8 AS update_ms, \
     floor(extract(epoch FROM i.end_time) * 1000)::int8 AS end_ms, \
     floor(extract(epoch FROM i.expire_time) * 1000)::int8 AS expire_ms, \
     floor(extract(epoch FROM i.rejects_expire_time) * 1000)::int8 AS rejects_expire_ms, \
     i.fingerprint, i.file_sha256, coalesce(s.lease_until > clock_timestamp(), false) AS live, \
     i.reject_retention_ms IS NOT DISTINCT FROM 0 \
     OR coalesce(i.rejects_expire_time <= clock_timestamp(), false) AS values_expired, \
     CASE WHEN s.lease_until > clock_timestamp() AND s.epoch = i.epoch THEN floor(greatest(0, \
     extract(epoch FROM clock_timestamp() - i.update_time)) * 1000)::int8 END AS age_ms, \
     s.received_bytes, s.received_rows, s.phase::int8 AS phase, s.retries, p.* \
     FROM rowlift.imports i \
     LEFT JOIN LATERAL (SELECT * FROM rowlift.sessions n WHERE n.import = i.id \
     ORDER BY n.epoch DESC LIMIT 1) s ON true \
     LEFT JOIN LATERAL (",
    progress_sql!("i.id"),
    ") p ON true WHERE i.owner = $1 \
     AND NOT coalesce(i.expire_time <= clock_timestamp() AND (i.state IN (5, 6, 7) \
     OR NOT coalesce(s.lease_until > i.expire_time, false)), false)) AS r "
);

/// One import by its owner and id.
pub(in super::super) async fn find(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
) -> Result<Option<Stored>, StoreError> {
    if owner.contains('\0') || id.contains('\0') {
        return Ok(None);
    }
    let read = async {
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, owner);
        arguments::add(&mut parameters, id);
        let sql = format!("{RECORDS_SQL} WHERE import_id = $2");
        let mut transaction = ledger.begin().await?;
        let rows = transaction.fetch(&sql, parameters).await?;
        transaction.commit().await?;
        rows.first().map(decode).transpose()
    };
    read.await.map_err(error::of_ledger)
}

/// A page of an owner's imports, newest first.
pub(in super::super) async fn list(
    ledger: Ledger<'_>,
    owner: &str,
    filter: &ImportFilter,
) -> Result<Vec<(i64, ImportRecord)>, StoreError> {
    const WHERE: &str = "WHERE ($2 = '' OR table_name = $2) AND ($3 = '' OR tenant = $3) \
        AND labels @> $4::text::jsonb AND ($5::bigint IS NULL OR id < $5) \
        AND ($6::bigint IS NULL OR shown_state = $6) ORDER BY id DESC LIMIT $7";
    let read = async {
        let labels = serde_json::to_string(&filter.labels).expect("labels are text");
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, owner);
        arguments::add(&mut parameters, filter.table.as_str());
        arguments::add(&mut parameters, filter.tenant.as_str());
        arguments::add(&mut parameters, labels);
        arguments::add(&mut parameters, filter.before);
        arguments::add(
            &mut parameters,
            filter.state.map(|state| i64::from(state.number())),
        );
        arguments::add(&mut parameters, i64::from(filter.limit));
        let mut transaction = ledger.begin().await?;
        let rows = transaction
            .fetch(&format!("{RECORDS_SQL}{WHERE}"), parameters)
            .await?;
        transaction.commit().await?;
        let stored: Result<Vec<Stored>, sqlx::Error> = rows.iter().map(decode).collect();
        Ok(stored?
            .into_iter()
            .map(|stored| (stored.id, stored.record))
            .collect())
    };
    read.await.map_err(error::of_ledger)
}

/// What of an import is committed.
pub(in super::super) async fn progress(
    transaction: &mut Transaction,
    import: i64,
) -> Result<Progress, sqlx::Error> {
    let rows = transaction.simple(&progress_sql(import)).await?;
    progress_of(rows.first())
}

fn progress_sql(import: i64) -> String {
    format!(progress_sql!("{}"), import)
}

fn progress_of(row: Option<&PgRow>) -> Result<Progress, sqlx::Error> {
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Progress {
        counts: checkpoint::counts_at(row, 0)?,
        n_batches: row.try_get::<Option<i64>, _>(6)?.map_or(0, number),
        watermark: number(row.try_get(7)?),
    })
}

/// What of an import is committed, in one round trip.
pub(in super::super) async fn committed(
    ledger: Ledger<'_>,
    import: i64,
) -> Result<Committed, sqlx::Error> {
    let (progress, codes) = (progress_sql(import), codes_sql(import));
    let rows = ledger.once(&format!("{progress}; {codes}")).await?;
    let progress = progress_of(rows.first())?;
    Ok(Committed {
        counts: progress.counts,
        watermark: progress.watermark,
        n_batches: progress.n_batches,
        rejected_by_code: by_code(rows.get(1..).unwrap_or_default())?,
    })
}

/// Rejected rows by the name of their codes; a row with two counts under both.
pub(in super::super) async fn rejected_by_code(
    transaction: &mut Transaction,
    import: i64,
) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    by_code(&transaction.simple(&codes_sql(import)).await?)
}

fn codes_sql(import: i64) -> String {
    format!(
        "SELECT code::int8, count(*) FROM rowlift.rejected_rows, unnest(codes) AS c(code) \
         WHERE import = {import} GROUP BY code"
    )
}

fn by_code(rows: &[PgRow]) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    let mut by_code = BTreeMap::new();
    for row in rows {
        let code: i64 = row.try_get(0)?;
        let code = u8::try_from(code).ok().and_then(RowErrorCode::from_number);
        let name = code.and_then(|code| serde_json::to_value(code).ok());
        if let Some(serde_json::Value::String(name)) = name {
            by_code.insert(name, number(row.try_get(1)?));
        }
    }
    Ok(by_code)
}

fn decode(row: &PgRow) -> Result<Stored, sqlx::Error> {
    let mut outcome: Option<ImportOutcome> = json(row, "outcome")?;
    let mut failure: Option<Failure> = json(row, "failure")?;
    let values_expired = row.try_get("values_expired")?;
    if values_expired {
        outcome = outcome.map(|outcome| outcome.without_values());
        failure = failure.map(|failure| failure.without_values());
    }
    let labels: Option<BTreeMap<String, String>> = json(row, "labels_text")?;
    let state = code(row, "shown_state", ImportState::from_number)?;
    let phase = code(row, "phase", Phase::from_number)?;
    let count = |name: &str| -> Result<u64, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(name)?.map_or(0, number))
    };
    let rows = RowCounts {
        inserted: count("inserted")?,
        updated: count("updated")?,
        unchanged: count("unchanged")?,
        skipped: count("skipped")?,
        rejected: count("rejected")?,
        blank: count("blank")?,
    };
    let stats = match &outcome {
        Some(outcome) => outcome.stats,
        None => ImportStats {
            received_bytes: count("received_bytes")?,
            // A session that died may have committed more than its last heartbeat told.
            received_rows: count("received_rows")?.max(rows.total()),
            rows,
            batches: count("batches")?,
            retries: count("retries")?,
            // The row of a running import changes when a session takes it, and not again before its end.
            elapsed_ms: count("age_ms")?,
            ..ImportStats::default()
        },
    };
    let watermark = count("watermark")?;
    let file_sha256: Option<Vec<u8>> = row.try_get("file_sha256")?;
    let record = ImportRecord {
        owner: row.try_get("owner")?,
        import_id: row.try_get("import_id")?,
        tenant: row.try_get("tenant")?,
        table: row.try_get("table_name")?,
        file_name: row.try_get("file_name")?,
        state: state.ok_or_else(|| decode_error("state"))?,
        epoch: count("epoch")?,
        stats,
        committed_offset: outcome.as_ref().map_or(watermark, |it| it.committed_offset),
        phase: phase.unwrap_or_default(),
        failure,
        outcome,
        labels: labels.unwrap_or_default(),
        validate_only: row.try_get("validate_only")?,
        write_method: code(row, "write_method", WriteMethod::from_number)?
            .ok_or_else(|| decode_error("write method"))?,
        create_time_ms: row.try_get("create_ms")?,
        update_time_ms: row.try_get("update_ms")?,
        end_time_ms: row.try_get("end_ms")?,
        expire_time_ms: row.try_get("expire_ms")?,
        rejects_expire_time_ms: row.try_get("rejects_expire_ms")?,
    };
    Ok(Stored {
        id: row.try_get("id")?,
        newest_epoch: record.epoch,
        live: row.try_get("live")?,
        values_expired,
        fingerprint: row.try_get("fingerprint")?,
        file_sha256: file_sha256.and_then(|sha256| sha256.try_into().ok()),
        n_batches: count("batches")?,
        record,
    })
}

/// A number of the contract; `None` if the column is NULL or the number unknown.
fn code<T>(
    row: &PgRow,
    name: &str,
    from_number: fn(u8) -> Option<T>,
) -> Result<Option<T>, sqlx::Error> {
    let value: Option<i64> = row.try_get(name)?;
    Ok(value
        .and_then(|it| u8::try_from(it).ok())
        .and_then(from_number))
}

/// The JSON in a column of text.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &PgRow,
    name: &str,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<String> = row.try_get(name)?;
    let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
    parsed.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn decode_error(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the ledger holds an unknown {what}").into())
}

/// Ranges above the watermark, and the caller's place after the last batch below it.
pub(in super::super) async fn ranges_above(
    transaction: &mut Transaction,
    import: i64,
    watermark: u64,
) -> Result<(Vec<CommittedRange>, Option<Bytes>), sqlx::Error> {
    let watermark = bigint(watermark);
    let sql = format!(
        "SELECT first_ordinal, end_ordinal, rows_hash, position FROM rowlift.import_batches \
         WHERE import = {import} AND first_ordinal >= {watermark} ORDER BY first_ordinal"
    );
    let mut ranges = Vec::new();
    for row in transaction.simple(&sql).await? {
        let position: Option<Vec<u8>> = row.try_get(3)?;
        ranges.push(CommittedRange {
            range: number(row.try_get(0)?)..number(row.try_get(1)?),
            rows_hash: fold::hash_at(&row, 2)?,
            position: position.map(Bytes::from),
        });
    }
    let sql = format!(
        "SELECT position FROM rowlift.import_batches WHERE import = {import} \
         AND end_ordinal <= {watermark} AND position IS NOT NULL \
         ORDER BY first_ordinal DESC LIMIT 1"
    );
    let rows = transaction.simple(&sql).await?;
    let position: Option<Vec<u8>> = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => None,
    };
    Ok((ranges, position.map(Bytes::from)))
}

/// Wrapping sum of the hashes of the rows below the watermark.
pub(in super::super) async fn hash_below(
    transaction: &mut Transaction,
    import: i64,
    watermark: u64,
) -> Result<u128, sqlx::Error> {
    let sql = format!(
        "SELECT rows_hash FROM rowlift.import_batches WHERE import = {import} \
         AND end_ordinal <= {}",
        bigint(watermark)
    );
    let mut sum = 0_u128;
    for row in transaction.simple(&sql).await? {
        sum = sum.wrapping_add(fold::hash_at(&row, 0)?);
    }
    Ok(sum)
}

/// Deletes rejected rows that no committed range covers: those of a transaction that rolled back,
/// or of a session that ended before it could say so. They are judged anew.
pub(in super::super) async fn forget_undecided(
    transaction: &mut Transaction,
    import: i64,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "DELETE FROM rowlift.rejected_rows r WHERE r.import = {import} AND NOT coalesce(\
         (SELECT b.end_ordinal > r.ordinal FROM rowlift.import_batches b \
         WHERE b.import = {import} AND b.first_ordinal <= r.ordinal \
         ORDER BY b.first_ordinal DESC LIMIT 1), false)"
    );
    transaction.simple(&sql).await?;
    Ok(())
}

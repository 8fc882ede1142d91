//! Committed ranges: what is decided, and how far without a gap.
//!
//! In: a batch and its counts. Out: receipts, watermark, totals. Ranges below the watermark are
//! folded into one, so that a stream that stays open does not leave a row for every acknowledgement;
//! the newest [`UNFOLDED_KEPT`] stay as they are, since the retry of a batch in doubt has to find
//! its own range.

use std::ops::Range;

use bytes::Bytes;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{number, rejects, stored};
use crate::model::batch::{Batch, Receipt};
use crate::model::import::{Failure, Reason};
use crate::model::reject::SourceKind;
use crate::model::stats::RowCounts;
use crate::store::sqlite::error::internal;
use crate::store::sqlite::sql::{fetch_all, fetch_optional, run};
use crate::store::{CommittedRange, StoreError};

/// Batches of a session between two folds.
const FOLD_INTERVAL: u64 = 256;
/// Ranges that a fold leaves alone while a session writes.
const UNFOLDED_KEPT: usize = 64;

/// One row of the table.
#[derive(Debug, Clone)]
pub(in crate::store::sqlite) struct StoredRange {
    pub(super) committed: CommittedRange,
    counts: RowCounts,
    n_batches: u64,
    position: Option<Bytes>,
}

/// The ranges from ordinal 0 to the first gap.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// The watermark.
    pub(super) end: u64,
    pub(super) n_ranges: usize,
    /// Of the last range that has one.
    pub(super) position: Option<Bytes>,
}

/// The receipt of a batch that is in. One that overlaps another batch is a caller's fault.
pub(in crate::store::sqlite) async fn receipt(
    connection: &mut SqliteConnection,
    import: i64,
    batch: &Batch,
) -> Result<Option<Receipt>, StoreError> {
    // Ranges are disjoint: if any overlaps, the one that begins last does.
    let sql = "SELECT * FROM rowlift_import_batches WHERE import = ? AND first_ordinal < ? \
               ORDER BY first_ordinal DESC LIMIT 1";
    let query = sqlx::query(sql).bind(import).bind(stored(batch.range.end));
    let found = fetch_optional(connection, query).await?;
    let Some(found) = found.map(stored_range).transpose()? else {
        return Ok(None);
    };
    let range = found.committed.range;
    if range.end <= batch.range.start {
        return Ok(None);
    }
    if range != batch.range {
        let (a, b) = (&batch.range, &range);
        return Err(internal(&format!(
            "rows {a:?} overlap rows {b:?}, which are committed"
        )));
    }
    if found.committed.rows_hash != batch.rows_hash {
        let reason = match batch.source_kind {
            SourceKind::File => Reason::IdConflict,
            SourceKind::Rows => Reason::DuplicateContentMismatch,
        };
        let message = format!("rows {range:?} were committed with other content");
        return Err(StoreError::Failed(Failure::new(reason, message)));
    }
    Ok(Some(Receipt {
        rejected: rejects::of_range(connection, import, &range).await?,
        range,
        counts: found.counts,
        retries: 0,
    }))
}

/// Records a batch; now and then folds older ones.
pub(in crate::store::sqlite) async fn insert(
    connection: &mut SqliteConnection,
    import: i64,
    batch: &Batch,
    counts: RowCounts,
) -> Result<(), StoreError> {
    let range = StoredRange {
        committed: CommittedRange {
            range: batch.range.clone(),
            rows_hash: batch.rows_hash,
            position: None,
        },
        counts,
        n_batches: 1,
        position: batch.position.clone(),
    };
    insert_range(connection, import, &range).await?;
    if batch.index % FOLD_INTERVAL == FOLD_INTERVAL - 1 {
        fold(connection, import, UNFOLDED_KEPT).await?;
    }
    Ok(())
}

/// Makes one range of those below the watermark, less the last `n_kept`.
pub(super) async fn fold(
    connection: &mut SqliteConnection,
    import: i64,
    n_kept: usize,
) -> Result<(), StoreError> {
    let ranges = ranges(connection, import).await?;
    let below = &ranges[..prefix(&ranges).n_ranges.saturating_sub(n_kept)];
    let [first, rest @ ..] = below else {
        return Ok(());
    };
    if rest.is_empty() {
        return Ok(());
    }
    let mut folded = first.clone();
    for range in rest {
        folded.committed.range.end = range.committed.range.end;
        let hash = folded.committed.rows_hash;
        folded.committed.rows_hash = hash.wrapping_add(range.committed.rows_hash);
        folded.counts += range.counts;
        folded.n_batches += range.n_batches;
        if range.position.is_some() {
            folded.position.clone_from(&range.position);
        }
    }
    let sql = "DELETE FROM rowlift_import_batches WHERE import = ? AND first_ordinal < ?";
    let end = stored(folded.committed.range.end);
    let query = sqlx::query(sql).bind(import).bind(end);
    run(connection, query).await?;
    insert_range(connection, import, &folded).await
}

/// All ranges, ascending.
pub(super) async fn ranges(
    connection: &mut SqliteConnection,
    import: i64,
) -> Result<Vec<StoredRange>, StoreError> {
    let sql = "SELECT * FROM rowlift_import_batches WHERE import = ? ORDER BY first_ordinal";
    let rows = fetch_all(connection, sqlx::query(sql).bind(import)).await?;
    rows.into_iter().map(stored_range).collect()
}

/// Counts of everything committed, and the watermark.
pub(in crate::store::sqlite) async fn committed(
    connection: &mut SqliteConnection,
    import: i64,
) -> Result<(RowCounts, u64), StoreError> {
    let ranges = ranges(connection, import).await?;
    Ok((total(&ranges), prefix(&ranges).end))
}

/// The sum of all counts.
pub(super) fn total(ranges: &[StoredRange]) -> RowCounts {
    let mut counts = RowCounts::default();
    for range in ranges {
        counts += range.counts;
    }
    counts
}

/// The number of batches behind the ranges.
pub(super) fn n_batches(ranges: &[StoredRange]) -> u64 {
    ranges.iter().map(|range| range.n_batches).sum()
}

/// How far the ranges go without a gap.
pub(super) fn prefix(ranges: &[StoredRange]) -> Prefix {
    let mut prefix = Prefix::default();
    for stored in ranges {
        let Range { start, end } = stored.committed.range;
        if start != prefix.end {
            break;
        }
        prefix.end = end;
        prefix.n_ranges += 1;
        if stored.position.is_some() {
            prefix.position.clone_from(&stored.position);
        }
    }
    prefix
}

async fn insert_range(
    connection: &mut SqliteConnection,
    import: i64,
    range: &StoredRange,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO rowlift_import_batches (import, first_ordinal, end_ordinal, batches, \
               inserted, updated, unchanged, skipped, rejected, blank, rows_hash, position) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let RowCounts {
        inserted,
        updated,
        unchanged,
        skipped,
        rejected,
        blank,
    } = range.counts;
    let mut query = sqlx::query(sql)
        .bind(import)
        .bind(stored(range.committed.range.start))
        .bind(stored(range.committed.range.end))
        .bind(stored(range.n_batches));
    for count in [inserted, updated, unchanged, skipped, rejected, blank] {
        query = query.bind(stored(count));
    }
    let hash = range.committed.rows_hash.to_le_bytes();
    let query = query.bind(hash.as_slice()).bind(range.position.as_deref());
    run(connection, query).await?;
    Ok(())
}

fn stored_range(row: SqliteRow) -> Result<StoredRange, StoreError> {
    let count = |name: &str| number(row.get(name));
    let hash: &[u8] = row.get("rows_hash");
    let hash = hash
        .try_into()
        .map_err(|_| internal("ledger: a hash is not of 16 bytes"))?;
    let position: Option<&[u8]> = row.get("position");
    Ok(StoredRange {
        committed: CommittedRange {
            range: count("first_ordinal")..count("end_ordinal"),
            rows_hash: u128::from_le_bytes(hash),
            position: None,
        },
        counts: RowCounts {
            inserted: count("inserted"),
            updated: count("updated"),
            unchanged: count("unchanged"),
            skipped: count("skipped"),
            rejected: count("rejected"),
            blank: count("blank"),
        },
        n_batches: count("batches"),
        position: position.map(Bytes::copy_from_slice),
    })
}

#[cfg(test)]
mod tests;

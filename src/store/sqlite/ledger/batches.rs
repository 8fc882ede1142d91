//! Committed ranges: what is decided, and how far without a gap.
//!
//! In: a batch and its counts. Out: receipts, watermark, totals. Ranges below the watermark are
//! folded into one at the end of a session, and before where the session has all their receipts:
//! the retry of a batch in doubt has to find its own range.

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
use crate::store::{Committed, CommittedRange, StoreError, WholeRange};

/// One row of the table.
#[derive(Debug, Clone)]
pub(in crate::store::sqlite) struct StoredRange {
    pub(super) committed: CommittedRange,
    counts: RowCounts,
    n_batches: u64,
}

/// The ranges from ordinal 0 to the first gap.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// The watermark.
    pub(super) end: u64,
    pub(super) n_ranges: usize,
    /// Wrapping sum of the hashes of its rows.
    pub(super) rows_hash: u128,
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
    let sql = "SELECT import, first_ordinal, end_ordinal, batches, inserted, updated, unchanged, skipped, \
        rejected, blank, rows_hash, position \
        FROM rowlift_import_batches WHERE import = ? AND first_ordinal < ? \
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

/// Records a batch.
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
            position: batch.position.clone(),
        },
        counts,
        n_batches: 1,
    };
    insert_range(connection, import, &range).await
}

/// Records all rows of an import at once, unless some are recorded: false then. One without rows
/// leaves no range.
pub(in crate::store::sqlite) async fn insert_whole(
    connection: &mut SqliteConnection,
    import: i64,
    whole: &WholeRange,
) -> Result<bool, StoreError> {
    if !ranges(connection, import).await?.is_empty() {
        return Ok(false);
    }
    if whole.end == 0 {
        return Ok(true);
    }
    let range = StoredRange {
        committed: CommittedRange {
            range: 0..whole.end,
            rows_hash: whole.rows_hash,
            position: whole.position.clone(),
        },
        counts: whole.counts,
        n_batches: whole.n_batches.max(1),
    };
    insert_range(connection, import, &range).await?;
    Ok(true)
}

/// Makes one range of those below the first gap that end at or below `watermark`.
pub(super) async fn fold(
    connection: &mut SqliteConnection,
    import: i64,
    watermark: u64,
) -> Result<(), StoreError> {
    let ranges = ranges(connection, import).await?;
    let below = &ranges[..prefix(&ranges).n_ranges];
    let n_decided = below.partition_point(|range| range.committed.range.end <= watermark);
    let [first, rest @ ..] = &below[..n_decided] else {
        return Ok(());
    };
    if rest.is_empty() {
        return Ok(());
    }
    let mut folded = first.clone();
    for StoredRange {
        committed,
        counts,
        n_batches,
    } in rest
    {
        folded.committed.range.end = committed.range.end;
        folded.committed.rows_hash = folded.committed.rows_hash.wrapping_add(committed.rows_hash);
        folded.counts += *counts;
        folded.n_batches += n_batches;
        if committed.position.is_some() {
            folded.committed.position.clone_from(&committed.position);
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
    let sql = "SELECT import, first_ordinal, end_ordinal, batches, inserted, updated, unchanged, skipped, \
        rejected, blank, rows_hash, position \
        FROM rowlift_import_batches WHERE import = ? ORDER BY first_ordinal";
    let rows = fetch_all(connection, sqlx::query(sql).bind(import)).await?;
    rows.into_iter().map(stored_range).collect()
}

/// See [`crate::store::Store::committed`].
pub(in crate::store::sqlite) async fn committed(
    connection: &mut SqliteConnection,
    import: i64,
) -> Result<Committed, StoreError> {
    let ranges = ranges(connection, import).await?;
    Ok(Committed {
        counts: total(&ranges),
        watermark: prefix(&ranges).end,
        n_batches: n_batches(&ranges),
        rejected_by_code: rejects::count_by_code(connection, import).await?,
    })
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
        prefix.rows_hash = prefix.rows_hash.wrapping_add(stored.committed.rows_hash);
        if stored.committed.position.is_some() {
            prefix.position.clone_from(&stored.committed.position);
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
    let position = range.committed.position.as_deref();
    let query = query.bind(hash.as_slice()).bind(position);
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
            position: position.map(Bytes::copy_from_slice),
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
    })
}

#[cfg(test)]
mod tests;

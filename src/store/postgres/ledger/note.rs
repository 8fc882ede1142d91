//! What a session leaves in the ledger beside its batches.
//!
//! In: rejected rows of transactions that rolled back, the range of a dry run, a file's hash and
//! layout, a watermark to fold below. Out: nothing, or [`StoreError::Fenced`]: each looks at the fence like a
//! batch, in the transaction that writes.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::model::layout::SourceLayout;
use crate::model::reject::RejectedRow;
use crate::store::query::SameFile;
use crate::store::{SessionKey, StoreError, WholeRange};

use super::super::arguments::number;
use super::super::checkpoint::{self, Stored};
use super::super::connection::Transaction;
use super::super::{error, literal};
use super::{Ledger, fold, rejects};

/// See [`crate::store::Store::record_rejects`].
pub(in super::super) async fn record_rejects(
    ledger: Ledger<'_>,
    key: SessionKey,
    rejected: &[RejectedRow],
) -> Result<(), StoreError> {
    let (mut transaction, _) = begin_fenced(ledger, key).await?;
    let record = async {
        checkpoint::insert_rejects(&mut transaction, key.import, rejected).await?;
        transaction.commit().await
    };
    record.await.map_err(error::of_ledger)
}

/// See [`crate::store::Store::record_dry_run`].
pub(in super::super) async fn record_dry_run(
    ledger: Ledger<'_>,
    key: SessionKey,
    whole: &WholeRange,
) -> Result<(), StoreError> {
    let (mut transaction, fence) = begin_fenced(ledger, key).await?;
    let record = async {
        let covered_to: Option<i64> = fence.try_get(0)?;
        let is_in = covered_to.is_some_and(|end| number(end) >= whole.end);
        if whole.end > 0 && !is_in {
            let range = checkpoint::insert_range(key, &Stored::of_whole(whole));
            transaction.simple(&range).await?;
        }
        transaction.commit().await
    };
    record.await.map_err(error::of_ledger)
}

/// See [`crate::store::Store::note_file`]. No batch of the session runs yet, and a takeover has
/// waited for those of the sessions before it: the row of `imports` is not fought over.
pub(in super::super) async fn note_file(
    ledger: Ledger<'_>,
    key: SessionKey,
    sha256: [u8; 32],
) -> Result<(), StoreError> {
    note(ledger, key, "file_sha256", &sha256).await
}

/// See [`crate::store::Store::note_layout`]. Like a file's hash, before any batch of the session.
pub(in super::super) async fn note_layout(
    ledger: Ledger<'_>,
    key: SessionKey,
    layout: &SourceLayout,
) -> Result<(), StoreError> {
    note(ledger, key, "source_layout", &rejects::stored(layout)).await
}

/// Sets a column of the import's row, if the session still holds it; one round trip.
async fn note(
    ledger: Ledger<'_>,
    key: SessionKey,
    column: &str,
    value: &[u8],
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE rowlift.imports i SET {column} = {} WHERE {} AND i.state = 2 RETURNING i.id",
        literal::bytes(value),
        checkpoint::held(key)
    );
    let updated = ledger.once(&sql).await.map_err(error::of_ledger)?;
    if updated.is_empty() {
        return Err(StoreError::Fenced);
    }
    Ok(())
}

/// See [`crate::store::Store::earlier_import`].
pub(in super::super) async fn earlier_import(
    ledger: Ledger<'_>,
    file: SameFile<'_>,
) -> Result<Option<String>, StoreError> {
    let [owner, tenant, table, import_id] =
        [file.owner, file.tenant, file.table, file.import_id].map(literal::text);
    let sql = format!(
        "SELECT import_id FROM rowlift.imports WHERE owner = {owner} AND tenant = {tenant} \
         AND table_name = {table} AND file_sha256 = {} AND import_id <> {import_id} AND state = 5 \
         AND NOT validate_only AND expire_time > clock_timestamp() ORDER BY end_time, id LIMIT 1",
        literal::bytes(&file.sha256)
    );
    let rows = ledger.once(&sql).await.map_err(error::of_ledger)?;
    let earlier = rows.first().map(|row| row.try_get(0)).transpose();
    earlier.map_err(error::of_ledger)
}

/// See [`crate::store::Store::compact`].
pub(in super::super) async fn compact(
    ledger: Ledger<'_>,
    key: SessionKey,
    watermark: u64,
) -> Result<(), StoreError> {
    let (mut transaction, _) = begin_fenced(ledger, key).await?;
    let compact = async {
        fold::fold_below(&mut transaction, key.import, watermark).await?;
        transaction.commit().await
    };
    compact.await.map_err(error::of_ledger)
}

/// Begins a transaction that holds the fence, as a batch's does; with the fence's answer for
/// ordinal 0.
async fn begin_fenced(
    ledger: Ledger<'_>,
    key: SessionKey,
) -> Result<(Transaction, PgRow), StoreError> {
    let prologue = format!("{}{}", ledger.limits.begin(), checkpoint::fence(key, 0));
    let begun = Transaction::begin(ledger.pool, &prologue).await;
    let (transaction, rows) = begun.map_err(error::of_ledger)?;
    let Some(fence) = rows.into_iter().next() else {
        transaction.rollback().await.map_err(error::of_ledger)?;
        return Err(StoreError::Fenced);
    };
    Ok((transaction, fence))
}

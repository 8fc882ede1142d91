//! Folding: the committed ranges below the watermark become one.
//!
//! In: an import whose row the transaction has locked: against batches, or together with them
//! where they concern later ordinals only. Out: fewer rows in `import_batches`, with the same counts and
//! the same sum of hashes. At most [`RANGES_MAX`] at a time; the rest is folded the next time.

use sqlx::Row as _;
use sqlx::postgres::PgArguments;

use crate::model::stats::RowCounts;

use super::super::arguments::{self, bigint, number};
use super::super::checkpoint;
use super::super::connection::Transaction;

/// Ranges folded in one go: bounds the memory for it.
const RANGES_MAX: usize = 50_000;

/// Folds all ranges that follow each other without a gap from ordinal 0 on.
pub(in super::super) async fn fold(
    transaction: &mut Transaction,
    import: i64,
) -> Result<(), sqlx::Error> {
    fold_below(transaction, import, u64::MAX).await
}

/// Folds those of them that end at or below `watermark`.
pub(in super::super) async fn fold_below(
    transaction: &mut Transaction,
    import: i64,
    watermark: u64,
) -> Result<(), sqlx::Error> {
    let bound = bigint(watermark);
    // Locked: of two that fold at once the second finds nothing.
    let sql = format!(
        "SELECT inserted, updated, unchanged, skipped, rejected, blank, first_ordinal, \
         end_ordinal, rows_hash, position, batches, epoch FROM rowlift.import_batches \
         WHERE import = {import} AND end_ordinal <= {bound} \
         ORDER BY first_ordinal LIMIT {RANGES_MAX} FOR UPDATE"
    );
    let rows = transaction.simple(&sql).await?;
    let mut counts = RowCounts::default();
    let mut end = 0;
    let mut rows_hash = 0_u128;
    let mut position: Option<Vec<u8>> = None;
    let mut n_batches = 0_i32;
    let mut epoch = 0_i64;
    let mut n_folded = 0;
    for row in &rows {
        let first: i64 = row.try_get(6)?;
        if number(first) != end {
            break;
        }
        counts += checkpoint::counts_at(row, 0)?;
        end = number(row.try_get(7)?);
        rows_hash = rows_hash.wrapping_add(hash_at(row, 8)?);
        position = row.try_get::<Option<Vec<u8>>, _>(9)?.or(position);
        n_batches = n_batches.saturating_add(row.try_get(10)?);
        epoch = epoch.max(row.try_get(11)?);
        n_folded += 1;
    }
    if n_folded < 2 {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM rowlift.import_batches WHERE import = {import} AND first_ordinal < {}",
        bigint(end)
    );
    transaction.simple(&sql).await?;
    let numbers = [
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.skipped,
        counts.rejected,
        counts.blank,
    ];
    let numbers = numbers.map(|each| bigint(each).to_string()).join(", ");
    let sql = format!(
        "INSERT INTO rowlift.import_batches (import, first_ordinal, end_ordinal, epoch, inserted, \
         updated, unchanged, skipped, rejected, blank, batches, rows_hash, position) \
         VALUES ({import}, 0, {}, {epoch}, {numbers}, {n_batches}, $1, $2)",
        bigint(end)
    );
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, rows_hash.to_be_bytes().to_vec());
    arguments::add(&mut parameters, position);
    transaction.execute(&sql, parameters).await?;
    Ok(())
}

/// The 128-bit hash in the bytea at column `at`.
pub(in super::super) fn hash_at(
    row: &sqlx::postgres::PgRow,
    at: usize,
) -> Result<u128, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(at)?;
    let bytes: Result<[u8; 16], Vec<u8>> = bytes.try_into();
    match bytes {
        Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
        Err(_) => Err(sqlx::Error::Decode("a hash has 16 bytes".into())),
    }
}

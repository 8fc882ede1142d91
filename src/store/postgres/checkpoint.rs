//! What a batch's transaction writes beside its rows: the fence at its begin, rejected rows, the
//! committed range at its end; and what is read of them.
//!
//! In: counts, hashes, [`RejectedRow`]s. Out: SQL whose only literals are numbers and hex digits,
//! so that it can go in one simple query with BEGIN or COMMIT.

use std::ops::Range;

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::batch::{Batch, Receipt};
use crate::model::import::{Failure, Reason};
use crate::model::plan::OnConflict;
use crate::model::reject::RejectedRow;
use crate::model::stats::RowCounts;
use crate::store::{SessionKey, StoreError, WholeRange, WriteRequest};

use super::arguments::{self, bigint, number};
use super::connection::Transaction;
use super::{error, literal};

/// Rejected rows in one INSERT.
const REJECTS_PER_STATEMENT: usize = 1_000;

/// What the ledger's column of batches holds.
const BATCHES_MAX: u64 = i32::MAX.unsigned_abs() as u64;

/// The row of `imports` that lets the session write, locked so that a takeover waits for the
/// batch; with the end of the committed range that the ordinal `first` falls in or follows. No
/// row: fenced.
///
/// `FOR SHARE` alone would let overlapping batches starve the takeover's UPDATE; the takeover inserts its
/// session first, and from then on no batch begins.
pub(super) fn fence(key: SessionKey, first: u64) -> String {
    let first = bigint(first);
    format!(
        "SELECT (SELECT b.end_ordinal FROM rowlift.import_batches b WHERE b.import = i.id \
         AND b.first_ordinal <= {first} ORDER BY b.first_ordinal DESC LIMIT 1) \
         FROM rowlift.imports i WHERE {} AND i.state = 2 FOR SHARE OF i",
        held(key)
    )
}

/// The same question without the lock, for a transaction that asks again before it ends.
pub(super) fn is_open(key: SessionKey) -> String {
    format!(
        "SELECT EXISTS (SELECT FROM rowlift.imports i WHERE {} AND i.state = 2)",
        held(key)
    )
}

/// Whether the session holds the import `i`: it is the newest that took it, and none is about to.
pub(super) fn held(key: SessionKey) -> String {
    let (import, epoch) = (key.import, bigint(key.epoch));
    format!(
        "i.id = {import} AND i.epoch = {epoch} AND NOT EXISTS (SELECT FROM rowlift.sessions n \
         WHERE n.import = i.id AND n.epoch > {epoch})"
    )
}

/// What the fence's answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// A newer session exists, or the import has ended.
    Closed,
    /// The batch may be written.
    Open,
    /// The batch is in already.
    Repeated,
}

/// Reads the answer to [`fence`].
pub(super) fn passed(rows: &[PgRow], batch: &Batch) -> Result<Fence, sqlx::Error> {
    let Some(row) = rows.first() else {
        return Ok(Fence::Closed);
    };
    let covered_to: Option<i64> = row.try_get(0)?;
    if covered_to.is_some_and(|end| number(end) >= batch.range.end) {
        return Ok(Fence::Repeated);
    }
    Ok(Fence::Open)
}

/// A committed range, as it is stored.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    /// Ordinals.
    pub(super) range: Range<u64>,
    /// Wrapping sum of the rows' hashes.
    pub(super) rows_hash: u128,
    /// What became of the rows.
    pub(super) counts: RowCounts,
    /// Batches that they were written in.
    pub(super) n_batches: u64,
    /// The caller's place at the end.
    pub(super) position: Option<&'a [u8]>,
}

impl<'a> Stored<'a> {
    /// The range of one batch.
    pub(super) fn of_batch(batch: &'a Batch, counts: RowCounts) -> Stored<'a> {
        Stored {
            range: batch.range.clone(),
            rows_hash: batch.rows_hash,
            counts,
            n_batches: 1,
            position: batch.position.as_deref(),
        }
    }

    /// The range of all rows of an import.
    pub(super) fn of_whole(whole: &'a WholeRange) -> Stored<'a> {
        Stored {
            range: 0..whole.end,
            rows_hash: whole.rows_hash,
            counts: whole.counts,
            n_batches: whole.n_batches,
            position: whole.position.as_deref(),
        }
    }
}

/// The INSERT of a range. Its primary key settles who of two attempts wrote the rows.
pub(super) fn insert_range(key: SessionKey, stored: &Stored<'_>) -> String {
    let rows_hash = literal::bytes(&stored.rows_hash.to_be_bytes());
    let position = literal::or_null(stored.position.map(literal::bytes));
    let counts = stored.counts;
    let numbers = [
        stored.range.start,
        stored.range.end,
        key.epoch,
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.skipped,
        counts.rejected,
        counts.blank,
        stored.n_batches.min(BATCHES_MAX),
    ];
    let numbers = numbers.map(|each| bigint(each).to_string()).join(", ");
    format!(
        "INSERT INTO rowlift.import_batches (import, first_ordinal, end_ordinal, epoch, inserted, \
         updated, unchanged, skipped, rejected, blank, batches, rows_hash, position) \
         VALUES ({}, {numbers}, {rows_hash}, {position})",
        key.import
    )
}

/// Stores rejected rows, each once.
pub(super) async fn insert_rejects(
    transaction: &mut Transaction,
    import: i64,
    rejected: &[RejectedRow],
) -> Result<(), sqlx::Error> {
    const SQL: &str = "INSERT INTO rowlift.rejected_rows \
        (import, ordinal, row_number, sheet, codes, detail) \
        SELECT $1, ordinal, row_number, sheet, codes::smallint[], detail \
        FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bytea[]) \
        AS r(ordinal, row_number, sheet, codes, detail) ON CONFLICT DO NOTHING";
    for chunk in rejected.chunks(REJECTS_PER_STATEMENT) {
        let ordinals: Vec<i64> = chunk.iter().map(|row| bigint(row.ordinal)).collect();
        let row_numbers: Vec<i64> = chunk.iter().map(|row| bigint(row.row_number)).collect();
        // The detail has it as it is.
        let sheets: Vec<String> = chunk
            .iter()
            .map(|row| row.sheet.replace('\0', "\u{fffd}"))
            .collect();
        let codes: Vec<String> = chunk.iter().map(codes_literal).collect();
        let details: Vec<Vec<u8>> = chunk.iter().map(detail).collect();
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, import);
        arguments::add(&mut parameters, ordinals);
        arguments::add(&mut parameters, row_numbers);
        arguments::add(&mut parameters, sheets);
        arguments::add(&mut parameters, codes);
        arguments::add(&mut parameters, details);
        transaction.execute(SQL, parameters).await?;
    }
    Ok(())
}

/// The receipt of a batch that was committed before, from the ledger.
pub(super) async fn recall(
    transaction: &mut Transaction,
    request: WriteRequest<'_>,
) -> Result<Receipt, StoreError> {
    let WriteRequest {
        key, plan, batch, ..
    } = request;
    let (first, end) = (bigint(batch.range.start), bigint(batch.range.end));
    let sql = format!(
        "SELECT inserted, updated, unchanged, skipped, rejected, blank \
         FROM rowlift.import_batches WHERE import = {} AND first_ordinal = {first} \
         AND end_ordinal = {end}",
        key.import
    );
    let exact = transaction.simple(&sql).await.map_err(error::of_ledger)?;
    let sql = format!(
        "SELECT detail FROM rowlift.rejected_rows WHERE import = {} AND ordinal >= {first} \
         AND ordinal < {end} ORDER BY ordinal",
        key.import
    );
    let details = transaction.simple(&sql).await.map_err(error::of_ledger)?;
    let rejected: Result<Vec<RejectedRow>, sqlx::Error> =
        details.iter().map(|row| rejected_row(row, 0)).collect();
    let rejected = rejected.map_err(error::of_ledger)?;
    let counts = match exact.first() {
        Some(row) => counts_at(row, 0).map_err(error::of_ledger)?,
        // The range was folded into a larger one. A session folds ranges that it has receipts of
        // only, so this is the batch of an earlier one, cut otherwise. Where rows meet no others
        // the batch itself tells the rest.
        None if plan.on_conflict != OnConflict::Reject => {
            return Err(StoreError::Failed(Failure::new(
                Reason::Internal,
                "what became of a committed batch is known together with others only",
            )));
        }
        None => RowCounts {
            inserted: (batch.rows.n_rows() + batch.rejected.len()).saturating_sub(rejected.len())
                as u64,
            rejected: rejected.len() as u64,
            blank: batch.n_blank(),
            ..RowCounts::default()
        },
    };
    Ok(Receipt {
        range: batch.range.clone(),
        counts,
        rejected,
        retries: 0,
    })
}

/// Six counts in the order of `import_batches`, from the column `at` on.
pub(super) fn counts_at(row: &PgRow, at: usize) -> Result<RowCounts, sqlx::Error> {
    let count = |offset: usize| -> Result<u64, sqlx::Error> {
        let value: Option<i64> = row.try_get(at + offset)?;
        Ok(value.map_or(0, number))
    };
    Ok(RowCounts {
        inserted: count(0)?,
        updated: count(1)?,
        unchanged: count(2)?,
        skipped: count(3)?,
        rejected: count(4)?,
        blank: count(5)?,
    })
}

/// The rejected row in the `detail` at column `at`.
pub(super) fn rejected_row(row: &PgRow, at: usize) -> Result<RejectedRow, sqlx::Error> {
    let detail: Vec<u8> = row.try_get(at)?;
    serde_json::from_slice(&detail).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// `{1,12}`: the row's codes, each once, ascending.
fn codes_literal(row: &RejectedRow) -> String {
    let mut codes: Vec<u8> = row.errors.iter().map(|error| error.code.number()).collect();
    codes.sort_unstable();
    codes.dedup();
    let codes: Vec<String> = codes.iter().map(u8::to_string).collect();
    format!("{{{}}}", codes.join(","))
}

fn detail(row: &RejectedRow) -> Vec<u8> {
    serde_json::to_vec(row).expect("a rejected row has text keys and no floats")
}

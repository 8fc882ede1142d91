//! What the database answers to the statements of [`super::statement`].
//!
//! In: rows of its answers. Out: counts and positions in the batch. Pure.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::super::arguments::number;
use super::statement::Place;

/// What a watched INSERT says of its row.
#[derive(Debug)]
pub(super) struct Watched {
    /// 1 if it is new.
    pub(super) inserted: u64,
    /// 1 if the row that it met was updated.
    pub(super) updated: u64,
    /// It met a row and left it as it was.
    pub(super) met: bool,
}

/// The only count of an answer.
pub(super) fn n_updated(answer: &[PgRow]) -> Result<u64, sqlx::Error> {
    count_at(answer.first().ok_or(sqlx::Error::RowNotFound)?, 0)
}

fn count_at(row: &PgRow, at: usize) -> Result<u64, sqlx::Error> {
    let count: i64 = row.try_get(at)?;
    Ok(number(count))
}

fn row_at(row: &PgRow, at: usize) -> Result<usize, sqlx::Error> {
    let position: i32 = row.try_get(at)?;
    usize::try_from(position).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// How many rows an INSERT wrote anew, and how many it updated.
pub(super) fn inserted_updated(row: &PgRow) -> Result<(u64, u64), sqlx::Error> {
    Ok((count_at(row, 0)?, count_at(row, 1)?))
}

/// What became of the one row of a watched INSERT.
pub(super) fn watched(row: &PgRow) -> Result<Watched, sqlx::Error> {
    Ok(Watched {
        inserted: count_at(row, 0)?,
        updated: count_at(row, 1)?,
        met: row.try_get(2)?,
    })
}

/// A staged row, the row that it meets, and whether an update would change that.
pub(super) fn found(row: &PgRow) -> Result<(usize, Place, bool), sqlx::Error> {
    let place = Place {
        relation: row.try_get(1)?,
        tid: row.try_get(2)?,
    };
    Ok((row_at(row, 0)?, place, row.try_get(3)?))
}

/// Staged rows, each with the first that has its key.
pub(super) fn pairs(answer: &[PgRow]) -> Result<BTreeMap<usize, usize>, sqlx::Error> {
    let pairs = answer.iter();
    pairs
        .map(|row| Ok((row_at(row, 0)?, row_at(row, 1)?)))
        .collect()
}

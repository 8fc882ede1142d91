//! How large batches are where nobody has said it.
//!
//! In: the configuration, within the memory that there is, and what was set. Out: sizes that suit the
//! database. Pure.

use crate::config::Config;
use crate::config::database_url::DatabaseKind;

/// SQLite, rows: a transaction writes every page that it has changed, and rows with random keys change
/// about as many pages of each index as they are.
const SQLITE_ROWS_MAX: usize = 100_000;
/// SQLite, bytes; one batch is written at a time.
const SQLITE_BYTES_MAX: usize = 32 << 20;
/// So many batches fit into the bytes in flight at least.
const IN_FLIGHT_MIN: u64 = 4;

/// Sets the sizes that `was_set` does not name.
pub(super) fn fit(config: &mut Config, was_set: impl Fn(&str) -> bool) {
    if config.database_url.kind() != DatabaseKind::Sqlite {
        return;
    }
    if !was_set("batch_rows_max") {
        config.batch_rows_max = SQLITE_ROWS_MAX.max(config.batch_rows_first);
    }
    if !was_set("batch_bytes_max") {
        let share = usize::try_from(config.bytes_in_flight_max / IN_FLIGHT_MIN);
        let share = share.unwrap_or(usize::MAX);
        config.batch_bytes_max = SQLITE_BYTES_MAX.min(share.max(config.batch_bytes_max));
    }
}

#[cfg(test)]
mod tests;

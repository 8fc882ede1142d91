//! Rejected rows in the ledger.
//!
//! In: the rejected rows of a batch. Out: pages of them, by ordinal. Stored again, a row replaces
//! itself. Bounded by the batch on the way in, by the page's limit on the way out.

use std::collections::BTreeMap;
use std::ops::Range;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{now_ms, number, stored};
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::store::StoreError;
use crate::store::query::{RejectedPage, RejectedQuery, RejectedSource};
use crate::store::sqlite::error::internal;
use crate::store::sqlite::sql::{fetch_all, fetch_one, fetch_optional, run};

/// Rows of one INSERT; six parameters each.
const ROWS_MAX: usize = 64;

/// Stores rejected rows.
pub(in crate::store::sqlite) async fn insert(
    connection: &mut SqliteConnection,
    import: i64,
    rows: &[RejectedRow],
) -> Result<(), StoreError> {
    for chunk in rows.chunks(ROWS_MAX) {
        let details: Result<Vec<Vec<u8>>, _> = chunk.iter().map(serde_json::to_vec).collect();
        let details = details.map_err(|error| internal(&format!("ledger: {error}")))?;
        let mut query: QueryBuilder<'_, Sqlite> = QueryBuilder::new(
            "INSERT OR REPLACE INTO rowlift_rejected_rows \
             (import, ordinal, row_number, sheet, codes, detail) ",
        );
        query.push_values(chunk.iter().zip(details), |mut values, (row, detail)| {
            // Row numbers are the caller's own in row imports: all 64 bits may be used.
            values
                .push_bind(import)
                .push_bind(stored(row.ordinal))
                .push_bind(row.row_number.cast_signed())
                .push_bind(&row.sheet)
                .push_bind(codes(row))
                .push_bind(detail);
        });
        run(connection, query.build()).await?;
    }
    Ok(())
}

/// Forgets rejected rows that no committed range covers.
pub(super) async fn delete_undecided(
    connection: &mut SqliteConnection,
    import: i64,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM rowlift_rejected_rows AS r WHERE r.import = ? AND NOT EXISTS (\
               SELECT 1 FROM rowlift_import_batches b WHERE b.import = r.import \
               AND b.first_ordinal <= r.ordinal AND b.end_ordinal > r.ordinal)";
    run(connection, sqlx::query(sql).bind(import)).await
}

/// The rejected rows of a committed range, by ordinal.
pub(super) async fn of_range(
    connection: &mut SqliteConnection,
    import: i64,
    range: &Range<u64>,
) -> Result<Vec<RejectedRow>, StoreError> {
    let sql = "SELECT detail FROM rowlift_rejected_rows \
               WHERE import = ? AND ordinal >= ? AND ordinal < ? ORDER BY ordinal";
    let query = sqlx::query(sql)
        .bind(import)
        .bind(stored(range.start))
        .bind(stored(range.end));
    let rows = fetch_all(connection, query).await?;
    rows.iter().map(rejected_row).collect()
}

/// See [`crate::store::Store::rejected_rows`].
pub(in crate::store::sqlite) async fn page(
    connection: &mut SqliteConnection,
    import: i64,
    code: Option<RowErrorCode>,
    after: Option<u64>,
    limit: u32,
) -> Result<RejectedPage, StoreError> {
    let pattern = pattern(code);
    let sql = "SELECT count(*) FROM rowlift_rejected_rows WHERE import = ? AND codes LIKE ?";
    let query = sqlx::query(sql).bind(import).bind(&pattern);
    let total = fetch_one(connection, query).await?;
    let sql = "SELECT detail FROM rowlift_rejected_rows \
               WHERE import = ? AND codes LIKE ? AND ordinal > ? ORDER BY ordinal LIMIT ?";
    let query = sqlx::query(sql)
        .bind(import)
        .bind(&pattern)
        .bind(after.map_or(-1, stored))
        .bind(i64::from(limit) + 1);
    let found = fetch_all(connection, query).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows: Result<Vec<RejectedRow>, _> = found.iter().take(limit).map(rejected_row).collect();
    Ok(RejectedPage {
        rows: rows?,
        total: number(total.get(0)),
        more: found.len() > limit,
    })
}

/// See [`crate::store::Store::rejected_source`].
pub(in crate::store::sqlite) async fn source(
    connection: &mut SqliteConnection,
    owner: &str,
    id: &str,
) -> Result<Option<RejectedSource>, StoreError> {
    let sql = concat!(
        "SELECT i.id, CASE WHEN i.wiped OR coalesce(i.rejects_expire_time_ms <= ",
        now_ms!(),
        ", 0) THEN NULL ELSE i.source_layout END, \
         (SELECT count(*) FROM rowlift_rejected_rows r WHERE r.import = i.id) \
         FROM rowlift_imports i WHERE i.owner = ? AND i.import_id = ?"
    );
    let query = sqlx::query(sql).bind(owner).bind(id);
    let Some(row) = fetch_optional(connection, query).await? else {
        return Ok(None);
    };
    let layout: Option<&[u8]> = row.get(1);
    let layout = layout.map(serde_json::from_slice).transpose();
    Ok(Some(RejectedSource {
        import: row.get(0),
        n_rows: number(row.get(2)),
        layout: layout.map_err(|error| internal(&format!("ledger: {error}")))?,
    }))
}

/// See [`crate::store::Store::rejected_piece`]. What a row takes is known without reading it.
pub(in crate::store::sqlite) async fn piece(
    connection: &mut SqliteConnection,
    import: i64,
    wanted: RejectedQuery,
) -> Result<Vec<RejectedRow>, StoreError> {
    // What has expired or was deleted since the export began is not told.
    let sql = concat!(
        "WITH next AS (SELECT ordinal, length(detail) AS n FROM rowlift_rejected_rows \
               WHERE import = ?1 AND codes LIKE ?2 AND ordinal > ?3 AND EXISTS (SELECT 1 \
               FROM rowlift_imports i WHERE i.id = ?1 AND NOT i.wiped \
               AND coalesce(i.rejects_expire_time_ms > ",
        now_ms!(),
        ", 1)) ORDER BY ordinal LIMIT ?4), \
               sums AS (SELECT ordinal, sum(n) OVER (ORDER BY ordinal) - n AS before FROM next) \
               SELECT detail FROM rowlift_rejected_rows \
               WHERE import = ?1 AND codes LIKE ?2 AND ordinal > ?3 \
               AND ordinal <= (SELECT max(ordinal) FROM sums WHERE before < ?5) ORDER BY ordinal"
    );
    let query = sqlx::query(sql)
        .bind(import)
        .bind(pattern(wanted.code))
        .bind(wanted.after.map_or(-1, stored))
        .bind(wanted.rows_max)
        .bind(wanted.bytes_max);
    let rows = fetch_all(connection, query).await?;
    rows.iter().map(rejected_row).collect()
}

/// What the codes of a row are like; '%' lets every row through, rows without a code included.
fn pattern(code: Option<RowErrorCode>) -> String {
    code.map_or_else(|| "%".to_owned(), |code| format!("%,{},%", code.number()))
}

/// Rejected rows by the name of their code; a row with two codes counts under both.
pub(super) async fn count_by_code(
    connection: &mut SqliteConnection,
    import: i64,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = "SELECT codes, count(*) FROM rowlift_rejected_rows WHERE import = ? GROUP BY codes";
    let rows = fetch_all(connection, sqlx::query(sql).bind(import)).await?;
    let mut counts = BTreeMap::new();
    for row in rows {
        let codes: &str = row.get(0);
        let numbers = codes.split(',').filter_map(|code| code.parse().ok());
        for code in numbers.filter_map(RowErrorCode::from_number) {
            let name = serde_json::to_value(code).ok();
            let name = name.and_then(|name| name.as_str().map(str::to_owned));
            *counts.entry(name.unwrap_or_default()).or_default() += number(row.get(1));
        }
    }
    Ok(counts)
}

/// The numbers of a row's codes, ascending, each once, each between commas.
fn codes(row: &RejectedRow) -> String {
    let mut numbers: Vec<u8> = row.errors.iter().map(|error| error.code.number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
    format!(",{},", numbers.join(","))
}

fn rejected_row(row: &SqliteRow) -> Result<RejectedRow, StoreError> {
    let detail: &[u8] = row.get(0);
    serde_json::from_slice(detail).map_err(|error| internal(&format!("ledger: {error}")))
}

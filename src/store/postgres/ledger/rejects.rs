//! Rejected rows as a whole, for exports.
//!
//! In: an import. Out: how its source is laid out, and its rejected rows piece by piece, bounded in
//! rows and bytes. Each piece is a transaction of its own: an export that is slow holds none.

use sqlx::Row as _;
use sqlx::postgres::PgArguments;

use crate::model::layout::SourceLayout;
use crate::model::reject::RejectedRow;
use crate::store::StoreError;
use crate::store::query::{RejectedQuery, RejectedSource};

use super::super::arguments::{self, bigint, number};
use super::super::checkpoint;
use super::super::connection::Transaction;
use super::super::error;
use super::Ledger;

/// See [`crate::store::Store::rejected_source`].
pub(in super::super) async fn source(
    ledger: Ledger<'_>,
    owner: &str,
    id: &str,
) -> Result<Option<RejectedSource>, StoreError> {
    const SQL: &str = "SELECT i.id, \
        CASE WHEN i.wiped OR coalesce(i.rejects_expire_time <= clock_timestamp(), false) \
        THEN NULL ELSE i.source_layout END, \
        (SELECT count(*) FROM rowlift.rejected_rows r WHERE r.import = i.id) \
        FROM rowlift.imports i WHERE i.owner = $1 AND i.import_id = $2";
    if owner.contains('\0') || id.contains('\0') {
        return Ok(None);
    }
    let read = async {
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, owner);
        arguments::add(&mut parameters, id);
        let mut transaction = ledger.begin().await?;
        let rows = transaction.fetch(SQL, parameters).await?;
        transaction.commit().await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let layout: Option<Vec<u8>> = row.try_get(1)?;
        Ok(Some(RejectedSource {
            import: row.try_get(0)?,
            n_rows: number(row.try_get(2)?),
            layout: layout.map(|json| parse(&json)).transpose()?,
        }))
    };
    read.await.map_err(error::of_ledger)
}

/// See [`crate::store::Store::rejected_piece`]. What a row takes is known without reading it.
pub(in super::super) async fn piece(
    ledger: Ledger<'_>,
    import: i64,
    query: RejectedQuery,
) -> Result<Vec<RejectedRow>, StoreError> {
    let code = match query.code {
        Some(code) => format!(" AND {}::smallint = ANY (codes)", code.number()),
        None => String::new(),
    };
    let after = query.after.map_or(-1, bigint);
    // What has expired or was deleted since the export began is not told.
    let wanted = format!(
        "import = {import} AND ordinal > {after}{code} AND EXISTS (SELECT FROM rowlift.imports i \
         WHERE i.id = {import} AND NOT i.wiped \
         AND coalesce(i.rejects_expire_time > clock_timestamp(), true))"
    );
    let sql = format!(
        "{}SELECT detail FROM rowlift.rejected_rows WHERE {wanted} AND ordinal <= (\
         SELECT max(ordinal) FROM (SELECT ordinal, sum(n) OVER (ORDER BY ordinal) - n AS before \
         FROM (SELECT ordinal, octet_length(detail) AS n FROM rowlift.rejected_rows \
         WHERE {wanted} ORDER BY ordinal LIMIT {}) AS next) AS sums WHERE before < {}) \
         ORDER BY ordinal",
        ledger.limits.begin(),
        query.rows_max,
        query.bytes_max
    );
    let read = async {
        let (transaction, rows) = Transaction::begin(ledger.pool, &sql).await?;
        transaction.commit().await?;
        let rows = rows.iter().map(|row| checkpoint::rejected_row(row, 0));
        rows.collect::<Result<Vec<_>, sqlx::Error>>()
    };
    read.await.map_err(error::of_ledger)
}

/// A layout as the ledger keeps it: as bytes, because a name may hold U+0000.
pub(in super::super) fn stored(layout: &SourceLayout) -> Vec<u8> {
    serde_json::to_vec(layout).expect("a layout has text keys")
}

fn parse(json: &[u8]) -> Result<SourceLayout, sqlx::Error> {
    serde_json::from_slice(json).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

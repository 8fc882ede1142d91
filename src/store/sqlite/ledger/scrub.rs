//! The ledger's pages, written anew.
//!
//! In: a ledger from which values were wiped. Out: the same rows in pages that hold nothing else.
//! `secure_delete` overwrites what is deleted or changed, but SQLite moves rows between pages as a
//! table grows and shrinks, and leaves a copy in the free part of the page that a row came from:
//! a wipe does not reach it (measured: 9 of 4,000 values stayed readable). Pages that are given back
//! are overwritten as a whole, so every table goes out and comes back. VACUUM would do the same, to
//! the tables of the application too, whose rowids it may change.
//!
//! One transaction, bounded by [`BYTES_MAX`]: above that the copies stay until their pages are
//! used again.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::store::StoreError;
use crate::store::sqlite::sql::{execute, fetch_one};

/// Rejected rows that are written anew, bytes: a second of the only writer's time or so.
const BYTES_MAX: i64 = 64 << 20;

/// Out and back, for each table. A DELETE of all rows gives the pages back one by one.
const TABLES: [[&str; 4]; 4] = [
    [
        "CREATE TABLE rowlift_scrub AS SELECT * FROM rowlift_imports",
        "DELETE FROM rowlift_imports",
        "INSERT INTO rowlift_imports SELECT * FROM rowlift_scrub ORDER BY id",
        "DROP TABLE rowlift_scrub",
    ],
    [
        "CREATE TABLE rowlift_scrub AS SELECT * FROM rowlift_sessions",
        "DELETE FROM rowlift_sessions",
        "INSERT INTO rowlift_sessions SELECT * FROM rowlift_scrub ORDER BY import, epoch",
        "DROP TABLE rowlift_scrub",
    ],
    [
        "CREATE TABLE rowlift_scrub AS SELECT * FROM rowlift_import_batches",
        "DELETE FROM rowlift_import_batches",
        "INSERT INTO rowlift_import_batches SELECT * FROM rowlift_scrub \
         ORDER BY import, first_ordinal",
        "DROP TABLE rowlift_scrub",
    ],
    [
        "CREATE TABLE rowlift_scrub AS SELECT * FROM rowlift_rejected_rows",
        "DELETE FROM rowlift_rejected_rows",
        "INSERT INTO rowlift_rejected_rows SELECT * FROM rowlift_scrub ORDER BY import, ordinal",
        "DROP TABLE rowlift_scrub",
    ],
];

/// Writes the ledger anew. After an error the connection must be closed: it may not look at
/// foreign keys any more.
pub(in crate::store::sqlite) async fn scrub(
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    // Imports go out without the rows that belong to them.
    execute(connection, "PRAGMA foreign_keys = OFF").await?;
    execute(connection, "BEGIN IMMEDIATE").await?;
    let sql = "SELECT coalesce(sum(length(detail)), 0) FROM rowlift_rejected_rows";
    let n_bytes: i64 = fetch_one(connection, sqlx::query(sql)).await?.get(0);
    if n_bytes <= BYTES_MAX {
        for statement in TABLES.into_iter().flatten() {
            execute(connection, statement).await?;
        }
    }
    execute(connection, "COMMIT").await?;
    execute(connection, "PRAGMA foreign_keys = ON").await
}

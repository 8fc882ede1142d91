//! Brings ledger and sample table to this version.
//!
//! In: the files of `migrations/postgres`. Out: rows of `rowlift.migrations`. Not sqlx's own
//! migrator: its table `_sqlx_migrations` would lie in the application's schema, where the
//! application may have one of its own, and it keeps prepared statements and a session-level lock
//! that a transaction-pooling PgBouncer cannot carry. Here everything is one transaction, and
//! its advisory lock ends with it.

use sqlx::Row as _;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::postgres::PgArguments;

use crate::model::import::{Failure, Reason};
use crate::store::StoreError;

use super::connection::{Limits, Transaction};
use super::pool::Pool;
use super::{arguments, error};

/// Serialises migrations of one database: "rowlift" in ASCII.
const LOCK_ID: i64 = 0x0072_6f77_6c69_6674;

/// The oldest ledger that this program works on: the one before the newest. What a migration brings
/// is used from the release after it on, so that in either order of an upgrade and of its way
/// back programs of two releases share one ledger (docs/OPERATIONS.md).
const OLDEST: i64 = 4;

const SOURCES: [(i64, &str, &str); 5] = [
    (
        1,
        "ledger",
        include_str!("../../../migrations/postgres/0001_ledger.sql"),
    ),
    (
        2,
        "businesses",
        include_str!("../../../migrations/postgres/0002_businesses.sql"),
    ),
    (
        3,
        "source",
        include_str!("../../../migrations/postgres/0003_source.sql"),
    ),
    (
        4,
        "retention",
        include_str!("../../../migrations/postgres/0004_retention.sql"),
    ),
    (
        5,
        "lists",
        include_str!("../../../migrations/postgres/0005_lists.sql"),
    ),
];

fn migrations() -> impl Iterator<Item = Migration> {
    SOURCES.into_iter().map(|(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into(),
            false,
        )
    })
}

/// The newest version that this program knows.
fn newest() -> i64 {
    SOURCES
        .iter()
        .map(|(version, ..)| *version)
        .max()
        .unwrap_or(0)
}

/// Applies what is missing.
pub(super) async fn migrate(pool: &Pool, limits: Limits) -> Result<(), StoreError> {
    // A role without the right to create a schema may still find that nothing is missing.
    if applied_version(pool, limits).await? >= newest() {
        return Ok(());
    }
    let lock = format!(
        "{}SELECT pg_advisory_xact_lock({LOCK_ID}); \
         CREATE SCHEMA IF NOT EXISTS rowlift; \
         CREATE TABLE IF NOT EXISTS rowlift.migrations (version bigint PRIMARY KEY, \
         name text NOT NULL, checksum bytea NOT NULL, \
         applied_at timestamptz NOT NULL DEFAULT clock_timestamp())",
        limits.begin()
    );
    let (mut transaction, _) = Transaction::begin(pool, &lock)
        .await
        .map_err(error::of_ledger)?;
    let applied = transaction
        .simple("SELECT version, checksum FROM rowlift.migrations ORDER BY version")
        .await
        .map_err(error::of_ledger)?;
    for migration in migrations() {
        let known = applied.iter().find(|row| {
            row.try_get::<i64, _>(0)
                .is_ok_and(|it| it == migration.version)
        });
        if let Some(row) = known {
            let checksum: Vec<u8> = row.try_get(1).map_err(error::of_ledger)?;
            if checksum != *migration.checksum {
                let message = format!("migration {} is not the one applied", migration.version);
                return Err(StoreError::Failed(Failure::new(Reason::Internal, message)));
            }
            continue;
        }
        transaction
            .simple(&migration.sql)
            .await
            .map_err(error::of_ledger)?;
        let mut parameters = PgArguments::default();
        arguments::add(&mut parameters, migration.version);
        arguments::add(&mut parameters, migration.description.as_ref());
        arguments::add(&mut parameters, migration.checksum.to_vec());
        let record = "INSERT INTO rowlift.migrations (version, name, checksum) VALUES ($1, $2, $3)";
        let recorded = transaction.execute(record, parameters).await;
        recorded.map_err(error::of_ledger)?;
    }
    transaction.commit().await.map_err(error::of_ledger)
}

/// Whether the ledger is new enough for this program, or newer than it.
pub(super) async fn is_ready(pool: &Pool, limits: Limits) -> Result<bool, StoreError> {
    Ok(applied_version(pool, limits).await? >= OLDEST)
}

/// 0 if there is no ledger.
async fn applied_version(pool: &Pool, limits: Limits) -> Result<i64, StoreError> {
    let sql = format!(
        "{}SELECT to_regclass('rowlift.migrations') IS NOT NULL",
        limits.begin()
    );
    let (mut transaction, rows) = Transaction::begin(pool, &sql)
        .await
        .map_err(error::of_ledger)?;
    let exists: Option<bool> = match rows.first() {
        Some(row) => row.try_get(0).map_err(error::of_ledger)?,
        None => None,
    };
    let mut version = 0;
    if exists == Some(true) {
        let newest = "SELECT coalesce(max(version), 0) FROM rowlift.migrations";
        let rows = transaction.simple(newest).await.map_err(error::of_ledger)?;
        if let Some(row) = rows.first() {
            version = row.try_get(0).map_err(error::of_ledger)?;
        }
    }
    transaction.commit().await.map_err(error::of_ledger)?;
    Ok(version)
}

#[cfg(test)]
mod tests;

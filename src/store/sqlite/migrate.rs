//! Ledger and sample table, brought to this version.
//!
//! In: the SQL of `migrations/sqlite`, part of the binary. Out: its tables, with SQLx's record of
//! what ran. All of it in one `BEGIN IMMEDIATE`, so that processes that start together wait for
//! each other.

use std::borrow::Cow;

use futures::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::error::{internal, store_error};
use super::sql::fetch_one;
use crate::store::StoreError;

/// The oldest ledger that this program works on: the one before the newest. A process of the
/// release before may share the file.
const OLDEST: i64 = 5;

/// Version, description, SQL; by version.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (
        1,
        "ledger",
        include_str!("../../../migrations/sqlite/0001_ledger.sql"),
    ),
    (
        2,
        "businesses",
        include_str!("../../../migrations/sqlite/0002_businesses.sql"),
    ),
    (
        3,
        "file",
        include_str!("../../../migrations/sqlite/0003_file.sql"),
    ),
    (
        4,
        "source",
        include_str!("../../../migrations/sqlite/0004_source.sql"),
    ),
    (
        5,
        "retention",
        include_str!("../../../migrations/sqlite/0005_retention.sql"),
    ),
    (
        6,
        "lists",
        include_str!("../../../migrations/sqlite/0006_lists.sql"),
    ),
];

#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, BoxDynError>> {
        let migration = |(version, description, sql)| {
            let kind = MigrationType::Simple;
            let (description, sql) = (Cow::Borrowed(description), Cow::Borrowed(sql));
            Migration::new(version, description, kind, sql, false)
        };
        Box::pin(std::future::ready(Ok(MIGRATIONS.map(migration).into())))
    }
}

/// Runs what has not run; a ledger of a newer version is left alone.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed = |error: sqlx::migrate::MigrateError| match error {
        sqlx::migrate::MigrateError::Execute(error) => store_error(error),
        other => internal(&format!("migration of the ledger: {other}")),
    };
    let mut migrator = Migrator::new(Embedded).await.map_err(failed)?;
    migrator.set_ignore_missing(true);
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(store_error)?;
    migrator
        .run_direct(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(store_error)
}

/// Whether the ledger is new enough for this program, or newer than it.
pub(super) async fn is_current(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let exists = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let row = fetch_one(connection, sqlx::query(exists)).await?;
    if row.get::<i64, _>(0) == 0 {
        return Ok(false);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
    let row = fetch_one(connection, sqlx::query(newest)).await?;
    let version: i64 = row.get(0);
    Ok(version >= OLDEST)
}

#[cfg(test)]
mod tests;

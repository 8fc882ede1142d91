//! What a server can do, as it says of itself.
//!
//! In: one question a store. Out: an [`Engine`], kept for as long as the store.

use sqlx::Row as _;

use crate::store::StoreError;
use crate::store::copying::{CopyFormat, Copying};

use super::connection::Transaction;
use super::error;
use super::pool::Pool;

/// A server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Engine {
    /// It has `client_connection_check_interval` (PostgreSQL 14 and newer).
    pub(super) checks_client: bool,
    /// What it can do with COPY, unless the configuration says so.
    pub(super) format: Option<CopyFormat>,
}

/// Asks it.
pub(super) async fn ask(pool: &Pool) -> Result<Engine, StoreError> {
    let begun = Transaction::begin(pool, "BEGIN; SELECT pg_catalog.version()").await;
    let (mut transaction, rows) = begun.map_err(error::of_ledger)?;
    let version: String = match rows.first() {
        Some(row) => row.try_get(0).map_err(error::of_ledger)?,
        None => String::new(),
    };
    let set = "SET LOCAL client_connection_check_interval = 500";
    let checks_client = match transaction.simple(set).await {
        Ok(_) => true,
        // The parameter is unknown, or its value not supported on the server's platform.
        Err(error) if matches!(error::sql_state(&error), Some("42704" | "22023" | "0A000")) => {
            false
        }
        Err(error) => return Err(error::of_ledger(error)),
    };
    transaction.rollback().await.map_err(error::of_ledger)?;
    Ok(Engine {
        checks_client,
        format: copy_format(&version),
    })
}

/// By `version()`. Where a COPY may commit before its transaction does, or needs more rights than
/// an INSERT, none is sent (docs/ENGINES.md).
fn copy_format(version: &str) -> Option<CopyFormat> {
    let inserts = version.contains("-YB-") || version.starts_with("CockroachDB");
    (!inserts).then(|| Copying::default().format).flatten()
}

#[cfg(test)]
mod tests;

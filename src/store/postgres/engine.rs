//! What a server can do, as it says of itself.
//!
//! In: one question for each URL of a store. Out: an [`Engine`], kept until the URL is another.

use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::Row as _;
use tokio::sync::OnceCell;

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

/// What is known of the server that a store has the URL of.
#[derive(Debug, Default)]
pub(super) struct KnownEngine {
    /// Another for each server: an answer that comes late is that of the server it was asked of.
    asked: Mutex<Arc<OnceCell<Engine>>>,
}

impl KnownEngine {
    /// Asks the server, unless it has been asked. `pool` has connections to no other.
    pub(super) async fn ask(&self, pool: &Pool) -> Result<Engine, StoreError> {
        let asked = Arc::clone(&self.asked());
        asked.get_or_try_init(|| ask(pool)).await.copied()
    }

    /// What it has answered.
    pub(super) fn known(&self) -> Option<Engine> {
        self.asked().get().copied()
    }

    /// It may be another server from now on.
    pub(super) fn forget(&self) {
        *self.asked() = Arc::default();
    }

    fn asked(&self) -> MutexGuard<'_, Arc<OnceCell<Engine>>> {
        self.asked.lock().expect("no panic while it is locked")
    }
}

async fn ask(pool: &Pool) -> Result<Engine, StoreError> {
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

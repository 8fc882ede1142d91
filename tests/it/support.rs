//! What integration tests share: databases of their own, services in process and in processes of
//! their own, and what stands between them.

use rowlift::model::stats::RowCounts;
use rowlift::store::{SessionKey, Store};

pub(crate) mod businesses;
pub(crate) mod collector;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod running;
pub(crate) mod service;
pub(crate) mod size;
pub(crate) mod sqlite;
pub(crate) mod waits;

/// What the ledger has of an import: counts and watermark.
pub(crate) async fn decided(store: &dyn Store, key: SessionKey) -> (RowCounts, u64) {
    let committed = store.committed(key).await.unwrap();
    (committed.counts, committed.watermark)
}

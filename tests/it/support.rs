//! What integration tests share: databases of their own, and a service in process.

use rowlift::model::stats::RowCounts;
use rowlift::store::{SessionKey, Store};

pub(crate) mod postgres;
pub(crate) mod service;
pub(crate) mod sqlite;

/// What the ledger has of an import: counts and watermark.
pub(crate) async fn decided(store: &dyn Store, key: SessionKey) -> (RowCounts, u64) {
    let committed = store.committed(key).await.unwrap();
    (committed.counts, committed.watermark)
}

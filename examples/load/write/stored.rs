//! Through the store, as the writers of a session do it.
//!
//! In: batches. Out: what their receipts say. A batch is a fence, its rows, its rejected rows and a
//! checkpoint in one transaction; before the first the import is opened, after the last it is ended.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rowlift::model::batch::{Batch, RejectBudget};
use rowlift::model::import::{ImportOutcome, ImportState, NewImport, WriteMethod};
use rowlift::model::plan::WritePlan;
use rowlift::model::stats::{ImportStats, RowCounts};
use rowlift::store::{OpenMode, Opened, SessionKey, Store, StoreError, WriteRequest};

/// An open import.
#[derive(Debug)]
pub(super) struct Stored {
    store: Arc<dyn Store>,
    key: SessionKey,
    plan: Arc<WritePlan>,
    rejects: RejectBudget,
    settings: BTreeMap<String, String>,
    /// Of all receipts.
    counts: Mutex<RowCounts>,
}

impl Stored {
    pub(super) async fn open(
        store: Arc<dyn Store>,
        plan: Arc<WritePlan>,
    ) -> Result<Stored, Box<dyn Error>> {
        let new = NewImport {
            owner: String::new(),
            import_id: uuid::Uuid::now_v7().to_string(),
            tenant: String::new(),
            table: plan.table.name.to_string(),
            fingerprint: [0; 32],
            file_name: String::from("load.csv"),
            file_sha256: None,
            labels: BTreeMap::new(),
            validate_only: false,
            write_method: WriteMethod::Copy,
            server: String::from("load"),
            layout: None,
            reject_retention: None,
        };
        let key = match store.open_import(&new, OpenMode::Begin).await? {
            Opened::Running(open) => open.key,
            Opened::Ended(_) => return Err("a new id has ended before".into()),
        };
        Ok(Stored {
            store,
            key,
            plan,
            rejects: RejectBudget::new(None, 0),
            settings: BTreeMap::new(),
            counts: Mutex::default(),
        })
    }

    /// Writes a batch; how many rows the table took.
    pub(super) async fn write(self: Arc<Stored>, batch: Batch) -> Result<u64, StoreError> {
        let request = WriteRequest {
            key: self.key,
            plan: &self.plan,
            batch: &batch,
            rejects: &self.rejects,
            settings: &self.settings,
            probe_first: false,
            deadline: None,
        };
        let receipt = self.store.write_batch(request).await?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts += receipt.counts;
        Ok(receipt.counts.inserted)
    }

    /// Ends the import, once the ledger has what the receipts say.
    pub(super) async fn end(&self) -> Result<RowCounts, Box<dyn Error>> {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = self.store.committed(self.key).await?;
        if committed.counts != counts {
            let ledger = committed.counts;
            return Err(format!("the ledger has {ledger:?}, the receipts have {counts:?}").into());
        }
        let outcome = ImportOutcome {
            state: ImportState::Succeeded,
            stats: ImportStats {
                received_rows: counts.total(),
                rows: counts,
                batches: committed.n_batches,
                ..ImportStats::default()
            },
            committed_offset: committed.watermark,
            failure: None,
            rejected_by_code: committed.rejected_by_code,
            write_method: WriteMethod::Copy,
            file_sha256: Vec::new(),
            duplicate_of_import_id: String::new(),
            validate_only: false,
        };
        self.store.end_import(self.key, &outcome).await?;
        Ok(counts)
    }
}

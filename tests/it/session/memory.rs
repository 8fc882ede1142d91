//! A store in memory whose calls fail as they are told: before they did anything, after they did
//! everything, or never to return, as in a process that dies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use rowlift::config::otel::Otel;
use rowlift::metrics::Metrics;
use rowlift::metrics::observed::PoolState;
use rowlift::model::batch::{Receipt, RejectReservation};
use rowlift::model::import::{
    Failure, ImportOutcome, ImportRecord, ImportState, NewImport, Reason, WriteMethod,
};
use rowlift::model::layout::SourceLayout;
use rowlift::model::reject::{RejectedRow, RowErrorCode};
use rowlift::model::stats::RowCounts;
use rowlift::model::table::{Column, ColumnType, Table};
use rowlift::store::query::{ImportFilter, RejectedPage, RejectedQuery, RejectedSource, SameFile};
use rowlift::store::{
    AtomicRequest, AtomicWrite, Committed, Forgotten, LiveCounters, OpenMode, Opened, Pulse,
    SessionKey, Store, StoreError, Transactions, WholeRange, WriteRequest, Writers,
};
use rowlift::telemetry::meters::Meters;
use tokio::sync::Notify;

use self::state::{Import, State, Stored};
use super::whole_store::Transaction;

pub(super) mod state;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// What it should.
    None,
    /// Nothing; a transient error.
    Before,
    /// What it should; then a transient error, as if the answer were lost.
    After,
    /// Nothing, and it never returns.
    HangBefore,
    /// What it should, and it never returns.
    HangAfter,
}

/// The database.
#[derive(Debug)]
pub(super) struct Memory {
    state: Mutex<State>,
    faults: Mutex<VecDeque<Fault>>,
    /// Told when a call hangs.
    hung: Notify,
    writers: Writers,
    /// What the services that use it have counted.
    pub(super) meters: Meters,
}

/// One column of whole numbers that may not be NULL.
pub(super) fn table() -> Arc<Table> {
    let column = Column {
        name: "n".to_owned(),
        ty: ColumnType::Int8,
        type_name: "bigint".to_owned(),
        nullable: false,
        has_default: false,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    };
    Arc::new(Table::bare("public", "numbers", vec![column]))
}

impl Memory {
    pub(super) fn new(writers_per_import: usize) -> Arc<Memory> {
        Arc::new(Memory {
            state: Mutex::default(),
            faults: Mutex::default(),
            hung: Notify::new(),
            writers: Writers {
                total: 4,
                per_import: writers_per_import,
            },
            meters: Meters::new(&Otel::default()).unwrap(),
        })
    }

    /// What the next calls do; those after them do what they should.
    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.faults.lock().unwrap() = faults.into_iter().collect();
    }

    /// Waits until a call hangs.
    pub(super) async fn hangs(&self) {
        self.hung.notified().await;
    }

    /// Calls so far.
    pub(super) fn n_calls(&self) -> usize {
        self.lock().n_calls
    }

    /// The values in the table, by ordinal.
    pub(super) fn rows(&self) -> BTreeMap<u64, i64> {
        let state = self.lock();
        let rows = state.rows.iter();
        rows.map(|((_, ordinal), value)| (*ordinal, *value))
            .collect()
    }

    /// Ordinals of stored rejected rows.
    pub(super) fn rejected(&self, id: &str) -> Vec<u64> {
        let state = self.lock();
        state.imports[id].rejects.keys().copied().collect()
    }

    /// Rows in the ledger of ranges.
    pub(super) fn n_ranges(&self, id: &str) -> usize {
        self.lock().imports[id].ranges.len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Runs one call under the next fault.
    pub(super) async fn call<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let fault = self.faults.lock().unwrap().pop_front();
        let fault = fault.unwrap_or(Fault::None);
        self.lock().n_calls += 1;
        let done = match fault {
            Fault::Before => return Err(lost()),
            Fault::HangBefore => None,
            _ => Some(work(&mut self.lock())),
        };
        match (fault, done) {
            (Fault::None, Some(done)) => done,
            (Fault::After, Some(done)) => done.and(Err(lost())),
            _ => {
                self.hung.notify_one();
                std::future::pending().await
            }
        }
    }
}

pub(super) fn lost() -> StoreError {
    StoreError::Transient {
        sql_state: "08006".to_owned(),
        message: "lost".to_owned(),
    }
}

#[async_trait]
impl Store for Memory {
    async fn tables(&self) -> Result<Vec<Arc<Table>>, StoreError> {
        Ok(vec![table()])
    }

    async fn table(&self, _name: &str) -> Result<Option<Arc<Table>>, StoreError> {
        self.call(|_| Ok(Some(table()))).await
    }

    fn write_method(
        &self,
        _wanted: Option<WriteMethod>,
        _table: &Table,
        _transactions: Transactions,
    ) -> WriteMethod {
        WriteMethod::Copy
    }

    async fn open_import(&self, new: &NewImport, mode: OpenMode) -> Result<Opened, StoreError> {
        self.call(|state| {
            let id = i64::try_from(state.imports.len()).unwrap();
            let import = state
                .imports
                .entry(new.import_id.clone())
                .or_insert_with(|| Import {
                    id,
                    fingerprint: new.fingerprint,
                    epoch: 0,
                    state: ImportState::Running,
                    ranges: BTreeMap::new(),
                    rejects: BTreeMap::new(),
                    outcome: None,
                    file_sha256: None,
                    layout: None,
                });
            if import.fingerprint != new.fingerprint {
                let failure = Failure::new(Reason::IdConflict, "another import");
                return Err(StoreError::Failed(failure));
            }
            if import.state.is_terminal() {
                return Ok(Opened::Ended(Box::new(import.record(&new.import_id))));
            }
            if import.epoch > 0 && mode == OpenMode::Begin {
                let failure = Failure::new(Reason::WrongState, "it exists");
                return Err(StoreError::Failed(failure));
            }
            Ok(Opened::Running(import.open()))
        })
        .await
    }

    async fn write_batch(&self, request: WriteRequest<'_>) -> Result<Receipt, StoreError> {
        let (receipt, reservation) = self
            .call(|state| state.write(request.key, request.batch, request.rejects))
            .await?;
        reservation.into_iter().for_each(RejectReservation::keep);
        Ok(receipt)
    }

    async fn end_import(&self, key: SessionKey, outcome: &ImportOutcome) -> Result<(), StoreError> {
        self.call(|state| {
            let import = state.imports.values_mut().find(|it| it.id == key.import);
            let import = import.expect("the import exists");
            if import.epoch != key.epoch {
                return Err(StoreError::Fenced);
            }
            import.state = outcome.state;
            if outcome.state.is_terminal() {
                import.outcome = Some(outcome.clone());
            }
            Ok(())
        })
        .await
    }

    async fn committed(&self, key: SessionKey) -> Result<Committed, StoreError> {
        self.call(|state| Ok(state.committed(key.import))).await
    }

    async fn settled(&self, key: SessionKey) -> Result<Committed, StoreError> {
        self.committed(key).await
    }

    fn takes_settings(&self) -> bool {
        false
    }

    async fn begin_atomic<'a>(
        &'a self,
        request: AtomicRequest<'a>,
    ) -> Result<Box<dyn AtomicWrite + 'a>, StoreError> {
        self.call(|state| state.check(request.key)).await?;
        Ok(Box::new(Transaction::new(self, request)))
    }

    async fn record_rejects(
        &self,
        key: SessionKey,
        rejected: &[RejectedRow],
    ) -> Result<(), StoreError> {
        self.call(|state| state.insert_rejects(key, rejected)).await
    }

    async fn record_dry_run(&self, key: SessionKey, whole: &WholeRange) -> Result<(), StoreError> {
        self.call(|state| {
            let (hash, counts, n_batches) = (whole.rows_hash, whole.counts, whole.n_batches);
            let position = whole.position.clone();
            if !state.import(key)?.ranges.is_empty() {
                return Err(StoreError::Failed(Failure::new(Reason::Internal, "twice")));
            }
            state.insert_range(key, 0..whole.end, hash, counts, n_batches, position)
        })
        .await
    }

    async fn note_file(&self, key: SessionKey, sha256: [u8; 32]) -> Result<(), StoreError> {
        self.call(|state| {
            state.import(key)?.file_sha256 = Some(sha256);
            Ok(())
        })
        .await
    }

    async fn note_layout(&self, key: SessionKey, layout: &SourceLayout) -> Result<(), StoreError> {
        self.call(|state| {
            state.import(key)?.layout = Some(layout.clone());
            Ok(())
        })
        .await
    }

    async fn earlier_import(&self, _file: SameFile<'_>) -> Result<Option<String>, StoreError> {
        self.call(|_| Ok(None)).await
    }

    async fn compact(&self, key: SessionKey, watermark: u64) -> Result<(), StoreError> {
        self.call(|state| {
            let import = state.import(key)?;
            let above = import.ranges.split_off(&watermark);
            let below = std::mem::replace(&mut import.ranges, above);
            let mut folded: Option<Stored> = None;
            for stored in below.into_values() {
                let folded = folded.get_or_insert_with(|| Stored {
                    end: 0,
                    rows_hash: 0,
                    counts: RowCounts::default(),
                    n_batches: 0,
                    position: None,
                });
                folded.end = stored.end;
                folded.rows_hash = folded.rows_hash.wrapping_add(stored.rows_hash);
                folded.counts += stored.counts;
                folded.n_batches += stored.n_batches;
                folded.position = stored.position.or(folded.position.take());
            }
            import.ranges.extend(folded.map(|folded| (0, folded)));
            Ok(())
        })
        .await
    }

    async fn heartbeat(
        &self,
        sessions: &[(SessionKey, LiveCounters)],
    ) -> Result<Vec<(SessionKey, Pulse)>, StoreError> {
        Ok(sessions
            .iter()
            .map(|(key, _)| (*key, Pulse::Held))
            .collect())
    }

    async fn import(&self, _owner: &str, id: &str) -> Result<Option<ImportRecord>, StoreError> {
        self.call(|state| Ok(state.imports.get(id).map(|import| import.record(id))))
            .await
    }

    async fn imports(
        &self,
        _owner: &str,
        _filter: &ImportFilter,
    ) -> Result<Vec<(i64, ImportRecord)>, StoreError> {
        Ok(Vec::new())
    }

    async fn request_cancel(
        &self,
        _owner: &str,
        _id: &str,
        _reason: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        Ok(None)
    }

    async fn rejected_rows(
        &self,
        _owner: &str,
        _id: &str,
        _code: Option<RowErrorCode>,
        _after: Option<u64>,
        _limit: u32,
    ) -> Result<Option<RejectedPage>, StoreError> {
        Ok(None)
    }

    async fn rejected_source(
        &self,
        _owner: &str,
        _id: &str,
    ) -> Result<Option<RejectedSource>, StoreError> {
        Ok(None)
    }

    async fn rejected_piece(
        &self,
        _import: i64,
        _query: RejectedQuery,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn delete_import(
        &self,
        _owner: &str,
        _id: &str,
    ) -> Result<Option<ImportRecord>, StoreError> {
        Ok(None)
    }

    async fn forget(&self, _n_rows_max: u32) -> Result<Forgotten, StoreError> {
        Ok(Forgotten::default())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ready(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn writers(&self) -> Writers {
        self.writers
    }

    fn reconnect(&self, _url: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn measure(&self, _metrics: Metrics) {}

    fn pools(&self) -> Vec<PoolState> {
        Vec::new()
    }

    async fn close(&self, _bound: Duration) {}
}

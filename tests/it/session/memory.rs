//! A store in memory whose calls fail as they are told: before they did anything, after they did
//! everything, or never to return, as in a process that dies.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rowlift::config::otel::Otel;
use rowlift::metrics::Metrics;
use rowlift::metrics::observed::PoolState;
use rowlift::model::batch::{Batch, Overdrawn, Receipt, RejectBudget, RejectReservation};
use rowlift::model::import::{
    Failure, ImportOutcome, ImportRecord, ImportState, NewImport, Phase, Reason, WriteMethod,
};
use rowlift::model::layout::SourceLayout;
use rowlift::model::reject::{RejectedRow, RowErrorCode};
use rowlift::model::stats::{ImportStats, RowCounts};
use rowlift::model::table::{Column, ColumnType, Table, TableName};
use rowlift::model::value::Value;
use rowlift::store::query::{ImportFilter, RejectedPage, RejectedQuery, RejectedSource, SameFile};
use rowlift::store::{
    AtomicRequest, AtomicWrite, Committed, CommittedRange, Forgotten, LiveCounters, OpenImport,
    OpenMode, Opened, Pulse, SessionKey, Store, StoreError, Transactions, WholeRange, WriteRequest,
    Writers,
};
use rowlift::telemetry::meters::Meters;
use tokio::sync::Notify;

use super::whole_store::Transaction;

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

#[derive(Debug, Default)]
pub(super) struct State {
    /// The table: values by import and ordinal.
    rows: BTreeMap<(i64, u64), i64>,
    imports: BTreeMap<String, Import>,
    n_calls: usize,
}

#[derive(Debug)]
struct Import {
    id: i64,
    fingerprint: [u8; 32],
    epoch: u64,
    state: ImportState,
    ranges: BTreeMap<u64, Stored>,
    rejects: BTreeMap<u64, RejectedRow>,
    outcome: Option<ImportOutcome>,
    file_sha256: Option<[u8; 32]>,
    layout: Option<SourceLayout>,
}

#[derive(Debug, Clone)]
struct Stored {
    end: u64,
    rows_hash: u128,
    counts: RowCounts,
    n_batches: u64,
    position: Option<Bytes>,
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
    Arc::new(Table {
        name: TableName {
            schema: "public".to_owned(),
            name: "numbers".to_owned(),
        },
        columns: vec![column],
        unique_keys: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        row_security: false,
        excluded_columns: Vec::new(),
        order_shows_on_insert: false,
        order_shows_on_update: false,
    })
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

/// The number that a mapped row holds.
pub(super) fn number(batch: &Batch, index: usize) -> i64 {
    match batch.rows.row(index).value(0) {
        Value::Int(value) => value,
        other => panic!("no number: {other:?}"),
    }
}

impl State {
    fn import(&mut self, key: SessionKey) -> Result<&mut Import, StoreError> {
        let import = self.imports.values_mut().find(|it| it.id == key.import);
        let import = import.expect("the import exists");
        if import.epoch != key.epoch || import.state != ImportState::Running {
            return Err(StoreError::Fenced);
        }
        Ok(import)
    }

    /// Whether the session still holds its import.
    pub(super) fn check(&mut self, key: SessionKey) -> Result<(), StoreError> {
        self.import(key).map(|_| ())
    }

    pub(super) fn insert_rows(&mut self, key: SessionKey, rows: &[(u64, i64)]) {
        for (ordinal, value) in rows {
            let before = self.rows.insert((key.import, *ordinal), *value);
            assert_eq!(before, None, "row {ordinal} is written twice");
        }
    }

    pub(super) fn insert_range(
        &mut self,
        key: SessionKey,
        range: Range<u64>,
        rows_hash: u128,
        counts: RowCounts,
        n_batches: u64,
        position: Option<Bytes>,
    ) -> Result<(), StoreError> {
        assert_eq!(
            counts.total(),
            range.end - range.start,
            "counts of {range:?}"
        );
        let import = self.import(key)?;
        for (start, stored) in &import.ranges {
            let apart = stored.end <= range.start || *start >= range.end;
            assert!(apart, "{range:?} overlaps {start}..{}", stored.end);
        }
        let stored = Stored {
            end: range.end,
            rows_hash,
            counts,
            n_batches,
            position,
        };
        import.ranges.insert(range.start, stored);
        Ok(())
    }

    pub(super) fn insert_rejects(
        &mut self,
        key: SessionKey,
        rows: &[RejectedRow],
    ) -> Result<(), StoreError> {
        let import = self.import(key)?;
        for row in rows {
            import.rejects.insert(row.ordinal, row.clone());
        }
        Ok(())
    }

    /// With the reservation, which is given back if the answer is lost.
    fn write<'b>(
        &mut self,
        key: SessionKey,
        batch: &Batch,
        budget: &'b RejectBudget,
    ) -> Result<(Receipt, Option<RejectReservation<'b>>), StoreError> {
        let import = self.import(key)?;
        if let Some(stored) = import.ranges.get(&batch.range.start) {
            assert_eq!(stored.end, batch.range.end, "cut otherwise");
            assert_eq!(stored.rows_hash, batch.rows_hash);
            let receipt = Receipt {
                range: batch.range.clone(),
                counts: stored.counts,
                rejected: batch.rejected.clone(),
                retries: 0,
            };
            let reservation = budget.reserve(batch.range.start, receipt.counts.rejected);
            return Ok((receipt, reservation.ok()));
        }
        let reservation = match budget.reserve(batch.range.start, batch.rejected.len() as u64) {
            Ok(reservation) => reservation,
            Err(Overdrawn::Again) => {
                return Err(StoreError::RejectLimit {
                    recorded: Vec::new(),
                });
            }
            Err(Overdrawn::First { n_recorded }) => {
                let n_recorded = usize::try_from(n_recorded).unwrap();
                let recorded: Vec<_> = batch.rejected.iter().take(n_recorded).cloned().collect();
                self.insert_rejects(key, &recorded)?;
                return Err(StoreError::RejectLimit { recorded });
            }
        };
        let rows: Vec<(u64, i64)> = (0..batch.rows.n_rows())
            .map(|at| (batch.sources[at].ordinal, number(batch, at)))
            .collect();
        let counts = counts(batch);
        self.insert_rows(key, &rows);
        self.insert_rejects(key, &batch.rejected)?;
        let position = batch.position.clone();
        self.insert_range(
            key,
            batch.range.clone(),
            batch.rows_hash,
            counts,
            1,
            position,
        )?;
        let receipt = Receipt {
            range: batch.range.clone(),
            counts,
            rejected: batch.rejected.clone(),
            retries: 0,
        };
        Ok((receipt, Some(reservation)))
    }

    fn committed(&self, import: i64) -> Committed {
        let import = self.imports.values().find(|it| it.id == import);
        import.expect("the import exists").committed()
    }
}

/// What becomes of a batch's rows.
pub(super) fn counts(batch: &Batch) -> RowCounts {
    RowCounts {
        inserted: batch.rows.n_rows() as u64,
        rejected: batch.rejected.len() as u64,
        blank: batch.n_blank(),
        ..RowCounts::default()
    }
}

impl Import {
    fn watermark(&self) -> u64 {
        let mut watermark = 0;
        for (start, stored) in &self.ranges {
            if *start != watermark {
                break;
            }
            watermark = stored.end;
        }
        watermark
    }

    fn committed(&self) -> Committed {
        let mut committed = Committed {
            watermark: self.watermark(),
            ..Committed::default()
        };
        for stored in self.ranges.values() {
            committed.counts += stored.counts;
            committed.n_batches += stored.n_batches;
        }
        for row in self.rejects.values() {
            let name = row.errors[0].code.name().to_owned();
            *committed.rejected_by_code.entry(name).or_default() += 1;
        }
        committed
    }

    fn open(&mut self) -> OpenImport {
        self.epoch += 1;
        self.state = ImportState::Running;
        let ranges = self.ranges.clone();
        let covers = |ordinal: u64| {
            let before = ranges.range(..=ordinal).next_back();
            before.is_some_and(|(_, stored)| ordinal < stored.end)
        };
        self.rejects.retain(|ordinal, _| covers(*ordinal));
        let watermark = self.watermark();
        let below = self.ranges.range(..watermark);
        let committed = self.committed();
        OpenImport {
            key: SessionKey {
                import: self.id,
                epoch: self.epoch,
            },
            resumed: self.epoch > 1,
            committed_offset: watermark,
            committed_hash: below
                .clone()
                .fold(0, |sum, (_, stored)| stored.rows_hash.wrapping_add(sum)),
            committed_ranges: self
                .ranges
                .range(watermark..)
                .map(|(start, stored)| CommittedRange {
                    range: *start..stored.end,
                    rows_hash: stored.rows_hash,
                    position: stored.position.clone(),
                })
                .collect(),
            counts: committed.counts,
            committed_position: below
                .filter_map(|(_, stored)| stored.position.clone())
                .next_back(),
            create_time_ms: 0,
            file_sha256: self.file_sha256,
            tenant: String::new(),
            keeps_values: true,
        }
    }

    fn record(&self, id: &str) -> ImportRecord {
        let committed = self.committed();
        ImportRecord {
            owner: String::new(),
            import_id: id.to_owned(),
            tenant: String::new(),
            table: "public.numbers".to_owned(),
            file_name: String::new(),
            state: self.state,
            epoch: self.epoch,
            stats: ImportStats::default(),
            committed_offset: committed.watermark,
            phase: Phase::Queued,
            failure: None,
            outcome: self.outcome.clone(),
            labels: BTreeMap::new(),
            validate_only: false,
            write_method: WriteMethod::Copy,
            create_time_ms: 0,
            update_time_ms: 0,
            end_time_ms: None,
            expire_time_ms: None,
            rejects_expire_time_ms: None,
        }
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

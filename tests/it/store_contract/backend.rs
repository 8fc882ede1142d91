//! What a case needs of a database, and builders of imports, plans and batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rowlift::model::batch::{Batch, Receipt, RejectBudget, RowSource};
use rowlift::model::cell::Cell;
use rowlift::model::frame::FrameBuilder;
use rowlift::model::import::{Failure, ImportOutcome, ImportState, NewImport, Reason, WriteMethod};
use rowlift::model::plan::{OnConflict, OnMissing, PlannedColumn, WritePlan};
use rowlift::model::reject::{CellError, RejectedRow, RowErrorCode, SourceKind};
use rowlift::model::stats::{ImportStats, RowCounts};
use rowlift::model::table::{ColumnType, Table};
use rowlift::model::value::{RowBuffer, Value};
use rowlift::store::{
    OpenImport, OpenMode, Opened, SessionKey, Store, StoreError, Transactions, WriteRequest,
};

/// Which database it is, where DDL or limits differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A database of its own for one test.
#[async_trait]
pub(crate) trait Backend: Sync {
    /// A store on it, migrated, all tables of the default schema allowed.
    fn store(&self) -> Arc<dyn Store>;
    fn kind(&self) -> Kind;
    /// Runs statements beside the store.
    async fn execute(&self, sql: &str);
    /// Rows as text beside the store.
    async fn query(&self, sql: &str) -> Vec<Vec<Option<String>>>;
    /// Makes every lease one that has passed.
    async fn expire_leases(&self);
    /// Lets so many days pass: every time in the ledger moves into the past.
    async fn pass_days(&self, n_days: u32);
    /// All that the ledger holds as text, deleted and superseded parts of files included where the
    /// database is a file.
    async fn dump(&self) -> String;
}

/// One number out of the database.
pub(crate) async fn number(backend: &dyn Backend, sql: &str) -> u64 {
    let rows = backend.query(sql).await;
    let text = rows[0][0].as_deref().unwrap();
    text.parse().unwrap()
}

/// One column of text out of the database, NULL as `NULL`.
pub(crate) async fn texts(backend: &dyn Backend, sql: &str) -> Vec<String> {
    let rows = backend.query(sql).await.into_iter();
    let text = |mut row: Vec<Option<String>>| row.swap_remove(0).unwrap_or("NULL".to_owned());
    rows.map(text).collect()
}

// Imports.

/// A request to import into `table`.
pub(crate) fn new_import(id: &str) -> NewImport {
    NewImport {
        owner: "alice".to_owned(),
        import_id: id.to_owned(),
        tenant: String::new(),
        table: "main.t".to_owned(),
        fingerprint: [7; 32],
        file_name: "t.xlsx".to_owned(),
        file_sha256: None,
        labels: BTreeMap::new(),
        validate_only: false,
        write_method: WriteMethod::Batch,
        server: "test".to_owned(),
        layout: None,
        reject_retention: None,
    }
}

/// Opens an import that then runs.
pub(crate) async fn open(store: &dyn Store, new: &NewImport, mode: OpenMode) -> OpenImport {
    match store.open_import(new, mode).await.unwrap() {
        Opened::Running(open) => open,
        Opened::Ended(record) => panic!("ended: {record:?}"),
    }
}

/// Begins an import with a new id.
pub(crate) async fn begin(store: &dyn Store, id: &str) -> SessionKey {
    open(store, &new_import(id), OpenMode::Begin).await.key
}

/// Why an import was refused.
pub(crate) async fn refusal(store: &dyn Store, new: &NewImport, mode: OpenMode) -> Failure {
    match store.open_import(new, mode).await {
        Err(StoreError::Failed(failure)) => failure,
        other => panic!("not refused: {other:?}"),
    }
}

/// An end in `state`.
pub(crate) fn outcome(state: ImportState, rows: RowCounts) -> ImportOutcome {
    let failure = Failure::new(Reason::IncompleteStream, "the stream ended");
    ImportOutcome {
        state,
        stats: ImportStats {
            received_bytes: 1000,
            received_rows: rows.total(),
            rows,
            batches: 1,
            retries: 2,
            duplicate_rows: 0,
            elapsed_ms: 12,
        },
        committed_offset: rows.total(),
        failure: (state != ImportState::Succeeded).then_some(failure),
        rejected_by_code: BTreeMap::new(),
        write_method: WriteMethod::Batch,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: false,
    }
}

// Plans and batches.

/// Table `name` as the store describes it.
pub(crate) async fn table(backend: &dyn Backend, name: &str) -> Arc<Table> {
    backend.store().table(name).await.unwrap().unwrap()
}

/// A plan that feeds `columns` from cells A, B, ... by the store's default method.
pub(crate) async fn plan(backend: &dyn Backend, name: &str, columns: &[&str]) -> WritePlan {
    plan_by(backend, name, columns, None).await
}

/// A plan with a method.
pub(crate) async fn plan_by(
    backend: &dyn Backend,
    name: &str,
    columns: &[&str],
    wanted: Option<WriteMethod>,
) -> WritePlan {
    let table = table(backend, name).await;
    let store = backend.store();
    let method = store.write_method(wanted, &table, Transactions::PerBatch);
    let columns = columns
        .iter()
        .enumerate()
        .map(|(index, column)| PlannedColumn {
            table_column: table.column_index(column).unwrap(),
            source_index: Some(index),
            source_name: column.to_uppercase(),
            insert_only: false,
        });
    WritePlan {
        columns: columns.collect(),
        table,
        method,
        on_conflict: OnConflict::Reject,
    }
}

/// A plan whose rows meet by the key with this name.
pub(crate) fn meeting(
    plan: &WritePlan,
    key: &str,
    action: impl FnOnce(usize) -> OnConflict,
) -> WritePlan {
    let mut keys = plan.table.unique_keys.iter();
    let index = keys.position(|it| it.name == key).unwrap();
    WritePlan {
        on_conflict: action(index),
        ..plan.clone()
    }
}

/// [`OnConflict::Skip`], for [`meeting`].
pub(crate) fn skip(key: usize) -> OnConflict {
    OnConflict::Skip { key }
}

/// [`OnConflict::Update`] with new rows inserted, for [`meeting`].
pub(crate) fn update(key: usize) -> OnConflict {
    update_or(OnMissing::Insert)(key)
}

/// [`OnConflict::Update`], for [`meeting`].
pub(crate) fn update_or(on_missing: OnMissing) -> impl Fn(usize) -> OnConflict {
    move |key| OnConflict::Update { key, on_missing }
}

/// Inserted, updated, unchanged, skipped, rejected.
pub(crate) fn verdicts(counts: RowCounts) -> [u64; 5] {
    [
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.skipped,
        counts.rejected,
    ]
}

/// Ordinal and first code of each rejected row.
pub(crate) fn codes(rejected: &[RejectedRow]) -> Vec<(u64, RowErrorCode)> {
    let code = |row: &RejectedRow| (row.ordinal, row.errors[0].code);
    rejected.iter().map(code).collect()
}

/// Fills a [`Batch`] row by row, as a file's decoder and mapping would.
pub(crate) struct BatchBuilder<'a> {
    plan: &'a WritePlan,
    start: u64,
    next: u64,
    frame: FrameBuilder,
    rows: RowBuffer,
    /// Ordinals of accepted rows.
    accepted: Vec<u64>,
    /// Ordinals and codes of rows that the mapping rejects.
    refused: Vec<(u64, RowErrorCode)>,
}

impl<'a> BatchBuilder<'a> {
    /// A batch that begins at ordinal `start`.
    pub(crate) fn new(plan: &'a WritePlan, start: u64) -> BatchBuilder<'a> {
        BatchBuilder {
            plan,
            start,
            next: start,
            frame: FrameBuilder::new(),
            rows: RowBuffer::new(plan.columns.len()),
            accepted: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// A row whose cells are its values; an empty one stands for the column's default.
    pub(crate) fn row(mut self, cells: &[Cell<'_>]) -> BatchBuilder<'a> {
        assert_eq!(cells.len(), self.plan.columns.len());
        for (index, cell) in cells.iter().enumerate() {
            self.rows.push(value(*cell, &self.plan.column(index).ty));
        }
        self.accepted.push(self.next);
        self.push_frame_row(cells);
        self
    }

    /// A row that the mapping rejects for its first cell.
    pub(crate) fn refused(mut self, cells: &[Cell<'_>], code: RowErrorCode) -> BatchBuilder<'a> {
        self.refused.push((self.next, code));
        self.push_frame_row(cells);
        self
    }

    /// A row without content.
    pub(crate) fn blank(mut self) -> BatchBuilder<'a> {
        self.next += 1;
        self
    }

    fn push_frame_row(&mut self, cells: &[Cell<'_>]) {
        // Row 1 is the header.
        self.frame.begin_row(self.next, self.next + 2, "");
        for cell in cells {
            self.frame.push(*cell);
        }
        self.frame.end_row();
        self.next += 1;
    }

    /// The batch; `index` is its place in the session.
    pub(crate) fn build(mut self, index: u64) -> Batch {
        let frame = Arc::new(self.frame.take());
        let mut sources = Vec::new();
        let mut rejected = Vec::new();
        let mut rows_hash = 0_u128;
        for row in frame.rows() {
            rows_hash = rows_hash.wrapping_add(row.hash());
            let refused = self.refused.iter().find(|it| it.0 == row.ordinal);
            let Some((_, code)) = refused else {
                sources.push(RowSource {
                    frame: 0,
                    start: u32::try_from(row.start).unwrap(),
                    ordinal: row.ordinal,
                });
                continue;
            };
            let raw_values: Vec<String> = row.cells().map(|cell| cell.to_string()).collect();
            rejected.push(RejectedRow {
                ordinal: row.ordinal,
                sheet: "Sheet1".to_owned(),
                row_number: row.row_number,
                errors: vec![CellError {
                    code: *code,
                    column: self.plan.column(0).name.clone(),
                    cell: format!("A{}", row.row_number),
                    message: "not of the column's type".to_owned(),
                    value: raw_values[0].clone(),
                    constraint: String::new(),
                    sql_state: String::new(),
                    source_name: self.plan.columns[0].source_name.clone(),
                    params: BTreeMap::new(),
                }],
                raw_values,
            });
        }
        assert_eq!(sources.len(), self.accepted.len());
        Batch {
            index,
            range: self.start..self.next,
            rows: self.rows,
            sources,
            frames: vec![frame],
            rejected,
            rows_hash,
            sheet: "Sheet1".into(),
            source_kind: SourceKind::File,
            position: None,
        }
    }
}

/// Like [`BatchBuilder::build`], with the caller's place after it.
pub(crate) fn with_position(mut batch: Batch, position: &'static str) -> Batch {
    batch.position = Some(Bytes::from(position));
    batch
}

/// Rows of one text and one number: `("a", 1)`.
pub(crate) fn pairs(plan: &WritePlan, start: u64, rows: &[(&str, i64)]) -> Batch {
    let mut builder = BatchBuilder::new(plan, start);
    for (text, number) in rows {
        builder = builder.row(&[Cell::Text(text), Cell::Int(*number)]);
    }
    builder.build(start)
}

/// The value that a cell stands for as it is.
fn value<'c>(cell: Cell<'c>, ty: &ColumnType) -> Value<'c> {
    match cell {
        Cell::Null => Value::Null,
        Cell::Unset => Value::Unset,
        Cell::Empty => Value::Default,
        Cell::Bool(it) => Value::Bool(it),
        Cell::Int(it) => Value::Int(it),
        Cell::Double(it) => Value::Float(it),
        Cell::Bytes(it) => Value::Bytes(it),
        Cell::Decimal(it) => Value::Decimal(it),
        Cell::Timestamp { seconds, nanos } => {
            Value::Timestamp(seconds * 1_000_000 + i64::from(nanos) / 1000)
        }
        Cell::Text(it) => match ty {
            ColumnType::Uuid => Value::Uuid(it.parse::<uuid::Uuid>().unwrap().into_bytes()),
            _ => Value::Text(it),
        },
        Cell::Date(it) => {
            let epoch = jiff::civil::date(1970, 1, 1);
            let days = epoch
                .until(it.parse::<jiff::civil::Date>().unwrap())
                .unwrap();
            Value::Date(days.get_days())
        }
        Cell::Time(it) => {
            let midnight = jiff::civil::Time::midnight();
            let since = it
                .parse::<jiff::civil::Time>()
                .unwrap()
                .duration_since(midnight);
            Value::Time(i64::try_from(since.as_micros()).unwrap())
        }
        other => panic!("a test gives values, not {other:?}"),
    }
}

/// How many rows may be rejected in most cases: any number.
pub(crate) fn any_rejects() -> RejectBudget {
    RejectBudget::new(None, 0)
}

/// Writes a batch with no limit on rejects and no deadline.
pub(crate) async fn write(
    store: &dyn Store,
    key: SessionKey,
    plan: &WritePlan,
    batch: &Batch,
) -> Result<Receipt, StoreError> {
    write_within(store, key, plan, batch, &any_rejects()).await
}

/// Writes a batch with a budget of rejects.
pub(crate) async fn write_within(
    store: &dyn Store,
    key: SessionKey,
    plan: &WritePlan,
    batch: &Batch,
    rejects: &RejectBudget,
) -> Result<Receipt, StoreError> {
    let settings = BTreeMap::new();
    let request = WriteRequest {
        key,
        plan,
        batch,
        rejects,
        settings: &settings,
        probe_first: false,
        deadline: None,
    };
    store.write_batch(request).await
}

/// Ordinals of committed ranges above the watermark.
pub(crate) fn ordinals(open: &OpenImport) -> Vec<Range<u64>> {
    open.committed_ranges
        .iter()
        .map(|it| it.range.clone())
        .collect()
}

//! A store on a database of its own, and batches made of values.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rowlift::model::batch::{Batch, Receipt, RejectBudget, RowSource};
use rowlift::model::cell::Cell;
use rowlift::model::frame::{Frame, FrameBuilder};
use rowlift::model::import::{NewImport, WriteMethod};
use rowlift::model::plan::{OnConflict, OnMissing, PlannedColumn, WritePlan};
use rowlift::model::reject::{CellError, RejectedRow, RowErrorCode, SourceKind};
use rowlift::model::value::{RowBuffer, Value};
use rowlift::store::allow::{AllowList, AllowedTable};
use rowlift::store::copying::Copying;
use rowlift::store::postgres::{PgConfig, PgStore};
use rowlift::store::{
    OpenImport, OpenMode, Opened, Retention, SessionKey, Store, StoreError, WriteRequest,
};

use crate::support::postgres::Database;

/// All methods.
pub(crate) const METHODS: [WriteMethod; 4] = [
    WriteMethod::Copy,
    WriteMethod::Batch,
    WriteMethod::Concurrent,
    WriteMethod::Sequential,
];

/// A migrated store with every table of every schema allowed.
pub(crate) struct Fixture {
    pub(crate) store: PgStore,
    pub(crate) database: Database,
}

/// What a batch is written with, besides its rows.
pub(crate) struct Import {
    pub(crate) key: SessionKey,
    pub(crate) plan: WritePlan,
    pub(crate) rejects: RejectBudget,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) probe_first: bool,
    pub(crate) deadline: Option<Duration>,
}

impl Fixture {
    pub(crate) async fn new() -> Fixture {
        let database = Database::fresh().await;
        let store = PgStore::connect(config(&database)).await.unwrap();
        store.migrate().await.unwrap();
        Fixture { store, database }
    }

    /// Begins an import of these columns into a table.
    pub(crate) async fn import(
        &self,
        table: &str,
        columns: &[&str],
        method: WriteMethod,
    ) -> Import {
        let open = self.open(&new_import(), OpenMode::Begin).await;
        Import {
            key: open.key,
            plan: self.plan(table, columns, method).await,
            rejects: RejectBudget::new(None, 0),
            settings: BTreeMap::new(),
            probe_first: false,
            deadline: None,
        }
    }

    pub(crate) async fn open(&self, new: &NewImport, mode: OpenMode) -> OpenImport {
        match self.store.open_import(new, mode).await.unwrap() {
            Opened::Running(open) => open,
            Opened::Ended(record) => panic!("ended: {record:?}"),
        }
    }

    pub(crate) async fn plan(
        &self,
        table: &str,
        columns: &[&str],
        method: WriteMethod,
    ) -> WritePlan {
        let table = self
            .store
            .table(table)
            .await
            .unwrap()
            .expect("the table is visible");
        let planned = columns.iter().enumerate().map(|(at, name)| PlannedColumn {
            table_column: table.column_index(name).expect("the column exists"),
            source_index: Some(at),
            source_name: (*name).to_owned(),
            insert_only: false,
        });
        WritePlan {
            columns: planned.collect(),
            table,
            method,
            on_conflict: OnConflict::Reject,
        }
    }

    pub(crate) async fn write(
        &self,
        import: &Import,
        batch: &Batch,
    ) -> Result<Receipt, StoreError> {
        let deadline = import.deadline.map(|left| std::time::Instant::now() + left);
        let request = WriteRequest {
            key: import.key,
            plan: &import.plan,
            batch,
            rejects: &import.rejects,
            settings: &import.settings,
            probe_first: import.probe_first,
            deadline,
        };
        self.store.write_batch(request).await
    }
}

impl Import {
    fn key(&self, name: &str) -> usize {
        let keys = &self.plan.table.unique_keys;
        keys.iter()
            .position(|key| key.name == name)
            .expect("the key exists")
    }

    /// Rows that meet another by this unique key are left out.
    pub(crate) fn skip(mut self, key: &str) -> Import {
        self.plan.on_conflict = OnConflict::Skip { key: self.key(key) };
        self
    }

    /// Rows that meet another by this unique key update it.
    pub(crate) fn update(mut self, key: &str, on_missing: OnMissing) -> Import {
        self.plan.on_conflict = OnConflict::Update {
            key: self.key(key),
            on_missing,
        };
        self
    }

    /// This column is written for new rows only.
    pub(crate) fn insert_only(mut self, column: &str) -> Import {
        let at = self.plan.index_of(column).expect("the column is mapped");
        self.plan.columns[at].insert_only = true;
        self
    }
}

pub(crate) fn config(database: &Database) -> PgConfig {
    let every = AllowedTable {
        name: "*.*".to_owned(),
        importable: None,
        assignable: Vec::new(),
        aliases: BTreeMap::new(),
    };
    PgConfig {
        url: database.service_url().to_owned(),
        allow: AllowList::new(vec![every], "public"),
        writers_total: 4,
        writers_per_import: 2,
        control_timeout: Duration::from_secs(20),
        lease: Duration::from_secs(15),
        server: "test".to_owned(),
        pooled: database.pooled(),
        retention: Retention::default(),
        copying: Copying::default(),
        copy_detected: true,
    }
}

pub(crate) fn new_import() -> NewImport {
    NewImport {
        owner: String::new(),
        import_id: uuid::Uuid::new_v4().to_string(),
        tenant: String::new(),
        table: "public.t".to_owned(),
        fingerprint: [7; 32],
        file_name: "t.xlsx".to_owned(),
        file_sha256: None,
        labels: BTreeMap::new(),
        validate_only: false,
        write_method: WriteMethod::Copy,
        server: "test".to_owned(),
        layout: None,
        reject_retention: None,
    }
}

/// Rows with the ordinals from `first` on; ordinal 0 is row 2 of sheet `S`.
pub(crate) fn batch(first: u64, rows: &[Vec<Value<'_>>]) -> Batch {
    let n_columns = rows.first().map_or(1, Vec::len);
    let mut buffer = RowBuffer::new(n_columns);
    let mut builder = FrameBuilder::new();
    for (at, row) in rows.iter().enumerate() {
        let ordinal = first + at as u64;
        builder.begin_row(ordinal, ordinal + 2, "");
        for value in row {
            buffer.push(*value);
            match value {
                Value::Text(text) | Value::Decimal(text) => builder.push(Cell::Text(text)),
                Value::Int(number) => builder.push(Cell::Int(*number)),
                Value::Float(number) => builder.push(Cell::Double(*number)),
                Value::Unset => builder.push(Cell::Unset),
                _ => builder.push(Cell::Null),
            }
        }
        builder.end_row();
    }
    let frame: Arc<Frame> = Arc::new(builder.take());
    let sources = frame.rows().map(|row| RowSource {
        frame: 0,
        start: u32::try_from(row.start).unwrap(),
        ordinal: row.ordinal,
    });
    let rows_hash = frame
        .rows()
        .fold(0_u128, |sum, row| sum.wrapping_add(row.hash()));
    Batch {
        index: 0,
        range: first..first + rows.len() as u64,
        sources: sources.collect(),
        rows: buffer,
        frames: vec![Arc::clone(&frame)],
        rejected: Vec::new(),
        rows_hash,
        sheet: "S".into(),
        source_kind: SourceKind::File,
        position: None,
    }
}

/// A batch of one integer column.
pub(crate) fn integers(first: u64, values: &[i64]) -> Batch {
    let rows: Vec<Vec<Value<'_>>> = values
        .iter()
        .map(|value| vec![Value::Int(*value)])
        .collect();
    batch(first, &rows)
}

/// A row that the mapping rejected, with an ordinal beyond those of `batch`, which grows by it.
pub(crate) fn add_mapping_reject(batch: &mut Batch) {
    let ordinal = batch.range.end;
    batch.range.end += 1;
    batch.rejected.push(RejectedRow {
        ordinal,
        sheet: "S".to_owned(),
        row_number: ordinal + 2,
        errors: vec![CellError {
            code: RowErrorCode::TypeMismatch,
            column: "a".to_owned(),
            cell: format!("A{}", ordinal + 2),
            message: "not a number".to_owned(),
            value: "x\0y".to_owned(),
            constraint: String::new(),
            sql_state: String::new(),
            source_name: "a".to_owned(),
            params: BTreeMap::new(),
        }],
        raw_values: vec!["x\0y".to_owned()],
    });
}

/// Ordinals and codes of a receipt's rejected rows.
pub(crate) fn codes(rejected: &[RejectedRow]) -> Vec<(u64, RowErrorCode)> {
    rejected
        .iter()
        .map(|row| (row.ordinal, row.errors[0].code))
        .collect()
}

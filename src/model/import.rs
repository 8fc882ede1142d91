//! An import's life: identity, options, state, result.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::layout::SourceLayout;
use crate::model::stats::ImportStats;

/// Who owns an import: a stable name from the policy file, empty where there is no identity.
pub type Owner = String;

/// How rows reach the table. Numbers are those of the contract and of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum WriteMethod {
    /// One INSERT a row, one batch after the other.
    Sequential = 1,
    /// One INSERT a row, batches in parallel.
    Concurrent = 2,
    /// One INSERT a batch, batches in parallel.
    Batch = 3,
    /// COPY a batch, batches in parallel.
    Copy = 4,
}

/// Where an import stands. Numbers are those of the contract and of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ImportState {
    /// Waits for a slot.
    Queued = 1,
    /// A live session holds it.
    Running = 2,
    /// Its client or server is gone; resumable.
    Suspended = 3,
    /// Asked to stop, has not yet.
    Cancelling = 4,
    /// Every row is decided.
    Succeeded = 5,
    /// It can never succeed as sent.
    Failed = 6,
    /// Stopped by request.
    Cancelled = 7,
}

/// What a session is doing. Numbers are those of the contract.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[repr(u8)]
pub enum Phase {
    /// Waits for a slot.
    #[default]
    Queued = 1,
    /// Takes the upload.
    Receiving = 2,
    /// Opens the file.
    Decoding = 3,
    /// Rows are on their way into the table.
    Writing = 4,
    /// The last batches and the result.
    Committing = 5,
}

/// Format of a file. Numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FileFormat {
    /// xlsx and xlsm.
    Xlsx = 1,
    /// Excel 97-2004.
    Xls = 2,
    /// Binary workbook.
    Xlsb = 3,
    /// OpenDocument.
    Ods = 4,
    /// Comma-separated and its relatives.
    Csv = 5,
}

/// The fields that make two requests the same import (api.md, session 9), in canonical form.
///
/// `fingerprint` is a SHA-256 over them; a second request with the same id and another
/// fingerprint is ID_CONFLICT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Owner of the id.
    pub owner: Owner,
    /// The caller's id, or a UUIDv7.
    pub import_id: String,
    /// Scope given by the caller.
    pub tenant: String,
    /// Target as the caller named it, resolved: `schema.name`.
    pub table: String,
    /// SHA-256 of the canonical options.
    pub fingerprint: [u8; 32],
    /// Display only; empty for row imports.
    pub file_name: String,
    /// SHA-256 of the file, where the caller announces it. It is noted until a row is decided; from then
    /// on, and while a session runs, an import that is known to be of another file is neither taken
    /// over nor changed.
    pub file_sha256: Option<[u8; 32]>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// A dry run.
    pub validate_only: bool,
    /// The method that runs.
    pub write_method: WriteMethod,
    /// Name of this server, for people.
    pub server: String,
    /// Row imports: how the source is laid out. A file's layout is known, and noted, later.
    pub layout: Option<SourceLayout>,
    /// How long values of rejected rows are kept after the end; `None`: as long as the store keeps
    /// them by itself. Zero: they are never stored. Over several tries the shortest holds.
    pub reject_retention: Option<Duration>,
}

impl NewImport {
    /// The import is known to be of another file than the one that the request announces; `noted` is
    /// the hash that the ledger has.
    pub fn of_another_file(&self, noted: Option<[u8; 32]>) -> Option<Failure> {
        if noted? == self.file_sha256? {
            return None;
        }
        let id = &self.import_id;
        let message = format!(
            "import {id:?} is of another file: resume it with that one, or cancel it and send this one \
             under another id"
        );
        Some(
            Failure::new(Reason::IdConflict, message)
                .with_field("header.file.sha256", "not the hash of the import's file"),
        )
    }

    /// The id is known, though not to the tenant that the request names.
    pub fn of_another_tenant(&self) -> Failure {
        let id = &self.import_id;
        let message = format!(
            "import {id:?} is not known to tenant {:?}; the id is taken, choose another",
            self.tenant
        );
        Failure::new(Reason::ImportNotFound, message).with("import_id", id)
    }
}

/// Why an import, call or batch ended badly: a status without a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Reason of the contract's table, e.g. `CORRUPT_FILE`. Decides the status code.
    pub reason: Reason,
    /// For a person; values escaped and cut.
    pub message: String,
    /// ErrorInfo.metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Fields at fault, as `(path, description)`; at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// The closed set of reasons (api.md, status codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    missing_docs,
    reason = "the names are the contract's; api.md describes each"
)]
pub enum Reason {
    HeaderRequired,
    DuplicateHeader,
    MessageAfterFinish,
    WrongPayload,
    InvalidOption,
    FeatureUnknown,
    CorruptFile,
    EncryptedFile,
    UnsupportedFormat,
    SheetNotFound,
    NoHeader,
    ColumnMapping,
    ChecksumMismatch,
    DuplicateContentMismatch,
    RowRejected,
    RejectLimitExceeded,
    AllRowsRejected,
    IncompleteStream,
    ClientAbort,
    IdleTimeout,
    HeaderTimeout,
    Fenced,
    ImportBusy,
    OffsetGap,
    IdConflict,
    DuplicateFile,
    ImportNotFound,
    TableNotFound,
    WrongState,
    SchemaChanged,
    ReadOnly,
    NoUniqueKey,
    Unauthenticated,
    PermissionDenied,
    LimitExceeded,
    DiskFull,
    Overloaded,
    Draining,
    DatabaseUnavailable,
    Deadline,
    CancelledByCaller,
    CancelledByRequest,
    Unimplemented,
    Internal,
}

impl Reason {
    /// As the contract spells it.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => unreachable!("a reason is written as its name"),
        }
    }
}

/// How an import ended, as it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOutcome {
    /// SUCCEEDED, FAILED, CANCELLED or, not stored as ended, SUSPENDED.
    pub state: ImportState,
    /// Final counts.
    pub stats: ImportStats,
    /// First ordinal that is not decided.
    pub committed_offset: u64,
    /// Why, unless SUCCEEDED.
    pub failure: Option<Failure>,
    /// Rejected rows by code name; a row with two codes counts under both.
    pub rejected_by_code: BTreeMap<String, u64>,
    /// The method that ran.
    pub write_method: WriteMethod,
    /// SHA-256 of a file as sent, once it was all received; empty otherwise.
    #[serde(default)]
    pub file_sha256: Vec<u8>,
    /// An earlier import of the same content into the same table; empty if none.
    #[serde(default)]
    pub duplicate_of_import_id: String,
    /// A dry run.
    pub validate_only: bool,
}

/// An import as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRecord {
    /// Owner of the id.
    pub owner: Owner,
    /// The caller's id.
    pub import_id: String,
    /// Scope.
    pub tenant: String,
    /// `schema.name`.
    pub table: String,
    /// Display only.
    pub file_name: String,
    /// RUNNING with an expired lease is read as SUSPENDED.
    pub state: ImportState,
    /// Of the newest session.
    pub epoch: u64,
    /// Computed from the committed batches, received counts from the newest session.
    pub stats: ImportStats,
    /// First ordinal that is not decided.
    pub committed_offset: u64,
    /// Phase of the newest session while the state is RUNNING.
    pub phase: Phase,
    /// Why it ended.
    pub failure: Option<Failure>,
    /// Set once the state is terminal.
    pub outcome: Option<ImportOutcome>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// A dry run.
    pub validate_only: bool,
    /// The method that runs.
    pub write_method: WriteMethod,
    /// Milliseconds since 1970, by the database's clock.
    pub create_time_ms: i64,
    /// Milliseconds since 1970.
    pub update_time_ms: i64,
    /// Milliseconds since 1970, once terminal.
    pub end_time_ms: Option<i64>,
    /// When the id is forgotten, milliseconds since 1970; `None` while a session holds it.
    pub expire_time_ms: Option<i64>,
    /// When rejected values are forgotten; from then on they are not told, whether or not they are
    /// wiped yet.
    pub rejects_expire_time_ms: Option<i64>,
}

macro_rules! numbered {
    ($type:ty: $($variant:ident),+) => {
        impl $type {
            /// All of them, by number.
            pub const ALL: &[$type] = &[$(<$type>::$variant),+];

            /// The number in contract and ledger.
            pub fn number(self) -> u8 {
                self as u8
            }

            /// The one with this number.
            pub fn from_number(number: u8) -> Option<$type> {
                Self::ALL.iter().copied().find(|it| it.number() == number)
            }
        }
    };
}

numbered!(WriteMethod: Sequential, Concurrent, Batch, Copy);
numbered!(ImportState: Queued, Running, Suspended, Cancelling, Succeeded, Failed, Cancelled);
numbered!(Phase: Queued, Receiving, Decoding, Writing, Committing);
numbered!(FileFormat: Xlsx, Xls, Xlsb, Ods, Csv);

impl ImportState {
    /// As the contract spells it, without its prefix.
    pub fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }

    /// SUCCEEDED, FAILED or CANCELLED.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            ImportState::Succeeded | ImportState::Failed | ImportState::Cancelled
        )
    }
}

/// What a failure's message becomes once values are not kept.
const NOT_KEPT: &str = "the details are not kept";
/// Entries of metadata that hold no text of a caller or of a file.
const METADATA_KEPT: [&str; 12] = [
    "bound",
    "committed_offset",
    "expected_offset",
    "id",
    "import_id",
    "limit",
    "max_rejected_row_count",
    "phase",
    "sql_state",
    "state",
    "table",
    "value",
];

impl ImportOutcome {
    /// What is replayed once values are not kept: everything but the failure's words.
    #[must_use]
    pub fn without_values(&self) -> ImportOutcome {
        ImportOutcome {
            failure: self.failure.as_ref().map(Failure::without_values),
            ..self.clone()
        }
    }
}

impl Failure {
    /// What is kept of a failure once values are not: its reason, and figures. Messages and fields
    /// quote headers, cells and the words of whoever cancelled.
    #[must_use]
    pub fn without_values(&self) -> Failure {
        let kept = self.metadata.iter();
        let kept = kept.filter(|(key, _)| METADATA_KEPT.contains(&key.as_str()));
        Failure {
            reason: self.reason,
            message: NOT_KEPT.to_owned(),
            metadata: kept
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            fields: Vec::new(),
        }
    }

    /// A failure without metadata or fields.
    pub fn new(reason: Reason, message: impl Into<String>) -> Failure {
        Failure {
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            fields: Vec::new(),
        }
    }

    /// Adds one entry of metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Failure {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Adds a field at fault, unless there are 20 already.
    #[must_use]
    pub fn with_field(mut self, path: impl Into<String>, why: impl Into<String>) -> Failure {
        if self.fields.len() < 20 {
            self.fields.push((path.into(), why.into()));
        }
        self
    }
}

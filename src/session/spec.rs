//! An import as a caller asks for it, once every field is checked.
//!
//! Made by [`crate::grpc`] from a header; nothing here is optional without a meaning.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::decode::FileOptions;
use crate::mapping::conflict::ConflictSpec;
use crate::mapping::{
    CellMode, ColumnRule, ColumnSource, DateOrder, DecimalSeparator, ImportContext, MappingSpec,
    UnmappedSource,
};
use crate::model::import::WriteMethod;
use crate::model::reject::SourceKind;
use crate::store::{OpenMode, Transactions};

/// Everything that a header says.
#[derive(Debug, Clone)]
pub struct ImportSpec {
    /// The caller's id, or a new UUIDv7.
    pub import_id: String,
    /// What becomes of an import with this id that exists.
    pub mode: OpenMode,
    /// `[schema.]table`.
    pub table: String,
    /// A file or rows.
    pub source: SourceSpec,
    /// Empty: by header name.
    pub columns: Vec<ColumnRule>,
    /// What source columns do that nothing maps.
    pub unmapped_source: UnmappedSource,
    /// `None`: the fastest.
    pub write_method: Option<WriteMethod>,
    /// What a bad row does.
    pub rejects: RejectPolicy,
    /// Time between two progress events; `None`: the server's.
    pub progress_interval: Option<Duration>,
    /// Inline rejected rows at most.
    pub rejected_samples: usize,
    /// Row imports: how long a row waits for its batch to start; `None`: the server's time.
    pub max_ack_delay: Option<Duration>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// What a row does that meets an existing key.
    pub conflict: ConflictSpec,
    /// Which rows commit together.
    pub commit_mode: CommitMode,
    /// Everything but the commit.
    pub validate_only: bool,
    /// What a lost caller does to the import.
    pub disconnect: Disconnect,
    /// Set for each transaction.
    pub settings: BTreeMap<String, String>,
    /// Whose data it is; empty: no tenant, or the one that an earlier try named.
    pub tenant: String,
    /// How long values of rejected rows are kept after the end; `None`: the server's time.
    pub reject_retention: Option<Duration>,
    /// What to do with a file that is in the table already.
    pub duplicate_file: DuplicateFile,
}

/// What to do with a file that an import has put into the same table before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DuplicateFile {
    /// Import it, and name the earlier import.
    #[default]
    Allow,
    /// Fail before a row is written.
    Refuse,
}

/// Which rows commit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitMode {
    /// Those of a batch.
    #[default]
    PerBatch,
    /// All, or none.
    Atomic,
    /// All, in one batch: there are few.
    OneBatch,
}

/// What a lost caller does to the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disconnect {
    /// It stops, and can be resumed.
    #[default]
    Suspend,
    /// Once `finish` has been received it goes on alone, for so long at most.
    Continue(Duration),
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// Chunks of a file.
    File(Box<FileSpec>),
    /// Row batches.
    Rows(RowsSpec),
}

/// A file.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// How to decode it.
    pub options: FileOptions,
    /// Display only.
    pub file_name: String,
    /// As the caller announced it, bytes.
    pub total_bytes: Option<u64>,
    /// As the caller announced it.
    pub sha256: Option<[u8; 32]>,
    /// For date-times without an offset.
    pub time_zone: Option<TimeZone>,
    /// Of numbers in text.
    pub decimal_separator: Option<DecimalSeparator>,
    /// Of dates such as 01/02/2024.
    pub date_order: Option<DateOrder>,
    /// Cell texts that are NULL.
    pub null_tokens: Vec<String>,
}

/// Row batches.
#[derive(Debug, Clone)]
pub struct RowsSpec {
    /// Names of the values of each row.
    pub column_names: Vec<String>,
    /// Values are cells rather than exact.
    pub as_cells: bool,
}

/// What bad rows do to the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectPolicy {
    /// The first one fails it.
    Abort,
    /// The first one fails it, and all that its batch holds are told.
    AbortTellingAll,
    /// They are left out, as many as the server allows.
    SkipDefault,
    /// They are left out, at most so many; `None`: without a limit.
    Skip(Option<u64>),
}

impl RejectPolicy {
    /// The limit on rejected rows, given the server's.
    pub fn limit(self, server_max: u64) -> Option<u64> {
        match self {
            RejectPolicy::Abort | RejectPolicy::AbortTellingAll => Some(0),
            RejectPolicy::SkipDefault => Some(server_max),
            RejectPolicy::Skip(limit) => limit,
        }
    }
}

impl ImportSpec {
    /// The file's name for display; empty for row imports.
    pub fn file_name(&self) -> &str {
        match &self.source {
            SourceSpec::File(file) => &file.file_name,
            SourceSpec::Rows(_) => "",
        }
    }

    /// The file's hash, where the caller announces it.
    pub fn file_sha256(&self) -> Option<[u8; 32]> {
        match &self.source {
            SourceSpec::File(file) => file.sha256,
            SourceSpec::Rows(_) => None,
        }
    }

    /// Whether rows have cell references.
    pub fn source_kind(&self) -> SourceKind {
        match self.source {
            SourceSpec::File(_) => SourceKind::File,
            SourceSpec::Rows(_) => SourceKind::Rows,
        }
    }

    /// What the mapping needs to know. `sheet` is the one that is read; empty for CSV and rows.
    pub fn mapping_spec(&self, create_time_ms: i64, sheet: &str) -> MappingSpec {
        let (mode, file) = match &self.source {
            SourceSpec::File(file) => (CellMode::Cells, Some(file)),
            SourceSpec::Rows(rows) if rows.as_cells => (CellMode::Cells, None),
            SourceSpec::Rows(_) => (CellMode::Exact, None),
        };
        MappingSpec {
            columns: self.columns.clone(),
            unmapped_source: self.unmapped_source,
            mode,
            source_kind: self.source_kind(),
            null_tokens: file
                .map(|file| file.null_tokens.clone())
                .unwrap_or_default(),
            time_zone: file.and_then(|file| file.time_zone.clone()),
            decimal_separator: file.and_then(|file| file.decimal_separator),
            date_order: file.and_then(|file| file.date_order),
            context: ImportContext {
                import_id: self.import_id.clone(),
                create_time_ms,
                sheet: sheet.to_owned(),
            },
            conflict: self.conflict.clone(),
        }
    }

    /// Whether all rows go through one transaction.
    pub fn transactions(&self) -> Transactions {
        if self.commit_mode == CommitMode::Atomic || self.validate_only {
            Transactions::One
        } else {
            Transactions::PerBatch
        }
    }

    /// SHA-256 over the fields that make two requests the same import (api.md, session 9): table,
    /// source less file name, size and hash, columns, reject policy, conflicts, commit mode, dry
    /// run. Requests with the same id and
    /// another fingerprint are ID_CONFLICT. `table` is the resolved name.
    pub fn fingerprint(&self, table: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        // Every part is preceded by its length, so that no two lists of parts run together.
        let mut part = |text: String| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part("rowlift import 1".to_owned());
        part(table.to_owned());
        match &self.source {
            SourceSpec::File(file) => {
                let zone = file.time_zone.as_ref().and_then(TimeZone::iana_name);
                part(format!(
                    "file {:?} {zone:?} {:?} {:?} {:?}",
                    file.options, file.decimal_separator, file.date_order, file.null_tokens
                ));
            }
            SourceSpec::Rows(rows) => part(format!("rows {rows:?}")),
        }
        for rule in &self.columns {
            part(format!("{} {:?}", rule.target_column, rule.format));
            part(format!("{:?} {}", rule.on_empty, rule.insert_only));
            part(match &rule.source {
                ColumnSource::Constant(frame) => format!("constant {:x?}", frame.as_bytes()),
                other => format!("{other:?}"),
            });
        }
        part(format!("{:?} {:?}", self.unmapped_source, self.rejects));
        // Left out where they say nothing: the ledgers of older versions have no part for them.
        if self.conflict != ConflictSpec::default() {
            part(format!("{:?}", self.conflict));
        }
        if self.commit_mode != CommitMode::default() || self.validate_only {
            part(format!("{:?} {}", self.commit_mode, self.validate_only));
        }
        hasher.finalize().into()
    }
}

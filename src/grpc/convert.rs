//! From the domain's types to the contract's messages. Nothing is decided here.

use std::time::Duration;

use crate::grpc::status::rpc_status;
use crate::mapping::{ColumnSource, EffectiveColumn, EmptyAction, RowContext};
use crate::model::import::{ImportOutcome, ImportRecord};
use crate::model::reject::{CellError, RejectedRow};
use crate::model::stats::ImportStats;
use crate::model::table::{Column, ColumnType, Table, UniqueKey};
use crate::progress::{Accepted, Event, Progress};
use crate::proto::{self, import_response};

/// Characters of a raw value in an event or a page; longer ones end in U+2026.
const RAW_VALUE_CHARS_MAX: usize = 256;

/// A count as the contract has it.
pub fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An event of a running import.
pub fn event(event: Event, message_bytes_max: usize) -> proto::ImportResponse {
    let event = match event {
        Event::Accepted(it) => import_response::Event::Accepted(accepted(*it, message_bytes_max)),
        Event::Ack(ack) => import_response::Event::Ack(proto::Ack {
            committed_offset: count(ack.committed_offset),
            duplicate_row_count: count(ack.duplicate_rows),
            committed_position: ack.committed_position.unwrap_or_default().to_vec(),
        }),
        Event::Progress(it) => import_response::Event::Progress(progress(*it)),
        Event::Rejected(row) => import_response::Event::RejectedRow(rejected_row(*row)),
        Event::Draining(grace) => import_response::Event::Draining(proto::Draining {
            grace: Some(duration(grace)),
        }),
        Event::Result(it) => import_response::Event::Result(result(&it.import_id, &it.outcome)),
    };
    proto::ImportResponse { event: Some(event) }
}

fn accepted(accepted: Accepted, message_bytes_max: usize) -> proto::Accepted {
    let deadline_time = accepted.deadline_in.map(|left| {
        let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        timestamp(crate::clock::now_ms().saturating_add(left_ms))
    });
    proto::Accepted {
        import_id: accepted.import_id,
        session_epoch: count(accepted.epoch),
        resumed: accepted.resumed,
        replayed: accepted.replayed,
        committed_offset: count(accepted.committed_offset),
        max_message_bytes: i32::try_from(message_bytes_max).unwrap_or(i32::MAX),
        idle_timeout: Some(duration(accepted.idle_timeout)),
        deadline_time,
        effective_columns: accepted
            .effective_columns
            .iter()
            .map(column_mapping)
            .collect(),
        committed_position: accepted.committed_position.unwrap_or_default().to_vec(),
        max_rejected_row_count: accepted.rejected_rows_max.map_or(-1, count),
    }
}

fn progress(progress: Progress) -> proto::Progress {
    proto::Progress {
        phase: i32::from(progress.phase.number()),
        stats: Some(stats(&progress.stats)),
        fraction: progress.fraction,
        eta: progress.eta.map(duration),
        effective_columns: progress
            .effective_columns
            .iter()
            .map(column_mapping)
            .collect(),
    }
}

/// Counts, with the rows that are not decided.
pub fn stats(stats: &ImportStats) -> proto::ImportStats {
    let rows = stats.rows;
    proto::ImportStats {
        received_bytes: count(stats.received_bytes),
        received_row_count: count(stats.received_rows),
        inserted_row_count: count(rows.inserted),
        updated_row_count: count(rows.updated),
        unchanged_row_count: count(rows.unchanged),
        skipped_row_count: count(rows.skipped),
        rejected_row_count: count(rows.rejected),
        blank_row_count: count(rows.blank),
        unprocessed_row_count: count(stats.unprocessed_rows()),
        batch_count: count(stats.batches),
        retry_count: count(stats.retries),
        elapsed: Some(duration(Duration::from_millis(stats.elapsed_ms))),
        rows_per_second: stats.rows_per_second(),
        duplicate_row_count: count(stats.duplicate_rows),
    }
}

/// The result of an import.
pub fn result(import_id: &str, outcome: &ImportOutcome) -> proto::ImportResult {
    let by_code = outcome.rejected_by_code.iter();
    proto::ImportResult {
        import_id: import_id.to_owned(),
        state: i32::from(outcome.state.number()),
        stats: Some(stats(&outcome.stats)),
        committed_offset: count(outcome.committed_offset),
        error: outcome.failure.as_ref().map(rpc_status),
        rejected_row_count_by_code: by_code
            .map(|(code, n)| (format!("ROW_ERROR_CODE_{code}"), count(*n)))
            .collect(),
        write_method: i32::from(outcome.write_method.number()),
        duplicate_of_import_id: outcome.duplicate_of_import_id.clone(),
        validate_only: outcome.validate_only,
    }
}

/// A rejected row; long raw values are cut and listed.
pub fn rejected_row(row: RejectedRow) -> proto::RejectedRow {
    let mut truncated_cells = Vec::new();
    let raw_values = row
        .raw_values
        .into_iter()
        .zip(1..)
        .map(|(value, position)| {
            let (value, truncated) = cut(value);
            if truncated {
                truncated_cells.push(position);
            }
            value
        });
    let raw_values = raw_values.collect();
    proto::RejectedRow {
        offset: count(row.ordinal),
        sheet: row.sheet,
        row_number: count(row.row_number),
        errors: row.errors.into_iter().map(cell_error).collect(),
        raw_values,
        truncated_cells,
    }
}

/// The same with whole values: the only place where the row is told.
pub fn whole_rejected_row(row: RejectedRow) -> proto::RejectedRow {
    proto::RejectedRow {
        offset: count(row.ordinal),
        sheet: row.sheet,
        row_number: count(row.row_number),
        errors: row.errors.into_iter().map(cell_error).collect(),
        raw_values: row.raw_values,
        truncated_cells: Vec::new(),
    }
}

fn cell_error(error: CellError) -> proto::CellError {
    proto::CellError {
        code: i32::from(error.code.number()),
        column: error.column,
        cell: error.cell,
        message: error.message,
        value: cut(error.value).0,
        constraint: error.constraint,
        sql_state: error.sql_state,
        source_name: error.source_name,
        params: error.params,
    }
}

/// The value, at most [`RAW_VALUE_CHARS_MAX`] characters of it, and whether it was cut.
fn cut(value: String) -> (String, bool) {
    match value.char_indices().nth(RAW_VALUE_CHARS_MAX) {
        None => (value, false),
        Some((at, _)) => {
            let (head, _) = value.split_at(at);
            (format!("{head}\u{2026}"), true)
        }
    }
}

/// An import as the ledger knows it.
pub fn job(record: &ImportRecord) -> proto::ImportJob {
    let progress = (!record.state.is_terminal()).then(|| proto::Progress {
        phase: i32::from(record.phase.number()),
        stats: Some(stats(&record.stats)),
        ..proto::Progress::default()
    });
    proto::ImportJob {
        import_id: record.import_id.clone(),
        state: i32::from(record.state.number()),
        table: record.table.clone(),
        file_name: record.file_name.clone(),
        stats: Some(stats(&record.stats)),
        committed_offset: count(record.committed_offset),
        session_epoch: count(record.epoch),
        error: record.failure.as_ref().map(rpc_status),
        create_time: Some(timestamp(record.create_time_ms)),
        update_time: Some(timestamp(record.update_time_ms)),
        end_time: record.end_time_ms.map(timestamp),
        principal: record.owner.clone(),
        labels: record.labels.clone(),
        progress,
        result: record
            .outcome
            .as_ref()
            .map(|outcome| result(&record.import_id, outcome)),
        expire_time: record.expire_time_ms.map(timestamp),
        rejects_expire_time: record.rejects_expire_time_ms.map(timestamp),
        tenant: record.tenant.clone(),
        validate_only: record.validate_only,
        write_method: i32::from(record.write_method.number()),
    }
}

/// A mapping in force.
pub fn column_mapping(column: &EffectiveColumn) -> proto::ColumnMapping {
    use proto::column_mapping::Source;
    let source = match &column.source {
        ColumnSource::Name(name) => Some(Source::SourceName(name.clone())),
        ColumnSource::Position(at) => {
            Some(Source::SourceIndex(i32::try_from(*at).unwrap_or(i32::MAX)))
        }
        // A constant is the caller's own: it is named, not repeated.
        ColumnSource::Constant(_) => None,
        ColumnSource::Context(context) => Some(Source::Context(i32::from(match context {
            RowContext::ImportId => proto::RowContext::ImportId,
            RowContext::RowNumber => proto::RowContext::RowNumber,
            RowContext::Sheet => proto::RowContext::Sheet,
            RowContext::CreateTime => proto::RowContext::CreateTime,
        }))),
    };
    let on_empty = match column.on_empty {
        EmptyAction::Automatic => proto::EmptyAction::Unspecified,
        EmptyAction::Null => proto::EmptyAction::Null,
        EmptyAction::Default => proto::EmptyAction::Default,
        EmptyAction::Keep => proto::EmptyAction::Keep,
        EmptyAction::Reject => proto::EmptyAction::Reject,
    };
    proto::ColumnMapping {
        source,
        target_column: column.target_column.clone(),
        format: column.format.clone(),
        on_empty: i32::from(on_empty),
        insert_only: column.insert_only,
    }
}

/// A table with its columns and keys.
pub fn table(table: &Table) -> proto::Table {
    proto::Table {
        name: table.name.to_string(),
        columns: table.columns.iter().map(column).collect(),
        unique_keys: table.unique_keys.iter().map(unique_key).collect(),
    }
}

fn column(column: &Column) -> proto::TableColumn {
    let max_length = match column.ty {
        ColumnType::Varchar(Some(n)) | ColumnType::Char(n) => i32::try_from(n).unwrap_or(i32::MAX),
        _ => 0,
    };
    let enum_values = match &column.ty {
        ColumnType::Enum(labels) => labels.to_vec(),
        _ => Vec::new(),
    };
    proto::TableColumn {
        name: column.name.clone(),
        r#type: column.type_name.clone(),
        nullable: column.nullable,
        has_default: column.has_default,
        generated: column.generated,
        max_length,
        enum_values,
        aliases: column.aliases.clone(),
        importable: column.importable,
        assignable: column.assignable,
    }
}

fn unique_key(key: &UniqueKey) -> proto::UniqueKey {
    proto::UniqueKey {
        name: key.name.clone(),
        columns: key.columns.clone(),
        primary: key.primary,
        definition: if key.plain {
            String::new()
        } else {
            key.definition.clone()
        },
    }
}

fn duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or_default()
}

/// Milliseconds since 1970 as the contract has them.
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000)).expect("below 1000") * 1_000_000;
    prost_types::Timestamp {
        seconds: ms.div_euclid(1000),
        nanos,
    }
}

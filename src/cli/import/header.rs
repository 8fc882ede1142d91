//! From the arguments to the header of an import.

use std::time::Duration;

use crate::cli::args::{
    ImportArgs, LayoutArgs, Method, OnConflict, OnError, OnMissing, Order, SourceArgs,
};
use crate::client::messages;
use crate::proto::{
    CommitMode, ConflictAction, CsvOptions, DateOrder, DisconnectPolicy, DuplicateFilePolicy,
    ErrorPolicy, FileSource, ImportHeader, MissingAction, UnmappedSource, WriteMethod,
    import_header,
};

/// The header that `args` ask for.
pub(super) fn of(args: &ImportArgs, progress_interval: Duration) -> ImportHeader {
    let file_name = args.file.file_name().unwrap_or_default();
    let source = FileSource {
        file_name: file_name.to_string_lossy().into_owned(),
        ..file_source(&args.source)
    };
    ImportHeader {
        import_id: args.import_id.clone().unwrap_or_default(),
        resume: args.resume,
        table: args.table.clone(),
        source: Some(import_header::Source::File(source)),
        write_method: write_method(args.method).into(),
        on_conflict: conflict_action(args.on_conflict).into(),
        conflict_columns: args.key.iter().map(|name| name.trim().to_owned()).collect(),
        conflict_key: args.conflict_key.clone().unwrap_or_default(),
        on_missing: missing_action(args.on_missing).into(),
        error_policy: error_policy(args.on_error).into(),
        max_rejected_row_count: args.max_rejected,
        commit_mode: if args.atomic {
            CommitMode::Atomic.into()
        } else {
            CommitMode::Unspecified.into()
        },
        validate_only: args.dry_run,
        progress_interval: messages::duration(progress_interval),
        unmapped_source: if args.ignore_unmapped {
            UnmappedSource::Ignore.into()
        } else {
            UnmappedSource::Unspecified.into()
        },
        disconnect_policy: if args.continues {
            DisconnectPolicy::ContinueAfterFinish.into()
        } else {
            DisconnectPolicy::Unspecified.into()
        },
        settings: args.set.iter().cloned().collect(),
        labels: args.label.iter().cloned().collect(),
        tenant: args.tenant.clone().unwrap_or_default(),
        duplicate_file: if args.refuse_duplicate {
            DuplicateFilePolicy::Refuse.into()
        } else {
            DuplicateFilePolicy::Unspecified.into()
        },
        reject_retention: args.reject_retention.and_then(messages::duration),
        ..ImportHeader::default()
    }
}

/// How the file is read; without its name.
pub(in crate::cli) fn file_source(args: &SourceArgs) -> FileSource {
    let layout = file_layout(&args.layout);
    let csv = CsvOptions {
        null_tokens: args.null_token.clone(),
        ..layout.csv.clone().unwrap_or_default()
    };
    FileSource {
        csv: (csv != CsvOptions::default()).then_some(csv),
        time_zone: args.time_zone.clone().unwrap_or_default(),
        decimal_separator: args.decimal_separator.clone().unwrap_or_default(),
        date_order: match args.date_order {
            None => DateOrder::Unspecified,
            Some(Order::Dmy) => DateOrder::Dmy,
            Some(Order::Mdy) => DateOrder::Mdy,
            Some(Order::Ymd) => DateOrder::Ymd,
        }
        .into(),
        ..layout
    }
}

/// How the file is laid out; without its name.
pub(in crate::cli) fn file_layout(args: &LayoutArgs) -> FileSource {
    let delimiter = match args.delimiter.as_deref() {
        Some("tab" | "\\t") => "\t",
        Some(delimiter) => delimiter,
        None => "",
    };
    let csv = CsvOptions {
        delimiter: delimiter.to_owned(),
        quote: String::new(),
        encoding: args.encoding.clone().unwrap_or_default(),
        null_tokens: Vec::new(),
    };
    FileSource {
        sheet: args.sheet.clone().unwrap_or_default(),
        header_row_number: args.header_row,
        csv: (csv != CsvOptions::default()).then_some(csv),
        ..FileSource::default()
    }
}

pub(super) fn write_method(method: Option<Method>) -> WriteMethod {
    match method {
        None => WriteMethod::Unspecified,
        Some(Method::Copy) => WriteMethod::Copy,
        Some(Method::Batch) => WriteMethod::Batch,
        Some(Method::Concurrent) => WriteMethod::Concurrent,
        Some(Method::Sequential) => WriteMethod::Sequential,
    }
}

fn conflict_action(action: Option<OnConflict>) -> ConflictAction {
    match action {
        None => ConflictAction::Unspecified,
        Some(OnConflict::Reject) => ConflictAction::Reject,
        Some(OnConflict::Skip) => ConflictAction::Skip,
        Some(OnConflict::Update) => ConflictAction::Update,
    }
}

fn missing_action(action: Option<OnMissing>) -> MissingAction {
    match action {
        None => MissingAction::Unspecified,
        Some(OnMissing::Insert) => MissingAction::Insert,
        Some(OnMissing::Reject) => MissingAction::Reject,
        Some(OnMissing::Skip) => MissingAction::Skip,
    }
}

fn error_policy(policy: Option<OnError>) -> ErrorPolicy {
    match policy {
        None => ErrorPolicy::Unspecified,
        Some(OnError::Skip) => ErrorPolicy::SkipRow,
        Some(OnError::Abort) => ErrorPolicy::Abort,
    }
}

#[cfg(test)]
mod tests;

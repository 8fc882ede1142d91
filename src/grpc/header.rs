//! From an `ImportHeader` to an [`ImportSpec`]: every field checked, or refused by its path.
//!
//! Nothing is ignored: what is not built yet is UNIMPLEMENTED, what is out of bounds is
//! INVALID_ARGUMENT.

use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::decode::{Compression, CsvOptions, FileOptions, HeaderRow};
use crate::grpc::rows::value_frame;
use crate::grpc::status::invalid;
use crate::mapping::{
    ColumnRule, ColumnSource, DateOrder, DecimalSeparator, EmptyAction, RowContext, UnmappedSource,
};
use crate::model::import::{Failure, FileFormat, Reason, WriteMethod};
use crate::proto;
use crate::session::spec::{FileSpec, ImportSpec, RowsSpec, SourceSpec};
use crate::store::OpenMode;

use policies::ConflictFields;

pub mod policies;

/// What GetServerInfo lists and `required_features` may name.
pub const FEATURES: &[&str] = &[
    "import.file",
    "import.rows",
    "import.packed_rows",
    "import.columns",
    "import.columns.constant",
    "import.columns.context",
    "import.labels",
    "import.max_rejected_row_count",
    "import.error_policy.abort",
    "import.resume",
    "import.on_conflict",
    "import.conflict_key",
    "import.on_missing",
    "import.commit_mode.atomic",
    "import.disconnect_policy.continue_after_finish",
    "import.settings",
    "import.validate_only",
    "import.tenant",
    "import.reject_retention",
    "import.duplicate_file.refuse",
    "import_rows",
    "inspect_file",
    "decode_file",
    "watch_import",
    "export_rejected_rows",
    "delete_import",
    "file.compression",
    "file.csv",
];

const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);
const PROGRESS_INTERVAL_MAX: Duration = Duration::from_secs(15);
const ACK_DELAY_MAX: Duration = Duration::from_mins(1);
const SAMPLES_DEFAULT: usize = 20;
const SAMPLES_MAX: usize = 1000;
const LABELS_MAX: usize = 64;
const TENANT_BYTES_MAX: usize = 128;
const NULL_TOKENS_MAX: usize = 16;
const FILE_NAME_BYTES_MAX: usize = 4096;
const COLUMNS_MAX: usize = 16_384;

/// Checks a whole header.
pub fn import_spec(header: proto::ImportHeader) -> Result<ImportSpec, Failure> {
    refuse_unknown_features(&header.required_features)?;
    let source = match header.source {
        Some(proto::import_header::Source::File(file)) => {
            SourceSpec::File(Box::new(file_spec(file)?))
        }
        Some(proto::import_header::Source::RowSource(rows)) => SourceSpec::Rows(rows_spec(rows)?),
        None => {
            return Err(invalid(
                "header.source",
                "neither file nor row_source is set",
            ));
        }
    };
    if header.table.is_empty() {
        return Err(invalid("header.table", "empty"));
    }
    let interval = duration("header.progress_interval", header.progress_interval)?;
    let insert_only = header.columns.iter().position(|column| column.insert_only);
    if let Some(index) = insert_only
        && header.on_conflict != i32::from(proto::ConflictAction::Update)
    {
        let path = format!("header.columns[{index}].insert_only");
        return Err(invalid(&path, "only with on_conflict UPDATE"));
    }
    Ok(ImportSpec {
        import_id: import_id("header.import_id", &header.import_id)?,
        mode: if header.resume {
            OpenMode::Resume
        } else {
            OpenMode::Begin
        },
        table: header.table,
        source,
        columns: column_rules("header.columns", header.columns)?,
        unmapped_source: unmapped_source(header.unmapped_source)?,
        write_method: write_method(header.write_method)?,
        rejects: policies::reject_policy(header.error_policy, header.max_rejected_row_count)?,
        progress_interval: interval
            .map(|interval| interval.clamp(PROGRESS_INTERVAL_MIN, PROGRESS_INTERVAL_MAX)),
        rejected_samples: match usize::try_from(header.rejected_row_sample_count) {
            Ok(0) => SAMPLES_DEFAULT,
            Ok(n) => n.min(SAMPLES_MAX),
            Err(_) => 0,
        },
        max_ack_delay: duration("header.max_ack_delay", header.max_ack_delay)?
            .map(|delay| delay.min(ACK_DELAY_MAX)),
        labels: labels("header.labels", header.labels)?,
        conflict: policies::conflict(ConflictFields {
            path: "header.",
            action: header.on_conflict,
            columns: header.conflict_columns,
            key: header.conflict_key,
            missing: header.on_missing,
        })?,
        commit_mode: policies::commit_mode(header.commit_mode)?,
        validate_only: header.validate_only,
        disconnect: policies::disconnect(header.disconnect_policy, header.processing_timeout)?,
        settings: policies::settings("header.settings", header.settings)?,
        tenant: tenant("header.tenant", header.tenant)?,
        reject_retention: duration("header.reject_retention", header.reject_retention)?,
        duplicate_file: policies::duplicate_file(header.duplicate_file)?,
    })
}

/// An import id as the contract allows it; empty makes a UUIDv7.
pub fn import_id(path: &str, id: &str) -> Result<String, Failure> {
    if id.is_empty() {
        return Ok(Uuid::now_v7().to_string());
    }
    let head = id
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let tail = id
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if head && tail && id.len() <= 63 {
        return Ok(id.to_owned());
    }
    Err(invalid(path, "not of the form [a-z0-9][a-z0-9-]{0,62}"))
}

fn refuse_unknown_features(required: &[String]) -> Result<(), Failure> {
    for (index, feature) in required.iter().enumerate() {
        if !FEATURES.contains(&feature.as_str()) {
            let message = format!("feature {feature:?} is not known to this server");
            return Err(Failure::new(Reason::FeatureUnknown, message)
                .with_field(format!("header.required_features[{index}]"), "unknown"));
        }
    }
    Ok(())
}

/// How to read a file; paths of its fields begin with `header.file`.
pub fn file_spec(file: proto::FileSource) -> Result<FileSpec, Failure> {
    let format = number::<proto::FileFormat>("header.file.format", file.format)?;
    let compression = number::<proto::Compression>("header.file.compression", file.compression)?;
    let header = match file.header_row_number {
        None => HeaderRow::Row(1),
        Some(0) => HeaderRow::Absent,
        Some(row) => HeaderRow::Row(
            u32::try_from(row).map_err(|_| invalid("header.file.header_row_number", "negative"))?,
        ),
    };
    let csv = file.csv.unwrap_or_default();
    let null_tokens = csv.null_tokens.clone();
    if null_tokens.len() > NULL_TOKENS_MAX {
        let why = format!("more than {NULL_TOKENS_MAX}");
        return Err(invalid("header.file.csv.null_tokens", why));
    }
    if file.file_name.len() > FILE_NAME_BYTES_MAX {
        let why = format!("longer than {FILE_NAME_BYTES_MAX} bytes");
        return Err(invalid("header.file.file_name", why));
    }
    let total_bytes = match file.total_bytes {
        None => None,
        Some(total) => {
            Some(u64::try_from(total).map_err(|_| invalid("header.file.total_bytes", "negative"))?)
        }
    };
    Ok(FileSpec {
        options: FileOptions {
            format: match format {
                proto::FileFormat::Unspecified => None,
                format => u8::try_from(i32::from(format))
                    .ok()
                    .and_then(FileFormat::from_number),
            },
            sheet: file.sheet,
            header,
            csv: csv_options(&csv)?,
            compression: match compression {
                proto::Compression::Unspecified => None,
                proto::Compression::None => Some(Compression::None),
                proto::Compression::Gzip => Some(Compression::Gzip),
                proto::Compression::Zstd => Some(Compression::Zstd),
            },
        },
        file_name: file.file_name,
        total_bytes,
        sha256: sha256("header.file.sha256", &file.sha256)?,
        time_zone: time_zone(&file.time_zone)?,
        decimal_separator: match file.decimal_separator.as_str() {
            "" => None,
            "." => Some(DecimalSeparator::Point),
            "," => Some(DecimalSeparator::Comma),
            _ => {
                return Err(invalid(
                    "header.file.decimal_separator",
                    "neither \".\" nor \",\"",
                ));
            }
        },
        date_order: match number::<proto::DateOrder>("header.file.date_order", file.date_order)? {
            proto::DateOrder::Unspecified => None,
            proto::DateOrder::Dmy => Some(DateOrder::Dmy),
            proto::DateOrder::Mdy => Some(DateOrder::Mdy),
            proto::DateOrder::Ymd => Some(DateOrder::Ymd),
        },
        null_tokens,
    })
}

fn csv_options(csv: &proto::CsvOptions) -> Result<CsvOptions, Failure> {
    let encoding = match csv.encoding.as_str() {
        "" => None,
        label => Some(
            encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| {
                invalid(
                    "header.file.csv.encoding",
                    format!("{label:?} is not a WHATWG label"),
                )
            })?,
        ),
    };
    let delimiter = ascii("header.file.csv.delimiter", &csv.delimiter)?;
    let quote = ascii("header.file.csv.quote", &csv.quote)?;
    if delimiter.is_some() && delimiter == quote {
        return Err(invalid(
            "header.file.csv.quote",
            "the same as the delimiter",
        ));
    }
    Ok(CsvOptions {
        delimiter,
        quote,
        encoding,
    })
}

fn ascii(path: &str, text: &str) -> Result<Option<u8>, Failure> {
    match text.as_bytes() {
        [] => Ok(None),
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(Some(*byte)),
        _ => Err(invalid(path, "not one ASCII character")),
    }
}

fn time_zone(name: &str) -> Result<Option<TimeZone>, Failure> {
    if name.is_empty() {
        return Ok(None);
    }
    TimeZone::get(name).map(Some).map_err(|_| {
        invalid(
            "header.file.time_zone",
            format!("{name:?} is not an IANA name"),
        )
    })
}

/// 32 bytes, or none.
pub fn sha256(path: &str, bytes: &[u8]) -> Result<Option<[u8; 32]>, Failure> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes
        .try_into()
        .map(Some)
        .map_err(|_| invalid(path, "not 32 bytes"))
}

fn rows_spec(rows: proto::RowSource) -> Result<RowsSpec, Failure> {
    Ok(RowsSpec {
        column_names: column_names("header.row_source.column_names", rows.column_names)?,
        as_cells: rows.as_cells,
    })
}

/// Names of the values of each row.
pub fn column_names(path: &str, names: Vec<String>) -> Result<Vec<String>, Failure> {
    match names.len() {
        1..=COLUMNS_MAX => Ok(names),
        n_columns => {
            let why = format!("{n_columns} columns, 1 to {COLUMNS_MAX} are possible");
            Err(invalid(path, why))
        }
    }
}

/// An explicit mapping; `path` is where the request has it.
pub fn column_rules(
    path: &str,
    columns: Vec<proto::ColumnMapping>,
) -> Result<Vec<ColumnRule>, Failure> {
    if columns.len() > COLUMNS_MAX {
        return Err(invalid(path, format!("more than {COLUMNS_MAX}")));
    }
    let columns = columns.into_iter().enumerate();
    columns
        .map(|(index, column)| column_rule(&format!("{path}[{index}]"), column))
        .collect()
}

/// One entry of an explicit mapping.
fn column_rule(path: &str, column: proto::ColumnMapping) -> Result<ColumnRule, Failure> {
    use proto::column_mapping::Source;
    let path = |field: &str| format!("{path}.{field}");
    let source = match column.source {
        Some(Source::SourceName(name)) => ColumnSource::Name(name),
        Some(Source::SourceIndex(position)) => match u32::try_from(position) {
            Ok(position) if position > 0 => ColumnSource::Position(position),
            _ => {
                return Err(invalid(
                    path("source_index"),
                    "positions are counted from 1",
                ));
            }
        },
        Some(Source::Constant(value)) => ColumnSource::Constant(Box::new(value_frame(&value))),
        Some(Source::Context(context)) => ColumnSource::Context(
            match number::<proto::RowContext>(&path("context"), context)? {
                proto::RowContext::Unspecified => {
                    return Err(invalid(path("context"), "unspecified"));
                }
                proto::RowContext::ImportId => RowContext::ImportId,
                proto::RowContext::RowNumber => RowContext::RowNumber,
                proto::RowContext::Sheet => RowContext::Sheet,
                proto::RowContext::CreateTime => RowContext::CreateTime,
            },
        ),
        None => return Err(invalid(path("source"), "not set")),
    };
    if column.target_column.is_empty() {
        return Err(invalid(path("target_column"), "empty"));
    }
    Ok(ColumnRule {
        source,
        target_column: column.target_column,
        format: column.format,
        on_empty: match number::<proto::EmptyAction>(&path("on_empty"), column.on_empty)? {
            proto::EmptyAction::Unspecified => EmptyAction::Automatic,
            proto::EmptyAction::Null => EmptyAction::Null,
            proto::EmptyAction::Default => EmptyAction::Default,
            proto::EmptyAction::Keep => EmptyAction::Keep,
            proto::EmptyAction::Reject => EmptyAction::Reject,
        },
        insert_only: column.insert_only,
    })
}

fn unmapped_source(wire: i32) -> Result<UnmappedSource, Failure> {
    Ok(
        match number::<proto::UnmappedSource>("header.unmapped_source", wire)? {
            proto::UnmappedSource::Unspecified | proto::UnmappedSource::Fail => {
                UnmappedSource::Fail
            }
            proto::UnmappedSource::Ignore => UnmappedSource::Ignore,
        },
    )
}

fn write_method(wire: i32) -> Result<Option<WriteMethod>, Failure> {
    let method = number::<proto::WriteMethod>("header.write_method", wire)?;
    Ok(u8::try_from(i32::from(method))
        .ok()
        .and_then(WriteMethod::from_number))
}

/// Labels within their bounds.
pub fn labels(
    path: &str,
    labels: std::collections::BTreeMap<String, String>,
) -> Result<std::collections::BTreeMap<String, String>, Failure> {
    if labels.len() > LABELS_MAX {
        return Err(invalid(path, format!("more than {LABELS_MAX}")));
    }
    for (key, value) in &labels {
        if key.is_empty() || key.len() > 64 || value.len() > 256 {
            return Err(invalid(path, "keys have 1 to 64 bytes, values up to 256"));
        }
        if key.contains('\0') || value.contains('\0') {
            return Err(invalid(path, "U+0000 cannot be stored"));
        }
    }
    Ok(labels)
}

/// A tenant as it may be named; empty: none.
pub fn tenant(path: &str, tenant: String) -> Result<String, Failure> {
    if tenant.len() > TENANT_BYTES_MAX {
        return Err(invalid(
            path,
            format!("longer than {TENANT_BYTES_MAX} bytes"),
        ));
    }
    if tenant.chars().any(char::is_control) {
        return Err(invalid(path, "holds a control character"));
    }
    Ok(tenant)
}

/// A duration that is not negative.
pub fn duration(
    path: &str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Failure> {
    let Some(wire) = wire else { return Ok(None) };
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(wire.seconds), u32::try_from(wire.nanos)) else {
        return Err(invalid(path, "negative"));
    };
    if nanos >= 1_000_000_000 {
        return Err(invalid(path, "more than 999,999,999 nanoseconds"));
    }
    Ok(Some(Duration::new(seconds, nanos)))
}

/// A known number of an enum.
pub fn number<E: TryFrom<i32>>(path: &str, wire: i32) -> Result<E, Failure> {
    E::try_from(wire).map_err(|_| invalid(path, format!("unknown enum number {wire}")))
}

#[cfg(test)]
mod tests;

//! The header's policies: conflicts, commits, rejects, lost callers, settings.
//!
//! In: the fields of a header. Out: what they mean, or a refusal by the field's path.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::grpc::header::{duration, number};
use crate::grpc::status::invalid;
use crate::mapping::conflict::{ConflictAction, ConflictSpec, KeyChoice};
use crate::model::import::Failure;
use crate::model::plan::OnMissing;
use crate::proto;
use crate::session::spec::{CommitMode, Disconnect, DuplicateFile, RejectPolicy};

/// Columns of a unique key that a header may name.
const KEY_COLUMNS_MAX: usize = 32;
/// Settings of an import.
const SETTINGS_MAX: usize = 16;
/// How long an import goes on without its caller, where the header names no time.
const PROCESSING_TIMEOUT: Duration = Duration::from_hours(1);
/// The longest time that a header may name.
const PROCESSING_TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// What a request says about rows that meet an existing key.
#[derive(Debug)]
pub struct ConflictFields {
    /// Empty for a header's own fields, else the message's path with a dot.
    pub path: &'static str,
    /// `on_conflict`.
    pub action: i32,
    /// `conflict_columns`.
    pub columns: Vec<String>,
    /// `conflict_key`.
    pub key: String,
    /// `on_missing`.
    pub missing: i32,
}

/// What a row does that meets an existing key.
pub fn conflict(fields: ConflictFields) -> Result<ConflictSpec, Failure> {
    use proto::{ConflictAction as Wire, MissingAction};
    let path = |field: &str| format!("{}{field}", fields.path);
    let action = number::<Wire>(&path("on_conflict"), fields.action)?;
    let missing = number::<MissingAction>(&path("on_missing"), fields.missing)?;
    let on_missing = match missing {
        MissingAction::Unspecified | MissingAction::Insert => OnMissing::Insert,
        MissingAction::Reject => OnMissing::Reject,
        MissingAction::Skip => OnMissing::Skip,
    };
    if on_missing != OnMissing::Insert && action != Wire::Update {
        return Err(invalid(path("on_missing"), "only with on_conflict UPDATE"));
    }
    let action = match action {
        Wire::Unspecified | Wire::Reject => ConflictAction::Reject,
        Wire::Skip => ConflictAction::Skip,
        Wire::Update => ConflictAction::Update(on_missing),
    };
    let names_key = !fields.columns.is_empty() || !fields.key.is_empty();
    if action == ConflictAction::Reject && names_key {
        let field = if fields.key.is_empty() {
            "conflict_columns"
        } else {
            "conflict_key"
        };
        return Err(invalid(path(field), "only with on_conflict SKIP or UPDATE"));
    }
    if fields.columns.len() > KEY_COLUMNS_MAX {
        let why = format!("more than {KEY_COLUMNS_MAX}");
        return Err(invalid(path("conflict_columns"), why));
    }
    let key = match (fields.columns.is_empty(), fields.key.is_empty()) {
        (true, true) => KeyChoice::Automatic,
        (false, true) => KeyChoice::Columns(fields.columns),
        (true, false) => KeyChoice::Name(fields.key),
        (false, false) => {
            let why = "set together with conflict_columns";
            return Err(invalid(path("conflict_key"), why));
        }
    };
    Ok(ConflictSpec { action, key })
}

/// What bad rows do.
pub(super) fn reject_policy(policy: i32, limit: Option<i64>) -> Result<RejectPolicy, Failure> {
    let path = "header.max_rejected_row_count";
    match (
        number::<proto::ErrorPolicy>("header.error_policy", policy)?,
        limit,
    ) {
        (proto::ErrorPolicy::Abort, None) => Ok(RejectPolicy::Abort),
        (proto::ErrorPolicy::Abort, Some(_)) => Err(invalid(path, "set together with ABORT")),
        (_, None) => Ok(RejectPolicy::SkipDefault),
        (_, Some(-1)) => Ok(RejectPolicy::Skip(None)),
        (_, Some(limit)) => match u64::try_from(limit) {
            Ok(limit) => Ok(RejectPolicy::Skip(Some(limit))),
            Err(_) => Err(invalid(path, "negative; -1 alone means no limit")),
        },
    }
}

/// Which rows commit together.
pub(super) fn commit_mode(wire: i32) -> Result<CommitMode, Failure> {
    Ok(
        match number::<proto::CommitMode>("header.commit_mode", wire)? {
            proto::CommitMode::Unspecified | proto::CommitMode::PerBatch => CommitMode::PerBatch,
            proto::CommitMode::Atomic => CommitMode::Atomic,
        },
    )
}

/// What a lost caller does.
pub(super) fn disconnect(
    policy: i32,
    timeout: Option<prost_types::Duration>,
) -> Result<Disconnect, Failure> {
    use proto::DisconnectPolicy;
    let path = "header.processing_timeout";
    let bound = duration(path, timeout)?;
    match number::<DisconnectPolicy>("header.disconnect_policy", policy)? {
        DisconnectPolicy::Unspecified | DisconnectPolicy::Suspend => match bound {
            None => Ok(Disconnect::Suspend),
            Some(_) => Err(invalid(path, "only with CONTINUE_AFTER_FINISH")),
        },
        DisconnectPolicy::ContinueAfterFinish => match bound.unwrap_or(PROCESSING_TIMEOUT) {
            Duration::ZERO => Err(invalid(path, "zero")),
            bound if bound > PROCESSING_TIMEOUT_MAX => Err(invalid(path, "more than 24 h")),
            bound => Ok(Disconnect::Continue(bound)),
        },
    }
}

/// What to do with a file that is in the table already.
pub(super) fn duplicate_file(wire: i32) -> Result<DuplicateFile, Failure> {
    use proto::DuplicateFilePolicy;
    Ok(
        match number::<DuplicateFilePolicy>("header.duplicate_file", wire)? {
            DuplicateFilePolicy::Unspecified | DuplicateFilePolicy::Allow => DuplicateFile::Allow,
            DuplicateFilePolicy::Refuse => DuplicateFile::Refuse,
        },
    )
}

/// Settings by name; whether the names are allowed, the session knows.
pub fn settings(
    path: &str,
    settings: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    if settings.len() > SETTINGS_MAX {
        return Err(invalid(path, format!("more than {SETTINGS_MAX}")));
    }
    for (name, value) in &settings {
        if name.is_empty() || name.len() > 63 || value.len() > 1024 {
            return Err(invalid(
                path,
                "names have 1 to 63 bytes, values up to 1,024",
            ));
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(invalid(path, "U+0000 cannot be stored"));
        }
    }
    Ok(settings)
}

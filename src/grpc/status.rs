//! The one place that makes a [`Status`].
//!
//! In: a [`Failure`]. Out: its code with google.rpc.ErrorInfo and, where they apply, BadRequest
//! and RetryInfo; details stay below 4 KiB.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt, pb};

use crate::model::import::{Failure, Reason};
use crate::session::open;

/// ErrorInfo's domain.
const DOMAIN: &str = "rowlift";
/// Characters of a message or metadata value at most.
const TEXT_CHARS_MAX: usize = 256;
/// Encoded details of a status at most.
const DETAILS_BYTES_MAX: usize = 4096;
/// When to call again after OVERLOADED, DRAINING or DATABASE_UNAVAILABLE.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The status of a call that failed.
pub fn status(failure: &Failure) -> Status {
    let code = code(failure.reason);
    Status::with_error_details(code, cut(&failure.message), details(failure))
}

/// The same as a message, for results and stored imports.
pub fn rpc_status(failure: &Failure) -> pb::Status {
    let status = status(failure);
    // The details of a status are an encoded google.rpc.Status.
    pb::Status::decode(status.details()).unwrap_or_else(|_| pb::Status {
        code: i32::from(status.code()),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// A field with a value that is not allowed.
pub fn invalid(path: impl Into<String>, why: impl Into<String>) -> Failure {
    let (path, why) = (path.into(), why.into());
    Failure::new(Reason::InvalidOption, format!("{path}: {why}")).with_field(path, why)
}

/// What the caller's own stack says of a stream that broke off.
pub fn from_caller(status: &Status) -> Failure {
    use std::error::Error;
    // A status with a source was made from a transport's error: the caller is gone, whatever
    // code h2 gave it. So it is where the stream broke off inside a message.
    if status.source().is_some() || status.message().starts_with("Unexpected EOF") {
        return open::caller_gone();
    }
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Failure::new(
            Reason::LimitExceeded,
            "a message is larger than the server takes",
        )
        .with("limit", "message_bytes_max"),
        Code::InvalidArgument | Code::Internal | Code::Unimplemented => {
            Failure::new(Reason::WrongPayload, "a message does not decode")
        }
        _ => open::caller_gone(),
    }
}

/// As many of the failure's fields as fit: a status travels in a header, and clients limit those.
fn details(failure: &Failure) -> ErrorDetails {
    let mut failure = failure.clone();
    loop {
        let details = all_details(&failure);
        let status = Status::with_error_details(code(failure.reason), "", details.clone());
        if status.details().len() <= DETAILS_BYTES_MAX || failure.fields.pop().is_none() {
            return details;
        }
    }
}

fn all_details(failure: &Failure) -> ErrorDetails {
    let metadata: HashMap<String, String> = failure
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), cut(value)))
        .collect();
    let reason = match failure.reason {
        // The contract has one reason for these, the metadata tells them apart.
        Reason::DiskFull => Reason::LimitExceeded,
        Reason::HeaderTimeout => Reason::IdleTimeout,
        reason => reason,
    };
    let mut details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    if !failure.fields.is_empty() {
        let violations = failure
            .fields
            .iter()
            .map(|(path, why)| FieldViolation::new(cut(path), cut(why)))
            .collect::<Vec<_>>();
        details.set_bad_request(violations);
    }
    if matches!(
        failure.reason,
        Reason::Overloaded | Reason::Draining | Reason::DatabaseUnavailable
    ) {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    details
}

fn code(reason: Reason) -> Code {
    match reason {
        Reason::HeaderRequired
        | Reason::DuplicateHeader
        | Reason::MessageAfterFinish
        | Reason::WrongPayload
        | Reason::InvalidOption
        | Reason::FeatureUnknown
        | Reason::CorruptFile
        | Reason::EncryptedFile
        | Reason::UnsupportedFormat
        | Reason::SheetNotFound
        | Reason::NoHeader
        | Reason::ColumnMapping
        | Reason::ChecksumMismatch
        | Reason::DuplicateContentMismatch
        | Reason::RowRejected
        | Reason::RejectLimitExceeded
        | Reason::AllRowsRejected => Code::InvalidArgument,
        Reason::IncompleteStream
        | Reason::ClientAbort
        | Reason::IdleTimeout
        | Reason::HeaderTimeout
        | Reason::Fenced
        | Reason::ImportBusy => Code::Aborted,
        Reason::OffsetGap => Code::OutOfRange,
        Reason::IdConflict | Reason::DuplicateFile => Code::AlreadyExists,
        Reason::ImportNotFound | Reason::TableNotFound => Code::NotFound,
        Reason::WrongState | Reason::SchemaChanged | Reason::ReadOnly | Reason::NoUniqueKey => {
            Code::FailedPrecondition
        }
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::LimitExceeded | Reason::DiskFull => Code::ResourceExhausted,
        Reason::Overloaded | Reason::Draining | Reason::DatabaseUnavailable => Code::Unavailable,
        Reason::Deadline => Code::DeadlineExceeded,
        Reason::CancelledByCaller | Reason::CancelledByRequest => Code::Cancelled,
        Reason::Unimplemented => Code::Unimplemented,
        Reason::Internal => Code::Internal,
    }
}

/// Control characters escaped, at most [`TEXT_CHARS_MAX`] characters.
fn cut(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| {
        let keep = !c.is_control();
        keep.then_some(c)
            .into_iter()
            .chain((!keep).then(|| c.escape_default()).into_iter().flatten())
    });
    let mut out: String = escaped.clone().take(TEXT_CHARS_MAX).collect();
    if escaped.count() > TEXT_CHARS_MAX {
        out.push('\u{2026}');
    }
    out
}

#[cfg(test)]
mod tests;

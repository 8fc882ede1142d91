//! Why a call did not end well, as the caller sees it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::proto::{ImportResult, State};

/// A call that failed, on this side or on the server's.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Not an address that this client can speak to.
    #[error("{addr:?} is not an address such as 127.0.0.1:50051 or https://host:50051")]
    Address {
        /// As given.
        addr: String,
    },
    /// The file holds no bearer token.
    #[error("{path:?} holds no token")]
    Token {
        /// Which file.
        path: PathBuf,
    },
    /// Nobody answers.
    #[error("cannot connect to {addr}")]
    Connect {
        /// As given.
        addr: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The file cannot be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be read to its end; the import can be resumed.
    #[error("cannot read the file to its end")]
    Read {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the server sends cannot be stored.
    #[error("cannot write the file")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server's verdict.
    #[error("{}", .status.message())]
    Status {
        /// The verdict.
        status: Box<Status>,
        /// What became of the rows, where the server still could say it.
        result: Option<Box<ImportResult>>,
    },
    /// The stream ended with OK, but without a result: not a success.
    #[error("the server ended the call without a result")]
    NoResult,
    /// The server did not even answer that the deadline had passed.
    #[error("the deadline passed and the server did not answer")]
    Deadline,
}

impl ClientError {
    /// The reason in the server's verdict, such as `IMPORT_BUSY`; `None` for failures on this side.
    pub fn reason(&self) -> Option<String> {
        let ClientError::Status { status, .. } = self else {
            return None;
        };
        let info = status.get_error_details().error_info()?.clone();
        Some(info.reason)
    }

    /// `CODE, REASON` of the server's verdict, for people; `None` for failures on this side.
    pub fn verdict(&self) -> Option<String> {
        let ClientError::Status { status, .. } = self else {
            return None;
        };
        let code = code_name(status.code());
        Some(match self.reason() {
            Some(reason) => format!("{code}, {reason}"),
            None => code.to_owned(),
        })
    }

    /// What the server adds: metadata as `key: value`, then fields at fault, then when to retry.
    pub fn details(&self) -> Vec<String> {
        let ClientError::Status { status, .. } = self else {
            return Vec::new();
        };
        let details = status.get_error_details();
        let mut lines = Vec::new();
        if let Some(info) = details.error_info() {
            let mut metadata: Vec<_> = info.metadata.iter().collect();
            metadata.sort();
            lines.extend(
                metadata
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}")),
            );
        }
        if let Some(request) = details.bad_request() {
            let fields = request.field_violations.iter();
            lines.extend(fields.map(|field| format!("{}: {}", field.field, field.description)));
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            lines.push(format!("try again in {delay:?}"));
        }
        lines
    }

    /// Whether the same call may succeed a little later: the connection was lost, or the server
    /// says so.
    pub fn may_pass(&self) -> bool {
        match self {
            ClientError::Connect { .. } => true,
            ClientError::Status { status, .. } => {
                // What has a cause was made here, from the transport's error.
                status.code() == Code::Unavailable || status.source().is_some()
            }
            _ => false,
        }
    }

    /// Whether the connection broke off, so that nobody knows what became of the call.
    pub fn is_without_answer(&self) -> bool {
        matches!(self, ClientError::Status { status, .. } if status.source().is_some())
    }

    /// How long the server wants to be left alone.
    pub fn retry_delay(&self) -> Duration {
        let ClientError::Status { status, .. } = self else {
            return Duration::ZERO;
        };
        let details = status.get_error_details();
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        delay.unwrap_or_default()
    }

    /// The failure as a result, for machines: the server's own where it sent one, else one with
    /// the error alone. An import that was refused has no state.
    pub fn to_result(&self) -> ImportResult {
        if let ClientError::Status {
            result: Some(result),
            ..
        } = self
        {
            return (**result).clone();
        }
        let (code, details) = match self {
            ClientError::Status { status, .. } => {
                (status.code(), prost_details(status).unwrap_or_default())
            }
            ClientError::Address { .. } | ClientError::Token { .. } => {
                (Code::InvalidArgument, Vec::new())
            }
            ClientError::Connect { .. } => (Code::Unavailable, Vec::new()),
            ClientError::Open { .. } => (Code::NotFound, Vec::new()),
            ClientError::Read { .. } | ClientError::Write { .. } => (Code::Aborted, Vec::new()),
            ClientError::NoResult => (Code::Internal, Vec::new()),
            ClientError::Deadline => (Code::DeadlineExceeded, Vec::new()),
        };
        error_result(code, with_causes(self), details)
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> ClientError {
        ClientError::Status {
            status: Box::new(status),
            result: None,
        }
    }
}

/// For machines, a failure that no server told: wrong settings, no service, interrupted.
pub fn local_failure(error: &dyn Error) -> ImportResult {
    error_result(Code::FailedPrecondition, with_causes(error), Vec::new())
}

/// An error and what caused it, in one line. Some libraries print their source too: what has just
/// been said is not said again.
pub fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !message.ends_with(&told) {
            message = format!("{message}: {told}");
        }
        source = cause.source();
    }
    message
}

fn error_result(code: Code, message: String, details: Vec<prost_types::Any>) -> ImportResult {
    ImportResult {
        state: State::Unspecified.into(),
        error: Some(tonic_types::pb::Status {
            code: i32::from(code),
            message,
            details,
        }),
        ..ImportResult::default()
    }
}

/// The details that the status carries beside code and message.
fn prost_details(status: &Status) -> Option<Vec<prost_types::Any>> {
    use prost::Message;
    let carried = tonic_types::pb::Status::decode(status.details()).ok()?;
    Some(carried.details)
}

/// The upper-case name of a status code.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;

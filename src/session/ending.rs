//! How an import ends, by the reason why it did (api.md, "How an import ends").

use tokio::task::JoinError;

use crate::model::import::{Failure, ImportState, Reason};
use crate::store::StoreError;
use crate::writer::unavailable;

/// What a reason does to the import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It can never succeed as sent; the result is stored and replayed.
    Failed,
    /// Its result is stored and replayed.
    Cancelled,
    /// It can be resumed.
    Suspended,
    /// A newer session decides; nothing is stored.
    Unchanged,
}

impl Ending {
    /// The state that the ledger gets.
    pub fn state(self) -> ImportState {
        match self {
            Ending::Failed => ImportState::Failed,
            Ending::Cancelled => ImportState::Cancelled,
            Ending::Suspended | Ending::Unchanged => ImportState::Suspended,
        }
    }
}

/// What `reason` does to an import that is open.
pub fn of(reason: Reason) -> Ending {
    match reason {
        Reason::CorruptFile
        | Reason::EncryptedFile
        | Reason::UnsupportedFormat
        | Reason::SheetNotFound
        | Reason::NoHeader
        | Reason::InvalidOption
        | Reason::ColumnMapping
        | Reason::NoUniqueKey
        | Reason::ChecksumMismatch
        | Reason::DuplicateContentMismatch
        | Reason::IdConflict
        | Reason::RowRejected
        | Reason::RejectLimitExceeded
        | Reason::AllRowsRejected
        | Reason::DuplicateFile
        | Reason::LimitExceeded => Ending::Failed,
        Reason::ClientAbort | Reason::CancelledByRequest => Ending::Cancelled,
        Reason::Fenced => Ending::Unchanged,
        _ => Ending::Suspended,
    }
}

/// A store's error in the caller's words.
pub fn failure_of(error: StoreError) -> Failure {
    match error {
        StoreError::Transient { sql_state, message } => {
            tracing::warn!(sql_state, error = message, "the database did not answer");
            unavailable(&sql_state)
        }
        StoreError::Fenced => Failure::new(
            Reason::Fenced,
            "a newer session took the import over; follow that one",
        ),
        StoreError::RejectLimit { .. } => Failure::new(
            Reason::RejectLimitExceeded,
            "more rows were rejected than allowed",
        ),
        StoreError::Deadline => deadline(),
        StoreError::Failed(failure) => failure,
    }
}

/// A broken invariant: `context` goes to the log under an id that the caller is told too.
pub fn internal(import_id: &str, context: &str) -> Failure {
    let id = uuid::Uuid::now_v7();
    tracing::error!(%id, import.id = import_id, context, "internal error");
    Failure::new(
        Reason::Internal,
        "an internal error; the server's log has it under this id",
    )
    .with("id", id)
}

/// A task or thread that was lost. What it panicked with may quote a cell and is not told.
pub fn lost_task(import_id: &str, what: &str, error: &JoinError) -> Failure {
    let how = if error.is_panic() {
        "panicked"
    } else {
        "was cancelled"
    };
    internal(import_id, &format!("{what} {how}"))
}

/// The call's deadline passed.
pub fn deadline() -> Failure {
    Failure::new(
        Reason::Deadline,
        "the call's deadline passed; resume with a longer one",
    )
}

#[cfg(test)]
mod tests;

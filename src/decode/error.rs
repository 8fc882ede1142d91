//! Why a file cannot be read: one error for everything that decodes.
//!
//! In: causes, where they are found, in this process or in the decoder's child (it crosses the
//! pipe as JSON). Out: a [`Failure`] with the contract's reason. Text from the file is escaped
//! and cut when it is shown, never before.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::disk::Full;
use crate::model::import::{Failure, Reason};

#[cfg(test)]
mod tests;

/// Characters of a name or text from a file that a message shows.
const SHOWN_CHARS_MAX: usize = 256;

/// Sheet names that a message lists.
const SHOWN_SHEETS_MAX: usize = 20;

/// Why a file cannot be read. Cells and rows that cannot be used are data, not one of these.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecodeError {
    /// The file breaks the rules of its own format, or was cut.
    #[error("corrupt file: {what}")]
    CorruptFile {
        /// What is wrong, and where; from the file only through [`shown`].
        what: String,
    },
    /// The file cannot be read without a password.
    #[error("encrypted file: {how}")]
    Encrypted {
        /// The scheme.
        how: String,
    },
    /// The content is of no format that is read here, or not of the declared one.
    #[error("unsupported format: {what}")]
    Unsupported {
        /// What the content is.
        what: String,
    },
    /// No sheet has the name that was asked for.
    #[error(
        "sheet \"{}\" not found, the file has {}",
        shown(wanted),
        list(available)
    )]
    SheetNotFound {
        /// As asked for; empty: any visible sheet with data.
        wanted: String,
        /// Sheets that could be named.
        available: Vec<String>,
    },
    /// The row that should hold the header does not exist or is blank.
    #[error("no header in row {row}: {why}")]
    NoHeader {
        /// Where the header was expected, 1-based.
        row: u32,
        /// What is there instead.
        why: String,
    },
    /// The file asks for more than a limit allows.
    #[error("{limit} exceeded: {value} is above {bound}{}", place(at.as_deref()))]
    Limit {
        /// Name of the limit, as in [`Limits`](super::limits::Limits).
        limit: Cow<'static, str>,
        /// What the file asks for, or what was reached when reading stopped.
        value: u64,
        /// What is allowed.
        bound: u64,
        /// Where in the file, such as `line 7`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// The decoder's child process ended before the file did.
    #[error("the decoder died: {cause}")]
    DecoderDied {
        /// What ended it.
        cause: DeathCause,
    },
    /// No space is left for the spool.
    #[error("disk full: {what}")]
    DiskFull {
        /// What was being done.
        what: String,
    },
    /// What all temporary files may take is taken.
    #[error("{full}")]
    SpoolFull {
        /// For now, or for good.
        full: Full,
    },
    /// Something on our side failed: a file, a pipe, a process that does not start.
    #[error("{what}")]
    Io {
        /// What was being done, and the system's answer; for the log.
        what: String,
    },
    /// An option that contradicts itself, such as a delimiter that is also the quote.
    #[error("invalid option: {what}")]
    InvalidOption {
        /// Which, and why.
        what: String,
    },
    /// Decoding was stopped from outside. Whoever stopped it knows the reason.
    #[error("decoding was cancelled")]
    Cancelled,
}

/// What ended the decoder's child process.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeathCause {
    /// It used up its CPU time.
    #[error("it used its {seconds} s of CPU time")]
    CpuLimit {
        /// The limit.
        seconds: u64,
    },
    /// It was refused memory.
    #[error("it needed more than its {bytes} bytes of memory")]
    MemoryLimit {
        /// The limit.
        bytes: u64,
    },
    /// A signal that none of its limits explains.
    #[error("killed by signal {number}{}", killed(*number))]
    Signal {
        /// The signal.
        number: i32,
    },
    /// It ended by itself, without saying why.
    #[error("exit code {code}")]
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// What came over the pipe is not the protocol.
    #[error("malformed answer: {what}")]
    Protocol {
        /// What was wrong with it.
        what: String,
    },
}

impl DecodeError {
    /// A [`DecodeError::CorruptFile`].
    pub fn corrupt(what: impl Into<String>) -> DecodeError {
        DecodeError::CorruptFile { what: what.into() }
    }

    /// A [`DecodeError::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> DecodeError {
        DecodeError::Unsupported { what: what.into() }
    }

    /// A [`DecodeError::Limit`] of no particular place.
    pub fn limit(limit: &'static str, value: u64, bound: u64) -> DecodeError {
        DecodeError::Limit {
            limit: Cow::Borrowed(limit),
            value,
            bound,
            at: None,
        }
    }

    /// A [`DecodeError::Limit`] at a place in the file.
    pub fn limit_at(limit: &'static str, value: u64, bound: u64, at: String) -> DecodeError {
        DecodeError::Limit {
            limit: Cow::Borrowed(limit),
            value,
            bound,
            at: Some(at),
        }
    }

    /// Our own side's failure while `doing`, such as `write to the spool`.
    pub fn io(doing: &str, error: &io::Error) -> DecodeError {
        if let Some(full) = Full::of(error) {
            return DecodeError::SpoolFull { full };
        }
        let what = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                DecodeError::DiskFull { what }
            }
            _ => DecodeError::Io { what },
        }
    }
}

impl From<Full> for DecodeError {
    fn from(full: Full) -> DecodeError {
        DecodeError::SpoolFull { full }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        let message = error.to_string();
        match error {
            DecodeError::CorruptFile { .. } => Failure::new(Reason::CorruptFile, message),
            DecodeError::Encrypted { .. } => Failure::new(Reason::EncryptedFile, message),
            DecodeError::Unsupported { .. } => Failure::new(Reason::UnsupportedFormat, message),
            DecodeError::SheetNotFound { .. } => Failure::new(Reason::SheetNotFound, message),
            DecodeError::NoHeader { .. } => Failure::new(Reason::NoHeader, message),
            DecodeError::Limit {
                limit,
                value,
                bound,
                ..
            } => limit_exceeded(message, &limit, value, bound),
            DecodeError::DecoderDied { cause } => match cause {
                DeathCause::CpuLimit { seconds } => {
                    limit_exceeded(message, "child_cpu_seconds", seconds, seconds)
                }
                DeathCause::MemoryLimit { bytes } => {
                    limit_exceeded(message, "child_address_space_bytes", bytes, bytes)
                }
                // SIGKILL is not the file's doing: the system ran out of memory, or somebody did it.
                // Nor is SIGXFSZ: what a decoder writes is counted before.
                DeathCause::Signal { number: 9 | 25 } | DeathCause::Protocol { .. } => {
                    Failure::new(Reason::Internal, message)
                }
                // Nothing but the file makes a decoder crash.
                DeathCause::Signal { .. } | DeathCause::Exit { .. } => {
                    Failure::new(Reason::CorruptFile, message)
                }
            },
            DecodeError::DiskFull { .. } => {
                Failure::new(Reason::DiskFull, "no space is left for the upload")
            }
            DecodeError::SpoolFull { full } => full.into(),
            DecodeError::Io { .. } => Failure::new(Reason::Internal, message),
            DecodeError::InvalidOption { .. } => Failure::new(Reason::InvalidOption, message),
            DecodeError::Cancelled => Failure::new(Reason::CancelledByCaller, message),
        }
    }
}

fn limit_exceeded(message: String, limit: &str, value: u64, bound: u64) -> Failure {
    Failure::new(Reason::LimitExceeded, message)
        .with("limit", limit)
        .with("value", value)
        .with("bound", bound)
}

/// Text from a file as a message shows it: control and format characters escaped, cut at
/// 256 characters.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (n_chars, char) in text.chars().enumerate() {
        if n_chars == SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        match char {
            '\'' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut list = String::new();
    for (index, name) in names.iter().enumerate() {
        if index == SHOWN_SHEETS_MAX {
            let n_more = names.len() - index;
            write!(list, " and {n_more} more").expect("a String takes all");
            break;
        }
        let separator = if index == 0 { "" } else { ", " };
        write!(list, "{separator}\"{}\"", shown(name)).expect("a String takes all");
    }
    list
}

/// What SIGKILL means, which no decoder sends itself, and SIGXFSZ.
fn killed(number: i32) -> &'static str {
    match number {
        9 => ", which is no fault of the file: memory may be short, resume later",
        25 => ", which is no fault of the file: it wrote more than it had room for",
        _ => "",
    }
}

fn place(at: Option<&str>) -> String {
    at.map_or_else(String::new, |at| format!(", {at}"))
}

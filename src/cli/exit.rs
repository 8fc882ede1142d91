//! Exit codes, and how errors are told.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use thiserror::Error;

use crate::cli::local::LocalError;
use crate::cli::terminal::Terminal;
use crate::client::error::{ClientError, with_causes};
use crate::config::error::ConfigError;
use crate::proto::{ImportResult, State};
use crate::telemetry::TelemetryError;

/// How a command ended; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All rows are in, or the question is answered.
    Done,
    /// The import finished, some rows were rejected.
    RowsRejected,
    /// It did not work.
    Failed,
    /// Arguments or settings are wrong.
    Usage,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::RowsRejected => 2,
            Exit::Failed => 1,
            Exit::Usage => 64,
        }
    }

    /// How an import with this result ended.
    pub(super) fn of_result(result: &ImportResult) -> Exit {
        let n_rejected = result
            .stats
            .as_ref()
            .map_or(0, |stats| stats.rejected_row_count);
        match (result.state(), n_rejected) {
            (State::Succeeded, 0) => Exit::Done,
            (State::Succeeded, _) => Exit::RowsRejected,
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// clap exits with 2 where arguments are wrong, which here means rejected rows.
pub(super) fn of_usage(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    }
}

/// Why a command did not work.
#[derive(Debug, Error)]
pub(super) enum CliError {
    /// The call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The service inside this process does not start.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// No log.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// No threads.
    #[error("cannot start the runtime")]
    Runtime {
        #[source]
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals {
        #[source]
        source: io::Error,
    },
    /// SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Standard output is gone or full.
    #[error("cannot write the result")]
    Output(#[from] io::Error),
    /// The file of rejected rows is there already.
    #[error("{path:?} exists: give --force to overwrite it")]
    Exists { path: PathBuf },
    /// The file of rejected rows cannot be made.
    #[error("cannot write {path:?}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl CliError {
    /// Whether standard output is a pipe that nobody reads any more, as behind `| head`.
    pub(super) fn is_reader_gone(&self) -> bool {
        match self {
            CliError::Output(source) | CliError::Client(ClientError::Write { source }) => {
                is_gone(source)
            }
            _ => false,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Config(_)
            | CliError::Exists { .. }
            | CliError::Client(ClientError::Address { .. }) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

/// What came of printing, where it does not matter that nobody reads it any more.
pub(super) fn unless_gone(printed: io::Result<()>) -> io::Result<()> {
    printed.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Tells an error with its causes, and what the server adds.
pub(super) fn report(terminal: &mut Terminal, error: &CliError) {
    let mut message = format!("error: {}", with_causes(error));
    let CliError::Client(client) = error else {
        // What is wrong in a file of settings is told with the place, on lines of its own.
        message.lines().for_each(|line| terminal.note(line));
        return;
    };
    if let Some(verdict) = client.verdict() {
        message = format!("{message} ({verdict})");
    }
    terminal.note(message);
    for detail in client.details() {
        terminal.note(format!("  {detail}"));
    }
}

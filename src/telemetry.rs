//! Log lines: which ones, and how they look.
//!
//! In: the configuration's `log` and `log_format`. Out: lines on standard error, never on
//! standard output, which belongs to results. Lines hold no cells, database URLs or tokens.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Why no log could be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The directives do not parse.
    #[error("log: {directives:?} are not directives such as info,rowlift=debug")]
    Directives {
        /// As configured.
        directives: String,
        /// Where.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else set one up first.
    #[error("a log is set up already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the process's log up; once.
pub fn init(directives: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(directives).map_err(|source| TelemetryError::Directives {
        directives: directives.to_owned(),
        source,
    })?;
    let on_terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A closed pipe must not panic whoever logs.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(on_terminal).try_init()
    }
    .map_err(TelemetryError::Twice)
}

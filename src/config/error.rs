//! Why a configuration is refused, each naming the key at fault and where it was set.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A configuration that the service does not start with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path:?}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {path:?} is not TOML")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The file sets something that does not exist.
    #[error("unknown key {key:?} in {path:?}{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key as written, with its sections.
        key: String,
        /// The nearest key that exists.
        suggestion: Option<String>,
    },
    /// A value that its key cannot have.
    #[error("{key} ({origin}): {message}")]
    Invalid {
        /// The key in the file's spelling.
        key: &'static str,
        /// The variable, flag or file that set it.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// Values that do not go together, or a default that does not fit this machine.
    #[error("{key}: {message}")]
    Conflict {
        /// The key in the file's spelling.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!(", did you mean {key:?}?"))
}

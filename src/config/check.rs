//! What values must hold together; every refusal names the key.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use crate::config::Config;
use crate::config::error::ConfigError;
use crate::config::identity::IdentityKind;

/// The shortest interval between two progress events.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// A century: databases add it to the time that it is.
const RETENTION_MAX: Duration = Duration::from_hours(36_500 * 24);
/// A smaller message could not hold a header with a mapping of many columns.
const MESSAGE_BYTES_MIN: usize = 64 << 10;
/// PostgreSQL cuts longer names.
const SETTING_BYTES_MAX: usize = 63;
/// tonic buffers a whole message: more would make memory unbounded in practice.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Checks values by themselves and against each other.
pub(super) fn values(config: &Config) -> Result<(), ConfigError> {
    if let Some((key, why)) = config.identity.fault() {
        return refuse(key, why);
    }
    let is_open = config.identity.kind == IdentityKind::None;
    if !config.listen.ip().is_loopback() && is_open && !config.insecure {
        return refuse(
            "listen",
            format!(
                "{} is reachable from other machines and callers are not identified: \
                 listen on loopback, set identity, or set insecure",
                config.listen
            ),
        );
    }
    counts(config)?;
    durations(config)?;
    at_most(
        "batch_rows_first",
        config.batch_rows_first,
        "batch_rows_max",
        config.batch_rows_max,
    )?;
    at_most(
        "writers_per_import",
        config.writers_per_import,
        "writers_max",
        config.writers_max,
    )?;
    let batch_bytes_max = u64::try_from(config.batch_bytes_max).unwrap_or(u64::MAX);
    at_most(
        "batch_bytes_max",
        batch_bytes_max,
        "bytes_in_flight_max",
        config.bytes_in_flight_max,
    )?;
    // A compressed one that is sent again is there as it was sent and unwrapped.
    at_most(
        "limits.workbook_bytes_max",
        config.limits.workbook_bytes_max,
        "half of spool_bytes_max",
        config.spool_bytes_max.unwrap_or(u64::MAX) / 2,
    )?;
    if !(MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&config.message_bytes_max) {
        return refuse(
            "message_bytes_max",
            format!("must be between {MESSAGE_BYTES_MIN} and {MESSAGE_BYTES_MAX} bytes"),
        );
    }
    if config.server_name.is_empty() {
        return refuse("server_name", "must not be empty");
    }
    settings(config)?;
    tables(config)
}

/// Checks that what the paths name is there.
pub(super) fn paths(config: &Config) -> Result<(), ConfigError> {
    if !config.spool_dir.is_dir() {
        return refuse(
            "spool_dir",
            format!("{} is not a directory", config.spool_dir.display()),
        );
    }
    if !config.decoder_program.exists() {
        return refuse(
            "decoder_program",
            format!("{} does not exist", config.decoder_program.display()),
        );
    }
    Ok(())
}

fn counts(config: &Config) -> Result<(), ConfigError> {
    for (key, value) in [
        ("imports_max", config.imports_max),
        ("lookups_max", config.lookups_max),
        ("writers_max", config.writers_max),
        ("writers_per_import", config.writers_per_import),
        ("batch_rows_max", config.batch_rows_max),
        ("batch_bytes_max", config.batch_bytes_max),
        ("batch_rows_first", config.batch_rows_first),
        ("decoders_max", config.decoders_max),
    ] {
        if value == 0 {
            return refuse(key, "must be at least 1");
        }
    }
    Ok(())
}

fn durations(config: &Config) -> Result<(), ConfigError> {
    for (key, value) in [
        ("header_timeout", config.header_timeout),
        ("idle_timeout", config.idle_timeout),
        ("max_ack_delay", config.max_ack_delay),
        ("id_retention", config.id_retention),
    ] {
        if value.is_zero() {
            return refuse(key, "must be longer than 0");
        }
    }
    if config.progress_interval < PROGRESS_INTERVAL_MIN {
        return refuse("progress_interval", "must be at least 100ms");
    }
    if config.id_retention > RETENTION_MAX {
        return refuse("id_retention", "must be at most 36500d");
    }
    if config.reject_retention > config.id_retention {
        return refuse("reject_retention", "must be at most id_retention");
    }
    Ok(())
}

/// What PostgreSQL takes as the name of a setting.
fn settings(config: &Config) -> Result<(), ConfigError> {
    let is_part = |part: &str| {
        let mut bytes = part.bytes();
        bytes
            .next()
            .is_some_and(|it| it.is_ascii_alphabetic() || it == b'_')
            && bytes.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'$'))
    };
    for name in &config.settings_allowed {
        if name.len() > SETTING_BYTES_MAX || !name.split('.').all(is_part) {
            return refuse(
                "settings_allowed",
                format!("{name:?} is not a name such as app.tenant_id"),
            );
        }
    }
    Ok(())
}

fn tables(config: &Config) -> Result<(), ConfigError> {
    let mut names = BTreeSet::new();
    for table in &config.tables {
        let parts: Vec<&str> = table.name.split('.').collect();
        if parts.len() > 2 || parts.iter().any(|part| part.is_empty()) {
            return refuse(
                "tables",
                format!(
                    "{:?} is not a name such as contacts or crm.contacts",
                    table.name
                ),
            );
        }
        if !names.insert(&table.name) {
            return refuse("tables", format!("{:?} is there twice", table.name));
        }
    }
    Ok(())
}

fn at_most<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    other: &str,
    bound: T,
) -> Result<(), ConfigError> {
    if value > bound {
        return refuse(
            key,
            format!("{value} is more than {other}, which is {bound}"),
        );
    }
    Ok(())
}

fn refuse<T>(key: &'static str, message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Conflict {
        key,
        message: message.into(),
    })
}

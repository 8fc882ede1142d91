//! Every key once: its name and what sets it, for file, variables and flags alike.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::config::error::ConfigError;
use crate::config::value::{
    address, boolean, bytes, copy_format, database_url, duration, identity_kind, log_format, names,
    networks, number, path, put, tables, text,
};
use crate::config::{Config, ServeFlags};

/// A key of the file; the variable is `ROWLIFT_` and the name in capitals, `.` as `_`.
struct Key {
    name: &'static str,
    set: fn(&mut Config, &Value) -> Result<(), String>,
}

const fn key(name: &'static str, set: fn(&mut Config, &Value) -> Result<(), String>) -> Key {
    Key { name, set }
}

const KEYS: &[Key] = &[
    key("listen", |c, v| put(&mut c.listen, address(v))),
    key("admin_listen", |c, v| {
        put(&mut c.admin_listen, address(v).map(Some))
    }),
    key("insecure", |c, v| put(&mut c.insecure, boolean(v))),
    key("database_url", |c, v| {
        put(&mut c.database_url, database_url(v))
    }),
    key("database_url_file", |c, v| {
        put(&mut c.database_url_file, path(v))
    }),
    key("identity", |c, v| {
        put(&mut c.identity.kind, identity_kind(v))
    }),
    key("policy_file", |c, v| {
        put(&mut c.identity.policy_file, path(v))
    }),
    key("tls_cert_file", |c, v| {
        put(&mut c.identity.tls_cert_file, path(v))
    }),
    key("tls_key_file", |c, v| {
        put(&mut c.identity.tls_key_file, path(v))
    }),
    key("tls_client_ca_file", |c, v| {
        put(&mut c.identity.tls_client_ca_file, path(v))
    }),
    key("trusted_proxies", |c, v| {
        put(&mut c.identity.trusted_proxies, networks(v))
    }),
    key("jwt_jwks_file", |c, v| {
        put(&mut c.identity.jwt_jwks_file, path(v))
    }),
    key("jwt_issuer", |c, v| {
        put(&mut c.identity.jwt_issuer, text(v))
    }),
    key("jwt_audience", |c, v| {
        put(&mut c.identity.jwt_audience, text(v))
    }),
    key("jwt_leeway", |c, v| {
        put(&mut c.identity.jwt_leeway, duration(v))
    }),
    key("tokens_file", |c, v| {
        put(&mut c.identity.tokens_file, path(v))
    }),
    key("database_pooled", |c, v| {
        put(&mut c.database_pooled, boolean(v))
    }),
    key("database_copy", |c, v| {
        (c.copying.format, c.copy_detected) = copy_format(v)?;
        Ok(())
    }),
    key("database_copy_savepoints", |c, v| {
        put(&mut c.copying.behind_savepoints, boolean(v))
    }),
    key("tables", |c, v| put(&mut c.tables, tables(v))),
    key("table_limits_file", |c, v| {
        put(&mut c.table_limits_file, path(v))
    }),
    key("settings_allowed", |c, v| {
        put(&mut c.settings_allowed, names(v))
    }),
    key("imports_max", |c, v| put(&mut c.imports_max, number(v))),
    key("imports_queue_max", |c, v| {
        put(&mut c.imports_queue_max, number(v))
    }),
    key("lookups_max", |c, v| put(&mut c.lookups_max, number(v))),
    key("queue_wait", |c, v| put(&mut c.queue_wait, duration(v))),
    key("header_timeout", |c, v| {
        put(&mut c.header_timeout, duration(v))
    }),
    key("idle_timeout", |c, v| put(&mut c.idle_timeout, duration(v))),
    key("writers_max", |c, v| put(&mut c.writers_max, number(v))),
    key("writers_per_import", |c, v| {
        put(&mut c.writers_per_import, number(v))
    }),
    key("bytes_in_flight_max", |c, v| {
        put(&mut c.bytes_in_flight_max, bytes(v))
    }),
    key("batch_rows_max", |c, v| {
        put(&mut c.batch_rows_max, number(v))
    }),
    key("batch_bytes_max", |c, v| {
        put(&mut c.batch_bytes_max, bytes(v))
    }),
    key("batch_rows_first", |c, v| {
        put(&mut c.batch_rows_first, number(v))
    }),
    key("rejected_rows_max", |c, v| {
        put(&mut c.rejected_rows_max, number(v))
    }),
    key("reject_retention", |c, v| {
        put(&mut c.reject_retention, duration(v))
    }),
    key("id_retention", |c, v| put(&mut c.id_retention, duration(v))),
    key("message_bytes_max", |c, v| {
        put(&mut c.message_bytes_max, bytes(v))
    }),
    key("spool_dir", |c, v| {
        put(&mut c.spool_dir, text(v).map(PathBuf::from))
    }),
    key("spool_bytes_max", |c, v| {
        put(&mut c.spool_bytes_max, bytes(v).map(Some))
    }),
    key("decoder_program", |c, v| {
        put(&mut c.decoder_program, text(v).map(PathBuf::from))
    }),
    key("decoders_max", |c, v| put(&mut c.decoders_max, number(v))),
    key("drain_grace", |c, v| put(&mut c.drain_grace, duration(v))),
    key("lame_duck", |c, v| put(&mut c.lame_duck, duration(v))),
    key("progress_interval", |c, v| {
        put(&mut c.progress_interval, duration(v))
    }),
    key("max_ack_delay", |c, v| {
        put(&mut c.max_ack_delay, duration(v))
    }),
    key("server_name", |c, v| put(&mut c.server_name, text(v))),
    key("log", |c, v| put(&mut c.log, text(v))),
    key("log_format", |c, v| put(&mut c.log_format, log_format(v))),
    key("limits.workbook_bytes_max", |c, v| {
        put(&mut c.limits.workbook_bytes_max, bytes(v))
    }),
    key("limits.csv_bytes_max", |c, v| {
        put(&mut c.limits.csv_bytes_max, bytes(v))
    }),
    key("limits.inflated_bytes_max", |c, v| {
        put(&mut c.limits.inflated_bytes_max, bytes(v))
    }),
    key("limits.inflate_ratio_max", |c, v| {
        put(&mut c.limits.inflate_ratio_max, number(v))
    }),
    key("limits.zip_entries_max", |c, v| {
        put(&mut c.limits.zip_entries_max, number(v))
    }),
    key("limits.shared_strings_bytes_max", |c, v| {
        put(&mut c.limits.shared_strings_bytes_max, bytes(v))
    }),
    key("limits.shared_strings_memory_bytes_max", |c, v| {
        put(&mut c.limits.shared_strings_memory_bytes_max, bytes(v))
    }),
    key("limits.cell_chars_max", |c, v| {
        put(&mut c.limits.cell_chars_max, number(v))
    }),
    key("limits.csv_cell_bytes_max", |c, v| {
        put(&mut c.limits.csv_cell_bytes_max, bytes(v))
    }),
    key("limits.csv_row_bytes_max", |c, v| {
        put(&mut c.limits.csv_row_bytes_max, bytes(v))
    }),
    key("limits.columns_max", |c, v| {
        put(&mut c.limits.columns_max, number(v))
    }),
    key("limits.sheet_rows_max", |c, v| {
        put(&mut c.limits.sheet_rows_max, number(v))
    }),
    key("limits.child_address_space_bytes", |c, v| {
        put(&mut c.limits.child_address_space_bytes, bytes(v))
    }),
    key("limits.child_cpu_seconds_min", |c, v| {
        put(&mut c.limits.child_cpu_seconds_min, number(v))
    }),
    key("limits.child_cpu_seconds_per_mib", |c, v| {
        put(&mut c.limits.child_cpu_seconds_per_mib, number(v))
    }),
    key("limits.child_open_files", |c, v| {
        put(&mut c.limits.child_open_files, number(v))
    }),
];

/// Variables that stand in where the first is not set, for those who know other tools.
const FALLBACKS: &[(&str, &str)] = &[("database_url", "DATABASE_URL"), ("log", "RUST_LOG")];

/// Applies values and remembers which keys were set.
#[derive(Debug, Default)]
pub(super) struct Settings {
    names: BTreeSet<&'static str>,
}

impl Settings {
    /// Whether file, variable or flag set the key.
    pub(super) fn was_set(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Every key of a TOML file.
    pub(super) fn apply_file(
        &mut self,
        config: &mut Config,
        path: &Path,
    ) -> Result<(), ConfigError> {
        let content = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file: Table = toml::from_str(&content).map_err(|source| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        for (name, value) in file {
            match value {
                Value::Table(section) => {
                    for (inner, value) in section {
                        self.apply_named(config, path, &format!("{name}.{inner}"), &value)?;
                    }
                }
                value => self.apply_named(config, path, &name, &value)?,
            }
        }
        Ok(())
    }

    /// Every `ROWLIFT_*` variable that is a key; empty ones count as unset.
    pub(super) fn apply_variables(
        &mut self,
        config: &mut Config,
        variable: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigError> {
        for key in KEYS {
            let own = variable_name(key.name);
            let fallback = FALLBACKS
                .iter()
                .find(|(name, _)| *name == key.name)
                .map(|(_, fallback)| (*fallback).to_owned());
            let found = [Some(own), fallback]
                .into_iter()
                .flatten()
                .find_map(|name| {
                    let value = variable(&name).filter(|value| !value.is_empty())?;
                    Some((name, value))
                });
            let Some((name, value)) = found else {
                continue;
            };
            let value = value.into_string().map_err(|_| ConfigError::Invalid {
                key: key.name,
                origin: name.clone(),
                message: String::from("the variable is not UTF-8"),
            })?;
            self.apply(config, key, &Value::String(value), &name)?;
        }
        Ok(())
    }

    /// Every flag that was given.
    pub(super) fn apply_flags(
        &mut self,
        config: &mut Config,
        flags: &ServeFlags,
    ) -> Result<(), ConfigError> {
        let given = [
            (
                "listen",
                "--listen",
                flags.listen.map(|address| address.to_string()),
            ),
            (
                "admin_listen",
                "--admin-listen",
                flags.admin_listen.map(|address| address.to_string()),
            ),
            ("database_url", "--database-url", flags.database_url.clone()),
            (
                "database_url_file",
                "--database-url-file",
                flags
                    .database_url_file
                    .as_ref()
                    .map(|path| path.display().to_string()),
            ),
            (
                "insecure",
                "--insecure",
                flags.insecure.then(|| String::from("true")),
            ),
        ];
        for (name, flag, value) in given {
            let Some(value) = value else {
                continue;
            };
            let key = find(name).expect("a flag's key is in KEYS");
            self.apply(config, key, &Value::String(value), flag)?;
        }
        Ok(())
    }

    fn apply_named(
        &mut self,
        config: &mut Config,
        path: &Path,
        name: &str,
        value: &Value,
    ) -> Result<(), ConfigError> {
        let Some(key) = find(name) else {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: name.to_owned(),
                suggestion: nearest(name),
            });
        };
        self.apply(config, key, value, &path.display().to_string())
    }

    fn apply(
        &mut self,
        config: &mut Config,
        key: &'static Key,
        value: &Value,
        origin: &str,
    ) -> Result<(), ConfigError> {
        self.names.insert(key.name);
        (key.set)(config, value).map_err(|message| ConfigError::Invalid {
            key: key.name,
            origin: origin.to_owned(),
            message,
        })
    }
}

/// The variable that sets a key.
fn variable_name(key: &str) -> String {
    format!("ROWLIFT_{}", key.to_ascii_uppercase().replace('.', "_"))
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that somebody who wrote `name` may have meant.
fn nearest(name: &str) -> Option<String> {
    const SIMILAR_ENOUGH: f64 = 0.75;
    KEYS.iter()
        .map(|key| (strsim::jaro_winkler(key.name, name), key.name))
        .filter(|(similarity, _)| *similarity >= SIMILAR_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

//! The service's configuration: every setting, its default and its unit.
//!
//! In: flags, `ROWLIFT_*` variables and a TOML file, in that order of precedence. Out: one
//! [`Config`] that has been checked as a whole; nothing is looked up again while the service
//! runs, and the environment is read nowhere else. An error names the key and where its value
//! came from, never a password.
//!
//! ```text
//! defaults ◀── TOML file ◀── ROWLIFT_* variables ◀── flags ──▶ check ──▶ Config
//! ```
//!
//! A key of the file is a variable too: `limits.csv_bytes_max` is `ROWLIFT_LIMITS_CSV_BYTES_MAX`.
//! Other variables that begin with `ROWLIFT_` are ignored, since Kubernetes makes such names for
//! a service called `rowlift`. Sizes are numbers of bytes or texts such as `"256MiB"`, durations
//! texts such as `"30s"` or `"7d"`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::database_url::DatabaseUrl;
use crate::config::error::ConfigError;
use crate::config::identity::Identity;
use crate::config::keys::Settings;
use crate::config::otel::Otel;
use crate::decode::limits::Limits;
use crate::store::allow::AllowedTable;
use crate::store::copying::Copying;

mod cgroup;
mod check;
mod batches;
pub mod database_url;
pub mod error;
pub mod identity;
mod keys;
mod memory;
pub mod otel;
pub(crate) mod value;

/// How long a command waits for what its own service still does.
const COMMAND_DRAIN_GRACE: Duration = Duration::from_secs(10);

/// Everything that can be set, with units in the names or the comments.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served; port 0 takes a free one. Default `127.0.0.1:50051`.
    pub listen: SocketAddr,
    /// Where probes and metrics are served; unset: nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// Lets `listen` be reachable from other machines although callers are not identified.
    pub insecure: bool,
    /// How callers are identified, and TLS.
    pub identity: Identity,
    /// PostgreSQL or SQLite; `DATABASE_URL` stands in for `ROWLIFT_DATABASE_URL`. Default
    /// `sqlite://rowlift.db?mode=rwc`.
    pub database_url: DatabaseUrl,
    /// A file that holds `database_url` instead, such as a mounted secret; read again when it
    /// changes, for connections from then on.
    pub database_url_file: Option<PathBuf>,
    /// A transaction-pooling proxy such as PgBouncer stands before the database.
    pub database_pooled: bool,
    /// What the engine can do with COPY: `database_copy` is `binary`, `text`, `off` for one without
    /// COPY, or `auto`; `database_copy_savepoints` is false for one that takes no COPY behind a
    /// savepoint. See docs/ENGINES.md. Default: `auto`, true.
    pub copying: Copying,
    /// `database_copy` is `auto`: what the engine's version says holds.
    pub copy_detected: bool,
    /// The tables that exist for callers; the first entry that matches counts.
    pub tables: Vec<AllowedTable>,
    /// What single tables bear, TOML; read again when it changes. Unset: all that the server does.
    pub table_limits_file: Option<PathBuf>,
    /// Settings of the database that a header may set for its import's transactions, such as
    /// `app.tenant_id`. Default: none.
    pub settings_allowed: Vec<String>,
    /// Bounds on files and on the decoder's child process.
    pub limits: Limits,
    /// Imports that run at once.
    pub imports_max: usize,
    /// Imports that wait for a place at once; 0: none waits.
    pub imports_queue_max: usize,
    /// Files that are decoded or inspected at once; more are refused.
    pub lookups_max: usize,
    /// How long an import waits for a place.
    pub queue_wait: Duration,
    /// How long a call may take to send its header.
    pub header_timeout: Duration,
    /// How long a caller that is waited for may be silent.
    pub idle_timeout: Duration,
    /// Connections that write at once, for all imports together. Default 2 x cores.
    pub writers_max: usize,
    /// Connections that write at once for one import. Default: cores, at least 2.
    pub writers_per_import: usize,
    /// Rows received and not yet committed, bytes, for all imports together. SQLite keeps half as much
    /// of its pages in memory besides, at most 128 MiB.
    pub bytes_in_flight_max: u64,
    /// Rows of a batch.
    pub batch_rows_max: usize,
    /// Bytes of a batch.
    pub batch_bytes_max: usize,
    /// Rows of an import's first batch; batches grow from here.
    pub batch_rows_first: usize,
    /// Rejected rows after which an import fails, unless its header says otherwise.
    pub rejected_rows_max: u64,
    /// How long values of rejected rows, and messages that quote them, are kept after an import's
    /// end, unless a header says otherwise; no longer than `id_retention`. `"0s"`: they are never
    /// stored. Default `"7d"`.
    pub reject_retention: Duration,
    /// How long an import's id, counts and file hash are kept after its end, or after the last
    /// session of one that never ended; exactly-once holds for as long. Default `"90d"`.
    pub id_retention: Duration,
    /// A gRPC message, bytes, after decompression.
    pub message_bytes_max: usize,
    /// Where unnamed temporary files are made. Default: the system's temporary directory.
    pub spool_dir: PathBuf,
    /// What all temporary files may take together, bytes: workbooks, what waits for the end of an
    /// ATOMIC import or a dry run, exports as workbooks, and, up to its half, shared strings beyond
    /// `limits.shared_strings_memory_bytes_max`. At least twice
    /// `limits.workbook_bytes_max`: a compressed workbook that waits is there as it was sent and
    /// unwrapped. Default: as much as the disk has.
    pub spool_bytes_max: Option<u64>,
    /// The program that is started as `PROGRAM decode-worker`. Default: this one.
    pub decoder_program: PathBuf,
    /// Decoders' child processes that run at once. Default: cores, or fewer where a control group
    /// bounds the memory: each may take `limits.child_address_space_bytes`, and with
    /// `bytes_in_flight_max` and 512 MiB for all else they have to fit. Where even one does not,
    /// the defaults of those two are lower too; values that were set and do not fit are refused.
    pub decoders_max: usize,
    /// How long running imports may go on after SIGTERM.
    pub drain_grace: Duration,
    /// How long the listener stays open after SIGTERM while health says NOT_SERVING, so that
    /// balancers look elsewhere first.
    pub lame_duck: Duration,
    /// Time between two progress events, unless a header says otherwise; at least 100 ms.
    pub progress_interval: Duration,
    /// How long a received row waits at most for its batch to start, unless a header says
    /// otherwise.
    pub max_ack_delay: Duration,
    /// This server's name in the ledger, for people. Default: host name and process id.
    pub server_name: String,
    /// Which log lines are written: directives such as `info,rowlift::session=debug`. Default
    /// `info`; `RUST_LOG` stands in for `ROWLIFT_LOG`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where telemetry goes; from the standard `OTEL_*` variables alone.
    pub otel: Otel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What `rowlift serve` is told on its command line; it wins over everything else.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeFlags {
    /// Address to serve gRPC on
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address to serve probes and metrics on
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Database: postgres://... or sqlite://FILE
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File that holds the database's URL, such as a mounted secret
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// Listen beyond loopback although callers are not identified
    #[arg(long)]
    pub insecure: bool,
}

impl Config {
    /// Defaults, file, variables and flags, checked.
    pub fn load(flags: &ServeFlags) -> Result<Config, ConfigError> {
        let (config, _) = Config::load_settings(flags)?;
        Ok(config)
    }

    /// For a service inside a command: the settings of [`Config::load`], on a free port of the
    /// loopback interface, without an admin port, quiet, quick to stop, with `tables` allowed
    /// besides the configured ones.
    pub fn load_in_process(flags: &ServeFlags, tables: &[&str]) -> Result<Config, ConfigError> {
        let (mut config, set) = Config::load_settings(flags)?;
        config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.admin_listen = None;
        config.otel = Otel::default();
        config.identity = Identity::default();
        config.lame_duck = Duration::ZERO;
        config.drain_grace = config.drain_grace.min(COMMAND_DRAIN_GRACE);
        if !set.was_set("log") {
            config.log = String::from("warn");
        }
        if !set.was_set("log_format") {
            config.log_format = LogFormat::Text;
        }
        config.allow(tables);
        Ok(config)
    }

    /// For tests and embedding: defaults with this database, on a free port of the loopback
    /// interface; neither file nor variables are looked at.
    pub fn in_process(database_url: &str) -> Result<Config, ConfigError> {
        let mut config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: DatabaseUrl::parse(database_url).map_err(|message| {
                ConfigError::Invalid {
                    key: "database_url",
                    origin: String::from("the caller"),
                    message,
                }
            })?,
            ..Config::default()
        };
        batches::fit(&mut config, |_| false);
        check::values(&config)?;
        Ok(config)
    }

    /// Allows tables that no entry names yet, with all columns that are not generated.
    pub fn allow(&mut self, tables: &[&str]) {
        for name in tables {
            if self.tables.iter().any(|entry| entry.name == *name) {
                continue;
            }
            self.tables.push(AllowedTable {
                name: (*name).to_owned(),
                importable: None,
                assignable: Vec::new(),
                aliases: std::collections::BTreeMap::new(),
            });
        }
    }

    /// Allows settings of the database that are not allowed yet.
    pub fn allow_settings<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            if !self.settings_allowed.iter().any(|allowed| allowed == name) {
                self.settings_allowed.push(name.to_owned());
            }
        }
    }

    fn load_settings(flags: &ServeFlags) -> Result<(Config, Settings), ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is its one home")]
        let (mut config, set) = Config::resolve(flags, |name| std::env::var_os(name))?;
        memory::fit(&mut config, &set, cgroup::memory_limit())?;
        batches::fit(&mut config, |name| set.was_set(name));
        check::paths(&config)?;
        Ok((config, set))
    }

    /// [`Config::load`] with the environment as a parameter, paths unchecked; and what was set.
    fn resolve(
        flags: &ServeFlags,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(Config, Settings), ConfigError> {
        let mut config = Config {
            server_name: server_name(variable("HOSTNAME")),
            ..Config::default()
        };
        let mut set = Settings::default();
        let file = flags
            .config
            .clone()
            .or_else(|| variable("ROWLIFT_CONFIG").map(PathBuf::from));
        if let Some(path) = file {
            set.apply_file(&mut config, &path)?;
        }
        set.apply_variables(&mut config, &variable)?;
        config.otel = Otel::from_variables(&variable);
        set.apply_flags(&mut config, flags)?;
        if let Some(path) = &config.database_url_file {
            if set.was_set("database_url") {
                return Err(ConfigError::Conflict {
                    key: "database_url_file",
                    message: String::from("set besides database_url: one of them is enough"),
                });
            }
            config.database_url =
                DatabaseUrl::read(path).map_err(|message| ConfigError::Conflict {
                    key: "database_url_file",
                    message,
                })?;
        }
        if !set.was_set("writers_per_import") {
            config.writers_per_import = config.writers_per_import.min(config.writers_max);
        }
        check::values(&config)?;
        Ok((config, set))
    }
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            admin_listen: None,
            insecure: false,
            database_url: DatabaseUrl::default(),
            database_url_file: None,
            database_pooled: false,
            copying: Copying::default(),
            copy_detected: true,
            identity: Identity::default(),
            tables: vec![sample_table()],
            table_limits_file: None,
            settings_allowed: Vec::new(),
            limits: Limits::default(),
            imports_max: 16,
            imports_queue_max: 64,
            lookups_max: 16,
            queue_wait: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            writers_max: cores * 2,
            writers_per_import: cores.max(2),
            bytes_in_flight_max: 256 << 20,
            batch_rows_max: 20_000,
            batch_bytes_max: 3 << 20,
            batch_rows_first: 500,
            rejected_rows_max: 10_000,
            reject_retention: Duration::from_hours(7 * 24),
            id_retention: Duration::from_hours(90 * 24),
            message_bytes_max: 4 << 20,
            spool_dir: std::env::temp_dir(),
            spool_bytes_max: None,
            decoder_program: std::env::current_exe()
                .unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
            decoders_max: cores,
            drain_grace: Duration::from_secs(280),
            lame_duck: Duration::ZERO,
            progress_interval: Duration::from_secs(1),
            max_ack_delay: Duration::from_millis(200),
            server_name: server_name(None),
            log: String::from("info"),
            log_format: LogFormat::Auto,
            otel: Otel::default(),
        }
    }
}

/// The table that the migrations make; its key and time stamps are the database's to fill.
fn sample_table() -> AllowedTable {
    let importable = [
        "name",
        "category",
        "phone",
        "email",
        "address",
        "city",
        "country",
        "website",
        "description",
    ];
    AllowedTable {
        name: String::from("businesses"),
        importable: Some(importable.map(String::from).to_vec()),
        assignable: Vec::new(),
        aliases: std::collections::BTreeMap::new(),
    }
}

fn server_name(host_variable: Option<OsString>) -> String {
    let host = host_variable
        .and_then(|host| host.into_string().ok())
        .or_else(|| std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).ok())
        .map(|host| host.trim().to_owned())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| String::from("rowlift"));
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests;

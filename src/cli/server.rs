//! The server that a client command asks: the one at `--addr`, or one inside this process.
//!
//! In: [`ServerArgs`]. Out: a client, and a [`Server`] that ends the work when SIGINT or SIGTERM
//! comes and stops what it started. A second signal ends the stopping too.

use std::path::Path;

use tempfile::TempDir;

use crate::cli::args::ServerArgs;
use crate::cli::exit::CliError;
use crate::cli::local::LocalService;
use crate::client::ImportClient;
use crate::client::credentials::Credentials;
use crate::config::database_url::DatabaseUrl;
use crate::config::{Config, ServeFlags};
use crate::shutdown::Signals;
use crate::telemetry;

/// What is logged where the service is at `--addr`, or not configured otherwise.
const LOG: &str = "warn";

/// A server for one command.
#[derive(Debug)]
pub(super) struct Server {
    client: ImportClient,
    local: Option<LocalService>,
    signals: Signals,
    /// Holds the database of a service that needs none; removed with the command.
    scratch: Option<TempDir>,
}

impl Server {
    /// Connects; starts the service if there is no `--addr`, with `tables` allowed.
    pub(super) async fn connect(args: &ServerArgs, tables: &[&str]) -> Result<Server, CliError> {
        Server::connect_for(args, tables, &[]).await
    }

    /// The same for a command that touches no table: a service inside this process that is given no
    /// database has one that ends with the command.
    pub(super) async fn connect_without_tables(args: &ServerArgs) -> Result<Server, CliError> {
        if args.addr.is_some() || args.database_url.is_some() {
            return Server::connect(args, &[]).await;
        }
        let scratch = tempfile::tempdir().map_err(|source| CliError::File {
            path: Path::new("a temporary directory").to_owned(),
            source,
        })?;
        let path = scratch.path().join("scratch.db");
        let with_scratch = ServerArgs {
            database_url: Some(format!("sqlite://{}?mode=rwc", path.display())),
            ..args.clone()
        };
        let mut server = Server::connect(&with_scratch, &[]).await?;
        server.scratch = Some(scratch);
        Ok(server)
    }

    /// The same with these settings of the database allowed too.
    pub(super) async fn connect_for(
        args: &ServerArgs,
        tables: &[&str],
        settings: &[&str],
    ) -> Result<Server, CliError> {
        let signals = Signals::catch().map_err(|source| CliError::Signals { source })?;
        if let Some(addr) = &args.addr {
            telemetry::log_only(LOG)?;
            let credentials = Credentials {
                ca_file: args.ca_file.clone(),
                identity_files: args.cert_file.clone().zip(args.key_file.clone()),
                token_file: args.token_file.clone(),
            };
            let client = ImportClient::connect_with(addr, &credentials).await?;
            return Ok(Server {
                client,
                local: None,
                signals,
                scratch: None,
            });
        }
        let flags = ServeFlags {
            database_url: args.database_url.clone(),
            config: args.config.clone(),
            ..ServeFlags::default()
        };
        let mut config = Config::load_in_process(&flags, tables)?;
        // Whoever starts the service could set them in the database as well.
        config.allow_settings(settings.iter().copied());
        telemetry::init(&config)?;
        let local = LocalService::start(config).await?;
        let client = ImportClient::connect(&local.addr().to_string()).await?;
        Ok(Server {
            client,
            local: Some(local),
            signals,
            scratch: None,
        })
    }

    /// A client; to be dropped before [`Server::close`].
    pub(super) fn client(&self) -> ImportClient {
        self.client.clone()
    }

    /// Does the work of the command, until a signal drops it.
    pub(super) async fn run<T: Send>(
        &mut self,
        work: impl Future<Output = Result<T, CliError>> + Send,
    ) -> Result<T, CliError> {
        tokio::select! {
            outcome = work => outcome,
            // Dropping the work resets its call, which suspends an import.
            () = self.signals.first() => Err(CliError::Interrupted),
        }
    }

    /// Stops the service that [`Server::connect`] started.
    pub(super) async fn close(mut self) {
        drop(self.client);
        let Some(local) = self.local else {
            return;
        };
        // Outlives the service that uses it.
        let _scratch = self.scratch;
        tokio::select! {
            stopped = local.stop() => {
                if let Err(error) = stopped {
                    tracing::warn!(%error, "the service did not stop cleanly");
                }
            }
            // The database rolls back what was under way.
            () = self.signals.first() => {}
        }
    }
}

/// The flags with which another command reaches the same server, with a space before each;
/// passwords left out.
pub(super) fn flags(args: &ServerArgs) -> String {
    let addr = args.addr.as_ref().map(|addr| format!(" --addr {addr}"));
    let database = args.database_url.as_ref().map(|url| {
        let shown = DatabaseUrl::parse(url).map_or_else(|_| url.clone(), |url| url.to_string());
        format!(" --database-url '{shown}'")
    });
    let files = [
        ("config", &args.config),
        ("ca-file", &args.ca_file),
        ("cert-file", &args.cert_file),
        ("key-file", &args.key_file),
        ("token-file", &args.token_file),
    ];
    let files = files.into_iter().filter_map(|(flag, path)| {
        let path = path.as_ref()?;
        Some(format!(" --{flag} {}", quoted(path)))
    });
    [addr, database]
        .into_iter()
        .flatten()
        .chain(files)
        .collect()
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |character: char| character.is_alphanumeric() || "._-/+:@%".contains(character);
    if !path.is_empty() && path.chars().all(plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

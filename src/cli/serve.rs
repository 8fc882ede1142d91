//! `serve` and `migrate`: the commands that are the server.

use std::time::Duration;

use crate::cli::args::MigrateArgs;
use crate::cli::exit::{CliError, Exit};
use crate::cli::local;
use crate::cli::terminal::Terminal;
use crate::config::{Config, ServeFlags};
use crate::shutdown::Signals;
use crate::telemetry;

/// How long a collector may take over the last spans.
const FLUSH_BOUND: Duration = Duration::from_secs(5);

/// Serves until a signal.
pub(super) async fn serve(flags: &ServeFlags) -> Result<Exit, CliError> {
    let signals = Signals::catch().map_err(|source| CliError::Signals { source })?;
    let config = Config::load(flags)?;
    let telemetry = telemetry::init(&config)?;
    let served = local::serve(config, signals).await;
    telemetry.shut_down(FLUSH_BOUND).await;
    served?;
    Ok(Exit::Done)
}

/// Brings the database to this version.
pub(super) async fn migrate(args: &MigrateArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let flags = ServeFlags {
        database_url: args.database_url.clone(),
        database_url_file: args.database_url_file.clone(),
        config: args.config.clone(),
        ..ServeFlags::default()
    };
    let config = Config::load_in_process(&flags, &[])?;
    telemetry::init(&config)?;
    local::migrate(&config).await?;
    terminal.line(format!("{} is up to date", config.database_url))?;
    Ok(Exit::Done)
}

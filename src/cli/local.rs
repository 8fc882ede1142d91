//! The service inside this process: the one place where the command line touches the application.
//!
//! In: a configuration. Out: a service that is reached over loopback like any other, or one that
//! serves until a signal.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::app::{self, App, AppError};
use crate::config::Config;
use crate::session::ending;
use crate::shutdown::{Signals, Tasks};

/// How long a command waits for its own service to be ready.
const READY_WAIT: Duration = Duration::from_secs(5);

/// A service that ends with the command.
#[derive(Debug)]
pub(super) struct LocalService {
    app: App,
}

/// Why there is no service inside this process.
#[derive(Debug, Error)]
pub(super) enum LocalError {
    /// The service did not start, or broke off.
    #[error(transparent)]
    App(#[from] AppError),
    /// The database could not be brought to this version.
    #[error("the database was not migrated: {message}")]
    Migrate {
        /// For a person.
        message: String,
    },
}

impl LocalService {
    pub(super) async fn start(config: Config) -> Result<LocalService, LocalError> {
        let app = App::start(config).await?;
        // A ledger that nobody has migrated is told by the first call's refusal.
        let _ = tokio::time::timeout(READY_WAIT, app.ready()).await;
        Ok(LocalService { app })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.app.addr()
    }

    pub(super) async fn stop(self) -> Result<(), LocalError> {
        Ok(self.app.stop().await?)
    }
}

/// Serves until the first signal; the second ends the process.
pub(super) async fn serve(config: Config, signals: Signals) -> Result<(), LocalError> {
    let app = App::start(config).await?;
    // Outside of the app's tasks: it waits for signals for as long as there is a process.
    Tasks::new().spawn(signals.run(app.tasks().clone()));
    Ok(app.run().await?)
}

/// Brings the database to this version.
pub(super) async fn migrate(config: &Config) -> Result<(), LocalError> {
    let store = app::open_store(config).await?;
    store.migrate().await.map_err(|error| LocalError::Migrate {
        message: ending::failure_of(error).message,
    })
}

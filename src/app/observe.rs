//! What a service tells of itself: metrics that follow it, and probes for the kubelet.
//!
//! In: the sessions. Out: gauges that read their state, and the admin port where there is one. It
//! answers until the very end of a stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::AppError;
use crate::admin::{Admin, Probed};
use crate::config::Config;
use crate::metrics::observed;
use crate::session::Sessions;
use crate::shutdown::Tasks;
use crate::telemetry::meters::Meters;

/// What the kubelet is told.
struct Probes {
    sessions: Arc<Sessions>,
}

impl Probed for Probes {
    fn has_started(&self) -> bool {
        self.sessions.admission.is_open()
    }

    fn not_ready(&self) -> Option<&'static str> {
        let admission = &self.sessions.admission;
        if admission.is_closed() {
            Some("draining\n")
        } else if admission.is_open() {
            None
        } else if admission.is_without_database() {
            Some("starting: the database cannot be used\n")
        } else {
            Some("starting: the ledger is not ready\n")
        }
    }
}

/// Lets the metrics follow the service, and serves them if there is an admin port.
pub(super) async fn begin(
    config: &Config,
    meters: &Meters,
    sessions: &Arc<Sessions>,
    stop: CancellationToken,
) -> Result<Option<SocketAddr>, AppError> {
    sessions.store.measure(sessions.metrics.clone());
    // The provider may outlive the service, whose store closes with it.
    let observed = Arc::downgrade(sessions);
    observed::observe(&meters.provider, move || {
        observed.upgrade().map(|it| it.state()).unwrap_or_default()
    });
    let Some(addr) = config.admin_listen else {
        return Ok(None);
    };
    let admin = Admin::bind(addr)
        .await
        .map_err(|source| AppError::Listen { addr, source })?;
    let addr = admin.addr();
    let probes = Arc::new(Probes {
        sessions: Arc::clone(sessions),
    });
    let serving = admin.serve(probes, meters.clone(), stop);
    // It answers until the very end of a stop, so a stop does not wait for it.
    Tasks::new().spawn(async move {
        if let Err(error) = serving.await {
            warn!(%error, "the admin port is gone");
        }
    });
    info!(%addr, "serving probes and metrics");
    Ok(Some(addr))
}

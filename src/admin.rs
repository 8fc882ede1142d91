//! The admin port: probes for the kubelet, metrics for Prometheus. Plain HTTP, no credentials.
//!
//! In: what the service says of itself. Out: `/startupz` (the ledger has been there once),
//! `/readyz` (imports are admitted), `/livez` (the process answers) and `/metrics`. None of them
//! asks the database: a short outage must not restart the pods or empty the service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::meters::Meters;

/// The content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the probes tell, read without waiting.
pub trait Probed: Send + Sync + 'static {
    /// Whether the service has been ready once.
    fn has_started(&self) -> bool;
    /// Why it takes no new import now; `None`: it does.
    fn not_ready(&self) -> Option<&'static str>;
}

/// A listening admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    addr: SocketAddr,
}

#[derive(Clone)]
struct Shared {
    probed: Arc<dyn Probed>,
    meters: Meters,
}

impl Admin {
    /// Listens; port 0 takes a free one.
    pub async fn bind(addr: SocketAddr) -> io::Result<Admin> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Admin { listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until `stop`.
    pub async fn serve(
        self,
        probed: Arc<dyn Probed>,
        meters: Meters,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let router = Router::new()
            .route("/startupz", get(startupz))
            .route("/readyz", get(readyz))
            .route("/livez", get(livez))
            .route("/metrics", get(metrics))
            .with_state(Shared { probed, meters });
        let serving = axum::serve(self.listener, router);
        tokio::select! {
            // Nothing is lost: an answer that is cut short is asked for again.
            () = stop.cancelled() => Ok(()),
            served = serving.into_future() => served,
        }
    }
}

async fn startupz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.probed.has_started() {
        (StatusCode::OK, "started\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the ledger is not there yet, or too old: run `rowlift migrate`\n",
        )
    }
}

async fn readyz(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match shared.probed.not_ready() {
        None => (StatusCode::OK, "ready\n"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, PROMETHEUS_TEXT)],
        shared.meters.text(),
    )
}

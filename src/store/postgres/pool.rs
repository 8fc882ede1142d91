//! A pool of connections, and what is measured of the waits for them.
//!
//! In: who needs a connection. Out: one, once it is open and free, within the pool's own timeout.
//! Bounded by the pool's size, and after a change of its address by those of the old one that are
//! in use; a dropped wait leaves the line and is not measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres};

use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;

/// A connection that was in use a shorter time ago is not asked whether it is alive before it is used
/// again, which would be a round trip for every transaction.
const TRUSTED: Duration = Duration::from_secs(1);

/// Connections of one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    name: &'static str,
    /// Of one address each; another takes its place.
    connections: Mutex<PgPool>,
    /// Those who wait for a connection.
    n_pending: AtomicU64,
    metrics: Arc<OnceLock<Metrics>>,
}

/// One that waits; counted until dropped.
struct Pending<'a>(&'a AtomicU64);

impl Pool {
    /// At most so many connections, none of them open yet. A wait ends after `acquire_timeout`.
    pub(super) fn new(
        name: &'static str,
        n_connections: u32,
        acquire_timeout: Duration,
        options: PgConnectOptions,
        metrics: Arc<OnceLock<Metrics>>,
    ) -> Pool {
        let connections = PgPoolOptions::new()
            .max_connections(n_connections)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Pool {
            name,
            connections: Mutex::new(connections),
            n_pending: AtomicU64::new(0),
            metrics,
        }
    }

    /// A connection.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let begun = Instant::now();
        let pending = Pending::among(&self.n_pending);
        let connection = self.current().acquire().await?;
        drop(pending);
        if let Some(metrics) = self.metrics.get() {
            metrics.connection_waited(self.name, begun.elapsed());
        }
        Ok(connection)
    }

    /// Whoever acquires a connection from now on gets one that was made with these options. Of the
    /// open ones those in use close once they are given back, the others now. Nothing once the
    /// pool is closed.
    pub(super) fn renew(&self, options: PgConnectOptions) {
        let mut connections = locked(&self.connections);
        if !connections.is_closed() {
            *connections = connections.options().clone().connect_lazy_with(options);
        }
    }

    /// What it is at this moment.
    pub(super) fn state(&self) -> PoolState {
        let pool = self.current();
        let (open, idle) = (u64::from(pool.size()), pool.num_idle() as u64);
        PoolState {
            name: self.name,
            used: open.saturating_sub(idle),
            idle,
            max: u64::from(pool.options().get_max_connections()),
            pending: self.n_pending.load(Ordering::Relaxed),
        }
    }

    /// Closes all connections once they are idle; later waits fail.
    pub(super) async fn close(&self) {
        self.current().close().await;
    }

    fn current(&self) -> PgPool {
        locked(&self.connections).clone()
    }
}

fn locked(connections: &Mutex<PgPool>) -> MutexGuard<'_, PgPool> {
    connections.lock().expect("no panic while it is locked")
}

impl Pending<'_> {
    fn among(all: &AtomicU64) -> Pending<'_> {
        all.fetch_add(1, Ordering::Relaxed);
        Pending(all)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

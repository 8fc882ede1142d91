//! A pool of connections, and what is measured of the waits for them.
//!
//! In: who needs a connection. Out: a [`Lease`] of one, once it is open and free, within the pool's own
//! timeout. Bounded by the pool's size, and after a change of its address by those of the old one that
//! are in use; a dropped wait leaves the line and is not measured.
//!
//! sqlx's pool hands out the connection that has rested longest and asks it twice, when it comes and when
//! it goes, whether it is alive. In front of it stand those that were in use a moment ago: the last one
//! goes first and is asked nothing, so that a few backends with warm caches do the work.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;

/// A connection that was in use a shorter time ago is taken for alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// After this time in a row in front of sqlx's pool a connection goes back there, where its age is
/// looked at.
const IN_FRONT_MAX: Duration = Duration::from_mins(1);

/// Connections of one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    name: &'static str,
    shared: Arc<Shared>,
    /// One for each connection that may be in use.
    places: Arc<Semaphore>,
    acquire_timeout: Duration,
    /// Those who wait for a connection.
    n_pending: AtomicU64,
    metrics: Arc<OnceLock<Metrics>>,
}

#[derive(Debug)]
struct Shared(Mutex<Connections>);

#[derive(Debug)]
struct Connections {
    /// Of one address; another takes its place.
    pool: PgPool,
    /// Of how many addresses it is the latest.
    generation: u64,
    /// Those that were in use a moment ago, the last one last.
    warm: Vec<Warm>,
}

/// A connection between two users.
#[derive(Debug)]
struct Warm {
    connection: PoolConnection<Postgres>,
    /// When it left sqlx's pool.
    since: Instant,
    /// When it was given back.
    at: Instant,
}

/// A connection in use. Dropped without [`Lease::give_back`], it is closed.
#[derive(Debug)]
pub(super) struct Lease {
    /// `None` once it is given back.
    connection: Option<PoolConnection<Postgres>>,
    shared: Arc<Shared>,
    generation: u64,
    since: Instant,
    /// Given up behind the connection.
    _place: OwnedSemaphorePermit,
}

/// One that waits; counted until dropped.
struct Pending<'a>(&'a AtomicU64);

// === impl Pool ===

impl Pool {
    /// At most so many connections, none of them open yet. A wait ends after `acquire_timeout`.
    pub(super) fn new(
        name: &'static str,
        n_connections: u32,
        acquire_timeout: Duration,
        options: PgConnectOptions,
        metrics: Arc<OnceLock<Metrics>>,
    ) -> Pool {
        let pool = PgPoolOptions::new()
            .max_connections(n_connections)
            .acquire_timeout(acquire_timeout)
            .connect_lazy_with(options);
        Pool {
            name,
            shared: Arc::new(Shared(Mutex::new(Connections {
                pool,
                generation: 0,
                warm: Vec::new(),
            }))),
            places: Arc::new(Semaphore::new(n_connections as usize)),
            acquire_timeout,
            n_pending: AtomicU64::new(0),
            metrics,
        }
    }

    /// A connection.
    pub(super) async fn acquire(&self) -> Result<Lease, sqlx::Error> {
        let begun = Instant::now();
        let pending = Pending::among(&self.n_pending);
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.acquire_timeout, place)
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let (warm, pool, generation) = self.shared.lock().next();
        let (connection, since) = match warm {
            Some(warm) => (warm.connection, warm.since),
            // Whoever has a place finds room there: those in front are none at this moment.
            None => (pool.acquire().await?, Instant::now()),
        };
        drop(pending);
        if let Some(metrics) = self.metrics.get() {
            metrics.connection_waited(self.name, begun.elapsed());
        }
        Ok(Lease {
            connection: Some(connection),
            shared: Arc::clone(&self.shared),
            generation,
            since,
            _place: place,
        })
    }

    /// Whoever acquires a connection from now on gets one that was made with these options. Of the
    /// open ones those in use close once they are given back, the others now. Nothing once the
    /// pool is closed.
    pub(super) fn renew(&self, options: PgConnectOptions) {
        let mut connections = self.shared.lock();
        if !connections.pool.is_closed() {
            connections.warm.clear();
            connections.generation += 1;
            connections.pool = connections
                .pool
                .options()
                .clone()
                .connect_lazy_with(options);
        }
    }

    /// What it is at this moment.
    pub(super) fn state(&self) -> PoolState {
        let connections = self.shared.lock();
        let pool = &connections.pool;
        let open = u64::from(pool.size());
        let idle = (pool.num_idle() + connections.warm.len()) as u64;
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
        self.places.close();
        let pool = {
            let mut connections = self.shared.lock();
            connections.generation += 1;
            connections.warm.clear();
            connections.pool.clone()
        };
        pool.close().await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no panic while it is locked")
    }
}

// === impl Connections ===

impl Connections {
    /// The one that was in use last, if that was a moment ago; and where else there are some.
    fn next(&mut self) -> (Option<Warm>, PgPool, u64) {
        let warm = self.warm.pop().filter(|warm| warm.at.elapsed() < TRUSTED);
        if warm.is_none() {
            // The others have rested even longer: they are asked before they are used again.
            self.warm.clear();
        }
        (warm, self.pool.clone(), self.generation)
    }
}

// === impl Lease ===

impl Lease {
    /// Lets others have the connection, on which nothing is open or under way.
    pub(super) fn give_back(mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let mut connections = self.shared.lock();
        // Else it goes to the pool that it is of.
        if connections.generation == self.generation && self.since.elapsed() < IN_FRONT_MAX {
            connections.warm.push(Warm {
                connection,
                since: self.since,
                at: Instant::now(),
            });
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(HELD)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(HELD)
    }
}

const HELD: &str = "giving it back consumes the lease";

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Dropping the detached connection closes its socket. If the server is gone, so are the
            // others: they are asked before they are used again.
            drop(connection.detach());
            self.shared.lock().warm.clear();
        }
    }
}

// === impl Pending ===

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

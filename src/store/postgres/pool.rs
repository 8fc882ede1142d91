//! A pool of connections, and what is measured of the waits for them.
//!
//! In: who needs a connection. Out: a [`Lease`] of one, once it is open and free, within the pool's own
//! timeout. Bounded by the pool's size, and after a change of its address by those of the old one that
//! are in use; a dropped wait leaves the line and is not measured.
//!
//! sqlx's pool hands out the connection that has rested longest and asks it twice, when it comes and when
//! it goes, whether it is alive. In front of it stand those that were in use before: the last one goes
//! first, and if that was a moment ago it is asked nothing, so that a few backends with warm caches do the
//! work. The others are asked here, for a short time: sqlx waits for the answer to its second question
//! without end, and with a place taken, which for a server that went away silently is many minutes.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;
use crate::metrics::observed::PoolState;

/// A connection that was in use a shorter time ago is taken for alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long one that has rested longer may take to say that it is alive.
const ASKED_MAX: Duration = Duration::from_secs(2);
/// One that has rested so long is closed, as sqlx's pool would.
const RESTED_MAX: Duration = Duration::from_mins(10);
/// After this time in a row in front of sqlx's pool a connection goes back there, where its age is
/// looked at.
const IN_FRONT_MAX: Duration = Duration::from_mins(1);

/// Connections of one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    name: &'static str,
    shared: Arc<Shared>,
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
    /// One for each of its connections that may be in use; closed once another address takes its place.
    places: Arc<Semaphore>,
    /// Of how many addresses it is the latest.
    generation: u64,
    /// Those that were in use before, the last one last.
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
    /// Another one was not given back meanwhile: if the server is gone, so is this one.
    in_doubt: bool,
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
    place: Option<OwnedSemaphorePermit>,
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
                places: places(&pool),
                pool,
                generation: 0,
                warm: Vec::new(),
            }))),
            acquire_timeout,
            n_pending: AtomicU64::new(0),
            metrics,
        }
    }

    /// A connection.
    pub(super) async fn acquire(&self) -> Result<Lease, sqlx::Error> {
        let begun = Instant::now();
        let pending = Pending::among(&self.n_pending);
        let lease = tokio::time::timeout(self.acquire_timeout, self.lease())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        drop(pending);
        if let Some(metrics) = self.metrics.get() {
            metrics.connection_waited(self.name, begun.elapsed());
        }
        Ok(lease)
    }

    /// The same without a bound.
    async fn lease(&self) -> Result<Lease, sqlx::Error> {
        let mut kept = None;
        loop {
            let place = match kept.take() {
                Some(place) => place,
                None => self.place().await?,
            };
            let next = self.shared.lock().next(&place);
            let Some((warm, pool, generation)) = next else {
                // The address has changed meanwhile.
                continue;
            };
            let Some(warm) = warm else {
                // Whoever has a place finds room there: those in front are none at this moment.
                let connection = pool.acquire().await?;
                return Ok(Lease {
                    connection: Some(connection),
                    shared: Arc::clone(&self.shared),
                    generation,
                    since: Instant::now(),
                    place: Some(place),
                });
            };
            let is_trusted = !warm.in_doubt && warm.at.elapsed() < TRUSTED;
            // From here on it is closed where it does not answer, or is not waited for.
            let mut lease = Lease {
                connection: Some(warm.connection),
                shared: Arc::clone(&self.shared),
                generation,
                since: warm.since,
                place: Some(place),
            };
            if is_trusted || lease.answers().await {
                return Ok(lease);
            }
            kept = lease.give_up();
            // The others have rested even longer.
            self.shared.lock().close_warm();
        }
    }

    /// A place among the connections of the address of now: those of an earlier one may be held by
    /// statements that nobody answers.
    async fn place(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        loop {
            let places = Arc::clone(&self.shared.lock().places);
            if let Ok(place) = places.acquire_owned().await {
                return Ok(place);
            }
            if self.shared.lock().pool.is_closed() {
                return Err(sqlx::Error::PoolClosed);
            }
        }
    }

    /// Whoever acquires a connection from now on gets one that was made with these options. Of the
    /// open ones those in front close now, the others by the time that the last of those in use is given
    /// back. Nothing once the pool is closed.
    pub(super) fn renew(&self, options: PgConnectOptions) {
        let mut connections = self.shared.lock();
        if !connections.pool.is_closed() {
            connections.close_warm();
            connections.generation += 1;
            connections.pool = connections
                .pool
                .options()
                .clone()
                .connect_lazy_with(options);
            let of_new = places(&connections.pool);
            // Those who wait for a place go on to the new ones.
            std::mem::replace(&mut connections.places, of_new).close();
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

    /// Closes those that nobody has used for long.
    pub(super) fn tidy(&self) {
        self.shared.lock().close_rested();
    }

    /// Closes all connections once they are idle; later waits fail.
    pub(super) async fn close(&self) {
        let pool;
        let closing = {
            let mut connections = self.shared.lock();
            connections.generation += 1;
            connections.warm.clear();
            pool = connections.pool.clone();
            // It counts as closed before those who wait for a place ask.
            let closing = pool.close();
            connections.places.close();
            closing
        };
        closing.await;
    }
}

/// As many as the pool has connections.
fn places(pool: &PgPool) -> Arc<Semaphore> {
    let n_connections = pool.options().get_max_connections();
    Arc::new(Semaphore::new(n_connections as usize))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no panic while it is locked")
    }
}

// === impl Connections ===

impl Connections {
    /// The one that was in use last; and where else there are some. `None` for a place among those
    /// of an earlier address.
    fn next(&mut self, place: &OwnedSemaphorePermit) -> Option<(Option<Warm>, PgPool, u64)> {
        if !Arc::ptr_eq(place.semaphore(), &self.places) {
            return None;
        }
        self.close_rested();
        Some((self.warm.pop(), self.pool.clone(), self.generation))
    }

    /// Closes those in front that nobody has used for long.
    fn close_rested(&mut self) {
        let is_rested = |warm: &&Warm| warm.at.elapsed() >= RESTED_MAX;
        let n_rested = self.warm.iter().take_while(is_rested).count();
        self.warm.drain(..n_rested).for_each(Warm::close);
    }

    /// Closes all in front.
    fn close_warm(&mut self) {
        self.warm.drain(..).for_each(Warm::close);
    }
}

// === impl Warm ===

impl Warm {
    /// Closes its socket, without a word to a server that may not answer.
    fn close(self) {
        drop(self.connection.detach());
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
                in_doubt: false,
            });
        }
    }

    /// Closes the connection, for another in its place.
    fn give_up(mut self) -> Option<OwnedSemaphorePermit> {
        self.place.take()
    }

    /// Whether the connection is alive.
    async fn answers(&mut self) -> bool {
        let asked = tokio::time::timeout(ASKED_MAX, self.ping()).await;
        matches!(asked, Ok(Ok(())))
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
            for warm in &mut self.shared.lock().warm {
                warm.in_doubt = true;
            }
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

//! Places for imports: how many run, how many wait, and for how long.
//!
//! In: calls, before their response head. Out: a [`Ticket`] (a place in the line or at work), or
//! OVERLOADED or DRAINING. Bounded by `imports_max` + `imports_queue_max` calls; a ticket and a
//! slot are given back by dropping them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::shares::{Bound, Share, Shares};
use crate::access::Caller;
use crate::model::import::{Failure, Reason};

/// The places of one server.
#[derive(Debug)]
pub struct Admission {
    calls: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    opened: watch::Sender<bool>,
    closed: AtomicBool,
    /// The database could not be asked for the ledger when it was last tried.
    unreachable: AtomicBool,
    shares: Shares,
}

/// The right to be in the line; travels with the call.
#[derive(Debug)]
pub struct Ticket {
    _share: Share,
    _call: OwnedSemaphorePermit,
}

/// The right to run; given back while an import is idle.
#[derive(Debug)]
pub struct Slot {
    _slot: OwnedSemaphorePermit,
}

impl Admission {
    /// `imports_max` may run while `queue_max` more wait.
    pub fn new(imports_max: usize, queue_max: usize) -> Admission {
        Admission {
            calls: Arc::new(Semaphore::new(imports_max + queue_max)),
            slots: Arc::new(Semaphore::new(imports_max)),
            opened: watch::Sender::new(false),
            closed: AtomicBool::new(false),
            unreachable: AtomicBool::new(false),
            shares: Shares::default(),
        }
    }

    /// The ledger is ready: calls enter from now on.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Waits for [`Admission::open`]. Cancel safe.
    pub async fn opened(&self) {
        let mut opened = self.opened.subscribe();
        opened
            .wait_for(|opened| *opened)
            .await
            .expect("the sender lives as long as this");
    }

    /// No new call enters from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether [`Admission::close`] has been called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether the database could be asked for the ledger, while it is not ready.
    pub fn note_database(&self, reachable: bool) {
        self.unreachable.store(!reachable, Ordering::Release);
    }

    /// Whether the ledger is not ready because the database cannot be asked for it.
    pub fn is_without_database(&self) -> bool {
        !self.is_open() && self.unreachable.load(Ordering::Acquire)
    }

    /// Refuses before the ledger is ready and while the server stops.
    pub fn check_open(&self) -> Result<(), Failure> {
        if self.is_closed() {
            return Err(Failure::new(
                Reason::Draining,
                "the server is stopping, call another one",
            ));
        }
        if self.is_without_database() {
            return Err(Failure::new(
                Reason::DatabaseUnavailable,
                "the server is starting and cannot use its database: its log says why",
            ));
        }
        if !self.is_open() {
            return Err(Failure::new(
                Reason::Draining,
                "the server is starting: its ledger is not ready yet, call another one",
            ));
        }
        Ok(())
    }

    /// A place for a call, at once or never.
    pub fn enter(&self, caller: &Caller) -> Result<Ticket, Failure> {
        self.check_open()?;
        let bound = Bound {
            key: "imports_max",
            places: caller.imports_max(),
            what: "imports",
        };
        // The owner's share first: who has none is refused without a place that another may want.
        let share = self.shares.take(caller, bound)?;
        match Arc::clone(&self.calls).try_acquire_owned() {
            Ok(call) => Ok(Ticket {
                _share: share,
                _call: call,
            }),
            Err(_) => Err(overloaded(
                "every place for an import is taken, try again later",
            )),
        }
    }

    /// Whether [`Admission::open`] has been called.
    pub fn is_open(&self) -> bool {
        *self.opened.borrow()
    }

    /// Waits for the right to run. Cancel safe: a dropped wait loses its place in the line only.
    pub async fn slot(&self) -> Slot {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        Slot {
            _slot: slot.expect("slots are never closed"),
        }
    }
}

/// All places are taken.
pub fn overloaded(message: &str) -> Failure {
    Failure::new(Reason::Overloaded, message)
}

#[cfg(test)]
mod tests;

//! Bytes of batches in flight, of all imports together and of each owner's.
//!
//! In: the size of a batch. Out: permits that travel with it and are given back with it. Two
//! shares: a batch of an import that commits batch by batch may wait for a writer that a whole
//! import holds, which in turn needs room for its own next batch. An owner whose policy bounds its
//! bytes has the same two shares of these, and pays from them first: what waits for its own
//! owner's bytes holds nothing that others want. An owner without a batch takes no memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Caller;
use crate::budget::{Budget, Taken};

/// One permit pays for so many bytes.
const UNIT_BYTES: usize = 1024;
/// One part of so many is for whole imports.
const WHOLE_PARTS: usize = 4;
/// Batches of an owner that its bytes are to suffice for at least.
const OWNER_BATCHES_MIN: usize = 2;

/// Both shares.
#[derive(Debug, Clone)]
pub struct Memory {
    /// For batches that commit one by one.
    pub batches: Share,
    /// For the batches of ATOMIC imports and dry runs that have a writer.
    pub whole: Share,
    /// What the batches of owners have taken, while there are any.
    owners: Arc<Mutex<Owners>>,
}

type Owners = HashMap<(String, Part), Weak<Budget>>;

/// One of the shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// [`Memory::batches`]
    Batches,
    /// [`Memory::whole`]
    Whole,
}

/// A share of the budget.
#[derive(Debug, Clone)]
pub struct Share {
    /// What is left of it.
    permits: Arc<Semaphore>,
    n_units: usize,
}

/// What pays for the batches of one import.
#[derive(Debug, Clone)]
pub struct Purse {
    all: Share,
    /// `None`: the owner has no bound of its own.
    own: Option<Own>,
}

/// A share of an owner's bytes.
#[derive(Debug, Clone)]
struct Own {
    budget: Arc<Budget>,
    limit_bytes: usize,
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(n_bytes: usize) -> Memory {
        Memory {
            batches: Share::new(part_of(n_bytes, Part::Batches)),
            whole: Share::new(part_of(n_bytes, Part::Whole)),
            owners: Arc::default(),
        }
    }

    /// What pays for the batches of a caller's import.
    pub fn purse(&self, caller: &Caller, part: Part) -> Purse {
        let all = match part {
            Part::Batches => self.batches.clone(),
            Part::Whole => self.whole.clone(),
        };
        let own = caller.bytes_in_flight_max().map(|n_bytes| Own {
            budget: self.budget(caller.owner(), part),
            limit_bytes: part_of(n_bytes, part),
        });
        Purse { all, own }
    }

    fn budget(&self, owner: &str, part: Part) -> Arc<Budget> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner.to_owned(), part);
        if let Some(budget) = owners.get(&key).and_then(Weak::upgrade) {
            return budget;
        }
        owners.retain(|_, budget| budget.strong_count() > 0);
        let budget = Arc::new(Budget::default());
        owners.insert(key, Arc::downgrade(&budget));
        budget
    }
}

fn part_of(n_bytes: usize, part: Part) -> usize {
    let whole = n_bytes / WHOLE_PARTS;
    match part {
        Part::Batches => n_bytes - whole,
        Part::Whole => whole,
    }
}

impl Share {
    fn new(n_bytes: usize) -> Share {
        let n_units = (n_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Share {
            permits: Arc::new(Semaphore::new(n_units)),
            n_units,
        }
    }

    /// Bytes that are paid for now.
    pub fn used_bytes(&self) -> usize {
        (self.n_units - self.permits.available_permits().min(self.n_units)) * UNIT_BYTES
    }

    /// Bytes that can be paid for.
    pub fn limit_bytes(&self) -> usize {
        self.n_units * UNIT_BYTES
    }

    /// Permits that a batch of so many bytes takes: one that is larger than the share takes all.
    fn units(&self, n_bytes: usize) -> u32 {
        let units = n_bytes.div_ceil(UNIT_BYTES).clamp(1, self.n_units);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl Purse {
    /// Pays for a batch of so many bytes out of its owner's, where the owner has a bound; to be
    /// done before [`Purse::all`]. Cancel safe.
    pub async fn own(&self, n_bytes: usize) -> Option<Taken> {
        match &self.own {
            Some(own) => Some(own.budget.take(n_bytes, || own.limit_bytes).await),
            None => None,
        }
    }

    /// Pays for the same batch out of the bytes of all. Cancel safe.
    pub async fn all(&self, n_bytes: usize) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.all.permits);
        let all = permits.acquire_many_owned(self.all.units(n_bytes)).await;
        all.expect("the budget is never closed")
    }

    /// How large a batch may be, of at most `n_bytes`: an owner with few bytes has small ones.
    pub fn batch_bytes_max(&self, n_bytes: usize) -> usize {
        let own = self.own.as_ref();
        own.map_or(n_bytes, |own| {
            n_bytes.min(own.limit_bytes / OWNER_BATCHES_MIN).max(1)
        })
    }
}

#[cfg(test)]
mod tests;

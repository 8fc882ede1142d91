//! Places for calls that are no imports: files that are looked into, exports, watches.
//!
//! In: callers. Out: a [`Place`], at once or never (OVERLOADED); given back by dropping it. Bounded
//! by the places of a kind, and for each owner by its policy's `calls_max`. Where that is unset, an
//! identified owner may have all places but one: nobody can keep all others out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::admission::overloaded;
use super::shares::{Bound, Share, Shares};
use crate::access::Caller;
use crate::model::import::Failure;

/// The places of one kind of call. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    what: &'static str,
    limit: usize,
    free: Arc<Semaphore>,
    shares: Shares,
}

/// One of them.
#[derive(Debug)]
pub struct Place {
    _share: Share,
    _place: OwnedSemaphorePermit,
}

impl Places {
    /// So many places for `what`, in the plural.
    pub fn new(what: &'static str, n_places: usize) -> Places {
        Places {
            what,
            limit: n_places,
            free: Arc::new(Semaphore::new(n_places)),
            shares: Shares::default(),
        }
    }

    /// A place for a call.
    pub fn enter(&self, caller: &Caller) -> Result<Place, Failure> {
        let all_but_one = self.limit.saturating_sub(1).max(1);
        let default = caller.is_identified().then_some(all_but_one);
        let bound = Bound {
            key: "calls_max",
            places: caller.calls_max().or(default),
            what: self.what,
        };
        // The owner's share first: who has none is refused without a place that another may want.
        let share = self.shares.take(caller, bound)?;
        let place = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let what = self.what;
            overloaded(&format!("every place for {what} is taken, try again later"))
        })?;
        Ok(Place {
            _share: share,
            _place: place,
        })
    }
}

#[cfg(test)]
mod tests;

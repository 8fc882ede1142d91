//! So many units of something, for those who ask first.
//!
//! In: how many units somebody wants, and a limit that may be another one the next time. Out:
//! [`Taken`], given back by dropping it. First come, first served: whoever wants much is not
//! overtaken by those who want little. Who wants more than the limit waits until nothing is
//! taken. A dropped wait leaves the line and has taken nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Who waits looks at the limit this often: it may have been raised.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is taken.
#[derive(Debug, Default)]
pub struct Budget {
    n_taken: Mutex<usize>,
    /// Held by the one who is next; fair.
    line: tokio::sync::Mutex<()>,
    /// Told when units are given back.
    freed: Notify,
}

/// Units that somebody has.
#[derive(Debug)]
pub struct Taken {
    budget: Arc<Budget>,
    n_units: usize,
}

impl Budget {
    /// Waits for so many units. Cancel safe.
    pub async fn take(self: &Arc<Self>, n_units: usize, limit: impl Fn() -> usize) -> Taken {
        let _turn = self.line.lock().await;
        loop {
            if let Some(taken) = self.try_take(n_units, limit()) {
                return taken;
            }
            // What is given back before this is awaited is not missed: one such word is kept.
            let freed = self.freed.notified();
            let _ = tokio::time::timeout(LOOK_EVERY, freed).await;
        }
    }

    /// Units that are taken.
    pub fn n_taken(&self) -> usize {
        *self.lock()
    }

    fn try_take(self: &Arc<Self>, n_units: usize, limit: usize) -> Option<Taken> {
        let mut n_taken = self.lock();
        let fits = n_taken.checked_add(n_units).is_some_and(|all| all <= limit);
        if *n_taken > 0 && !fits {
            return None;
        }
        *n_taken += n_units;
        Some(Taken {
            budget: Arc::clone(self),
            n_units,
        })
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.n_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.budget.lock() -= self.n_units;
        self.budget.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;

//! How a call's thread is stopped: told, and its child killed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::decode::sandbox::Killer;

/// Shared by a call and its thread.
#[derive(Debug, Default)]
pub(super) struct Stop {
    token: CancellationToken,
    killer: Mutex<Option<Killer>>,
}

/// Stops the thread when it is dropped, however the call ends.
#[derive(Debug)]
pub(super) struct StopOnDrop(pub(super) Arc<Stop>);

impl Stop {
    /// Cancelled once the thread is to end.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Whether the thread is to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The thread has started a child.
    pub(super) fn hold(&self, killer: Killer) {
        let mut held = self.killer.lock().unwrap_or_else(PoisonError::into_inner);
        // A stop takes the lock after it has cancelled: one of the two sees the other.
        if self.is_stopped() {
            killer.kill();
        }
        *held = Some(killer);
    }

    fn stop(&self) {
        self.token.cancel();
        let held = self.killer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(killer) = &*held {
            killer.kill();
        }
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

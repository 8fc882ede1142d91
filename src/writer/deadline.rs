//! Until when an import may write: the call's deadline, until something else holds.

use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Shared by an import's session and its writers.
#[derive(Debug, Clone, Default)]
pub struct Deadline {
    at: Arc<Mutex<Option<Instant>>>,
}

impl Deadline {
    /// This moment; `None`: never.
    pub fn new(at: Option<Instant>) -> Deadline {
        Deadline {
            at: Arc::new(Mutex::new(at)),
        }
    }

    /// The moment that holds now.
    pub fn at(&self) -> Option<Instant> {
        *self.at.lock().expect("no panic while it is locked")
    }

    /// Another moment holds from now on.
    pub fn set(&self, at: Instant) {
        *self.at.lock().expect("no panic while it is locked") = Some(at);
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.at().is_some_and(|at| at <= Instant::now())
    }
}

//! Bytes of batches in flight, of all imports together.
//!
//! In: the size of a batch. Out: permits that travel with it and are given back with it. Two
//! shares: a batch of an import that commits batch by batch may wait for a writer that a whole
//! import holds, which in turn needs room for its own next batch.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// One permit pays for so many bytes.
const UNIT_BYTES: usize = 1024;
/// One part of so many is for whole imports.
const WHOLE_PARTS: usize = 4;

/// Both shares.
#[derive(Debug, Clone)]
pub struct Memory {
    /// For batches that commit one by one.
    pub batches: Share,
    /// For the batches of ATOMIC imports and dry runs that have a writer.
    pub whole: Share,
}

/// A share of the budget.
#[derive(Debug, Clone)]
pub struct Share {
    /// What is left of it.
    pub permits: Arc<Semaphore>,
    n_units: usize,
}

impl Memory {
    /// A budget of so many bytes.
    pub fn new(n_bytes: usize) -> Memory {
        let whole = n_bytes / WHOLE_PARTS;
        Memory {
            batches: Share::new(n_bytes - whole),
            whole: Share::new(whole),
        }
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
    pub fn units(&self, n_bytes: usize) -> u32 {
        let units = n_bytes.div_ceil(UNIT_BYTES).clamp(1, self.n_units);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

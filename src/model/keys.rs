//! By which rows of different batches may meet: hashes of the unique keys of a batch's rows.
//!
//! In: hashes, made where batches are. Out: whether two batches may hold rows that meet. Two keys
//! that are not the same may share a hash, which costs time alone: their batches are then written one
//! after the other. Bounded by the batch: a hash a row and key. Pure.

use std::cmp::Ordering;

/// Keys of the rows of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchKeys {
    /// These; ascending, each once.
    Told(Vec<u64>),
    /// A row has a key that nobody knows yet: it may meet any other.
    Untold,
}

impl BatchKeys {
    /// Of rows that meet no others.
    pub const NONE: BatchKeys = BatchKeys::Told(Vec::new());

    /// Those with these hashes, in any order.
    pub fn told(mut hashes: Vec<u64>) -> BatchKeys {
        hashes.sort_unstable();
        hashes.dedup();
        BatchKeys::Told(hashes)
    }

    /// Whether a row of one may meet a row of the other. Takes time in the number of both.
    pub fn meets(&self, other: &BatchKeys) -> bool {
        let (BatchKeys::Told(ours), BatchKeys::Told(theirs)) = (self, other) else {
            return true;
        };
        let (mut ours, mut theirs) = (ours.as_slice(), theirs.as_slice());
        while let ([our, our_rest @ ..], [their, their_rest @ ..]) = (ours, theirs) {
            match our.cmp(their) {
                Ordering::Equal => return true,
                Ordering::Less => ours = our_rest,
                Ordering::Greater => theirs = their_rest,
            }
        }
        false
    }

    /// Bytes that they hold in memory.
    pub fn n_bytes(&self) -> usize {
        match self {
            BatchKeys::Told(hashes) => hashes.capacity() * size_of::<u64>(),
            BatchKeys::Untold => 0,
        }
    }
}

#[cfg(test)]
mod tests;

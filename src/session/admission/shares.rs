//! How many places each owner has, where its policy bounds them.
//!
//! In: callers that want a place. Out: a [`Share`], given back by dropping it, or OVERLOADED. An
//! owner without a place takes no memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::overloaded;
use crate::access::Caller;
use crate::model::import::Failure;

/// Places by owner.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One place of an owner.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    owner: String,
}

impl Shares {
    /// A place of the caller's owner.
    pub(super) fn take(&self, caller: &Caller) -> Result<Share, Failure> {
        let owner = caller.owner();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let n_taken = taken.get(owner).copied().unwrap_or_default();
        if let Some(bound) = caller.imports_max()
            && n_taken >= bound
        {
            let message = format!("{owner} has {n_taken} imports, as many as its policy allows");
            return Err(overloaded(&message).with("imports_max", bound));
        }
        taken.insert(owner.to_owned(), n_taken + 1);
        Ok(Share {
            shares: self.clone(),
            owner: owner.to_owned(),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = &self.shares.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_taken) = taken.get_mut(&self.owner) {
            *n_taken -= 1;
            if *n_taken == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

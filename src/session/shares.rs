//! How many places each owner has, where something bounds them.
//!
//! In: callers that want a place. Out: a [`Share`], given back by dropping it, or OVERLOADED. An
//! owner without a place takes no memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::admission::overloaded;
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

/// How many places an owner has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// In the policy.
    pub(super) key: &'static str,
    /// So many; `None`: all that there are.
    pub(super) places: Option<usize>,
    /// What takes a place.
    pub(super) what: &'static str,
}

impl Shares {
    /// A place of the caller's owner.
    pub(super) fn take(&self, caller: &Caller, bound: Bound) -> Result<Share, Failure> {
        let owner = caller.owner();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let n_taken = taken.get(owner).copied().unwrap_or_default();
        if let Some(places) = bound.places
            && n_taken >= places
        {
            let what = bound.what;
            let message = format!("{owner} has {n_taken} {what}, as many as its policy allows");
            return Err(overloaded(&message).with(bound.key, places));
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

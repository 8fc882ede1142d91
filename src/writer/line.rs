//! The line of batches before the writers: imports take turns by what they have written.
//!
//! In: who wants a place, and how much it is to write. Out: a [`Place`], given back by dropping it.
//! Start-time fair queueing: a batch's turn is where its import's last one ends, or now if that is
//! earlier, and the earliest turn is next. So the batch of an import that begins goes before those
//! of imports that have their share already, and of two that always wait each writes as much as the
//! other. Bounded by whoever waits: an import has few batches. A dropped wait leaves the line.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Imports whose turns are remembered, be they over or not.
const TURNS_MAX: usize = 1024;

/// Some places, and those who wait for them.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
}

/// A place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    line: Arc<Line>,
}

#[derive(Debug)]
struct State {
    n_free: usize,
    n_places: usize,
    /// By turn; of equal turns whoever came first.
    waiting: BTreeMap<Turn, oneshot::Sender<Place>>,
    /// Where the next batch of an import begins, by import.
    next_turns: HashMap<i64, u64>,
    /// The turn that was called last.
    now: u64,
    n_came: u64,
}

/// A turn, and the number of who has it.
type Turn = (u64, u64);

/// Leaves the line when dropped.
struct Waiting<'a> {
    line: &'a Line,
    turn: Turn,
}

// === impl Line ===

impl Line {
    /// So many places.
    pub(super) fn new(n_places: usize) -> Line {
        Line {
            state: Mutex::new(State {
                n_free: n_places,
                n_places,
                waiting: BTreeMap::new(),
                next_turns: HashMap::new(),
                now: 0,
                n_came: 0,
            }),
        }
    }

    /// Waits for a place for `import`, which is to write `n_bytes`. Cancel safe.
    pub(super) async fn place(self: &Arc<Self>, import: i64, n_bytes: u64) -> Place {
        let (sender, receiver) = oneshot::channel();
        let turn = self.state().enter(import, n_bytes, sender);
        let _waiting = Waiting { line: self, turn };
        self.call();
        receiver.await.expect("whoever is called gets a place")
    }

    /// Those who wait.
    pub(super) fn n_waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Places that are taken.
    pub(super) fn n_busy(&self) -> usize {
        let state = self.state();
        state.n_places - state.n_free
    }

    /// All places.
    pub(super) fn n_places(&self) -> usize {
        self.state().n_places
    }

    /// Gives free places to those whose turn it is.
    fn call(self: &Arc<Self>) {
        loop {
            let Some(next) = self.state().next() else {
                return;
            };
            // Dropped, if nobody waits any more, and free again: hence no lock is held here.
            let _ = next.send(Place {
                line: Arc::clone(self),
            });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn enter(&mut self, import: i64, n_bytes: u64, sender: oneshot::Sender<Place>) -> Turn {
        if self.next_turns.len() >= TURNS_MAX {
            self.forget();
        }
        let next = self.next_turns.entry(import).or_default();
        let begin = self.now.max(*next);
        *next = begin.saturating_add(n_bytes.max(1));
        let turn = (begin, self.n_came);
        self.n_came += 1;
        self.waiting.insert(turn, sender);
        turn
    }

    /// Goes on to where half of the imports begin at once: it is they who have written least beyond
    /// their share, or are over.
    fn forget(&mut self) {
        let mut turns: Vec<u64> = self.next_turns.values().copied().collect();
        let half = turns.len() / 2;
        let (_, median, _) = turns.select_nth_unstable(half);
        self.now = self.now.max(*median);
        self.next_turns.retain(|_, turn| *turn > self.now);
    }

    /// Takes a free place for whoever is next.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        if self.n_free == 0 {
            return None;
        }
        let ((begin, _), sender) = self.waiting.pop_first()?;
        self.now = self.now.max(begin);
        self.n_free -= 1;
        Some(sender)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.line.state().n_free += 1;
        self.line.call();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.state().waiting.remove(&self.turn);
    }
}

#[cfg(test)]
mod tests;

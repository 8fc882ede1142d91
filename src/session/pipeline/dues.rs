//! What a batch waits for before it is handed out.
//!
//! In: the size of a batch. Out: its [`Dues`], which travel with it. The order is that of who is
//! held up by a wait: first the bytes of its owner, which hold up nobody else; then its table's
//! turn and writer, which everybody wants who imports into that table; then the bytes of all. What
//! has its dues waits for a place among the writers at most, so nothing waits in a circle.
//! Bounded by each of the three; a dropped wait has taken nothing.

use tokio::sync::OwnedSemaphorePermit;

use crate::budget::Taken;
use crate::session::memory::Purse;
use crate::writer::tables::Gate;

/// All that a batch has.
#[derive(Debug)]
pub(super) struct Dues {
    /// Of its owner's bytes, where the owner has a bound of its own.
    pub(super) own_bytes: Option<Taken>,
    /// A writer of its table, where the table has limits.
    pub(super) table: Option<Taken>,
    /// Of the bytes of all.
    pub(super) bytes: OwnedSemaphorePermit,
}

/// Waits for all that a batch needs. Without a gate the table's writer is there: a whole import
/// has one for all its batches. Cancel safe.
pub(super) async fn pay(purse: &Purse, gate: Option<&Gate>, n_rows: usize, n_bytes: usize) -> Dues {
    let own_bytes = purse.own(n_bytes).await;
    let table = match gate {
        Some(gate) => gate.enter(n_rows).await,
        None => None,
    };
    Dues {
        own_bytes,
        table,
        bytes: purse.all(n_bytes).await,
    }
}

#[cfg(test)]
mod tests;

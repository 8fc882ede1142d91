//! Ledgers of one version and programs of the next, both ways.
//!
//! In: `tests/fixtures/ledger`, the ledgers that the version before has left, with imports in
//! every state. Out: what this program makes of them.

mod additive;
mod imports;
mod stored;
mod writing;

//! What is PostgreSQL's own: types, isolation of bad rows, fences, deadlines.

mod atomic;
mod catalog;
mod conflicts;
mod engines;
mod fence;
mod fixture;
mod isolation;
mod ledger;
mod notes;
mod overlap;
mod types;

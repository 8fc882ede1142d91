//! Integration tests, in one binary.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

mod decode;
mod faults;
mod layers;
mod ledger;
mod lookup;
mod postgres;
mod service;
mod session;
mod store_contract;
mod support;

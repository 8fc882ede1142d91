//! Moments that no signal hits: around BEGIN and COMMIT, held or broken by fail points.
//!
//! A binary of its own, for fail points belong to the process: a test has them to itself while it
//! holds a `FailScenario`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, in its helpers too"
)]

mod broken;
mod fixture;
mod held;

#[path = "../it/support"]
#[expect(dead_code, reason = "most of it is for the other binary")]
mod support {
    pub(crate) mod businesses;
    pub(crate) mod postgres;
    pub(crate) mod running;
    pub(crate) mod service;
    pub(crate) mod waits;
}

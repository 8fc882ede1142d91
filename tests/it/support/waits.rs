//! Waiting for a condition rather than for a time.

use std::time::{Duration, Instant};

use tonic::{Code, Status};

/// Waits until `condition` holds; a test fails rather than hangs.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(20), what, condition).await;
}

/// The same with a bound of its own.
pub(crate) async fn within(bound: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    /// Between two looks: those who are waited for need the processor too.
    const PAUSE: Duration = Duration::from_millis(5);
    let until = Instant::now() + bound;
    while !condition().await {
        assert!(Instant::now() < until, "not within {bound:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the server tells of a call whose deadline passes. It does so a little before, and the client
/// has a timer of its own, which ends the call as CANCELLED: where the machine stood still over that
/// little, the call is made again.
pub(crate) async fn told_of_deadline(mut call: impl AsyncFnMut() -> Status) -> Status {
    const TRIES_MAX: usize = 10;
    for _ in 0..TRIES_MAX {
        let status = call().await;
        if status.code() != Code::Cancelled {
            return status;
        }
    }
    panic!("the client's timer came before the server's answer, {TRIES_MAX} times");
}

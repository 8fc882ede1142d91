//! Waiting for a condition rather than for a time.

use std::time::{Duration, Instant};

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

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use super::*;

#[tokio::test]
async fn nobody_is_overtaken() {
    let budget = Arc::new(Budget::default());
    let first = budget.take(6, || 10).await;
    let mut much = Box::pin(budget.take(8, || 10));
    assert!(much.as_mut().now_or_never().is_none());
    // There is room for this one, and somebody before it.
    let mut little = Box::pin(budget.take(1, || 10));
    assert!(little.as_mut().now_or_never().is_none());
    drop(first);
    let much = much.await;
    let little = little.await;
    assert_eq!(budget.n_taken(), 9);
    drop((much, little));
    assert_eq!(budget.n_taken(), 0);
}

#[tokio::test]
async fn a_dropped_wait_leaves_the_line() {
    let budget = Arc::new(Budget::default());
    let first = budget.take(10, || 10).await;
    let mut gone = Box::pin(budget.take(10, || 10));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut next = Box::pin(budget.take(1, || 10));
    assert!(next.as_mut().now_or_never().is_none());
    drop(gone);
    drop(first);
    let _next = next.await;
    assert_eq!(budget.n_taken(), 1);
}

#[tokio::test]
async fn more_than_the_limit_goes_alone() {
    let budget = Arc::new(Budget::default());
    let small = budget.take(1, || 10).await;
    let mut large = Box::pin(budget.take(100, || 10));
    assert!(large.as_mut().now_or_never().is_none());
    drop(small);
    let large = large.await;
    assert!(budget.take(1, || 10).now_or_never().is_none());
    drop(large);
    assert!(budget.take(1, || 10).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_lets_those_who_wait_go_on() {
    let budget = Arc::new(Budget::default());
    let limit = AtomicUsize::new(1);
    let _first = budget.take(1, || limit.load(Ordering::Relaxed)).await;
    let mut second = Box::pin(budget.take(1, || limit.load(Ordering::Relaxed)));
    assert!(second.as_mut().now_or_never().is_none());
    limit.store(2, Ordering::Relaxed);
    let _second = second.await;
    assert_eq!(budget.n_taken(), 2);
}

use std::time::Duration;

use super::Tasks;

#[tokio::test]
async fn aborting_drains_too_but_draining_does_not_abort() {
    let tasks = Tasks::new();
    tasks.drain();
    assert!(tasks.draining().is_cancelled());
    assert!(!tasks.aborted().is_cancelled());

    let tasks = Tasks::new();
    tasks.abort();
    assert!(tasks.draining().is_cancelled());
    assert!(tasks.aborted().is_cancelled());
}

#[tokio::test]
async fn waiting_ends_with_the_last_task() {
    let tasks = Tasks::new();
    let draining = tasks.draining().clone();
    let task = tasks.spawn(async move {
        draining.cancelled().await;
        7
    });
    assert_eq!(tasks.len(), 1);
    tasks.drain();
    assert!(tasks.wait(Duration::from_secs(5)).await);
    assert_eq!(task.await.unwrap(), 7);
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn waiting_is_bounded() {
    let tasks = Tasks::new();
    let task = tasks.spawn(std::future::pending::<()>());
    assert!(!tasks.wait(Duration::from_millis(10)).await);
    task.abort();
    assert!(tasks.wait(Duration::from_secs(5)).await);
}

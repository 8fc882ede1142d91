use futures::FutureExt;

use super::*;

const LIMITS: &str = r#"
[[tables]]
name = "orders"
writers_max = 2
rows_per_second_max = 100

[[tables]]
name = "tenant_*.contacts"
rows_per_second_max = 10
"#;

fn name(schema: &str, name: &str) -> TableName {
    TableName {
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

fn limits(text: &str) -> Arc<TableLimits> {
    Arc::new(TableLimits::parse(text, "public").unwrap())
}

fn tables() -> Tables {
    let limits = limits(LIMITS);
    Tables::new(move || Arc::clone(&limits))
}

/// How long it takes, by the paused clock.
async fn took<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let done = work.await;
    (begun.elapsed(), done)
}

fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 100.0).round() / 100.0
}

#[tokio::test(start_paused = true)]
async fn rows_go_into_a_table_at_its_rate() {
    let gate = tables().gate(&name("public", "orders"));
    let mut waits = Vec::new();
    for n_rows in [250, 50, 1, 0, 10] {
        let (took, writer) = took(gate.enter(n_rows)).await;
        assert!(writer.is_some());
        waits.push(seconds(took));
    }
    // Each waits until those before it are paid off.
    assert_eq!(waits, [0.0, 2.5, 0.5, 0.01, 0.0]);
    // What was not used is not saved up.
    tokio::time::advance(Duration::from_mins(1)).await;
    drop(gate.enter(100).await);
    let (took, _) = took(gate.enter(100)).await;
    assert!((seconds(took) - 1.0).abs() < f64::EPSILON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn tables_that_fit_one_entry_have_a_rate_each() {
    let tables = tables();
    let one = tables.gate(&name("tenant_1", "contacts"));
    let other = tables.gate(&name("tenant_2", "contacts"));
    let free = tables.gate(&name("public", "people"));
    one.enter(100).await;
    assert!(one.enter(1).now_or_never().is_none());
    assert!(other.enter(1).now_or_never().is_some());
    free.enter(1_000_000).await;
    assert!(free.enter(1).now_or_never().is_some());
    // Another import of the same table finds the same rate.
    let again = tables.gate(&name("tenant_1", "contacts"));
    let (took, _) = took(again.enter(1)).await;
    assert!((seconds(took) - 10.0).abs() < f64::EPSILON, "{took:?}");
    // Without a file there are no limits.
    let none = Tables::default().gate(&name("tenant_1", "contacts"));
    assert!(none.enter(usize::MAX).now_or_never().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_owes_nothing_and_leaves_the_line() {
    let gate = tables().gate(&name("public", "orders"));
    drop(gate.enter(100).await);
    let mut gone = Box::pin(gate.enter(1_000_000));
    let mut next = Box::pin(gate.enter(100));
    assert!(gone.as_mut().now_or_never().is_none());
    assert!(next.as_mut().now_or_never().is_none());
    drop(gone);
    let (took, _) = took(next).await;
    assert!((seconds(took) - 1.0).abs() < f64::EPSILON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_written_at_once_than_the_table_bears() {
    let gate = tables().gate(&name("public", "orders"));
    let first = gate.enter(0).await;
    let second = gate.enter(0).await;
    let mut third = Box::pin(gate.enter(0));
    assert!(third.as_mut().now_or_never().is_none());
    drop(first);
    let third = third.await;
    drop((second, third));
    // A transaction for all rows has one of them, and leaves one to the others.
    let whole = gate.enter_whole().await;
    let writer = gate.writer().await;
    assert!(gate.enter_whole().now_or_never().is_none());
    let batch = gate.enter(0).now_or_never();
    assert!(batch.is_some());
    drop((whole, writer));
    assert!(gate.enter_whole().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn rows_of_one_transaction_are_owed() {
    let gate = tables().gate(&name("public", "orders"));
    let whole = gate.enter_whole().await;
    for _ in 0..3 {
        gate.owe(100);
    }
    drop(whole);
    let (waited, _) = took(gate.enter(100)).await;
    assert!((seconds(waited) - 3.0).abs() < f64::EPSILON, "{waited:?}");
    let (waited, _) = took(gate.enter_whole()).await;
    assert!((seconds(waited) - 1.0).abs() < f64::EPSILON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_for_those_who_wait() {
    let now = Arc::new(Mutex::new(limits(LIMITS)));
    let look = Arc::clone(&now);
    let tables = Tables::new(move || Arc::clone(&look.lock().unwrap()));
    let gate = tables.gate(&name("public", "orders"));
    drop(gate.enter(1_000_000).await);
    let mut waiting = Box::pin(gate.enter(1));
    assert!(waiting.as_mut().now_or_never().is_none());
    *now.lock().unwrap() = limits("");
    let (took, _) = took(waiting).await;
    assert!(took <= LOOK_EVERY + Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn tables_that_nobody_uses_are_forgotten() {
    let tables = tables();
    let in_debt = tables.gate(&name("tenant_debt", "contacts"));
    in_debt.owe(1_000_000);
    drop(in_debt);
    for index in 0..2 * TABLES_MAX {
        tables.gate(&name(&format!("tenant_{index}"), "contacts"));
        assert!(tables.gates.lock().unwrap().len() <= TABLES_MAX + 1);
    }
    let in_debt = tables.gate(&name("tenant_debt", "contacts"));
    assert!(in_debt.enter(1).now_or_never().is_none());
}

#[test]
fn limits_that_cannot_be_meant_are_refused() {
    for text in [
        "[[tables]]\nname = \"a\"\nwriters_max = 0",
        "[[tables]]\nname = \"a\"\nrows_per_second_max = 0",
        "[[tables]]\nname = \"a\"\nrows = 1",
        "[[tables]]\nwriters_max = 1",
        "[[table]]\nname = \"a\"",
    ] {
        assert!(TableLimits::parse(text, "public").is_err(), "{text}");
    }
}

use futures::FutureExt;

use super::*;
use crate::access::Policy;

const POLICY: &str = r#"
[[callers]]
principals = ["shop"]
owner = "shop"
tables = []
verbs = []
bytes_in_flight_max = "8KiB"

[[callers]]
principals = ["free"]
owner = "free"
tables = []
verbs = []
"#;

fn caller(principal: &str) -> Caller {
    let policy = Policy::parse(POLICY, "public").unwrap();
    policy.caller(principal).unwrap()
}

#[tokio::test]
async fn an_owner_waits_for_its_own_bytes_and_holds_none_of_the_others() {
    let memory = Memory::new(1 << 20);
    let shop = memory.purse(&caller("shop"), Part::Batches);
    let paid = shop.pay(6 << 10).await;
    // Another import of the same owner.
    let other = memory.purse(&caller("shop"), Part::Batches);
    let mut waiting = Box::pin(other.pay(1 << 10));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(memory.batches.used_bytes(), 6 << 10);
    let free = memory.purse(&caller("free"), Part::Batches);
    assert!(free.pay(512 << 10).now_or_never().is_some());
    drop(paid);
    drop(waiting.await);
}

#[tokio::test]
async fn batches_leave_an_owner_room_for_its_whole_imports() {
    let memory = Memory::new(1 << 20);
    let batches = memory.purse(&caller("shop"), Part::Batches);
    let _all = batches.pay(6 << 10).await;
    let whole = memory.purse(&caller("shop"), Part::Whole);
    assert!(whole.pay(2 << 10).now_or_never().is_some());
}

#[tokio::test]
async fn a_batch_that_is_larger_than_all_of_it_goes_alone() {
    let memory = Memory::new(1 << 20);
    let shop = memory.purse(&caller("shop"), Part::Batches);
    let large = shop.pay(64 << 10).await;
    assert!(shop.pay(1).now_or_never().is_none());
    drop(large);
    assert!(shop.pay(1).now_or_never().is_some());
    // Batches are cut so that this is a single row.
    assert_eq!(shop.batch_bytes_max(1 << 20), 3 << 10);
    let free = memory.purse(&caller("free"), Part::Batches);
    assert_eq!(free.batch_bytes_max(1 << 20), 1 << 20);
}

#[tokio::test]
async fn a_limit_outlasts_the_import_while_its_batches_are_in_flight() {
    let memory = Memory::new(1 << 20);
    let first = memory.purse(&caller("shop"), Part::Batches);
    let in_flight = first.pay(6 << 10).await;
    drop(first);
    let second = memory.purse(&caller("shop"), Part::Batches);
    assert!(second.pay(1 << 10).now_or_never().is_none());
    drop((in_flight, second));
    memory.purse(&caller("shop"), Part::Whole);
    assert_eq!(memory.owners.lock().unwrap().len(), 1);
}

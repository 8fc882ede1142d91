use futures::FutureExt;

use super::*;
use crate::access::Policy;

const POLICY: &str = r#"
[[callers]]
principals = ["shop"]
owner = "shop"
tables = []
verbs = []
bytes_in_flight_max = "8MiB"

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

async fn pay(purse: &Purse, n_bytes: usize) -> (Option<Taken>, OwnedSemaphorePermit) {
    (purse.own(n_bytes).await, purse.all(n_bytes).await)
}

#[tokio::test]
async fn an_owner_waits_for_its_own_bytes_and_holds_none_of_the_others() {
    let memory = Memory::new(1 << 30);
    let shop = memory.purse(&caller("shop"), Part::Batches);
    let paid = pay(&shop, 6 << 20).await;
    // Another import of the same owner.
    let other = memory.purse(&caller("shop"), Part::Batches);
    let mut waiting = Box::pin(pay(&other, 1 << 20));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(memory.batches.used_bytes(), 6 << 20);
    let free = memory.purse(&caller("free"), Part::Batches);
    assert!(pay(&free, 512 << 20).now_or_never().is_some());
    drop(paid);
    drop(waiting.await);
}

#[tokio::test]
async fn batches_leave_an_owner_room_for_its_whole_imports() {
    let memory = Memory::new(1 << 30);
    let batches = memory.purse(&caller("shop"), Part::Batches);
    let _all = pay(&batches, 6 << 20).await;
    let whole = memory.purse(&caller("shop"), Part::Whole);
    assert!(pay(&whole, 2 << 20).now_or_never().is_some());
}

#[tokio::test]
async fn a_batch_that_is_larger_than_all_of_it_goes_alone() {
    let memory = Memory::new(1 << 30);
    let shop = memory.purse(&caller("shop"), Part::Batches);
    let large = pay(&shop, 64 << 20).await;
    assert!(pay(&shop, 1).now_or_never().is_none());
    drop(large);
    assert!(pay(&shop, 1).now_or_never().is_some());
    // Batches are cut so that this is a single row.
    assert_eq!(shop.batch_bytes_max(1 << 30), 3 << 20);
    let free = memory.purse(&caller("free"), Part::Batches);
    assert_eq!(free.batch_bytes_max(1 << 30), 1 << 30);
}

#[tokio::test]
async fn a_limit_outlasts_the_import_while_its_batches_are_in_flight() {
    let memory = Memory::new(1 << 30);
    let first = memory.purse(&caller("shop"), Part::Batches);
    let in_flight = pay(&first, 6 << 20).await;
    drop(first);
    let second = memory.purse(&caller("shop"), Part::Batches);
    assert!(pay(&second, 1 << 20).now_or_never().is_none());
    drop((in_flight, second));
    memory.purse(&caller("shop"), Part::Whole);
    assert_eq!(memory.owners.lock().unwrap().len(), 1);
}

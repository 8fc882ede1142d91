use std::sync::Arc;

use futures::FutureExt;

use super::*;
use crate::access::{Caller, Policy};
use crate::model::table::TableName;
use crate::session::memory::{Memory, Part};
use crate::writer::tables::{TableLimits, Tables};

const POLICY: &str = r#"
[[callers]]
principals = ["shop"]
owner = "shop"
tables = []
verbs = []
bytes_in_flight_max = "4MiB"

[[callers]]
principals = ["other"]
owner = "other"
tables = []
verbs = []
"#;
const LIMITS: &str = "[[tables]]\nname = \"*\"\nwriters_max = 1\n";
/// All that the batches of `shop` may have.
const SHOP_BYTES: usize = 3 << 20;

fn caller(principal: &str) -> Caller {
    let policy = Policy::parse(POLICY, "public").unwrap();
    policy.caller(principal).unwrap()
}

fn gate(tables: &Tables, name: &str) -> Gate {
    tables.gate(&TableName {
        schema: "public".to_owned(),
        name: name.to_owned(),
    })
}

#[tokio::test]
async fn who_waits_for_its_owners_bytes_holds_no_writer_of_a_table() {
    let limits = Arc::new(TableLimits::parse(LIMITS, "public").unwrap());
    let tables = Tables::new(move || Arc::clone(&limits));
    let memory = Memory::new(64 << 20);
    let shop = memory.purse(&caller("shop"), Part::Batches);
    let other = memory.purse(&caller("other"), Part::Batches);
    // A batch that is stuck in another table has all of the owner's bytes.
    let locked = gate(&tables, "locked");
    let stuck = pay(&shop, Some(&locked), 1, SHOP_BYTES).await;

    let free = gate(&tables, "free");
    let mut waiting = Box::pin(pay(&shop, Some(&free), 1, 1 << 10));
    assert!(waiting.as_mut().now_or_never().is_none());
    let others = pay(&other, Some(&free), 1, 1 << 10).now_or_never();
    let others = others.expect("the table's writer is free");
    assert!(others.table.is_some() && others.own_bytes.is_none());

    // It goes on once both are there.
    drop(stuck);
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(others);
    let dues = waiting.await;
    assert!(dues.table.is_some() && dues.own_bytes.is_some());
}

#[tokio::test]
async fn who_waits_for_a_table_holds_none_of_the_bytes_of_all() {
    let limits = Arc::new(TableLimits::parse(LIMITS, "public").unwrap());
    let tables = Tables::new(move || Arc::clone(&limits));
    let memory = Memory::new(4 << 20);
    let purse = memory.purse(&caller("other"), Part::Batches);
    let table = gate(&tables, "slow");
    let writer = table.enter(1).await;
    let mut waiting = Box::pin(pay(&purse, Some(&table), 1, 1 << 20));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(memory.batches.used_bytes(), 0);
    drop(writer);
    drop(waiting.await);
}

use super::InFlight;
use crate::model::keys::BatchKeys;

fn told(hashes: &[u64]) -> BatchKeys {
    BatchKeys::told(hashes.to_vec())
}

#[test]
fn batches_without_a_key_in_common_are_written_at_the_same_time() {
    let mut batches = InFlight::default();
    assert_eq!(batches.begin(0, told(&[1, 2]), "a"), Some("a"));
    assert_eq!(batches.begin(2, told(&[3]), "b"), Some("b"));
    assert_eq!(batches.begin(3, BatchKeys::NONE, "c"), Some("c"));
    assert!(!batches.one_waits());
}

#[test]
fn a_batch_that_meets_another_waits_until_all_of_those_are_decided() {
    let mut batches = InFlight::default();
    batches.begin(0, told(&[1, 2]), "a").unwrap();
    batches.begin(2, told(&[3, 4]), "b").unwrap();
    batches.begin(4, told(&[5, 6]), "c").unwrap();
    assert_eq!(batches.begin(6, told(&[2, 3, 9]), "d"), None);
    assert!(batches.one_waits());
    // What ends first is not what it meets.
    batches.decided(4);
    assert_eq!(batches.next(), None);
    batches.decided(2);
    assert_eq!(batches.next(), None);
    batches.decided(0);
    assert_eq!(batches.next(), Some("d"));
    assert!(!batches.one_waits());
    // It is in flight itself now.
    assert_eq!(batches.begin(9, told(&[9]), "e"), None);
    batches.decided(6);
    assert_eq!(batches.next(), Some("e"));
    assert_eq!(batches.next(), None);
}

#[test]
fn a_batch_whose_keys_are_not_known_is_alone() {
    let mut batches = InFlight::default();
    assert_eq!(batches.begin(0, BatchKeys::Untold, "a"), Some("a"));
    assert_eq!(batches.begin(1, BatchKeys::NONE, "b"), None);
    batches.decided(0);
    assert_eq!(batches.next(), Some("b"));
    assert_eq!(batches.begin(2, BatchKeys::Untold, "c"), None);
    batches.decided(1);
    assert_eq!(batches.next(), Some("c"));
}

#[test]
fn what_waits_can_be_given_up() {
    let mut batches = InFlight::default();
    batches.begin(0, told(&[1]), "a").unwrap();
    assert_eq!(batches.begin(1, told(&[1]), "b"), None);
    batches.give_up();
    batches.decided(0);
    assert_eq!(batches.next(), None);
}

#[test]
#[should_panic(expected = "no batch passes one that waits")]
fn no_batch_passes_one_that_waits() {
    let mut batches = InFlight::default();
    batches.begin(0, told(&[1]), "a").unwrap();
    batches.begin(1, told(&[1]), "b");
    batches.begin(2, told(&[2]), "c");
}

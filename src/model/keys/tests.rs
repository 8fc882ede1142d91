use super::BatchKeys;

#[test]
fn batches_meet_where_they_share_a_hash() {
    let told = |hashes: &[u64]| BatchKeys::told(hashes.to_vec());
    for (ours, theirs, meets) in [
        (&[][..], &[][..], false),
        (&[1], &[], false),
        (&[1, 3, 5], &[2, 4, 6], false),
        (&[1, 3, 5], &[5], true),
        (&[9, 1], &[7, 9], true),
        (&[1, 1, 1], &[1], true),
        (&[u64::MAX], &[0, u64::MAX], true),
    ] {
        let (ours, theirs) = (told(ours), told(theirs));
        assert_eq!(ours.meets(&theirs), meets, "{ours:?} {theirs:?}");
        assert_eq!(theirs.meets(&ours), meets, "{theirs:?} {ours:?}");
    }
}

#[test]
fn a_key_that_is_not_known_may_be_any() {
    assert!(BatchKeys::Untold.meets(&BatchKeys::NONE));
    assert!(BatchKeys::told(vec![1]).meets(&BatchKeys::Untold));
}

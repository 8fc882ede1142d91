use super::SentAgain;

#[test]
fn a_message_sent_again_is_compared() {
    let mut again = SentAgain::default();
    again.remember(0..10, 5);
    again.remember(10..20, 7);
    assert_eq!(again.repeat(10..20, 7), Ok(()));
    assert!(again.repeat(10..20, 8).is_err());
}

#[test]
fn messages_cut_otherwise_are_compared_once_they_cover_whole_ones() {
    let mut again = SentAgain::from(20, 12);
    again.remember(20..30, 1);
    assert_eq!(again.repeat(0..5, 3), Ok(()));
    assert_eq!(again.repeat(5..20, 9), Ok(()));
    // The run begins anew after each comparison.
    assert_eq!(again.repeat(20..25, 4), Ok(()));
    assert!(again.repeat(25..30, 4).is_err());
}

#[test]
fn a_part_of_a_message_cannot_be_told_apart() {
    let mut again = SentAgain::default();
    again.remember(0..10, 5);
    assert_eq!(again.repeat(3..7, 1), Ok(()));
    assert_eq!(again.repeat(9..10, 1), Ok(()));
}

#[test]
fn memory_is_bounded() {
    let mut again = SentAgain::default();
    for at in 0..5_000 {
        again.remember(at..at + 1, 1);
    }
    assert_eq!(again.known.len(), super::MESSAGES_MAX);
    assert_eq!(again.repeat(0..1, 9), Ok(()), "forgotten");
    assert!(again.repeat(4_999..5_000, 9).is_err());
}

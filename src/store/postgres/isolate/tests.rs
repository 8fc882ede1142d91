use super::cut;

#[test]
fn a_named_line_cuts_out_its_row() {
    let mut n_cuts = 0;
    assert_eq!(cut(0..1000, Some(7), &mut n_cuts), [8..1000, 7..8, 0..7]);
    assert_eq!(n_cuts, 1);
}

#[test]
fn after_some_cuts_large_pieces_become_small_ones() {
    let mut n_cuts = super::CUTS_AT_LINE_MAX;
    let pieces = cut(10..200, Some(7), &mut n_cuts);
    assert_eq!(pieces, [138..200, 74..138, 10..74]);
}

#[test]
fn without_a_line_small_pieces_are_halved() {
    let mut n_cuts = 0;
    assert_eq!(cut(0..64, None, &mut n_cuts), [32..64, 0..32]);
    assert_eq!(cut(4..6, None, &mut n_cuts), [5..6, 4..5]);
}

#[test]
fn a_line_beyond_the_piece_is_no_hint() {
    let mut n_cuts = 0;
    assert_eq!(cut(0..4, Some(4), &mut n_cuts), [2..4, 0..2]);
}

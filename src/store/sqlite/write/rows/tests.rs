use super::piece_width;

#[test]
fn pieces_are_powers_of_two_within_their_bounds() {
    let table = [
        ((1, 128), 1),
        ((2, 128), 2),
        ((3, 128), 2),
        ((127, 128), 64),
        ((128, 128), 128),
        ((20_000, 128), 128),
        ((20_000, 100), 64),
        ((20_000, 1), 1),
    ];
    for ((n_rows, max), expected) in table {
        assert_eq!(
            piece_width(n_rows, max),
            expected,
            "{n_rows} rows, at most {max}"
        );
    }
}

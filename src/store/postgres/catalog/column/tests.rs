use super::numeric_bounds;

#[test]
fn precision_and_scale_are_unpacked_from_the_modifier() {
    for (modifier, expected) in [
        (-1, None),
        ((10 << 16 | 2) + 4, Some((10, 2))),
        ((1000 << 16) + 4, Some((1000, 0))),
        ((3 << 16 | (-5 & 0x7FF)) + 4, Some((3, -5))),
        ((2 << 16 | 0x3E8) + 4, Some((2, 1000))),
    ] {
        let bounds = numeric_bounds(modifier).map(|bounds| (bounds.precision, bounds.scale));
        assert_eq!(bounds, expected, "{modifier}");
    }
}

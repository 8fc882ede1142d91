use super::rk_number;

#[test]
fn rk_numbers_are_those_of_the_specification() {
    let cases = [
        (0, 0.0),
        ((1234 << 2) | 2, 1234.0),
        (((-5i32) << 2).cast_unsigned() | 2, -5.0),
        ((12345 << 2) | 3, 123.45),
        (0x3ff0_0000, 1.0),
        (0x3ff0_0001, 0.01),
        (0xbff8_0000, -1.5),
    ];
    for (rk, wanted) in cases {
        assert!((rk_number(rk) - wanted).abs() < f64::EPSILON, "{rk:#x}");
    }
}

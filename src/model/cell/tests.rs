use super::Cell;

#[test]
fn numbers_are_shown_as_programs_show_them_or_with_all_digits_that_are_at_stake() {
    for (value, shown) in [
        (0.1 + 0.2, "0.3"),
        (999_999_999_999_999.0, "999999999999999"),
        (123_456_789_012.345_67, "123456789012.346"),
        // Refused in most columns: whoever corrects it sees what is in the file.
        (4_930_123_456_789_012.0, "4930123456789012"),
        (-4_930_123_456_789_012.0, "-4930123456789012"),
        (1e15, "1000000000000000"),
    ] {
        assert_eq!(Cell::Number(value).to_string(), shown);
    }
}

use super::append_escaped;

#[test]
fn a_text_field_escapes_what_ends_it() {
    let mut buffer = Vec::new();
    append_escaped(&mut buffer, "a\\b\tc\nd\re\\N");
    assert_eq!(buffer, b"a\\\\b\\tc\\nd\\re\\\\N");
}

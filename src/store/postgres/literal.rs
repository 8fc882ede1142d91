//! Values inside a simple query, which takes one round trip where a statement with parameters takes two
//! and BEGIN and COMMIT another two.
//!
//! In: texts and bytes of callers. Out: SQL expressions of hex digits, in which nothing of what they
//! hold can end a literal, whatever the server's settings are. Pure.

use super::text;

/// A value of type `text`. One with a NUL is refused by the database, as a parameter would be.
pub(super) fn text(value: &str) -> String {
    format!("convert_from({}, 'UTF8')", bytes(value.as_bytes()))
}

/// A value of type `bytea`.
pub(super) fn bytes(value: &[u8]) -> String {
    let mut hex = String::new();
    text::append_hex(&mut hex, value);
    format!("decode('{hex}', 'hex')")
}

/// A literal, or `NULL`.
pub(super) fn or_null(literal: Option<String>) -> String {
    literal.unwrap_or_else(|| "NULL".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_value_shows() {
        assert_eq!(
            text("a'b\\ü"),
            "convert_from(decode('6127625cc3bc', 'hex'), 'UTF8')"
        );
        assert_eq!(bytes(&[]), "decode('', 'hex')");
        assert_eq!(or_null(None), "NULL");
    }
}

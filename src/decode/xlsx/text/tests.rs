use super::{TextFault, attribute, decode, decode_cdata, may_be_escaped, unescape};

fn decoded(raw: &str) -> Result<String, TextFault> {
    let mut out = "> ".to_owned();
    decode(raw.as_bytes(), &mut out)?;
    Ok(out.strip_prefix("> ").unwrap().to_owned())
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    unescape(text, &mut out);
    out
}

#[test]
fn references_and_line_ends_are_resolved() {
    let cases = [
        ("", ""),
        ("plain ü", "plain ü"),
        ("a &amp; b", "a & b"),
        ("&lt;&gt;&quot;&apos;", "<>\"'"),
        ("&#65;&#x42;&#x1F600;", "AB😀"),
        ("&amp;amp;", "&amp;"),
        ("a\r\nb\rc\nd\r", "a\nb\nc\nd\n"),
        ("\r\r\n", "\n\n"),
        ("&#13;&#10;", "\r\n"),
        // No text can hold these: their cell is refused.
        ("a&#0;b", "a\0b"),
        ("a&#xD83D;b", "a\0b"),
        ("&#x110000;", "\0"),
    ];
    for (raw, wanted) in cases {
        assert_eq!(decoded(raw).as_deref(), Ok(wanted), "{raw}");
    }
}

#[test]
fn unknown_references_are_faults() {
    let long = format!("&#{}65;", "0".repeat(40));
    for raw in [
        "&nbsp;",
        "&",
        "&;",
        "&#;",
        "&#x;",
        "&#xG;",
        "&#+65;",
        "&#-1;",
        "&#A;",
        "&amp",
        "& amp;",
        "&AMP;",
        "&#99999999999;",
        "&lol9;",
        &long,
    ] {
        assert_eq!(decoded(raw), Err(TextFault::Reference), "{raw}");
    }
    let mut out = String::new();
    assert_eq!(decode(b"a\xffb", &mut out), Err(TextFault::Encoding));
    assert_eq!(decode_cdata(b"\xc3", &mut out), Err(TextFault::Encoding));
    assert_eq!(attribute(b"\xed\xa0\x80"), Err(TextFault::Encoding));
}

#[test]
fn cdata_has_line_ends_and_no_references() {
    let mut out = String::new();
    decode_cdata(b"a&amp;<b>\r\nc\rd", &mut out).unwrap();
    assert_eq!(out, "a&amp;<b>\nc\nd");
}

#[test]
fn escapes_are_utf16_units() {
    let cases = [
        ("a_x000D_b", "a\rb"),
        ("_x000d__x000A_", "\r\n"),
        ("_x005F_x000D_", "_x000D_"),
        ("_xD83D__xDE00_", "😀"),
        ("_x0041_", "A"),
        // These are none.
        ("_x000D", "_x000D"),
        ("_x00D_", "_x00D_"),
        ("_X000D_", "_X000D_"),
        ("_x00G0_", "_x00G0_"),
        ("__x000D_", "_\r"),
        ("_x_x000D_", "_x\r"),
        ("a_b_xyz", "a_b_xyz"),
        ("_xäöü_", "_xäöü_"),
        // Half a pair is no character.
        ("_xD83D_", "\0"),
        ("_xD83D_x", "\0x"),
        ("_xDE00__xD83D_", "\0\0"),
        ("_xD83D__x0041_", "\0A"),
        ("a_x0000_b", "a\0b"),
    ];
    for (text, wanted) in cases {
        assert_eq!(unescaped(text), wanted, "{text}");
        assert!(wanted == text || may_be_escaped(text.as_bytes()), "{text}");
    }
    assert!(!may_be_escaped(b"a_b_"));
    assert!(!may_be_escaped(b""));
}

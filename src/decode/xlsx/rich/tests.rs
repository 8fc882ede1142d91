use super::RichText;
use crate::decode::error::DecodeError;
use crate::decode::xlsx::fixture::scanner;

fn read(content: &str) -> Result<String, DecodeError> {
    let mut scanner = scanner(format!("<si>{content}</si>"));
    scanner.next()?;
    let mut out = "before".to_owned();
    RichText::new(10).read(&mut scanner, &mut out)?;
    assert!(scanner.next()?.is_none(), "the end tag is consumed");
    Ok(out.strip_prefix("before").unwrap().to_owned())
}

#[test]
fn runs_are_joined_and_hints_left_out() {
    let cases = [
        ("", ""),
        ("<t/>", ""),
        ("<t></t>", ""),
        ("<t>a</t>", "a"),
        ("\n <t>a</t>\n", "a"),
        ("<t> a\tb </t>", "a\tb"),
        ("<t xml:space=\"preserve\"> a </t>", " a "),
        ("<t xml:space='default'> a </t>", "a"),
        ("<t>\u{a0}a\u{3000}</t>", "\u{a0}a\u{3000}"),
        (
            "<r><t>a</t></r><r><rPr><b/><x/></rPr><t xml:space=\"preserve\"> b</t></r>",
            "a b",
        ),
        ("<x:r><x:rPr/><x:t>a</x:t></x:r>", "a"),
        (
            "<t>漢</t><rPh sb=\"0\" eb=\"1\"><t>kan</t></rPh><phoneticPr fontId=\"1\"/>",
            "漢",
        ),
        ("<t>a&amp;<![CDATA[<b>]]>c</t>", "a&<b>c"),
        ("<t>a<!-- x -->b</t>", "ab"),
        ("<t> _x000D_ </t>", "\r"),
        ("<t>_x005F_x000D_</t>", "_x000D_"),
        ("<r/>", ""),
    ];
    for (content, wanted) in cases {
        assert_eq!(read(content).unwrap(), wanted, "{content}");
    }
}

#[test]
fn what_could_hide_text_is_refused() {
    for (content, wanted) in [
        ("<x/>", "unknown content"),
        ("<r><r><t>a</t></r></r>", "unknown content"),
        (
            "<mc:AlternateContent><t>a</t></mc:AlternateContent>",
            "unknown content",
        ),
        ("<t>a<b/></t>", "markup inside"),
        (
            "<t>12345678901</t>",
            "cell_chars_max exceeded: 11 is above 10",
        ),
        ("<r><t>123456</t></r><r><t>78901</t></r>", "cell_chars_max"),
        ("<t>a", "without its start tag"),
    ] {
        let error = read(content).unwrap_err().to_string();
        assert!(error.contains(wanted), "{content}: {error}");
    }
    // Characters count, not bytes.
    assert_eq!(read("<t>ääääääääää</t>").unwrap(), "ääääääääää");
}

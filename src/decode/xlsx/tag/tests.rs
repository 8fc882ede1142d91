use super::{Tag, TagKind};

fn tag(content: &str) -> Tag<'_> {
    Tag::parse(TagKind::Start, content.as_bytes(), "part.xml", 7)
}

#[test]
fn names_lose_their_prefix_and_empty_elements_are_told() {
    let cases = [
        ("row", "row", TagKind::Start),
        ("row/", "row", TagKind::Empty),
        ("x:row r=\"1\" /", "row", TagKind::Empty),
        ("row\n\tr=\"a/\"", "row", TagKind::Start),
        ("row r='/'/", "row", TagKind::Empty),
    ];
    for (content, name, kind) in cases {
        let tag = tag(content);
        assert_eq!((tag.name, tag.kind), (name.as_bytes(), kind), "{content}");
    }
    let end = Tag::parse(TagKind::End, b"x:row ", "part.xml", 0);
    assert!(end.kind == TagKind::End && end.name == b"row" && !end.opens(b"row"));
}

#[test]
fn attributes_stand_in_any_order_and_quote() {
    for content in [
        "c r=\"A1\" s=\"3\" t=\"s\"",
        "c t='s' r='A1' s='3'",
        "c  s = \"3\"\n t\t=\t's' x:r=\"B2\" r=\"A1\" /",
        "c t=\"s\"s=\"3\"r=\"A1\"",
    ] {
        let values = tag(content).attributes([b"r", b"s", b"t", b"u"]).unwrap();
        let wanted = [Some(&b"A1"[..]), Some(b"3"), Some(b"s"), None];
        assert_eq!(values, wanted, "{content}");
    }
    let [text] = tag("a b='x &gt; \"y\"'").texts([b"b"]).unwrap();
    assert_eq!(text.as_deref(), Some("x > \"y\""));
    let id = tag("sheet sheetId=\"1\" r:id=\"rId7\"").prefixed_text(b"id");
    assert_eq!(id.unwrap().as_deref(), Some("rId7"));
}

#[test]
fn malformed_attributes_are_refused_with_their_place() {
    for content in [
        "c r",
        "c r=A1",
        "c r=\"A1",
        "c =\"A1\"",
        "c r=\"1\" r=\"2\"",
        "c a b=\"1\"",
        "c \"a\"=\"1\"",
        "c r=",
    ] {
        let error = tag(content).attributes([b"r"]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("part.xml: has a malformed tag, at byte 7"),
            "{content}: {error}"
        );
    }
    let error = tag("c r=\"&lol;\"").texts([b"r"]).unwrap_err();
    assert!(error.to_string().contains("unknown entity"), "{error}");
}

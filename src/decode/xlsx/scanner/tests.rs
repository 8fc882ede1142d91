use std::fmt::Write as _;

use proptest::prelude::*;

use super::{DEPTH_MAX, MARKUP_BYTES_MAX, WINDOW_BYTES};
use crate::decode::error::DecodeError;
use crate::decode::xlsx::fixture::scanner;
use crate::decode::xlsx::tag::TagKind;

/// All tags, and the texts before end tags.
fn events(content: impl AsRef<[u8]>) -> Result<String, DecodeError> {
    let mut scanner = scanner(content);
    let mut events = String::new();
    while let Some(tag) = scanner.next()? {
        let name = String::from_utf8(tag.name.to_vec()).unwrap();
        let kind = tag.kind;
        match kind {
            TagKind::Start => write!(events, "<{name}>").unwrap(),
            TagKind::End => write!(events, "</{name}>").unwrap(),
            TagKind::Empty => write!(events, "<{name}/>").unwrap(),
        }
        if kind == TagKind::Start {
            scanner.text(&mut events)?;
        }
    }
    Ok(events)
}

#[test]
fn tags_and_texts_come_in_order() {
    let cases = [
        ("<a>b</a>", "<a>b</a>"),
        (
            "<?xml version=\"1.0\"?>\n<x:a><b c=\">\"/></x:a>\n",
            "<a><b/></a>",
        ),
        ("\u{feff}<a/>", "<a/>"),
        (
            "<!-- <b> --><a><!--x-->1<!-- - -->2<?pi <b>?>3</a><!-- -->",
            "<a>123</a>",
        ),
        (
            "<a><![CDATA[<b>&amp;]]]]><![CDATA[>]]></a>",
            "<a><b>&amp;]]></a>",
        ),
        ("<a>&amp;<![CDATA[&]]>\r\n</a>", "<a>&&\n</a>"),
        ("<a\n>x</a\t>", "<a>x</a>"),
        ("<ä>ö</ä>", "<ä>ö</ä>"),
    ];
    for (content, wanted) in cases {
        assert_eq!(events(content).unwrap(), wanted, "{content}");
    }
}

#[test]
fn broken_markup_is_corrupt_and_says_where() {
    let cases = [
        ("", "no element"),
        ("text", "no element"),
        ("<a>", "ends inside"),
        ("<a", "ends inside a tag"),
        ("<", "ends inside a tag"),
        ("<a b=\">", "ends inside a tag"),
        ("<a></b>", "without its start tag"),
        ("<a></x:a>", "without its start tag"),
        ("</a>", "without its start tag"),
        ("<a/><b/>", "two roots"),
        ("<a></a><b></b>", "two roots"),
        ("<a>< b/></a>", "begins no tag"),
        ("<a><1/></a>", "begins no tag"),
        ("<!DOCTYPE a><a/>", "document type"),
        ("<!doctype a><a/>", "document type"),
        ("<a><!ENTITY b \"c\"></a>", "document type"),
        ("<a><!-- </a>", "comment"),
        ("<a><![CDATA[x]]</a>", "comment"),
        ("<?xml <a/>", "comment"),
        ("<a>&lol;</a>", "unknown entity"),
        (
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?><a/>",
            "not in UTF-8",
        ),
        ("<?xml encoding='iso-2022-jp'?><a/>", "not in UTF-8"),
        ("<?xml encoding=''?><a/>", "not in UTF-8"),
    ];
    for (content, wanted) in cases {
        let error = events(content).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{content}: {error}"
        );
        let error = error.to_string();
        assert!(error.contains(wanted), "{content}: {error}");
        assert!(
            error.contains("part.xml: ") && error.contains(", at byte "),
            "{error}"
        );
    }
    for label in ["UTF-8", "utf8", "US-ASCII"] {
        let content = format!("<?xml version=\"1.0\" encoding=\"{label}\"?><a/>");
        assert_eq!(events(content).unwrap(), "<a/>");
    }
}

#[test]
fn other_encodings_are_refused() {
    let wide = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<_>>()
    };
    let big: Vec<u8> = "<a/>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf32: Vec<u8> = "<a/>"
        .chars()
        .flat_map(|c| u32::from(c).to_be_bytes())
        .collect();
    for content in [wide("\u{feff}<a/>"), wide("<a/>"), big, utf32] {
        let error = events(content).unwrap_err().to_string();
        assert!(error.contains("neither UTF-8 nor ASCII"), "{error}");
    }
    let error = events(b"<a>\xff</a>").unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn another_encoding_may_be_declared_if_all_is_ascii() {
    for label in ["windows-1252", "ISO-8859-1", "utf-16", "Shift_JIS"] {
        let part = |text: &str| format!("<?xml version='1.0' encoding='{label}'?><a>{text}</a>");
        assert_eq!(events(part("b&#228;")).unwrap(), "<a>bä</a>", "{label}");
        // In the first window, in the last, and before the declaration.
        let pad = "x".repeat(3 * WINDOW_BYTES);
        let late = part(&format!("<b/>{pad}<c/>ü"));
        for content in [&part("bü"), &late, &part("<?p ü?>"), &part("<ü/>")] {
            let mut content = content.clone();
            let error = events(&content).unwrap_err().to_string();
            let at = content.find('ü').unwrap();
            let wanted = format!("is not plain ASCII, at byte {at}");
            assert!(error.contains(&wanted), "{label}: {error}");
            content.replace_range(at..at + "ü".len(), "u");
            assert!(events(&content).is_ok(), "{label}");
        }
        let marked = format!("\u{feff}{}", part(""));
        let error = events(marked).unwrap_err().to_string();
        assert!(error.contains("is not plain ASCII, at byte 0"), "{error}");
    }
}

#[test]
fn depth_and_length_meet_their_limits() {
    let is_limit = |error: &DecodeError, name: &str| matches!(error, DecodeError::Limit { limit, .. } if limit == name);
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(events(deep(DEPTH_MAX)).is_ok());
    assert!(is_limit(
        &events(deep(DEPTH_MAX + 1)).unwrap_err(),
        "xml_depth_max"
    ));
    let attributes = format!("<a {}/>", "a=\"b\" ".repeat(200_000));
    assert!(is_limit(
        &events(attributes).unwrap_err(),
        "markup_bytes_max"
    ));
    // What the ratio of sizes would find first.
    let noise: String = (0..MARKUP_BYTES_MAX)
        .map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap()))
        .collect();
    let long = format!("<a>{noise}</a>");
    assert!(is_limit(&events(&long).unwrap_err(), "markup_bytes_max"));
    // Text that nobody asks for has no bound.
    let mut scanner = scanner(&long);
    assert!(scanner.next().unwrap().is_some());
    assert!(scanner.next().unwrap().is_some());
    assert!(scanner.next().unwrap().is_none());
}

#[test]
fn elements_are_skipped_as_a_whole() {
    let mut scanner = scanner("<a><b><c>x</c><d/></b><e/></a>");
    scanner.next().unwrap();
    assert_eq!(scanner.next().unwrap().unwrap().name, b"b");
    scanner.skip_element().unwrap();
    assert_eq!(scanner.next().unwrap().unwrap().name, b"e");
    scanner.skip_rest().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever stands at the border of two windows is read as elsewhere.
    #[test]
    fn windows_do_not_show(shift in 0_usize..200, pieces in prop::collection::vec(0_usize..6, 1..8)) {
        let pieces: Vec<&str> = pieces.iter().map(|piece| [
            "<c r=\"A1\" t='s'><v>12</v></c>",
            "<c><![CDATA[<x>]]></c>",
            "<!-- <c> -- -->",
            "<c>&amp;\r\n&#x41;</c>",
            "<?pi > ?>",
            "<c a=\">\"/>",
        ][*piece]).collect();
        let mixed = pieces.concat();
        let plain = events(format!("<a>{mixed}</a>")).unwrap();
        let pad = " ".repeat(WINDOW_BYTES - shift);
        let padded = events(format!("<a> <p>{pad}</p>{mixed}</a>")).unwrap();
        let padded = padded.replace(&pad, "").replace("<p></p>", "").replace("<a> ", "<a>");
        prop_assert_eq!(padded, plain);
    }
}

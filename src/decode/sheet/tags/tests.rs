use super::{READ_BYTES, TagKind, Tags, WINDOW_BYTES_MAX};

/// Gives one byte a read, so that every boundary falls inside something.
struct Dribble<'a>(&'a [u8]);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.len().min(1).min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn seen(xml: &[u8]) -> Vec<String> {
    let mut tags = Tags::new(Dribble(xml), "part");
    let mut seen = Vec::new();
    while let Some(tag) = tags.next().unwrap() {
        let mut words = vec![format!("{:?} {}", tag.kind, text(tag.name))];
        for (name, value) in tag.attributes() {
            words.push(format!("{}={}", text(name), text(value)));
        }
        seen.push(words.join(" "));
    }
    seen
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn tags_are_found_whatever_surrounds_them() {
    let xml = br#"<?xml version="1.0"?><!-- <c> --><x:row r = "1" s='a>"b'><c r="A1"/>
        <![CDATA[ <c r="B1"> ]]> text </x:row >"#;
    assert_eq!(
        seen(xml),
        ["Start row r=1 s=a>\"b", "Empty c r=A1", "Cdata ", "End row",]
    );
}

#[test]
fn text_before_a_tag_is_read_on_request() {
    let mut tags = Tags::new(Dribble(b"<v>12&amp;3</v>"), "part");
    assert_eq!(tags.next().unwrap().unwrap().name, b"v");
    assert_eq!(tags.text().unwrap(), b"12&amp;3");
    assert_eq!(tags.next().unwrap().unwrap().kind, TagKind::End);
    assert!(tags.next().unwrap().is_none());
}

#[test]
fn a_skipped_element_takes_its_children_along() {
    let xml = b"<is><t>a<c/></t><r><t>b</t></r></is><v>1</v>";
    let mut tags = Tags::new(Dribble(xml), "part");
    tags.next().unwrap();
    tags.skip_element().unwrap();
    assert_eq!(tags.next().unwrap().unwrap().name, b"v");
}

#[test]
fn what_is_no_sheet_is_refused() {
    let long = format!("<c r=\"{}\"/>", "A".repeat(2 * WINDOW_BYTES_MAX));
    let cases: [(&[u8], &str); 7] = [
        (b"<!DOCTYPE a><c/>", "document type"),
        (b"<c r=\"A1", "ends inside a tag"),
        (b"<c", "ends inside a tag"),
        (b"<", "ends inside a tag"),
        (b"<!-- ", "ends inside a comment"),
        (b"\xff\xfe<\0c\0", "neither UTF-8"),
        (long.as_bytes(), "markup_bytes_max"),
    ];
    for (xml, wanted) in cases {
        let error = Tags::new(xml, "part").next().unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn long_text_is_skipped_in_a_small_window() {
    let xml = format!("{}<c/>", "x".repeat(4 * WINDOW_BYTES_MAX));
    let mut tags = Tags::new(xml.as_bytes(), "part");
    assert_eq!(tags.next().unwrap().unwrap().name, b"c");
    assert!(tags.window.capacity() <= 4 * READ_BYTES);
}

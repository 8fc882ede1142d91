use super::cell;

#[test]
fn the_usual_cell_is_found_to_its_end() {
    let cases = [
        "<c r=\"A1\"/>",
        "<c r=\"A1\" s=\"3\"/>",
        "<c r=\"XFD1048576\" s=\"3\" t=\"s\"><v>0</v></c>",
        "<c r=\"A1\" t=\"s\" s=\"12\"><v>4294967295</v></c>",
        "<c r=\"A1\"><v>-1.5E-7</v></c>",
        "<c r=\"A1\" t=\"n\"><v>1</v></c>",
        "<c r=\"A1\" t=\"b\"><v>1</v></c>",
        "<c r=\"A1\" t=\"e\"><v>#N/A</v></c>",
        "<c r=\"A1\" t=\"str\"><v>text</v></c>",
    ];
    for text in cases {
        let followed = format!("{text}<c r=\"B1\"/>");
        let found = cell(followed.as_bytes()).expect(text);
        assert_eq!(found.n_bytes(), text.len(), "{text}");
        let reference = found.reference(followed.as_bytes());
        assert!(matches!(reference, b"A1" | b"XFD1048576"), "{text}");
        // Cut anywhere, it is left to those who can read more.
        for cut in 0..text.len() {
            assert_eq!(cell(&text.as_bytes()[..cut]), None, "{text} cut at {cut}");
        }
    }
}

#[test]
fn anything_else_is_left_to_the_tags() {
    let cases = [
        "<c/>",
        "<c r='A1'/>",
        "<c  r=\"A1\"/>",
        "<x:c r=\"A1\"/>",
        "<c r=\"A&#49;\"/>",
        "<c r=\"A1\" cm=\"1\"/>",
        "<c r=\"A1\"></c>",
        "<c r=\"A1\"><v></v></c>",
        "<c r=\"A1\"><v/></c>",
        "<c r=\"A1\"><f>B1</f><v>1</v></c>",
        "<c r=\"A1\"><v>1</v><f>B1</f></c>",
        "<c r=\"A1\"><v>1&#48;</v></c>",
        "<c r=\"A1\" t=\"s\"><v>x</v></c>",
        "<c r=\"A1\" t=\"s\"><v>12345678901</v></c>",
        "<c r=\"A1\" t=\"inlineStr\"><v>1</v></c>",
        "<c r=\"A1\" t=\"inlineStr\"><is><t>a</t></is></c>",
        "<c r=\"A1\" t=\"str\"><v><![CDATA[a]]></v></c>",
        "<row r=\"1\">",
        "",
    ];
    for text in cases {
        assert_eq!(cell(text.as_bytes()), None, "{text}");
    }
}

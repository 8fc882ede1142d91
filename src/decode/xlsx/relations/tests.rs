use super::Relations;
use crate::decode::error::DecodeError;
use crate::decode::xlsx::fixture::part;

fn relations(entries: &str) -> Result<Relations, DecodeError> {
    Relations::read(part(
        format!("<Relationships>{entries}</Relationships>").as_bytes(),
    ))
}

fn path(target: &str, folder: &str) -> Result<String, DecodeError> {
    let entry = format!("<Relationship Id=\"a\" Type=\"x/styles\" Target=\"{target}\"/>");
    relations(&entry)?.by_id("a")?.path(folder)
}

#[test]
fn targets_lead_to_parts() {
    let cases = [
        ("worksheets/sheet1.xml", "xl/", "xl/worksheets/sheet1.xml"),
        (
            "/xl/worksheets/sheet1.xml",
            "xl/",
            "xl/worksheets/sheet1.xml",
        ),
        ("../customXml/item.xml", "xl/", "customXml/item.xml"),
        ("./a//b.xml", "xl/", "xl/a/b.xml"),
        ("worksheets\\sheet1.xml", "xl/", "xl/worksheets/sheet1.xml"),
        ("a &amp; b.xml", "", "a & b.xml"),
    ];
    for (target, folder, wanted) in cases {
        assert_eq!(path(target, folder).unwrap(), wanted, "{target}");
    }
}

#[test]
fn no_target_leads_out_of_the_file() {
    for target in ["../../etc/passwd", "/../x", "a/../../../x", "..\\..\\x"] {
        let error = path(target, "xl/").unwrap_err().to_string();
        assert!(error.contains("leads out of the file"), "{target}: {error}");
    }
    let external =
        "<Relationship Id=\"a\" Type=\"t\" Target=\"file:///etc/passwd\" TargetMode=\"External\"/>";
    let error = relations(external).unwrap().by_id("a").unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn entries_are_unambiguous() {
    let one = "<Relationship Id=\"a\" Type=\"x/worksheet\" Target=\"b\"/>";
    let relations_of_one = relations(one).unwrap();
    assert_eq!(
        relations_of_one.by_kind("worksheet").unwrap().kind,
        "worksheet"
    );
    assert!(relations_of_one.by_kind("sheet").is_none());
    let twice = relations(&one.repeat(2)).unwrap();
    assert!(twice.by_id("a").unwrap_err().to_string().contains("twice"));
    assert!(relations("<Relationship Id=\"a\" Target=\"b\"/>").is_err());
}

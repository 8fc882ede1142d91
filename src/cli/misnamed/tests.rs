use std::fs;

use super::remark;

#[test]
fn text_that_is_named_as_a_workbook_is_remarked_on() {
    let directory = tempfile::tempdir().unwrap();
    let told = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        remark(&path)
    };
    for name in ["a.xlsx", "a.XLS", "a.ods"] {
        let remark = told(name, b"this was a workbook once\n").expect(name);
        assert!(remark.contains(name) && remark.contains("CSV"), "{remark}");
    }
    assert_eq!(told("a.csv", b"name\nx\n"), None);
    assert_eq!(told("a", b"name\nx\n"), None);
    assert_eq!(told("b.xlsx", b"PK\x03\x04 and more"), None);
    assert_eq!(told("b.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), None);
    // Compressed, refused by the server, or empty: not read as CSV.
    assert_eq!(told("c.xlsx", b"\x1f\x8b\x08\x00 and more"), None);
    assert_eq!(told("d.xlsx", b"%PDF-1.7"), None);
    assert_eq!(told("e.xlsx", b""), None);
    assert_eq!(remark(&directory.path().join("none.xlsx")), None);
    let named_so = directory.path().join("directory.xlsx");
    fs::create_dir(&named_so).unwrap();
    assert_eq!(remark(&named_so), None);
}

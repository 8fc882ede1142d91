//! Makes xlsx files with any content, faults included.
//!
//! In: sheet data and parts as text. Out: the bytes of a zip.

use std::fmt::Write as _;
use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// An xlsx file; every part can be replaced.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    parts: Vec<(String, Vec<u8>)>,
}

const TYPES: &str = r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#;
const RELS: &str = r#"<?xml version="1.0"?><Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
/// Styles 0 to 5: General, a date, elapsed time, zeros, percent, a built-in date.
const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/><numFmt numFmtId="165" formatCode="[h]:mm"/><numFmt numFmtId="166" formatCode="000\-0000"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/><xf numFmtId="9"/><xf numFmtId="14"/></cellXfs></styleSheet>"#;

impl Package {
    /// A workbook with one visible sheet, whose `sheetData` has this content.
    pub(crate) fn new(sheet_data: &str) -> Package {
        Package::with_sheets(&[("Sheet1", "visible", sheet_data)])
    }

    /// A workbook with sheets of name, state and content.
    pub(crate) fn with_sheets(sheets: &[(&str, &str, &str)]) -> Package {
        let mut package = Package { parts: Vec::new() };
        let mut list = String::new();
        let mut relationships = String::new();
        for (index, (name, state, data)) in sheets.iter().enumerate() {
            write!(
                list,
                r#"<sheet name="{name}" sheetId="{0}" state="{state}" r:id="rId{0}"/>"#,
                index + 1
            )
            .unwrap();
            write!(
                relationships,
                r#"<Relationship Id="rId{0}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{0}.xml"/>"#,
                index + 1
            )
            .unwrap();
            let xml = format!(
                r#"<?xml version="1.0" encoding="UTF-8"?><worksheet><sheetData>{data}</sheetData></worksheet>"#
            );
            package.set(&format!("xl/worksheets/sheet{}.xml", index + 1), &xml);
        }
        package.set("[Content_Types].xml", TYPES);
        package.set("_rels/.rels", RELS);
        package.set(
            "xl/workbook.xml",
            &format!("<workbook><workbookPr/><sheets>{list}</sheets></workbook>"),
        );
        package.set(
            "xl/_rels/workbook.xml.rels",
            &format!("<Relationships>{relationships}</Relationships>"),
        );
        package.set("xl/styles.xml", STYLES);
        package
    }

    /// Adds or replaces a part.
    pub(crate) fn set(&mut self, path: &str, content: &str) {
        self.set_bytes(path, content.as_bytes());
    }

    /// Adds or replaces a part.
    pub(crate) fn set_bytes(&mut self, path: &str, content: &[u8]) {
        self.parts.retain(|(name, _)| name != path);
        self.parts.push((path.to_owned(), content.to_vec()));
    }

    /// Replaces `from` by `to` in a part.
    pub(crate) fn edit(&mut self, path: &str, from: &str, to: &str) {
        let part = self.parts.iter_mut().find(|(name, _)| name == path);
        let (_, content) = part.unwrap();
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        *content = text.replace(from, to).into_bytes();
    }

    /// Sets the shared strings, and what their part says about their number.
    pub(crate) fn set_strings(&mut self, unique_count: &str, strings: &[&str]) {
        let items = strings.join("</t></si><si><t>");
        self.set(
            "xl/sharedStrings.xml",
            &format!(r#"<sst uniqueCount="{unique_count}"><si><t>{items}</t></si></sst>"#),
        );
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for (path, content) in &self.parts {
            zip.start_file(path.as_str(), options).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }
}

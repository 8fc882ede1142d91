//! Makes xlsx files with any content, faults included, and reads them.
//!
//! In: sheet data and parts as text. Out: the bytes of a zip, and what a decoder makes of it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sheet;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::rows::{Sink, SpillRoom};
use crate::decode::survey::SheetEntry;
use crate::decode::xlsx::directory::Directory;
use crate::decode::xlsx::part::{InflateBudget, Part};
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::{HeaderRow, SourceHeader};
use crate::model::cell::Cell;
use crate::model::frame::Frame;

const RELS: &str = r#"<Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const TYPES: &str = r#"<Types><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#;
/// Styles 0 to 5: General, a date, elapsed time, zeros, percent, a built-in date.
const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/><numFmt numFmtId="165" formatCode="[h]:mm"/><numFmt numFmtId="166" formatCode="000\-0000"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/><xf numFmtId="9"/><xf numFmtId="14"/></cellXfs></styleSheet>"#;

/// A zip; every part can be replaced.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    parts: Vec<(String, Vec<u8>)>,
}

/// What a decoder has handed on.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Taken {
    /// The header, once.
    pub(crate) header: Option<SourceHeader>,
    /// Ordinals and cells, as text with their kinds.
    pub(crate) rows: Vec<(u64, Vec<String>)>,
    /// Surveyed sheets.
    pub(crate) sheets: Vec<SheetEntry>,
}

/// The same where strings may go to a file.
#[derive(Debug)]
pub(crate) struct Roomy {
    /// What was handed on.
    pub(crate) taken: Taken,
    /// Where files are made.
    pub(crate) dir: PathBuf,
    /// How many bytes were asked for.
    pub(crate) asked: Vec<u64>,
}

// === impl Package ===

impl Package {
    /// A workbook with one visible sheet, whose `sheetData` has this content.
    pub(crate) fn new(sheet_data: &str) -> Package {
        Package::with_sheets(&[("Sheet1", "visible", sheet_data)])
    }

    /// A workbook with sheets of name, state and content.
    pub(crate) fn with_sheets(sheets: &[(&str, &str, &str)]) -> Package {
        let mut package = Package { parts: Vec::new() };
        let mut list = String::new();
        let mut relations = String::new();
        for (index, (name, state, data)) in sheets.iter().enumerate() {
            let number = index + 1;
            write!(
                list,
                r#"<sheet name="{name}" sheetId="{number}" state="{state}" r:id="rId{number}"/>"#
            )
            .unwrap();
            write!(
                relations,
                r#"<Relationship Id="rId{number}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{number}.xml"/>"#
            )
            .unwrap();
            let xml = format!(
                r#"<?xml version="1.0" encoding="UTF-8"?><worksheet><dimension ref="A1"/><sheetData>{data}</sheetData></worksheet>"#
            );
            package.set(&format!("xl/worksheets/sheet{number}.xml"), &xml);
        }
        package.set("[Content_Types].xml", TYPES);
        package.set("_rels/.rels", RELS);
        package.set(
            "xl/workbook.xml",
            &format!("<workbook><workbookPr/><sheets>{list}</sheets></workbook>"),
        );
        package.set(
            "xl/_rels/workbook.xml.rels",
            &format!("<Relationships>{relations}</Relationships>"),
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

    /// Gives a part another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let part = self.parts.iter_mut().find(|(name, _)| name == from);
        to.clone_into(&mut part.unwrap().0);
    }

    /// The content of a part.
    pub(crate) fn part(&self, path: &str) -> &[u8] {
        let part = self.parts.iter().find(|(name, _)| name == path);
        &part.unwrap().1
    }

    /// Takes a part out.
    pub(crate) fn remove(&mut self, path: &str) {
        self.parts.retain(|(name, _)| name != path);
    }

    /// Replaces `from` by `to` in a part.
    pub(crate) fn edit(&mut self, path: &str, from: &str, to: &str) {
        let part = self.parts.iter_mut().find(|(name, _)| name == path);
        let (_, content) = part.unwrap();
        let text = String::from_utf8(content.clone()).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        *content = text.replace(from, to).into_bytes();
    }

    /// Sets the shared strings.
    pub(crate) fn set_strings(&mut self, strings: &[&str]) {
        let items = strings.join("</t></si><si><t>");
        self.set(
            "xl/sharedStrings.xml",
            &format!("<sst><si><t>{items}</t></si></sst>"),
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

// === impl Taken ===

impl Taken {
    /// The rows, cells joined by `|`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.rows.iter().map(|(_, cells)| cells.join("|")).collect()
    }
}

impl Sink for Taken {
    fn header(&mut self, header: SourceHeader) -> Result<(), DecodeError> {
        assert!(self.header.replace(header).is_none(), "two headers");
        Ok(())
    }

    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError> {
        for row in frame.rows() {
            let cells = row.cells().map(|cell| label(cell)).collect();
            self.rows.push((row.ordinal, cells));
        }
        Ok(())
    }

    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError> {
        self.sheets.push(entry);
        Ok(())
    }

    fn spill_room(&mut self, _n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError> {
        Ok(None)
    }
}

// === impl Roomy ===

impl Sink for Roomy {
    fn header(&mut self, header: SourceHeader) -> Result<(), DecodeError> {
        self.taken.header(header)
    }

    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError> {
        self.taken.rows(frame)
    }

    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError> {
        self.taken.sheet(entry)
    }

    fn spill_room(&mut self, n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError> {
        self.asked.push(n_bytes);
        let dir = self.dir.clone();
        Ok(Some(SpillRoom { dir, n_bytes }))
    }
}

/// A cell with its kind.
fn label(cell: Cell<'_>) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => format!("text:{text}"),
        Cell::InvalidText(text) => format!("invalid:{text}"),
        Cell::Number(value) => format!("number:{value}"),
        Cell::ZerosNumber { shown, .. } => format!("zeros:{shown}"),
        Cell::Bool(value) => format!("bool:{value}"),
        Cell::DateSerial { serial, system } => format!("serial:{serial}:{system:?}"),
        Cell::Duration(days) => format!("duration:{days}"),
        Cell::IsoDateTime(text) => format!("iso:{text}"),
        Cell::Error(text) => format!("error:{text}"),
        Cell::FormulaWithoutValue => "formula".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An unnamed file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The part of a zip that has no other, with this content.
pub(crate) fn part(content: &[u8]) -> Part {
    let mut package = Package { parts: Vec::new() };
    package.set_bytes("part.xml", content);
    let file = SharedFile::new(file(&package.bytes())).unwrap();
    let limits = Limits::default();
    let directory = Directory::read(&file, &limits).unwrap();
    let entry = directory.find("part.xml").unwrap();
    Part::open(&directory, entry, &InflateBudget::new(&limits)).unwrap()
}

/// A scanner of this content.
pub(crate) fn scanner(content: impl AsRef<[u8]>) -> Scanner {
    Scanner::new(part(content.as_ref()))
}

/// Everything in the first visible sheet with content, without a header.
pub(crate) fn all_rows() -> WorkbookRequest {
    WorkbookRequest {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Absent,
    }
}

/// Decodes with this reader.
pub(crate) fn decode(bytes: &[u8]) -> Result<Taken, DecodeError> {
    decode_with(bytes, &all_rows(), &Limits::default())
}

/// Decodes with this reader.
pub(crate) fn decode_with(
    bytes: &[u8],
    request: &WorkbookRequest,
    limits: &Limits,
) -> Result<Taken, DecodeError> {
    let mut taken = Taken::default();
    let file = SharedFile::new(file(bytes)).unwrap();
    sheet::with_job(request, limits, &mut taken, |job| super::read(&file, job))?;
    Ok(taken)
}

/// Decodes with calamine.
pub(crate) fn decode_with_calamine(
    bytes: &[u8],
    request: &WorkbookRequest,
) -> Result<Taken, DecodeError> {
    let mut taken = Taken::default();
    sheet::decode_with_calamine(file(bytes), request, &mut taken)?;
    Ok(taken)
}

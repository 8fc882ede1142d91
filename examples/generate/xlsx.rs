//! A workbook of one sheet with shared strings, as Excel writes it.
//!
//! In: a function that makes the rows, called twice: once for the sheet, which refers to the
//! strings by number, once for the strings, in the order of first use. Out: the zip, in memory
//! that does not grow with the rows. Made by hand because it also writes what no library does:
//! formulas without a value, escaped control characters.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Seek, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::rows::{Cell, Row};

type Written = Result<(), Box<dyn Error>>;

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const TYPES: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";

/// Writes the workbook.
pub(crate) fn write<W: Write + Seek, I: Iterator<Item = Row>>(
    output: W,
    sheet_name: &str,
    rows: impl Fn() -> I,
) -> Result<W, Box<dyn Error>> {
    let mut zip = ZipWriter::new(output);
    let part = |zip: &mut ZipWriter<W>, name: &str| {
        zip.start_file(name, SimpleFileOptions::default().large_file(false))
    };
    for (name, content) in fixed_parts(sheet_name) {
        part(&mut zip, name)?;
        zip.write_all(content.as_bytes())?;
    }
    part(&mut zip, "xl/worksheets/sheet1.xml")?;
    let totals = write_sheet(&mut zip, rows())?;
    part(&mut zip, "xl/sharedStrings.xml")?;
    write_strings(&mut zip, rows(), &totals)?;
    Ok(zip.finish()?)
}

/// Numbers strings in the order of their first use.
#[derive(Debug, Default)]
struct Strings {
    n_uses: u64,
    n_distinct: u64,
    common: HashMap<&'static str, u64>,
}

impl Strings {
    /// The number of the cell's string, and whether this is its first use; `None`: no string.
    fn number(&mut self, cell: &Cell) -> Option<(u64, bool)> {
        let known = match cell {
            Cell::Text(_) => None,
            Cell::Common(text) => self.common.get(text).copied(),
            _ => return None,
        };
        self.n_uses += 1;
        if let Some(number) = known {
            return Some((number, false));
        }
        let number = self.n_distinct;
        self.n_distinct += 1;
        if let Cell::Common(text) = cell {
            self.common.insert(text, number);
        }
        Some((number, true))
    }
}

fn write_sheet(
    output: &mut impl Write,
    rows: impl Iterator<Item = Row>,
) -> Result<Strings, Box<dyn Error>> {
    let mut strings = Strings::default();
    write!(
        output,
        "{XML}<worksheet xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\">\
         <sheetViews><sheetView tabSelected=\"1\" workbookViewId=\"0\"/></sheetViews>\
         <sheetFormatPr defaultRowHeight=\"15\"/><sheetData>"
    )?;
    let mut xml = String::new();
    for (index, row) in rows.enumerate() {
        let number = index + 1;
        xml.clear();
        for (cell, column) in row.iter().zip('A'..='Z') {
            push_cell(&mut xml, cell, column, number, &mut strings);
        }
        write!(
            output,
            "<row r=\"{number}\" spans=\"1:{}\">{xml}</row>",
            row.len()
        )?;
    }
    write!(
        output,
        "</sheetData><pageMargins left=\"0.7\" right=\"0.7\" top=\"0.75\" bottom=\"0.75\" \
         header=\"0.3\" footer=\"0.3\"/></worksheet>"
    )?;
    Ok(strings)
}

fn push_cell(xml: &mut String, cell: &Cell, column: char, row: usize, strings: &mut Strings) {
    let string = strings.number(cell);
    let at = format!("{column}{row}");
    let cell = match cell {
        Cell::Empty => return,
        Cell::Text(_) | Cell::Common(_) => {
            let (number, _) = string.expect("texts have numbers");
            format!("<c r=\"{at}\" t=\"s\"><v>{number}</v></c>")
        }
        Cell::Number(number) => format!("<c r=\"{at}\"><v>{number}</v></c>"),
        Cell::ZerosNumber(number) => format!("<c r=\"{at}\" s=\"1\"><v>{number}</v></c>"),
        Cell::Error(error) => format!("<c r=\"{at}\" t=\"e\"><v>{error}</v></c>"),
        Cell::Formula {
            formula,
            value: Some(value),
        } => format!(
            "<c r=\"{at}\" t=\"str\"><f>{}</f><v>{}</v></c>",
            escaped(formula),
            escaped(value)
        ),
        Cell::Formula {
            formula,
            value: None,
        } => {
            format!("<c r=\"{at}\"><f>{}</f></c>", escaped(formula))
        }
    };
    xml.push_str(&cell);
}

fn write_strings(
    output: &mut impl Write,
    rows: impl Iterator<Item = Row>,
    totals: &Strings,
) -> Written {
    write!(
        output,
        "{XML}<sst xmlns=\"{MAIN}\" count=\"{}\" uniqueCount=\"{}\">",
        totals.n_uses, totals.n_distinct
    )?;
    let mut strings = Strings::default();
    for row in rows {
        for cell in &row {
            let Some((_, true)) = strings.number(cell) else {
                continue;
            };
            let text = match cell {
                Cell::Text(text) => text.as_str(),
                Cell::Common(text) => text,
                _ => unreachable!("only texts have numbers"),
            };
            if text.trim() == text {
                write!(output, "<si><t>{}</t></si>", escaped(text))?;
            } else {
                write!(
                    output,
                    "<si><t xml:space=\"preserve\">{}</t></si>",
                    escaped(text)
                )?;
            }
        }
    }
    assert_eq!(
        strings.n_distinct, totals.n_distinct,
        "both passes see the same rows"
    );
    write!(output, "</sst>")?;
    Ok(())
}

/// Text as XML holds it; control characters as `_xHHHH_`, as Excel does it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => {
                write!(escaped, "_x{:04X}_", u32::from(character))
                    .expect("writing to a String cannot fail");
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn fixed_parts(sheet_name: &str) -> Vec<(&'static str, String)> {
    let part = |path: &str, kind: &str| {
        format!("<Override PartName=\"{path}\" ContentType=\"{TYPES}.{kind}+xml\"/>")
    };
    let relation = |id: u8, kind: &str, target: &str| {
        format!("<Relationship Id=\"rId{id}\" Type=\"{RELATIONS}/{kind}\" Target=\"{target}\"/>")
    };
    let relations = |inner: &str| {
        format!("{XML}<Relationships xmlns=\"{PACKAGE}/relationships\">{inner}</Relationships>")
    };
    let content_types = [
        part("/xl/workbook.xml", "sheet.main"),
        part("/xl/worksheets/sheet1.xml", "worksheet"),
        part("/xl/styles.xml", "styles"),
        part("/xl/sharedStrings.xml", "sharedStrings"),
    ];
    let of_workbook = [
        relation(1, "worksheet", "worksheets/sheet1.xml"),
        relation(2, "styles", "styles.xml"),
        relation(3, "sharedStrings", "sharedStrings.xml"),
    ];
    let one = "<border><left/><right/><top/><bottom/><diagonal/></border>";
    vec![
        (
            "[Content_Types].xml",
            format!(
                "{XML}<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
                 <Default Extension=\"xml\" ContentType=\"application/xml\"/>{}</Types>",
                content_types.concat()
            ),
        ),
        (
            "_rels/.rels",
            relations(&relation(1, "officeDocument", "xl/workbook.xml")),
        ),
        (
            "xl/workbook.xml",
            format!(
                "{XML}<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONS}\"><bookViews>\
                 <workbookView/></bookViews><sheets><sheet name=\"{}\" sheetId=\"1\" \
                 r:id=\"rId1\"/></sheets></workbook>",
                escaped(sheet_name)
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            relations(&of_workbook.concat()),
        ),
        (
            "xl/styles.xml",
            format!(
                "{XML}<styleSheet xmlns=\"{MAIN}\"><numFmts count=\"1\"><numFmt numFmtId=\"164\" \
                 formatCode=\"0000000000\"/></numFmts><fonts count=\"1\"><font><sz val=\"11\"/>\
                 <name val=\"Calibri\"/></font></fonts><fills count=\"2\"><fill><patternFill \
                 patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill>\
                 </fills><borders count=\"1\">{one}</borders><cellStyleXfs count=\"1\"><xf \
                 numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs><cellXfs \
                 count=\"2\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" \
                 xfId=\"0\"/><xf numFmtId=\"164\" fontId=\"0\" fillId=\"0\" borderId=\"0\" \
                 xfId=\"0\" applyNumberFormat=\"1\"/></cellXfs><cellStyles count=\"1\"><cellStyle \
                 name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles></styleSheet>"
            ),
        ),
    ]
}

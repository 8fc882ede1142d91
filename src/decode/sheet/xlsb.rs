//! xlsb, one cell at a time, without calamine.
//!
//! In: the file. Out: cells in the order of the sheet. calamine's reader of this format leaves
//! out formulas with an error, rich text and cells in the short form that some programs write,
//! and reads styles as if every record were empty; the records are few and simple, so they are
//! read here. Only the shared strings are kept. Formulas always have a value in this format.

use std::io::Read;

use crate::decode::error::DecodeError;
use crate::decode::sheet::cells::Values;
use crate::decode::sheet::choice::SheetMeta;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::formats::NumberKind;
use crate::decode::sheet::package::{Package, Relationship, target_of};
use crate::decode::sheet::rows::Outcome;
use crate::decode::sheet::xlsb::cells::{BinaryCells, BinaryValue};
use crate::decode::sheet::xlsb::records::{Fields, Records};
use crate::decode::sheet::xlsb::strings::SharedStrings;
use crate::decode::sheet::{Job, broken};
use crate::model::cell::Cell;
use crate::model::import::FileFormat;

mod cells;
mod records;
mod strings;

// Record types, MS-XLSB 2.3.2.
const WORKBOOK_PROPERTIES: u16 = 0x0099;
const BUNDLE_SHEET: u16 = 0x009c;
const END_BUNDLE_SHEETS: u16 = 0x0090;
const FORMAT: u16 = 0x002c;
const CELL_FORMAT: u16 = 0x002f;
const BEGIN_CELL_FORMATS: u16 = 0x0269;
const END_CELL_FORMATS: u16 = 0x026a;

/// What a workbook says about itself.
struct Workbook {
    is_1904: bool,
    sheets: Vec<SheetMeta>,
    /// The parts of the sheets.
    paths: Vec<String>,
    strings: SharedStrings,
    /// What each cell format makes of a number.
    kinds: Vec<NumberKind>,
}

/// Reads the sheet that `job` wants.
pub(crate) fn read(file: &SharedFile, job: &mut Job<'_>) -> Result<(), DecodeError> {
    let mut package = Package::open(file)?;
    let workbook = Workbook::read(&mut package, job)?;
    job.read_sheets(FileFormat::Xlsb, &workbook.sheets, |job, index| {
        read_sheet(&workbook, index, &mut package, job)
    })
}

fn read_sheet(
    workbook: &Workbook,
    index: usize,
    package: &mut Package,
    job: &mut Job<'_>,
) -> Result<Outcome, DecodeError> {
    let path = &workbook.paths[index];
    let part = package
        .part(path)?
        .ok_or_else(|| broken(path, "is missing"))?;
    let mut cells = BinaryCells::new(part, path)?;
    let mut values = Values::new(job.limits, workbook.is_1904);
    let name = &workbook.sheets[index].name;
    let mut rows = job.rows(FileFormat::Xlsb, name, cells.n_rows_hint());
    while let Some(found) = cells.next()? {
        let cell = match found.value {
            BinaryValue::Number(value) => {
                let kind = workbook.kinds.get(found.style);
                values.number(value, kind.unwrap_or(&NumberKind::Plain))
            }
            BinaryValue::Bool(value) => Cell::Bool(value),
            BinaryValue::Error(text) => Cell::Error(text),
            BinaryValue::Text(text) => values.text(text)?,
            BinaryValue::Shared(index) => match workbook.strings.get(index) {
                Some(text) => values.text(text)?,
                None => return Err(broken(path, "names a shared string that is not there")),
            },
        };
        rows.cell(found.row, found.column, cell)?;
        if rows.is_full() {
            break;
        }
    }
    rows.finish()
}

// === impl Workbook ===

impl Workbook {
    fn read(package: &mut Package, job: &Job<'_>) -> Result<Workbook, DecodeError> {
        let (folder, name) = package.main_part()?;
        let path = format!("{folder}{name}");
        let relationships = package.relationships(&format!("{folder}_rels/{name}.rels"))?;
        let mut workbook = Workbook {
            is_1904: false,
            sheets: Vec::new(),
            paths: Vec::new(),
            strings: SharedStrings::default(),
            kinds: Vec::new(),
        };
        let part = package
            .part(&path)?
            .ok_or_else(|| broken(&path, "is missing"))?;
        workbook.read_sheets(Records::new(part, &path), &relationships, &folder)?;
        let bytes_max = job.limits.shared_strings_bytes_max;
        for relationship in &relationships {
            let path = relationship.path(&folder);
            if relationship.is_of("/sharedStrings")
                && let Some(part) = package.part(&path)?
            {
                workbook.strings = SharedStrings::read(part, &path, bytes_max)?;
            } else if relationship.is_of("/styles")
                && let Some(part) = package.part(&path)?
            {
                workbook.kinds = number_kinds(Records::new(part, &path))?;
            }
        }
        Ok(workbook)
    }

    fn read_sheets(
        &mut self,
        mut records: Records<impl Read>,
        relationships: &[Relationship],
        folder: &str,
    ) -> Result<(), DecodeError> {
        let wants = |kind| matches!(kind, WORKBOOK_PROPERTIES | BUNDLE_SHEET | END_BUNDLE_SHEETS);
        while let Some((kind, mut fields)) = records.next(wants)? {
            match kind {
                WORKBOOK_PROPERTIES => {
                    self.is_1904 = fields.u32().is_some_and(|flags| flags & 1 != 0);
                }
                BUNDLE_SHEET => {
                    let Some((is_hidden, id, name)) = bundle_sheet(fields) else {
                        return Err(records.corrupt("has a broken list of sheets"));
                    };
                    let target = target_of(relationships, &id)?;
                    self.paths.push(target.path(folder));
                    self.sheets.push(SheetMeta {
                        name,
                        is_hidden,
                        holds_cells: target.is_of("/worksheet"),
                    });
                }
                _ => return Ok(()),
            }
        }
        Err(records.corrupt("has no end of its list of sheets"))
    }
}

/// Whether a sheet is hidden, its relationship and its name.
fn bundle_sheet(mut fields: Fields<'_>) -> Option<(bool, String, String)> {
    let is_hidden = match fields.u32()? {
        0 => false,
        1 | 2 => true,
        _ => return None,
    };
    // The sheet's own id.
    fields.u32()?;
    Some((is_hidden, fields.string()?, fields.string()?))
}

fn number_kinds(mut records: Records<impl Read>) -> Result<Vec<NumberKind>, DecodeError> {
    let mut custom: Vec<(u16, NumberKind)> = Vec::new();
    let mut kinds = Vec::new();
    let mut is_inside = false;
    let wants = |kind| {
        matches!(
            kind,
            FORMAT | CELL_FORMAT | BEGIN_CELL_FORMATS | END_CELL_FORMATS
        )
    };
    while let Some((kind, mut fields)) = records.next(wants)? {
        match kind {
            BEGIN_CELL_FORMATS => is_inside = true,
            END_CELL_FORMATS => break,
            FORMAT => {
                let (Some(id), Some(code)) = (fields.u16(), fields.string()) else {
                    return Err(records.corrupt("has a broken number format"));
                };
                custom.push((id, NumberKind::of(&code, Some(u32::from(id)))));
            }
            _ if is_inside => {
                // The format's parent, then its number format.
                let Some(id) = fields.u16().and_then(|_| fields.u16()) else {
                    return Err(records.corrupt("has a broken cell format"));
                };
                let known = custom.iter().find(|(known, _)| *known == id);
                kinds.push(known.map_or_else(
                    || NumberKind::of_builtin(u32::from(id)),
                    |(_, kind)| kind.clone(),
                ));
            }
            _ => {}
        }
    }
    Ok(kinds)
}

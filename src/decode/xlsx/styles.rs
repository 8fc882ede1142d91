//! What numbers are, by the style of their cell.
//!
//! In: `styles.xml`. Out: a [`NumberKind`] for each cell format, in order. Only the number formats
//! are read; a code in the file goes before the built-in one of the same id. Bounded by
//! [`STYLES_MAX`] formats, and by the scanner a code.

use std::collections::HashMap;

use crate::decode::error::DecodeError;
use crate::decode::sheet::formats::NumberKind;
use crate::decode::xlsx::count;
use crate::decode::xlsx::part::Part;
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::tag::TagKind;

/// Cell formats, and number formats, of a workbook. Excel stops at 65,490 and 250.
const STYLES_MAX: usize = 1 << 18;

/// The kinds of numbers in a workbook.
#[derive(Debug, Default)]
pub(crate) struct Styles {
    /// By cell format: an index into the kinds.
    cell_formats: Vec<u32>,
    kinds: Vec<NumberKind>,
}

/// What [`Styles`] are made of.
#[derive(Debug, Default)]
struct Builder {
    /// By id.
    codes: HashMap<u32, NumberKind>,
    /// Ids in the order of the cell formats.
    ids: Vec<u32>,
}

// === impl Styles ===

impl Styles {
    /// Reads the part.
    pub(crate) fn read(part: Part) -> Result<Styles, DecodeError> {
        let mut scanner = Scanner::new(part);
        let mut builder = Builder::default();
        match scanner.next()? {
            Some(tag) if tag.opens(b"styleSheet") => {}
            _ => return Err(scanner.corrupt("has no style sheet")),
        }
        // Number formats stand before the cell formats that name them, but need not.
        while let Some(tag) = scanner.next()? {
            match (tag.name, tag.kind) {
                (b"numFmts", TagKind::Start) => builder.read_codes(&mut scanner)?,
                (b"cellXfs", TagKind::Start) => builder.read_cell_formats(&mut scanner)?,
                (_, TagKind::Start) => scanner.skip_element()?,
                (_, TagKind::Empty | TagKind::End) => {}
            }
        }
        Ok(builder.build())
    }

    /// What numbers of the cell format are; plain where there is no such format.
    pub(crate) fn kind(&self, cell_format: u32) -> &NumberKind {
        const PLAIN: &NumberKind = &NumberKind::Plain;
        let index = usize::try_from(cell_format).ok();
        let kind = index.and_then(|index| self.cell_formats.get(index));
        let kind = kind.and_then(|kind| self.kinds.get(usize::try_from(*kind).ok()?));
        kind.unwrap_or(PLAIN)
    }
}

// === impl Builder ===

impl Builder {
    fn read_codes(&mut self, scanner: &mut Scanner) -> Result<(), DecodeError> {
        while let Some(tag) = scanner.next()? {
            match (tag.name, tag.kind) {
                (_, TagKind::End) => return Ok(()),
                (b"numFmt", kind) => {
                    let [id, code] = tag.texts([b"numFmtId", b"formatCode"])?;
                    let id = id.and_then(|id| id.parse::<u32>().ok());
                    let (Some(id), Some(code)) = (id, code) else {
                        return Err(tag.corrupt("has a number format without id or code"));
                    };
                    self.codes.insert(id, NumberKind::of(&code, Some(id)));
                    check_count(self.codes.len())?;
                    if kind == TagKind::Start {
                        scanner.skip_element()?;
                    }
                }
                (_, TagKind::Start) => scanner.skip_element()?,
                (_, TagKind::Empty) => {}
            }
        }
        Ok(())
    }

    fn read_cell_formats(&mut self, scanner: &mut Scanner) -> Result<(), DecodeError> {
        while let Some(tag) = scanner.next()? {
            match (tag.name, tag.kind) {
                (_, TagKind::End) => return Ok(()),
                (b"xf", kind) => {
                    let [id] = tag.texts([b"numFmtId"])?;
                    let id = match id {
                        Some(id) => id
                            .parse()
                            .map_err(|_| tag.corrupt("has a cell format whose id is no number"))?,
                        None => 0,
                    };
                    self.ids.push(id);
                    check_count(self.ids.len())?;
                    if kind == TagKind::Start {
                        scanner.skip_element()?;
                    }
                }
                (_, TagKind::Start) => scanner.skip_element()?,
                (_, TagKind::Empty) => {}
            }
        }
        Ok(())
    }

    fn build(mut self) -> Styles {
        let mut styles = Styles::default();
        let mut places = HashMap::new();
        for id in self.ids {
            let place = *places.entry(id).or_insert_with(|| {
                let code = self.codes.remove(&id);
                styles
                    .kinds
                    .push(code.unwrap_or_else(|| NumberKind::of_builtin(id)));
                u32::try_from(styles.kinds.len() - 1).expect("formats are few")
            });
            styles.cell_formats.push(place);
        }
        styles
    }
}

fn check_count(n_formats: usize) -> Result<(), DecodeError> {
    if n_formats <= STYLES_MAX {
        return Ok(());
    }
    let (value, bound) = (count(n_formats), count(STYLES_MAX));
    Err(DecodeError::limit("styles_max", value, bound))
}

#[cfg(test)]
mod tests;

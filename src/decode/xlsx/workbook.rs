//! The parts of a workbook: its sheets in order, its styles, its strings.
//!
//! In: the file. Out: the list of sheets, and for one of them a scanner of its part. The strings
//! are opened when the first of them is asked for, the styles at once. Bounded by the limits of
//! what it opens; there are no more sheets than parts.

use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::sheet::choice::SheetMeta;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::rows::SpillRoom;
use crate::decode::xlsx::directory::Directory;
use crate::decode::xlsx::part::{InflateBudget, Part};
use crate::decode::xlsx::relations::{Relations, check_small};
use crate::decode::xlsx::scanner::Scanner;
use crate::decode::xlsx::strings::{SharedStrings, StringsBounds};
use crate::decode::xlsx::styles::Styles;
use crate::decode::xlsx::tag::{Tag, TagKind};
use crate::decode::xlsx::{broken, corrupt};

/// An open workbook.
#[derive(Debug)]
pub(crate) struct Workbook {
    package: Package,
    /// With the paths of their parts.
    sheets: Vec<(SheetMeta, String)>,
    /// Whether days are counted from 1904.
    pub(crate) is_1904: bool,
    /// What numbers are.
    pub(crate) styles: Styles,
    /// The shared strings.
    pub(crate) strings: LazyStrings,
}

/// The zip, and what all of its parts inflate to.
#[derive(Debug)]
struct Package {
    directory: Directory,
    budget: InflateBudget,
}

/// The shared strings, read from the first question on.
#[derive(Debug)]
pub(crate) struct LazyStrings {
    bounds: StringsBounds,
    part: Option<Part>,
    table: Option<SharedStrings>,
}

// === impl Workbook ===

impl Workbook {
    /// Opens the workbook in `file`.
    pub(crate) fn open(file: &SharedFile, limits: &Limits) -> Result<Workbook, DecodeError> {
        let package = Package {
            directory: Directory::read(file, limits)?,
            budget: InflateBudget::new(limits),
        };
        let (folder, name) = package.main_part()?;
        let relations = match package.part(&format!("{folder}_rels/{name}.rels"))? {
            Some(part) => Relations::read(part)?,
            None => Relations::default(),
        };
        // The usual names serve where a program gives no relationship.
        let other_part = |kind: &str, usual: &str| {
            let path = match relations.by_kind(kind) {
                Some(relation) => relation.path(&folder)?,
                None => format!("{folder}{usual}"),
            };
            package.part(&path)
        };
        let strings = other_part("sharedStrings", "sharedStrings.xml")?;
        let styles = match other_part("styles", "styles.xml")? {
            Some(part) => Styles::read(part)?,
            None => Styles::default(),
        };
        let main_path = format!("{folder}{name}");
        let main = package.existing_part(&main_path)?;
        check_small(&main)?;
        let mut workbook = Workbook {
            package,
            sheets: Vec::new(),
            is_1904: false,
            styles,
            strings: LazyStrings {
                bounds: StringsBounds::new(limits),
                part: strings,
                table: None,
            },
        };
        workbook.read_main(Scanner::new(main), &relations, &folder)?;
        Ok(workbook)
    }

    /// The sheets in the order of the list.
    pub(crate) fn sheets(&self) -> Vec<SheetMeta> {
        self.sheets.iter().map(|(sheet, _)| sheet.clone()).collect()
    }

    /// A scanner of a sheet's part.
    pub(crate) fn open_sheet(&self, index: usize) -> Result<Scanner, DecodeError> {
        let (_, path) = &self.sheets[index];
        self.package.existing_part(path).map(Scanner::new)
    }

    fn read_main(
        &mut self,
        mut scanner: Scanner,
        relations: &Relations,
        folder: &str,
    ) -> Result<(), DecodeError> {
        match scanner.next()? {
            Some(tag) if tag.opens(b"workbook") => {}
            _ => return Err(scanner.corrupt("has no workbook")),
        }
        while let Some(tag) = scanner.next()? {
            match (tag.name, tag.kind) {
                (b"workbookPr", TagKind::Start | TagKind::Empty) => {
                    let [date1904] = tag.texts([b"date1904"])?;
                    self.is_1904 = matches!(date1904.as_deref(), Some("1" | "true"));
                    if tag.kind == TagKind::Start {
                        scanner.skip_element()?;
                    }
                }
                (b"sheets", TagKind::Start) => {}
                (b"sheet", TagKind::Start | TagKind::Empty) => {
                    let kind = tag.kind;
                    let sheet = sheet(&tag, relations, folder)?;
                    self.sheets.push(sheet);
                    if kind == TagKind::Start {
                        scanner.skip_element()?;
                    }
                }
                (_, TagKind::Start) => scanner.skip_element()?,
                (_, TagKind::Empty | TagKind::End) => {}
            }
        }
        Ok(())
    }
}

/// A sheet of the list, and the path of its part.
fn sheet(
    tag: &Tag<'_>,
    relations: &Relations,
    folder: &str,
) -> Result<(SheetMeta, String), DecodeError> {
    let [name, state] = tag.texts([b"name", b"state"])?;
    let id = tag.prefixed_text(b"id")?;
    let (Some(name), Some(id)) = (name, id) else {
        return Err(tag.corrupt("has a sheet without name or part"));
    };
    let is_hidden = match state.as_deref() {
        None | Some("visible") => false,
        Some("hidden" | "veryHidden") => true,
        Some(state) => {
            let complaint = format!("has a sheet of the state '{}'", shown(state));
            return Err(tag.corrupt(&complaint));
        }
    };
    let relation = relations.by_id(&id)?;
    let sheet = SheetMeta {
        name,
        is_hidden,
        holds_cells: relation.kind == "worksheet",
    };
    Ok((sheet, relation.path(folder)?))
}

// === impl Package ===

impl Package {
    /// The part `path`; `None` if there is none.
    fn part(&self, path: &str) -> Result<Option<Part>, DecodeError> {
        let entry = self.directory.find(path);
        entry
            .map(|entry| Part::open(&self.directory, entry, &self.budget))
            .transpose()
    }

    fn existing_part(&self, path: &str) -> Result<Part, DecodeError> {
        self.part(path)?.ok_or_else(|| broken(path, "is missing"))
    }

    /// The folder and name of the workbook's main part.
    fn main_part(&self) -> Result<(String, String), DecodeError> {
        const ROOT: &str = "_rels/.rels";
        let relations = Relations::read(self.existing_part(ROOT)?)?;
        let relation = relations
            .by_kind("officeDocument")
            .ok_or_else(|| corrupt("_rels/.rels names no workbook"))?;
        let path = relation.path("")?;
        let (folder, name) = path.rsplit_once('/').map_or_else(
            || (String::new(), path.clone()),
            |(folder, name)| (format!("{folder}/"), name.to_owned()),
        );
        Ok((folder, name))
    }
}

// === impl LazyStrings ===

impl LazyStrings {
    /// What the strings may have beyond those in memory, bytes.
    pub(crate) fn beyond_memory(&self) -> u64 {
        let part = self.part.as_ref();
        part.map_or(0, |part| self.bounds.beyond_memory(part))
    }

    /// Gives them room for a file, before any of them is asked for.
    pub(crate) fn spill_to(&mut self, room: SpillRoom) {
        debug_assert!(self.table.is_none(), "they are being read");
        self.bounds.spill = Some(room);
    }

    /// The table, which is being read from now on; `None` if the workbook has none.
    pub(crate) fn table(&mut self) -> Result<Option<&mut SharedStrings>, DecodeError> {
        if let Some(part) = self.part.take() {
            self.table = Some(SharedStrings::start(part, &self.bounds)?);
        }
        Ok(self.table.as_mut())
    }

    /// Waits until all strings are read, if any was asked for; fails if they are broken.
    pub(crate) fn finish(&mut self) -> Result<(), DecodeError> {
        match self.table.take() {
            Some(table) => table.finish(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

//! The zip around a workbook: its parts by name, and which part is the n-th sheet.
//!
//! In: the file. Out: readers of inflated parts, and the paths of the sheets in the order in
//! which calamine lists them. Names are compared as calamine does: without case, `\` as `/`.

use std::io::Read;

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::decode::error::DecodeError;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::tags::{TagKind, Tags};
use crate::decode::sheet::{broken, corrupt};

/// A relationships part, content types and the like are at most this long.
const SMALL_PART_BYTES_MAX: u64 = 16 << 20;

/// The zip of a workbook.
#[derive(Debug)]
pub(crate) struct Package {
    archive: ZipArchive<SharedFile>,
    names: Vec<String>,
}

/// An entry of a relationships part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relationship {
    id: String,
    kind: String,
    target: String,
}

// === impl Package ===

impl Package {
    /// Reads the directory of a zip file.
    pub(crate) fn open(file: &SharedFile) -> Result<Package, DecodeError> {
        let archive =
            ZipArchive::new(file.reader()).map_err(|error| broken("zip directory", &error))?;
        let names = archive
            .file_names()
            .map(|name| name.map(std::borrow::Cow::into_owned))
            .collect::<Result<_, _>>()
            .map_err(|error| broken("zip directory", &error))?;
        Ok(Package { archive, names })
    }

    /// The names of all parts.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// A reader of the part `path`; `None` if there is none.
    pub(crate) fn part(
        &mut self,
        path: &str,
    ) -> Result<Option<ZipFile<'_, SharedFile>>, DecodeError> {
        // calamine keeps the last of several names that differ in case only.
        let Some(name) = self
            .names
            .iter()
            .rev()
            .find(|name| is_same_path(name, path))
        else {
            return Ok(None);
        };
        self.archive
            .by_name(name)
            .map(Some)
            .map_err(|error| broken(path, &error))
    }

    /// A small part as a whole; `None` if there is none.
    pub(crate) fn small_part(&mut self, path: &str) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some(part) = self.part(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        let n_read = part
            .take(SMALL_PART_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(|error| broken(path, &error))?;
        let n_read = u64::try_from(n_read).unwrap_or(u64::MAX);
        if n_read > SMALL_PART_BYTES_MAX {
            return Err(DecodeError::limit(
                "small_part_bytes_max",
                n_read,
                SMALL_PART_BYTES_MAX,
            ));
        }
        Ok(Some(content))
    }

    /// The entries of a relationships part; none if it is missing.
    pub(crate) fn relationships(&mut self, path: &str) -> Result<Vec<Relationship>, DecodeError> {
        let Some(content) = self.small_part(path)? else {
            return Ok(Vec::new());
        };
        let mut tags = Tags::new(content.as_slice(), path);
        let mut relationships = Vec::new();
        while let Some(tag) = tags.next()? {
            if tag.name == b"Relationship" && tag.kind != TagKind::End {
                let text = |name: &[u8]| {
                    let value = tag.attribute(name).unwrap_or_default();
                    String::from_utf8_lossy(value).into_owned()
                };
                relationships.push(Relationship {
                    id: text(b"Id"),
                    kind: text(b"Type"),
                    target: text(b"Target"),
                });
            }
        }
        Ok(relationships)
    }

    /// The folder and name of the workbook's main part.
    pub(crate) fn main_part(&mut self) -> Result<(String, String), DecodeError> {
        let relationships = self.relationships("_rels/.rels")?;
        let main = relationships
            .iter()
            .rev()
            .find(|entry| entry.kind.ends_with("/relationships/officeDocument"))
            .ok_or_else(|| corrupt("_rels/.rels names no workbook"))?;
        let target = main.target.trim_start_matches('/');
        let (folder, name) = match target.rfind('/') {
            Some(slash) => target.split_at(slash + 1),
            None => ("", target),
        };
        Ok((folder.to_owned(), name.to_owned()))
    }

    /// The content type of the part `path`; empty if it has none.
    pub(crate) fn content_type(&mut self, path: &str) -> Result<String, DecodeError> {
        const TYPES: &str = "[Content_Types].xml";
        let types = self.small_part(TYPES)?.unwrap_or_default();
        let mut tags = Tags::new(types.as_slice(), TYPES);
        let extension = path.rsplit('.').next().unwrap_or_default();
        let mut by_extension = String::new();
        while let Some(tag) = tags.next()? {
            let text =
                |name: &[u8]| String::from_utf8_lossy(tag.attribute(name).unwrap_or_default());
            let kind = || text(b"ContentType").into_owned();
            if text(b"PartName")
                .trim_start_matches('/')
                .eq_ignore_ascii_case(path)
            {
                return Ok(kind());
            }
            if tag.name == b"Default" && text(b"Extension").eq_ignore_ascii_case(extension) {
                by_extension = kind();
            }
        }
        Ok(by_extension)
    }
}

/// What only the reference reader of xlsx asks for.
#[cfg(test)]
impl Package {
    /// The paths of the sheets of an XML workbook, in the order of its list.
    pub(crate) fn xlsx_sheet_paths(&mut self) -> Result<Vec<String>, DecodeError> {
        let (folder, name) = self.main_part()?;
        let relationships = self.relationships(&format!("{folder}_rels/{name}.rels"))?;
        let path = format!("{folder}{name}");
        let workbook = self
            .small_part(&path)?
            .ok_or_else(|| broken(&path, "is missing"))?;
        let mut tags = Tags::new(workbook.as_slice(), &path);
        let mut paths = Vec::new();
        while let Some(tag) = tags.next()? {
            if tag.name != b"sheet" || tag.kind == TagKind::End {
                continue;
            }
            let mut attributes = tag.attributes();
            let id = attributes.find_map(|(name, value)| is_id(name).then_some(value));
            let id = String::from_utf8_lossy(id.unwrap_or_default()).into_owned();
            paths.push(target_of(&relationships, &id)?.path(&folder));
        }
        Ok(paths)
    }
}

/// The relationship with this id.
pub(crate) fn target_of<'r>(
    relationships: &'r [Relationship],
    id: &str,
) -> Result<&'r Relationship, DecodeError> {
    relationships
        .iter()
        .rev()
        .find(|entry| entry.id == id)
        .ok_or_else(|| corrupt("a sheet has no part"))
}

// === impl Relationship ===

impl Relationship {
    /// Whether its type ends like this.
    pub(crate) fn is_of(&self, kind: &str) -> bool {
        self.kind.ends_with(kind)
    }

    /// The path of the part that it leads to, from a part in `folder`.
    pub(crate) fn path(&self, folder: &str) -> String {
        match self.target.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None => format!("{folder}{}", self.target),
        }
    }
}

/// `r:id`, whatever the prefix.
#[cfg(test)]
fn is_id(name: &[u8]) -> bool {
    name.strip_suffix(b"id")
        .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(b":"))
}

fn is_same_path(left: &str, right: &str) -> bool {
    let normal = |byte: u8| {
        if byte == b'\\' {
            b'/'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    left.len() == right.len()
        && left
            .bytes()
            .map(normal)
            .eq(right.bytes().map(|byte| byte.to_ascii_lowercase()))
}

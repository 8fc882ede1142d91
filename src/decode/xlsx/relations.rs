//! Which parts belong to which: the relationships of a package.
//!
//! In: a `.rels` part. Out: its entries, and the paths that their targets lead to. A path never
//! leads out of the file. Bounded by [`SMALL_PART_BYTES_MAX`].

use crate::decode::error::{DecodeError, shown};
use crate::decode::xlsx::broken;
use crate::decode::xlsx::part::Part;
use crate::decode::xlsx::scanner::Scanner;

/// Relationships, and the list of sheets, are at most this long, inflated.
pub(crate) const SMALL_PART_BYTES_MAX: u64 = 16 << 20;

/// The entries of a `.rels` part.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    part: String,
    entries: Vec<Relation>,
}

/// One part that belongs to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    id: String,
    /// The last word of its type, such as `worksheet`.
    pub(crate) kind: String,
    target: String,
}

// === impl Relations ===

impl Relations {
    /// Reads the part.
    pub(crate) fn read(part: Part) -> Result<Relations, DecodeError> {
        check_small(&part)?;
        let name = part.name().to_owned();
        let mut scanner = Scanner::new(part);
        let mut entries = Vec::new();
        while let Some(tag) = scanner.next()? {
            if !tag.opens(b"Relationship") {
                continue;
            }
            let [id, kind, target, mode] = tag.texts([b"Id", b"Type", b"Target", b"TargetMode"])?;
            // What is outside of the file is never read.
            if mode.as_deref() == Some("External") {
                continue;
            }
            let (Some(id), Some(kind), Some(target)) = (id, kind, target) else {
                return Err(tag.corrupt("has a relationship without id, type or target"));
            };
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            entries.push(Relation { id, kind, target });
        }
        Ok(Relations {
            part: name,
            entries,
        })
    }

    /// The entry with this id.
    pub(crate) fn by_id(&self, id: &str) -> Result<&Relation, DecodeError> {
        let mut found = self.entries.iter().filter(|entry| entry.id == id);
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(entry),
            (Some(_), Some(_)) => Err(self.corrupt(id, "stands there twice")),
            (None, _) => Err(self.corrupt(id, "does not exist")),
        }
    }

    /// The last entry of this kind.
    pub(crate) fn by_kind(&self, kind: &str) -> Option<&Relation> {
        self.entries.iter().rev().find(|entry| entry.kind == kind)
    }

    fn corrupt(&self, id: &str, complaint: &str) -> DecodeError {
        broken(
            &self.part,
            format!("relationship '{}' {complaint}", shown(id)),
        )
    }
}

// === impl Relation ===

impl Relation {
    /// The path of the part that it leads to, from a part in `folder`.
    pub(crate) fn path(&self, folder: &str) -> Result<String, DecodeError> {
        let target = self.target.replace('\\', "/");
        let (base, target) = match target.strip_prefix('/') {
            Some(absolute) => ("", absolute),
            None => (folder, target.as_str()),
        };
        let mut path: Vec<&str> = Vec::new();
        for step in base.split('/').chain(target.split('/')) {
            match step {
                "" | "." => {}
                ".." => {
                    if path.pop().is_none() {
                        return Err(broken(&self.target, "leads out of the file"));
                    }
                }
                step => path.push(step),
            }
        }
        Ok(path.join("/"))
    }
}

/// Refuses a part that is longer than such a part can be. It cannot turn out to be longer than
/// the directory says.
pub(crate) fn check_small(part: &Part) -> Result<(), DecodeError> {
    let n_bytes = part.inflated_bytes();
    if n_bytes <= SMALL_PART_BYTES_MAX {
        return Ok(());
    }
    Err(DecodeError::limit(
        "small_part_bytes_max",
        n_bytes,
        SMALL_PART_BYTES_MAX,
    ))
}

#[cfg(test)]
mod tests;

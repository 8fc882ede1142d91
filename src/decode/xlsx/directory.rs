//! The directory of the zip around a workbook: which parts there are, and where their bytes lie.
//!
//! In: the file. Out: [`Entry`]s by name. Nothing is believed that cannot be checked: entries lie
//! inside the file and do not overlap, every one begins with a header of its own name, and no two
//! have the same name, `\` being `/` and case not counting. Sizes are checked where the bytes are
//! read, in [`part`](super::part). Bounded by `zip_entries_max` and [`DIRECTORY_BYTES_MAX`].
//! Synchronous; nothing is kept open.

use std::io::{Read, Seek, SeekFrom};

use crate::decode::error::{DecodeError, shown};
use crate::decode::limits::Limits;
use crate::decode::sheet::file::SharedFile;
use crate::decode::xlsx::{broken, corrupt, count};

/// A directory is at most this long: 10,000 entries, each with a name of 1,600 bytes.
const DIRECTORY_BYTES_MAX: u64 = 16 << 20;

/// What ends a zip, without its comment.
const END_BYTES: usize = 22;

const COMMENT_BYTES_MAX: usize = 0xffff;

const LOCAL_BYTES: usize = 30;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END64_SIGNATURE: &[u8] = b"PK\x06\x06";
const LOCATOR_SIGNATURE: &[u8] = b"PK\x06\x07";
const CENTRAL_SIGNATURE: &[u8] = b"PK\x01\x02";
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";

/// The entries of a zip file.
#[derive(Debug)]
pub(crate) struct Directory {
    file: SharedFile,
    entries: Vec<Entry>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As written in the file.
    pub(crate) name: String,
    /// The name as it is compared.
    key: String,
    /// How it is packed: 0 not at all, 8 by deflate.
    pub(crate) method: u16,
    /// Whether a password is needed.
    pub(crate) is_encrypted: bool,
    /// Of the inflated bytes.
    pub(crate) crc: u32,
    /// In the file, bytes.
    pub(crate) packed_bytes: u64,
    /// What it says that it inflates to, bytes.
    pub(crate) inflated_bytes: u64,
    /// Offset of its header in the file.
    header_at: u64,
    /// Offset of its packed bytes in the file.
    pub(crate) data_at: u64,
}

/// Where the directory itself lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    n_bytes: u64,
    n_entries: u64,
}

/// Reads little-endian numbers from the front of a slice.
#[derive(Debug, Clone, Copy)]
struct Fields<'b> {
    rest: &'b [u8],
}

// === impl Directory ===

impl Directory {
    /// Reads the directory of `file`.
    pub(crate) fn read(file: &SharedFile, limits: &Limits) -> Result<Directory, DecodeError> {
        let place = Place::find(file)?;
        if place.n_entries > limits.zip_entries_max {
            return Err(DecodeError::limit(
                "zip_entries_max",
                place.n_entries,
                limits.zip_entries_max,
            ));
        }
        if place.n_bytes > DIRECTORY_BYTES_MAX {
            return Err(DecodeError::limit(
                "zip_directory_bytes_max",
                place.n_bytes,
                DIRECTORY_BYTES_MAX,
            ));
        }
        let bytes = read_at(file, place.at, place.n_bytes)?;
        let mut fields = Fields { rest: &bytes };
        let mut entries = Vec::new();
        for _ in 0..place.n_entries {
            entries.push(fields.entry()?);
        }
        if !fields.rest.is_empty() {
            return Err(faulty("has more entries than it says"));
        }
        for entry in &mut entries {
            entry.locate(file)?;
        }
        check_places(&entries, place.at)?;
        check_names(&entries)?;
        let file = file.reader();
        Ok(Directory { file, entries })
    }

    /// The file.
    pub(crate) fn file(&self) -> &SharedFile {
        &self.file
    }

    /// The entry of the part `path`, case not counting.
    pub(crate) fn find(&self, path: &str) -> Option<&Entry> {
        let key = key_of(path);
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// No byte belongs to two entries, or to an entry and the directory.
fn check_places(entries: &[Entry], directory_at: u64) -> Result<(), DecodeError> {
    let mut ranges: Vec<(u64, u64, &str)> = entries
        .iter()
        .map(|entry| {
            let end = entry.data_at.saturating_add(entry.packed_bytes);
            (entry.header_at, end, entry.name.as_str())
        })
        .collect();
    ranges.sort_unstable();
    let starts = ranges.iter().skip(1).map(|(start, ..)| *start);
    let starts = starts.chain([directory_at]);
    for ((_, end, name), next) in ranges.iter().zip(starts) {
        if *end > next {
            return Err(broken(name, "overlaps with what follows it in the file"));
        }
    }
    Ok(())
}

fn check_names(entries: &[Entry]) -> Result<(), DecodeError> {
    let mut keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(broken(pair[0], "is in the file twice")),
        None => Ok(()),
    }
}

/// A name as it is compared: part names have no case, and some programs write `\` for `/`.
fn key_of(name: &str) -> String {
    let name = name.replace('\\', "/").to_ascii_lowercase();
    name.trim_start_matches('/').to_owned()
}

// === impl Entry ===

impl Entry {
    /// Finds the packed bytes, behind a header that has the same name.
    fn locate(&mut self, file: &SharedFile) -> Result<(), DecodeError> {
        let header = read_at(file, self.header_at, count(LOCAL_BYTES))?;
        let mut fields = Fields { rest: &header };
        if fields.take(4)? != LOCAL_SIGNATURE {
            return Err(broken(&self.name, "has no header of its own"));
        }
        // The version, the flags, the method; then the time, the checksum and the sizes, which
        // may follow the bytes instead.
        fields.take(4)?;
        let method = fields.u16()?;
        fields.take(16)?;
        let n_name = u64::from(fields.u16()?);
        let n_extra = u64::from(fields.u16()?);
        let name_at = self.header_at + count(LOCAL_BYTES);
        let name = read_at(file, name_at, n_name)?;
        if method != self.method || String::from_utf8_lossy(&name) != self.name.as_str() {
            return Err(broken(&self.name, "has a header that says otherwise"));
        }
        self.data_at = name_at + n_name + n_extra;
        Ok(())
    }
}

// === impl Place ===

impl Place {
    /// Where the directory of `file` lies, by the record at the file's end.
    fn find(file: &SharedFile) -> Result<Place, DecodeError> {
        let n_tail = (count(END_BYTES + COMMENT_BYTES_MAX)).min(file.length());
        let tail_at = file.length() - n_tail;
        let tail = read_at(file, tail_at, n_tail)?;
        // The last one that ends inside the file; what follows it is its comment, or padding.
        for at in memchr::memmem::rfind_iter(&tail, END_SIGNATURE) {
            let mut fields = Fields {
                rest: &tail[at + END_SIGNATURE.len()..],
            };
            let Some((mut place, n_comment)) = fields.end_record() else {
                continue;
            };
            if at + END_BYTES + n_comment > tail.len() {
                continue;
            }
            let mut end = tail_at + count(at);
            if let Some(end64) = locator(file, end)? {
                end = end64;
                place = end64_record(file, end64)?;
            }
            // Nothing may stand before the first byte that the offsets count from.
            if place.at.checked_add(place.n_bytes) != Some(end) {
                return Err(faulty("is not where the end of the file says"));
            }
            return Ok(place);
        }
        Err(faulty("is missing: the file was cut, or is no zip"))
    }
}

/// The offset of the 64-bit record, if the 32-bit record at `end` has one.
fn locator(file: &SharedFile, end: u64) -> Result<Option<u64>, DecodeError> {
    const LOCATOR_BYTES: u64 = 20;
    let Some(at) = end.checked_sub(LOCATOR_BYTES) else {
        return Ok(None);
    };
    let locator = read_at(file, at, LOCATOR_BYTES)?;
    let mut fields = Fields { rest: &locator };
    if fields.take(4)? != LOCATOR_SIGNATURE {
        return Ok(None);
    }
    fields.take(4)?;
    Ok(Some(fields.u64()?))
}

fn end64_record(file: &SharedFile, at: u64) -> Result<Place, DecodeError> {
    let record = read_at(file, at, 56)?;
    let mut fields = Fields { rest: &record };
    if fields.take(4)? != END64_SIGNATURE {
        return Err(faulty("is not where the end of the file says"));
    }
    // The record's size, versions, numbers of disks, and the entries on this disk.
    fields.take(28)?;
    Ok(Place {
        n_entries: fields.u64()?,
        n_bytes: fields.u64()?,
        at: fields.u64()?,
    })
}

// === impl Fields ===

impl<'b> Fields<'b> {
    fn take(&mut self, n_bytes: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n_bytes)
            .ok_or_else(|| faulty("is cut"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, n_bytes: usize) -> Result<u64, DecodeError> {
        let bytes = self.take(n_bytes)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        let number = self.number(2)?;
        Ok(u16::try_from(number).expect("two bytes fit"))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let number = self.number(4)?;
        Ok(u32::try_from(number).expect("four bytes fit"))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.number(8)
    }

    /// What the 32-bit end record says, and the length of its comment.
    fn end_record(&mut self) -> Option<(Place, usize)> {
        // Numbers of disks, and the entries on this disk.
        self.take(6).ok()?;
        let n_entries = self.number(2).ok()?;
        let n_bytes = self.number(4).ok()?;
        let at = self.number(4).ok()?;
        let n_comment = usize::from(self.u16().ok()?);
        let place = Place {
            at,
            n_bytes,
            n_entries,
        };
        Some((place, n_comment))
    }

    /// One entry of the directory; where its bytes lie is not known yet.
    fn entry(&mut self) -> Result<Entry, DecodeError> {
        if self.take(4)? != CENTRAL_SIGNATURE {
            return Err(faulty("has fewer entries than it says"));
        }
        self.take(4)?;
        let flags = self.u16()?;
        let method = self.u16()?;
        self.take(4)?;
        let crc = self.u32()?;
        let mut packed_bytes = self.number(4)?;
        let mut inflated_bytes = self.number(4)?;
        let n_name = usize::from(self.u16()?);
        let n_extra = usize::from(self.u16()?);
        let n_comment = usize::from(self.u16()?);
        self.take(8)?;
        let mut header_at = self.number(4)?;
        let name = String::from_utf8_lossy(self.take(n_name)?).into_owned();
        let mut extra = Fields {
            rest: self.take(n_extra)?,
        };
        self.take(n_comment)?;
        // 64-bit numbers stand in an extra field, in this order, for those that are saturated.
        let wide = extra.field(0x0001);
        let mut wide = Fields {
            rest: wide.unwrap_or_default(),
        };
        for number in [&mut inflated_bytes, &mut packed_bytes, &mut header_at] {
            if *number == u64::from(u32::MAX) && !wide.rest.is_empty() {
                *number = wide.u64()?;
            }
        }
        Ok(Entry {
            key: key_of(&name),
            name,
            method,
            is_encrypted: flags & 1 != 0,
            crc,
            packed_bytes,
            inflated_bytes,
            header_at,
            data_at: header_at,
        })
    }

    /// The content of the extra field `id`; some programs pad the fields with zeros.
    fn field(&mut self, id: u16) -> Option<&'b [u8]> {
        loop {
            let found = self.u16().ok()?;
            let n_bytes = usize::from(self.u16().ok()?);
            let content = self.take(n_bytes).ok()?;
            if found == id {
                return Some(content);
            }
        }
    }
}

/// Exactly these bytes of the file.
fn read_at(file: &SharedFile, at: u64, n_bytes: u64) -> Result<Vec<u8>, DecodeError> {
    let is_inside = at
        .checked_add(n_bytes)
        .is_some_and(|end| end <= file.length());
    if !is_inside {
        return Err(faulty("leads beyond the end of the file"));
    }
    let mut reader = file.reader();
    let mut bytes = Vec::new();
    reader
        .seek(SeekFrom::Start(at))
        .and_then(|_| reader.take(n_bytes).read_to_end(&mut bytes))
        .map_err(|error| DecodeError::io("read the spool", &error))?;
    if count(bytes.len()) < n_bytes {
        return Err(faulty("leads beyond the end of the file"));
    }
    Ok(bytes)
}

fn faulty(complaint: &str) -> DecodeError {
    corrupt(format!("zip directory: {}", shown(complaint)))
}

#[cfg(test)]
mod tests;

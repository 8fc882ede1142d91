//! Whether an OLE2 file is whole, MS-CFB 2.2 and 2.3.
//!
//! In: the file. Out: an error if a sector that its allocation table counts as used is not
//! there: calamine reads such a file as far as the workbook's own sectors go. Bounded by the
//! file's size: every sector is read once at most.

use std::io::{Read, Seek, SeekFrom};

use crate::decode::error::DecodeError;
use crate::decode::sheet::file::SharedFile;
use crate::decode::sheet::{broken, corrupt};

const HEADER_BYTES: usize = 512;
const HEADER_SECTORS_AT: usize = 76;
/// Sector numbers from here on mean something else.
const SECTOR_MAX: u32 = 0xffff_fffa;
const FREE: u32 = 0xffff_ffff;

/// Refuses a file that ends before its last used sector.
pub(crate) fn check_whole(file: &SharedFile) -> Result<(), DecodeError> {
    let header = file
        .head::<HEADER_BYTES>()
        .map_err(|error| DecodeError::io("read the spool", &error))?;
    if header.len() < HEADER_BYTES {
        return Err(corrupt("the file is too short to be a workbook"));
    }
    let shift = u16::from_le_bytes([header[30], header[31]]);
    if !(7..=16).contains(&shift) {
        return Err(corrupt("the file has sectors of an unknown size"));
    }
    let mut sectors = Sectors {
        reader: file.reader(),
        n_bytes: 1 << shift,
        n_whole: file.length() >> shift,
        n_read: 0,
    };
    let mut last_used = None;
    let mut take = |sectors: &mut Sectors, index: u32, place: u64| -> Result<(), DecodeError> {
        let entries = sectors.read(index)?;
        let first = place * u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let used = entries.iter().rposition(|entry| *entry != FREE);
        if let Some(used) = used {
            last_used = Some(first + u64::try_from(used).unwrap_or(u64::MAX));
        }
        Ok(())
    };
    let mut place = 0;
    for index in words(&header[HEADER_SECTORS_AT..]).filter(|index| *index < SECTOR_MAX) {
        take(&mut sectors, index, place)?;
        place += 1;
    }
    // Beyond 109 sectors of the table, a chain of sectors lists the others.
    let mut next = words(&header[68..72]).next().unwrap_or(FREE);
    while next < SECTOR_MAX {
        let mut list = sectors.read(next)?;
        next = list.pop().unwrap_or(FREE);
        for index in list.into_iter().filter(|index| *index < SECTOR_MAX) {
            take(&mut sectors, index, place)?;
            place += 1;
        }
    }
    // Sector 0 follows the header, which takes a sector's place.
    let n_used = last_used.map_or(0, |last| last + 1);
    if n_used.saturating_add(1) > sectors.n_whole {
        return Err(corrupt("the file ends before its last sector"));
    }
    Ok(())
}

struct Sectors {
    reader: SharedFile,
    n_bytes: usize,
    /// Whole ones in the file, the header's included.
    n_whole: u64,
    n_read: u64,
}

// === impl Sectors ===

impl Sectors {
    fn read(&mut self, index: u32) -> Result<Vec<u32>, DecodeError> {
        self.n_read += 1;
        if self.n_read > self.n_whole {
            return Err(corrupt("the file's sectors form a circle"));
        }
        let at = (u64::from(index) + 1) * u64::try_from(self.n_bytes).unwrap_or(u64::MAX);
        let mut sector = vec![0; self.n_bytes];
        self.reader
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.reader.read_exact(&mut sector))
            .map_err(|error| broken("sector table", error))?;
        Ok(words(&sector).collect())
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes
        .chunks_exact(4)
        .map(|chunk| u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
}

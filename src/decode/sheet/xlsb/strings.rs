//! The shared strings of an xlsb workbook.
//!
//! In: their part. Out: a string by its index. Kept end to end in one buffer, which
//! `shared_strings_bytes_max` bounds; what the part says about its own size is not read.

use std::io::Read;

use crate::decode::error::DecodeError;
use crate::decode::sheet::count;
use crate::decode::sheet::xlsb::records::Records;

const ITEM: u16 = 0x0013;
const END: u16 = 0x00a0;

/// Strings by index.
#[derive(Debug, Default)]
pub(crate) struct SharedStrings {
    text: String,
    /// Where each string ends.
    ends: Vec<usize>,
}

// === impl SharedStrings ===

impl SharedStrings {
    /// Reads the part in `source`, which errors call `part`.
    pub(crate) fn read(
        source: impl Read,
        part: &str,
        bytes_max: u64,
    ) -> Result<SharedStrings, DecodeError> {
        let mut strings = SharedStrings::default();
        let mut records = Records::new(source, part);
        while let Some((kind, mut fields)) = records.next(|kind| matches!(kind, ITEM | END))? {
            if kind == END {
                return Ok(strings);
            }
            // Whether formatting and pronunciation follow the text.
            if fields
                .u8()
                .and_then(|_| fields.text(&mut strings.text))
                .is_none()
            {
                return Err(records.corrupt("has a broken string"));
            }
            strings.ends.push(strings.text.len());
            let n_bytes = count(strings.text.len() + size_of_val(strings.ends.as_slice()));
            if n_bytes > bytes_max {
                return Err(DecodeError::limit(
                    "shared_strings_bytes_max",
                    n_bytes,
                    bytes_max,
                ));
            }
        }
        Err(records.corrupt("ends early"))
    }

    /// The string at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<&str> {
        let index = usize::try_from(index).ok()?;
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }
}

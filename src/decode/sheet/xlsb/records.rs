//! The records of a binary part, MS-XLSB 2.1.4.
//!
//! In: an inflated part. Out: one record at a time. Bounded: a record that is asked for is at
//! most [`RECORD_BYTES_MAX`] long; others are skipped at any length.

use std::io::{self, BufReader, Read};

use crate::decode::error::DecodeError;
use crate::decode::sheet::{broken, count};

/// A cell of 32,767 characters takes 64 KiB, its formula at most as much.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Reads records.
#[derive(Debug)]
pub(crate) struct Records<R> {
    source: BufReader<R>,
    part: String,
    content: Vec<u8>,
}

/// What fields of a record are read with; every read is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'r> {
    rest: &'r [u8],
}

// === impl Records ===

impl<R: Read> Records<R> {
    /// Reads `source`, which errors call `part`.
    pub(crate) fn new(source: R, part: &str) -> Records<R> {
        Records {
            source: BufReader::with_capacity(64 * 1024, source),
            part: part.to_owned(),
            content: Vec::new(),
        }
    }

    /// An error of this part.
    pub(crate) fn corrupt(&self, what: &str) -> DecodeError {
        broken(&self.part, what)
    }

    /// The next record of which `wants` its type; `None` at the end of the part.
    pub(crate) fn next(
        &mut self,
        wants: impl Fn(u16) -> bool,
    ) -> Result<Option<(u16, Fields<'_>)>, DecodeError> {
        loop {
            let Some(first) = self.byte()? else {
                return Ok(None);
            };
            let mut kind = u16::from(first & 0x7f);
            if first & 0x80 != 0 {
                kind |= u16::from(self.required_byte()? & 0x7f) << 7;
            }
            let mut length: usize = 0;
            for shift in [0, 7, 14, 21] {
                let byte = self.required_byte()?;
                length |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if !wants(kind) {
                self.skip(length)?;
                continue;
            }
            if length > RECORD_BYTES_MAX {
                return Err(DecodeError::limit(
                    "record_bytes_max",
                    count(length),
                    count(RECORD_BYTES_MAX),
                ));
            }
            self.content.resize(length, 0);
            if let Err(error) = self.source.read_exact(&mut self.content) {
                return Err(self.broken(&error));
            }
            return Ok(Some((
                kind,
                Fields {
                    rest: &self.content,
                },
            )));
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, DecodeError> {
        let mut byte = [0];
        match self.source.read_exact(&mut byte) {
            Ok(()) => Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn required_byte(&mut self) -> Result<u8, DecodeError> {
        self.byte()?
            .ok_or_else(|| self.corrupt("ends inside a record"))
    }

    fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == length => Ok(()),
            Ok(_) => Err(self.corrupt("ends inside a record")),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&self, error: &io::Error) -> DecodeError {
        broken(&self.part, error)
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// The next byte; `None` if the record is too short.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// The next 16 bits.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    /// The next 32 bits.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Appends the next text, a 32-bit length in UTF-16 units and the units, to `text`. A lone
    /// surrogate becomes U+0000, which [`Values`](crate::decode::sheet::cells::Values) tells.
    pub(crate) fn text(&mut self, text: &mut String) -> Option<()> {
        let n_units = usize::try_from(self.u32()?).ok()?;
        let (units, rest) = self.rest.split_at_checked(n_units.checked_mul(2)?)?;
        self.rest = rest;
        let units = units
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        text.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or('\0')));
        Some(())
    }

    /// The next text on its own.
    pub(crate) fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.text(&mut text)?;
        Some(text)
    }

    /// The next double.
    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*chunk)
    }
}

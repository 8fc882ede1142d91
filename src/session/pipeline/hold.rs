//! Where the input of an ATOMIC import or a dry run, or a file that may be a duplicate, waits until
//! `finish` is verified.
//!
//! In: chunks of a file or frames of rows, as they arrive. Out: the same, from the beginning, as
//! often as the transaction has to be tried. An unnamed file, so that nothing is left behind
//! however the process ends; bounded by the limits on files and by the room that they share.

use std::io::{BufReader, Read, Seek};

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::spool::Spool;
use crate::disk::{SpoolDir, SpoolFile};
use crate::model::frame::Frame;

/// Bytes that are read back at once.
const PIECE_BYTES: usize = 256 << 10;
/// What a zip or an OLE2 container begins with: those are workbooks, with a limit of their own.
const WORKBOOK_MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];

/// Input on its way to disk.
#[derive(Debug)]
pub(super) struct Hold {
    spool: Spool,
    limits: Limits,
    /// Bytes that the caller announced; 0: nothing.
    announced_bytes: u64,
    /// The first bytes, until there are enough to tell a workbook.
    head: Vec<u8>,
}

/// Complete input.
#[derive(Debug)]
pub(super) struct Held {
    file: SpoolFile,
}

impl Hold {
    /// Nothing yet; the file is in `dir`, which has to have room for as many bytes as are
    /// announced.
    pub(super) fn create(
        dir: &SpoolDir,
        limits: &Limits,
        announced_bytes: u64,
    ) -> Result<Hold, DecodeError> {
        let mut spool = Spool::create(dir, "csv_bytes_max", limits.csv_bytes_max)?;
        spool.reserve(announced_bytes)?;
        Ok(Hold {
            spool,
            limits: limits.clone(),
            announced_bytes,
            head: Vec::new(),
        })
    }

    /// Appends bytes of a file.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        const HEAD_BYTES: usize = 4;
        if self.head.len() < HEAD_BYTES {
            let n_missing = HEAD_BYTES - self.head.len();
            self.head.extend(data.iter().take(n_missing));
            if WORKBOOK_MAGIC.contains(&self.head.as_slice()) {
                self.spool
                    .set_limit("workbook_bytes_max", self.limits.workbook_bytes_max);
                // Its decoder gets a copy.
                self.spool.reserve_with_copy(self.announced_bytes)?;
            }
        }
        self.spool.write(data)
    }

    /// Appends a frame of rows.
    pub(super) fn write_frame(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        let bytes = frame.as_bytes();
        self.spool.write(&(bytes.len() as u64).to_le_bytes())?;
        self.spool.write(bytes)
    }

    /// Nothing follows.
    pub(super) fn finish(self) -> Result<Held, DecodeError> {
        Ok(Held {
            file: self.spool.into_file()?,
        })
    }
}

impl Held {
    /// The bytes, piece by piece from the beginning. The room for a copy is free from here on.
    pub(super) fn pieces<E: From<DecodeError>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.trim();
        self.rewind()?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let n_bytes = self.file.read(&mut piece).map_err(read_error)?;
            if n_bytes == 0 {
                return Ok(());
            }
            each(&piece[..n_bytes])?;
        }
    }

    /// The frames, from the first.
    pub(super) fn frames<E: From<DecodeError>>(
        &mut self,
        mut each: impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rewind()?;
        let mut reader = BufReader::with_capacity(PIECE_BYTES, &mut self.file);
        let mut length = [0; 8];
        loop {
            match reader.read_exact(&mut length) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(read_error(error).into()),
            }
            let n_bytes = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; n_bytes];
            reader.read_exact(&mut bytes).map_err(read_error)?;
            let frame = Frame::parse(bytes).expect("the frame was written by this process");
            each(frame)?;
        }
    }

    fn rewind(&mut self) -> Result<(), DecodeError> {
        self.file
            .rewind()
            .map_err(|error| DecodeError::io("rewind the spool file", &error))
    }
}

fn read_error(error: std::io::Error) -> DecodeError {
    DecodeError::io("read the spool file", &error)
}

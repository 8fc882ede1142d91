//! Where the input of an ATOMIC import or a dry run, or a file that may be a duplicate, waits until
//! `finish` is verified.
//!
//! In: chunks of a file or frames of rows, as they arrive. Out: the same, from the beginning, as
//! often as the transaction has to be tried; a workbook that is not compressed is the file itself,
//! so that it is there once. An unnamed file, so that nothing is left behind however the process
//! ends; bounded by the limits on files and by the room that they share.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sniff::{Container, Head, sniff};
use crate::decode::spool::Spool;
use crate::decode::{Compression, FileOptions};
use crate::disk::{SpoolDir, SpoolFile};
use crate::model::frame::Frame;
use crate::session::spec::FileSpec;

/// Bytes that are read back at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes that tell a workbook from other files: the longest magic number of one.
const HEAD_BYTES: usize = 8;

/// Input on its way to disk.
#[derive(Debug)]
pub(super) struct Hold {
    spool: Spool,
    /// The limit that holds for workbooks, bytes.
    workbook_bytes_max: u64,
    /// The first bytes of a file, [`HEAD_BYTES`] at most.
    head: Vec<u8>,
    is_workbook: bool,
}

/// Complete input.
#[derive(Debug)]
pub(super) struct Held {
    file: SpoolFile,
    is_workbook: bool,
}

impl Hold {
    /// No rows yet; their file is in `dir`.
    pub(super) fn rows(dir: &SpoolDir, limits: &Limits) -> Result<Hold, DecodeError> {
        Ok(Hold {
            spool: Spool::create(dir, "csv_bytes_max", limits.csv_bytes_max)?,
            workbook_bytes_max: limits.workbook_bytes_max,
            head: Vec::new(),
            is_workbook: false,
        })
    }

    /// Nothing of a file yet; it is kept in `dir`, which has to have room now for as many bytes as
    /// are announced.
    pub(super) fn file(
        dir: &SpoolDir,
        limits: &Limits,
        file: &FileSpec,
    ) -> Result<Hold, DecodeError> {
        let hold = Hold::rows(dir, limits)?;
        hold.spool.check_room(file.total_bytes.unwrap_or(0))?;
        Ok(hold)
    }

    /// Appends bytes of a file that is to be read with `options`.
    pub(super) fn write(&mut self, data: &[u8], options: &FileOptions) -> Result<(), DecodeError> {
        if self.head.len() < HEAD_BYTES {
            let n_missing = HEAD_BYTES - self.head.len();
            self.head.extend(data.iter().take(n_missing));
            if !self.is_workbook && is_workbook(&self.head, options) {
                self.is_workbook = true;
                self.spool
                    .set_limit("workbook_bytes_max", self.workbook_bytes_max);
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
            is_workbook: self.is_workbook,
        })
    }
}

/// Whether a file that begins with `head` is a workbook as it is. What is wrong with any other one
/// is found when it is read.
fn is_workbook(head: &[u8], options: &FileOptions) -> bool {
    let is_plain = matches!(options.compression, None | Some(Compression::None));
    let container = sniff(Head::Part(head), options);
    is_plain && matches!(container, Ok(Some(Container::Zip | Container::Ole2)))
}

impl Held {
    /// A workbook, for its decoder to read, which is to be gone before this is read otherwise or
    /// dropped; `None`: another file, or one that is to be unwrapped.
    pub(super) fn workbook(&self) -> Result<Option<File>, DecodeError> {
        let file = self.is_workbook.then(|| self.file.share()).transpose();
        file.map_err(|error| DecodeError::io("share the spool file", &error))
    }

    /// The bytes, piece by piece from the beginning.
    pub(super) fn pieces<E: From<DecodeError>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
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

//! The bytes of an upload: counted, hashed, unwrapped, and led to the decoder that they need.
//!
//! In: chunks in order. Out: a CSV's header and rows as they arrive, or, at the end, the spooled
//! workbook. Bounded by the file limits, as sent and as unwrapped, and for a workbook by the room
//! that temporary files share: a caller that announces more than is left is refused with its
//! first bytes.

use std::cell::Cell;

use sha2::{Digest, Sha256};

use crate::decode::csv::CsvDecoder;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::protocol::WorkbookRequest;
use crate::decode::sniff::{Container, Head, sniff};
use crate::decode::spool::Spool;
use crate::decode::unwrap::Unwrapper;
use crate::decode::{Decoded, FileOptions};
use crate::disk::{SpoolDir, SpoolFile};
use crate::session::spec::FileSpec;

/// One upload.
#[derive(Debug)]
pub struct Intake {
    unwrapper: Unwrapper,
    sorter: Sorter,
    receiving: Receiving,
}

/// What was received, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Bytes.
    pub n_bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// What is being received.
#[derive(Debug, Default)]
pub struct Receiving {
    hasher: Sha256,
    n_bytes: u64,
}

impl Receiving {
    /// Takes in the next bytes.
    pub fn add(&mut self, data: &[u8]) {
        self.hasher.update(data);
        self.n_bytes += data.len() as u64;
    }

    /// What has been received so far.
    pub fn received(&self) -> Received {
        Received {
            n_bytes: self.n_bytes,
            sha256: self.hasher.clone().finalize().into(),
        }
    }
}

/// Leads unwrapped bytes to their decoder.
#[derive(Debug)]
struct Sorter {
    options: FileOptions,
    limits: Limits,
    spool_dir: SpoolDir,
    /// What the caller announced, bytes; 0: nothing.
    announced_bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Too few bytes to tell.
    Undecided(Vec<u8>),
    Csv(Box<CsvDecoder>),
    Workbook(Spool),
}

impl Intake {
    /// An upload of which nothing has arrived.
    pub fn new(file: &FileSpec, limits: &Limits, spool_dir: &SpoolDir) -> Intake {
        Intake {
            unwrapper: Unwrapper::new(file.options.compression),
            sorter: Sorter {
                options: file.options.clone(),
                limits: limits.clone(),
                spool_dir: spool_dir.clone(),
                announced_bytes: file.total_bytes.unwrap_or(0),
                state: State::Undecided(Vec::new()),
            },
            receiving: Receiving::default(),
        }
    }

    /// Takes the next bytes; `each` gets what a CSV yields. A chunk may unwrap to a thousand times
    /// its size, so `stopped` is asked between its pieces.
    pub fn feed(
        &mut self,
        data: &[u8],
        stopped: &dyn Fn() -> bool,
        each: &mut dyn FnMut(Decoded),
    ) -> Result<(), DecodeError> {
        self.receiving.add(data);
        let sorter = &mut self.sorter;
        sorter.check_size(self.receiving.n_bytes)?;
        self.unwrapper.feed(data, &mut |plain| {
            if stopped() {
                return Err(DecodeError::Cancelled);
            }
            sorter.feed(plain, each)
        })
    }

    /// Takes the next bytes without reading them: they are counted and hashed, and held to the
    /// limit.
    pub fn skim(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        self.receiving.add(data);
        self.sorter.check_size(self.receiving.n_bytes)
    }

    /// Yields the rows of a CSV that are complete so far.
    pub fn flush(&mut self, each: &mut dyn FnMut(Decoded)) -> Result<(), DecodeError> {
        if let State::Csv(csv) = &mut self.sorter.state {
            csv.flush(each);
        }
        Ok(())
    }

    /// What has been received so far.
    pub fn received(&self) -> Received {
        self.receiving.received()
    }

    /// Whether the bytes are those of a workbook, which is decoded once it is complete.
    pub fn is_workbook(&self) -> bool {
        matches!(self.sorter.state, State::Workbook(_))
    }

    /// Ends the upload: a CSV yields its rest, a workbook is returned with what to ask of its
    /// decoder.
    pub fn finish(
        mut self,
        each: &mut dyn FnMut(Decoded),
    ) -> Result<Option<(SpoolFile, WorkbookRequest)>, DecodeError> {
        let sorter = &mut self.sorter;
        self.unwrapper
            .finish(&mut |plain| sorter.feed(plain, each))?;
        self.sorter.finish(each)
    }
}

/// Runs a step of an [`Intake`] and takes in what it yields. What goes wrong with a row that was
/// yielded is the reason, whatever the step says afterwards. A step that is `stopped` ends with
/// [`DecodeError::Cancelled`].
pub fn collect<E: From<DecodeError>>(
    stopped: &dyn Fn() -> bool,
    step: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut(Decoded)) -> Result<(), DecodeError>,
    mut take: impl FnMut(Decoded) -> Result<(), E>,
) -> Result<(), E> {
    let failed = Cell::new(false);
    let mut taken = Ok(());
    let stepped = step(&|| failed.get() || stopped(), &mut |decoded| {
        if taken.is_ok() {
            taken = take(decoded);
            failed.set(taken.is_err());
        }
    });
    taken?;
    Ok(stepped?)
}

impl Sorter {
    fn check_size(&self, n_bytes: u64) -> Result<(), DecodeError> {
        let (limit, bound) = match self.state {
            State::Workbook(_) => ("workbook_bytes_max", self.limits.workbook_bytes_max),
            State::Csv(_) | State::Undecided(_) => ("csv_bytes_max", self.limits.csv_bytes_max),
        };
        if n_bytes > bound {
            return Err(DecodeError::limit(limit, n_bytes, bound));
        }
        Ok(())
    }

    fn feed(&mut self, plain: &[u8], each: &mut dyn FnMut(Decoded)) -> Result<(), DecodeError> {
        match &mut self.state {
            State::Csv(csv) => csv.feed(plain, each),
            State::Workbook(spool) => spool.write(plain),
            State::Undecided(prefix) => {
                prefix.extend_from_slice(plain);
                let prefix = std::mem::take(prefix);
                match sniff(Head::Part(&prefix), &self.options)? {
                    None => {
                        self.state = State::Undecided(prefix);
                        Ok(())
                    }
                    Some(container) => self.decide(container, &prefix, each),
                }
            }
        }
    }

    fn decide(
        &mut self,
        container: Container,
        prefix: &[u8],
        each: &mut dyn FnMut(Decoded),
    ) -> Result<(), DecodeError> {
        self.state = match container {
            Container::Text => State::Csv(Box::new(CsvDecoder::new(&self.options, &self.limits)?)),
            Container::Zip | Container::Ole2 => {
                let bytes_max = self.limits.workbook_bytes_max;
                let spool = Spool::create(&self.spool_dir, "workbook_bytes_max", bytes_max)?;
                spool.check_room(self.announced_bytes)?;
                State::Workbook(spool)
            }
        };
        self.feed(prefix, each)
    }

    fn finish(
        mut self,
        each: &mut dyn FnMut(Decoded),
    ) -> Result<Option<(SpoolFile, WorkbookRequest)>, DecodeError> {
        if let State::Undecided(prefix) = &mut self.state {
            let prefix = std::mem::take(prefix);
            let container = sniff(Head::Whole(&prefix), &self.options)?;
            self.decide(container.unwrap_or(Container::Text), &prefix, each)?;
        }
        match self.state {
            State::Csv(csv) => csv.finish(each).map(|()| None),
            State::Workbook(spool) => {
                let request = WorkbookRequest::of(&self.options);
                Ok(Some((spool.into_file()?, request)))
            }
            State::Undecided(_) => unreachable!("decided above"),
        }
    }
}

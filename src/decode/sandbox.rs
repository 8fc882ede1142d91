//! The parent's side of the decoder's child process.
//!
//! In: an open file and a [`WorkbookRequest`], or a [`SurveyRequest`]. Out: [`Decoded`] messages,
//! or a [`Survey`], or the reason why the child died. Bounded by [`Limits`], which the child sets
//! on itself; its standard error is kept up to `STDERR_BYTES_MAX`; a file that it makes is paid for
//! before it is made ([`SpoolDir::spare`]), by whoever holds the [`Decoder`]. Reading blocks: use it
//! on a blocking thread. A [`Killer`] stops it from any other; dropping the [`Decoder`] kills and
//! reaps the child, so that neither a process nor a zombie is left, and then gives the room back.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::allocator;
use crate::decode::Decoded;
use crate::decode::error::{DeathCause, DecodeError};
use crate::decode::limits::Limits;
use crate::decode::protocol::{
    self, ChildRequest, Message, RoomAnswer, RoomRequest, Task, WorkbookRequest,
};
use crate::decode::survey::{SHEETS_MAX, SURVEY_BYTES_MAX, Survey, SurveyRequest, SurveyedSheet};
use crate::disk::{Reservation, SpoolDir};
use crate::model::frame::Frame;

/// What is kept of the child's standard error, for the log and for the cause of its death.
const STDERR_BYTES_MAX: u64 = 4 * 1024;

/// A child that has closed its pipe exits within this time, or is killed.
const EXIT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A sheet's name is at most 31 characters long in every program that writes them.
const SHEET_NAME_BYTES_MAX: usize = 4 * 1024;

/// What is taken of a survey, bytes: what is asked for, with the rows at its bounds.
const RECEIVED_BYTES_MAX: usize = SURVEY_BYTES_MAX + 2 * protocol::ROW_BYTES_MAX;

/// Room is asked for once, and first.
const ROOM_LATE: &str = "room is asked for too late";

const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;

/// Starts decoders.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'s> {
    /// The program that is started as `PROGRAM decode-worker`.
    pub program: &'s Path,
    /// The bounds on the file and on the child.
    pub limits: &'s Limits,
    /// Where a child may put what does not fit its memory, in an unnamed file.
    pub spool_dir: &'s SpoolDir,
}

/// A running child.
#[derive(Debug)]
pub struct Decoder {
    pipe: BufReader<UnixStream>,
    killer: Killer,
    stderr: Option<JoinHandle<Vec<u8>>>,
    cpu_seconds: u64,
    address_space_bytes: u64,
    /// What the child's file may have at most, bytes.
    spill_bytes_max: u64,
    /// Where its room comes from; `None` once the child has asked, or said something else.
    spool_dir: Option<SpoolDir>,
    /// The room. The child is reaped before it is given back.
    room: Option<Reservation>,
    /// Row number of ordinal 0, once the header is here.
    first_data_row_number: Option<u64>,
    next_ordinal: u64,
    n_rows: u64,
    is_done: bool,
}

/// A running child that surveys a workbook.
#[derive(Debug)]
pub struct Surveyor {
    decoder: Decoder,
}

/// Kills a decoder's child, from any thread and any number of times.
#[derive(Debug, Clone)]
pub struct Killer {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    child: Child,
    is_killed: bool,
}

// === impl Sandbox ===

impl Sandbox<'_> {
    /// Starts a child on `file`, whose position does not matter.
    pub fn start(self, file: File, request: &WorkbookRequest) -> Result<Decoder, DecodeError> {
        check_name(&request.sheet)?;
        self.start_task(file, Task::Decode(request.clone()))
    }

    /// The same for the first rows of the sheets.
    pub fn survey(self, file: File, request: &SurveyRequest) -> Result<Surveyor, DecodeError> {
        check_name(&request.sheet)?;
        let decoder = self.start_task(file, Task::Survey(request.clone()))?;
        Ok(Surveyor { decoder })
    }

    fn start_task(self, file: File, task: Task) -> Result<Decoder, DecodeError> {
        let Sandbox {
            program,
            limits,
            spool_dir,
        } = self;
        let io = |error: &std::io::Error| DecodeError::io("start the decoder", error);
        let n_mib = file.metadata().map_err(|error| io(&error))?.len() >> 20;
        let cpu_seconds = limits
            .child_cpu_seconds_min
            .saturating_add(n_mib.saturating_mul(limits.child_cpu_seconds_per_mib));
        let request = ChildRequest {
            task,
            limits: limits.clone(),
            cpu_seconds,
            // A path that JSON cannot hold: nothing is spilled.
            spill_dir: spool_dir.path().to_str().map(PathBuf::from),
        };
        let request = serde_json::to_string(&request).map_err(|error| io(&error.into()))?;
        let (pipe, end) = UnixStream::pair().map_err(|error| io(&error))?;
        let mut child = Command::new(program)
            .arg("decode-worker")
            .arg(request)
            .env_clear()
            .envs(allocator::settings())
            .stdin(Stdio::from(file))
            .stdout(Stdio::from(OwnedFd::from(end)))
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io(&error))?;
        let stderr = child.stderr.take().expect("stderr is piped");
        // From here on the decoder reaps the child, whatever happens.
        let mut decoder = Decoder {
            pipe: BufReader::with_capacity(64 * 1024, pipe),
            killer: Killer {
                shared: Arc::new(Mutex::new(Shared {
                    child,
                    is_killed: false,
                })),
            },
            stderr: None,
            cpu_seconds,
            address_space_bytes: limits.child_address_space_bytes,
            spill_bytes_max: limits.shared_strings_bytes_max,
            spool_dir: Some(spool_dir.clone()),
            room: None,
            first_data_row_number: None,
            next_ordinal: 0,
            n_rows: 0,
            is_done: false,
        };
        let stderr = thread::Builder::new()
            .name("decoder-stderr".to_owned())
            .spawn(move || read_stderr(stderr))
            .map_err(|error| io(&error))?;
        decoder.stderr = Some(stderr);
        Ok(decoder)
    }
}

fn check_name(sheet: &str) -> Result<(), DecodeError> {
    if sheet.len() > SHEET_NAME_BYTES_MAX {
        return Err(DecodeError::SheetNotFound {
            wanted: sheet.to_owned(),
            available: Vec::new(),
        });
    }
    Ok(())
}

// === impl Surveyor ===

impl Surveyor {
    /// Kills the child from any thread.
    pub fn killer(&self) -> Killer {
        self.decoder.killer()
    }

    /// All that the child finds. Blocks.
    pub fn read(mut self) -> Result<Survey, DecodeError> {
        let decoder = &mut self.decoder;
        let mut sheets: Vec<SurveyedSheet> = Vec::new();
        let mut rows = Vec::new();
        let mut n_bytes = 0;
        loop {
            match decoder.read_message()? {
                Message::Rows(frame) => {
                    n_bytes += frame.as_bytes().len();
                    decoder.n_rows += u64::try_from(frame.n_rows()).unwrap_or(u64::MAX);
                    rows.push(frame);
                }
                Message::Sheet(entry) => {
                    let rows = std::mem::take(&mut rows);
                    sheets.push(SurveyedSheet { entry, rows });
                }
                Message::End(totals) if totals.n_rows == decoder.n_rows && rows.is_empty() => break,
                Message::Failure(failure) => return Err(failure),
                Message::Header(_) => return Err(decoder.refuse("a header".to_owned())),
                Message::Room(_) => return Err(decoder.refuse(ROOM_LATE.to_owned())),
                Message::End(_) => {
                    return Err(decoder.refuse("the totals do not add up".to_owned()));
                }
            }
            if n_bytes > RECEIVED_BYTES_MAX || sheets.len() > SHEETS_MAX {
                return Err(decoder.refuse("more than was asked for".to_owned()));
            }
        }
        // Charts alone are a workbook too.
        let first = sheets.first().ok_or_else(|| DecodeError::NoHeader {
            row: 1,
            why: "no sheet holds cells".to_owned(),
        })?;
        let format = first.entry.format;
        Ok(Survey { format, sheets })
    }
}

// === impl Decoder ===

impl Decoder {
    /// The next of what the child yields; `None` after the last. Blocks.
    #[expect(
        clippy::should_implement_trait,
        reason = "it fails once and is then through, which no iterator does"
    )]
    pub fn next(&mut self) -> Result<Option<Decoded>, DecodeError> {
        if self.is_done {
            return Ok(None);
        }
        let decoded = self.take_message();
        // The child may still free its memory; dropping the decoder waits for that.
        self.is_done = !matches!(decoded, Ok(Some(_)));
        decoded
    }

    /// A handle that stops the child.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    fn take_message(&mut self) -> Result<Option<Decoded>, DecodeError> {
        match self.read_message()? {
            Message::Header(header) if self.first_data_row_number.is_none() => {
                self.first_data_row_number = Some(header.first_data_row_number);
                Ok(Some(Decoded::Header(header)))
            }
            Message::Rows(frame) => match self.check_rows(&frame) {
                Ok(()) => Ok(Some(Decoded::Rows(frame))),
                Err(what) => Err(self.refuse(what.to_owned())),
            },
            Message::End(totals)
                if self.first_data_row_number.is_some() && totals.n_rows == self.n_rows =>
            {
                Ok(None)
            }
            Message::Failure(failure) => Err(failure),
            Message::Header(_) => Err(self.refuse("two headers".to_owned())),
            Message::Room(_) => Err(self.refuse(ROOM_LATE.to_owned())),
            Message::Sheet(_) => Err(self.refuse("a sheet of a survey".to_owned())),
            Message::End(_) => Err(self.refuse("the totals do not add up".to_owned())),
        }
    }

    fn read_message(&mut self) -> Result<Message, DecodeError> {
        let message = self.receive()?;
        // Only the first may ask.
        let Some(spool_dir) = self.spool_dir.take() else {
            return Ok(message);
        };
        let Message::Room(request) = message else {
            return Ok(message);
        };
        self.answer(request, &spool_dir)?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Message, DecodeError> {
        match protocol::read_message(&mut self.pipe) {
            Ok(Some(message)) => Ok(message),
            Ok(None) | Err(protocol::ProtocolError::Cut) => Err(self.explain_death()),
            Err(error) => Err(self.refuse(error.to_string())),
        }
    }

    /// Takes the room that the child asks for, if there is enough of it.
    fn answer(&mut self, request: RoomRequest, spool_dir: &SpoolDir) -> Result<(), DecodeError> {
        if request.n_bytes > self.spill_bytes_max {
            return Err(self.refuse("more room than it may ask for".to_owned()));
        }
        self.room = spool_dir.spare(request.n_bytes);
        let answer = match self.room {
            Some(_) => RoomAnswer::Granted,
            None => RoomAnswer::Refused,
        };
        // A child that does not take it is dead, which the next message tells.
        let _ = protocol::write_answer(&mut self.pipe.get_ref(), answer);
        Ok(())
    }

    /// Rows come after the header, in order, with the numbers that follow from their ordinals.
    fn check_rows(&mut self, frame: &Frame) -> Result<(), &'static str> {
        let Some(first) = self.first_data_row_number else {
            return Err("rows before the header");
        };
        for row in frame.rows() {
            let number = first.checked_add(row.ordinal);
            if row.ordinal < self.next_ordinal || number != Some(row.row_number) {
                return Err("rows out of order");
            }
            self.next_ordinal = row.ordinal.saturating_add(1);
            self.n_rows += 1;
        }
        Ok(())
    }

    /// Stops a child that does not keep to the protocol.
    fn refuse(&mut self, what: String) -> DecodeError {
        self.killer.shared().stop();
        DecodeError::DecoderDied {
            cause: DeathCause::Protocol { what },
        }
    }

    /// Why a child has closed its pipe before the end.
    fn explain_death(&mut self) -> DecodeError {
        let status = self.killer.wait();
        let stderr = self.take_stderr();
        if self.killer.shared().is_killed {
            return DecodeError::Cancelled;
        }
        let status = match status {
            Ok(status) => status,
            Err(error) => return DecodeError::io("wait for the decoder", &error),
        };
        tracing::warn!(%status, stderr = %stderr.escape_debug(), "decoder died");
        let cause = cause_of(status, &stderr, self.cpu_seconds, self.address_space_bytes);
        match cause {
            Some(cause) => DecodeError::DecoderDied { cause },
            None => DecodeError::corrupt("the decoder's stack overflowed"),
        }
    }

    fn take_stderr(&mut self) -> String {
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok());
        String::from_utf8_lossy(&stderr.unwrap_or_default()).into_owned()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // Fails only if the child is reaped already.
        let _ = self.killer.shared().stop_and_reap();
        // The pipe's other end is closed now.
        self.take_stderr();
    }
}

/// What ended a child; `None`: its own recursion, which the file drives.
fn cause_of(
    status: ExitStatus,
    stderr: &str,
    cpu_seconds: u64,
    address_space_bytes: u64,
) -> Option<DeathCause> {
    let cause = match status.signal() {
        Some(SIGXCPU) => DeathCause::CpuLimit {
            seconds: cpu_seconds,
        },
        Some(SIGABRT) if stderr.contains("overflowed its stack") => return None,
        Some(SIGABRT) if stderr.contains("memory allocation of") => DeathCause::MemoryLimit {
            bytes: address_space_bytes,
        },
        Some(SIGSEGV | SIGBUS) => return None,
        Some(number) => DeathCause::Signal { number },
        None => DeathCause::Exit {
            code: status.code().unwrap_or_default(),
        },
    };
    Some(cause)
}

// === impl Killer ===

impl Killer {
    /// Kills the child if it still runs. Its decoder then reports [`DecodeError::Cancelled`],
    /// unless it was through.
    pub fn kill(&self) {
        let mut shared = self.shared();
        shared.is_killed = true;
        shared.stop();
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a child that has closed its pipe, without keeping others from killing it.
    fn wait(&self) -> std::io::Result<ExitStatus> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(50);
        while begin.elapsed() < EXIT_WAIT_MAX {
            if let Some(status) = self.shared().child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        self.shared().stop_and_reap()
    }
}

// === impl Shared ===

impl Shared {
    /// Never hits another process: a child that is not reaped keeps its id, and one that is
    /// reaped is left alone by the standard library.
    fn stop(&mut self) {
        // It may be dead already, which is what is wanted.
        let _ = self.child.kill();
    }

    fn stop_and_reap(&mut self) -> std::io::Result<ExitStatus> {
        self.stop();
        self.child.wait()
    }
}

/// Reads to the end, so that the child never blocks on it, and keeps the beginning.
fn read_stderr(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let read = (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut kept);
    if read.is_ok() {
        // What cannot be read is not missed.
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    }
    kept
}

#[cfg(test)]
mod tests;

//! The decoder's child process: `rowlift decode-worker`.
//!
//! In: a [`ChildRequest`] as the one argument, the workbook as standard input. Out: the messages
//! of [`protocol`] on standard output, a socket through which answers come in. It bounds itself, in
//! address space, CPU time, open files and the length of a file that it writes, before it reads a
//! byte of the file; whatever a hostile file then makes of it, one process dies. It runs on its plain main thread: a runtime's threads alone would take a
//! gigabyte of address space. Stopped by killing it, or by closing its pipe.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use rlimit::Resource;

use crate::decode::SourceHeader;
use crate::decode::error::{DeathCause, DecodeError, shown};
use crate::decode::protocol::{self, ChildRequest, RoomAnswer, RoomRequest, Task, Totals};
use crate::decode::sheet;
use crate::decode::sheet::rows::{Sink, SpillRoom};
use crate::decode::survey::SheetEntry;
use crate::model::frame::Frame;

/// The parent is gone, or was never there.
const EXIT_NO_PIPE: u8 = 3;
const EXIT_USAGE: u8 = 64;

/// Seconds between SIGXCPU, which tells the parent what happened, and SIGKILL.
const CPU_GRACE_SECONDS: u64 = 5;

/// The first to die when memory runs out.
const OOM_SCORE_ADJ: &str = "1000";

/// Runs the child; `argument` is the request. Call it before anything starts a thread.
pub fn run(argument: Option<OsString>) -> ExitCode {
    let request = argument
        .and_then(|argument| argument.into_string().ok())
        .and_then(|argument| serde_json::from_str::<ChildRequest>(&argument).ok());
    let Some(request) = request else {
        return ExitCode::from(EXIT_USAGE);
    };
    let Ok(pipe) = io::stdout().as_fd().try_clone_to_owned() else {
        return ExitCode::from(EXIT_NO_PIPE);
    };
    let mut pipe = File::from(pipe);
    let sent = match decode(&request, &mut pipe) {
        Ok(totals) => protocol::write_end(&mut pipe, totals),
        Err(failure) => protocol::write_failure(&mut pipe, &failure),
    };
    match sent {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(EXIT_NO_PIPE),
    }
}

fn decode(request: &ChildRequest, pipe: &mut File) -> Result<Totals, DecodeError> {
    limit_self(request).map_err(|error| DecodeError::io("limit the decoder", &error))?;
    let file = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| DecodeError::io("open the spool", &error))?;
    let file = File::from(file);
    let mut sink = PipeSink {
        pipe,
        spill_dir: request.spill_dir.as_deref(),
        totals: Totals::default(),
    };
    let panic_note = Arc::new(Mutex::new(None));
    let hook_note = Arc::clone(&panic_note);
    panic::set_hook(Box::new(move |info| {
        *hook_note.lock().unwrap_or_else(PoisonError::into_inner) = Some(PanicNote::of(info));
    }));
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| {
        let limits = &request.limits;
        match &request.task {
            Task::Decode(workbook) => sheet::decode(file, workbook, limits, &mut sink),
            Task::Survey(survey) => sheet::survey(file, survey, limits, &mut sink),
        }
    }));
    match decoded {
        Ok(Ok(())) => Ok(sink.totals),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let note = panic_note
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            Err(note.unwrap_or_default().into_error())
        }
    }
}

/// Sets the limits that a file cannot get around. A bound that the process has already and that
/// is lower stays.
fn limit_self(request: &ChildRequest) -> io::Result<()> {
    let limits = &request.limits;
    let cpu = request.cpu_seconds;
    let file_bytes = match request.spill_dir {
        Some(_) => limits.shared_strings_bytes_max,
        None => 0,
    };
    for (resource, soft, hard) in [
        (Resource::CORE, 0, 0),
        (
            Resource::NOFILE,
            limits.child_open_files,
            limits.child_open_files,
        ),
        (Resource::CPU, cpu, cpu.saturating_add(CPU_GRACE_SECONDS)),
        (Resource::FSIZE, file_bytes, file_bytes),
        (
            Resource::AS,
            limits.child_address_space_bytes,
            limits.child_address_space_bytes,
        ),
    ] {
        lower(resource, soft, hard)?;
    }
    // Best effort: not every container lets a process touch it.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    Ok(())
}

/// Lowers a bound of this process; one that is lower already stays.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let (_, hard_now) = resource.get()?;
    resource.set(soft.min(hard_now), hard.min(hard_now))
}

/// Sends what a sheet yields to the parent.
struct PipeSink<'p> {
    pipe: &'p mut File,
    /// Where a file may be made; `None`: nowhere.
    spill_dir: Option<&'p Path>,
    totals: Totals,
}

impl Sink for PipeSink<'_> {
    fn header(&mut self, header: SourceHeader) -> Result<(), DecodeError> {
        protocol::write_header(self.pipe, &header)
            .map_err(|error| DecodeError::io("write to the pipe", &error))
    }

    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError> {
        self.totals.n_rows += u64::try_from(frame.n_rows()).unwrap_or(u64::MAX);
        protocol::write_rows(self.pipe, &frame)
            .map_err(|error| DecodeError::io("write to the pipe", &error))
    }

    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError> {
        protocol::write_sheet(self.pipe, &entry)
            .map_err(|error| DecodeError::io("write to the pipe", &error))
    }

    fn spill_room(&mut self, n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError> {
        let Some(dir) = self.spill_dir else {
            return Ok(None);
        };
        protocol::write_room_request(self.pipe, RoomRequest { n_bytes })
            .map_err(|error| DecodeError::io("write to the pipe", &error))?;
        let answer = protocol::read_answer(self.pipe)
            .map_err(|error| DecodeError::io("read from the pipe", &error))?;
        let n_granted = match answer {
            RoomAnswer::Granted => n_bytes,
            RoomAnswer::Refused => 0,
        };
        lower(Resource::FSIZE, n_granted, n_granted)
            .map_err(|error| DecodeError::io("limit the decoder", &error))?;
        Ok((n_granted > 0).then(|| SpillRoom {
            dir: dir.to_owned(),
            n_bytes: n_granted,
        }))
    }
}

/// What is known of a panic.
#[derive(Debug, Default)]
struct PanicNote {
    message: String,
    place: String,
    is_ours: bool,
}

// === impl PanicNote ===

impl PanicNote {
    fn of(info: &panic::PanicHookInfo<'_>) -> PanicNote {
        let location = info.location();
        let file = location.map(panic::Location::file).unwrap_or_default();
        let line = location.map(panic::Location::line).unwrap_or_default();
        let name = file.rsplit('/').next().unwrap_or_default();
        PanicNote {
            message: info.payload_as_str().unwrap_or_default().to_owned(),
            place: format!("{name}:{line}"),
            // Paths of this package are relative, those of the others are not.
            is_ours: file.starts_with("src/"),
        }
    }

    /// A panic of calamine is an answer to a file that it did not expect; one of ours is a fault.
    fn into_error(self) -> DecodeError {
        let PanicNote {
            message,
            place,
            is_ours,
        } = self;
        if is_ours {
            return DecodeError::DecoderDied {
                cause: DeathCause::Protocol {
                    what: format!("panic at {place}: {message}"),
                },
            };
        }
        let message = message.replace('"', "'");
        DecodeError::corrupt(format!("unreadable ({place}: {})", shown(&message)))
    }
}

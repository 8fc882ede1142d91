//! How much memory the C library's allocator keeps.
//!
//! In: the environment that the program was started with. Out: the same program in the same process,
//! with [`TUNABLES`] in its environment. Left alone, glibc takes the largest buffer that was ever
//! freed, up to 32 MiB, as the size from which on it asks the kernel: batches and messages of some
//! MiB then stay in the heap of whichever thread made them, a heap more for every thread of the
//! blocking pool, and a service grows with each import that it has run. There is no safe call for
//! it, and glibc reads its tunables once, when a program starts. Elsewhere than on glibc nothing
//! is done.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Buffers of a MiB and more go back to the kernel when they are freed; the others come from four heaps at
/// most. `docs/PERFORMANCE.md` has what this brings.
pub const TUNABLES: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "1048576"),
    ("MALLOC_ARENA_MAX", "4"),
];

/// An operator's own settings may also be here.
const OF_OPERATORS: &str = "GLIBC_TUNABLES";

/// Set when the program was started anew, so that it happens once.
const MARK: &str = "_ROWLIFT_STARTED_ANEW";

/// Starts the program anew in this process with [`TUNABLES`], unless the environment has settings of
/// its own. To be called before anything starts a thread or opens a file.
///
/// Returns if there is nothing to do.
///
/// # Errors
/// The program could not be started anew. The process is then not what it was: SIGPIPE ends it.
pub fn tune() -> io::Result<()> {
    let is_decided = settings().next().is_some() || variable(MARK).is_some();
    if is_decided || !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return Ok(());
    }
    let Some(program) = program() else {
        return Ok(());
    };
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let mut anew = Command::new(program);
    anew.arg0(name)
        .args(arguments)
        .envs(TUNABLES)
        .env(MARK, "1");
    // It returns only if it fails.
    Err(anew.exec())
}

/// This program's file. `None` where nothing tells it, it was replaced meanwhile, or the dynamic loader was
/// started with the program as its argument.
fn program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let name = program.file_name()?.as_encoded_bytes();
    (!name.starts_with(b"ld-") && program.exists()).then_some(program)
}

/// What the allocator of this process was told, for a child whose environment has nothing else.
pub fn settings() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = TUNABLES.map(|(name, _)| name).into_iter();
    let names = names.chain([OF_OPERATORS]);
    names.filter_map(|name| Some((name, variable(name)?)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "they are the C library's, not ours"
)]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

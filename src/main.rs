//! The `rowlift` binary: the decoder's child process, or the command line.
//!
//! In: arguments. Out: an exit code. A server first starts itself anew, in the same process, if its
//! allocator is to be told to keep less; see [`rowlift::allocator`].

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything starts a thread or reads a setting: the child bounds itself first.
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    match command.as_deref().and_then(OsStr::to_str) {
        Some("decode-worker") => return rowlift::decode::worker::run(args.next()),
        Some("serve") => {
            if let Err(error) = rowlift::allocator::tune() {
                // Nobody can be told if even this cannot be printed.
                let _ignored = writeln!(
                    std::io::stderr(),
                    "error: start anew with settings for the C library's allocator: {error}; with \
                     MALLOC_ARENA_MAX set this is not tried"
                );
                return ExitCode::FAILURE;
            }
        }
        _ => {}
    }
    rowlift::cli::run(std::env::args_os())
}

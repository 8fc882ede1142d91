//! The `rowlift` binary: the decoder's child process, or the command line.
//!
//! In: arguments. Out: an exit code. A server first starts itself anew, in the same process, if its
//! allocator is to be told to keep less; see [`rowlift::allocator`].

use std::ffi::OsStr;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything starts a thread or reads a setting: the child bounds itself first.
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    match command.as_deref().and_then(OsStr::to_str) {
        Some("decode-worker") => return rowlift::decode::worker::run(args.next()),
        Some("serve") => {
            // It serves without, and needs more memory.
            let _untuned = rowlift::allocator::tune();
        }
        _ => {}
    }
    rowlift::cli::run(std::env::args_os())
}

//! The `rowlift` binary: the decoder's child process, or the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything starts a thread or reads a setting: the child bounds itself first.
    let mut args = std::env::args_os().skip(1);
    if args
        .next()
        .is_some_and(|command| command == "decode-worker")
    {
        return rowlift::decode::worker::run(args.next());
    }
    rowlift::cli::run(std::env::args_os())
}

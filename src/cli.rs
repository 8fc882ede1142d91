//! The command line: what scripts and people type, and the exit codes that they get.
//!
//! In: arguments. Out: results on standard output, remarks and errors on standard error, and an
//! exit code: 0 all rows in, 2 finished with rejected rows, 1 failed, 64 wrong usage; a closed pipe
//! changes none but that of a question, which is 0. Every client command speaks gRPC, to `--addr` or to
//! a service that it starts inside the process. An interrupted command drops its call, which suspends
//! the import.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::cli::args::{Cli, Command};
use crate::cli::exit::{CliError, Exit};
use crate::cli::terminal::Terminal;

mod args;
mod decode;
mod exit;
mod import;
mod imports;
mod inspect;
mod local;
mod misnamed;
mod rejects;
mod serve;
mod server;
mod tables;
mod terminal;
mod text;

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run<I>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = OsString>,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody can be told if even this cannot be printed.
            let _ignored = error.print();
            return exit::of_usage(&error).into();
        }
    };
    let mut terminal = Terminal::standard();
    let exit = match run_command(cli.command, &mut terminal) {
        Ok(exit) => exit,
        // Whoever read the answer wants no more of it.
        Err(error) if error.is_reader_gone() => Exit::Done,
        Err(error) => {
            exit::report(&mut terminal, &error);
            error.exit()
        }
    };
    exit.into()
}

fn run_command(command: Command, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let runtime = Runtime::new().map_err(|source| CliError::Runtime { source })?;
    let exit = runtime.block_on(async {
        match command {
            Command::Serve(flags) => serve::serve(&flags).await,
            Command::Migrate(args) => serve::migrate(&args, terminal).await,
            Command::Import(args) => import::import(&args, terminal).await,
            Command::Inspect(args) => inspect::inspect(&args, terminal).await,
            Command::Decode(args) => decode::decode(&args, terminal).await,
            Command::Tables(args) => tables::tables(&args, terminal).await,
            Command::Imports(args) => imports::imports(&args, terminal).await,
            Command::Watch(args) => imports::watch(&args, terminal).await,
            Command::Cancel(args) => imports::cancel(&args, terminal).await,
            Command::Delete(args) => imports::delete(&args, terminal).await,
            Command::Rejects(args) => rejects::rejects(&args, terminal).await,
        }
    });
    // A read of a pipe that never ends must not keep the process.
    runtime.shutdown_background();
    exit
}

#[cfg(test)]
mod tests;

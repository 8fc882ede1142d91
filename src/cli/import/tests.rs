use std::collections::HashMap;
use std::io::{self, Write};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::view::View;
use super::{Ended, finish, finish_badly};
use crate::cli::args::{Command, ImportArgs};
use crate::cli::exit::{CliError, Exit};
use crate::cli::terminal::Terminal;
use crate::cli::tests::{Captured, parse};
use crate::client::error::ClientError;
use crate::proto::{ImportResult, State};

/// A pipe that nobody reads any more.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn arguments(line: &str) -> ImportArgs {
    let Ok(Command::Import(args)) = parse(line) else {
        panic!("{line}");
    };
    *args
}

fn refusal(reason: &str) -> ClientError {
    let details = ErrorDetails::with_error_info(reason, "rowlift", HashMap::new());
    let status = Status::with_error_details(Code::Aborted, "refused", details);
    ClientError::Status {
        status: Box::new(status),
        result: None,
    }
}

fn ended(state: State, error: Option<ClientError>) -> Ended {
    Ended {
        result: ImportResult {
            import_id: String::from("a-1"),
            state: state.into(),
            ..ImportResult::default()
        },
        rejected_rows: Vec::new(),
        error,
        replayed: false,
        resumed_from: None,
    }
}

/// What is said of an import that the server refused for `reason`.
fn told(line: &str, reason: &str) -> String {
    let notes = Captured::default();
    let mut terminal = Terminal::to(Captured::default(), notes.clone());
    let error = CliError::Client(refusal(reason));
    finish_badly(&arguments(line), &mut terminal, &View::lines(), error).unwrap();
    notes.text()
}

#[test]
fn an_import_that_another_session_has_is_watched_or_taken_over() {
    let (output, notes) = (Captured::default(), Captured::default());
    let mut terminal = Terminal::to(output.clone(), notes.clone());
    let args = arguments("import f.csv --table t --import-id a-1");
    let fenced = ended(State::Suspended, Some(refusal("FENCED")));
    assert_eq!(finish(&args, &mut terminal, &fenced).unwrap(), Exit::Failed);
    let (output, notes) = (output.text(), notes.text());
    assert!(output.contains("taken over by another session"), "{output}");
    assert!(notes.contains("to follow it: rowlift watch a-1"), "{notes}");
    assert!(notes.contains("to take it over: rowlift"), "{notes}");
    assert!(!notes.contains("to continue"), "{notes}");
}

#[test]
fn the_exit_code_is_the_imports_though_nobody_reads_the_result() {
    for line in ["import f.csv --table t", "import f.csv --table t --json"] {
        let args = arguments(line);
        let mut terminal = Terminal::to(Closed, Captured::default());
        for (state, exit) in [
            (State::Succeeded, Exit::Done),
            (State::Failed, Exit::Failed),
        ] {
            let mut ended = ended(state, None);
            assert_eq!(finish(&args, &mut terminal, &ended).unwrap(), exit);
            ended.replayed = true;
            assert_eq!(finish(&args, &mut terminal, &ended).unwrap(), exit);
        }
        let error = CliError::Client(refusal("IMPORT_BUSY"));
        let told = finish_badly(&args, &mut terminal, &View::json(), error);
        assert_eq!(told.unwrap(), Exit::Failed);
    }
}

#[test]
fn an_import_refused_for_not_being_resumed_tells_how_to() {
    let line = "import f.csv --table t --import-id a-1";
    for reason in ["IMPORT_BUSY", "WRONG_STATE"] {
        let notes = told(line, reason);
        let command = "rowlift import f.csv --table t --import-id a-1 --resume";
        assert!(notes.contains(command), "{reason}: {notes}");
    }
    let notes = told(line, "ID_CONFLICT");
    assert!(!notes.contains("rowlift "), "{notes}");
    for (reason, follows) in [("IMPORT_BUSY", true), ("WRONG_STATE", false)] {
        let notes = told(line, reason);
        assert_eq!(notes.contains("rowlift watch a-1"), follows, "{notes}");
    }
    for line in ["import f.csv --table t", &format!("{line} --resume")] {
        let notes = told(line, "IMPORT_BUSY");
        assert!(!notes.contains("rowlift "), "{notes}");
    }
}

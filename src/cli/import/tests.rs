use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::finish_badly;
use super::view::View;
use crate::cli::args::Command;
use crate::cli::exit::CliError;
use crate::cli::terminal::Terminal;
use crate::cli::tests::{Captured, parse};
use crate::client::error::ClientError;

/// What is said of an import that the server refused for `reason`.
fn told(line: &str, reason: &str) -> String {
    let Ok(Command::Import(args)) = parse(line) else {
        panic!("{line}");
    };
    let details = ErrorDetails::with_error_info(reason, "rowlift", HashMap::new());
    let status = Status::with_error_details(Code::Aborted, "refused", details);
    let error = CliError::Client(ClientError::Status {
        status: Box::new(status),
        result: None,
    });
    let notes = Captured::default();
    let mut terminal = Terminal::to(Captured::default(), notes.clone());
    finish_badly(&args, &mut terminal, &View::lines(), error).unwrap();
    notes.text()
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
    assert!(!notes.contains("to continue"), "{notes}");
    for line in ["import f.csv --table t", &format!("{line} --resume")] {
        let notes = told(line, "IMPORT_BUSY");
        assert!(!notes.contains("to continue"), "{notes}");
    }
}

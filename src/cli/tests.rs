use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};

use super::args::{Cli, Command, Method, OnConflict, OnError, OutputFormat};
use super::exit::{self, CliError, Exit};
use crate::client::error::ClientError;
use crate::config::error::ConfigError;
use crate::proto::{ImportResult, ImportStats, State};

/// What a terminal of a test was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("rowlift").chain(line.split(' '));
    Cli::try_parse_from(words).map(|cli| cli.command)
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_fixed_command_line_is_understood() {
    for line in [
        "serve",
        "serve --listen 127.0.0.1:1 --database-url sqlite://x.db --admin-listen 127.0.0.1:2 --config f",
        "import f.xlsx --table t",
        "import f.xlsx --table t --addr http://h:1 --import-id i --resume --sheet S --header-row 3",
        "import f --table t --method copy --on-conflict reject --key a,b --on-error skip",
        "import f --table t --max-rejected 5 --atomic --dry-run --timeout 30s --json",
        "import f --table t --max-rejected -1",
        "import f --table t --on-conflict update --conflict-key k --on-missing skip",
        "import f --table t --set app.tenant_id=7 --continue",
        "import f --table t --tenant acme --refuse-duplicate --reject-retention 7d",
        "import f --table t --reject-retention 0s",
        "inspect f",
        "inspect f --table t",
        "decode f",
        "decode f --sheet S --header-row 0 --delimiter ; --encoding latin1 --json",
        "tables",
        "tables t",
        "imports",
        "imports i",
        "imports --tenant acme --label a=b --label c=d",
        "watch i",
        "delete i",
        "delete i --tenant acme --json",
        "rejects i",
        "rejects i --output f.xlsx",
        "rejects i --output f.csv",
        "rejects i --output f.csv --force",
        "cancel i",
        "migrate",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn arguments_arrive_where_they_belong() {
    let line = "import f --table t --method sequential --on-conflict update --key a,b \
                --on-error abort --timeout 1m --label a=b=c";
    let Ok(Command::Import(args)) = parse(line) else {
        panic!("{line}");
    };
    assert_eq!(args.method, Some(Method::Sequential));
    assert_eq!(args.on_conflict, Some(OnConflict::Update));
    assert_eq!(args.key, ["a", "b"]);
    assert_eq!(args.on_error, Some(OnError::Abort));
    assert_eq!(args.timeout.unwrap().as_secs(), 60);
    assert_eq!(args.label, [(String::from("a"), String::from("b=c"))]);
    let Ok(Command::Rejects(args)) = parse("rejects i --output dir/F.CSV") else {
        panic!("rejects");
    };
    assert_eq!(args.output.unwrap().format, OutputFormat::Csv);
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    for (line, code) in [
        ("", 64),
        ("nonsense", 64),
        ("import", 64),
        ("import f", 64),
        ("import f --table t --nonsense", 64),
        ("import f --table t --method upload", 64),
        ("import f --table t --max-rejected -2", 64),
        ("import f --table t --header-row -1", 64),
        ("import f --table t --timeout soon", 64),
        ("import f --table t --timeout 0s", 64),
        ("import f --table t --resume", 64),
        ("import f --table t --key a --conflict-key k", 64),
        ("import f --table t --on-missing fail", 64),
        ("import f --table t --set novalue", 64),
        (
            "import f --table t --addr h:1 --database-url sqlite://x",
            64,
        ),
        ("import f --table t --label novalue", 64),
        ("import f --table t --reject-retention never", 64),
        ("imports i --label a=b", 64),
        ("delete", 64),
        ("rejects i --output f.pdf", 64),
        ("rejects i --force", 64),
        ("decode", 64),
        ("decode f --null-token x", 64),
        ("serve --listen nowhere", 64),
        ("watch", 64),
        ("--help", 0),
        ("import --help", 0),
        ("--version", 0),
    ] {
        let words = std::iter::once("rowlift").chain(line.split(' ').filter(|it| !it.is_empty()));
        let error = Cli::try_parse_from(words).expect_err(line);
        assert_eq!(exit::of_usage(&error).code(), code, "{line}");
    }
}

#[test]
fn exit_codes_tell_how_an_import_ended() {
    for (state, n_rejected, code) in [
        (State::Succeeded, 0, 0),
        (State::Succeeded, 1, 2),
        (State::Failed, 0, 1),
        (State::Failed, 7, 1),
        (State::Suspended, 0, 1),
        (State::Cancelled, 0, 1),
        (State::Unspecified, 0, 1),
    ] {
        let result = ImportResult {
            state: state.into(),
            stats: Some(ImportStats {
                rejected_row_count: n_rejected,
                ..ImportStats::default()
            }),
            ..ImportResult::default()
        };
        assert_eq!(
            Exit::of_result(&result).code(),
            code,
            "{state:?} {n_rejected}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let written = ClientError::Write { source: closed() };
    assert!(CliError::from(closed()).is_reader_gone());
    assert!(CliError::from(written).is_reader_gone());
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert!(!CliError::from(full).is_reader_gone());
    assert!(!CliError::Interrupted.is_reader_gone());
}

#[test]
fn exit_codes_tell_wrong_settings_from_failures() {
    let config = ConfigError::Conflict {
        key: "listen",
        message: String::from("no"),
    };
    let address = ClientError::Address {
        addr: String::from("x"),
    };
    assert_eq!(CliError::from(config).exit().code(), 64);
    assert_eq!(CliError::from(address).exit().code(), 64);
    assert_eq!(CliError::from(ClientError::NoResult).exit().code(), 1);
    assert_eq!(CliError::Interrupted.exit().code(), 1);
}

//! The child as a process: it can be killed, it is always reaped, it bounds itself.

use std::path::Path;
use std::thread;

use rowlift::decode::Decoded;
use rowlift::decode::error::{DeathCause, DecodeError};
use rowlift::decode::limits::Limits;
use rowlift::decode::sandbox::Sandbox;
use rowlift::disk::SpoolDir;
use rowlift::model::import::{Failure, Reason};

use super::package::Package;
use super::{decode, read_all, request, spool, start};

/// More rows than fit into the pipe.
fn many_rows() -> Vec<u8> {
    let row = "<row><c><v>1</v></c><c t=\"inlineStr\"><is><t>text</t></is></c></row>";
    Package::new(&row.repeat(50_000)).bytes()
}

/// Children of this process, zombies included. Every test has a process of its own.
fn n_children() -> usize {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap();
    let stats = processes
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("stat")).ok());
    // After the name in parentheses: state, parent.
    stats
        .filter(|stat| {
            let (_, rest) = stat.rsplit_once(')').unwrap();
            rest.split_whitespace().nth(1) == Some(own.as_str())
        })
        .count()
}

/// The child whose request holds `mark`.
pub(super) fn child(mark: &str) -> i32 {
    let processes = std::fs::read_dir("/proc").unwrap();
    let paths = processes.map(|entry| entry.unwrap().path());
    let mut found = paths.filter(|path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    });
    let path = found.next().expect("the child runs");
    assert!(found.next().is_none(), "one child has the mark");
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

fn alone() -> bool {
    std::env::args().any(|arg| arg == "--exact")
}

#[test]
fn a_kill_from_another_thread_ends_the_decoder() {
    let mut decoder = start(&many_rows(), &request(), &Limits::default());
    assert!(matches!(decoder.next(), Ok(Some(Decoded::Header(_)))));
    let killer = decoder.killer();
    thread::spawn(move || {
        killer.kill();
        killer.kill();
    })
    .join()
    .unwrap();
    // What is in the pipe already may still come.
    let end = loop {
        match decoder.next() {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(end, Err(DecodeError::Cancelled));
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_kill_reaches_a_child_that_spins() {
    let mut package = Package::new("");
    package.set("mimetype", "application/vnd.oasis.opendocument.spreadsheet");
    package.set("META-INF/manifest.xml", "<manifest:manifest/>");
    package.set("content.xml", "<table:table table:name=\"A\">");
    let decoder = start(&package.bytes(), &request(), &Limits::default());
    let killer = decoder.killer();
    let reader = thread::spawn(move || read_all(decoder));
    killer.kill();
    assert_eq!(reader.join().unwrap(), Err(DecodeError::Cancelled));
}

#[test]
fn a_dropped_decoder_leaves_no_process_behind() {
    let mut decoder = start(&many_rows(), &request(), &Limits::default());
    assert!(matches!(decoder.next(), Ok(Some(Decoded::Header(_)))));
    let killer = decoder.killer();
    drop(decoder);
    drop(start(&many_rows(), &request(), &Limits::default()));
    assert_eq!(
        read_all(start(&many_rows(), &request(), &Limits::default()))
            .unwrap()
            .rows
            .len(),
        49_999
    );
    assert!(decode(b"PK\x03\x04").is_err());
    if alone() {
        assert_eq!(n_children(), 0);
    }
    // The child is reaped: its id may belong to another process by now.
    killer.kill();
}

#[test]
fn the_kernel_takes_a_decoder_first_and_the_file_is_not_blamed() {
    // Nobody else has this limit; it tells the child from those of other tests.
    let seconds = 1_000_000 + u64::from(std::process::id());
    let limits = Limits {
        child_cpu_seconds_min: seconds,
        ..Limits::default()
    };
    let mut decoder = start(&many_rows(), &request(), &limits);
    // It has begun to read, and waits for room in the pipe.
    assert!(matches!(decoder.next(), Ok(Some(Decoded::Header(_)))));
    let child = child(&format!("\"child_cpu_seconds_min\":{seconds}"));
    let score = std::fs::read_to_string(format!("/proc/{child}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "1000");
    let pid = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let error = loop {
        match decoder.next() {
            Ok(Some(_)) => {}
            other => break other.unwrap_err(),
        }
    };
    let cause = DeathCause::Signal { number: 9 };
    assert_eq!(error, DecodeError::DecoderDied { cause });
    let failure = Failure::from(error);
    assert_eq!(failure.reason, Reason::Internal);
    assert!(failure.message.contains("no fault of the file"));
}

#[test]
fn a_kill_after_the_end_changes_nothing() {
    let bytes = Package::new("<row><c><v>1</v></c></row>").bytes();
    let mut decoder = start(&bytes, &request(), &Limits::default());
    while decoder.next().unwrap().is_some() {}
    decoder.killer().kill();
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn a_program_that_is_no_decoder_is_told() {
    let run = |program: &str| {
        let bytes = Package::new("").bytes();
        let sandbox = Sandbox {
            program: Path::new(program),
            limits: &Limits::default(),
            spool_dir: &SpoolDir::new(std::env::temp_dir(), None),
        };
        let started = sandbox.start(spool(&bytes), &request());
        started.and_then(read_all).unwrap_err()
    };
    assert!(matches!(run("/does/not/exist"), DecodeError::Io { .. }));
    for (program, wanted) in [
        ("/bin/false", DeathCause::Exit { code: 1 }),
        ("/bin/true", DeathCause::Exit { code: 0 }),
        (
            "/bin/echo",
            DeathCause::Protocol {
                what: "message of unknown kind 100".to_owned(),
            },
        ),
    ] {
        let cause = wanted;
        assert_eq!(
            run(program),
            DecodeError::DecoderDied { cause },
            "{program}"
        );
    }
}

#[test]
fn a_worker_without_a_request_exits_with_usage() {
    for args in [&["decode-worker"][..], &["decode-worker", "{}"]] {
        let output = std::process::Command::new(super::program())
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert!(output.stdout.is_empty());
    }
}

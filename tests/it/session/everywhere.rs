//! Each call of an import fails once, in every way.

use std::time::Duration;

use rowlift::proto::CommitMode;
use tokio::runtime::{Builder, Runtime};

use super::driver::{Case, assert_counted_once, assert_once, import, session};
use super::memory::{Fault, Memory};

const FAULTS: [Fault; 4] = [
    Fault::Before,
    Fault::After,
    Fault::HangBefore,
    Fault::HangAfter,
];

fn case(is_file: bool, commit_mode: CommitMode, validate_only: bool) -> Case {
    let rows = (0..30).map(|at| (at % 11 != 7).then_some(at * 10));
    Case {
        rows: rows.collect(),
        is_file,
        commit_mode,
        validate_only,
        rejects_max: -1,
        message_rows: 4,
        batch_rows: 5,
    }
}

/// The k-th call of the first session fails; whoever dies is resumed.
async fn fails_everywhere(case: &Case, n_writers: usize) {
    let clean = Memory::new(n_writers);
    let outcome = import(&clean, case).await;
    assert_once(&clean, case, &outcome);
    assert_counted_once(&clean, &outcome, true);
    for fault in FAULTS {
        for at in 0..clean.n_calls() {
            let memory = Memory::new(n_writers);
            let mut faults = vec![Fault::None; at];
            faults.push(fault);
            memory.fail(faults);
            let outcome = import(&memory, case).await;
            assert_once(&memory, case, &outcome);
            let nobody_dies = matches!(fault, Fault::Before | Fault::After);
            assert_counted_once(&memory, &outcome, nobody_dies);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_in_once_whichever_call_fails() {
    fails_everywhere(&case(false, CommitMode::PerBatch, false), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_in_once_whichever_call_fails_with_four_writers() {
    fails_everywhere(&case(false, CommitMode::PerBatch, false), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_is_in_once_whichever_call_fails() {
    fails_everywhere(&case(true, CommitMode::PerBatch, false), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_atomic_import_is_all_in_whichever_call_fails() {
    fails_everywhere(&case(false, CommitMode::Atomic, false), 4).await;
    fails_everywhere(&case(true, CommitMode::Atomic, false), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_the_same_whichever_call_fails() {
    fails_everywhere(&case(false, CommitMode::PerBatch, true), 4).await;
    fails_everywhere(&case(true, CommitMode::Atomic, true), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reject_too_many_fails_the_import_whichever_call_fails() {
    for (commit_mode, validate_only) in [
        (CommitMode::PerBatch, false),
        (CommitMode::PerBatch, true),
        (CommitMode::Atomic, false),
    ] {
        let case = Case {
            rejects_max: 1,
            ..case(false, commit_mode, validate_only)
        };
        fails_everywhere(&case, 1).await;
    }
}

/// A session may die before its transaction has a writer, for which its thread waits with rows.
#[test]
fn sessions_that_die_leave_no_thread() {
    let runtime = || -> Runtime {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    let case = case(true, CommitMode::Atomic, false);
    let clean = Memory::new(1);
    runtime().block_on(import(&clean, &case));
    for at in 0..clean.n_calls() {
        let memory = Memory::new(1);
        let mut faults = vec![Fault::None; at];
        faults.push(Fault::HangBefore);
        memory.fail(faults);
        let runtime = runtime();
        runtime.block_on(session(&memory, &case));
        let (sender, ended) = std::sync::mpsc::channel();
        // Waits for the threads of its sessions, for ever if need be.
        std::thread::spawn(move || {
            drop(runtime);
            sender.send(()).unwrap();
        });
        let ended = ended.recv_timeout(Duration::from_secs(20));
        assert!(ended.is_ok(), "a thread is left where call {at} hangs");
    }
}

use std::time::Duration;

use super::{file_header, refusal};
use crate::grpc::header::import_spec;
use crate::mapping::conflict::{ConflictAction, KeyChoice};
use crate::model::import::Reason;
use crate::model::plan::OnMissing;
use crate::proto::{self, ImportHeader};
use crate::session::spec::{CommitMode, Disconnect, ImportSpec};
use crate::store::OpenMode;

const SKIP: i32 = proto::ConflictAction::Skip as i32;
const UPDATE: i32 = proto::ConflictAction::Update as i32;
const MISSING_REJECT: i32 = proto::MissingAction::Reject as i32;
const MISSING_SKIP: i32 = proto::MissingAction::Skip as i32;
const CONTINUE: i32 = proto::DisconnectPolicy::ContinueAfterFinish as i32;

fn spec(change: impl FnOnce(&mut ImportHeader)) -> ImportSpec {
    let mut header = file_header();
    change(&mut header);
    import_spec(header).unwrap()
}

/// The path at fault; the header must be refused as INVALID_OPTION.
fn fault(change: impl FnOnce(&mut ImportHeader)) -> String {
    let mut header = file_header();
    change(&mut header);
    let (reason, path) = refusal(header);
    assert_eq!(reason, Reason::InvalidOption, "{path}");
    path
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[test]
fn rows_that_meet_a_key_do_what_the_header_says() {
    let plain = spec(|_| {}).conflict;
    assert_eq!(
        (plain.action, plain.key),
        (ConflictAction::Reject, KeyChoice::Automatic)
    );
    let skip = spec(|header| {
        header.on_conflict = SKIP;
        header.conflict_columns = vec!["a".to_owned(), "b".to_owned()];
    });
    assert_eq!(skip.conflict.action, ConflictAction::Skip);
    assert_eq!(
        skip.conflict.key,
        KeyChoice::Columns(vec!["a".to_owned(), "b".to_owned()])
    );
    for (missing, wanted) in [
        (0, OnMissing::Insert),
        (1, OnMissing::Insert),
        (MISSING_REJECT, OnMissing::Reject),
        (MISSING_SKIP, OnMissing::Skip),
    ] {
        let update = spec(|header| {
            header.on_conflict = UPDATE;
            header.conflict_key = "t_email_idx".to_owned();
            header.on_missing = missing;
        });
        assert_eq!(update.conflict.action, ConflictAction::Update(wanted));
        assert_eq!(
            update.conflict.key,
            KeyChoice::Name("t_email_idx".to_owned())
        );
    }
}

#[test]
fn a_key_without_a_use_for_it_is_refused() {
    let columns = vec!["a".to_owned()];
    for (path, found) in [
        (
            "header.conflict_columns",
            fault(|header| header.conflict_columns = columns.clone()),
        ),
        (
            "header.conflict_key",
            fault(|header| header.conflict_key = "k".to_owned()),
        ),
        (
            "header.conflict_key",
            fault(|header| {
                header.on_conflict = SKIP;
                header.conflict_columns = columns.clone();
                header.conflict_key = "k".to_owned();
            }),
        ),
        (
            "header.conflict_columns",
            fault(|header| {
                header.on_conflict = SKIP;
                header.conflict_columns = vec!["a".to_owned(); 33];
            }),
        ),
        (
            "header.on_missing",
            fault(|header| {
                header.on_conflict = SKIP;
                header.on_missing = MISSING_SKIP;
            }),
        ),
        (
            "header.on_missing",
            fault(|header| {
                header.on_conflict = UPDATE;
                header.on_missing = 99;
            }),
        ),
    ] {
        assert_eq!(found, path);
    }
}

#[test]
fn resume_atomic_and_dry_runs_reach_the_spec() {
    let plain = spec(|_| {});
    assert_eq!(plain.mode, OpenMode::Begin);
    assert_eq!(plain.commit_mode, CommitMode::PerBatch);
    assert!(!plain.validate_only);
    let all = spec(|header| {
        header.resume = true;
        header.commit_mode = proto::CommitMode::Atomic.into();
        header.validate_only = true;
    });
    assert_eq!(all.mode, OpenMode::Resume);
    assert_eq!(all.commit_mode, CommitMode::Atomic);
    assert!(all.validate_only);
    assert_eq!(fault(|header| header.commit_mode = 9), "header.commit_mode");
}

#[test]
fn a_lost_caller_suspends_unless_the_header_says_otherwise() {
    assert_eq!(spec(|_| {}).disconnect, Disconnect::Suspend);
    let lasts = spec(|header| {
        header.disconnect_policy = CONTINUE;
        header.processing_timeout = Some(seconds(90));
    });
    assert_eq!(
        lasts.disconnect,
        Disconnect::Continue(Duration::from_secs(90))
    );
    let unset = spec(|header| header.disconnect_policy = CONTINUE);
    assert!(matches!(unset.disconnect, Disconnect::Continue(_)));
    for timeout in [
        Some(seconds(0)),
        Some(seconds(-1)),
        Some(seconds(25 * 3600)),
    ] {
        let path = fault(|header| {
            header.disconnect_policy = CONTINUE;
            header.processing_timeout = timeout;
        });
        assert_eq!(path, "header.processing_timeout", "{timeout:?}");
    }
    // Without the policy it would say nothing.
    let path = fault(|header| header.processing_timeout = Some(seconds(5)));
    assert_eq!(path, "header.processing_timeout");
    let path = fault(|header| header.disconnect_policy = 9);
    assert_eq!(path, "header.disconnect_policy");
}

#[test]
fn settings_are_bounded() {
    let set = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let spec = spec(|header| header.settings = set("app.tenant_id", "7"));
    assert_eq!(spec.settings["app.tenant_id"], "7");
    for (name, value) in [
        (String::new(), String::new()),
        ("a".repeat(64), String::new()),
        ("a".to_owned(), "x".repeat(1025)),
        ("a".to_owned(), "\0".to_owned()),
    ] {
        let path = fault(|header| header.settings = set(&name, &value));
        assert_eq!(path, "header.settings", "{name:?}");
    }
    let many = (0..17).map(|n| (format!("app.s{n}"), String::new()));
    let path = fault(|header| header.settings = many.collect());
    assert_eq!(path, "header.settings");
}

#[test]
fn what_decides_the_outcome_is_part_of_the_import() {
    let of = |spec: ImportSpec| spec.fingerprint("public.businesses");
    let plain = of(spec(|_| {}));
    let same = of(spec(|header| {
        header.disconnect_policy = CONTINUE;
        header.settings = [("app.tenant_id".to_owned(), "7".to_owned())].into();
    }));
    assert_eq!(same, plain);
    let mut seen = vec![plain];
    for other in [
        of(spec(|header| header.on_conflict = SKIP)),
        of(spec(|header| header.on_conflict = UPDATE)),
        of(spec(|header| {
            header.on_conflict = UPDATE;
            header.on_missing = MISSING_SKIP;
        })),
        of(spec(|header| {
            header.on_conflict = SKIP;
            header.conflict_key = "k".to_owned();
        })),
        of(spec(|header| {
            header.commit_mode = proto::CommitMode::Atomic.into();
        })),
        of(spec(|header| header.validate_only = true)),
    ] {
        assert!(!seen.contains(&other), "two imports are taken for one");
        seen.push(other);
    }
}

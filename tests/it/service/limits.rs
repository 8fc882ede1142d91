//! What an owner and a table may take, over real imports.

use std::path::Path;
use std::time::{Duration, Instant};

use rowlift::config::Config;
use rowlift::proto;
use rowlift::proto::import_request::Payload;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::service::PEOPLE;
use crate::service::identity::{SHOP, by_token_with, with_token};
use crate::support::service::{
    Service, file_header, file_messages, finish, import_request, request, rows, rows_header,
};
use crate::support::waits::eventually;

fn limited(folder: &Path, limits: &str) -> impl FnOnce(&mut Config) {
    let path = folder.join("table-limits.toml");
    std::fs::write(&path, limits).unwrap();
    |config| {
        config.table_limits_file = Some(path);
        config.batch_rows_first = 10;
        config.batch_rows_max = 10;
    }
}

fn header(id: &str, table: &str) -> proto::ImportHeader {
    rows_header(id, table, &["name"])
}

/// An import of so many rows.
fn messages(header: proto::ImportHeader, n_rows: usize) -> Vec<Payload> {
    let row: &[Option<&str>] = &[Some("Ann")];
    vec![Payload::Header(header), rows(&vec![row; n_rows]), finish()]
}

const SLOW: &str = "[[tables]]\nname = \"people\"\nrows_per_second_max = 100\n";
const SLOWER: &str = "[[tables]]\nname = \"people\"\nrows_per_second_max = 20\n";
/// The first batch goes at once, all others wait for ever.
const STOPPED: &str = "[[tables]]\nname = \"people\"\nrows_per_second_max = 1\n";
const THINGS: &str = "create table things (name text)";

/// Rows in the table with limits.
async fn n_people(service: &Service) -> Option<String> {
    let count = service.query_sqlite("select count(*) from people").await;
    count[0][0].clone()
}

fn schema() -> String {
    format!("{PEOPLE}; {THINGS}")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_into_a_slow_table_at_its_rate_and_into_others_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), limited(folder.path(), SLOWER)).await;
    let begun = Instant::now();
    let slow = async {
        let ended = service.import(messages(header("slow", "people"), 50)).await;
        (ended, Instant::now())
    };
    let other = async {
        eventually("the slow one has begun", async || {
            n_people(&service).await.as_deref() != Some("0")
        })
        .await;
        let ended = service
            .import(messages(header("other", "things"), 50))
            .await;
        (ended, Instant::now())
    };
    let ((slow, slow_at), (other, other_at)) = tokio::join!(slow, other);
    assert_eq!(slow.ok().inserted_row_count, 50);
    assert_eq!(other.ok().inserted_row_count, 50);
    assert!(other_at < slow_at, "{:?}", other_at - slow_at);
    // Four batches of ten wait half a second each.
    assert!(
        slow_at - begun >= Duration::from_millis(1950),
        "{:?}",
        slow_at - begun
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_table_holds_nothing_that_others_want() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), |config| {
        limited(folder.path(), STOPPED)(config);
        // A few batches' worth.
        config.bytes_in_flight_max = 16 << 10;
        config.batch_bytes_max = 4 << 10;
        config.imports_max = 8;
    })
    .await;
    let mut held = Vec::new();
    for index in 0..4 {
        let (sender, receiver) = mpsc::channel(8);
        for message in messages(header(&format!("slow-{index}"), "people"), 500) {
            sender.send(request(message)).await.unwrap();
        }
        let mut client = service.client.clone();
        let stream = Request::new(ReceiverStream::new(receiver));
        held.push((client.import(stream).await.unwrap(), sender));
    }
    eventually("a batch of the slow table is in", async || {
        n_people(&service).await.as_deref() != Some("0")
    })
    .await;
    let other = service
        .import(messages(header("other", "things"), 100))
        .await;
    assert_eq!(other.ok().inserted_row_count, 100);
    drop(held);
    // Those who wait for a turn go with their callers, and others have it.
    eventually("nothing runs any more", async || {
        service.n_active() == (0, 0)
    })
    .await;
    let state = service.app.metrics_text();
    let mut lines = state.lines();
    assert!(lines.any(|line| line == "rowlift_memory_used_bytes 0"));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_turn_ends_with_deadline_and_cancel() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), limited(folder.path(), STOPPED)).await;
    let mut client = service.client.clone();
    let begun = Instant::now();
    let stream = messages(header("late", "people"), 50)
        .into_iter()
        .map(request);
    let mut late = Request::new(futures::stream::iter(stream));
    late.set_timeout(Duration::from_secs(2));
    let late = import_request(&mut client, late).await;
    assert_eq!(late.refusal().0, Code::DeadlineExceeded);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );

    let cancelled = async {
        eventually("it runs", async || {
            let ask = proto::CancelImportRequest {
                import_id: "cancelled".to_owned(),
                ..Default::default()
            };
            service.client.clone().cancel_import(ask).await.is_ok()
        })
        .await;
    };
    let import = service.import(messages(header("cancelled", "people"), 50));
    let (ended, ()) = tokio::join!(import, cancelled);
    assert_eq!(ended.refusal().1, "CANCELLED_BY_REQUEST");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_a_slow_table() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), |config| {
        limited(folder.path(), STOPPED)(config);
        config.drain_grace = Duration::from_millis(200);
    })
    .await;
    let mut client = service.client.clone();
    let stream = messages(header("drained", "people"), 50)
        .into_iter()
        .map(request);
    let stream = Request::new(futures::stream::iter(stream));
    let stop = async {
        eventually("its first batch is in", async || {
            let count = service.query_sqlite("select count(*) from people").await;
            count[0][0].as_deref() == Some("10")
        })
        .await;
        service.stop().await;
    };
    let (ended, ()) = tokio::join!(import_request(&mut client, stream), stop);
    assert_eq!(ended.refusal(), (Code::Unavailable, "DRAINING".to_owned()));
    assert_eq!(ended.result().committed_offset, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_import_does_not_pause_and_what_follows_pays() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), limited(folder.path(), SLOW)).await;
    let atomic = proto::ImportHeader {
        commit_mode: proto::CommitMode::Atomic.into(),
        ..header("atomic", "people")
    };
    let begun = Instant::now();
    let atomic = service.import(messages(atomic, 40)).await;
    assert_eq!(atomic.ok().inserted_row_count, 40);
    let next = service.import(messages(header("next", "people"), 1)).await;
    assert_eq!(next.ok().inserted_row_count, 1);
    assert!(
        begun.elapsed() >= Duration::from_millis(390),
        "{:?}",
        begun.elapsed()
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_committed_is_owed_and_a_failure_waits_for_no_turn() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), limited(folder.path(), STOPPED)).await;
    let atomic = |header: proto::ImportHeader| proto::ImportHeader {
        commit_mode: proto::CommitMode::Atomic.into(),
        ..header
    };
    let dry_run = proto::ImportHeader {
        validate_only: true,
        ..header("dry", "people")
    };
    let dry_run = service.import(messages(dry_run, 1000)).await;
    assert_eq!(dry_run.ok().inserted_row_count, 1000);
    let refused = proto::ImportHeader {
        max_rejected_row_count: Some(0),
        ..atomic(rows_header("refused", "people", &["name", "age"]))
    };
    let good: &[Option<&str>] = &[Some("Ann"), None];
    let refused = vec![
        Payload::Header(refused),
        rows(&vec![good; 1000]),
        rows(&[&[Some("Bo"), Some("old")]]),
        finish(),
    ];
    let refused = service.import(refused).await;
    assert_eq!(refused.refusal().1, "REJECT_LIMIT_EXCEEDED");
    // Nothing is owed, or this would wait for minutes.
    let all = service
        .import(messages(atomic(header("all", "people")), 1000))
        .await;
    assert_eq!(all.ok().inserted_row_count, 1000);
    // Now it is, and whoever has failed already does not wait for a turn to say so.
    let torn = atomic(file_header("torn", "people"));
    let torn = service
        .import(file_messages(torn, b"name\nAnn\n\"Bo"))
        .await;
    assert_eq!(torn.refusal().1, "CORRUPT_FILE");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_hold_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::sqlite_with(&schema(), limited(folder.path(), STOPPED)).await;
    let import = service.import(messages(header("one", "people"), 100));
    let change = async {
        eventually("its first batch is in", async || {
            let count = service.query_sqlite("select count(*) from people").await;
            count[0][0].as_deref() == Some("10")
        })
        .await;
        let next = folder.path().join("next");
        std::fs::write(&next, "").unwrap();
        std::fs::rename(next, folder.path().join("table-limits.toml")).unwrap();
    };
    let (ended, ()) = tokio::join!(import, change);
    assert_eq!(ended.ok().inserted_row_count, 100);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_with_few_bytes_imports_in_small_batches() {
    let folder = tempfile::tempdir().unwrap();
    let limit = |policy: &str| {
        let limits = "imports_max = 1\nbytes_in_flight_max = \"1MiB\"\ncalls_max = 1";
        let policy = policy.replace("imports_max = 1", limits);
        policy.replace("\"import\", \"read\"", "\"import\", \"inspect\", \"read\"")
    };
    let service = Service::sqlite_with(PEOPLE, by_token_with(folder.path(), limit)).await;
    for (id, mode, n_batches) in [
        ("each", proto::CommitMode::PerBatch, 8..=20),
        ("all", proto::CommitMode::Atomic, 20..=70),
    ] {
        let header = proto::ImportHeader {
            commit_mode: mode.into(),
            ..header(id, "people")
        };
        let name = "x".repeat(1000);
        let row: &[Option<&str>] = &[Some(name.as_str())];
        let mut messages = vec![Payload::Header(header)];
        messages.extend((0..8).map(|_| rows(&vec![row; 250])));
        messages.push(finish());
        let stream = messages.into_iter().map(request);
        let stream = with_token(SHOP, futures::stream::iter(stream));
        let ended = import_request(&mut service.client.clone(), stream).await;
        let stats = ended.ok();
        assert_eq!(stats.inserted_row_count, 2000);
        // Four megabytes with what is kept to reject rows by; a batch has an eighth of the
        // owner's bytes at least, and is no smaller than a frame.
        assert!(n_batches.contains(&stats.batch_count), "{stats:?}");
    }

    // Of a rule's calls of each kind there is one at a time.
    let open = || {
        let (sender, receiver) = mpsc::channel::<proto::DecodeFileRequest>(1);
        (sender, with_token(SHOP, ReceiverStream::new(receiver)))
    };
    let (first, call) = open();
    let held = service.client.clone().decode_file(call).await.unwrap();
    let (_second, call) = open();
    let refused = service.client.clone().decode_file(call).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let watch = proto::WatchImportRequest {
        import_id: "each".to_owned(),
        ..Default::default()
    };
    let watch = with_token(SHOP, watch);
    service.client.clone().watch_import(watch).await.unwrap();
    drop((first, held));
    eventually("the place is free again", async || {
        let (_sender, call) = open();
        service.client.clone().decode_file(call).await.is_ok()
    })
    .await;
    service.stop().await;
}

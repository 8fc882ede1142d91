//! The admin port: probes that follow the service, metrics that scrapers read.

use std::collections::{BTreeMap, BTreeSet};

use rowlift::config::Config;
use rowlift::metrics::names::ROW_OUTCOMES;
use rowlift::proto;
use rowlift::proto::import_request::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::PEOPLE;
use crate::support::postgres::Database;
use crate::support::service::{
    Service, file_header, file_messages, finish, request, rows, rows_header,
};
use crate::support::size::short_or_long;
use crate::support::waits::eventually;

fn with_admin(config: &mut Config) {
    config.admin_listen = Some("127.0.0.1:0".parse().unwrap());
}

/// Status line and body of an answer.
async fn get(service: &Service, path: &str) -> (String, String) {
    let addr = service.app.admin_addr().expect("an admin port");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn status(service: &Service, path: &str) -> String {
    get(service, path).await.0
}

async fn import(service: &Service, id: &str) {
    let header = Payload::Header(rows_header(id, "people", &["name", "age"]));
    let good: &[Option<&str>] = &[Some("Ann"), Some("1")];
    let bad: &[Option<&str>] = &[Some("Bo"), Some("-1")];
    let messages = vec![header, rows(&[good, bad, good]), finish()];
    service.import(messages).await.ok();
}

/// The value of a series of the text format.
fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {metrics}"));
    let (_, value) = line.rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

fn n_series(metrics: &str) -> usize {
    let is_series = |line: &&str| !line.starts_with('#') && !line.is_empty();
    metrics.lines().filter(is_series).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_follow_the_ledger() {
    const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable";
    let database = Database::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(database.service_url(), folder, |config| {
        with_admin(config);
        config.database_pooled = database.pooled();
    })
    .await;
    assert_eq!(status(&service, "/livez").await, "HTTP/1.1 200 OK");
    assert_eq!(status(&service, "/startupz").await, UNAVAILABLE);
    assert_eq!(status(&service, "/readyz").await, UNAVAILABLE);
    service.app.store().migrate().await.unwrap();
    eventually("the service is ready", async || {
        status(&service, "/readyz").await == "HTTP/1.1 200 OK"
    })
    .await;
    assert_eq!(status(&service, "/startupz").await, "HTTP/1.1 200 OK");
    assert_eq!(status(&service, "/other").await, "HTTP/1.1 404 Not Found");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scraped_rows_obey_the_conservation_law() {
    let service = Service::sqlite_with(PEOPLE, with_admin).await;
    import(&service, "one").await;
    import(&service, "two").await;
    let (status, metrics) = get(&service, "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let rows = |outcome: &str| {
        let series = format!("rowlift_rows_total{{outcome=\"{outcome}\"}}");
        value(&metrics, &series)
    };
    assert_eq!(
        (rows("received"), rows("inserted"), rows("rejected")),
        (6, 4, 2)
    );
    let outcomes = &rowlift::metrics::names::ROW_OUTCOMES[1..];
    let sum: u64 = outcomes.iter().map(|outcome| rows(outcome)).sum();
    assert_eq!(sum, 6);
    let violations = "rowlift_row_errors_total{code=\"CHECK_VIOLATION\"}";
    assert_eq!(value(&metrics, violations), 2);
    assert_eq!(value(&metrics, "rowlift_imports_limit"), 16);
    service.stop().await;
}

/// Counted rows by outcome, where nothing moves; the law holds.
async fn counted(service: &Service) -> BTreeMap<&'static str, u64> {
    let (counts, received) = counting(service).await;
    assert_eq!(counts.values().sum::<u64>(), received, "{counts:?}");
    counts
}

/// Counted rows by outcome, and those received, which are not counted at the same moment.
async fn counting(service: &Service) -> (BTreeMap<&'static str, u64>, u64) {
    let metrics = get(service, "/metrics").await.1;
    let count = |outcome: &'static str| {
        let series = format!("rowlift_rows_total{{outcome=\"{outcome}\"}}");
        (outcome, value(&metrics, &series))
    };
    let mut counts: BTreeMap<_, _> = ROW_OUTCOMES.map(count).into();
    let received = counts.remove("received").unwrap();
    counts.retain(|_, n_rows| *n_rows > 0);
    (counts, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_move_while_an_import_runs_and_count_each_row_once() {
    let service = Service::sqlite_with(PEOPLE, with_admin).await;
    let good: &[Option<&str>] = &[Some("Ann"), Some("1")];
    let bad: &[Option<&str>] = &[Some("Bo"), Some("-1")];
    let header = || rows_header("live", "people", &["name", "age"]);
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut client = service.client.clone();
    let call = client.import(tokio_stream::wrappers::ReceiverStream::new(receiver));
    for message in [Payload::Header(header()), rows(&[good, bad, good])] {
        sender.send(request(message)).await.unwrap();
    }
    let running = call.await.unwrap();
    eventually("it is open", async || {
        let metrics = get(&service, "/metrics").await.1;
        metrics.contains("rowlift_rows_total")
    })
    .await;
    let first = BTreeMap::from([("inserted", 2), ("rejected", 1)]);
    eventually("its first rows are counted while it runs", async || {
        counting(&service).await == (first.clone(), 3)
    })
    .await;
    let metrics = get(&service, "/metrics").await.1;
    assert_eq!(value(&metrics, "rowlift_row_errors_total"), 1);
    assert!(
        value(
            &metrics,
            "rowlift_received_size_bytes_total{format=\"rows\"}"
        ) > 0
    );
    assert!(!metrics.contains("rowlift_import_duration_seconds_count"));
    // Its caller goes, and comes back with all rows and one more.
    drop((sender, running));
    eventually("it is suspended", async || {
        let metrics = get(&service, "/metrics").await.1;
        metrics.contains("outcome=\"suspended\"")
    })
    .await;
    assert_eq!(counted(&service).await, first);
    let header = proto::ImportHeader {
        resume: true,
        ..header()
    };
    let again = || {
        let mut all = rows(&[good, bad, good, good]);
        if let Payload::Rows(batch) = &mut all {
            batch.offset = Some(0);
        }
        vec![Payload::Header(header.clone()), all, finish()]
    };
    assert!(service.import(again()).await.status.is_none());
    let all = BTreeMap::from([("inserted", 3), ("rejected", 1)]);
    assert_eq!(counted(&service).await, all);
    // A replay is no import.
    assert!(service.import(again()).await.status.is_none());
    assert_eq!(counted(&service).await, all);
    let metrics = get(&service, "/metrics").await.1;
    assert_eq!(value(&metrics, "rowlift_row_errors_total"), 1);

    // One transaction that is rolled back has decided nothing but what it was rolled back for.
    let atomic = proto::ImportHeader {
        commit_mode: proto::CommitMode::Atomic.into(),
        error_policy: proto::ErrorPolicy::Abort.into(),
        ..rows_header("atomic", "people", &["name", "age"])
    };
    let messages = vec![Payload::Header(atomic), rows(&[good, good, bad]), finish()];
    let failed = service.import(messages).await;
    assert_eq!(failed.refusal().1, "ROW_REJECTED");
    let all = BTreeMap::from([("inserted", 3), ("rejected", 2), ("unprocessed", 2)]);
    assert_eq!(counted(&service).await, all);
    let metrics = get(&service, "/metrics").await.1;
    assert_eq!(value(&metrics, "rowlift_row_errors_total"), 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_imports_make_no_more_series_than_a_few() {
    let service = Service::sqlite_with(PEOPLE, with_admin).await;
    for index in 0..10 {
        import(&service, &format!("few-{index}")).await;
    }
    let few = n_series(&get(&service, "/metrics").await.1);
    for index in 0..short_or_long(100, 10_000) {
        import(&service, &format!("many-{index}")).await;
    }
    let many = n_series(&get(&service, "/metrics").await.1);
    assert_eq!(few, many);
    service.stop().await;
}

/// A line of `k8s/metrics.txt`: type, and labels, each with its values where these are closed.
type Listed<'a> = (&'a str, BTreeMap<&'a str, BTreeSet<&'a str>>);

/// What dashboard and alerts may count on, by name.
fn listed() -> BTreeMap<&'static str, Listed<'static>> {
    let file = include_str!("../../../k8s/metrics.txt");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            let labels = words.map(|label| {
                let (label, values) = label.split_once('=').unwrap_or((label, ""));
                let values = values.split(',').filter(|value| !value.is_empty());
                (label, values.collect())
            });
            (name, (kind, labels.collect()))
        })
        .collect()
}

/// Labels of a series such as `a{b="c",d="e"} 1`; their values hold neither commas nor quotes.
fn labels(series: &str) -> Vec<(&str, &str)> {
    let Some((_, rest)) = series.split_once('{') else {
        return Vec::new();
    };
    let (labels, _) = rest.split_once('}').unwrap();
    let labels = labels.split(',').map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        (name, value.trim_matches('"'))
    });
    labels.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scraped_is_what_dashboards_count_on() {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |config| {
        with_admin(config);
        config.spool_bytes_max = Some(1 << 30);
    })
    .await;
    let example = include_bytes!("../../../examples/businesses.xlsx");
    let header = file_header("scraped", "businesses");
    service.import(file_messages(header, example)).await.ok();
    let (_, metrics) = get(&service, "/metrics").await;
    let listed = listed();
    let mut current = None;
    let mut seen = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            current = listed.get(name).filter(|_| seen.insert(name));
            let known = current.map(|(kind, _)| *kind);
            assert!(known == Some(kind) || name == "target_info", "{line}");
        }
        let Some((kind, known)) = current.filter(|_| !line.starts_with('#')) else {
            continue;
        };
        for (label, value) in labels(line) {
            if *kind == "histogram" && label == "le" {
                continue;
            }
            let values = known
                .get(label)
                .unwrap_or_else(|| panic!("{label}: {line}"));
            assert!(values.is_empty() || values.contains(value), "{line}");
        }
    }
    let all: BTreeSet<&str> = listed.keys().copied().collect();
    let unseen: BTreeSet<&str> = all.difference(&seen).copied().collect();
    // What a good day does not show.
    let silent = [
        "rowlift_admission_refused_total",
        "rowlift_write_retries_total",
    ];
    assert_eq!(unseen, BTreeSet::from(silent));
    service.stop().await;
}

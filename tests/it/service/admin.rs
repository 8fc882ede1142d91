//! The admin port: probes that follow the service, metrics that scrapers read.

use std::collections::{BTreeMap, BTreeSet};

use rowlift::config::Config;
use rowlift::proto::import_request::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::PEOPLE;
use crate::support::postgres::Database;
use crate::support::service::{Service, file_header, file_messages, finish, rows, rows_header};
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
    let service = Service::postgres(&database, with_admin).await;
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
    // What a good day does not show, and the spool, which has no bound yet.
    let silent = [
        "rowlift_admission_refused_total",
        "rowlift_spool_limit_bytes",
        "rowlift_spool_used_bytes",
        "rowlift_write_retries_total",
    ];
    assert_eq!(unseen, BTreeSet::from(silent));
    service.stop().await;
}

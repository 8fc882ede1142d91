//! The admin port: probes that follow the service, metrics that scrapers read.

use rowlift::config::Config;
use rowlift::proto::import_request::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::PEOPLE;
use crate::support::postgres::Database;
use crate::support::service::{Service, finish, rows, rows_header};
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

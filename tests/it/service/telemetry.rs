//! The trace of an import at a real collector: one tree from the caller's span to COPY, with the
//! names, kinds and status rules of the conventions.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use rowlift::proto::GetImportRequest;
use rowlift::proto::import_service_client::ImportServiceClient;
use rustix::process::Signal;
use tonic::Request;
use tonic::transport::Channel;

use crate::support::collector::{Collector, attributes};
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::service::{file_header, file_messages, import_request, request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// The same call as part of a trace that the caller has begun.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{CALLER}-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    request
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// An import of the example, and two calls that fail, at a service that exports to `collector`;
/// the service has ended by itself.
async fn run(collector: &Collector) -> String {
    let database = Database::fresh().await;
    crate::faults::migrate(&database).await;
    let endpoint = collector.endpoint();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("log_format", "json"),
    ];
    let mut server = ServerProcess::start(&database, &settings).await;
    let mut client = ImportServiceClient::connect(format!("http://{}", server.addr()))
        .await
        .unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/businesses.xlsx");
    let messages = file_messages(
        file_header("traced", "businesses"),
        &std::fs::read(path).unwrap(),
    );
    let stream = futures::stream::iter(messages.into_iter().map(request));
    import_request(&mut client, traced(stream)).await.ok();
    fail(&mut client).await;
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());
    server.log()
}

/// One call that its caller is to blame for, and one that the server is.
async fn fail(client: &mut ImportServiceClient<Channel>) {
    let unknown = GetImportRequest {
        import_id: "unknown".to_owned(),
        ..GetImportRequest::default()
    };
    client.get_import(traced(unknown)).await.unwrap_err();
    let silent = futures::stream::pending();
    let mut late = traced(silent);
    late.set_timeout(std::time::Duration::from_secs(1));
    import_request(client, late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_one_tree_of_spans() {
    let collector = Collector::start().await;
    let log = run(&collector).await;
    let spans = collector.spans();

    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:?}");
    }
    let ids: BTreeSet<String> = spans.iter().map(|span| hex(&span.span_id)).collect();
    let orphans: Vec<&Span> = spans
        .iter()
        .filter(|span| {
            let parent = hex(&span.parent_span_id);
            parent != CALLER && !ids.contains(&parent)
        })
        .collect();
    assert!(orphans.is_empty(), "{orphans:#?}");

    let servers = named(&spans, "rowlift.v1.ImportService/Import");
    let is_import = |span: &&&Span| {
        attributes(&span.attributes)
            .get("import.id")
            .is_some_and(|id| id == "traced")
    };
    let server = servers.iter().find(is_import).expect("the import's span");
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(hex(&server.parent_span_id), CALLER);
    assert!(
        server
            .status
            .as_ref()
            .is_none_or(|it| it.code() == StatusCode::Unset)
    );
    let told = attributes(&server.attributes);
    assert_eq!(told["rpc.system.name"], "grpc");
    assert_eq!(told["rpc.method"], "rowlift.v1.ImportService/Import");
    assert_eq!(told["rpc.status_code"], "OK");

    let children: BTreeSet<&str> = spans
        .iter()
        .filter(|span| span.parent_span_id == server.span_id)
        .map(|span| span.name.as_str())
        .collect();
    let wanted = [
        "import.admit",
        "import.batch",
        "import.decode",
        "import.receive",
    ];
    assert_eq!(children, BTreeSet::from(wanted));
    let decode = attributes(&one(&spans, "import.decode").attributes);
    assert_eq!(
        (decode["format"].as_str(), decode["rows"].as_str()),
        ("xlsx", "1000")
    );

    let batches: BTreeMap<&[u8], &Span> = named(&spans, "import.batch")
        .into_iter()
        .map(|span| (span.span_id.as_slice(), span))
        .collect();
    let copies = named(&spans, "COPY businesses");
    assert!(!copies.is_empty());
    for copy in copies {
        assert_eq!(copy.kind(), SpanKind::Client);
        assert!(batches.contains_key(copy.parent_span_id.as_slice()));
        let told = attributes(&copy.attributes);
        assert_eq!(told["db.system.name"], "postgresql");
        assert_eq!(told["db.operation.name"], "COPY");
        assert_eq!(told["db.collection.name"], "public.businesses");
    }
    for commit in named(&spans, "import.commit") {
        assert!(batches.contains_key(commit.parent_span_id.as_slice()));
    }
    assert_eq!(named(&spans, "import.commit").len(), batches.len());

    let line = log
        .lines()
        .find(|line| line.contains("import ended") && line.contains("\"traced\""))
        .expect("the import's line");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert_eq!(line["span_id"], hex(&server.span_id), "{line}");
    assert_eq!(line["import_id"], "traced", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_an_error_only_where_the_server_failed() {
    let collector = Collector::start().await;
    run(&collector).await;
    let spans = collector.spans();
    let unknown = one(&spans, "rowlift.v1.ImportService/GetImport");
    assert_eq!(
        attributes(&unknown.attributes)["rpc.status_code"],
        "NOT_FOUND"
    );
    assert!(
        unknown
            .status
            .as_ref()
            .is_none_or(|it| it.code() == StatusCode::Unset)
    );
    let late = spans
        .iter()
        .find(|span| {
            attributes(&span.attributes)
                .get("rpc.status_code")
                .is_some_and(|code| code == "DEADLINE_EXCEEDED")
        })
        .expect("the late call's span");
    assert_eq!(late.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(
        attributes(&late.attributes)["error.type"],
        "DEADLINE_EXCEEDED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_pushed_and_obey_the_conservation_law() {
    let collector = Collector::start().await;
    run(&collector).await;
    let metrics = collector.metrics();
    let rows = metrics
        .iter()
        .rev()
        .find(|metric| metric.name == "rowlift.rows")
        .expect("rows were counted");
    assert_eq!(rows.unit, "{row}");
    let Some(Data::Sum(sum)) = &rows.data else {
        panic!("{rows:?}")
    };
    let mut counts = BTreeMap::new();
    for point in &sum.data_points {
        let Some(number_data_point::Value::AsInt(n_rows)) = point.value else {
            panic!("{point:?}")
        };
        counts.insert(attributes(&point.attributes)["outcome"].clone(), n_rows);
    }
    let received = counts.remove("received").unwrap();
    assert_eq!(counts.len(), 7);
    assert_eq!(counts.values().sum::<i64>(), received);
    assert_eq!(received, 1000);
}

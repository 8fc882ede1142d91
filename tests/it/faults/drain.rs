//! SIGTERM while everything is open: imports that write, wait or end in time, health watches,
//! connections that say nothing. And a second SIGTERM.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use rowlift::client::ImportClient;
use rowlift::client::messages::finish_rows;
use rowlift::proto::ImportRequest;
use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{
    MESSAGE_ROWS, endless, leaves_nothing, ledger_has, migrated, row_header, rows_beyond, whole,
};
use crate::support::businesses;
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::proxy::Proxy;
use crate::support::running::{Running, stats};
use crate::support::waits::eventually;

/// Imports that end as soon as they are told.
const N_POLITE: usize = 10;
/// Imports whose callers say nothing more.
const N_SILENT: usize = 20;
/// Imports that never stop sending.
const N_BUSY: usize = 20;
const CONNECTIONS: usize = 5;
const WATCHES: usize = 5;

/// The polite ones end within it also where all of this has one slow processor.
const GRACE: Duration = Duration::from_secs(5);
const SETTINGS: [(&str, &str); 4] = [
    ("imports_max", "50"),
    ("imports_queue_max", "0"),
    ("batch_rows_max", "500"),
    ("drain_grace", "5s"),
];
/// What a stop may take beyond its grace: the ends of streams, of the transport and of the store
/// have 5 s each.
const BOUND: Duration = Duration::from_secs(15);
/// Within what a caller is told in a stop whose grace is next to nothing: its writes have 3 s then,
/// the ledger 1.5 s; after 10 s connections are cut.
const TOLD_MAX: Duration = Duration::from_secs(8);

/// The first rows, and the end once somebody says so.
fn polite(told: CancellationToken) -> impl Stream<Item = ImportRequest> + Send + 'static {
    let rows = stream::iter([businesses::packed(0..MESSAGE_ROWS, 1)]);
    rows.chain(stream::once(async move {
        told.cancelled().await;
        finish_rows(MESSAGE_ROWS.cast_signed())
    }))
}

/// The first rows, and then nothing.
fn silent() -> impl Stream<Item = ImportRequest> + Send + 'static {
    stream::iter([businesses::packed(0..MESSAGE_ROWS, 1)]).chain(stream::pending())
}

async fn health(server: &ServerProcess) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addr())).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// A watch that has said that the service serves.
async fn watch(server: &ServerProcess) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest::default();
    let watch = health(server).await.watch(request).await.unwrap();
    let mut watch = watch.into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    watch
}

/// The last status that a watch has told when its stream ended.
async fn last_of(mut watch: Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let mut last = None;
    while let Some(Ok(response)) = watch.next().await {
        last = Some(response.status());
    }
    last
}

/// Waits until a statement waits for a lock.
async fn a_statement_waits(database: &Database) {
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database()";
    eventually("a statement waits for a lock", async || {
        database.value(waiting).await != "0"
    })
    .await;
}

/// Imports named `{kind}-{number}`, each with a row committed.
async fn begun<S>(
    clients: &[ImportClient],
    kind: &str,
    n_imports: usize,
    messages: impl Fn() -> S,
) -> Vec<Running>
where
    S: Stream<Item = ImportRequest> + Send + 'static,
{
    let mut imports = Vec::new();
    for (number, client) in (0..n_imports).zip(clients.iter().cycle()) {
        let header = row_header(&format!("{kind}-{number}"));
        imports.push(Running::messages(client.clone(), header, messages()));
    }
    for import in &mut imports {
        import.until_committed(1).await;
    }
    imports
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_with_fifty_imports_watches_and_idle_connections_ends_in_its_bound() {
    let database = migrated().await;
    let mut server = ServerProcess::start(&database, &SETTINGS).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.client().await);
    }
    let told = CancellationToken::new();
    let mut polite = begun(&clients, "polite", N_POLITE, || polite(told.clone())).await;
    let silent = begun(&clients, "silent", N_SILENT, silent).await;
    let busy = begun(&clients, "busy", N_BUSY, endless).await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(watch(&server).await);
    }
    let mut idle = [health(&server).await, health(&server).await];
    for connection in &mut idle {
        connection
            .check(HealthCheckRequest::default())
            .await
            .unwrap();
    }
    let _says_nothing = TcpStream::connect(server.addr()).await.unwrap();

    let stop_begun = Instant::now();
    server.signal(Signal::TERM);
    for import in &mut polite {
        import.until("it is told", |seen| seen.is_draining).await;
    }
    told.cancel();
    let status = server.ended().await;
    let took = stop_begun.elapsed();
    println!("stopped within {took:?}");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(took < GRACE + BOUND, "{took:?}");
    for import in polite {
        let counts = stats(&import.end().await.unwrap());
        assert_eq!(counts.inserted_row_count, MESSAGE_ROWS.cast_signed());
    }
    for import in silent.into_iter().chain(busy) {
        assert_eq!(import.refusal().await, "UNAVAILABLE, DRAINING");
    }
    for watch in watches {
        let last = last_of(watch).await;
        assert_eq!(last, Some(ServingStatus::NotServing));
    }
    server.leaves_nothing().await;
    leaves_nothing(&database).await;

    // The others end all of them, at once.
    let next = ServerProcess::start(&database, &SETTINGS).await;
    let mut sizes = vec![MESSAGE_ROWS; N_POLITE];
    let mut resumed = Vec::new();
    for (kind, n_imports) in [("silent", N_SILENT), ("busy", N_BUSY)] {
        for number in 0..n_imports {
            let id = format!("{kind}-{number}");
            let n_rows = rows_beyond(&database, &id, MESSAGE_ROWS).await;
            let client = next.client().await;
            let import = Running::messages(client, row_header(&id), whole(n_rows));
            resumed.push((id, n_rows, import));
            sizes.push(n_rows);
        }
    }
    for (id, n_rows, import) in resumed {
        let counts = stats(&import.end().await.unwrap());
        assert_eq!(counts.inserted_row_count, n_rows.cast_signed(), "{id}");
        ledger_has(&database, &id, n_rows).await;
    }
    let mut wanted = [0; 3];
    for n_rows in sizes {
        let [n, n_names, sum] = businesses::once(n_rows);
        wanted = [wanted[0] + n, wanted[1].max(n_names), wanted[2] + sum];
    }
    assert_eq!(businesses::tally(&database).await, wanted);
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_hangs_at_the_end_of_the_grace_is_cut_and_its_caller_told() {
    let database = migrated().await;
    let settings = [("drain_grace", "100ms")];
    let mut server = ServerProcess::start(&database, &settings).await;
    let lock = "begin; lock table businesses in share mode";
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    holder.execute(sqlx::raw_sql(lock)).await.unwrap();
    let import = Running::messages(server.client().await, row_header("hangs"), whole(1_000));
    a_statement_waits(&database).await;
    server.signal(Signal::TERM);
    let refusal = tokio::time::timeout(TOLD_MAX, import.refusal()).await;
    assert_eq!(refusal.expect("told in time"), "UNAVAILABLE, DRAINING");
    assert_eq!(server.ended().await.code(), Some(0));
    holder.close().await.unwrap();
    leaves_nothing(&database).await;

    let next = ServerProcess::start(&database, &[]).await;
    let import = Running::messages(next.client().await, row_header("hangs"), whole(1_000));
    stats(&import.end().await.unwrap());
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(1_000));
}

/// The session cannot ask the ledger either: its caller is told all the same, and in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_at_the_end_of_the_grace_leaves_no_caller_untold() {
    let database = migrated().await;
    let upstream = database.service_addr();
    let proxy = Proxy::start(upstream).await;
    let database = database.through_proxy(proxy.addr());
    let settings = [("drain_grace", "100ms"), ("batch_rows_max", "500")];
    let mut server = ServerProcess::start(&database, &settings).await;
    let mut writing = Running::messages(server.client().await, row_header("hangs"), endless());
    writing.until_committed(1).await;
    let mut waiting = Running::messages(server.client().await, row_header("waits"), silent());
    waiting.until_committed(1).await;
    proxy.silence();
    server.signal(Signal::TERM);
    for import in [writing, waiting] {
        let refusal = tokio::time::timeout(TOLD_MAX, import.refusal()).await;
        assert_eq!(refusal.expect("told in time"), "UNAVAILABLE, DRAINING");
    }
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    let direct = database.through_proxy(upstream);
    drop(proxy);
    leaves_nothing(&direct).await;

    let n_rows = rows_beyond(&direct, "hangs", 1_000).await;
    let next = ServerProcess::start(&direct, &[]).await;
    for (id, n_rows) in [("hangs", n_rows), ("waits", MESSAGE_ROWS)] {
        let import = Running::messages(next.client().await, row_header(id), whole(n_rows));
        stats(&import.end().await.unwrap());
        ledger_has(&direct, id, n_rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    /// What a shell reports for SIGTERM.
    const CODE: i32 = 128 + 15;
    let database = migrated().await;
    let settings = [("drain_grace", "10m"), ("batch_rows_max", "500")];
    let mut server = ServerProcess::start(&database, &settings).await;
    let mut import = Running::messages(server.client().await, row_header("cut"), endless());
    import.until_committed(1).await;
    server.signal(Signal::TERM);
    import.until("it is told", |seen| seen.is_draining).await;
    let second = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(CODE));
    let took = second.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(import);
    leaves_nothing(&database).await;

    let n_rows = rows_beyond(&database, "cut", 1_000).await;
    let next = ServerProcess::start(&database, &[]).await;
    let import = Running::messages(next.client().await, row_header("cut"), whole(n_rows));
    stats(&import.end().await.unwrap());
    let table = businesses::tally(&database).await;
    assert_eq!(table, businesses::once(n_rows));
}

//! A client that loses its connection in the middle of a file, and takes the import up again.

use std::fmt::Write as _;
use std::future::pending;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rowlift::client::resume::{Notice, Retries};
use rowlift::client::{CallOptions, ImportClient, messages};
use rowlift::proto::State;
use rowlift::proto::import_response::Event;
use rowlift::shutdown::Tasks;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::service::PEOPLE;
use crate::support::service::Service;

/// Rows of the file.
const N_ROWS: usize = 20_000;

/// Connections that are cut, the first ones.
const N_CUTS: usize = 2;

/// Bytes that a connection that is going to be cut takes from the client: some batches of rows, and
/// for all of these connections less than the file.
const N_BYTES_BEFORE_CUT: u64 = 128 << 10;

/// Passes connections on to `target`; the first [`N_CUTS`] carry the beginning of what the client sends
/// and break off when `cut` tells.
async fn cutting_proxy(tasks: &Tasks, target: String, cut: Arc<Notify>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let connections = tasks.clone();
    tasks.spawn(async move {
        let mut n_connections = 0;
        while let Ok((caller, _)) = listener.accept().await {
            n_connections += 1;
            let n_bytes_max = if n_connections <= N_CUTS {
                N_BYTES_BEFORE_CUT
            } else {
                u64::MAX
            };
            let server = TcpStream::connect(&target).await.unwrap();
            connections.spawn(pass_on(caller, server, n_bytes_max, Arc::clone(&cut)));
        }
    });
    addr
}

async fn pass_on(mut caller: TcpStream, mut server: TcpStream, n_bytes_max: u64, cut: Arc<Notify>) {
    let (from_caller, mut to_caller) = caller.split();
    let (mut from_server, mut to_server) = server.split();
    let sent = async {
        let mut from_caller = from_caller.take(n_bytes_max);
        let copied = tokio::io::copy(&mut from_caller, &mut to_server).await;
        if copied.is_ok_and(|n_bytes| n_bytes == n_bytes_max) {
            // The import cannot end before this connection is cut.
            pending::<()>().await;
        }
    };
    tokio::select! {
        // Both connections break off with what was under way.
        () = cut.notified() => {}
        () = sent => {}
        _ended = tokio::io::copy(&mut from_server, &mut to_caller) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_costs_no_row_and_doubles_none() {
    let service = Service::sqlite(PEOPLE).await;
    let mut text = String::from("name,age\n");
    for row in 0..N_ROWS {
        writeln!(text, "somebody number {row},{}", row % 90).unwrap();
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let tasks = Tasks::new();
    let cut = Arc::new(Notify::new());
    let addr = cutting_proxy(&tasks, service.app.addr().to_string(), Arc::clone(&cut)).await;
    let client = ImportClient::connect(&addr).await.unwrap();
    let options = CallOptions {
        chunk_bytes: 8 << 10,
        retries: Retries {
            max: 10,
            pause_first: Duration::from_millis(20),
            pause_max: Duration::from_millis(200),
        },
        ..CallOptions::default()
    };
    let mut n_retries = 0;
    let mut offsets = Vec::new();
    let finished = client
        .import_path_resuming(
            messages::file_header("people"),
            file.path(),
            &options,
            |notice| match notice {
                Notice::Event(Event::Accepted(accepted)) => {
                    assert_eq!(accepted.resumed, !offsets.is_empty());
                    offsets.push(accepted.committed_offset);
                }
                // Some rows are in, most are not.
                Notice::Event(Event::Ack(_)) if offsets.len() <= N_CUTS => cut.notify_waiters(),
                Notice::Event(_) => {}
                Notice::Retry(_) => n_retries += 1,
            },
        )
        .await
        .unwrap();
    assert!(n_retries >= N_CUTS, "{n_retries} retries, from {offsets:?}");
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert!(offsets.last() > Some(&0), "{offsets:?}");
    assert_eq!(finished.result.state(), State::Succeeded);
    let inserted = finished.result.stats.unwrap().inserted_row_count;
    assert_eq!(usize::try_from(inserted), Ok(N_ROWS));
    let stored = service
        .query_sqlite("select count(*), count(distinct name) from people")
        .await;
    let wanted = Some(N_ROWS.to_string());
    assert_eq!(stored, [[wanted.clone(), wanted]]);
    service.stop().await;
}

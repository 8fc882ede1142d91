//! Callers that read nothing of their responses: their imports end all the same, and cost little.

use futures::{StreamExt, stream};
use rowlift::client::messages;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{ImportHeader, ImportRequest, ImportResponse, State};
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::faults::migrated;
use crate::support::process::ServerProcess;
use crate::support::waits::eventually;

const N_READERS: u64 = 16;
/// What a caller that does not read may cost.
const COST_BYTES: u64 = 1 << 20;
/// The allocator gives back what is freed: what is resident is then what is held.
const KEEPS_NOTHING: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];
/// Receive window of these callers, bytes: next to nothing is on its way to them.
const WINDOW_BYTES: u32 = 1 << 10;
/// Rejected rows of an import, each told, with a cell of so many bytes.
const N_REJECTED: usize = 1_000;
const CELL_BYTES: usize = 4_000;

/// One good row, and [`N_REJECTED`] without the name that they need.
fn import(id: &str) -> Vec<ImportRequest> {
    let header = ImportHeader {
        import_id: id.to_owned(),
        max_rejected_row_count: Some(-1),
        rejected_row_sample_count: i32::try_from(N_REJECTED).unwrap(),
        ..messages::row_header("businesses", &["name", "description"])
    };
    let text = "x".repeat(CELL_BYTES);
    let good = messages::packed_rows(None, &[vec![Some("Ann"), Some("")]]);
    let bad = vec![vec![None, Some(text.as_str())]; N_REJECTED / 10];
    let bad = messages::packed_rows(None, &bad);
    let n_rows = i64::try_from(N_REJECTED).unwrap() + 1;
    let mut all = vec![messages::request(Payload::Header(header)), good];
    all.extend(vec![bad; 10]);
    all.push(messages::finish_rows(n_rows));
    all
}

/// The responses of an import, on a connection of its own, none of them read.
async fn begin(server: &ServerProcess, id: &str) -> Streaming<ImportResponse> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addr())).unwrap();
    let endpoint = endpoint.initial_stream_window_size(WINDOW_BYTES);
    let mut client = ImportServiceClient::new(endpoint.connect().await.unwrap());
    let response = client.import(stream::iter(import(id))).await.unwrap();
    response.into_inner()
}

/// Reads to the end, which is OK: how many rejected rows were told.
async fn read(mut responses: Streaming<ImportResponse>) -> usize {
    let (mut n_told, mut last) = (0, None);
    while let Some(response) = responses.next().await {
        let event = response.unwrap().event.unwrap();
        n_told += usize::from(matches!(event, Event::RejectedRow(_)));
        last = Some(event);
    }
    let Some(Event::Result(result)) = last else {
        panic!("the last event is {last:?}");
    };
    assert_eq!(result.state(), State::Succeeded);
    let n_rejected = result.stats.unwrap().rejected_row_count;
    assert_eq!(usize::try_from(n_rejected), Ok(N_REJECTED));
    n_told
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_read_nothing_get_their_import_done_and_cost_little() {
    let database = migrated().await;
    let settings = [("imports_max", "16"), ("progress_interval", "100ms")];
    let settings = [&settings[..], &KEEPS_NOTHING].concat();
    let server = ServerProcess::start(&database, &settings).await;
    let control = server.client().await;
    // What the same imports leave behind with callers that read. One after the other: what they
    // need while they run is not what is asked for.
    for number in 0..N_READERS {
        read(begin(&server, &format!("read-{number}")).await).await;
    }
    let before = server.resident_bytes();
    let mut unread = Vec::new();
    for number in 0..N_READERS {
        let id = format!("unread-{number}");
        unread.push(begin(&server, &id).await);
        eventually(
            "the import of a caller that does not read ends",
            async || {
                // It may not have begun.
                let job = control.import(&id).await;
                job.is_ok_and(|job| job.state() == State::Succeeded)
            },
        )
        .await;
    }
    let cost = server.resident_bytes().saturating_sub(before) / N_READERS;
    println!("{cost} bytes for each caller that does not read");
    assert!(cost < COST_BYTES, "{cost} bytes each");
    // What they did not read is left out, not kept.
    for responses in unread {
        let n_told = read(responses).await;
        assert!(n_told < N_REJECTED, "{n_told} rows were kept");
    }
    server.leaves_nothing().await;
}

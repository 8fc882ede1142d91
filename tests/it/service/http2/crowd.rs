//! Far more imports at once than there are places, and streams that break off at any moment.

use std::time::Duration;

use futures::{StreamExt, stream};
use rowlift::client::messages::finish_rows;
use rowlift::client::{ImportClient, messages};
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{ImportHeader, ImportRequest, ImportResponse};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

use super::{header, small};
use crate::faults::migrated;
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::service::{Service, chunks, finish, import_request, request};
use crate::support::size::short_or_long;
use crate::support::waits::{eventually, within};

const RUNNING_MAX: usize = 4;
const QUEUE_MAX: usize = 16;
const CROWD_ROWS: u64 = 200;
const CONNECTIONS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_imports_runs_in_its_places_and_the_rest_is_refused() {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |config| {
        config.imports_max = RUNNING_MAX;
        config.imports_queue_max = QUEUE_MAX;
        config.progress_interval = Duration::from_millis(100);
    })
    .await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let lock = "begin; lock table businesses in share mode";
    holder.execute(sqlx::raw_sql(lock)).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(service.another_client().await);
    }
    let n_imports = short_or_long(100, 1_000);
    let crowd = (0..n_imports).zip(clients.iter().cycle());
    let crowd = crowd.map(|(number, client)| {
        let mut client = client.clone();
        let messages = small(&format!("crowd-{number}"), CROWD_ROWS);
        async move { import_request(&mut client, Request::new(stream::iter(messages))).await }
    });
    let crowd = futures::future::join_all(crowd);
    let beside = async {
        // While nobody can write, those that have a slot keep it.
        eventually("every place is taken", async || {
            let (running, queued) = service.n_active();
            assert!(running <= RUNNING_MAX, "{running} run at once");
            assert!(running + queued <= RUNNING_MAX + QUEUE_MAX, "{queued} wait");
            (running, queued) == (RUNNING_MAX, QUEUE_MAX)
        })
        .await;
        holder.close().await.unwrap();
    };
    let (all, ()) = tokio::join!(crowd, beside);
    let (done, refused): (Vec<_>, Vec<_>) = all.iter().partition(|ended| ended.status.is_none());
    assert!(done.len() >= RUNNING_MAX + QUEUE_MAX, "{}", done.len());
    assert!(!refused.is_empty());
    for ended in &done {
        assert_eq!(ended.ok().inserted_row_count, CROWD_ROWS.cast_signed());
    }
    for ended in refused {
        let wanted = (Code::Unavailable, "OVERLOADED".to_owned());
        assert_eq!(ended.refusal(), wanted);
        assert!(ended.events.is_empty(), "refused before the response head");
    }
    let n_rows = database.value("select count(*) from businesses").await;
    assert_eq!(n_rows, (done.len() as u64 * CROWD_ROWS).to_string());
    service.stop().await;
}

/// Calls that break off at once, each at another moment.
const ROUND: usize = 8;
/// Connections to the database, and little else, may stay open.
const DESCRIPTORS_SPARE: usize = 12;

fn workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for row in 0..2_000 {
        let text = if row == 0 { "name" } else { "a name" };
        sheet.write(row, 0, text).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

fn file_header(id: &str) -> ImportRequest {
    messages::request(Payload::Header(ImportHeader {
        import_id: id.to_owned(),
        ..messages::file_header("businesses")
    }))
}

/// A call that has sent these messages and stays open until the guard is dropped: the transport keeps
/// a call whose upload has not ended, whoever reads it.
async fn open(
    channel: &Channel,
    messages: Vec<ImportRequest>,
) -> Result<(Streaming<ImportResponse>, DropGuard), tonic::Status> {
    let mut client = ImportServiceClient::new(channel.clone());
    let cut = CancellationToken::new();
    let messages = stream::iter(messages).chain(stream::pending());
    let messages = messages.take_until(cut.clone().cancelled_owned());
    let cut = cut.drop_guard();
    let response = client.import(messages).await?;
    Ok((response.into_inner(), cut))
}

/// Begins an import of some kind, and breaks it off. A refusal for want of a place is as good.
async fn broken_off(channel: &Channel, number: usize, workbook: &[u8]) {
    let id = format!("broken-{number}");
    let mut messages = match number % 4 {
        0 => vec![messages::request(Payload::Header(header(&id)))],
        1 => small(&id, 500),
        _ => vec![file_header(&id)],
    };
    match number % 4 {
        2 => messages.extend(chunks(b"name\nAnn\nBo\n", 5).into_iter().map(request)),
        3 => messages.extend(chunks(workbook, 10_000).into_iter().map(request)),
        _ => {}
    }
    if number % 8 == 7 {
        messages.push(request(finish()));
    }
    let Ok((mut responses, _cut)) = open(channel, messages).await else {
        return;
    };
    // Half of them are under way.
    if number % 8 >= 4 {
        let accepted = responses.next().await;
        assert!(accepted.is_some_and(|it| it.is_ok()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_off_leave_no_permit_descriptor_child_or_file() {
    let database = migrated().await;
    let settings = [
        ("imports_max", "2"),
        ("imports_queue_max", "6"),
        ("decoders_max", "2"),
    ];
    let server = ServerProcess::start(&database, &settings).await;
    let before = server.n_descriptors();
    let workbook = workbook();
    for round in 0..short_or_long(300, 10_000) / ROUND {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.addr())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let calls = (0..ROUND).map(|n| broken_off(&channel, round * ROUND + n, &workbook));
        futures::future::join_all(calls).await;
    }
    server.leaves_nothing().await;
    within(Duration::from_secs(10), "children are reaped", async || {
        server.n_children() == 0
    })
    .await;
    eventually("descriptors are closed", async || {
        server.n_descriptors() <= before + DESCRIPTORS_SPARE
    })
    .await;

    // Every place is given back: as many as there are get in at once, and end.
    let client = server.client().await;
    let mut held = Vec::new();
    let mut n_tries = 0;
    eventually("every place is free again", async || {
        n_tries += 1;
        held.extend(hold_place(&client, &format!("last-{n_tries}")).await);
        held.len() == ROUND
    })
    .await;
    for (sender, responses) in held {
        sender.send(finish_rows(10)).await.unwrap();
        drop(sender);
        let all: Vec<_> = responses.collect().await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
    }
    server.leaves_nothing().await;
}

/// An open import: what sends its messages, and its responses.
type Held = (Sender<ImportRequest>, Streaming<ImportResponse>);

/// An import of ten rows that stays open, if there is a place for it.
async fn hold_place(client: &ImportClient, id: &str) -> Option<Held> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut messages = small(id, 10);
    messages.pop();
    for message in messages {
        sender.try_send(message).unwrap();
    }
    let call = client.service().import(ReceiverStream::new(receiver)).await;
    match call {
        Ok(response) => Some((sender, response.into_inner())),
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            None
        }
    }
}

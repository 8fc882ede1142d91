//! What stops an import from outside: deadlines, cancels, lost callers, silence, a full house.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, State};
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::service::PEOPLE;
use crate::support::service::{
    Service, file_header, file_messages, finish, import_request, request, rows, rows_header,
};

/// A call that stays open after these messages.
fn open_call(
    payloads: Vec<Payload>,
) -> (
    tokio::sync::mpsc::Sender<proto::ImportRequest>,
    Request<impl futures::Stream<Item = proto::ImportRequest> + Send + 'static>,
) {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    for payload in payloads {
        sender.try_send(request(payload)).unwrap();
    }
    (
        sender,
        Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver)),
    )
}

fn header(id: &str) -> Payload {
    Payload::Header(rows_header(id, "people", &["name"]))
}

/// Waits until the ledger has the import in this state.
async fn state(service: &Service, id: &str, wanted: State) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let get = proto::GetImportRequest {
            import_id: id.to_owned(),
            ..Default::default()
        };
        let job = service.client.clone().get_import(get).await;
        let state = job.map(|response| response.into_inner().job.unwrap().state());
        if state.as_ref().is_ok_and(|state| *state == wanted) {
            return;
        }
        assert!(
            Instant::now() < until,
            "import {id} is {state:?}, not {wanted:?}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_while_the_caller_keeps_the_stream_open() {
    let service = Service::sqlite(PEOPLE).await;
    let (sender, mut call) = open_call(vec![header("late"), rows(&[&[Some("Ann")]])]);
    call.set_timeout(Duration::from_secs(1));
    let begun = Instant::now();
    let ended = import_request(&mut service.client.clone(), call).await;
    let elapsed = begun.elapsed();
    assert_eq!(
        ended.refusal(),
        (Code::DeadlineExceeded, "DEADLINE".to_owned())
    );
    assert!(elapsed < Duration::from_secs(5), "ended after {elapsed:?}");
    state(&service, "late", State::Suspended).await;
    drop(sender);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_deadline_is_refused() {
    let service = Service::sqlite(PEOPLE).await;
    let (_sender, mut call) = open_call(vec![header("x")]);
    call.metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let ended = import_request(&mut service.client.clone(), call).await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "INVALID_OPTION".to_owned())
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_from_another_connection_ends_the_import() {
    let service = Service::sqlite(PEOPLE).await;
    let (_sender, call) = open_call(vec![header("victim"), rows(&[&[Some("Ann")]])]);
    let mut client = service.client.clone();
    let mut other = service.another_client().await;
    let victim = import_request(&mut client, call);
    let cancel = async {
        state(&service, "victim", State::Running).await;
        let cancel = proto::CancelImportRequest {
            import_id: "victim".to_owned(),
            ..Default::default()
        };
        other.cancel_import(cancel.clone()).await.unwrap();
        state(&service, "victim", State::Cancelled).await;
        // Repeating it is harmless.
        other.cancel_import(cancel).await.unwrap();
    };
    let (ended, ()) = tokio::join!(victim, cancel);
    assert_eq!(
        ended.refusal(),
        (Code::Cancelled, "CANCELLED_BY_REQUEST".to_owned())
    );
    ended.stats();
    let unknown = proto::CancelImportRequest {
        import_id: "nobody".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        other.cancel_import(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_suspends_its_import() {
    let service = Service::sqlite(PEOPLE).await;
    let (sender, call) = open_call(vec![header("gone"), rows(&[&[Some("Ann")]])]);
    let events = service.client.clone().import(call).await.unwrap();
    state(&service, "gone", State::Running).await;
    drop(events);
    drop(sender);
    state(&service, "gone", State::Suspended).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_caller_runs_into_the_idle_timeout() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let (_sender, call) = open_call(vec![header("silent")]);
    let ended = import_request(&mut service.client.clone(), call).await;
    assert_eq!(ended.refusal(), (Code::Aborted, "IDLE_TIMEOUT".to_owned()));
    state(&service, "silent", State::Suspended).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_header_is_not_waited_for_long() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.header_timeout = Duration::from_millis(200);
    })
    .await;
    let (_sender, call) = open_call(Vec::new());
    let ended = import_request(&mut service.client.clone(), call).await;
    assert_eq!(ended.refusal().0, Code::Aborted);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_queues_then_refuses() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.imports_max = 1;
        config.imports_queue_max = 1;
        config.queue_wait = Duration::from_secs(3);
    })
    .await;
    // New rows keep coming, so that this one keeps its slot.
    let n_rows = Cell::new(0);
    let (sender, call) = open_call(vec![Payload::Header(file_header("first", "people"))]);
    let mut client = service.client.clone();
    let first = import_request(&mut client, call);
    let others = async {
        state(&service, "first", State::Running).await;
        let feeder = async {
            let mut data = "name\nAnn\n";
            loop {
                let chunk = proto::FileChunk {
                    data: data.into(),
                    ..Default::default()
                };
                sender.send(request(Payload::Chunk(chunk))).await.unwrap();
                n_rows.set(n_rows.get() + 1);
                data = "Ann\n";
                // As a slow caller sends.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let queued = async {
            let (_keep, call) = open_call(vec![header("second")]);
            let ended = import_request(&mut service.client.clone(), call).await;
            assert_eq!(
                ended.refusal(),
                (Code::Unavailable, "OVERLOADED".to_owned())
            );
            assert!(ended.status.unwrap().get_details_retry_info().is_some());
            state(&service, "second", State::Suspended).await;
        };
        let refused = async {
            state(&service, "second", State::Running).await;
            let (_keep, call) = open_call(vec![header("third")]);
            let ended = import_request(&mut service.client.clone(), call).await;
            assert_eq!(
                ended.refusal(),
                (Code::Unavailable, "OVERLOADED".to_owned())
            );
            assert!(ended.events.is_empty(), "refused before the response head");
        };
        let both = async { tokio::join!(queued, refused) };
        tokio::select! {
            () = feeder => {}
            ((), ()) = both => {}
        }
        sender.send(request(finish())).await.unwrap();
        drop(sender);
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.ok().inserted_row_count, n_rows.get());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_import_gives_its_slot_back() {
    let service = Service::sqlite_with(PEOPLE, |config| config.imports_max = 1).await;
    let (sender, call) = open_call(vec![header("idle"), rows(&[&[Some("Ann")]])]);
    let mut client = service.client.clone();
    let idle = import_request(&mut client, call);
    let other = async {
        state(&service, "idle", State::Running).await;
        let messages = file_messages(file_header("busy", "people"), b"name\nBo\n");
        assert_eq!(service.import(messages).await.ok().inserted_row_count, 1);
        sender.send(request(rows(&[&[Some("Cy")]]))).await.unwrap();
        sender.send(request(finish())).await.unwrap();
        drop(sender);
    };
    let (idle, ()) = tokio::join!(idle, other);
    assert_eq!(idle.ok().inserted_row_count, 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_open_imports_with_draining() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.drain_grace = Duration::from_millis(200);
    })
    .await;
    let (_sender, call) = open_call(vec![header("drained"), rows(&[&[Some("Ann")]])]);
    let mut client = service.client.clone();
    let task = tokio::task::spawn_blocking(move || {
        tokio::runtime::Handle::current().block_on(import_request(&mut client, call))
    });
    state(&service, "drained", State::Running).await;
    service.stop().await;
    let ended = task.await.unwrap();
    assert_eq!(ended.refusal(), (Code::Unavailable, "DRAINING".to_owned()));
}

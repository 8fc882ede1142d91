//! WatchImport and CancelImport, from beside the import.

use std::time::{Duration, Instant};

use futures::StreamExt;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, CancelImportRequest, State, WatchImportRequest};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::service::PEOPLE;
use crate::support::service::{Service, finish, import_request, request, rows, rows_header};

type Jobs = Streaming<proto::WatchImportResponse>;

fn header(id: &str) -> Payload {
    Payload::Header(rows_header(id, "people", &["name"]))
}

async fn watch(service: &Service, id: &str) -> Result<Jobs, Status> {
    let watch = WatchImportRequest {
        import_id: id.to_owned(),
        ..Default::default()
    };
    let response = service.another_client().await.watch_import(watch).await?;
    Ok(response.into_inner())
}

/// The next state that a watch tells.
async fn next(jobs: &mut Jobs) -> Option<Result<proto::ImportJob, Status>> {
    let next = tokio::time::timeout(Duration::from_secs(20), jobs.next());
    let next = next.await.expect("a watch tells something within 15 s")?;
    Some(next.map(|response| response.job.expect("the import's state")))
}

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap();
    (status.code(), info.reason)
}

/// A watch of an import that may not be in the ledger yet.
async fn watch_soon(service: &Service, id: &str) -> Jobs {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match watch(service, id).await {
            Ok(jobs) => return jobs,
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
        }
        assert!(Instant::now() < until, "import {id} never began");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_an_import_to_its_end() {
    let service = Service::sqlite(PEOPLE).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let call = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut client = service.client.clone();
    let import = import_request(&mut client, call);
    let follow = async {
        sender.send(request(header("followed"))).await.unwrap();
        sender.send(request(rows(&[&[Some("Ann")]]))).await.unwrap();
        let mut jobs = watch_soon(&service, "followed").await;
        let first = next(&mut jobs).await.unwrap().unwrap();
        assert_eq!(first.state(), State::Running);
        assert!(first.result.is_none());
        // Until the first row is told as decided.
        let mut job = first;
        while job.committed_offset == 0 {
            job = next(&mut jobs).await.unwrap().unwrap();
        }
        sender.send(request(rows(&[&[Some("Bo")]]))).await.unwrap();
        sender.send(request(finish())).await.unwrap();
        drop(sender);
        let mut offset = job.committed_offset;
        while let Some(next) = next(&mut jobs).await {
            job = next.unwrap();
            assert!(job.committed_offset >= offset, "the offset went back");
            offset = job.committed_offset;
        }
        assert_eq!(job.state(), State::Succeeded);
        let stats = job.result.unwrap().stats.unwrap();
        assert_eq!(stats.inserted_row_count, 2);
    };
    let (ended, ()) = tokio::join!(import, follow);
    ended.ok();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_has_ended_is_told_once() {
    let service = Service::sqlite(PEOPLE).await;
    let messages = vec![header("over"), rows(&[&[Some("Ann")]]), finish()];
    service.import(messages).await.ok();
    let mut jobs = watch(&service, "over").await.unwrap();
    let job = next(&mut jobs).await.unwrap().unwrap();
    assert_eq!(job.state(), State::Succeeded);
    assert!(next(&mut jobs).await.is_none());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_before_the_head() {
    let service = Service::sqlite(PEOPLE).await;
    let status = watch(&service, "nobody").await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::NotFound, "IMPORT_NOT_FOUND".to_owned())
    );
    let status = watch(&service, "").await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::InvalidArgument, "INVALID_OPTION".to_owned())
    );
    service.stop().await;
}

/// An import that was left without finish.
async fn suspend(service: &Service, id: &str) {
    let ended = service
        .import(vec![header(id), rows(&[&[Some("Ann")]])])
        .await;
    assert_eq!(ended.refusal().1, "INCOMPLETE_STREAM");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_import_is_watched_until_it_is_cancelled() {
    let service = Service::sqlite(PEOPLE).await;
    suspend(&service, "left").await;
    let mut jobs = watch(&service, "left").await.unwrap();
    let job = next(&mut jobs).await.unwrap().unwrap();
    assert_eq!(job.state(), State::Suspended);
    let cancel = CancelImportRequest {
        import_id: "left".to_owned(),
        reason: "not needed".to_owned(),
        ..Default::default()
    };
    let mut client = service.another_client().await;
    for _ in 0..2 {
        let response = client.cancel_import(cancel.clone()).await.unwrap();
        let job = response.into_inner().job.unwrap();
        assert_eq!(job.state(), State::Cancelled);
    }
    let job = next(&mut jobs).await.unwrap().unwrap();
    assert_eq!(job.state(), State::Cancelled);
    assert!(next(&mut jobs).await.is_none());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_has_ended_cannot_be_cancelled() {
    let service = Service::sqlite(PEOPLE).await;
    service.import(vec![header("over"), finish()]).await.ok();
    let cancel = CancelImportRequest {
        import_id: "over".to_owned(),
        ..Default::default()
    };
    let cancelled = service.client.clone().cancel_import(cancel).await;
    assert_eq!(
        reason(&cancelled.unwrap_err()),
        (Code::FailedPrecondition, "WRONG_STATE".to_owned())
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_holds_its_own_deadline() {
    let service = Service::sqlite(PEOPLE).await;
    suspend(&service, "left").await;
    let mut watch = Request::new(WatchImportRequest {
        import_id: "left".to_owned(),
        ..Default::default()
    });
    watch.set_timeout(Duration::from_millis(800));
    let begun = Instant::now();
    let watched = service.client.clone().watch_import(watch).await;
    let mut jobs = watched.unwrap().into_inner();
    next(&mut jobs).await.unwrap().unwrap();
    let status = next(&mut jobs).await.unwrap().unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::DeadlineExceeded, "DEADLINE".to_owned())
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_watches_with_draining() {
    let service = Service::sqlite(PEOPLE).await;
    suspend(&service, "left").await;
    let mut jobs = watch(&service, "left").await.unwrap();
    next(&mut jobs).await.unwrap().unwrap();
    let begun = Instant::now();
    let stop = service.stop();
    let told = async {
        let status = next(&mut jobs).await.unwrap().unwrap_err();
        assert_eq!(reason(&status), (Code::Unavailable, "DRAINING".to_owned()));
        assert!(status.get_details_retry_info().is_some());
    };
    tokio::join!(stop, told);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the watch held the stop"
    );
}

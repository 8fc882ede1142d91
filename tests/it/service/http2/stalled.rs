//! One import is stalled by a locked table, and its upload fills all windows: its connection goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{CancelImportRequest, GetImportRequest, State};
use sqlx::{Connection, Executor, PgConnection};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::endless;
use crate::support::postgres::Database;
use crate::support::service::{Service, finish, import, import_request, rows, rows_header};
use crate::support::waits::eventually;

/// What api.md gives a cancel.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn at_once<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(AT_ONCE, work).await;
    done.unwrap_or_else(|_| panic!("{what} took longer than {AT_ONCE:?}"))
}

/// Waits until nothing more of an upload is taken.
async fn held_back(n_taken: &AtomicUsize) {
    /// An upload that moves does so within this.
    const STILL: Duration = Duration::from_millis(300);
    let (mut last, mut since) = (0, Instant::now());
    eventually("the upload is held back", async || {
        let now = n_taken.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 1 && since.elapsed() > STILL
    })
    .await;
}

/// All that a caller does on a connection with a stalled import.
async fn goes_on(channel: &Channel) {
    let mut health = HealthClient::new(channel.clone());
    let check = health.check(HealthCheckRequest::default());
    let status = at_once("Health", check).await.unwrap().into_inner();
    assert_eq!(status.status(), ServingStatus::Serving);
    let mut client = ImportServiceClient::new(channel.clone());
    let get = GetImportRequest {
        import_id: "stalled".to_owned(),
        ..Default::default()
    };
    let job = at_once("GetImport", client.get_import(get)).await.unwrap();
    assert_eq!(job.into_inner().job.unwrap().state(), State::Running);
    let messages = vec![
        rowlift::proto::import_request::Payload::Header(rows_header("other", "people", &["name"])),
        rows(&[&[Some("Ann")]]),
        finish(),
    ];
    let ended = at_once("another import", import(&mut client, messages)).await;
    assert_eq!(ended.ok().inserted_row_count, 1);
}

/// Cancels a stalled import over `cancelling`, or over its own connection.
async fn is_cancelled_at_once(over_its_own: bool) {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |_| {}).await;
    database.execute("create table people (name text)").await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let lock = "begin; lock table businesses in share mode";
    holder.execute(sqlx::raw_sql(lock)).await.unwrap();

    let endpoint = Endpoint::from_shared(format!("http://{}", service.app.addr())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut stalled = ImportServiceClient::new(channel.clone());
    let (messages, n_taken) = endless("stalled");
    let call = import_request(&mut stalled, Request::new(messages));
    let beside = async {
        held_back(&n_taken).await;
        goes_on(&channel).await;
        let mut client = if over_its_own {
            ImportServiceClient::new(channel.clone())
        } else {
            service.another_client().await
        };
        let cancel = CancelImportRequest {
            import_id: "stalled".to_owned(),
            ..Default::default()
        };
        let asked_at = Instant::now();
        let answer = at_once("CancelImport", client.cancel_import(cancel)).await;
        answer.unwrap();
        asked_at
    };
    let (ended, asked_at) = tokio::join!(call, beside);
    let took = asked_at.elapsed();
    assert_eq!(
        ended.refusal(),
        (Code::Cancelled, "CANCELLED_BY_REQUEST".to_owned())
    );
    assert!(took < AT_ONCE, "ended {took:?} after the cancel");
    holder.close().await.unwrap();
    assert_eq!(database.value("select count(*) from businesses").await, "0");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_import_is_cancelled_over_its_own_connection_which_goes_on() {
    is_cancelled_at_once(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_import_is_cancelled_over_another_connection() {
    is_cancelled_at_once(false).await;
}

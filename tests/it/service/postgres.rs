//! The service on PostgreSQL: methods, deadlines inside statements, callers that go away.

use std::fmt::Write;
use std::time::{Duration, Instant};

use rowlift::app::App;
use rowlift::config::Config;
use rowlift::model::import::WriteMethod;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{self, State};
use sqlx::{Connection, Executor, PgConnection};
use tonic::{Code, Request};

use crate::support::postgres::Database;
use crate::support::service::{
    Service, file_header, file_messages, finish, import, import_request, request, rows, rows_header,
};
use crate::support::waits::eventually;

const PEOPLE: &str = "create table people (
    id bigint generated always as identity primary key,
    name varchar(8) not null,
    email text unique,
    age int2 check (age >= 0),
    born date
)";

/// A rejected row: its number, and cell, code and constraint of each error.
type Told<'a> = (i64, Vec<(&'a str, &'a str, &'a str)>);

async fn start(schema: &str) -> (Database, Service) {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |_| {}).await;
    database.execute(schema).await;
    (database, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lets_nobody_in_is_unavailable_until_it_does() {
    let database = Database::fresh().await;
    let url = format!("{}_later", database.url());
    let (_, name) = url.rsplit_once('/').unwrap();
    let config = Config::in_process(&url).unwrap();
    let app = App::start(config).await.unwrap();
    let channel = ImportServiceClient::connect(format!("http://{}", app.addr()));
    let mut client = channel.await.unwrap();
    let mut reason = async || {
        let header = Payload::Header(rows_header("early", "businesses", &["name"]));
        let ended = import(&mut client, vec![header, finish()]).await;
        let (code, reason) = ended.refusal();
        assert_eq!(code, Code::Unavailable);
        reason
    };
    eventually("it is known", async || {
        reason().await == "DATABASE_UNAVAILABLE"
    })
    .await;
    database.execute(&format!("create database {name}")).await;
    eventually("it is there", async || reason().await == "DRAINING").await;
    app.store().migrate().await.unwrap();
    app.ready().await;
    app.stop().await.unwrap();
    database.execute(&format!("drop database {name}")).await;
}

/// Statements of other connections that run right now.
async fn active_statements(database: &Database) -> String {
    database
        .value(
            "select count(*) from pg_stat_activity where datname = current_database()
             and pid <> pg_backend_pid() and backend_type = 'client backend'
             and (state = 'active' or state like 'idle in transaction%')",
        )
        .await
}

/// Waits until no statement and no transaction of the service is open.
async fn quiet(database: &Database) {
    let until = Instant::now() + Duration::from_secs(10);
    // The lock's own connection holds a transaction.
    while active_statements(database).await != "1" {
        assert!(Instant::now() < until, "statements still run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_rejects_the_same_rows_and_says_what_ran() {
    let (database, service) = start(PEOPLE).await;
    let data = "name,email,age,born\n\
        Ann,a@x,30,2000-02-29\n\
        Bo,b@x,,\n\
        Cyrus the Great,c@x,1,\n\
        Di,a@x,2,\n\
        Ed,e@x,-1,\n\
        Flo,f@x,40000,01/02/2024\n\
        ,g@x,1,\n\
        Hal,h@x,7,2024-12-31\n";
    for method in WriteMethod::ALL {
        database.execute("truncate people").await;
        let header = proto::ImportHeader {
            write_method: i32::from(method.number()),
            ..file_header(&format!("{method:?}").to_lowercase(), "people")
        };
        let ended = service.import(file_messages(header, data.as_bytes())).await;
        let stats = ended.ok();
        assert_eq!(
            (stats.inserted_row_count, stats.rejected_row_count),
            (3, 5),
            "{method:?}"
        );
        assert_eq!(ended.result().write_method, i32::from(method.number()));
        let told: Vec<Told<'_>> = ended
            .rejected()
            .into_iter()
            .map(|row| {
                let errors = row.errors.iter();
                let errors = errors.map(|it| {
                    (
                        it.cell.as_str(),
                        it.code().as_str_name(),
                        it.constraint.as_str(),
                    )
                });
                (row.row_number, errors.collect())
            })
            .collect();
        assert_eq!(
            told,
            [
                (4, vec![("A4", "ROW_ERROR_CODE_TOO_LONG", "")]),
                (
                    5,
                    vec![("B5", "ROW_ERROR_CODE_UNIQUE_VIOLATION", "people_email_key")]
                ),
                (
                    6,
                    vec![("C6", "ROW_ERROR_CODE_CHECK_VIOLATION", "people_age_check")]
                ),
                (
                    7,
                    vec![
                        ("C7", "ROW_ERROR_CODE_OUT_OF_RANGE", ""),
                        ("D7", "ROW_ERROR_CODE_AMBIGUOUS_VALUE", ""),
                    ]
                ),
                (8, vec![("A8", "ROW_ERROR_CODE_REQUIRED_MISSING", "")]),
            ],
            "{method:?}"
        );
        let names = database
            .value("select string_agg(name, ',' order by id) from people")
            .await;
        assert_eq!(names, "Ann,Bo,Hal");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_while_a_statement_waits_for_a_lock() {
    let (database, service) = start(PEOPLE).await;
    let mut lock = PgConnection::connect(database.url()).await.unwrap();
    lock.execute("begin; lock table people in share mode")
        .await
        .unwrap();
    let header = Payload::Header(rows_header("locked", "people", &["name"]));
    let messages = [header, rows(&[&[Some("Ann")]]), finish()].map(request);
    let mut call = Request::new(futures::stream::iter(messages));
    call.set_timeout(Duration::from_secs(1));
    let begun = Instant::now();
    let ended = import_request(&mut service.client.clone(), call).await;
    let elapsed = begun.elapsed();
    assert_eq!(
        ended.refusal(),
        (Code::DeadlineExceeded, "DEADLINE".to_owned())
    );
    assert!(elapsed < Duration::from_secs(5), "ended after {elapsed:?}");
    quiet(&database).await;
    lock.execute("rollback").await.unwrap();
    assert_eq!(database.value("select count(*) from people").await, "0");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_statement_behind() {
    let (database, service) = start(PEOPLE).await;
    let mut lock = PgConnection::connect(database.url()).await.unwrap();
    lock.execute("begin; lock table people in share mode")
        .await
        .unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let header = Payload::Header(rows_header("gone", "people", &["name"]));
    for payload in [header, rows(&[&[Some("Ann")]])] {
        sender.send(request(payload)).await.unwrap();
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let events = service.client.clone().import(requests).await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let waiting = "select count(*) from pg_locks where not granted
        and database = (select oid from pg_database where datname = current_database())";
    while database.value(waiting).await == "0" {
        assert!(Instant::now() < until, "the batch never began");
    }
    drop(events);
    drop(sender);
    quiet(&database).await;
    while service.job("gone").await.state() != State::Suspended {
        assert!(
            Instant::now() < until + Duration::from_secs(10),
            "not suspended"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_repeated_keys_keep_the_first_of_each() {
    let (database, service) = start(PEOPLE).await;
    let mut csv = "name,email\n".to_owned();
    for n in 0..4000 {
        writeln!(csv, "n{n},{}@x", n % 1000).unwrap();
    }
    let header = proto::ImportHeader {
        max_rejected_row_count: Some(3000),
        ..file_header("repeats", "people")
    };
    let ended = service.import(file_messages(header, csv.as_bytes())).await;
    let stats = ended.ok();
    assert_eq!(
        (stats.inserted_row_count, stats.rejected_row_count),
        (1000, 3000)
    );
    let kept = "select count(*) from people where name = 'n' || split_part(email, '@', 1)";
    assert_eq!(database.value(kept).await, "1000");
    service.stop().await;
}

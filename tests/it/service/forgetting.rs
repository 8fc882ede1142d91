//! No value of a file is left in ledger, spool or log once it is not to be kept.

use bytes::Bytes;
use rowlift::client::error::ClientError;
use rowlift::client::{CallOptions, ImportClient, messages};
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::{
    self, Abort, CommitMode, ImportHeader, ImportRequest, ImportResult, State, import_header,
};
use std::fmt::Write;
use tonic::Code;

use crate::service::PEOPLE;
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::service::{Service, file_header, file_messages, finish, rows, rows_header};
use crate::support::waits::eventually;

/// In every value; nothing else holds it.
const MARK: &str = "zq7";

/// A table that refuses rows in every way, and a trigger that says what it sees.
const MARKED: &str = "create type mood as enum ('ok');
    create table marked (name varchar(20) not null, n int, day date, mood mood,
        email text unique, age int check (age >= 0));
    create function look() returns trigger language plpgsql as $$ begin
        raise notice 'sees %', new.name;
        raise warning 'sees %', new.name;
        if new.name like '%boom%' then raise exception 'bad row %', new.name; end if;
        return new;
    end $$;
    create trigger looks before insert on marked for each row execute function look()";

const FILE: &str = "name,n,day,mood,email,age\n\
    zq7-longer-than-twenty-characters,1,,,,\n\
    a,zq7-number,,,,\n\
    b,,zq7-day,,,\n\
    c,,,zq7-mood,,\n\
    zq7-good,1,2024-02-29,ok,zq7@example.org,1\n\
    d,,,,zq7@example.org,\n\
    zq7-check,,,,,-1\n\
    zq7-boom,,,,,\n\
    e,,,,,,zq7-extra\n\
    ,1,,,zq7-without-a-name,\n";
const N_REJECTED: i64 = 9;

fn workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(["name", "n", "day"]) {
        sheet.write(0, column, name).unwrap();
    }
    for row in 1..=5 {
        sheet.write(row, 0, "x").unwrap();
        sheet.write(row, 1, format!("zq7-cell-{row}")).unwrap();
    }
    sheet.write(6, 0, "good").unwrap();
    workbook.save_to_buffer().unwrap()
}

async fn import_file(client: &ImportClient, header: ImportHeader, data: &[u8]) -> ImportResult {
    let file = std::io::Cursor::new(Bytes::copy_from_slice(data));
    let options = CallOptions::default();
    ended(client.import_file(header, file, &options, |_| {}).await)
}

async fn import_rows(client: &ImportClient, payloads: Vec<Payload>) -> ImportResult {
    let requests: Vec<ImportRequest> = payloads.into_iter().map(messages::request).collect();
    let requests = futures::stream::iter(requests);
    let options = CallOptions::default();
    ended(client.import_messages(requests, &options, |_| {}).await)
}

fn ended(finished: Result<rowlift::client::FinishedImport, ClientError>) -> ImportResult {
    match finished {
        Ok(finished) => finished.result,
        Err(ClientError::Status {
            result: Some(result),
            ..
        }) => *result,
        Err(error) => panic!("no result: {error:?}"),
    }
}

/// Imports whose values are marked, of every kind that leaves something behind.
async fn import_all(
    client: &ImportClient,
    change: impl Fn(&mut ImportHeader) + Send + Sync,
) -> Vec<ImportResult> {
    let header = |id: &str, table: &str| {
        let mut header = file_header(id, table);
        header.source = Some(import_header::Source::File(proto::FileSource {
            file_name: "zq7-list.csv".to_owned(),
            ..Default::default()
        }));
        header
            .labels
            .insert("for".to_owned(), "zq7-label".to_owned());
        change(&mut header);
        header
    };
    let plain = import_file(client, header("plain", "marked"), FILE.as_bytes()).await;
    let rejected = plain.stats.unwrap().rejected_row_count;
    assert_eq!(rejected, N_REJECTED, "{plain:?}");
    let mut whole = header("whole", "marked");
    whole.set_commit_mode(CommitMode::Atomic);
    let whole = import_file(client, whole, &workbook()).await;
    assert_eq!(whole.stats.unwrap().rejected_row_count, 5);
    let mut dry = header("dry", "marked");
    dry.validate_only = true;
    let dry = import_file(client, dry, FILE.as_bytes()).await;
    // Without a header the first row of data is taken for one, and quoted.
    let headless = import_file(client, header("headless", "marked"), b"zq7-a,zq7-b\n1,2\n").await;
    assert_eq!(headless.state(), State::Failed);
    let mut sent = rows_header("rows", "marked", &["name", "age"]);
    change(&mut sent);
    let mut batch = rows(&[&[Some("zq7-row"), Some("-1")], &[Some("f"), None]]);
    if let Payload::Rows(batch) = &mut batch {
        batch.position = b"zq7-place".to_vec().into();
    }
    let sent = import_rows(client, vec![Payload::Header(sent), batch, finish()]).await;
    assert_eq!(sent.state(), State::Succeeded);
    let mut aborted = rows_header("aborted", "marked", &["name"]);
    change(&mut aborted);
    let abort = Payload::Abort(Abort {
        reason: "zq7-reason".to_owned(),
    });
    let aborted = import_rows(client, vec![Payload::Header(aborted), abort]).await;
    let mut cancelled = rows_header("cancelled", "marked", &["name"]);
    change(&mut cancelled);
    let cut = vec![Payload::Header(cancelled), rows(&[&[Some("g")]])];
    let cut = import_rows(client, cut).await;
    assert_eq!(cut.state(), State::Suspended);
    let job = client.cancel("cancelled", "zq7-cancel").await.unwrap();
    vec![
        plain,
        whole,
        dry,
        headless,
        sent,
        aborted,
        job.result.unwrap(),
    ]
}

/// What became of each import is known as it was; why, without a value.
async fn assert_remembered(client: &ImportClient, results: &[ImportResult]) {
    for result in results {
        let id = &result.import_id;
        let job = client.import(id).await.unwrap();
        let known = job.result.clone().unwrap();
        assert_eq!(known.stats, result.stats, "{id}");
        assert_eq!(known.state, result.state);
        assert_eq!(
            known.rejected_row_count_by_code,
            result.rejected_row_count_by_code
        );
        let (kept, before) = (known.error.unwrap_or_default(), result.error.clone());
        assert_eq!(kept.code, before.unwrap_or_default().code, "{id}");
        let page = client.rejected_rows(id, 100, "").await.unwrap();
        assert_eq!(page.total_size, result.stats.unwrap().rejected_row_count);
        for row in &page.rejected_rows {
            assert!(row.row_number > 0 && row.raw_values.is_empty());
            assert!(row.errors.iter().all(|error| error.value.is_empty()));
            assert_ne!(row.errors[0].code, 0);
        }
        let told = format!("{page:?}");
        assert!(!told.contains(MARK), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_expired_values_are_nowhere() {
    let database = Database::fresh().await;
    let settings = [("log", "rowlift=trace,info")];
    crate::faults::migrate(&database).await;
    let mut server = ServerProcess::start(&database, &settings).await;
    database.execute(MARKED).await;
    let client = server.client().await;
    let results = import_all(&client, |_| {}).await;
    let dump = database.dump_ledger().await;
    for kept in [
        "number", "extra", "place", "label", "list", "reason", "cancel", "cell-3", "a",
    ] {
        assert!(dump.contains(&format!("zq7-{kept}")), "{kept}: {dump}");
    }

    for result in &results {
        let job = client.delete(&result.import_id, "").await.unwrap();
        assert_eq!((job.file_name.as_str(), job.labels.len()), ("", 0));
        client.delete(&result.import_id, "").await.unwrap();
    }
    let dump = database.dump_ledger().await;
    assert!(!dump.contains(MARK), "{dump}");
    assert_remembered(&client, &results).await;

    // The same again, to expire: a service that starts begins with it.
    database
        .execute("truncate marked; truncate rowlift.imports cascade")
        .await;
    database
        .execute("truncate rowlift.import_batches, rowlift.rejected_rows")
        .await;
    let results = import_all(&client, |_| {}).await;
    database.pass_days(8).await;
    assert_remembered(&client, &results).await;
    server.leaves_nothing().await;
    let first_log = server.log();
    server.kill();
    let server = ServerProcess::start(&database, &settings).await;
    let client = server.client().await;
    let values = "select count(*) from rowlift.imports where not wiped";
    eventually("values are wiped", async || {
        database.value(values).await == "0"
    })
    .await;
    let dump = database.dump_ledger().await;
    // File names and labels go with the id, or when they are deleted.
    let dump = dump.replace("zq7-list", "").replace("zq7-label", "");
    assert!(!dump.contains(MARK), "{dump}");
    assert_remembered(&client, &results).await;
    for log in [first_log, server.log()] {
        assert!(log.contains("import ended") || log.contains("forgotten"));
        assert!(!log.contains(MARK), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_not_to_be_kept_are_told_and_not_stored() {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |_| {}).await;
    database.execute(MARKED).await;
    let client = service.import_client().await;
    let results = import_all(&client, |header| {
        header.reject_retention = Some(prost_types::Duration::default());
        header.labels.clear();
        if let Some(import_header::Source::File(file)) = &mut header.source {
            file.file_name.clear();
        }
    })
    .await;
    let dump = database.dump_ledger().await.replace("zq7-place", "");
    assert!(!dump.contains(MARK), "{dump}");
    assert_remembered(&client, &results).await;
    // The caller is told nevertheless.
    let mut header = file_header("told", "marked");
    header.reject_retention = Some(prost_types::Duration::default());
    let told = service.import(file_messages(header, FILE.as_bytes())).await;
    let rejected = format!("{:?}", told.rejected());
    for value in ["number", "day", "mood", "boom", "extra"] {
        assert!(rejected.contains(&format!("zq7-{value}")), "{rejected}");
    }
    let job = service.job("told").await;
    assert_eq!(job.rejects_expire_time, job.end_time);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_in_the_file_of_an_embedded_database() {
    let service = Service::sqlite(PEOPLE).await;
    let mut file = String::from("name,age\n");
    for row in 0..2000 {
        let _ = writeln!(file, "{row},zq7-{row}-{}", "y".repeat(row % 300));
    }
    for id in ["deleted", "expired"] {
        let ended = service
            .import(file_messages(file_header(id, "people"), file.as_bytes()))
            .await;
        assert_eq!(ended.refusal().1, "ALL_ROWS_REJECTED");
    }
    assert!(service.dump_sqlite().contains("zq7-100-"));
    service
        .execute_sqlite(
            "update rowlift_imports set rejects_expire_time_ms = 1 where import_id = 'expired'",
        )
        .await;
    let request = proto::DeleteImportRequest {
        import_id: "deleted".to_owned(),
        ..Default::default()
    };
    service.client.clone().delete_import(request).await.unwrap();
    while service.app.store().forget(1000).await.unwrap().more {}
    let dump = service.dump_sqlite();
    let left = dump.matches(MARK).count();
    assert_eq!(left, 0);
    assert_eq!(service.spool_files(), Vec::<std::path::PathBuf>::new());
    for id in ["deleted", "expired"] {
        let stats = service.job(id).await.stats.unwrap();
        assert_eq!(stats.rejected_row_count, 2000, "{id}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_ended_is_deleted() {
    let service = Service::sqlite(PEOPLE).await;
    let delete = async |id: &str| {
        let request = proto::DeleteImportRequest {
            import_id: id.to_owned(),
            ..Default::default()
        };
        service.client.clone().delete_import(request).await
    };
    assert_eq!(delete("never").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(delete("").await.unwrap_err().code(), Code::InvalidArgument);
    let header = Payload::Header(rows_header("half", "people", &["name"]));
    service.import(vec![header, rows(&[&[Some("Ann")]])]).await;
    let refused = delete("half").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let header = Payload::Header(proto::ImportHeader {
        resume: true,
        ..rows_header("half", "people", &["name"])
    });
    let mut again = rows(&[&[Some("Ann")]]);
    if let Payload::Rows(batch) = &mut again {
        batch.offset = Some(0);
    }
    service.import(vec![header, again, finish()]).await.ok();
    assert_eq!(
        delete("half")
            .await
            .unwrap()
            .into_inner()
            .job
            .unwrap()
            .state(),
        State::Succeeded
    );
    // It replays as before.
    let header = Payload::Header(rows_header("half", "people", &["name"]));
    let replayed = service.import(vec![header, finish()]).await;
    assert_eq!(replayed.ok().inserted_row_count, 1);
    let Some(Event::Accepted(accepted)) = replayed.events.first() else {
        panic!("{replayed:?}");
    };
    assert!(accepted.replayed);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_cannot_outlive_their_import() {
    let service = Service::sqlite_with(PEOPLE, |config| {
        config.id_retention = std::time::Duration::from_hours(2);
        config.reject_retention = std::time::Duration::from_mins(1);
    })
    .await;
    let header = |seconds| {
        let mut header = file_header("", "people");
        header.reject_retention = Some(prost_types::Duration { seconds, nanos: 0 });
        file_messages(header, b"name,age\na,x\nb,1\n")
    };
    let refused = service.import(header(7201)).await;
    assert_eq!(
        refused.refusal(),
        (Code::InvalidArgument, "INVALID_OPTION".to_owned())
    );
    let ended = service.import(header(7200)).await;
    let job = service.job(&ended.result().import_id).await;
    assert_eq!(job.rejects_expire_time, job.expire_time);
    let default = file_messages(file_header("default", "people"), b"name,age\na,x\nc,1\n");
    service.import(default).await.ok();
    let job = service.job("default").await;
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    let kept = seconds(job.rejects_expire_time) - seconds(job.end_time);
    assert_eq!(kept, 60);
    service.stop().await;
}

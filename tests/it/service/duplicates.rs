//! The same file into the same table again: named, or refused before a row is written.

use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, CommitMode, DuplicateFilePolicy, ImportHeader, State, import_header};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::service::{
    Ended, Service, file_header, file_messages, import_request, request,
};
use crate::support::waits::eventually;

const TABLES: &str = "create table people (name text, age integer);
    create table others (name text, age integer)";
const CSV: &[u8] = b"name,age\nAnn,1\nBo,2\n";

fn refusing(id: &str) -> ImportHeader {
    ImportHeader {
        duplicate_file: DuplicateFilePolicy::Refuse.into(),
        ..file_header(id, "people")
    }
}

fn announced(header: ImportHeader, data: &[u8]) -> ImportHeader {
    ImportHeader {
        source: Some(import_header::Source::File(proto::FileSource {
            sha256: Sha256::digest(data).to_vec(),
            ..Default::default()
        })),
        ..header
    }
}

fn workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(["name", "age"]) {
        sheet.write(0, column, name).unwrap();
    }
    sheet.write(1, 0, "Cy").unwrap();
    workbook.save_to_buffer().unwrap()
}

async fn n_rows(service: &Service) -> String {
    let rows = service.query_sqlite("select count(*) from people").await;
    rows[0][0].clone().unwrap()
}

/// The import is refused because of `earlier`, has written nothing, and says so again.
fn assert_refused(ended: &Ended, earlier: &str) {
    let wanted = (Code::AlreadyExists, "DUPLICATE_FILE".to_owned());
    assert_eq!(ended.refusal(), wanted);
    let info = ended.status.as_ref().unwrap().get_details_error_info();
    assert_eq!(info.unwrap().metadata["import_id"], earlier);
    let result = ended.result();
    assert_eq!(result.state(), State::Failed);
    assert_eq!(result.duplicate_of_import_id, earlier);
    assert_eq!(ended.stats().inserted_row_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_imported_before_is_named() {
    let service = Service::sqlite(TABLES).await;
    for (first, second, data) in [("a1", "a2", CSV.to_vec()), ("b1", "b2", workbook())] {
        for id in [first, second] {
            let header = file_header(id, "people");
            let ended = service.import(file_messages(header, &data)).await;
            ended.ok();
            let earlier = if id == first { "" } else { first };
            assert_eq!(ended.result().duplicate_of_import_id, earlier);
            // A replay tells the same.
            let again = file_messages(file_header(id, "people"), &data);
            assert_eq!(service.import(again).await.result(), ended.result());
        }
    }
    // Another table, another tenant, another file: nothing to name.
    let mut tenant = file_header("tenant", "people");
    tenant.tenant = "acme".to_owned();
    for (header, data) in [
        (file_header("table", "others"), CSV),
        (tenant, CSV),
        (file_header("file", "people"), &CSV[..14]),
    ] {
        let ended = service.import(file_messages(header, data)).await;
        ended.ok();
        assert_eq!(ended.result().duplicate_of_import_id, "");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_is_refused_before_a_row_is_written() {
    let service = Service::sqlite(TABLES).await;
    let book = workbook();
    // Only an import that has succeeded counts, and no dry run.
    let mut dry = file_header("dry-first", "people");
    dry.validate_only = true;
    service.import(file_messages(dry, CSV)).await.ok();
    for (id, data) in [("csv", CSV), ("book", &book)] {
        service.import(file_messages(refusing(id), data)).await.ok();
    }
    assert_eq!(n_rows(&service).await, "3");
    let mut atomic = refusing("atomic");
    atomic.set_commit_mode(CommitMode::Atomic);
    let mut dry = refusing("dry");
    dry.validate_only = true;
    for (header, data, earlier) in [
        (refusing("streamed"), CSV, "csv"),
        (refusing("workbook"), &book, "book"),
        (announced(refusing("announced"), CSV), CSV, "csv"),
        (atomic, CSV, "csv"),
        (dry, CSV, "csv"),
    ] {
        let id = header.import_id.clone();
        let ended = service.import(file_messages(header.clone(), data)).await;
        assert_refused(&ended, earlier);
        assert_eq!(service.job(&id).await.state(), State::Failed);
        let resumed = ImportHeader {
            resume: true,
            ..header
        };
        let again = service.import(file_messages(resumed, data)).await;
        assert_refused(&again, earlier);
        assert_eq!(again.stats(), ended.stats(), "{id}");
    }
    assert_eq!(n_rows(&service).await, "3");
    // What was deleted is still known as done.
    let delete = proto::DeleteImportRequest {
        import_id: "csv".to_owned(),
        ..Default::default()
    };
    service.client.clone().delete_import(delete).await.unwrap();
    let ended = service.import(file_messages(refusing("later"), CSV)).await;
    assert_refused(&ended, "csv");
    // No row is decided: the id can be begun anew, and the file let in.
    let allowed = file_messages(file_header("later", "people"), CSV);
    assert_eq!(service.import(allowed).await.ok().inserted_row_count, 2);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_duplicate_is_refused_before_its_first_byte() {
    let service = Service::sqlite(TABLES).await;
    let first = file_messages(file_header("first", "people"), CSV);
    service.import(first).await.ok();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let header = Payload::Header(announced(refusing("second"), CSV));
    sender.send(request(header)).await.unwrap();
    // The caller sends nothing more, and does not end its stream.
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut client = service.client.clone();
    let ended = import_request(&mut client, tonic::Request::new(requests)).await;
    assert_refused(&ended, "first");
    drop(sender);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_has_begun_to_write_goes_on() {
    let service = Service::sqlite(TABLES).await;
    let mut data = String::from("name,age\n");
    for row in 0..3000 {
        let _ = writeln!(data, "name {row},{row}");
    }
    let data = data.as_bytes();
    let header = announced(refusing("begun"), data);
    let mut cut = file_messages(header.clone(), &data[..data.len() / 2]);
    cut.pop();
    let (sender, receiver) = tokio::sync::mpsc::channel(cut.len());
    for message in cut {
        sender.send(request(message)).await.unwrap();
    }
    let mut client = service.client.clone();
    let sending = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let suspended = import_request(&mut client, sending);
    let cutting = async {
        eventually("rows are committed", async || {
            let sql = "select count(*) from rowlift_import_batches";
            service.query_sqlite(sql).await[0][0].as_deref() != Some("0")
        })
        .await;
        drop(sender);
    };
    let (suspended, ()) = tokio::join!(suspended, cutting);
    assert_eq!(suspended.refusal().1, "INCOMPLETE_STREAM");
    let between = file_messages(file_header("between", "people"), data);
    service.import(between).await.ok();
    let resumed = ImportHeader {
        resume: true,
        ..header
    };
    let ended = service.import(file_messages(resumed, data)).await;
    assert_eq!(ended.ok().inserted_row_count, 3000);
    assert_eq!(ended.result().duplicate_of_import_id, "between");
    service.stop().await;
}

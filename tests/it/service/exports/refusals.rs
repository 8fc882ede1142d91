//! What cannot be exported, and what an export leaves behind.

use std::time::Duration;

use futures::StreamExt;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, FileFormat};
use tonic::{Code, Request};

use super::{ITEMS, export, import, refusal};
use crate::support::service::{Service, file_header, finish};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exported_is_refused_by_name() {
    let service = Service::sqlite(ITEMS).await;
    let refused = |code, reason: &str| (code, reason.to_owned());
    let unknown = export(&service, "nobody", FileFormat::Csv).await;
    assert_eq!(
        refusal(unknown),
        refused(Code::NotFound, "IMPORT_NOT_FOUND")
    );
    import(&service, "first", b"name,age\nAnn,x\n").await;
    let format = export(&service, "first", FileFormat::Ods).await;
    let invalid = refused(Code::InvalidArgument, "INVALID_OPTION");
    assert_eq!(refusal(format), invalid);
    // Whoever forgets the values forgets the layout.
    service
        .execute_sqlite("update rowlift_imports set source_layout = null")
        .await;
    let wrong_state = refused(Code::FailedPrecondition, "WRONG_STATE");
    let forgotten = export(&service, "first", FileFormat::Csv).await;
    assert_eq!(refusal(forgotten), wrong_state);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_runs_has_no_export_yet() {
    let service = Service::sqlite(ITEMS).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let send = |payload| {
        let request = crate::support::service::request(payload);
        let sender = sender.clone();
        async move { sender.send(request).await.unwrap() }
    };
    send(Payload::Header(file_header("open", "items"))).await;
    let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut events = service.client.clone().import(messages).await.unwrap();
    let events = events.get_mut();
    events.next().await.unwrap().unwrap();
    let running = export(&service, "open", FileFormat::Csv).await;
    let wrong_state = (Code::FailedPrecondition, "WRONG_STATE".to_owned());
    assert_eq!(refusal(running), wrong_state);
    let chunk = proto::FileChunk {
        data: b"name,age\nAnn,x\n"[..].into(),
        ..Default::default()
    };
    send(Payload::Chunk(chunk)).await;
    send(finish()).await;
    drop(sender);
    while events.next().await.is_some() {}
    let ended = export(&service, "open", FileFormat::Csv).await.unwrap();
    assert!(ended.data.len() > 50);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_rejected_is_a_header_alone() {
    let service = Service::sqlite(ITEMS).await;
    assert_eq!(import(&service, "good", b"name,age\nAnn,1\n").await, (1, 0));
    for format in [FileFormat::Csv, FileFormat::Xlsx] {
        let file = export(&service, "good", format).await.unwrap();
        let id = format!("good-{}", format as i32);
        assert_eq!(import(&service, &id, &file.data).await, (0, 0));
    }
    // So it is where the header was never read.
    import(&service, "bad", b"").await;
    let file = export(&service, "bad", FileFormat::Unspecified).await;
    let text = String::from_utf8(file.unwrap().data).unwrap();
    assert_eq!(text, "\u{feff}rowlift_row_number,rowlift_errors\r\n");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workbook_cannot_hold_goes_as_csv() {
    let service = Service::sqlite_with(ITEMS, |config| {
        config.limits.inflated_bytes_max = 200_000;
    })
    .await;
    let long = "x".repeat(32_768);
    let cell = format!("name,age,note\nAnn,x,{long}\n");
    let rows = format!("name,age,note\n{}", "Ann,x,aaaaaaaaaa\n".repeat(1000));
    for (id, data, n_rows) in [("cell", cell, 1), ("rows", rows, 1000)] {
        import(&service, id, data.as_bytes()).await;
        let status = export(&service, id, FileFormat::Xlsx).await.err().unwrap();
        assert!(status.message().ends_with("; export as CSV"), "{status:?}");
        let limit = (Code::ResourceExhausted, "LIMIT_EXCEEDED".to_owned());
        assert_eq!(refusal(Err(status)), limit);
        let file = export(&service, id, FileFormat::Csv).await.unwrap();
        let again = format!("{id}-again");
        assert_eq!(import(&service, &again, &file.data).await, (0, n_rows));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_its_deadline_and_goes_with_its_caller() {
    let service = Service::sqlite(ITEMS).await;
    // More than the stream's windows hold, so that a caller who does not read holds it back.
    let row = format!("Ann,x,{}\n", "a".repeat(16_000));
    let rows = format!("name,age,note\n{}", row.repeat(1000));
    import(&service, "many", rows.as_bytes()).await;
    let request = || proto::ExportRejectedRowsRequest {
        import_id: "many".to_owned(),
        format: FileFormat::Csv.into(),
        ..Default::default()
    };
    let mut late = Request::new(request());
    let timeout = Duration::from_millis(800);
    let deadline = tokio::time::Instant::now() + timeout;
    late.set_timeout(timeout);
    let mut client = service.client.clone();
    let response = client.export_rejected_rows(late).await.unwrap();
    let mut parts = response.into_inner();
    tokio::time::sleep_until(deadline).await;
    let status = loop {
        match parts.next().await {
            Some(Ok(_)) => {}
            Some(Err(status)) => break status,
            None => panic!("the export was in time"),
        }
    };
    let refused = (Code::DeadlineExceeded, "DEADLINE".to_owned());
    assert_eq!(refusal(Err(status)), refused);
    // More calls than there are places: each gives its place back when it is dropped.
    for _ in 0..40 {
        let response = client.export_rejected_rows(request()).await.unwrap();
        let first = response.into_inner().next().await.unwrap().unwrap();
        assert_eq!(first.format(), FileFormat::Csv);
    }
    service.stop().await;
}

//! How imports end: what is replayed, what is refused, and what stays.

use std::fmt::Write;

use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::{self, State};
use tonic::Code;

use crate::service::PEOPLE;
use crate::support::service::{Service, file_header, file_messages, finish, rows, rows_header};

fn ann(id: &str) -> Vec<Payload> {
    let header = Payload::Header(rows_header(id, "people", &["name", "age"]));
    vec![header, rows(&[&[Some("Ann"), Some("1")]]), finish()]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_succeeded_is_replayed_and_written_once() {
    let service = Service::sqlite(PEOPLE).await;
    let first = service.import(ann("once")).await;
    first.ok();
    for resume in [false, true] {
        let mut messages = ann("once");
        let Payload::Header(header) = &mut messages[0] else {
            unreachable!()
        };
        header.resume = resume;
        let again = service.import(messages).await;
        assert_eq!(again.result(), first.result());
        let Some(Event::Accepted(accepted)) = again.events.first() else {
            unreachable!()
        };
        assert!(accepted.replayed);
    }
    assert_eq!(
        service.query_sqlite("select count(*) from people").await,
        [[Some("1".to_owned())]]
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_options_is_a_conflict() {
    let service = Service::sqlite(PEOPLE).await;
    service.import(ann("id")).await.ok();
    let header = Payload::Header(rows_header("id", "people", &["name"]));
    let ended = service
        .import(vec![header, rows(&[&[Some("Bo")]]), finish()])
        .await;
    assert_eq!(
        ended.refusal(),
        (Code::AlreadyExists, "ID_CONFLICT".to_owned())
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_header_leave_the_id_free() {
    let service = Service::sqlite(PEOPLE).await;
    let header = Payload::Header(rows_header("free", "people", &["name", "nonsense"]));
    let ended = service.import(vec![header, finish()]).await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "COLUMN_MAPPING".to_owned())
    );
    let header = Payload::Header(rows_header("free", "nowhere", &["name"]));
    let ended = service.import(vec![header, finish()]).await;
    assert_eq!(
        ended.refusal(),
        (Code::NotFound, "TABLE_NOT_FOUND".to_owned())
    );
    service.import(ann("free")).await.ok();
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_order_are_refused_by_name() {
    let service = Service::sqlite(PEOPLE).await;
    let header = || Payload::Header(rows_header("", "people", &["name"]));
    let chunk = || Payload::Chunk(proto::FileChunk::default());
    for (messages, reason) in [
        (vec![finish()], "HEADER_REQUIRED"),
        (vec![rows(&[])], "HEADER_REQUIRED"),
        (vec![header(), header()], "DUPLICATE_HEADER"),
        (vec![header(), chunk()], "WRONG_PAYLOAD"),
        (
            vec![Payload::Header(file_header("", "people")), rows(&[])],
            "WRONG_PAYLOAD",
        ),
    ] {
        let ended = service.import(messages).await;
        assert_eq!(ended.refusal(), (Code::InvalidArgument, reason.to_owned()));
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_is_a_cancelled_import() {
    let service = Service::sqlite(PEOPLE).await;
    let header = Payload::Header(rows_header("abort", "people", &["name"]));
    let abort = Payload::Abort(proto::Abort {
        reason: "changed my mind".to_owned(),
    });
    let ended = service.import(vec![header, abort]).await;
    assert_eq!(ended.refusal(), (Code::Aborted, "CLIENT_ABORT".to_owned()));
    assert_eq!(service.job("abort").await.state(), State::Cancelled);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_close_without_finish_suspends() {
    let service = Service::sqlite(PEOPLE).await;
    let header = Payload::Header(rows_header("half", "people", &["name"]));
    let ended = service.import(vec![header, rows(&[&[Some("Ann")]])]).await;
    assert_eq!(
        ended.refusal(),
        (Code::Aborted, "INCOMPLETE_STREAM".to_owned())
    );
    assert_eq!(service.job("half").await.state(), State::Suspended);
    // Without resume a suspended import is not touched.
    let header = Payload::Header(rows_header("half", "people", &["name"]));
    let ended = service.import(vec![header, finish()]).await;
    assert_eq!(
        ended.refusal(),
        (Code::FailedPrecondition, "WRONG_STATE".to_owned())
    );
    service.stop().await;
}

/// A CSV of `n_good` rows, each followed by a bad one while there are `n_bad` left.
fn csv(n_good: usize, n_bad: usize) -> Vec<u8> {
    let mut csv = "name,age\n".to_owned();
    for n in 0..n_good.max(n_bad) {
        if n < n_good {
            writeln!(csv, "name {n},{n}").unwrap();
        }
        if n < n_bad {
            writeln!(csv, "bad {n},x").unwrap();
        }
    }
    csv.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn k_rejected_rows_pass_and_one_more_fails() {
    let service = Service::sqlite(PEOPLE).await;
    for (id, limit, passes) in [("k", 7, true), ("k-1", 6, false), ("none", -1, true)] {
        let header = proto::ImportHeader {
            max_rejected_row_count: Some(limit),
            ..file_header(id, "people")
        };
        let ended = service.import(file_messages(header, &csv(3000, 7))).await;
        if passes {
            assert_eq!(ended.ok().rejected_row_count, 7, "{id}");
        } else {
            let wanted = (Code::InvalidArgument, "REJECT_LIMIT_EXCEEDED".to_owned());
            assert_eq!(ended.refusal(), wanted);
            assert_eq!(ended.stats().rejected_row_count, 7);
            assert_eq!(service.job(id).await.state(), State::Failed);
        }
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_limits_rejected_rows_where_the_header_does_not() {
    let service = Service::sqlite_with(PEOPLE, |config| config.rejected_rows_max = 4).await;
    let ended = service
        .import(file_messages(file_header("d", "people"), &csv(100, 5)))
        .await;
    assert_eq!(ended.refusal().1, "REJECT_LIMIT_EXCEEDED");
    let Some(Event::Accepted(accepted)) = ended.events.first() else {
        unreachable!()
    };
    assert_eq!(accepted.max_rejected_row_count, 4);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_fails_at_the_first_rejected_row() {
    let service = Service::sqlite(PEOPLE).await;
    let header = proto::ImportHeader {
        error_policy: proto::ErrorPolicy::Abort.into(),
        ..file_header("strict", "people")
    };
    let ended = service.import(file_messages(header, &csv(10, 2))).await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "ROW_REJECTED".to_owned())
    );
    assert_eq!(ended.stats().rejected_row_count, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_rows_were_all_rejected_has_failed() {
    let service = Service::sqlite(PEOPLE).await;
    let ended = service
        .import(file_messages(file_header("all", "people"), &csv(0, 3)))
        .await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "ALL_ROWS_REJECTED".to_owned())
    );
    assert_eq!(ended.stats().rejected_row_count, 3);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_rejected_rows_add_up_in_order() {
    let service = Service::sqlite(PEOPLE).await;
    service
        .import(file_messages(file_header("pages", "people"), &csv(30, 25)))
        .await
        .ok();
    let mut client = service.client.clone();
    let mut request = proto::ListRejectedRowsRequest {
        import_id: "pages".to_owned(),
        page_size: 10,
        ..Default::default()
    };
    let mut numbers = Vec::new();
    loop {
        let page = client
            .list_rejected_rows(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(page.total_size, 25);
        for row in &page.rejected_rows {
            assert_eq!(row.errors[0].cell, format!("B{}", row.row_number));
            assert_eq!(row.errors[0].value, "x");
            numbers.push(row.row_number);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    // Good and bad rows alternate below the header in row 1.
    assert_eq!(numbers, (0..25).map(|n| 3 + 2 * n).collect::<Vec<i64>>());

    request.page_token = "nonsense".to_owned();
    let status = client.list_rejected_rows(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_are_listed_newest_first() {
    let service = Service::sqlite(PEOPLE).await;
    for id in ["one", "two", "three"] {
        let mut messages = ann(id);
        let Payload::Header(header) = &mut messages[0] else {
            unreachable!()
        };
        header.labels = [("team".to_owned(), id.to_owned())].into();
        service.import(messages).await.ok();
    }
    let mut client = service.client.clone();
    let mut ids = Vec::new();
    let mut request = proto::ListImportsRequest {
        page_size: 2,
        ..Default::default()
    };
    loop {
        let page = client
            .list_imports(request.clone())
            .await
            .unwrap()
            .into_inner();
        ids.extend(page.jobs.iter().map(|job| job.import_id.clone()));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(ids, ["three", "two", "one"]);
    let request = proto::ListImportsRequest {
        labels: [("team".to_owned(), "two".to_owned())].into(),
        ..Default::default()
    };
    let page = client.list_imports(request).await.unwrap().into_inner();
    assert_eq!(page.jobs.len(), 1);
    assert_eq!(page.jobs[0].import_id, "two");
    service.stop().await;
}

//! Row imports: offsets, acks, values, rejects.

use rowlift::proto::column_mapping::Source;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::value::Kind;
use rowlift::proto::{self, RowErrorCode};
use tonic::Code;

use crate::service::PEOPLE;
use crate::support::service::{Service, finish, rows, rows_header};

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_in_and_rejects_are_explained() {
    let service = Service::sqlite(PEOPLE).await;
    let ended = service
        .import(vec![
            Payload::Header(rows_header("a", "people", &["name", "email", "age"])),
            rows(&[
                &[Some("Ann"), Some("a@x"), Some("30")],
                &[None, Some("b@x"), Some("many")],
                &[Some("Cy"), Some("a@x"), Some("1")],
                &[Some("Di"), None, Some("-1")],
            ]),
            finish(),
        ])
        .await;
    let stats = ended.ok();
    assert_eq!((stats.inserted_row_count, stats.rejected_row_count), (1, 3));
    let told: Vec<(i64, Vec<(RowErrorCode, &str)>)> = ended
        .rejected()
        .into_iter()
        .map(|row| {
            let errors = row
                .errors
                .iter()
                .map(|error| (error.code(), error.column.as_str()));
            (row.row_number, errors.collect())
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                2,
                vec![
                    (RowErrorCode::RequiredMissing, "name"),
                    (RowErrorCode::TypeMismatch, "age")
                ]
            ),
            (3, vec![(RowErrorCode::UniqueViolation, "email")]),
            (4, vec![(RowErrorCode::CheckViolation, "age")]),
        ]
    );
    let by_code = &ended.result().rejected_row_count_by_code;
    assert_eq!(by_code["ROW_ERROR_CODE_UNIQUE_VIOLATION"], 1);
    let stored = service.query_sqlite("select name from people").await;
    assert_eq!(stored, [[Some("Ann".to_owned())]]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_tell_duplicates_overlaps_and_gaps_apart() {
    let service = Service::sqlite(PEOPLE).await;
    let batch = |offset: Option<i64>, names: &[&str]| {
        let Payload::Rows(mut batch) = rows(
            &names
                .iter()
                .map(|name| [Some(*name)])
                .collect::<Vec<_>>()
                .iter()
                .map(<[_; 1]>::as_slice)
                .collect::<Vec<_>>(),
        ) else {
            unreachable!()
        };
        batch.offset = offset;
        Payload::Rows(batch)
    };
    let header = || Payload::Header(rows_header("dup", "people", &["name"]));
    let ended = service
        .import(vec![
            header(),
            batch(Some(0), &["a", "b"]),
            batch(Some(0), &["a", "b"]),
            batch(Some(1), &["b", "c"]),
            batch(None, &["d"]),
            finish(),
        ])
        .await;
    let stats = ended.ok();
    assert_eq!(
        (stats.inserted_row_count, stats.duplicate_row_count),
        (4, 3)
    );
    let names = service
        .query_sqlite("select group_concat(name, '') from people")
        .await;
    assert_eq!(names, [[Some("abcd".to_owned())]]);

    let header = Payload::Header(rows_header("gap", "people", &["name"]));
    let ended = service
        .import(vec![header, batch(Some(3), &["x"]), finish()])
        .await;
    assert_eq!(ended.refusal(), (Code::OutOfRange, "OFFSET_GAP".to_owned()));
    assert_eq!(service.job("gap").await.state(), proto::State::Suspended);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_comes_while_the_stream_stays_open() {
    let service = Service::sqlite(PEOPLE).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let Payload::Rows(mut batch) = rows(&[&[Some("a")], &[Some("b")]]) else {
        unreachable!()
    };
    batch.position = b"offset 7".to_vec().into();
    let header = rows_header("open", "people", &["name"]);
    for payload in [Payload::Header(header), Payload::Rows(batch)] {
        sender
            .send(crate::support::service::request(payload))
            .await
            .unwrap();
    }
    let mut events = service
        .client
        .clone()
        .import(requests)
        .await
        .unwrap()
        .into_inner();
    let ack = loop {
        let response = events.message().await.unwrap().expect("the stream is open");
        if let Some(Event::Ack(ack)) = response.event {
            break ack;
        }
    };
    assert_eq!(
        (ack.committed_offset, ack.committed_position.as_slice()),
        (2, &b"offset 7"[..])
    );
    sender
        .send(crate::support::service::request(finish()))
        .await
        .unwrap();
    let mut last = None;
    while let Some(response) = events.message().await.unwrap() {
        last = response.event;
    }
    assert!(matches!(last, Some(Event::Result(_))));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_quotes_are_harmless() {
    let schema = r#"create table "a""; drop table b; --" ("c""; drop table b; --" text);
        create table b (x text)"#;
    let service = Service::sqlite(schema).await;
    let name = r#"a"; drop table b; --"#;
    let ended = service
        .import(vec![
            Payload::Header(rows_header("q", name, &[r#"c"; drop table b; --"#])),
            rows(&[&[Some("'; drop table b; --")]]),
            finish(),
        ])
        .await;
    assert_eq!(ended.ok().inserted_row_count, 1);
    assert_eq!(
        service.query_sqlite("select count(*) from b").await,
        [[Some("0".to_owned())]]
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_and_contexts_fill_assignable_columns() {
    let schema = "create table leads (name text, source text, import_id text, line integer)";
    let service = Service::sqlite_with(schema, |config| {
        config.tables.insert(
            0,
            rowlift::store::allow::AllowedTable {
                name: "leads".to_owned(),
                importable: Some(vec!["name".to_owned()]),
                assignable: ["source", "import_id", "line"].map(str::to_owned).to_vec(),
                aliases: std::collections::BTreeMap::new(),
            },
        );
    })
    .await;
    let mapping = |source, target: &str| proto::ColumnMapping {
        source: Some(source),
        target_column: target.to_owned(),
        ..Default::default()
    };
    let mut header = rows_header("ctx", "leads", &["name"]);
    let kind = Some(Kind::StringValue("fair".to_owned()));
    header.columns = vec![
        mapping(Source::SourceName("name".to_owned()), "name"),
        mapping(Source::Constant(proto::Value { kind }), "source"),
        mapping(
            Source::Context(proto::RowContext::ImportId.into()),
            "import_id",
        ),
        mapping(Source::Context(proto::RowContext::RowNumber.into()), "line"),
    ];
    let messages = vec![
        Payload::Header(header),
        rows(&[&[Some("Ann")], &[Some("Bo")]]),
        finish(),
    ];
    assert_eq!(service.import(messages).await.ok().inserted_row_count, 2);
    let stored = service
        .query_sqlite("select source, import_id, line from leads")
        .await;
    let row = |line: &str| {
        [
            Some("fair".to_owned()),
            Some("ctx".to_owned()),
            Some(line.to_owned()),
        ]
    };
    assert_eq!(stored, [row("1"), row("2")]);

    let mut header = rows_header("no", "leads", &["source"]);
    header.columns = vec![mapping(Source::SourceName("source".to_owned()), "source")];
    let ended = service
        .import(vec![Payload::Header(header), finish()])
        .await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "COLUMN_MAPPING".to_owned())
    );
    service.stop().await;
}

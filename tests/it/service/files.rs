//! File imports: formats by content, compression, zero rows, checksums, cut files.

use std::fmt::Write as _;
use std::io::Write as _;

use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, import_header};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::service::PEOPLE;
use crate::support::service::{
    Service, chunks, file_header, file_messages, finish, import_request, request,
};
use crate::support::waits::eventually;

const CSV: &[u8] = b"Name,E-Mail,age\nAnn,a@x,30\n\nBo,b@x,\n";

fn mapped_header(id: &str) -> proto::ImportHeader {
    proto::ImportHeader {
        columns: ["name", "E-Mail", "age"]
            .iter()
            .zip(["name", "email", "age"])
            .map(|(source, target)| proto::ColumnMapping {
                source: Some(proto::column_mapping::Source::SourceName(
                    (*source).to_owned(),
                )),
                target_column: target.to_owned(),
                ..Default::default()
            })
            .collect(),
        ..file_header(id, "people")
    }
}

/// Fifty people.
pub(super) fn workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, name) in ["name", "email", "age"].into_iter().enumerate() {
        sheet
            .write(0, u16::try_from(column).unwrap(), name)
            .unwrap();
    }
    for row in 1..=50_u32 {
        sheet.write(row, 0, format!("Name {row}")).unwrap();
        sheet.write(row, 1, format!("{row}@x")).unwrap();
        sheet.write(row, 2, row).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_goes_in_plain_and_compressed() {
    let service = Service::sqlite(PEOPLE).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(CSV).unwrap();
    let files = [
        ("plain", CSV.to_vec()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(CSV, 3).unwrap()),
    ];
    for (id, data) in files {
        service.execute_sqlite("delete from people").await;
        let ended = service
            .import(file_messages(mapped_header(id), &data))
            .await;
        let stats = ended.ok();
        assert_eq!(
            (stats.inserted_row_count, stats.blank_row_count),
            (2, 1),
            "{id}"
        );
        assert_eq!(stats.received_bytes, i64::try_from(data.len()).unwrap());
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_goes_in_whatever_it_is_called() {
    let service = Service::sqlite(PEOPLE).await;
    let mut header = file_header("xlsx", "people");
    header.source = Some(import_header::Source::File(proto::FileSource {
        file_name: "../../etc/passwd.csv".to_owned(),
        ..Default::default()
    }));
    let ended = service.import(file_messages(header, &workbook())).await;
    assert_eq!(ended.ok().inserted_row_count, 50);
    let ages = service.query_sqlite("select sum(age) from people").await;
    assert_eq!(ages, [[Some("1275".to_owned())]]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_cut_anywhere_is_corrupt() {
    let service = Service::sqlite(PEOPLE).await;
    let data = workbook();
    for (n, cut) in [1, 3, 4, 100, data.len() / 2, data.len() - 1]
        .into_iter()
        .enumerate()
    {
        let id = format!("cut-{n}");
        let ended = service
            .import(file_messages(file_header(&id, "people"), &data[..cut]))
            .await;
        let (code, reason) = ended.refusal();
        let wanted = (Code::InvalidArgument, "CORRUPT_FILE");
        assert_eq!((code, reason.as_str()), wanted, "cut at {cut}");
        assert_eq!(service.job(&id).await.state(), proto::State::Failed);
    }
    assert_eq!(
        service.query_sqlite("select count(*) from people").await,
        [[Some("0".to_owned())]]
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_rows_are_valid_and_zero_bytes_are_not() {
    let service = Service::sqlite(PEOPLE).await;
    let mut messages = file_messages(file_header("header", "people"), b"name,email,age\n");
    messages.insert(1, Payload::Chunk(proto::FileChunk::default()));
    assert_eq!(service.import(messages).await.ok().received_row_count, 0);
    let ended = service
        .import(file_messages(file_header("empty", "people"), b""))
        .await;
    assert_eq!(
        ended.refusal(),
        (Code::InvalidArgument, "NO_HEADER".to_owned())
    );
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_and_checksums_are_compared() {
    let service = Service::sqlite(PEOPLE).await;
    let sha256 = Sha256::digest(CSV).to_vec();
    let total_bytes = Some(i64::try_from(CSV.len()).unwrap());
    let finishes = [
        (
            "right",
            proto::Finish {
                total_row_count: Some(3),
                total_bytes,
                sha256,
            },
            true,
        ),
        (
            "rows",
            proto::Finish {
                total_row_count: Some(4),
                ..Default::default()
            },
            false,
        ),
        (
            "bytes",
            proto::Finish {
                total_bytes: Some(1),
                ..Default::default()
            },
            false,
        ),
        (
            "hash",
            proto::Finish {
                sha256: vec![7; 32],
                ..Default::default()
            },
            false,
        ),
    ];
    for (id, finish, right) in finishes {
        let mut messages = vec![Payload::Header(mapped_header(id))];
        messages.extend(chunks(CSV, 7));
        messages.push(Payload::Finish(finish));
        let ended = service.import(messages).await;
        if right {
            assert_eq!(ended.ok().received_row_count, 3);
        } else {
            let wanted = (Code::InvalidArgument, "CHECKSUM_MISMATCH".to_owned());
            assert_eq!(ended.refusal(), wanted, "{id}");
            ended.stats();
        }
    }
    let chunk = proto::FileChunk {
        data: CSV.to_vec().into(),
        crc32c: Some(1),
        ..Default::default()
    };
    let header = Payload::Header(mapped_header("crc"));
    let ended = service
        .import(vec![header, Payload::Chunk(chunk), finish()])
        .await;
    assert_eq!(ended.refusal().1, "CHECKSUM_MISMATCH");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_missing_columns_fail_before_a_row_is_written() {
    let service = Service::sqlite(PEOPLE).await;
    for (id, data) in [
        ("unknown", &b"name,e-mial\na,b\n"[..]),
        ("missing", b"email\na\n"),
    ] {
        let ended = service
            .import(file_messages(file_header(id, "people"), data))
            .await;
        assert_eq!(
            ended.refusal(),
            (Code::InvalidArgument, "COLUMN_MAPPING".to_owned()),
            "{id}"
        );
        let message = ended.status.unwrap().message().to_owned();
        assert!(
            id != "unknown" || message.contains("did you mean"),
            "{message}"
        );
        assert_eq!(service.job(id).await.state(), proto::State::Failed);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_were_sent_before_are_dropped() {
    let service = Service::sqlite(PEOPLE).await;
    let chunk = |offset: usize, data: &[u8]| {
        Payload::Chunk(proto::FileChunk {
            offset: Some(i64::try_from(offset).unwrap()),
            data: data.to_vec().into(),
            crc32c: Some(crc32c::crc32c(data)),
        })
    };
    let header = Payload::Header(mapped_header("again"));
    let messages = vec![
        header,
        chunk(0, &CSV[..20]),
        chunk(10, &CSV[10..30]),
        chunk(0, &CSV[..5]),
        chunk(30, &CSV[30..]),
        finish(),
    ];
    assert_eq!(service.import(messages).await.ok().inserted_row_count, 2);
    let header = Payload::Header(mapped_header("hole"));
    let ended = service.import(vec![header, chunk(5, b"x"), finish()]).await;
    assert_eq!(ended.refusal(), (Code::OutOfRange, "OFFSET_GAP".to_owned()));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_not_touched_by_another_file_that_is_announced() {
    let service = Service::sqlite(PEOPLE).await;
    let mut data = String::from("name,age\n");
    for row in 0..3000 {
        writeln!(data, "name {row},{row}").unwrap();
    }
    let data = data.as_bytes();
    let header = |data: &[u8]| proto::ImportHeader {
        resume: true,
        source: Some(import_header::Source::File(proto::FileSource {
            sha256: Sha256::digest(data).to_vec(),
            ..Default::default()
        })),
        ..file_header("kept", "people")
    };
    // Its rows are written as they come, and the caller goes in the middle.
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let half = Payload::Chunk(proto::FileChunk {
        data: data[..data.len() / 2].to_vec().into(),
        ..Default::default()
    });
    for payload in [Payload::Header(header(data)), half] {
        sender.send(request(payload)).await.unwrap();
    }
    let mut client = service.client.clone();
    let sending = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let first = import_request(&mut client, sending);
    let other = b"name,age\nCy,1\n";
    let refused = (Code::AlreadyExists, "ID_CONFLICT".to_owned());
    let meanwhile = async {
        eventually("rows are committed", async || {
            let sql = "select count(*) from rowlift_import_batches";
            service.query_sqlite(sql).await[0][0].as_deref() != Some("0")
        })
        .await;
        let ended = service.import(file_messages(header(other), other)).await;
        assert_eq!(ended.refusal(), refused);
        assert!(ended.events.is_empty(), "{:?}", ended.events);
        drop(sender);
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    // It was not fenced.
    assert_eq!(first.refusal().1, "INCOMPLETE_STREAM");
    let ended = service.import(file_messages(header(other), other)).await;
    assert_eq!(ended.refusal(), refused);
    let ended = service.import(file_messages(header(data), data)).await;
    assert_eq!(ended.ok().inserted_row_count, 3000);
    let stored = service.query_sqlite("select count(*), count(distinct name) from people");
    let wanted = Some("3000".to_owned());
    assert_eq!(stored.await, [[wanted.clone(), wanted]]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_of_another_file_is_not_replayed() {
    let service = Service::sqlite(PEOPLE).await;
    let header = |data: &[u8]| {
        let mut header = mapped_header("reused");
        header.source = Some(import_header::Source::File(proto::FileSource {
            sha256: Sha256::digest(data).to_vec(),
            ..Default::default()
        }));
        header
    };
    let messages = file_messages(header(CSV), CSV);
    assert_eq!(service.import(messages).await.ok().inserted_row_count, 2);
    let messages = file_messages(header(CSV), CSV);
    assert_eq!(service.import(messages).await.ok().inserted_row_count, 2);
    let other = b"Name,E-Mail,age\nCy,c@x,1\n";
    let ended = service.import(file_messages(header(other), other)).await;
    assert_eq!(
        ended.refusal(),
        (Code::AlreadyExists, "ID_CONFLICT".to_owned())
    );
    service.stop().await;
}

//! A CSV of any size is decoded and inspected in the same little memory.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use rowlift::proto::decode_file_response::Event;
use rowlift::proto::{
    DecodeFileRequest, FileChunk, FileSource, Finish, InspectHeader, decode_file_request,
    inspect_file_request,
};

use super::{decode_request, inspect_request};
use crate::faults::migrated;
use crate::support::process::ServerProcess;
use crate::support::size::short_or_long;

/// What the service's process may take at its peak, its program and libraries included.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// A row is this, with a long text at its end.
const ROW: &str =
    "1234567,Ann Smith & Sons,Bakery,\"Main Street 1, 2nd floor\",Oslo,+47 22 334455,";
const LONG_CELL_BYTES: usize = 1000;
/// Rows of a chunk.
const CHUNK_ROWS: usize = 250;

/// A CSV of about so many bytes: its chunks, how many there are, and how many rows.
fn csv(n_bytes: u64) -> (impl Stream<Item = FileChunk> + Send + 'static, u64) {
    let row = format!("{ROW}{}\n", "x".repeat(LONG_CELL_BYTES));
    let chunk = Bytes::from(row.repeat(CHUNK_ROWS));
    let n_chunks = n_bytes.div_ceil(chunk.len() as u64);
    let header = Bytes::from_static(b"id,name,kind,address,city,phone,more\n");
    let data =
        stream::iter(std::iter::once(header).chain((0..n_chunks).map(move |_| chunk.clone())));
    let chunks = data.map(|data| FileChunk {
        data,
        ..Default::default()
    });
    (chunks, n_chunks * CHUNK_ROWS as u64)
}

fn decode_messages(
    chunks: impl Stream<Item = FileChunk> + Send + 'static,
    n_rows: u64,
) -> impl Stream<Item = DecodeFileRequest> + Send + 'static {
    use decode_file_request::Payload;
    let finish = Finish {
        total_row_count: i64::try_from(n_rows).ok(),
        ..Default::default()
    };
    stream::iter([Payload::File(FileSource::default())])
        .chain(chunks.map(Payload::Chunk))
        .chain(stream::iter([Payload::Finish(finish)]))
        .map(decode_request)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csv_of_any_size_is_looked_into_in_the_same_memory() {
    let database = migrated().await;
    let server = ServerProcess::start(&database, &[]).await;
    let mut client = server.client().await.service();
    let n_bytes = short_or_long(96 << 20, 3 << 30);

    let (chunks, n_rows) = csv(n_bytes);
    let mut rows = client
        .decode_file(decode_messages(chunks, n_rows))
        .await
        .unwrap()
        .into_inner();
    let mut n_decoded = 0;
    while let Some(response) = rows.message().await.unwrap() {
        match response.event {
            Some(Event::Rows(batch)) => {
                assert_eq!(batch.offset, i64::try_from(n_decoded).ok());
                n_decoded += batch.rows.len() as u64;
            }
            Some(Event::Header(sheet)) => assert_eq!(sheet.header.len(), 7),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(n_decoded, n_rows);
    let after_decode = server.peak_bytes();

    let (chunks, _) = csv(n_bytes);
    let messages = {
        use inspect_file_request::Payload;
        stream::iter([Payload::Header(InspectHeader::default())])
            .chain(chunks.map(Payload::Chunk))
            .chain(stream::iter([Payload::Finish(Finish::default())]))
            .map(inspect_request)
    };
    let found = client.inspect_file(messages).await.unwrap().into_inner();
    assert_eq!(found.sheets[0].header_row_number, 1);
    assert_eq!(found.sheets[0].sample_rows.len(), 20);
    let after_inspect = server.peak_bytes();
    println!("{n_bytes} bytes; peak after decode {after_decode}, after inspect {after_inspect}");
    assert!(
        after_decode < MEMORY_BYTES_MAX && after_inspect < MEMORY_BYTES_MAX,
        "decode: {after_decode} bytes, inspect: {after_inspect} bytes"
    );
    server.leaves_nothing().await;
}

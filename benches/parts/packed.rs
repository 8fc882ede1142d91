//! Messages of packed rows, from their bytes to frames.

use bytes::Bytes;
use criterion::Criterion;
use prost::Message;
use rowlift::client::messages;
use rowlift::grpc::rows::packed_rows;
use rowlift::model::frame::Frame;
use rowlift::proto::ImportRequest;
use rowlift::proto::import_request::Payload;

use crate::inputs;
use crate::{group, throughput};

/// A message of them has about 850 KB.
const ROWS_PER_MESSAGE: usize = 3000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let source = inputs::businesses();
    let n_columns = source.table.columns.len();
    let messages = messages(&source.csv);
    let n_bytes: usize = messages.iter().map(Bytes::len).sum();

    let mut group = group(criterion, "packed rows");
    group.throughput(throughput(n_bytes));
    group.bench_function("message to frames", |bencher| {
        bencher.iter(|| -> Vec<Frame> {
            let messages = messages.iter();
            messages.flat_map(|it| frames(it, n_columns)).collect()
        });
    });
    group.finish();
}

fn messages(csv: &[u8]) -> Vec<Bytes> {
    let records: Result<Vec<csv::StringRecord>, csv::Error> =
        csv::Reader::from_reader(csv).records().collect();
    let records = records.expect("the file is fine");
    let rows: Vec<Vec<Option<&str>>> = records
        .iter()
        .map(|record| {
            let cells = record
                .iter()
                .map(|text| Some(text).filter(|it| !it.is_empty()));
            cells.collect()
        })
        .collect();
    let messages = rows.chunks(ROWS_PER_MESSAGE);
    messages
        .map(|rows| messages::packed_rows(None, rows).encode_to_vec().into())
        .collect()
}

fn frames(message: &Bytes, n_columns: usize) -> Vec<Frame> {
    let request = ImportRequest::decode(message.clone()).expect("a message of our own");
    let Some(Payload::PackedRows(packed)) = request.payload else {
        panic!("a message of packed rows");
    };
    let rows = packed_rows(packed, n_columns).expect("as many lengths as cells");
    (rows.pack)(0, 0).expect("lengths that fit")
}

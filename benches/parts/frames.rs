//! Frames: filled by decoders, checked by whoever gets them through a pipe, hashed for the ledger.

use criterion::{BatchSize, Criterion};
use rowlift::model::cell::Cell;
use rowlift::model::frame::{FRAME_BYTES_TARGET, Frame, FrameBuilder};

use crate::inputs::{self, batches};
use crate::{group, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let csv = inputs::businesses().csv;
    let (_, frames) = batches::decoded(&csv).expect("the file is fine");
    let records: Result<Vec<csv::StringRecord>, csv::Error> =
        csv::Reader::from_reader(csv.as_slice()).records().collect();
    let records = records.expect("the file is fine");

    let mut group = group(criterion, "frames");
    group.throughput(throughput(inputs::n_bytes(&frames)));
    group.bench_function("fill", |bencher| bencher.iter(|| fill(&records)));
    group.bench_function("parse", |bencher| {
        let received = || -> Vec<Vec<u8>> {
            let bytes = frames.iter().map(|frame| frame.as_bytes().to_vec());
            bytes.collect()
        };
        bencher.iter_batched(received, parse, BatchSize::PerIteration);
    });
    group.bench_function("hash", |bencher| {
        bencher.iter(|| {
            let rows = frames.iter().flat_map(Frame::rows);
            rows.fold(0_u128, |sum, row| sum.wrapping_add(row.hash()))
        });
    });
    group.finish();
}

fn fill(records: &[csv::StringRecord]) -> Vec<Frame> {
    let mut builder = FrameBuilder::new();
    let mut frames = Vec::new();
    for (ordinal, record) in (0..).zip(records) {
        builder.begin_row(ordinal, ordinal + 2, "");
        for text in record {
            builder.push(match text {
                "" => Cell::Empty,
                text => Cell::Text(text),
            });
        }
        builder.end_row();
        if builder.n_bytes() >= FRAME_BYTES_TARGET {
            frames.push(builder.take());
        }
    }
    frames.push(builder.take());
    frames
}

fn parse(received: Vec<Vec<u8>>) -> Vec<Frame> {
    let frames = received.into_iter().map(Frame::parse);
    let frames: Result<Vec<Frame>, _> = frames.collect();
    frames.expect("frames of our own are well-formed")
}

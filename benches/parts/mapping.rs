//! From frames to batches: which cell feeds which column, conversion, checks, the rows' hashes.

use criterion::{BatchSize, Criterion};
use rowlift::batch::BatchLimits;
use rowlift::config::Config;

use crate::inputs::{self, batches};
use crate::{group, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let config = Config::default();
    let limits = BatchLimits {
        rows_first: config.batch_rows_first,
        rows_max: config.batch_rows_max,
        bytes_max: config.batch_bytes_max,
    };
    let mut group = group(criterion, "mapping");
    for source in [inputs::businesses(), inputs::orders()] {
        let (header, frames) = batches::decoded(&source.csv).expect("the file is fine");
        let mapping = batches::mapping(&source.table, &header).expect("the header fits");
        group.throughput(throughput(inputs::n_bytes(&frames)));
        group.bench_function(source.name, |bencher| {
            bencher.iter_batched(
                || frames.clone(),
                |frames| {
                    let batches = batches::batches(&mapping, frames, limits);
                    let batches = batches.expect("nothing was decided before");
                    assert!(batches.iter().all(|batch| batch.rejected.is_empty()));
                    batches
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

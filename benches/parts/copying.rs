//! From batches to the bytes of COPY.

use std::hint::black_box;

use criterion::Criterion;
use rowlift::batch::BatchLimits;
use rowlift::model::batch::Batch;
use rowlift::model::plan::WritePlan;
use rowlift::store::copying::CopyFormat;
use rowlift::store::postgres::copy::CopyData;

use crate::inputs::{self, batches};
use crate::{group, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "COPY");
    for source in [inputs::businesses(), inputs::orders()] {
        let (header, frames) = batches::decoded(&source.csv).expect("the file is fine");
        let mapping = batches::mapping(&source.table, &header).expect("the header fits");
        let plan = batches::plan(&mapping);
        let batches = batches::batches(&mapping, frames, BatchLimits::NONE);
        let batches = batches.expect("nothing was decided before");
        for (format, spelled) in [(CopyFormat::Binary, "binary"), (CopyFormat::Text, "text")] {
            let n_bytes = batches.iter().map(|batch| encode(&plan, batch, format));
            group.throughput(throughput(n_bytes.sum()));
            group.bench_function(format!("{spelled}, {}", source.name), |bencher| {
                bencher.iter(|| {
                    let n_bytes = batches.iter().map(|batch| encode(&plan, batch, format));
                    n_bytes.sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

/// Encodes a batch; how many bytes it makes.
fn encode(plan: &WritePlan, batch: &Batch, format: CopyFormat) -> usize {
    let mut n_bytes = 0;
    for mut data in CopyData::of_batch(plan, batch, format) {
        while let Some(piece) = data.next_piece() {
            n_bytes += black_box(piece).len();
        }
    }
    n_bytes
}

//! What each part of a row's way costs, without a database or a network.
//!
//! ```sh
//! cargo bench --features benches --bench parts  # all of them, in about a minute
//! cargo bench --features benches --bench parts -- mapping
//! scripts/bench parts                           # the same as a table
//! ```
//!
//! In: rows from the generator of the end-to-end benchmarks, with its seed, and typed ones for
//! another table. Out: criterion's estimates; rows and bytes a second. Bytes are those of what goes
//! in, as files have them, and those of the frames behind the decoders.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

mod copying;
mod decoding;
mod frames;
mod inputs;
mod mapping;
mod packed;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    decoding::bench(&mut criterion);
    frames::bench(&mut criterion);
    packed::bench(&mut criterion);
    mapping::bench(&mut criterion);
    copying::bench(&mut criterion);
    criterion.final_summary();
}

/// Benchmarks that each take milliseconds, so that samples need not be of different lengths.
fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// All rows of an input, which is so many bytes long.
fn throughput(bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: inputs::ROWS,
        bytes: bytes as u64,
    }
}

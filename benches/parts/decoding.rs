//! From a file's bytes to frames.
//!
//! A workbook is read as the service reads it: by a child process, whose start and whose pipe are
//! part of it.

use std::fs::File;
use std::path::Path;

use criterion::Criterion;
use rowlift::decode::error::DecodeError;
use rowlift::decode::limits::Limits;
use rowlift::decode::protocol::WorkbookRequest;
use rowlift::decode::sandbox::Sandbox;
use rowlift::decode::{Decoded, HeaderRow};
use rowlift::disk::SpoolDir;

use crate::inputs::{self, ROWS, batches};
use crate::{group, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "decode");

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let workbook = inputs::workbook();
    std::fs::write(&file, &workbook).expect("room for a workbook");
    group.throughput(throughput(workbook.len()));
    group.bench_function("xlsx", |bencher| {
        bencher.iter(|| {
            let n_rows = decode_workbook(file.path()).expect("the workbook is fine");
            assert_eq!(n_rows as u64, ROWS);
        });
    });

    for source in [inputs::businesses(), inputs::orders()] {
        group.throughput(throughput(source.csv.len()));
        group.bench_function(format!("CSV, {}", source.name), |bencher| {
            bencher.iter(|| batches::decoded(&source.csv).expect("the file is fine"));
        });
    }
    group.finish();
}

fn decode_workbook(path: &Path) -> Result<usize, DecodeError> {
    let file = File::open(path).map_err(|error| DecodeError::io("open the file", &error))?;
    let program = Path::new(env!("CARGO_BIN_EXE_rowlift"));
    let request = WorkbookRequest {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Row(1),
    };
    let sandbox = Sandbox {
        program,
        limits: &Limits::default(),
        spool_dir: &SpoolDir::new(std::env::temp_dir(), None),
    };
    let mut decoder = sandbox.start(file, &request)?;
    let mut n_rows = 0;
    while let Some(decoded) = decoder.next()? {
        if let Decoded::Rows(frame) = decoded {
            n_rows += frame.n_rows();
        }
    }
    Ok(n_rows)
}

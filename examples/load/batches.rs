//! A CSV file's rows as the service's pipeline makes batches of them.
//!
//! In: a file's bytes, with a header, and the table that it is for. Out: frames, the mapping, the
//! batches. All in memory at once.

use std::error::Error;
use std::sync::Arc;

use rowlift::batch::decided::{Decided, Mismatch};
use rowlift::batch::{BatchLimits, Batcher};
use rowlift::decode::csv::CsvDecoder;
use rowlift::decode::limits::Limits;
use rowlift::decode::{CsvOptions, Decoded, FileOptions, HeaderRow, SourceHeader};
use rowlift::mapping::{Mapping, MappingSpec, SourceColumns};
use rowlift::model::batch::Batch;
use rowlift::model::frame::Frame;
use rowlift::model::import::WriteMethod;
use rowlift::model::plan::WritePlan;
use rowlift::model::reject::SourceKind;
use rowlift::model::table::Table;

type Made<T> = Result<T, Box<dyn Error>>;

/// Bytes that a decoder is given at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The rows as read.
pub(crate) fn decoded(file: &[u8]) -> Made<(SourceHeader, Vec<Frame>)> {
    let options = FileOptions {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Row(1),
        csv: CsvOptions::default(),
        compression: None,
    };
    let mut decoder = CsvDecoder::new(&options, &Limits::default())?;
    let (mut header, mut frames) = (None, Vec::new());
    let mut take = |decoded| match decoded {
        Decoded::Header(it) => header = Some(it),
        Decoded::Rows(frame) => frames.push(frame),
    };
    for chunk in file.chunks(CHUNK_BYTES) {
        decoder.feed(chunk, &mut take)?;
    }
    decoder.finish(&mut take)?;
    Ok((header.ok_or("the file is empty")?, frames))
}

/// The mapping of a file without any options.
pub(crate) fn mapping(table: &Arc<Table>, header: &SourceHeader) -> Made<Mapping> {
    let spec = MappingSpec::of_file();
    let source = SourceColumns {
        names: &header.names,
        has_header: header.has_header,
        where_: "",
    };
    Ok(Mapping::resolve(table, &spec, source).map_err(|failure| failure.message)?)
}

/// How its rows are written.
pub(crate) fn plan(mapping: &Mapping) -> WritePlan {
    WritePlan {
        table: Arc::clone(mapping.table()),
        columns: mapping.planned_columns(),
        method: WriteMethod::Copy,
        on_conflict: mapping.on_conflict(),
    }
}

/// Its rows in batches.
pub(crate) fn batches(
    mapping: &Mapping,
    frames: impl IntoIterator<Item = Frame>,
    limits: BatchLimits,
) -> Made<Vec<Batch>> {
    let decided = Decided::new([]);
    let mut batcher = Batcher::new(limits, mapping, 0, decided, "", SourceKind::File);
    let mut batches = Vec::new();
    for frame in frames {
        batcher.add(frame, mapping, |batch| -> Result<(), Mismatch> {
            batches.push(batch);
            Ok(())
        })?;
    }
    batches.extend(batcher.flush());
    Ok(batches)
}

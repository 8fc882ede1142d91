//! Messages of an import, made from plain values: what tests and generators of rows need.

use bytes::Bytes;
use futures::{Stream, stream};

use crate::proto::import_request::Payload;
use crate::proto::value::Kind;
use crate::proto::{
    FileSource, Finish, ImportHeader, ImportRequest, PackedRows, Row, RowBatch, RowSource, Value,
    import_header,
};

/// A message around its payload.
pub fn request(payload: Payload) -> ImportRequest {
    ImportRequest {
        payload: Some(payload),
    }
}

/// A header for a file whose content decides everything.
pub fn file_header(table: &str) -> ImportHeader {
    ImportHeader {
        table: table.to_owned(),
        source: Some(import_header::Source::File(FileSource::default())),
        ..ImportHeader::default()
    }
}

/// A header for rows with these columns, taken as sent.
pub fn row_header(table: &str, column_names: &[&str]) -> ImportHeader {
    ImportHeader {
        table: table.to_owned(),
        source: Some(import_header::Source::RowSource(RowSource {
            column_names: column_names.iter().map(|name| (*name).to_owned()).collect(),
            as_cells: false,
        })),
        ..ImportHeader::default()
    }
}

/// Rows from ordinal `offset` on; `None`: appended.
pub fn row_batch(offset: Option<i64>, rows: Vec<Vec<Value>>) -> ImportRequest {
    let rows = rows.into_iter().map(|values| Row {
        values,
        ..Row::default()
    });
    request(Payload::Rows(RowBatch {
        offset,
        rows: rows.collect(),
        position: Bytes::new(),
    }))
}

/// Text rows in the packed form, with their CRC; `None` is NULL.
///
/// # Panics
/// If there are more than 2^31 rows or a cell is that long.
pub fn packed_rows(offset: Option<i64>, rows: &[Vec<Option<&str>>]) -> ImportRequest {
    const NULL: i32 = -1;
    let mut cells = Vec::new();
    let mut cell_lengths = Vec::new();
    for cell in rows.iter().flatten() {
        let length = cell.map_or(NULL, |text| {
            i32::try_from(text.len()).expect("a cell is shorter than 2 GiB")
        });
        cell_lengths.push(length);
        cells.extend_from_slice(cell.unwrap_or_default().as_bytes());
    }
    request(Payload::PackedRows(PackedRows {
        offset,
        row_count: i32::try_from(rows.len()).expect("fewer than 2^31 rows"),
        crc32c: Some(crc32c::crc32c(&cells)),
        cells: cells.into(),
        cell_lengths,
        position: Bytes::new(),
    }))
}

/// The end of a row import; `total_row_count` counts all its sessions.
pub fn finish_rows(total_row_count: i64) -> ImportRequest {
    request(Payload::Finish(Finish {
        total_row_count: Some(total_row_count),
        ..Finish::default()
    }))
}

/// A text value.
pub fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

/// A whole number.
pub fn int(number: i64) -> Value {
    Value {
        kind: Some(Kind::IntValue(number)),
    }
}

/// SQL NULL.
pub fn null() -> Value {
    Value { kind: None }
}

/// A duration as the contract has it; `None` if it is longer than that can say.
pub fn duration(duration: std::time::Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

/// A stream of one message, to be chained with the rest.
pub(super) fn first<T: Send + 'static>(message: T) -> impl Stream<Item = T> + Send + 'static {
    stream::iter([message])
}

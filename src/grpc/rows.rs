//! Rows and values of the contract, packed into frames.
//!
//! In: `RowBatch` and `PackedRows`. Out: [`InboundRows`], whose packing runs later, on the
//! pipeline's thread; errors name the row and value by path.

use bytes::Bytes;

use crate::grpc::status::invalid;
use crate::model::cell::Cell;
use crate::model::frame::{FRAME_BYTES_TARGET, Frame, FrameBuilder};
use crate::model::import::{Failure, Reason};
use crate::proto;
use crate::session::inbound::InboundRows;

/// A frame of one row that holds `value` alone.
pub fn value_frame(value: &proto::Value) -> Frame {
    let mut builder = FrameBuilder::new();
    builder.begin_row(0, 1, "");
    builder.push(cell(value));
    builder.end_row();
    builder.take()
}

/// A batch of rows with values of every kind.
pub fn row_batch(batch: proto::RowBatch, n_columns: usize) -> Result<InboundRows, Failure> {
    check_position("rows.position", &batch.position)?;
    let offset = offset("rows.offset", batch.offset)?;
    let n_bytes = batch.rows.iter().map(row_bytes).sum();
    let rows = batch.rows;
    let n_rows = rows.len() as u64;
    Ok(InboundRows {
        offset,
        n_rows,
        n_bytes,
        position: batch.position,
        pack: Box::new(move |first, skip| pack_rows(&rows, n_columns, first, skip)),
    })
}

/// Checks what [`row_batch`] leaves to the pipeline; `path` is where the request has the rows.
pub fn check_rows(path: &str, rows: &[proto::Row], n_columns: usize) -> Result<(), Failure> {
    for (index, row) in rows.iter().enumerate() {
        row_number(path, index, row, 0)?;
        check_width(path, index, row, n_columns)?;
    }
    Ok(())
}

/// Rows as packed text.
pub fn packed_rows(packed: proto::PackedRows, n_columns: usize) -> Result<InboundRows, Failure> {
    check_position("packed_rows.position", &packed.position)?;
    let offset = offset("packed_rows.offset", packed.offset)?;
    let n_rows = usize::try_from(packed.row_count)
        .map_err(|_| invalid("packed_rows.row_count", "negative"))?;
    if n_rows.checked_mul(n_columns) != Some(packed.cell_lengths.len()) {
        let why = format!(
            "{} lengths for {n_rows} rows of {n_columns} columns",
            packed.cell_lengths.len()
        );
        return Err(invalid("packed_rows.cell_lengths", why));
    }
    Ok(InboundRows {
        offset,
        n_rows: n_rows as u64,
        n_bytes: packed.cells.len() as u64,
        position: packed.position.clone(),
        pack: Box::new(move |first, skip| pack_packed(&packed, n_columns, first, skip)),
    })
}

fn pack_rows(
    rows: &[proto::Row],
    n_columns: usize,
    first: u64,
    skip: usize,
) -> Result<Vec<Frame>, Failure> {
    let mut builder = FrameBuilder::new();
    let mut frames = Vec::new();
    for (ordinal, (index, row)) in (first..).zip(rows.iter().enumerate().skip(skip)) {
        check_width("rows.rows", index, row, n_columns)?;
        let row_number = row_number("rows.rows", index, row, ordinal)?;
        builder.begin_row(ordinal, row_number, &row.source_sheet);
        for value in &row.values {
            builder.push(cell(value));
        }
        builder.end_row();
        cut(&mut builder, &mut frames);
    }
    frames.push(builder.take());
    Ok(frames)
}

fn check_width(
    path: &str,
    index: usize,
    row: &proto::Row,
    n_columns: usize,
) -> Result<(), Failure> {
    if row.values.len() == n_columns {
        return Ok(());
    }
    let n_values = row.values.len();
    let why = format!("{n_values} values, the header names {n_columns} columns");
    Err(invalid(format!("{path}[{index}].values"), why))
}

/// The number under which the caller knows the row.
fn row_number(path: &str, index: usize, row: &proto::Row, ordinal: u64) -> Result<u64, Failure> {
    match u64::try_from(row.source_row_number) {
        Ok(0) => Ok(ordinal + 1),
        Ok(number) => Ok(number),
        Err(_) => Err(invalid(
            format!("{path}[{index}].source_row_number"),
            "negative",
        )),
    }
}

fn pack_packed(
    packed: &proto::PackedRows,
    n_columns: usize,
    first: u64,
    skip: usize,
) -> Result<Vec<Frame>, Failure> {
    if let Some(expected) = packed.crc32c
        && crc32c::crc32c(&packed.cells) != expected
    {
        return Err(Failure::new(
            Reason::ChecksumMismatch,
            "the CRC-32C of packed cells is not what the caller sent with them",
        )
        .with_field("packed_rows.crc32c", "does not match"));
    }
    let text = std::str::from_utf8(&packed.cells)
        .map_err(|error| invalid("packed_rows.cells", format!("not UTF-8: {error}")))?;
    let mut builder = FrameBuilder::new();
    let mut frames = Vec::new();
    let mut rest = text;
    for (index, lengths) in packed.cell_lengths.chunks_exact(n_columns).enumerate() {
        let ordinal = (first + index as u64).wrapping_sub(skip as u64);
        builder.begin_row(ordinal, ordinal.wrapping_add(1), "");
        for (column, length) in lengths.iter().enumerate() {
            let cell = match length {
                -1 => Cell::Null,
                -2 => Cell::Unset,
                length => {
                    let split = usize::try_from(*length).ok();
                    let Some((cell, after)) = split.and_then(|at| rest.split_at_checked(at)) else {
                        let path =
                            format!("packed_rows.cell_lengths[{}]", index * n_columns + column);
                        return Err(invalid(path, format!("{length} does not end a cell there")));
                    };
                    rest = after;
                    text_cell(cell)
                }
            };
            builder.push(cell);
        }
        if index < skip {
            builder.discard_row();
        } else {
            builder.end_row();
            cut(&mut builder, &mut frames);
        }
    }
    if !rest.is_empty() {
        let why = format!("{} bytes after the last cell", rest.len());
        return Err(invalid("packed_rows.cells", why));
    }
    frames.push(builder.take());
    Ok(frames)
}

/// Starts a new frame once this one is large enough: a batch keeps whole frames.
fn cut(builder: &mut FrameBuilder, frames: &mut Vec<Frame>) {
    if builder.n_bytes() >= FRAME_BYTES_TARGET {
        frames.push(builder.take());
    }
}

fn cell(value: &proto::Value) -> Cell<'_> {
    use proto::value::Kind;
    match &value.kind {
        None => Cell::Null,
        Some(Kind::BoolValue(value)) => Cell::Bool(*value),
        Some(Kind::IntValue(value)) => Cell::Int(*value),
        Some(Kind::DoubleValue(value)) => Cell::Double(*value),
        Some(Kind::StringValue(text)) => text_cell(text),
        Some(Kind::BytesValue(bytes)) => Cell::Bytes(bytes),
        Some(Kind::DecimalValue(text)) => Cell::Decimal(text),
        Some(Kind::DateValue(text)) => Cell::Date(text),
        Some(Kind::TimestampValue(time)) => Cell::Timestamp {
            seconds: time.seconds,
            nanos: time.nanos,
        },
        Some(Kind::TimeValue(text)) => Cell::Time(text),
        Some(Kind::Unset(proto::Unset {})) => Cell::Unset,
    }
}

/// Text that no text column can hold is told apart here, as decoders do.
fn text_cell(text: &str) -> Cell<'_> {
    if text.contains('\0') {
        Cell::InvalidText(text)
    } else {
        Cell::Text(text)
    }
}

fn row_bytes(row: &proto::Row) -> u64 {
    use prost::Message;
    row.encoded_len() as u64
}

fn offset(path: &str, wire: Option<i64>) -> Result<Option<u64>, Failure> {
    wire.map(|offset| u64::try_from(offset).map_err(|_| invalid(path, "negative")))
        .transpose()
}

fn check_position(path: &str, position: &Bytes) -> Result<(), Failure> {
    if position.len() > 256 {
        return Err(invalid(path, "longer than 256 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

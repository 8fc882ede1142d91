//! Rejected rows as CSV, for spreadsheet programs and for the next import.
//!
//! In: columns and rows. Out: UTF-8 by RFC 4180, with a byte order mark, without which programs
//! take it for another encoding. Every record has the same number of cells. Texts that a program
//! could take for formulas are guarded. Holds the piece that is being written.

use csv::{Terminator, Writer, WriterBuilder};

use crate::export::{Columns, ExportError};
use crate::model::guard::guarded;
use crate::model::reject::RejectedRow;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the file begins with.
pub fn header(columns: &Columns) -> Vec<u8> {
    let mut writer = writer(BYTE_ORDER_MARK.to_vec());
    for name in columns.names() {
        write(&mut writer, name);
    }
    finish(writer)
}

/// The next rows.
pub fn rows(columns: &Columns, rows: &[RejectedRow]) -> Result<Vec<u8>, ExportError> {
    let mut writer = writer(Vec::new());
    for row in rows {
        let line = columns.line(row)?;
        let missing = columns.n_source() - line.values.len();
        let values = line.values.iter().map(String::as_str);
        let values = values.chain(std::iter::repeat_n("", missing));
        for value in values.chain(line.own.iter().map(String::as_str)) {
            write(&mut writer, value);
        }
        end_record(&mut writer);
    }
    Ok(into_bytes(writer))
}

fn writer(bytes: Vec<u8>) -> Writer<Vec<u8>> {
    WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .flexible(true)
        .from_writer(bytes)
}

fn write(writer: &mut Writer<Vec<u8>>, value: &str) {
    let written = writer.write_field(guarded(value).as_bytes());
    written.expect("memory takes everything");
}

fn end_record(writer: &mut Writer<Vec<u8>>) {
    let ended = writer.write_record(None::<&[u8]>);
    ended.expect("memory takes everything");
}

fn finish(mut writer: Writer<Vec<u8>>) -> Vec<u8> {
    end_record(&mut writer);
    into_bytes(writer)
}

fn into_bytes(writer: Writer<Vec<u8>>) -> Vec<u8> {
    writer.into_inner().expect("memory takes everything")
}

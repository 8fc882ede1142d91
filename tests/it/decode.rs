//! Workbooks through the real child process: `rowlift decode-worker`.
//!
//! In: bytes of a workbook, made in code or by another program. Out: what the parent is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rowlift::decode::error::DecodeError;
use rowlift::decode::limits::Limits;
use rowlift::decode::protocol::WorkbookRequest;
use rowlift::decode::sandbox::{Decoder, Sandbox};
use rowlift::decode::{Decoded, HeaderRow, SourceHeader};
use rowlift::disk::SpoolDir;
use rowlift::model::cell::{Cell, round_to_15_digits};

mod binary;
mod fixtures;
mod hostile;
mod package;
mod process;
mod spilled;
mod workbooks;

/// Everything that a workbook yields.
#[derive(Debug, PartialEq)]
struct Sheet {
    header: SourceHeader,
    rows: Vec<Row>,
}

/// A row with its cells as `kind:text`.
#[derive(Debug, PartialEq)]
struct Row {
    ordinal: u64,
    number: u64,
    cells: Vec<String>,
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rowlift"))
}

/// The first visible sheet with data, header in row 1.
fn request() -> WorkbookRequest {
    WorkbookRequest {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Row(1),
    }
}

fn spool(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn start(bytes: &[u8], request: &WorkbookRequest, limits: &Limits) -> Decoder {
    let spool_dir = SpoolDir::new(std::env::temp_dir(), None);
    let sandbox = Sandbox {
        program: program(),
        limits,
        spool_dir: &spool_dir,
    };
    sandbox.start(spool(bytes), request).unwrap()
}

fn read_all(mut decoder: Decoder) -> Result<Sheet, DecodeError> {
    let mut header = None;
    let mut rows = Vec::new();
    while let Some(decoded) = decoder.next()? {
        match decoded {
            Decoded::Header(found) => assert!(header.replace(found).is_none(), "two headers"),
            Decoded::Rows(frame) => rows.extend(frame.rows().map(|row| Row {
                ordinal: row.ordinal,
                number: row.row_number,
                cells: row.cells().map(show).collect(),
            })),
        }
    }
    Ok(Sheet {
        header: header.expect("a header comes before the end"),
        rows,
    })
}

fn decode_with(
    bytes: &[u8],
    request: &WorkbookRequest,
    limits: &Limits,
) -> Result<Sheet, DecodeError> {
    read_all(start(bytes, request, limits))
}

fn decode(bytes: &[u8]) -> Result<Sheet, DecodeError> {
    decode_with(bytes, &request(), &Limits::default())
}

fn show(cell: Cell<'_>) -> String {
    let kind = match cell {
        Cell::Empty => return String::new(),
        Cell::FormulaWithoutValue => return "formula".to_owned(),
        Cell::Text(_) => "text",
        Cell::InvalidText(_) => "invalid",
        Cell::Number(_) => "number",
        Cell::ZerosNumber { .. } => "zeros",
        Cell::Bool(_) => "bool",
        Cell::DateSerial { .. } => "serial",
        Cell::Duration(_) => "duration",
        Cell::IsoDateTime(_) => "iso",
        Cell::Error(_) => "error",
        _ => panic!("no cell of a file: {cell:?}"),
    };
    // The numbers that are in the file, not what a person is shown.
    match cell {
        Cell::DateSerial { serial, system } => {
            format!("{kind}:{}:{system:?}", round_to_15_digits(serial))
        }
        Cell::Duration(days) => format!("{kind}:{}", round_to_15_digits(days)),
        cell => format!("{kind}:{cell}"),
    }
}

/// The cells of each row, joined.
fn lines(sheet: &Sheet) -> Vec<String> {
    sheet.rows.iter().map(|row| row.cells.join("|")).collect()
}

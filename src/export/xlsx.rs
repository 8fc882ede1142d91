//! Rejected rows as a workbook, with the cells that are wrong marked.
//!
//! In: columns and rows. Out: a complete xlsx file, unnamed, rewound. Every cell is a string, never
//! a formula, a number or a link, and is formatted as text, so that what a person types stays as it
//! was typed. Bounded: rows go to an unnamed file as they come, beside it there is the finished
//! one; both are in the spool directory, take room there, and are gone when they are dropped. For
//! a blocking thread.

use std::fmt;
use std::io::{self, BufWriter, Seek, Write};

use rust_xlsxwriter::{Color, Format, Workbook, Worksheet, XlsxError};

use crate::disk::{Full, Reservation, SpoolDir, SpoolFile};
use crate::export::{Columns, ExportError, place};
use crate::model::guard::{guarded_string, is_formula};
use crate::model::reject::RejectedRow;

/// Rows of a sheet below its header.
pub const ROWS_MAX: u64 = 1_048_575;
/// Columns of a sheet.
pub const COLUMNS_MAX: usize = 16_384;
/// UTF-16 units of a cell.
const CELL_UNITS_MAX: usize = 32_767;
/// What a cell takes beside its text, bytes, at most.
const CELL_BYTES: u64 = 80;
/// What a row takes beside its cells, bytes, at most.
const ROW_BYTES: u64 = 64;
/// What a sheet takes beside its rows, bytes, at most.
const SHEET_BYTES: u64 = 2048;
/// The name of the sheet where the source's own cannot be had.
const SHEET_NAME: &str = "Rejected rows";

/// Where the file is made, and how large it may be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where unnamed files are made.
    pub spool_dir: SpoolDir,
    /// The sheet's name, if it can be one.
    pub sheet: String,
    /// The workbook, bytes: larger ones could not be imported again.
    pub workbook_bytes_max: u64,
    /// What its sheet takes inflated, bytes.
    pub inflated_bytes_max: u64,
}

/// A workbook that is being written.
pub struct Writer {
    workbook: Workbook,
    columns: Columns,
    formats: Formats,
    options: Options,
    /// The next row, 0-based.
    row: u32,
    /// Of the sheet, inflated, about.
    n_bytes: u64,
    /// For the rows' file, which the library makes. Dropped after `workbook`, which holds it.
    room: Reservation,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("options", &self.options)
            .field("row", &self.row)
            .field("n_bytes", &self.n_bytes)
            .finish_non_exhaustive()
    }
}

/// How cells look.
#[derive(Debug)]
struct Formats {
    header: Format,
    text: Format,
    marked: Format,
}

// === impl Writer ===

impl Writer {
    /// A workbook with its header.
    pub fn new(columns: Columns, mut options: Options) -> Result<Writer, ExportError> {
        options.spool_dir = options.spool_dir.for_one();
        let n_columns = columns.names().len();
        if n_columns > COLUMNS_MAX {
            return Err(ExportError::Limit {
                what: format!("{n_columns} columns are more than the {COLUMNS_MAX} of a sheet"),
                limit: "columns_max",
                value: n_columns as u64,
            });
        }
        let mut workbook = Workbook::new();
        workbook
            .set_tempdir(options.spool_dir.path())
            .map_err(failed)?;
        let formats = Formats::new();
        let sheet = workbook
            .add_worksheet_with_constant_memory()
            .map_err(failed)?;
        // Excel keeps one name to itself, which the library does not know.
        let is_reserved = options.sheet.eq_ignore_ascii_case("history");
        if is_reserved || sheet.set_name(&options.sheet).is_err() {
            sheet.set_name(SHEET_NAME).map_err(failed)?;
        }
        let last = column(n_columns - 1);
        sheet
            .set_column_range_format(0, last, &formats.text)
            .and_then(|sheet| sheet.set_column_width(last, 60))
            .and_then(|sheet| sheet.set_freeze_panes(1, 0))
            .map_err(failed)?;
        let mut writer = Writer {
            room: options.spool_dir.reservation(),
            workbook,
            columns,
            formats,
            options,
            row: 0,
            n_bytes: SHEET_BYTES,
        };
        writer.header()?;
        Ok(writer)
    }

    fn header(&mut self) -> Result<(), ExportError> {
        let sheet = self.workbook.worksheet_from_index(0).map_err(failed)?;
        for (at, name) in self.columns.names().iter().enumerate() {
            self.n_bytes += write(sheet, (0, at), name, &self.formats.header)?;
        }
        self.row = 1;
        Ok(self.room.grow_to(self.n_bytes)?)
    }

    /// Takes the next row.
    pub fn row(&mut self, row: &RejectedRow) -> Result<(), ExportError> {
        if u64::from(self.row) > ROWS_MAX {
            return Err(too_many_rows(u64::from(self.row)));
        }
        let line = self.columns.line(row)?;
        let sheet = self.workbook.worksheet_from_index(0).map_err(failed)?;
        let last_marked = line.marked.iter().max().map_or(0, |last| last + 1);
        for at in 0..line.values.len().max(last_marked) {
            let value = line.values.get(at).map_or("", String::as_str);
            let format = if line.marked.contains(&at) {
                &self.formats.marked
            } else {
                &self.formats.text
            };
            if !value.is_empty() || line.marked.contains(&at) {
                self.n_bytes += write(sheet, (self.row, at), value, format)?;
            }
        }
        for (at, value) in (self.columns.n_source()..).zip(&line.own) {
            if !value.is_empty() {
                self.n_bytes += write(sheet, (self.row, at), value, &self.formats.text)?;
            }
        }
        self.row += 1;
        self.n_bytes += ROW_BYTES;
        let bytes_max = self.options.inflated_bytes_max;
        if self.n_bytes > bytes_max {
            return Err(ExportError::Limit {
                what: format!("the rows take more than the {bytes_max} bytes of a workbook"),
                limit: "inflated_bytes_max",
                value: self.n_bytes,
            });
        }
        Ok(self.room.grow_to(self.n_bytes)?)
    }

    /// The complete file, to be read from its beginning; given up once `is_wanted` says so.
    pub fn finish(
        mut self,
        is_wanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<SpoolFile, ExportError> {
        let file = self.options.spool_dir.file();
        let file = file.map_err(|it| io_failed(&it))?;
        let mut output = Bounded {
            file: BufWriter::new(file),
            n_bytes: 0,
            full: None,
            bytes_max: self.options.workbook_bytes_max,
            is_wanted,
        };
        let saved = self.workbook.save_to_writer(&mut output);
        if output.n_bytes > output.bytes_max {
            return Err(ExportError::Limit {
                what: format!("the workbook is larger than {} bytes", output.bytes_max),
                limit: "workbook_bytes_max",
                value: output.n_bytes,
            });
        }
        if let Some(full) = output.full {
            return Err(full.into());
        }
        saved.map_err(failed)?;
        let file = output.file.into_inner();
        let mut file = file.map_err(|error| io_failed(error.error()))?;
        file.rewind().map_err(|it| io_failed(&it))?;
        Ok(file)
    }
}

/// More rejected rows than a sheet has rows.
pub fn too_many_rows(n_rows: u64) -> ExportError {
    ExportError::Limit {
        what: format!("{n_rows} rejected rows are more than the {ROWS_MAX} of a sheet"),
        limit: "sheet_rows_max",
        value: n_rows,
    }
}

impl Formats {
    fn new() -> Formats {
        // @ is the format of text.
        let text = Format::new().set_num_format("@");
        Formats {
            header: text.clone().set_bold(),
            marked: text.clone().set_background_color(Color::RGB(0xff_c7_ce)),
            text,
        }
    }
}

/// Writes a cell; says how many bytes it takes at least.
fn write(
    sheet: &mut Worksheet,
    (row, at): (u32, usize),
    value: &str,
    format: &Format,
) -> Result<u64, ExportError> {
    let text = guarded_string(value);
    let n_units = text.encode_utf16().count();
    if n_units > CELL_UNITS_MAX {
        return Err(ExportError::Limit {
            what: format!(
                "the {n_units} characters of cell {} are more than the {CELL_UNITS_MAX} of a \
                 workbook's cell",
                place(at, row)
            ),
            limit: "cell_chars_max",
            value: n_units as u64,
        });
    }
    let written = if is_formula(&text) {
        // Programs that are asked to edit the cell leave it a text.
        let format = format.clone().set_quote_prefix();
        sheet.write_string_with_format(row, column(at), &*text, &format)
    } else {
        sheet.write_string_with_format(row, column(at), &*text, format)
    };
    written.map_err(failed)?;
    Ok(xml_bytes(&text) + CELL_BYTES)
}

/// What a text takes in XML, at most: control characters are `_x0001_`, and what looks like one
/// begins with `_x005F_`.
fn xml_bytes(text: &str) -> u64 {
    const ESCAPE_BYTES: usize = 6;
    let escapes = text.matches("_x").count() * ESCAPE_BYTES;
    let bytes = text.chars().map(|char| match char {
        '&' => 5,
        '<' | '>' => 4,
        '\t' | '\n' => 1,
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => 7,
        _ => char.len_utf8(),
    });
    (bytes.sum::<usize>() + escapes) as u64
}

fn column(at: usize) -> u16 {
    u16::try_from(at).expect("within a sheet's columns")
}

fn failed(error: XlsxError) -> ExportError {
    ExportError::Io(error.to_string())
}

fn io_failed(error: &io::Error) -> ExportError {
    match Full::of(error) {
        Some(full) => full.into(),
        None => ExportError::Io(error.to_string()),
    }
}

/// A file that takes no more than it may.
struct Bounded<'a> {
    file: BufWriter<SpoolFile>,
    n_bytes: u64,
    /// There was no room for more.
    full: Option<Full>,
    bytes_max: u64,
    is_wanted: &'a (dyn Fn() -> bool + Sync),
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.n_bytes += bytes.len() as u64;
        if self.n_bytes > self.bytes_max || !(self.is_wanted)() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.file.write_all(bytes);
        written.inspect_err(|error| self.full = Full::of(error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

//! From a file's bytes to rows as read: formats, limits, the child process that opens workbooks.
//!
//! In: the bytes of an upload, in chunks. Out: one [`SourceHeader`], then [`Frame`]s, then the
//! end. Everything here is synchronous and knows no clock and no network; [`spool`] and
//! [`sandbox`] are the only parts that touch files and processes. Bounded by [`limits::Limits`];
//! cancelled by dropping (CSV) or by killing the child (workbooks).
//!
//! ```text
//! chunk ─▶ unwrap (gzip, zstd) ─▶ sniff ─┬─ text ─────▶ csv ────────────────────────────▶ Decoded
//!                                        └─ workbook ─▶ spool ─▶ sandbox ═ pipe ═ worker ─▶ Decoded
//!                                                                         (child) sheet, xlsx
//! ```

use crate::model::frame::Frame;
use crate::model::import::FileFormat;

pub mod csv;
pub mod error;
pub mod limits;
pub mod protocol;
pub mod returned;
pub mod sandbox;
mod sheet;
pub mod sniff;
pub mod spool;
pub mod survey;
pub mod unwrap;
pub mod worker;
mod xlsx;

/// What files cannot tell, for GetServerInfo.
pub const LIMITATIONS: &[&str] = &[
    "xlsx: text without xml:space=\"preserve\" loses the white space at its ends",
    "xls, ods: number formats of zeros are not known, 01234 is the number 1234",
    "ods: a formula that was never computed is an empty cell",
    "ods: a formula whose text looks like an error value is taken for one",
    "xlsb: unknown error values are shown as #ERROR!",
];

/// What a caller says about a file; all of it optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// `None`: decided by content.
    pub format: Option<FileFormat>,
    /// Empty: the first visible sheet that holds data.
    pub sheet: String,
    /// Where the header stands.
    pub header: HeaderRow,
    /// CSV only.
    pub csv: CsvOptions,
    /// `None`: by content.
    pub compression: Option<Compression>,
}

/// Where the header of a sheet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum HeaderRow {
    /// No header: columns are mapped by position, data begins in row 1.
    Absent,
    /// In this row, as the spreadsheet program counts (CSV: this record, blank lines counted).
    Row(u32),
    /// In any row, which is not known yet: all rows are handed out as rows.
    Any,
}

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsvOptions {
    /// `None`: detected among comma, semicolon, tab and pipe.
    pub delimiter: Option<u8>,
    /// `None`: `"`.
    pub quote: Option<u8>,
    /// A WHATWG label; `None`: byte-order mark, else UTF-8.
    pub encoding: Option<&'static encoding_rs::Encoding>,
}

/// What is around a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip, multiple members allowed.
    Gzip,
    /// zstd, multiple frames allowed.
    Zstd,
}

/// What the decoder knows once it has read up to the header.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceHeader {
    /// The format that the content has.
    pub format: FileFormat,
    /// The sheet that is read; empty for CSV.
    pub sheet: String,
    /// Whether the program hides that sheet.
    pub is_hidden: bool,
    /// The row of the header as [`HeaderRow`] counts; 0 where there is none.
    pub header_row: u32,
    /// The header's cells as text, untrimmed, from column A on; empty where there is no header.
    pub names: Vec<String>,
    /// Whether there is a header: without one, columns are mapped by position.
    pub has_header: bool,
    /// Row number of ordinal 0.
    pub first_data_row_number: u64,
    /// Rows that the file says it has, for progress only; never trusted.
    pub n_rows_hint: Option<u64>,
}

/// What a decoder yields: `Header` once, then any number of `Rows`.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// The header is read; nothing precedes it.
    Header(SourceHeader),
    /// Rows in ascending order of their ordinals. Rows without any cell content are left out:
    /// their ordinals are blank.
    Rows(Frame),
}

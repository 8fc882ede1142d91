//! What a file is, by its first bytes: a zip, an OLE 2 document, or text.
//!
//! In: the head of a file, uncompressed, and what the caller declares. Out: the container, or a
//! refusal that names what was found. Which workbook a container holds is for the decoder's
//! child to see: an encrypted xlsx, for one, is an OLE 2 document. The file's name plays no
//! part. Looks at [`SNIFF_BYTES`] at most; holds nothing.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::decode::FileOptions;
use crate::decode::error::DecodeError;
use crate::model::import::FileFormat;

#[cfg(test)]
mod tests;

/// Bytes of a file after which the answer is always certain.
pub const SNIFF_BYTES: usize = 1024;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// xlsx, xlsm, xlsb, ods, or some other zip.
    Zip,
    /// xls, an encrypted workbook, or some other OLE 2 document.
    Ole2,
    /// CSV and its relatives, in whatever encoding.
    Text,
}

/// The first bytes of a file.
#[derive(Debug, Clone, Copy)]
pub enum Head<'a> {
    /// More follow.
    Part(&'a [u8]),
    /// The file ends here.
    Whole(&'a [u8]),
}

/// What a line of [`MAGIC`] says about a file.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Is(Container),
    Refused(&'static str),
}

use Verdict::{Is, Refused};

const ZIP: &[u8] = b"PK\x03\x04";
const OLE2: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Magic numbers, longer ones before their own beginnings.
const MAGIC: &[(&[u8], Verdict)] = &[
    (ZIP, Is(Container::Zip)),
    (b"PK\x05\x06", Is(Container::Zip)),
    (b"PK\x07\x08", Is(Container::Zip)),
    (OLE2, Is(Container::Ole2)),
    (b"\xff\xfe\x00\x00", Refused("UTF-32 text")),
    (b"\x00\x00\xfe\xff", Refused("UTF-32 text")),
    (b"%PDF-", Refused("a PDF document")),
    (b"{\\rtf", Refused("an RTF document")),
    (b"\x1f\x8b", Refused("gzip data")),
    (b"\x28\xb5\x2f\xfd", Refused("zstd data")),
    (b"BZh", Refused("bzip2 data")),
    (b"\xfd7zXZ\x00", Refused("xz data")),
    (b"7z\xbc\xaf\x27\x1c", Refused("a 7-Zip archive")),
    (b"Rar!\x1a\x07", Refused("a RAR archive")),
    (b"SQLite format 3\x00", Refused("a SQLite database")),
    (b"PAR1", Refused("a Parquet file")),
    (b"\x89PNG\r\n\x1a\n", Refused("a PNG image")),
    (b"\xff\xd8\xff", Refused("a JPEG image")),
    (b"\x7fELF", Refused("a program")),
];

/// What begins a file that is no table of ours, lower-case.
const MARKUP: [(&[u8], &str); 4] = [
    (b"<!doctype", "an HTML or XML document"),
    (b"<html", "an HTML document"),
    (b"<?xml", "an XML document"),
    (b"<table", "an HTML document"),
];

/// Says what the file is; `None`: more bytes are needed. Never `None` for [`Head::Whole`] or
/// from [`SNIFF_BYTES`] on; however much more is given, the answer stays the same.
pub fn sniff(head: Head<'_>, options: &FileOptions) -> Result<Option<Container>, DecodeError> {
    let (bytes, whole) = match head {
        Head::Part(bytes) => (bytes, bytes.len() >= SNIFF_BYTES),
        Head::Whole(bytes) => (bytes, true),
    };
    let bytes = &bytes[..bytes.len().min(SNIFF_BYTES)];
    for &(magic, verdict) in MAGIC {
        if bytes.starts_with(magic) {
            return match verdict {
                Is(container) => agree(container, options.format).map(Some),
                Refused(what) => Err(refuse(what, options.format)),
            };
        }
        if magic.starts_with(bytes) && !whole {
            return Ok(None);
        }
    }
    if whole {
        let is_cut = !bytes.is_empty() && (ZIP.starts_with(bytes) || OLE2.starts_with(bytes));
        if is_cut && options.format != Some(FileFormat::Csv) {
            return Err(DecodeError::corrupt(
                "the workbook is cut after a few bytes",
            ));
        }
    }
    if !whole {
        return Ok(None);
    }
    let narrow = narrow_of(bytes, options);
    let start = narrow.trim_ascii_start();
    for (tag, what) in MARKUP {
        let found = start.get(..tag.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(tag)) {
            return Err(refuse(what, options.format));
        }
    }
    if is_binary(&narrow, options) {
        let what = "binary data, or UTF-16 text without a byte-order mark";
        return Err(refuse(what, options.format));
    }
    agree(Container::Text, options.format).map(Some)
}

/// The text one byte a character, as far as ASCII goes, and without its mark: what is asked
/// of it concerns ASCII only.
fn narrow_of<'a>(bytes: &'a [u8], options: &FileOptions) -> Cow<'a, [u8]> {
    let (encoding, mark_bytes) = match Encoding::for_bom(bytes) {
        Some((encoding, mark_bytes)) => (encoding, mark_bytes),
        None => (options.csv.encoding.unwrap_or(UTF_8), 0),
    };
    let text = &bytes[mark_bytes..];
    let low_byte = if encoding == UTF_16LE {
        0
    } else if encoding == UTF_16BE {
        1
    } else {
        return Cow::Borrowed(text);
    };
    let units = text.chunks_exact(2);
    let narrowed = units.map(|unit| match unit[1 - low_byte] {
        0 => unit[low_byte],
        _ => b'?',
    });
    Cow::Owned(narrowed.collect())
}

/// Whether this cannot be text. One stray zero byte or control character is a bad cell; so many
/// of them, or zeros among bytes that are not UTF-8, are another kind of file.
fn is_binary(narrow: &[u8], options: &FileOptions) -> bool {
    let is_control = |byte: &u8| {
        // Tab, line feed to carriage return, DOS end of file, the escape of ISO-2022-JP.
        *byte < 0x20
            && !matches!(byte, 0x09..=0x0d | 0x1a | 0x1b)
            && Some(*byte) != options.csv.delimiter
            && Some(*byte) != options.csv.quote
    };
    let n_controls = narrow.iter().filter(|byte| is_control(byte)).count();
    let n_undecodable = match options.csv.encoding {
        Some(_) => 0,
        None => narrow
            .utf8_chunks()
            .map(|chunk| chunk.invalid().len())
            .sum(),
    };
    narrow.contains(&0) && (n_controls + n_undecodable) * 4 > narrow.len()
        || n_controls >= 8 && n_controls * 20 > narrow.len()
}

/// Whether the declared format can be in such a container.
fn agree(container: Container, declared: Option<FileFormat>) -> Result<Container, DecodeError> {
    let fits = match declared {
        None => true,
        Some(FileFormat::Csv) => container == Container::Text,
        Some(FileFormat::Ods) => container == Container::Zip,
        // An encrypted xlsx or xlsb is OLE 2, and what it is is for the child to say.
        Some(FileFormat::Xlsx | FileFormat::Xlsb) => container != Container::Text,
        Some(FileFormat::Xls) => container == Container::Ole2,
    };
    let what = match container {
        Container::Zip => "a zip archive, as xlsx, xlsb and ods are",
        Container::Ole2 => "an OLE 2 document, as xls and encrypted workbooks are",
        Container::Text => "text, as CSV is",
    };
    if fits {
        Ok(container)
    } else {
        Err(refuse(what, declared))
    }
}

fn refuse(what: &str, declared: Option<FileFormat>) -> DecodeError {
    let name = match declared {
        None => return DecodeError::unsupported(format!("the content is {what}")),
        Some(FileFormat::Xlsx) => "xlsx",
        Some(FileFormat::Xls) => "xls",
        Some(FileFormat::Xlsb) => "xlsb",
        Some(FileFormat::Ods) => "ods",
        Some(FileFormat::Csv) => "CSV",
    };
    DecodeError::unsupported(format!("declared as {name}, but the content is {what}"))
}

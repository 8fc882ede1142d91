//! A file whose name promises a workbook and whose content is text.
//!
//! In: a path. Out: a remark, or nothing. Content alone decides how a file is read: an export that is CSV
//! and named .xls goes in. Somebody whose workbook was broken on the way would wonder about the
//! columns that are missing then. Reads [`SNIFF_BYTES`] at most, of regular files only: what a pipe
//! gave could not be sent any more.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cli::server;
use crate::cli::terminal::Terminal;
use crate::decode::sniff::{Container, Head, SNIFF_BYTES, sniff};
use crate::decode::{CsvOptions, FileOptions, HeaderRow};

#[cfg(test)]
mod tests;

/// What workbooks are named.
const WORKBOOKS: [&str; 5] = ["xlsx", "xlsm", "xlsb", "xls", "ods"];

/// Says of the file, before it is sent, what is to be said. A file that cannot be read is left to the
/// upload.
pub(super) async fn note(path: &Path, terminal: &mut Terminal) {
    let path = path.to_owned();
    if let Ok(Some(remark)) = tokio::task::spawn_blocking(move || remark(&path)).await {
        terminal.note(remark);
    }
}

fn remark(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    let is_named = WORKBOOKS
        .iter()
        .any(|each| each.eq_ignore_ascii_case(extension));
    if !is_named || !is_text(path).unwrap_or(false) {
        return None;
    }
    Some(format!(
        "the content of {} is text, not a workbook: it is read as CSV",
        server::quoted(path)
    ))
}

fn is_text(path: &Path) -> io::Result<bool> {
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    let limit = SNIFF_BYTES as u64;
    File::open(path)?.take(limit).read_to_end(&mut head)?;
    // As if nothing were declared.
    let options = FileOptions {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Any,
        csv: CsvOptions::default(),
        compression: None,
    };
    let container = sniff(Head::Whole(&head), &options);
    Ok(!head.is_empty() && matches!(container, Ok(Some(Container::Text))))
}

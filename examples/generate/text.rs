//! The rows as CSV.
//!
//! In: rows. Out: a line each, in memory that does not grow with them.

use std::error::Error;
use std::io::Write;

use super::rows::{Cell, Row};

/// Writes the file.
pub(crate) fn write<W: Write>(
    output: W,
    rows: impl Iterator<Item = Row>,
) -> Result<W, Box<dyn Error>> {
    // Flexible: a row with an extra cell is one of the faults.
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(output);
    for row in rows {
        writer.write_record(row.iter().map(Cell::as_csv))?;
    }
    Ok(writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?)
}

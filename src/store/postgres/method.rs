//! The method by which rows are written.
//!
//! In: what is asked for, the table, and the form of a COPY if there can be one. Out: what runs.

use crate::model::import::WriteMethod;
use crate::model::table::Table;
use crate::store::copying::CopyFormat;

/// The method that runs where `wanted` is asked for; `None`: the fastest.
pub(super) fn method(
    wanted: Option<WriteMethod>,
    table: &Table,
    copies: Option<CopyFormat>,
) -> WriteMethod {
    match wanted.unwrap_or(WriteMethod::Copy) {
        // A row may refer to one before it, but not to one after it: a statement of many rows
        // is checked at its end.
        WriteMethod::Copy | WriteMethod::Batch if table.refers_to_itself() => {
            WriteMethod::Concurrent
        }
        // COPY is refused on tables with row-level security for the role.
        WriteMethod::Copy if table.row_security || copies.is_none() => WriteMethod::Batch,
        method => method,
    }
}

#[cfg(test)]
mod tests;

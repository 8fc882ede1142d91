//! COPY: rows as one stream, the fastest way in.
//!
//! In: some rows of a batch. Out: how many the table took, or whose fault it was. Rows that leave
//! different columns to their defaults go in groups, one COPY a group, because COPY knows no
//! DEFAULT; the caller bounds the number of groups. Encoded in pieces of [`PIECE_BYTES`] into one
//! buffer ([`CopyData`], synchronous and pure), sent by [`copy_group`]. A dropped future closes the
//! connection ([`Transaction`]).

use crate::model::batch::Batch;
use crate::model::plan::WritePlan;
use crate::model::table::ColumnType;
use crate::model::value::{Row, Value};
use crate::store::copying::CopyFormat;
use crate::store::identifier::{QualifiedName, quoted_list};

use super::connection::Transaction;
use super::{binary, text};

/// A CopyData message holds about so many bytes.
pub(super) const PIECE_BYTES: usize = 128 << 10;

/// What a binary COPY begins with: signature, flags, length of the header's extension.
pub(super) const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Instead of a number of columns: the end of a binary COPY.
pub(super) const BINARY_TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Rows that set the same columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Mapped columns that the rows set, ascending.
    pub(super) columns: Vec<usize>,
    /// Positions in the list of rows that was grouped, ascending.
    pub(super) members: Vec<usize>,
}

/// Rows that set the same columns as one COPY takes them: the statement and what follows it, encoded
/// as it is asked for. Open to those who measure the encoding, or send the same bytes by themselves.
#[derive(Debug)]
pub struct CopyData<'a> {
    sql: String,
    batch: &'a Batch,
    /// Those that are not encoded yet, by index into the batch.
    rows: std::vec::IntoIter<usize>,
    columns: Vec<usize>,
    /// Of `columns`, in their order.
    types: Vec<&'a ColumnType>,
    is_binary: bool,
    place: Place,
    buffer: Vec<u8>,
    /// Used over, for text.
    scratch: String,
}

/// How much of a COPY has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Rows,
    End,
}

/// Groups `rows` (indexes into the batch) by the columns that they set, in the order in which the
/// groups first occur. A column without a default is always set: leaving it out means NULL, and
/// blank cells must not split a COPY.
pub(super) fn group_by_set_columns(plan: &WritePlan, batch: &Batch, rows: &[usize]) -> Vec<Group> {
    let has_default: Vec<bool> = (0..plan.columns.len())
        .map(|at| plan.column(at).has_default)
        .collect();
    let mut groups: Vec<Group> = Vec::new();
    let mut set: Vec<usize> = Vec::new();
    for (position, index) in rows.iter().enumerate() {
        let row = batch.rows.row(*index);
        set.clear();
        set.extend(
            (0..row.n_columns()).filter(|at| !has_default[*at] || row.value(*at) != Value::Unset),
        );
        match groups.iter_mut().find(|group| group.columns == set) {
            Some(group) => group.members.push(position),
            None => groups.push(Group {
                columns: set.clone(),
                members: vec![position],
            }),
        }
    }
    groups
}

/// Whether all mapped columns have a binary form.
fn is_binary(plan: &WritePlan, columns: &[usize]) -> bool {
    columns.iter().all(|column| {
        !matches!(
            plan.column(*column).ty,
            ColumnType::Other | ColumnType::Array
        )
    })
}

/// Copies the rows of one group; returns how many the table took.
pub(super) async fn copy_group(
    transaction: &mut Transaction,
    plan: &WritePlan,
    batch: &Batch,
    rows: &[usize],
    group: &Group,
    format: CopyFormat,
) -> Result<u64, sqlx::Error> {
    let mut data = CopyData::of_group(plan, batch, rows, group, format);
    let mut copy = transaction.copy_in(data.sql()).await?;
    while let Some(piece) = data.next_piece() {
        copy.send(piece).await?;
    }
    copy.finish().await
}

// === impl CopyData ===

impl<'a> CopyData<'a> {
    /// All rows of a batch, as [`Store::write_batch`](crate::store::Store::write_batch) sends them
    /// at first; each to be sent to its end before the next one.
    pub fn of_batch(
        plan: &'a WritePlan,
        batch: &'a Batch,
        format: CopyFormat,
    ) -> Vec<CopyData<'a>> {
        let rows: Vec<usize> = (0..batch.rows.n_rows()).collect();
        group_by_set_columns(plan, batch, &rows)
            .iter()
            .map(|group| CopyData::of_group(plan, batch, &rows, group, format))
            .collect()
    }

    /// The members of `group` among `rows`, which are indexes into the batch.
    fn of_group(
        plan: &'a WritePlan,
        batch: &'a Batch,
        rows: &[usize],
        group: &Group,
        format: CopyFormat,
    ) -> CopyData<'a> {
        let columns = group.columns.clone();
        let is_binary = format == CopyFormat::Binary && is_binary(plan, &columns);
        let table = QualifiedName::from(&plan.table.name);
        let names = columns.iter().map(|at| plan.column(*at).name.as_str());
        let names = quoted_list(names);
        let format = if is_binary {
            " WITH (FORMAT binary)"
        } else {
            ""
        };
        let members: Vec<usize> = group.members.iter().map(|at| rows[*at]).collect();
        CopyData {
            sql: format!("COPY {table} ({names}) FROM STDIN{format}"),
            batch,
            rows: members.into_iter(),
            types: columns.iter().map(|at| &plan.column(*at).ty).collect(),
            columns,
            is_binary,
            place: Place::Begin,
            buffer: Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8),
            scratch: String::new(),
        }
    }

    /// `COPY ... FROM STDIN`.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What to send next: [`PIECE_BYTES`] and a row at most, less at the end. `None`: all is sent.
    pub fn next_piece(&mut self) -> Option<&[u8]> {
        self.buffer.clear();
        if self.place == Place::End {
            return None;
        }
        if self.is_binary && self.place == Place::Begin {
            self.buffer.extend_from_slice(BINARY_HEADER);
        }
        self.place = Place::Rows;
        while self.buffer.len() < PIECE_BYTES {
            let Some(row) = self.rows.next() else {
                self.place = Place::End;
                if self.is_binary {
                    self.buffer.extend_from_slice(&BINARY_TRAILER);
                }
                break;
            };
            self.append(row);
        }
        Some(&self.buffer)
    }

    fn append(&mut self, row: usize) {
        let row = self.batch.rows.row(row);
        let (buffer, columns, types) = (&mut self.buffer, &self.columns, &self.types);
        if self.is_binary {
            append_binary_row(buffer, row, columns, types);
        } else {
            append_text_row(buffer, &mut self.scratch, row, columns, types);
        }
    }
}

fn append_binary_row(buffer: &mut Vec<u8>, row: Row<'_>, columns: &[usize], types: &[&ColumnType]) {
    let n_columns = i16::try_from(columns.len()).expect("a table has at most 1600 columns");
    buffer.extend_from_slice(&n_columns.to_be_bytes());
    for (column, ty) in columns.iter().zip(types) {
        binary::append_field(buffer, ty, row.value(*column));
    }
}

fn append_text_row(
    buffer: &mut Vec<u8>,
    scratch: &mut String,
    row: Row<'_>,
    columns: &[usize],
    types: &[&ColumnType],
) {
    for (at, (column, ty)) in columns.iter().zip(types).enumerate() {
        if at > 0 {
            buffer.push(b'\t');
        }
        append_text_field(buffer, scratch, ty, row.value(*column));
    }
    buffer.push(b'\n');
}

/// One field of a text COPY; `scratch` is used over.
pub(super) fn append_text_field(
    buffer: &mut Vec<u8>,
    scratch: &mut String,
    ty: &ColumnType,
    value: Value<'_>,
) {
    scratch.clear();
    if text::append(scratch, ty, value) {
        append_escaped(buffer, scratch);
    } else {
        buffer.extend_from_slice(b"\\N");
    }
}

/// A field of a text COPY: backslash, tab and line ends are escaped.
fn append_escaped(buffer: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => buffer.extend_from_slice(b"\\\\"),
            b'\t' => buffer.extend_from_slice(b"\\t"),
            b'\n' => buffer.extend_from_slice(b"\\n"),
            b'\r' => buffer.extend_from_slice(b"\\r"),
            other => buffer.push(other),
        }
    }
}

#[cfg(test)]
mod tests;

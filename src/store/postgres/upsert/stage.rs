//! Rows on their way into the table, in a temporary one.
//!
//! In: a batch inside its transaction. Out: its rows in the stage, and those that the types' own
//! input refuses: they are refused wherever they are written, whatever else happens. The stage
//! ends with the transaction; a later batch of the same transaction empties it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::batch::Batch;
use crate::model::plan::WritePlan;
use crate::model::reject::RowViolation;
use crate::model::table::ColumnType;
use crate::model::value::Row;
use crate::store::{StoreError, WriteRequest};

use super::super::binary;
use super::super::connection::Transaction;
use super::super::copy::{BINARY_HEADER, BINARY_TRAILER, PIECE_BYTES};
use super::super::error::{self, Trouble};
use super::super::isolate::{cut, is_past_limit};
use super::super::text;
use super::pattern::Patterns;
use super::statement::{Statements, is_staged_as_text};

/// What became of the rows.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Rows that are not in the stage, by index into the batch.
    pub(super) refused: BTreeMap<usize, RowViolation>,
    /// The limit of the import is passed for certain, so later rows were not staged.
    pub(super) gave_up: bool,
}

/// Makes and fills the stage.
pub(super) async fn stage(
    transaction: &mut Transaction,
    request: WriteRequest<'_>,
    statements: &Statements<'_>,
    patterns: &Patterns,
) -> Result<Staged, StoreError> {
    let WriteRequest { plan, batch, .. } = request;
    let create = format!("{}; SAVEPOINT rowlift_stage", statements.create_stage());
    simple(transaction, &create).await?;
    let mut staged = Staged::default();
    let mut n_cuts = 0;
    // A stack: the piece that comes first is on top.
    let mut pieces: Vec<Range<usize>> = Vec::new();
    pieces.push(0..batch.rows.n_rows());
    while let Some(piece) = pieces.pop() {
        if piece.is_empty() {
            continue;
        }
        let sql = statements.copy();
        let copied = copy(transaction, &sql, plan, batch, patterns, piece.clone()).await;
        let Err(error) = copied else {
            let next = "RELEASE SAVEPOINT rowlift_stage; SAVEPOINT rowlift_stage";
            simple(transaction, next).await?;
            continue;
        };
        let refusal = match error::while_writing(error) {
            Trouble::Fatal(fatal) => return Err(fatal),
            Trouble::Refused(refusal) => refusal,
        };
        simple(transaction, "ROLLBACK TO SAVEPOINT rowlift_stage").await?;
        if piece.len() > 1 {
            pieces.extend(cut(piece, refusal.row_hint(), &mut n_cuts));
            continue;
        }
        let row = piece.start;
        staged.refused.insert(row, refusal.violation(&plan.table));
        if is_past_limit(request, &staged.refused, row) {
            staged.gave_up = true;
            break;
        }
    }
    simple(transaction, "RELEASE SAVEPOINT rowlift_stage").await?;
    Ok(staged)
}

async fn copy(
    transaction: &mut Transaction,
    sql: &str,
    plan: &WritePlan,
    batch: &Batch,
    patterns: &Patterns,
    rows: Range<usize>,
) -> Result<(), sqlx::Error> {
    let types: Vec<&ColumnType> = (0..plan.columns.len())
        .map(|at| &plan.column(at).ty)
        .collect();
    let mut copy = transaction.copy_in(sql).await?;
    let mut buffer = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    buffer.extend_from_slice(BINARY_HEADER);
    for row in rows {
        append_row(
            &mut buffer,
            [row, patterns.of_row[row]],
            batch.rows.row(row),
            &types,
        );
        if buffer.len() >= PIECE_BYTES {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&BINARY_TRAILER);
    copy.send(buffer.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

fn append_row(buffer: &mut Vec<u8>, marks: [usize; 2], row: Row<'_>, types: &[&ColumnType]) {
    let n_fields = marks.len() + types.len();
    let n_fields = i16::try_from(n_fields).expect("a table has at most 1600 columns");
    buffer.extend_from_slice(&n_fields.to_be_bytes());
    for mark in marks {
        let mark = i32::try_from(mark).expect("a batch has fewer rows than that");
        buffer.extend_from_slice(&4_i32.to_be_bytes());
        buffer.extend_from_slice(&mark.to_be_bytes());
    }
    for (value, ty) in row.values().zip(types) {
        if !is_staged_as_text(ty) {
            binary::append_field(buffer, ty, value);
            continue;
        }
        match text::render(ty, value) {
            None => buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                let length = i32::try_from(text.len()).expect("a value is below 1 GiB");
                buffer.extend_from_slice(&length.to_be_bytes());
                buffer.extend_from_slice(text.as_bytes());
            }
        }
    }
}

async fn simple(transaction: &mut Transaction, sql: &str) -> Result<(), StoreError> {
    transaction.simple(sql).await.map_err(error::of_ledger)?;
    Ok(())
}

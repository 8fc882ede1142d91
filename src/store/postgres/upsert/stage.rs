//! Rows on their way into the table, in a temporary one.
//!
//! In: a batch inside its transaction. Out: its rows in the stage, and those that the types' own
//! input refuses: they are refused wherever they are written, whatever else happens. The stage
//! ends with the transaction; a later batch of the same transaction empties it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::reject::RowViolation;
use crate::store::copying::CopyFormat;
use crate::store::{StoreError, WriteRequest};

use super::super::connection::Transaction;
use super::super::error::{self, Trouble};
use super::super::isolate::{cut, is_past_limit};
use super::fill::StageRows;
use super::pattern::Patterns;
use super::statement::Statements;

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
    copies: Option<CopyFormat>,
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
        let rows = StageRows {
            plan,
            batch,
            patterns,
            rows: piece.clone(),
        };
        let filled = match copies {
            Some(format) => rows.copy(transaction, statements, format).await,
            None => rows.insert(transaction, statements).await,
        };
        let Err(error) = filled else {
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

async fn simple(transaction: &mut Transaction, sql: &str) -> Result<(), StoreError> {
    transaction.simple(sql).await.map_err(error::of_ledger)?;
    Ok(())
}

//! The one transaction of an ATOMIC import in the store in memory.

use async_trait::async_trait;
use rowlift::model::batch::{Batch, Overdrawn, Receipt};
use rowlift::model::reject::RejectedRow;
use rowlift::store::{AtomicRequest, AtomicWrite, StoreError, WholeRange};

use super::memory::Memory;
use super::memory::state::{counts, number};

/// What is to become visible at the commit.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    memory: &'a Memory,
    request: AtomicRequest<'a>,
    rows: Vec<(u64, i64)>,
    rejected: Vec<RejectedRow>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(memory: &'a Memory, request: AtomicRequest<'a>) -> Transaction<'a> {
        Transaction {
            memory,
            request,
            rows: Vec::new(),
            rejected: Vec::new(),
        }
    }
}

#[async_trait]
impl AtomicWrite for Transaction<'_> {
    async fn write(&mut self, batch: &Batch, _probe_first: bool) -> Result<Receipt, StoreError> {
        let key = self.request.key;
        self.memory.call(|state| state.check(key)).await?;
        match self
            .request
            .rejects
            .reserve(batch.range.start, batch.rejected.len() as u64)
        {
            Ok(reservation) => reservation.keep(),
            Err(Overdrawn::Again) => panic!("nothing is written beyond the limit"),
            Err(Overdrawn::First { n_recorded }) => {
                let n_recorded = usize::try_from(n_recorded).unwrap();
                let recorded = batch.rejected.iter().take(n_recorded).cloned().collect();
                return Err(StoreError::RejectLimit { recorded });
            }
        }
        let rows =
            (0..batch.rows.n_rows()).map(|at| (batch.sources[at].ordinal, number(batch, at)));
        self.rows.extend(rows);
        self.rejected.extend(batch.rejected.iter().cloned());
        Ok(Receipt {
            range: batch.range.clone(),
            counts: counts(batch),
            rejected: batch.rejected.clone(),
            retries: 0,
        })
    }

    async fn commit(self: Box<Self>, whole: &WholeRange) -> Result<(), StoreError> {
        assert!(!self.request.validate_only, "a dry run commits nothing");
        let key = self.request.key;
        self.memory
            .call(|state| {
                state.check(key)?;
                if whole.end > 0 {
                    let (hash, counts, n) = (whole.rows_hash, whole.counts, whole.n_batches);
                    let position = whole.position.clone();
                    state.insert_range(key, 0..whole.end, hash, counts, n, position)?;
                }
                state.insert_rows(key, &self.rows);
                state.insert_rejects(key, &self.rejected)
            })
            .await
    }

    async fn rollback(self: Box<Self>) -> Result<(), StoreError> {
        self.memory.call(|_| Ok(())).await
    }
}

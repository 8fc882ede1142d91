//! What a store in memory holds: the table, and the ledger of imports and their ranges.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use rowlift::model::batch::{Batch, Overdrawn, Receipt, RejectBudget, RejectReservation};
use rowlift::model::import::{ImportOutcome, ImportRecord, ImportState, Phase, WriteMethod};
use rowlift::model::layout::SourceLayout;
use rowlift::model::reject::RejectedRow;
use rowlift::model::stats::{ImportStats, RowCounts};
use rowlift::model::value::Value;
use rowlift::store::{Committed, CommittedRange, OpenImport, SessionKey, StoreError};

#[derive(Debug, Default)]
pub(in crate::session) struct State {
    /// The table: values by import and ordinal.
    pub(super) rows: BTreeMap<(i64, u64), i64>,
    pub(super) imports: BTreeMap<String, Import>,
    pub(super) n_calls: usize,
}

#[derive(Debug)]
pub(super) struct Import {
    pub(super) id: i64,
    pub(super) fingerprint: [u8; 32],
    pub(super) epoch: u64,
    pub(super) state: ImportState,
    pub(super) ranges: BTreeMap<u64, Stored>,
    pub(super) rejects: BTreeMap<u64, RejectedRow>,
    pub(super) outcome: Option<ImportOutcome>,
    pub(super) file_sha256: Option<[u8; 32]>,
    pub(super) layout: Option<SourceLayout>,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) end: u64,
    pub(super) rows_hash: u128,
    pub(super) counts: RowCounts,
    pub(super) n_batches: u64,
    pub(super) position: Option<Bytes>,
}

/// The number that a mapped row holds.
pub(in crate::session) fn number(batch: &Batch, index: usize) -> i64 {
    match batch.rows.row(index).value(0) {
        Value::Int(value) => value,
        other => panic!("no number: {other:?}"),
    }
}

impl State {
    pub(super) fn import(&mut self, key: SessionKey) -> Result<&mut Import, StoreError> {
        let import = self.imports.values_mut().find(|it| it.id == key.import);
        let import = import.expect("the import exists");
        if import.epoch != key.epoch || import.state != ImportState::Running {
            return Err(StoreError::Fenced);
        }
        Ok(import)
    }

    /// Whether the session still holds its import.
    pub(in crate::session) fn check(&mut self, key: SessionKey) -> Result<(), StoreError> {
        self.import(key).map(|_| ())
    }

    pub(in crate::session) fn insert_rows(&mut self, key: SessionKey, rows: &[(u64, i64)]) {
        for (ordinal, value) in rows {
            let before = self.rows.insert((key.import, *ordinal), *value);
            assert_eq!(before, None, "row {ordinal} is written twice");
        }
    }

    pub(in crate::session) fn insert_range(
        &mut self,
        key: SessionKey,
        range: Range<u64>,
        rows_hash: u128,
        counts: RowCounts,
        n_batches: u64,
        position: Option<Bytes>,
    ) -> Result<(), StoreError> {
        assert_eq!(
            counts.total(),
            range.end - range.start,
            "counts of {range:?}"
        );
        let import = self.import(key)?;
        for (start, stored) in &import.ranges {
            let apart = stored.end <= range.start || *start >= range.end;
            assert!(apart, "{range:?} overlaps {start}..{}", stored.end);
        }
        let stored = Stored {
            end: range.end,
            rows_hash,
            counts,
            n_batches,
            position,
        };
        import.ranges.insert(range.start, stored);
        Ok(())
    }

    pub(in crate::session) fn insert_rejects(
        &mut self,
        key: SessionKey,
        rows: &[RejectedRow],
    ) -> Result<(), StoreError> {
        let import = self.import(key)?;
        for row in rows {
            import.rejects.insert(row.ordinal, row.clone());
        }
        Ok(())
    }

    /// With the reservation, which is given back if the answer is lost.
    pub(super) fn write<'b>(
        &mut self,
        key: SessionKey,
        batch: &Batch,
        budget: &'b RejectBudget,
    ) -> Result<(Receipt, Option<RejectReservation<'b>>), StoreError> {
        let import = self.import(key)?;
        if let Some(stored) = import.ranges.get(&batch.range.start) {
            assert_eq!(stored.end, batch.range.end, "cut otherwise");
            assert_eq!(stored.rows_hash, batch.rows_hash);
            let receipt = Receipt {
                range: batch.range.clone(),
                counts: stored.counts,
                rejected: batch.rejected.clone(),
                retries: 0,
            };
            let reservation = budget.reserve(batch.range.start, receipt.counts.rejected);
            return Ok((receipt, reservation.ok()));
        }
        let reservation = match budget.reserve(batch.range.start, batch.rejected.len() as u64) {
            Ok(reservation) => reservation,
            Err(Overdrawn::Again) => {
                return Err(StoreError::RejectLimit {
                    recorded: Vec::new(),
                });
            }
            Err(Overdrawn::First { n_recorded }) => {
                let n_recorded = usize::try_from(n_recorded).unwrap();
                let recorded: Vec<_> = batch.rejected.iter().take(n_recorded).cloned().collect();
                self.insert_rejects(key, &recorded)?;
                return Err(StoreError::RejectLimit { recorded });
            }
        };
        let rows: Vec<(u64, i64)> = (0..batch.rows.n_rows())
            .map(|at| (batch.sources[at].ordinal, number(batch, at)))
            .collect();
        let counts = counts(batch);
        self.insert_rows(key, &rows);
        self.insert_rejects(key, &batch.rejected)?;
        let position = batch.position.clone();
        self.insert_range(
            key,
            batch.range.clone(),
            batch.rows_hash,
            counts,
            1,
            position,
        )?;
        let receipt = Receipt {
            range: batch.range.clone(),
            counts,
            rejected: batch.rejected.clone(),
            retries: 0,
        };
        Ok((receipt, Some(reservation)))
    }

    pub(super) fn committed(&self, import: i64) -> Committed {
        let import = self.imports.values().find(|it| it.id == import);
        import.expect("the import exists").committed()
    }
}

/// What becomes of a batch's rows.
pub(in crate::session) fn counts(batch: &Batch) -> RowCounts {
    RowCounts {
        inserted: batch.rows.n_rows() as u64,
        rejected: batch.rejected.len() as u64,
        blank: batch.n_blank(),
        ..RowCounts::default()
    }
}

impl Import {
    fn watermark(&self) -> u64 {
        let mut watermark = 0;
        for (start, stored) in &self.ranges {
            if *start != watermark {
                break;
            }
            watermark = stored.end;
        }
        watermark
    }

    pub(super) fn committed(&self) -> Committed {
        let mut committed = Committed {
            watermark: self.watermark(),
            ..Committed::default()
        };
        for stored in self.ranges.values() {
            committed.counts += stored.counts;
            committed.n_batches += stored.n_batches;
        }
        for row in self.rejects.values() {
            let name = row.errors[0].code.name().to_owned();
            *committed.rejected_by_code.entry(name).or_default() += 1;
        }
        committed
    }

    pub(super) fn open(&mut self) -> OpenImport {
        self.epoch += 1;
        self.state = ImportState::Running;
        let ranges = self.ranges.clone();
        let covers = |ordinal: u64| {
            let before = ranges.range(..=ordinal).next_back();
            before.is_some_and(|(_, stored)| ordinal < stored.end)
        };
        self.rejects.retain(|ordinal, _| covers(*ordinal));
        let watermark = self.watermark();
        let below = self.ranges.range(..watermark);
        let committed = self.committed();
        OpenImport {
            key: SessionKey {
                import: self.id,
                epoch: self.epoch,
            },
            resumed: self.epoch > 1,
            committed_offset: watermark,
            committed_hash: below
                .clone()
                .fold(0, |sum, (_, stored)| stored.rows_hash.wrapping_add(sum)),
            committed_ranges: self
                .ranges
                .range(watermark..)
                .map(|(start, stored)| CommittedRange {
                    range: *start..stored.end,
                    rows_hash: stored.rows_hash,
                    position: stored.position.clone(),
                })
                .collect(),
            counts: committed.counts,
            committed_position: below
                .filter_map(|(_, stored)| stored.position.clone())
                .next_back(),
            create_time_ms: 0,
            file_sha256: self.file_sha256,
            tenant: String::new(),
            keeps_values: true,
        }
    }

    pub(super) fn record(&self, id: &str) -> ImportRecord {
        let committed = self.committed();
        ImportRecord {
            owner: String::new(),
            import_id: id.to_owned(),
            tenant: String::new(),
            table: "public.numbers".to_owned(),
            file_name: String::new(),
            state: self.state,
            epoch: self.epoch,
            stats: ImportStats::default(),
            committed_offset: committed.watermark,
            phase: Phase::Queued,
            failure: None,
            outcome: self.outcome.clone(),
            labels: BTreeMap::new(),
            validate_only: false,
            write_method: WriteMethod::Copy,
            create_time_ms: 0,
            update_time_ms: 0,
            end_time_ms: None,
            expire_time_ms: None,
            rejects_expire_time_ms: None,
        }
    }
}

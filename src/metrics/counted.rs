//! The counters of one import, moved along while it runs.
//!
//! In: how far a session has come, whenever something is decided, and how it ended. Out: what has
//! come about since the last time, added to the counters of all imports. Rows count as received
//! together with what became of them, so that the conservation law holds of the counters between any
//! two batches, also where a session dies without a word; received rows that nothing became of are
//! told at the end. What earlier sessions counted is not counted again.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry::KeyValue;

use super::{Metrics, names, state_name};
use crate::model::import::ImportState;
use crate::model::stats::{ImportStats, RowCounts};

/// What has been counted of an import.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Decided rows, those of earlier sessions included, by outcome in the order of [`names::ROW_OUTCOMES`] without its ends.
    rows: [u64; 6],
    bytes: u64,
    by_code: BTreeMap<String, u64>,
}

/// How an import ended.
#[derive(Debug, Clone, Copy)]
pub struct ImportEnd<'a> {
    /// Its state now.
    pub state: ImportState,
    /// What it is an import of.
    pub format: &'static str,
    /// Its counts.
    pub stats: &'a ImportStats,
    /// Rejected rows of this session that are decided, by code.
    pub rejected_by_code: &'a BTreeMap<String, u64>,
}

impl Counted {
    /// Nothing yet, by a session that found these counts.
    pub fn new(metrics: &Metrics, before: RowCounts) -> Counted {
        // Every outcome is a series from the first import on, though no row had it yet.
        for outcome in names::ROW_OUTCOMES {
            add_rows(metrics, outcome, 0);
        }
        Counted {
            rows: by_outcome(before),
            bytes: 0,
            by_code: BTreeMap::new(),
        }
    }

    /// Counts decided rows: all of the import, and this session's rejected ones by code.
    pub fn decided(
        &mut self,
        metrics: &Metrics,
        rows: RowCounts,
        rejected_by_code: &BTreeMap<String, u64>,
    ) {
        let [received, outcomes @ .., _] = names::ROW_OUTCOMES;
        let mut n_decided = 0;
        let all = by_outcome(rows);
        for ((outcome, told), n_rows) in outcomes.into_iter().zip(&mut self.rows).zip(all) {
            // Less than was told: the database has lost commits, in a failover.
            let n_fresh = n_rows.saturating_sub(*told);
            if n_fresh > 0 {
                *told += n_fresh;
                n_decided += n_fresh;
                add_rows(metrics, outcome, n_fresh);
            }
        }
        add_rows(metrics, received, n_decided);
        for (code, n_rows) in rejected_by_code {
            let told = self.by_code.entry(code.clone()).or_default();
            let n_fresh = n_rows.saturating_sub(*told);
            if n_fresh > 0 {
                *told += n_fresh;
                let code = KeyValue::new("code", code.clone());
                metrics.instruments.row_errors.add(n_fresh, &[code]);
            }
        }
    }

    /// Counts received bytes: all of this session.
    pub fn received(&mut self, metrics: &Metrics, format: &'static str, bytes: u64) {
        let fresh = bytes.saturating_sub(self.bytes);
        self.bytes += fresh;
        let format = KeyValue::new("format", format);
        metrics.instruments.received_size.add(fresh, &[format]);
    }

    /// Counts what is left at the session's end, and the import by its outcome.
    pub fn end(mut self, metrics: &Metrics, end: &ImportEnd<'_>) {
        self.received(metrics, end.format, end.stats.received_bytes);
        self.decided(metrics, end.stats.rows, end.rejected_by_code);
        let n_decided: u64 = self.rows.iter().sum();
        let n_unprocessed = end.stats.received_rows.saturating_sub(n_decided);
        let [received, .., unprocessed] = names::ROW_OUTCOMES;
        add_rows(metrics, received, n_unprocessed);
        add_rows(metrics, unprocessed, n_unprocessed);
        let attributes = [
            KeyValue::new("format", end.format),
            KeyValue::new("outcome", state_name(end.state)),
        ];
        let seconds = Duration::from_millis(end.stats.elapsed_ms).as_secs_f64();
        metrics
            .instruments
            .import_duration
            .record(seconds, &attributes);
    }
}

fn add_rows(metrics: &Metrics, outcome: &'static str, n_rows: u64) {
    let outcome = KeyValue::new("outcome", outcome);
    metrics.instruments.rows.add(n_rows, &[outcome]);
}

/// As [`names::ROW_OUTCOMES`], without its ends.
fn by_outcome(rows: RowCounts) -> [u64; 6] {
    [
        rows.inserted,
        rows.updated,
        rows.unchanged,
        rows.skipped,
        rows.rejected,
        rows.blank,
    ]
}

//! What a running import tells its caller and the ledger about itself.

use std::time::{Duration, Instant};

use crate::model::import::Phase;
use crate::model::stats::ImportStats;
use crate::progress::Progress;
use crate::session::live::Live;
use crate::session::spec::SourceSpec;
use crate::store::LiveCounters;

impl Live {
    /// Progress for the caller, counters for the next heartbeat.
    pub(super) fn report(&mut self) {
        let stats = self.stats();
        let fraction = self.fraction(&stats);
        let eta = fraction
            .filter(|done| (0.001..1.0).contains(done))
            .map(|done| {
                let elapsed = Duration::from_millis(stats.elapsed_ms);
                elapsed.mul_f64((1.0 - done) / done)
            });
        self.report_to_ledger(&stats);
        let effective_columns = std::mem::take(&mut self.effective);
        self.outbox.progress(Progress {
            phase: self.phase,
            stats,
            fraction,
            eta,
            effective_columns,
        });
    }

    /// Counters for the next heartbeat, and for those who ask how many imports are in which phase.
    pub(super) fn report_to_ledger(&self, stats: &ImportStats) {
        self.registration.report(LiveCounters {
            received_bytes: stats.received_bytes,
            received_rows: stats.received_rows,
            phase: self.phase,
            retries: stats.retries,
        });
    }

    /// Moves the counters of all imports along with what this one has committed. Rows beyond a limit
    /// wait for its end: a session that dies before is followed by one that meets them again.
    pub(super) fn count(&mut self) {
        let metrics = &self.sessions.metrics;
        let (mut rows, by_code) = (self.tally.counts(), self.tally.decided_by_code());
        rows.rejected -= self.tally.n_beyond_limit();
        self.counted.decided(metrics, rows, by_code);
        let format = self.format_name();
        self.counted.received(metrics, format, self.received_bytes);
    }

    /// The counts so far. Rows that are decided were received, whatever the pipeline has told.
    pub(in crate::session) fn stats(&self) -> ImportStats {
        let rows = self.tally.counts();
        let elapsed = Instant::now().saturating_duration_since(self.held.begun_at);
        ImportStats {
            received_bytes: self.received_bytes,
            received_rows: self.received_rows.max(rows.total()),
            rows,
            batches: self.tally.n_batches(),
            retries: self.tally.n_retries(),
            duplicate_rows: self.duplicate_rows,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Where the total is known: decided rows of those that a workbook has, else bytes received.
    fn fraction(&self, stats: &ImportStats) -> Option<f64> {
        if self.phase == Phase::Committing {
            return Some(1.0);
        }
        if let Some(hint) = self.n_rows_hint.filter(|hint| *hint > 0) {
            return Some((stats.rows.total() as f64 / hint as f64).min(1.0));
        }
        let SourceSpec::File(file) = &self.held.spec.source else {
            return None;
        };
        let total = file.total_bytes.filter(|total| *total > 0)?;
        // Until a workbook's decoder has told its rows, only the upload is known.
        Some((stats.received_bytes as f64 / total as f64).min(1.0))
    }
}

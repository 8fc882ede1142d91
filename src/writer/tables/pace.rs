//! How many rows a table is ahead of its rate.
//!
//! In: rows as they go in, and the time. Out: how long it is until the next may. Pure: the clock is
//! a parameter. A bucket at the grain of batches: whoever finds nothing owed goes, however many
//! rows it brings, and owes them.

use std::time::Duration;

use tokio::time::Instant;

/// Rows that are owed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    n_owed: f64,
    /// When that was so; `None`: nothing was ever owed.
    at: Option<Instant>,
}

impl Pace {
    /// How long it is until nothing is owed, at so many rows a second.
    pub(super) fn wait(&mut self, now: Instant, rate: u64) -> Duration {
        self.pay_off(now, rate);
        let seconds = self.n_owed / rate as f64;
        // More than a century is as good as for ever.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Rows go in now.
    pub(super) fn owe(&mut self, n_rows: usize, now: Instant, rate: u64) {
        self.pay_off(now, rate);
        self.n_owed += n_rows as f64;
    }

    fn pay_off(&mut self, now: Instant, rate: u64) {
        if let Some(at) = self.at {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            let n_owed = self.n_owed - passed * rate as f64;
            // A millionth of a row is rounding: a timer would fire once more for it.
            self.n_owed = if n_owed < 1e-6 { 0.0 } else { n_owed };
        }
        self.at = Some(now);
    }
}

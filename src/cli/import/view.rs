//! What a person or a script sees while an import runs.
//!
//! In: events. Out: a bar on a terminal, plain lines elsewhere, JSON lines for machines. Keeps the
//! rejected rows that the server samples; their number is bounded by the server.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::terminal::Terminal;
use crate::cli::text;
use crate::client::json;
use crate::proto::import_response::Event;
use crate::proto::{ImportResponse, ImportStats, Phase, Progress, RejectedRow};

/// The bar's parts: progress comes as a fraction.
const BAR_PARTS: u64 = 10_000;
/// Samples that are kept for the summary.
const REJECTED_ROWS_KEPT: usize = 20;

/// Shows events in one of three ways.
#[derive(Debug)]
pub(super) struct View {
    style: Style,
    import_id: Option<String>,
    rejected_rows: Vec<RejectedRow>,
}

#[derive(Debug)]
enum Style {
    Bar(ProgressBar),
    Lines,
    Json,
}

impl View {
    /// A bar on standard error.
    pub(super) fn bar() -> View {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        View::new(Style::Bar(bar))
    }

    /// A plain line now and then.
    pub(super) fn lines() -> View {
        View::new(Style::Lines)
    }

    /// Every event but acks as a line of JSON on standard output.
    pub(super) fn json() -> View {
        View::new(Style::Json)
    }

    fn new(style: Style) -> View {
        View {
            style,
            import_id: None,
            rejected_rows: Vec::new(),
        }
    }

    /// How often progress is worth showing.
    pub(super) fn progress_interval(&self) -> Duration {
        match self.style {
            Style::Bar(_) => Duration::from_millis(200),
            Style::Lines => Duration::from_secs(5),
            Style::Json => Duration::from_secs(1),
        }
    }

    /// The import's id, once the server has accepted it.
    pub(super) fn import_id(&self) -> Option<&str> {
        self.import_id.as_deref()
    }

    /// The sampled rejected rows in source order.
    pub(super) fn take_rejected_rows(&mut self) -> Vec<RejectedRow> {
        let mut rows = std::mem::take(&mut self.rejected_rows);
        rows.sort_by_key(|row| row.offset);
        rows
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        if let Style::Bar(bar) = &self.style {
            bar.finish_and_clear();
        }
    }

    /// Says something beside the progress.
    pub(super) fn remark(&self, remark: &str, terminal: &mut Terminal) {
        match &self.style {
            Style::Bar(bar) => bar.suspend(|| terminal.note(remark)),
            Style::Lines | Style::Json => terminal.note(remark),
        }
    }

    /// Shows one event. That output fails does not stop an import.
    pub(super) fn show(&mut self, event: &Event, terminal: &mut Terminal) {
        match event {
            Event::Accepted(accepted) => self.import_id = Some(accepted.import_id.clone()),
            Event::RejectedRow(row) if self.rejected_rows.len() < REJECTED_ROWS_KEPT => {
                self.rejected_rows.push(row.clone());
            }
            Event::RejectedRow(_)
            | Event::Ack(_)
            | Event::Progress(_)
            | Event::Draining(_)
            | Event::Result(_) => {}
        }
        match (&self.style, event) {
            // The result is printed at the end, by itself.
            (Style::Json, Event::Ack(_) | Event::Result(_)) => {}
            (Style::Json, event) => {
                let response = ImportResponse {
                    event: Some(event.clone()),
                };
                let _ignored = terminal.json(&json::line(&response));
            }
            (Style::Bar(bar), Event::Progress(progress)) => move_bar(bar, progress),
            (Style::Lines, Event::Progress(progress)) => terminal.note(describe(progress)),
            (Style::Bar(_) | Style::Lines, Event::Draining(_)) => {
                self.remark("the server is stopping", terminal);
            }
            _ => {}
        }
    }
}

fn move_bar(bar: &ProgressBar, progress: &Progress) {
    let template = match progress.fraction {
        Some(fraction) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a fraction between 0 and 1, clamped"
            )]
            let position = (fraction.clamp(0.0, 1.0) * BAR_PARTS as f64) as u64;
            bar.set_length(BAR_PARTS);
            bar.set_position(position);
            "{bar:32} {percent:>3} %  {msg}"
        }
        None => "{spinner}  {msg}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is well-formed"));
    bar.set_message(describe(progress));
    bar.tick();
}

/// `12,000 rows, 45,000 rows/s, 3 rejected, about 12 s left`.
pub(in crate::cli) fn describe(progress: &Progress) -> String {
    let stats = progress.stats.unwrap_or_default();
    let mut parts = vec![text::rows(decided(&stats))];
    match progress.phase() {
        Phase::Queued => parts.push(String::from("waiting for a place")),
        Phase::Committing => parts.push(String::from("committing")),
        Phase::Unspecified | Phase::Receiving | Phase::Decoding | Phase::Writing => {
            parts.push(text::rate(stats.rows_per_second));
        }
    }
    if stats.rejected_row_count > 0 {
        parts.push(format!(
            "{} rejected",
            text::count(stats.rejected_row_count)
        ));
    }
    if let Some(eta) = &progress.eta {
        parts.push(format!("about {} s left", text::count(eta.seconds)));
    }
    parts.join(", ")
}

/// Rows of which it is settled what becomes of them.
fn decided(stats: &ImportStats) -> i64 {
    stats.received_row_count - stats.unprocessed_row_count
}

#[cfg(test)]
mod tests;

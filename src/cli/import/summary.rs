//! The end of an import for people: counts that add up, and the first rejected rows.

use std::io;
use std::path::Path;

use crate::cli::server;
use crate::cli::terminal::Terminal;
use crate::cli::text::{self, Grid};
use crate::proto::{ImportResult, ImportStats, RejectedRow, State, WriteMethod};

/// What is told of an import that ended.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    pub(super) file: &'a Path,
    pub(super) table: &'a str,
    /// The flags that reach the same server.
    pub(super) flags: &'a str,
    pub(super) result: &'a ImportResult,
    /// Whether a newer session goes on with it.
    pub(super) is_fenced: bool,
    /// How rows were to be written. Unspecified: as is best.
    pub(super) asked: WriteMethod,
    /// The first ones, in source order.
    pub(super) rejected_rows: &'a [RejectedRow],
    /// Rows that sessions before the last one had decided.
    pub(super) resumed_from: Option<i64>,
}

impl Summary<'_> {
    pub(super) fn print(&self, terminal: &mut Terminal) -> io::Result<()> {
        let result = self.result;
        let stats = result.stats.unwrap_or_default();
        terminal.line(format!(
            "{} into {}: {}",
            server::quoted(self.file),
            self.table,
            if self.is_fenced {
                "taken over by another session, where it goes on"
            } else {
                verdict(result, stats.rejected_row_count)
            }
        ))?;
        terminal.line(format!("  {}", equation(&stats)))?;
        terminal.line(format!("  {}", pace(result, &stats, self.asked)))?;
        terminal.line(format!("  import {}", result.import_id))?;
        if let Some(n_rows) = self.resumed_from {
            let before = text::rows(n_rows);
            terminal.line(format!("  went on after {before} that were decided before"))?;
        }
        if !result.duplicate_of_import_id.is_empty() {
            terminal.line(format!(
                "  the same file was imported before, as {}",
                result.duplicate_of_import_id
            ))?;
        }
        if stats.rejected_row_count > 0 {
            self.print_rejected_rows(terminal, stats.rejected_row_count)?;
        }
        Ok(())
    }

    fn print_rejected_rows(&self, terminal: &mut Terminal, n_rejected: i64) -> io::Result<()> {
        let codes = self.result.rejected_row_count_by_code.iter();
        let codes: Vec<String> = codes
            .map(|(code, n_rows)| format!("{} {}", text::count(*n_rows), short_code(code)))
            .collect();
        terminal.line("")?;
        terminal.line(match codes.as_slice() {
            [] => format!("Rejected: {}", text::rows(n_rejected)),
            codes => format!(
                "Rejected: {} ({})",
                text::rows(n_rejected),
                codes.join(", ")
            ),
        })?;
        for line in rejected_grid(self.rejected_rows).lines() {
            terminal.line(format!("  {line}"))?;
        }
        let n_shown = i64::try_from(self.rejected_rows.len()).unwrap_or(i64::MAX);
        let rest = n_rejected.saturating_sub(n_shown);
        let intro = if rest > 0 {
            format!("and {} more; to see all", text::rows(rest))
        } else {
            String::from("to see them again")
        };
        terminal.line(format!(
            "{intro}: rowlift rejects {}{}",
            self.result.import_id, self.flags
        ))
    }
}

/// One line for every error of every row.
pub(in crate::cli) fn rejected_grid(rows: &[RejectedRow]) -> Grid {
    let with_sheets = rows.iter().any(|row| row.sheet != rows[0].sheet);
    let mut grid = Grid::new(&["row", "cell", "code", "value", "message"]);
    for row in rows {
        let number = if with_sheets {
            format!("{} {}", row.sheet, row.row_number)
        } else {
            row.row_number.to_string()
        };
        for error in &row.errors {
            let place = if error.cell.is_empty() {
                &error.column
            } else {
                &error.cell
            };
            let message = match error.constraint.as_str() {
                "" => error.message.clone(),
                constraint if error.message.contains(constraint) => error.message.clone(),
                constraint => format!("{} ({constraint})", error.message),
            };
            grid.push([
                number.as_str().into(),
                place.into(),
                short_code(error.code().as_str_name()).into(),
                text::value(&error.value).into(),
                message.into(),
            ]);
        }
    }
    grid
}

fn short_code(code: &str) -> &str {
    text::short_name(code, "ROW_ERROR_CODE_")
}

fn verdict(result: &ImportResult, n_rejected: i64) -> &'static str {
    if result.validate_only {
        return match (result.state(), n_rejected) {
            (State::Succeeded, 0) => "all rows would be in (dry run, nothing was kept)",
            (State::Succeeded, _) => "would finish, with rejected rows (dry run, nothing was kept)",
            (State::Failed, _) => "would fail (dry run, nothing was kept)",
            (State::Cancelled, _) => "dry run cancelled",
            (State::Suspended, _) => "dry run suspended",
            _ => "dry run did not end",
        };
    }
    match (result.state(), n_rejected) {
        (State::Succeeded, 0) => "all rows are in",
        (State::Succeeded, _) => "finished, with rejected rows",
        (State::Failed, _) => "failed",
        (State::Cancelled, _) => "cancelled",
        (State::Suspended, _) => "suspended",
        _ => "did not end",
    }
}

/// `1,000 rows = 987 inserted + 13 rejected`; what is 0 is left out.
pub(in crate::cli) fn equation(stats: &ImportStats) -> String {
    let terms = [
        (stats.inserted_row_count, "inserted"),
        (stats.updated_row_count, "updated"),
        (stats.unchanged_row_count, "unchanged"),
        (stats.skipped_row_count, "skipped"),
        (stats.rejected_row_count, "rejected"),
        (stats.blank_row_count, "blank"),
        (stats.unprocessed_row_count, "unprocessed"),
    ];
    let terms: Vec<String> = terms
        .iter()
        .filter(|(n_rows, _)| *n_rows != 0)
        .map(|(n_rows, what)| format!("{} {what}", text::count(*n_rows)))
        .collect();
    let received = text::rows(stats.received_row_count);
    if terms.is_empty() {
        return received;
    }
    format!("{received} = {}", terms.join(" + "))
}

/// `1.2 s, 8,300 rows/s, COPY`.
fn pace(result: &ImportResult, stats: &ImportStats, asked: WriteMethod) -> String {
    let mut parts = Vec::new();
    if let Some(elapsed) = &stats.elapsed {
        let whole = elapsed.seconds as f64;
        parts.push(text::seconds(whole + f64::from(elapsed.nanos) / 1e9));
    }
    parts.push(text::rate(stats.rows_per_second));
    let method = result.write_method();
    if method != WriteMethod::Unspecified {
        let name = |it: WriteMethod| text::short_name(it.as_str_name(), "WRITE_METHOD_");
        parts.push(match asked {
            WriteMethod::Unspecified => name(method).to_owned(),
            asked if asked == method => name(method).to_owned(),
            asked => format!(
                "{} instead of {}, which this table or database cannot take",
                name(method),
                name(asked)
            ),
        });
    }
    if stats.retry_count > 0 {
        parts.push(format!("{} retried", text::count(stats.retry_count)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;

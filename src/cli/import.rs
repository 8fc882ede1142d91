//! `import`: a file into a table.
//!
//! In: the file, streamed. Out: progress while it runs, then a summary whose counts add up with
//! the first rejected rows, or events and the result as JSON lines. An interrupted import is
//! suspended, and the command that continues it is told.

use std::io;

use crate::cli::args::ImportArgs;
use crate::cli::exit::{self, CliError, Exit, unless_gone};
use crate::cli::import::summary::Summary;
use crate::cli::import::view::View;
use crate::cli::misnamed;
use crate::cli::server::{self, Server};
use crate::cli::terminal::Terminal;
use crate::cli::text;
use crate::client::error::{ClientError, local_failure, with_causes};
use crate::client::resume::{Notice, Retries, Retry};
use crate::client::{CallOptions, ImportClient, json};
use crate::proto::import_response::Event;
use crate::proto::{ImportResult, RejectedRow, State, WriteMethod};

mod header;
mod next;
mod summary;
mod view;

pub(super) use header::{file_layout, file_source};
pub(super) use summary::{equation, rejected_grid};
pub(super) use view::describe;

#[cfg(test)]
mod tests;

/// Rejected rows that the summary shows.
const REJECTED_ROWS_SHOWN: i32 = 20;

/// Imports the file.
pub(super) async fn import(args: &ImportArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let tells_progress = !args.json;
    let mut view = if tells_progress && terminal.is_watched() {
        View::bar()
    } else if tells_progress {
        View::lines()
    } else {
        View::json()
    };
    misnamed::note(&args.file, terminal).await;
    let settings: Vec<&str> = args.set.iter().map(|(name, _)| name.as_str()).collect();
    let mut server = match Server::connect_for(&args.server, &[&args.table], &settings).await {
        Ok(server) => server,
        Err(error) => return finish_badly(args, terminal, &view, error),
    };
    let client = server.client();
    let outcome = server
        .run(Box::pin(call(args, client, terminal, &mut view)))
        .await;
    view.clear();
    server.close().await;
    match outcome {
        Ok(ended) => finish(args, terminal, &ended),
        Err(error) => finish_badly(args, terminal, &view, error),
    }
}

/// An import that ended with a result, good or bad.
struct Ended {
    result: ImportResult,
    rejected_rows: Vec<RejectedRow>,
    /// Unless it succeeded.
    error: Option<ClientError>,
    /// The import had ended before: nothing was written now.
    replayed: bool,
    /// Rows that sessions before the last one had decided.
    resumed_from: Option<i64>,
}

async fn call(
    args: &ImportArgs,
    client: ImportClient,
    terminal: &mut Terminal,
    view: &mut View,
) -> Result<Ended, CliError> {
    let options = CallOptions {
        timeout: args.timeout,
        retries: retries(args),
        ..CallOptions::default()
    };
    let header = header::of(args, view.progress_interval());
    let mut replayed = false;
    let mut retried = false;
    let mut resumed_from = None;
    let imported = client
        .import_path_resuming(header, &args.file, &options, |notice| match notice {
            Notice::Event(event) => {
                if let Event::Accepted(accepted) = event {
                    // What an earlier try of this call wrote was written now.
                    replayed = accepted.replayed && !retried;
                    let resumed = accepted.resumed && !accepted.replayed;
                    resumed_from = resumed.then_some(accepted.committed_offset);
                }
                view.show(event, terminal);
            }
            Notice::Retry(retry) => {
                retried = true;
                view.remark(&lost(&retry), terminal);
            }
        })
        .await;
    let (result, error) = match imported {
        Ok(finished) => (finished.result, None),
        Err(ClientError::Status {
            status,
            result: Some(result),
        }) => {
            let told = (*result).clone();
            let error = ClientError::Status {
                status,
                result: Some(result),
            };
            (told, Some(error))
        }
        Err(error) => return Err(error.into()),
    };
    let n_rejected = result
        .stats
        .as_ref()
        .map_or(0, |stats| stats.rejected_row_count);
    let mut rejected_rows = view.take_rejected_rows();
    if n_rejected > 0 && !args.json {
        // The samples come as batches end; the ledger has the first ones in source order.
        let page = client
            .rejected_rows(&result.import_id, REJECTED_ROWS_SHOWN, "")
            .await;
        if let Ok(page) = page
            && !page.rejected_rows.is_empty()
        {
            rejected_rows = page.rejected_rows;
        }
    }
    Ok(Ended {
        result,
        rejected_rows,
        error,
        replayed,
        resumed_from,
    })
}

/// A service inside this process is not lost: what it refuses it would refuse again.
fn retries(args: &ImportArgs) -> Retries {
    let defaults = Retries::default();
    Retries {
        max: if args.server.addr.is_some() {
            defaults.max
        } else {
            0
        },
        ..defaults
    }
}

/// `cannot go on (...); import a-1 is taken up again in 1.2 s, try 1 of 8`.
fn lost(retry: &Retry<'_>) -> String {
    format!(
        "cannot go on ({}); import {} is taken up again in {}, try {} of {}",
        with_causes(retry.error),
        retry.import_id,
        text::seconds(retry.pause.as_secs_f64()),
        retry.number,
        retry.max
    )
}

/// Tells the result. Whether anybody reads it or not, the exit code is the import's.
fn finish(args: &ImportArgs, terminal: &mut Terminal, ended: &Ended) -> Result<Exit, CliError> {
    let exit = Exit::of_result(&ended.result);
    if args.json {
        unless_gone(terminal.json(&json::line(&ended.result)))?;
        return Ok(exit);
    }
    unless_gone(print(args, terminal, ended))?;
    let Some(ClientError::Status { status, .. }) = &ended.error else {
        return Ok(exit);
    };
    exit::report(
        terminal,
        &CliError::Client(ClientError::Status {
            status: status.clone(),
            result: None,
        }),
    );
    if ended.result.state() == State::Suspended {
        next::tell(
            args,
            terminal,
            ended.error.as_ref(),
            &ended.result.import_id,
        );
    }
    Ok(exit)
}

fn print(args: &ImportArgs, terminal: &mut Terminal, ended: &Ended) -> io::Result<()> {
    if ended.replayed {
        terminal.line(format!(
            "Import {} had ended before: its stored result follows, nothing was written.",
            ended.result.import_id
        ))?;
    }
    let summary = Summary {
        file: &args.file,
        table: &args.table,
        flags: &server::flags(&args.server),
        result: &ended.result,
        is_fenced: ended.error.as_ref().is_some_and(next::is_fenced),
        // A stored result is of the method that was asked for then.
        asked: if ended.replayed {
            WriteMethod::Unspecified
        } else {
            header::write_method(args.method)
        },
        rejected_rows: &ended.rejected_rows,
        resumed_from: ended.resumed_from,
    };
    summary.print(terminal)
}

/// Without a result: refused, interrupted, or the connection broke.
fn finish_badly(
    args: &ImportArgs,
    terminal: &mut Terminal,
    view: &View,
    error: CliError,
) -> Result<Exit, CliError> {
    exit::report(terminal, &error);
    let verdict = match &error {
        CliError::Client(error) => Some(error),
        _ => None,
    };
    let refused = args.import_id.as_deref();
    let refused = refused.filter(|_| !args.resume && verdict.is_some_and(next::is_resumable));
    if let Some(import_id) = view.import_id().or(refused) {
        next::tell(args, terminal, verdict, import_id);
    }
    if args.json {
        let mut result = match &error {
            CliError::Client(error) => error.to_result(),
            other => local_failure(other),
        };
        if let Some(import_id) = view.import_id() {
            import_id.clone_into(&mut result.import_id);
        }
        unless_gone(terminal.json(&json::line(&result)))?;
    }
    Ok(error.exit())
}

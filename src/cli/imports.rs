//! `imports`, `watch`, `cancel` and `delete`: what the ledger knows.

use std::io;

use crate::cli::args::{CancelArgs, DeleteArgs, ImportsArgs, WatchArgs};
use crate::cli::exit::{CliError, Exit};
use crate::cli::import::{describe, equation};
use crate::cli::server::Server;
use crate::cli::terminal::Terminal;
use crate::cli::text::{self, Grid};
use crate::client::json;
use crate::client::{ImportClient, error::ClientError};
use crate::proto::{GetImportRequest, ImportJob, ListImportsRequest};

/// Lists imports, or shows one.
pub(super) async fn imports(args: &ImportsArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut server = Server::connect(&args.server, &[]).await?;
    let client = server.client();
    let call = async move {
        Ok(match &args.id {
            Some(id) => vec![client.import_of(one(args, id)).await?],
            None => newest(&client, args).await?,
        })
    };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    let jobs = outcome?;
    if args.json {
        for job in &jobs {
            terminal.json(&json::line(job))?;
        }
    } else if args.id.is_some() {
        for job in &jobs {
            print_job(job, terminal)?;
        }
    } else {
        let is_narrowed =
            args.tenant.as_ref().is_some_and(|it| !it.is_empty()) || !args.label.is_empty();
        print_list(&jobs, is_narrowed, terminal)?;
    }
    Ok(Exit::Done)
}

/// Follows an import until it ends, or until nobody reads about it; the exit code is the import's, if
/// it has ended.
pub(super) async fn watch(args: &WatchArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut server = Server::connect(&args.server, &[]).await?;
    let client = server.client();
    let call = async {
        let on_change = |job: &ImportJob| {
            if args.json {
                terminal.json(&json::line(job))
            } else {
                terminal.line(change(job))
            }
        };
        let watched = client.watch(&args.id, on_change).await;
        drop(client);
        watched.map_err(|error| match error {
            ClientError::Write { source } => CliError::Output(source),
            error => error.into(),
        })
    };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    let job = outcome?;
    Ok(job.result.as_ref().map_or(Exit::Failed, Exit::of_result))
}

/// Asks an import to stop.
pub(super) async fn cancel(args: &CancelArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut server = Server::connect(&args.server, &[]).await?;
    let client = server.client();
    let call = async move { Ok(client.cancel(&args.id, &args.reason).await?) };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    tell(&outcome?, args.json, terminal)
}

/// Wipes what an ended import keeps of its data.
pub(super) async fn delete(args: &DeleteArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut server = Server::connect(&args.server, &[]).await?;
    let client = server.client();
    let call = async move { Ok(client.delete(&args.id, &args.tenant).await?) };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    let exit = tell(&outcome?, args.json, terminal)?;
    if !args.json {
        terminal.line(
            "  wiped: file name, labels, values of rejected rows and messages that quote them",
        )?;
    }
    Ok(exit)
}

/// Shows what became of an import.
fn tell(job: &ImportJob, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if as_json {
        terminal.json(&json::line(job))?;
    } else {
        print_job(job, terminal)?;
    }
    Ok(Exit::Done)
}

fn one(args: &ImportsArgs, id: &str) -> GetImportRequest {
    GetImportRequest {
        import_id: id.to_owned(),
        tenant: args.tenant.clone().unwrap_or_default(),
    }
}

async fn newest(client: &ImportClient, args: &ImportsArgs) -> Result<Vec<ImportJob>, ClientError> {
    const PAGE_SIZE_MAX: u32 = 1000;
    let mut jobs = Vec::new();
    let mut left = args.limit;
    let mut page_token = String::new();
    loop {
        let request = ListImportsRequest {
            page_size: i32::try_from(left.min(PAGE_SIZE_MAX)).expect("at most 1,000"),
            page_token,
            labels: args.label.iter().cloned().collect(),
            tenant: args.tenant.clone().unwrap_or_default(),
            ..ListImportsRequest::default()
        };
        let page = client.imports(request).await?;
        let n_jobs = u32::try_from(page.jobs.len()).unwrap_or(u32::MAX);
        left = left.saturating_sub(n_jobs);
        jobs.extend(page.jobs);
        page_token = page.next_page_token;
        if left == 0 || page_token.is_empty() {
            return Ok(jobs);
        }
    }
}

fn print_list(jobs: &[ImportJob], is_narrowed: bool, terminal: &mut Terminal) -> io::Result<()> {
    if jobs.is_empty() {
        return terminal.line(if is_narrowed {
            "no imports of this tenant or with these labels"
        } else {
            "no imports yet"
        });
    }
    let mut grid = Grid::new(&[
        "import", "state", "table", "rows", "rejected", "began", "file",
    ]);
    for job in jobs {
        let stats = job.stats.unwrap_or_default();
        let began = job
            .create_time
            .as_ref()
            .map(|time| text::time(time.seconds));
        grid.push([
            job.import_id.as_str().into(),
            standing(job).into(),
            job.table.as_str().into(),
            text::count(stats.received_row_count).into(),
            text::count(stats.rejected_row_count).into(),
            began.unwrap_or_default().into(),
            job.file_name.as_str().into(),
        ]);
    }
    for line in grid.lines() {
        terminal.line(line)?;
    }
    Ok(())
}

fn print_job(job: &ImportJob, terminal: &mut Terminal) -> io::Result<()> {
    let stats = job.stats.unwrap_or_default();
    terminal.line(format!(
        "{} into {}: {}",
        job.import_id,
        job.table,
        standing(job)
    ))?;
    terminal.line(format!("  {}", equation(&stats)))?;
    if !job.file_name.is_empty() {
        terminal.line(format!("  file {}", text::value(&job.file_name)))?;
    }
    let times = [
        ("began", &job.create_time),
        ("ended", &job.end_time),
        ("forgotten", &job.expire_time),
        ("rejected values forgotten", &job.rejects_expire_time),
    ];
    for (what, time) in times {
        if let Some(time) = time {
            terminal.line(format!("  {what} {}", text::time(time.seconds)))?;
        }
    }
    if !job.tenant.is_empty() {
        terminal.line(format!("  tenant {}", text::value(&job.tenant)))?;
    }
    for (name, value) in &job.labels {
        terminal.line(format!("  label {name}={value}"))?;
    }
    if let Some(result) = &job.result
        && !result.duplicate_of_import_id.is_empty()
    {
        let earlier = &result.duplicate_of_import_id;
        terminal.line(format!("  the same file was imported before, as {earlier}"))?;
    }
    if let Some(error) = &job.error {
        terminal.line(format!("  error: {}", error.message))?;
    }
    Ok(())
}

/// One state of a watched import.
fn change(job: &ImportJob) -> String {
    let stats = job.stats.unwrap_or_default();
    match (&job.progress, &job.result) {
        (Some(progress), None) => format!("{}: {}", standing(job), describe(progress)),
        _ => format!("{}: {}", standing(job), equation(&stats)),
    }
}

/// Its state, and whether nothing of it is kept.
fn standing(job: &ImportJob) -> String {
    let dry_run = if job.validate_only { ", dry run" } else { "" };
    format!("{}{dry_run}", state(job))
}

fn state(job: &ImportJob) -> &'static str {
    text::short_name(job.state().as_str_name(), "STATE_")
}

#[cfg(test)]
mod tests;

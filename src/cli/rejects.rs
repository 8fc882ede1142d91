//! `rejects`: the rows that are not in the table, on the screen or as a file to fix and send again.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::cli::args::{Output, OutputFormat, RejectsArgs};
use crate::cli::exit::{CliError, Exit};
use crate::cli::import::rejected_grid;
use crate::cli::server::{self, Server};
use crate::cli::terminal::Terminal;
use crate::cli::text;
use crate::client::{ImportClient, json};
use crate::proto::FileFormat;

/// Rejected rows fetched at once; a row can be large.
const PAGE_SIZE: i32 = 100;
/// A long export says so often that it goes on.
const REMARK_INTERVAL: Duration = Duration::from_secs(5);

/// Shows or exports an import's rejected rows.
pub(super) async fn rejects(args: &RejectsArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if let Some(output) = &args.output
        && !args.force
        && output.path.exists()
    {
        return Err(exists(output));
    }
    let mut server = Server::connect(&args.server, &[]).await?;
    let client = server.client();
    let call = async move {
        match &args.output {
            Some(output) => export(&client, args, output, terminal).await,
            None => list(&client, args, terminal).await,
        }
    };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    outcome?;
    Ok(Exit::Done)
}

/// A page at a time, so that memory does not grow with the number of rows.
async fn list(
    client: &ImportClient,
    args: &RejectsArgs,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let mut page_token = String::new();
    let mut n_rows = 0;
    loop {
        let page = client
            .rejected_rows(&args.id, PAGE_SIZE, &page_token)
            .await?;
        n_rows += i64::try_from(page.rejected_rows.len()).unwrap_or(i64::MAX);
        if args.json {
            for row in &page.rejected_rows {
                terminal.json(&json::line(row))?;
            }
        } else if !page.rejected_rows.is_empty() {
            // The headings stand above the first page.
            let n_headings = usize::from(!page_token.is_empty());
            for line in rejected_grid(&page.rejected_rows).lines().skip(n_headings) {
                terminal.line(line)?;
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if !args.json {
        terminal.note(format!("{} rejected", text::rows(n_rows)));
    }
    Ok(())
}

/// The file appears under its name once it is complete.
async fn export(
    client: &ImportClient,
    args: &RejectsArgs,
    output: &Output,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let failed = |source: io::Error| CliError::File {
        path: output.path.clone(),
        source,
    };
    let directory = match output.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(directory).map_err(failed)?;
    let format = match output.format {
        OutputFormat::Xlsx => FileFormat::Xlsx,
        OutputFormat::Csv => FileFormat::Csv,
    };
    let mut told_at = Instant::now();
    let on_bytes = |n_bytes: u64| {
        if told_at.elapsed() >= REMARK_INTERVAL {
            told_at = Instant::now();
            terminal.note(format!("{} MiB written", n_bytes >> 20));
        }
    };
    client
        .export_rejected_rows(&args.id, format, &mut file, on_bytes)
        .await?;
    let persisted = if args.force {
        file.persist(&output.path)
    } else {
        file.persist_noclobber(&output.path)
    };
    persisted.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(output),
        _ => failed(error.error),
    })?;
    terminal.line(format!(
        "rejected rows are in {}",
        server::quoted(&output.path)
    ))?;
    Ok(())
}

/// Somebody may have corrected rows in it.
fn exists(output: &Output) -> CliError {
    CliError::Exists {
        path: output.path.clone(),
    }
}

//! `inspect`: what is in a file, and what would become of it.

use std::io;

use crate::cli::args::InspectArgs;
use crate::cli::exit::{CliError, Exit};
use crate::cli::import::{file_source, rejected_grid};
use crate::cli::server::{self, Server};
use crate::cli::terminal::Terminal;
use crate::cli::text::{self, Grid};
use crate::client::{CallOptions, json};
use crate::proto::{FileSource, InspectFileResponse, InspectHeader, Sheet};

/// Sends the file and shows the answer.
pub(super) async fn inspect(args: &InspectArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let file_name = args.file.file_name().unwrap_or_default();
    let header = InspectHeader {
        file: Some(FileSource {
            file_name: file_name.to_string_lossy().into_owned(),
            ..file_source(&args.source)
        }),
        table: args.table.clone().unwrap_or_default(),
        sample_row_count: 0,
    };
    let tables: Vec<&str> = args.table.iter().map(String::as_str).collect();
    let mut server = Server::connect(&args.server, &tables).await?;
    let client = server.client();
    let options = CallOptions::default();
    let call = async move { Ok(client.inspect_path(header, &args.file, &options).await?) };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    let response = outcome?;
    if args.json {
        terminal.json(&json::line(&response))?;
    } else {
        print(args, &response, terminal)?;
    }
    Ok(Exit::Done)
}

fn print(
    args: &InspectArgs,
    response: &InspectFileResponse,
    terminal: &mut Terminal,
) -> io::Result<()> {
    let format = response.format().as_str_name();
    terminal.line(format!(
        "{}: {}",
        server::quoted(&args.file),
        text::short_name(format, "FILE_FORMAT_")
    ))?;
    for sheet in &response.sheets {
        print_sheet(sheet, terminal)?;
    }
    if !response.mappings.is_empty() {
        terminal.line("")?;
        let mut grid = Grid::new(&["header", "column", "match"]);
        for mapping in &response.mappings {
            let certainty = if mapping.score >= 1.0 {
                "exact"
            } else {
                "a guess, not applied"
            };
            grid.push([
                mapping.source_name.as_str().into(),
                mapping.target_column.as_str().into(),
                certainty.into(),
            ]);
        }
        print_grid(&grid, terminal)?;
    }
    if !response.sample_rejected_rows.is_empty() {
        terminal.line("")?;
        terminal.line("Sample rows that would be rejected:")?;
        print_grid(&rejected_grid(&response.sample_rejected_rows), terminal)?;
    }
    Ok(())
}

fn print_sheet(sheet: &Sheet, terminal: &mut Terminal) -> io::Result<()> {
    terminal.line("")?;
    let name = if sheet.name.is_empty() {
        "(no name)"
    } else {
        &sheet.name
    };
    let hidden = if sheet.hidden { ", hidden" } else { "" };
    let header = match sheet.header_row_number {
        0 => String::from("no header"),
        row => format!("header in row {row}"),
    };
    terminal.line(format!("sheet {name}{hidden}, {header}"))?;
    if !sheet.header.is_empty() {
        terminal.line(format!("  {}", sheet.header.join(" | ")))?;
    }
    for row in &sheet.sample_rows {
        let values: Vec<String> = row.values.iter().map(text::contract_value).collect();
        terminal.line(format!(
            "  {:>6}  {}",
            row.source_row_number,
            values.join(" | ")
        ))?;
    }
    Ok(())
}

fn print_grid(grid: &Grid, terminal: &mut Terminal) -> io::Result<()> {
    for line in grid.lines() {
        terminal.line(format!("  {line}"))?;
    }
    Ok(())
}

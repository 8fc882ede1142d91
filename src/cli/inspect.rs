//! `inspect`: what is in a file, and what would become of it.

use std::io;
use std::path::Path;

use crate::cli::args::InspectArgs;
use crate::cli::exit::{CliError, Exit};
use crate::cli::import::{file_source, rejected_grid};
use crate::cli::misnamed;
use crate::cli::server::{self, Server};
use crate::cli::terminal::Terminal;
use crate::cli::text::{self, Grid};
use crate::client::{CallOptions, json};
use crate::model::cell::column_letters;
use crate::proto::{FileSource, InspectFileResponse, InspectHeader, MappingProposal, Sheet};

/// Sample rows of a sheet that are shown; all of them are checked.
const ROWS_SHOWN: usize = 5;
/// Columns of a sheet that are shown.
const COLUMNS_SHOWN: usize = 12;
/// Characters of a cell that are shown.
const CELL_CHARS_MAX: usize = 24;

/// Sends the file and shows the answer.
pub(super) async fn inspect(args: &InspectArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    misnamed::note(&args.file, terminal).await;
    let file_name = args.file.file_name().unwrap_or_default();
    let header = InspectHeader {
        file: Some(FileSource {
            file_name: file_name.to_string_lossy().into_owned(),
            ..file_source(&args.source)
        }),
        table: args.table.clone().unwrap_or_default(),
        sample_row_count: 0,
    };
    let mut server = match &args.table {
        Some(table) => Server::connect(&args.server, &[table]).await?,
        None => Server::connect_without_tables(&args.server).await?,
    };
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
        text::short_name(format, "FILE_FORMAT_").to_lowercase()
    ))?;
    for sheet in &response.sheets {
        print_sheet(sheet, terminal)?;
    }
    if let Some(table) = &args.table {
        print_mappings(table, response, terminal)?;
    }
    if !response.sample_rejected_rows.is_empty() {
        terminal.line("")?;
        terminal.line("Of the first rows an import would reject:")?;
        print_grid(&rejected_grid(&response.sample_rejected_rows), terminal)?;
    }
    match &args.table {
        Some(_) if !response.missing_columns.is_empty() => {
            terminal.line("")?;
            terminal.line(format!(
                "As it is, an import that adds rows would be refused: nothing is there for {}.",
                response.missing_columns.join(", ")
            ))
        }
        Some(table) if !response.mappings.is_empty() => print_next(args, table, response, terminal),
        _ => Ok(()),
    }
}

/// The command that imports the file as it was found.
fn print_next(
    args: &InspectArgs,
    table: &str,
    response: &InspectFileResponse,
    terminal: &mut Terminal,
) -> io::Result<()> {
    let layout = &args.source.layout;
    let named = layout.sheet.as_deref();
    let mut sheets = response.sheets.iter();
    // The one that the mappings are of.
    let read = sheets.find(|sheet| match named {
        Some(name) => sheet.name == name,
        None => !sheet.hidden && (sheet.header_row_number > 0 || !sheet.sample_rows.is_empty()),
    });
    let header = match read.map(|sheet| sheet.header_row_number) {
        None | Some(1) => String::new(),
        Some(row) => format!(" --header-row {row}"),
    };
    let sheet = named.map_or(String::new(), |name| {
        format!(" --sheet {}", server::quoted(Path::new(name)))
    });
    let mut guesses = response.mappings.iter().filter(|mapping| is_guess(mapping));
    let without = if guesses.next().is_some() {
        " without the guesses"
    } else {
        ""
    };
    let is_whole = response.mappings.iter().all(|mapping| mapping.score >= 1.0);
    let unmapped = if is_whole { "" } else { " --ignore-unmapped" };
    terminal.line("")?;
    terminal.line(format!(
        "To import it{without}: rowlift import {} --table {table}{sheet}{header}{unmapped}{}",
        server::quoted(&args.file),
        server::flags(&args.server),
    ))
}

fn print_sheet(sheet: &Sheet, terminal: &mut Terminal) -> io::Result<()> {
    terminal.line("")?;
    let name = match sheet.name.as_str() {
        "" => String::from("Rows"),
        name => format!("Sheet {}", text::value(name)),
    };
    let hidden = if sheet.hidden { ", hidden" } else { "" };
    let header = match (sheet.header_row_number, sheet.sample_rows.is_empty()) {
        (0, true) => String::from("no rows"),
        (0, false) => String::from("no header"),
        (row, _) => format!("header in row {row}"),
    };
    terminal.line(format!("{name}{hidden}: {header}"))?;
    let shown = sheet.sample_rows.iter().take(ROWS_SHOWN);
    let widths = shown.clone().map(|row| row.values.len());
    let n_columns = widths.max().unwrap_or(0).max(sheet.header.len());
    if n_columns == 0 {
        return Ok(());
    }
    let cut = |cells: Vec<String>| -> Vec<String> {
        let more = if n_columns > COLUMNS_SHOWN { "…" } else { "" };
        let cells = cells.into_iter().chain(std::iter::repeat(String::new()));
        let cells = cells
            .take(n_columns.min(COLUMNS_SHOWN))
            .map(|cell| shortened(&cell));
        cells.chain([String::from(more)]).collect()
    };
    let mut headings = vec![String::from("row")];
    headings.extend(cut(sheet.header.clone()));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut grid = Grid::new(&headings);
    for row in shown {
        let values = cut(row.values.iter().map(text::contract_value).collect());
        let number = std::iter::once(row.source_row_number.to_string());
        grid.push_row(number.chain(values));
    }
    print_grid(&grid, terminal)
}

fn print_mappings(
    table: &str,
    response: &InspectFileResponse,
    terminal: &mut Terminal,
) -> io::Result<()> {
    terminal.line("")?;
    if response.mappings.is_empty() {
        return terminal.line(format!("Nothing to map onto table {table}."));
    }
    terminal.line(format!("Into table {table}:"))?;
    let mut grid = Grid::new(&["", "header", "column", "match"]);
    let mut has_guesses = false;
    for mapping in &response.mappings {
        let is_guess = is_guess(mapping);
        has_guesses |= is_guess;
        let certainty = if is_guess {
            format!("guess, {:.0} %", mapping.score * 100.0)
        } else if mapping.target_column.is_empty() {
            String::from("nothing near")
        } else {
            String::from("exact")
        };
        let position = u32::try_from(mapping.source_index).unwrap_or_default();
        grid.push([
            column_letters(position).into(),
            mapping.source_name.as_str().into(),
            mapping.target_column.as_str().into(),
            certainty.into(),
        ]);
    }
    print_grid(&grid, terminal)?;
    for column in &response.missing_columns {
        terminal.line(format!(
            "Column {column} needs a value, and no header is near."
        ))?;
    }
    if has_guesses {
        terminal.line(
            "A guess is not applied by itself: rename the header, or declare it as an alias in \
             the server's configuration.",
        )?;
    }
    Ok(())
}

fn is_guess(mapping: &MappingProposal) -> bool {
    mapping.score < 1.0 && !mapping.target_column.is_empty()
}

fn print_grid(grid: &Grid, terminal: &mut Terminal) -> io::Result<()> {
    for line in grid.lines() {
        terminal.line(format!("  {line}"))?;
    }
    Ok(())
}

/// The beginning of a cell, so that rows fit onto a screen.
fn shortened(cell: &str) -> String {
    let mut characters = cell.chars();
    let mut shown: String = characters.by_ref().take(CELL_CHARS_MAX).collect();
    if characters.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;

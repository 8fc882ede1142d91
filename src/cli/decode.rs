//! `decode`: every row of a file, as CSV or JSON lines; nothing is written to any table.
//!
//! In: the file, streamed. Out: the header and the rows on standard output as they come, rows with
//! cells that have no value on standard error; as JSON all of it on standard output. A reader that has
//! seen enough may close the pipe.

use std::io;

use crate::cli::args::DecodeArgs;
use crate::cli::exit::{CliError, Exit};
use crate::cli::import::{file_layout, rejected_grid};
use crate::cli::misnamed;
use crate::cli::server::Server;
use crate::cli::terminal::Terminal;
use crate::cli::text;
use crate::client::{CallOptions, json};
use crate::proto::decode_file_response::Event;
use crate::proto::value::Kind;
use crate::proto::{FileSource, RejectedRow, Value};

/// Prints the rows.
pub(super) async fn decode(args: &DecodeArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    misnamed::note(&args.file, terminal).await;
    let file_name = args.file.file_name().unwrap_or_default();
    let source = FileSource {
        file_name: file_name.to_string_lossy().into_owned(),
        ..file_layout(&args.layout)
    };
    let mut server = Server::connect_without_tables(&args.server).await?;
    let client = server.client();
    let mut n_faulty = 0_i64;
    let mut n_columns = 0;
    let options = CallOptions::default();
    let call = async {
        let on_event = |event| {
            n_faulty += i64::from(matches!(event, Event::FaultyRow(_)));
            if args.json {
                print_json(event, terminal)
            } else {
                print(event, &mut n_columns, terminal)
            }
        };
        Ok(client
            .decode_path(source, &args.file, &options, on_event)
            .await?)
    };
    match server.run(Box::pin(call)).await {
        Ok(()) => {
            drop(client);
            server.close().await;
        }
        // Nothing was written that a stop would have to wait for.
        Err(error) => {
            drop(server);
            return Err(error);
        }
    }
    if n_faulty == 0 {
        return Ok(Exit::Done);
    }
    let rows = text::rows(n_faulty);
    terminal.note(format!(
        "{rows} left out for cells without a value of their own"
    ));
    Ok(Exit::RowsRejected)
}

/// Rows are as wide as the header, whose width is kept in `n_columns`, or wider.
fn print(event: Event, n_columns: &mut usize, terminal: &mut Terminal) -> io::Result<()> {
    match event {
        Event::Header(sheet) if sheet.header_row_number > 0 => {
            *n_columns = sheet.header.len();
            let mut line = String::new();
            csv_row(sheet.header.iter().map(String::as_str), &mut line);
            terminal.data(&line)
        }
        Event::Header(_) => Ok(()),
        Event::Rows(batch) => {
            let mut lines = String::new();
            for row in &batch.rows {
                let mut values: Vec<String> = row.values.iter().map(value_text).collect();
                values.resize(values.len().max(*n_columns), String::new());
                csv_row(values.iter().map(String::as_str), &mut lines);
            }
            terminal.data(&lines)
        }
        Event::FaultyRow(row) => {
            note_faulty(&row, terminal);
            Ok(())
        }
    }
}

fn print_json(event: Event, terminal: &mut Terminal) -> io::Result<()> {
    match event {
        Event::Header(sheet) => terminal.json(&json::line(&sheet)),
        Event::Rows(batch) => batch
            .rows
            .iter()
            .try_for_each(|row| terminal.json(&json::line(row))),
        Event::FaultyRow(row) => terminal.json(&json::line(&row)),
    }
}

fn note_faulty(row: &RejectedRow, terminal: &mut Terminal) {
    // Without the headings, which would come again with every row.
    for line in rejected_grid(std::slice::from_ref(row)).lines().skip(1) {
        terminal.note(format!("row {line}"));
    }
}

/// The value as an import of the CSV would read it again.
fn value_text(value: &Value) -> String {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::TimestampValue(time)) => wall_clock(time.seconds, time.nanos),
        _ => text::contract_value(value),
    }
}

/// A date with a time, which is in no zone.
fn wall_clock(seconds: i64, nanos: i32) -> String {
    jiff::Timestamp::new(seconds, nanos).map_or_else(
        |_| format!("{seconds} s"),
        |time| jiff::tz::Offset::UTC.to_datetime(time).to_string(),
    )
}

/// A record by RFC 4180, its line ended by LF.
fn csv_row<'a>(cells: impl Iterator<Item = &'a str>, out: &mut String) {
    let start = out.len();
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        let is_quoted = cell.contains([',', '"', '\n', '\r']);
        if is_quoted {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    // A row of one empty cell would be a blank line.
    if out.len() == start {
        out.push_str("\"\"");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests;

//! `tables`: what can be imported into.

use std::io;

use crate::cli::args::TablesArgs;
use crate::cli::exit::{CliError, Exit};
use crate::cli::server::Server;
use crate::cli::terminal::Terminal;
use crate::cli::text::Grid;
use crate::client::json;
use crate::proto::{Table, TableColumn};

/// Lists the tables, or describes one.
pub(super) async fn tables(args: &TablesArgs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let named: Vec<&str> = args.name.iter().map(String::as_str).collect();
    let mut server = Server::connect(&args.server, &named).await?;
    let client = server.client();
    let call = async move {
        Ok(match &args.name {
            Some(name) => vec![client.table(name).await?],
            None => client.tables().await?,
        })
    };
    let outcome = server.run(Box::pin(call)).await;
    server.close().await;
    let tables = outcome?;
    if args.json {
        for table in &tables {
            terminal.json(&json::line(table))?;
        }
    } else if args.name.is_some() {
        for table in &tables {
            print_table(table, terminal)?;
        }
    } else {
        print_list(&tables, terminal)?;
    }
    Ok(Exit::Done)
}

fn print_list(tables: &[Table], terminal: &mut Terminal) -> io::Result<()> {
    if tables.is_empty() {
        return terminal.line("no tables: none of those on the allow-list exists");
    }
    let mut grid = Grid::new(&["table", "importable columns"]);
    for table in tables {
        let columns = table.columns.iter().filter(|column| column.importable);
        let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        grid.push([table.name.as_str().into(), names.join(", ").into()]);
    }
    for line in grid.lines() {
        terminal.line(line)?;
    }
    Ok(())
}

/// The columns with all that decides what they take, then the keys.
fn print_table(table: &Table, terminal: &mut Terminal) -> io::Result<()> {
    terminal.line(&table.name)?;
    terminal.line("")?;
    let mut grid = Grid::new(&[
        "column",
        "type",
        "null",
        "default",
        "filled by",
        "also called",
    ]);
    for column in &table.columns {
        grid.push([
            column.name.as_str().into(),
            type_of(column).into(),
            if column.nullable { "yes" } else { "no" }.into(),
            if column.has_default { "yes" } else { "no" }.into(),
            filled_by(column).into(),
            column.aliases.join(", ").into(),
        ]);
    }
    for line in grid.lines() {
        terminal.line(line)?;
    }
    if table.unique_keys.is_empty() {
        return Ok(());
    }
    terminal.line("")?;
    let mut grid = Grid::new(&["key", "columns", "kind"]);
    for key in &table.unique_keys {
        let kind = if key.primary {
            "primary"
        } else if key.definition.is_empty() {
            "unique"
        } else {
            &key.definition
        };
        grid.push([
            key.name.as_str().into(),
            key.columns.join(", ").into(),
            kind.into(),
        ]);
    }
    for line in grid.lines() {
        terminal.line(line)?;
    }
    Ok(())
}

fn type_of(column: &TableColumn) -> String {
    if column.enum_values.is_empty() {
        return column.r#type.clone();
    }
    format!("{} ({})", column.r#type, column.enum_values.join(", "))
}

fn filled_by(column: &TableColumn) -> &'static str {
    match (column.generated, column.importable, column.assignable) {
        (true, ..) => "the database",
        (false, true, true) => "file, constant",
        (false, true, false) => "file",
        (false, false, true) => "constant",
        (false, false, false) => "",
    }
}

#[cfg(test)]
mod tests;

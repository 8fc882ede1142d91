//! The arguments of every command; names are fixed, because scripts depend on them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::ServeFlags;
use crate::config::value::parse_duration;

/// Puts every row of a spreadsheet into a database table exactly once.
#[derive(Debug, Parser)]
#[command(name = "rowlift", version, about, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 all rows in, 2 finished with rejected rows, 1 failed, 64 usage."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve gRPC until SIGTERM or SIGINT
    Serve(ServeFlags),
    /// Import a file into a table
    Import(Box<ImportArgs>),
    /// Show a file's sheets, header and sample rows, and what a table would make of it
    Inspect(InspectArgs),
    /// Print a file's rows as they are read, as CSV or JSON
    Decode(DecodeArgs),
    /// Show the tables that can be imported into, or one with its columns and keys
    Tables(TablesArgs),
    /// Show imports, newest first, or one
    Imports(ImportsArgs),
    /// Follow an import until it ends
    Watch(WatchArgs),
    /// Show an import's rejected rows, or write them to a file to fix and send again
    Rejects(RejectsArgs),
    /// Stop an import, running or suspended
    Cancel(CancelArgs),
    /// Wipe what an ended import keeps of its data; rows in the table stay
    Delete(DeleteArgs),
    /// Bring the database's ledger to this version
    Migrate(MigrateArgs),
}

/// Which server a client command asks.
#[derive(Debug, Default, Clone, Args)]
pub(super) struct ServerArgs {
    /// Server such as http://127.0.0.1:50051; without it the service runs inside this process
    #[arg(long, value_name = "URL")]
    pub(super) addr: Option<String>,
    /// Authorities that vouch for the server, PEM [default: the public ones]
    #[arg(long, value_name = "FILE", requires = "addr")]
    pub(super) ca_file: Option<PathBuf>,
    /// Client certificate to show, PEM
    #[arg(long, value_name = "FILE", requires_all = ["addr", "key_file"])]
    pub(super) cert_file: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(super) key_file: Option<PathBuf>,
    /// File with the bearer token to show
    #[arg(long, value_name = "FILE", requires = "addr")]
    pub(super) token_file: Option<PathBuf>,
    /// Database of the service inside this process [default: sqlite://rowlift.db?mode=rwc]
    #[arg(long, value_name = "URL", conflicts_with = "addr")]
    pub(super) database_url: Option<String>,
    /// TOML file with settings of the service inside this process
    #[arg(long, value_name = "FILE", conflicts_with = "addr")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag by itself")]
pub(super) struct ImportArgs {
    /// Workbook (xlsx, xlsm, xls, xlsb, ods) or CSV file, gzip or zstd around it included
    pub(super) file: PathBuf,
    /// Target, [schema.]table
    #[arg(long)]
    pub(super) table: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Id of the import: the same id again is the same import
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) import_id: Option<String>,
    /// Continue --import-id where it was interrupted, or start it
    #[arg(long, requires = "import_id")]
    pub(super) resume: bool,
    /// How rows reach the table [default: the fastest that the database has]
    #[arg(long, value_enum)]
    pub(super) method: Option<Method>,
    /// What a row does whose key is in the table already [default: reject]
    #[arg(long, value_enum, value_name = "ACTION")]
    pub(super) on_conflict: Option<OnConflict>,
    /// Columns of the unique key for skip and update [default: the only one that is mapped]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(super) key: Vec<String>,
    /// Name of the unique key, for one that is partial or over expressions
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub(super) conflict_key: Option<String>,
    /// What a row does under update whose key is not in the table [default: insert]
    #[arg(long, value_enum, value_name = "ACTION")]
    pub(super) on_missing: Option<OnMissing>,
    /// What a bad row does to the import [default: skip]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(super) on_error: Option<OnError>,
    /// Rejected rows that an import survives; -1: any number [default: the server's limit]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    pub(super) max_rejected: Option<i64>,
    /// All rows in one transaction, or none
    #[arg(long)]
    pub(super) atomic: bool,
    /// Everything but the commit: nothing stays in the table
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Once the file has arrived, let the server go on although this command is gone
    #[arg(long = "continue")]
    pub(super) continues: bool,
    /// Setting of the database for the import's transactions, one that the server allows
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(super) set: Vec<(String, String)>,
    /// Leave out columns of the file that match no column of the table
    #[arg(long)]
    pub(super) ignore_unmapped: bool,
    /// Deadline of the whole import, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub(super) timeout: Option<Duration>,
    /// Label to find the import by
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(super) label: Vec<(String, String)>,
    /// Whose data it is, where one caller imports for many
    #[arg(long, value_name = "NAME")]
    pub(super) tenant: Option<String>,
    /// Fail, before a row is written, if the same file was imported into the table before
    #[arg(long)]
    pub(super) refuse_duplicate: bool,
    /// How long the server keeps values of rejected rows, such as 7d; 0s: it never stores them
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) reject_retention: Option<Duration>,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    /// Events and, as the last line, the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How a file is laid out.
#[derive(Debug, Default, Args)]
pub(super) struct LayoutArgs {
    /// Sheet of the workbook [default: the first visible one with data]
    #[arg(long)]
    pub(super) sheet: Option<String>,
    /// Row of the header as the spreadsheet program counts; 0: none [default: 1; inspect: guessed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) header_row: Option<i32>,
    /// Separator of a CSV file's cells; "tab" for a tab [default: detected]
    #[arg(long, value_name = "CHARACTER")]
    pub(super) delimiter: Option<String>,
    /// Encoding of a CSV file, such as windows-1252 [default: by mark, else UTF-8]
    #[arg(long, value_name = "LABEL")]
    pub(super) encoding: Option<String>,
}

/// How a file is read.
#[derive(Debug, Default, Args)]
pub(super) struct SourceArgs {
    #[command(flatten)]
    pub(super) layout: LayoutArgs,
    /// Text of a CSV cell that means NULL
    #[arg(long, value_name = "TEXT")]
    pub(super) null_token: Vec<String>,
    /// Zone of times without an offset, such as Europe/Berlin
    #[arg(long, value_name = "NAME")]
    pub(super) time_zone: Option<String>,
    /// Decimal separator of numbers in text cells
    #[arg(long, value_name = "CHARACTER", value_parser = [".", ","])]
    pub(super) decimal_separator: Option<String>,
    /// Order in dates such as 01/02/2024
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(super) date_order: Option<Order>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Workbook or CSV file
    pub(super) file: PathBuf,
    /// Table to propose a mapping for
    #[arg(long)]
    pub(super) table: Option<String>,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The header comes first, then each row. Rows with cells that have no value (errors, formulas \
that were never computed) go to standard error, and the exit code is 2. With --json every line is \
an object in proto3 JSON: the Sheet, then each Row or, with such cells, RejectedRow."
)]
pub(super) struct DecodeArgs {
    /// Workbook or CSV file
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) layout: LayoutArgs,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// One row a line as JSON, all of them on standard output
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    /// Table to describe; all are listed without it
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// One table a line as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportsArgs {
    /// Import to show; all are listed without it
    pub(super) id: Option<String>,
    /// Only imports with this label; all of them where it is given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair, conflicts_with = "id")]
    pub(super) label: Vec<(String, String)>,
    /// Only imports of this tenant
    #[arg(long, value_name = "NAME")]
    pub(super) tenant: Option<String>,
    /// Imports to list at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// One import a line as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Import to follow
    pub(super) id: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// One state a line as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RejectsArgs {
    /// Import whose rejected rows are wanted
    pub(super) id: String,
    /// File to write them to, .xlsx or .csv, in the source's own layout
    #[arg(long, value_name = "FILE", value_parser = parse_output)]
    pub(super) output: Option<Output>,
    /// Overwrite the file
    #[arg(long, requires = "output")]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// One row a line as JSON
    #[arg(long, conflicts_with = "output")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Import to stop
    pub(super) id: String,
    /// Why, for the record
    #[arg(long, default_value = "")]
    pub(super) reason: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The import as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Import to wipe
    pub(super) id: String,
    /// Its tenant; another one's is not wiped
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(super) tenant: String,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// The import as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Database: postgres://... or sqlite://FILE
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// File that holds the database's URL, such as a mounted secret
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    pub(super) database_url_file: Option<PathBuf>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Method {
    Copy,
    Batch,
    Concurrent,
    Sequential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnConflict {
    Reject,
    Skip,
    Update,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnMissing {
    Insert,
    Reject,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    Skip,
    Abort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    Dmy,
    Mdy,
    Ymd,
}

/// A file to write rejected rows to, and the format that its name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    pub(super) format: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputFormat {
    Xlsx,
    Csv,
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(String::from("must be longer than 0")),
        timeout => Ok(timeout),
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(String::from("NAME=VALUE is expected")),
    }
}

fn parse_output(text: &str) -> Result<Output, String> {
    let path = PathBuf::from(text);
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    let format = match extension.as_ref().and_then(|it| it.to_str()) {
        Some("xlsx") => OutputFormat::Xlsx,
        Some("csv") => OutputFormat::Csv,
        _ => {
            return Err(String::from(
                "a name that ends in .xlsx or .csv is expected",
            ));
        }
    };
    Ok(Output { path, format })
}

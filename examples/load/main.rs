//! Load for benchmarks: what the command line does not send.
//!
//! ```sh
//! cargo run --release --example load -- packed --addr http://127.0.0.1:50051 b.csv
//! cargo run --release --example load -- small --addr http://127.0.0.1:50051 --rows 10
//! cargo run --release --example load -- idle --addr http://127.0.0.1:50051 --imports 200
//! cargo run --release --example load -- write --database-url postgres://... --batch-rows 1000 b.csv
//! ```
//!
//! In: the address of a running service, or of a database. Out: times in seconds as one JSON object on standard
//! output. Benchmarks, not tests: nothing is asserted but that the rows went in.
#![expect(clippy::print_stdout, reason = "a command whose output is its purpose")]

use std::error::Error;

use clap::{Parser, Subcommand};
use futures::Stream;
use rowlift::proto::import_response::Event;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{ImportRequest, ImportStats};
use tonic::transport::Channel;

mod batches;
mod idle;
mod packed;
mod small;
mod write;

type Client = ImportServiceClient<Channel>;

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One import of a CSV file's rows as packed rows, made before the clock starts
    Packed(packed::Args),
    /// Imports of a few rows one after the other on one warm connection
    Small(small::Args),
    /// Imports that are open and send nothing, until standard input ends
    Idle(idle::Args),
    /// The writes of an import without the service: a CSV file's rows, through the ledger or past it
    Write(write::Args),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Args::parse().command {
        Command::Packed(args) => packed::run(&args).await,
        Command::Small(args) => small::run(&args).await,
        Command::Idle(args) => idle::run(&args).await,
        Command::Write(args) => write::run(&args).await,
    }
}

/// Runs an import to its end.
async fn import(
    client: &mut Client,
    requests: impl Stream<Item = ImportRequest> + Send + 'static,
) -> Result<ImportStats, Box<dyn Error>> {
    let mut events = client.import(requests).await?.into_inner();
    let mut last = None;
    while let Some(response) = events.message().await? {
        last = response.event;
    }
    match last {
        Some(Event::Result(result)) => Ok(result.stats.unwrap_or_default()),
        other => Err(format!("no result, but {other:?}").into()),
    }
}

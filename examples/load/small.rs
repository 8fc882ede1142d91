//! How long small imports take on a warm connection.
//!
//! In: rows in an import, or a file's path. Out: percentiles over imports one after the other.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use futures::stream;
use rowlift::client::messages;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{FileChunk, Finish, ImportRequest};

use crate::{Client, import};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the service
    #[arg(long)]
    addr: String,
    /// Table to import into; it has a text column `name`
    #[arg(long, default_value = "businesses")]
    table: String,
    /// Rows of an import
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Send this file instead
    #[arg(long)]
    file: Option<PathBuf>,
    /// Imports to measure, after a quarter as many that warm up
    #[arg(long, default_value_t = 200)]
    imports: usize,
    /// Go on beyond `--imports` until standard input is closed
    #[arg(long)]
    until_closed: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let requests = requests(args)?;
    let mut client = Client::connect(args.addr.clone()).await?;
    let mut seconds = Vec::with_capacity(args.imports);
    let until_closed = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let closed = args.until_closed.then(|| std::thread::spawn(until_closed));
    let n_warm = args.imports / 4;
    for index in 0.. {
        let goes_on = closed.as_ref().is_some_and(|closed| !closed.is_finished());
        if index >= args.imports + n_warm && !goes_on {
            break;
        }
        let begun = Instant::now();
        let stats = import(&mut client, stream::iter(requests.clone())).await?;
        if stats.inserted_row_count == 0 {
            return Err(format!("no row went in: {stats:?}").into());
        }
        if index >= n_warm {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    seconds.sort_unstable_by(f64::total_cmp);
    let percentile = |p: usize| seconds[(seconds.len() * p / 100).min(seconds.len() - 1)];
    println!(
        "{{\"imports\": {}, \"p50\": {:.5}, \"p95\": {:.5}, \"p99\": {:.5}}}",
        seconds.len(),
        percentile(50),
        percentile(95),
        percentile(99)
    );
    Ok(())
}

fn requests(args: &Args) -> Result<Vec<ImportRequest>, Box<dyn Error>> {
    let payloads = if let Some(path) = &args.file {
        let data = std::fs::read(path)?;
        let total_bytes = i64::try_from(data.len())?;
        let chunk = FileChunk {
            data: data.into(),
            ..FileChunk::default()
        };
        let finish = Finish {
            total_bytes: Some(total_bytes),
            ..Finish::default()
        };
        vec![
            messages::request(Payload::Header(messages::file_header(&args.table))),
            messages::request(Payload::Chunk(chunk)),
            messages::request(Payload::Finish(finish)),
        ]
    } else {
        let rows = vec![vec![messages::text("latency")]; args.rows];
        vec![
            messages::request(Payload::Header(messages::row_header(
                &args.table,
                &["name"],
            ))),
            messages::row_batch(None, rows),
            messages::finish_rows(i64::try_from(args.rows)?),
        ]
    };
    Ok(payloads)
}

//! A CSV file's rows as packed rows.
//!
//! In: a CSV file with a header, held in memory whole. Out: the time from the first message to
//! the result, the making of the messages not counted.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use futures::stream;
use rowlift::client::messages;
use rowlift::proto::ImportRequest;
use rowlift::proto::import_request::Payload;

use crate::{Client, import};

/// Bytes of cells in a message, about; a message may have 4 MiB.
const MESSAGE_BYTES: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the service
    #[arg(long)]
    addr: String,
    /// Table to import into
    #[arg(long, default_value = "businesses")]
    table: String,
    /// CSV file; an empty cell is NULL
    file: PathBuf,
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let (requests, n_rows) = requests(args)?;
    let mut client = Client::connect(args.addr.clone()).await?;
    let begun = Instant::now();
    let stats = import(&mut client, stream::iter(requests)).await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{{\"seconds\": {seconds:.4}, \"sent\": {n_rows}, \"inserted\": {}}}",
        stats.inserted_row_count
    );
    Ok(())
}

fn requests(args: &Args) -> Result<(Vec<ImportRequest>, i64), Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(&args.file)?;
    let columns = reader.headers()?.clone();
    let columns: Vec<&str> = columns.iter().collect();
    let header = messages::row_header(&args.table, &columns);
    let mut requests = vec![messages::request(Payload::Header(header))];
    let mut rows = Vec::new();
    let (mut n_bytes, mut n_rows) = (0, 0);
    for record in reader.records() {
        let record = record?;
        n_bytes += record.as_slice().len();
        n_rows += 1;
        rows.push(record);
        if n_bytes >= MESSAGE_BYTES {
            requests.push(packed(&rows));
            rows.clear();
            n_bytes = 0;
        }
    }
    requests.push(packed(&rows));
    requests.push(messages::finish_rows(n_rows));
    Ok((requests, n_rows))
}

fn packed(rows: &[csv::StringRecord]) -> ImportRequest {
    let cell = |text| Some(text).filter(|it: &&str| !it.is_empty());
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(cell).collect())
        .collect();
    messages::packed_rows(None, &rows)
}

//! A CSV file's rows into the database, in turn as the service's writers do it and past the ledger.
//!
//! In: a CSV file, held in memory as batches, and a migrated database. Out: rows and seconds of both
//! ways; reading, mapping and hashing are done before. They take turns every few batches, into the same
//! table, so that a slow moment of the machine and a growing table meet both alike. And the time that the
//! ledger takes once an import, to open it and to end it.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowlift::app;
use rowlift::batch::BatchLimits;
use rowlift::config::Config;
use rowlift::config::database_url::DatabaseUrl;
use rowlift::model::batch::Batch;
use tokio::task::JoinSet;

use crate::batches;

use bare::Bare;
use stored::Stored;

mod bare;
mod stored;

/// Batches of a turn, for each writer.
const BATCHES_PER_TURN: usize = 2;

/// Turns that are not measured, one for each way: they open connections.
const WARM_UP_TURNS: usize = 2;

/// Measured turns without which nothing can be compared.
const TURNS_MIN: usize = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// PostgreSQL that `rowlift migrate` has prepared
    #[arg(long)]
    database_url: String,
    /// Table to write into
    #[arg(long, default_value = "businesses")]
    table: String,
    /// Rows of a batch; its bytes are bounded as in the service
    #[arg(long)]
    batch_rows: usize,
    /// CSV file with a header
    file: PathBuf,
}

/// One of the two ways, measured.
#[derive(Debug, Default)]
struct Side {
    n_rows: u64,
    elapsed: Duration,
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let config = Config {
        database_url: DatabaseUrl::parse(&args.database_url)?,
        ..Config::default()
    };
    let store = app::open_store(&config).await?;
    let table = store.table(&args.table).await?;
    let table = table.ok_or("no such table, or it is not on the default allow-list")?;
    let limits = BatchLimits {
        rows_first: args.batch_rows,
        rows_max: args.batch_rows,
        bytes_max: config.batch_bytes_max,
    };
    let (header, frames) = batches::decoded(&std::fs::read(&args.file)?)?;
    let mapping = batches::mapping(&table, &header)?;
    let plan = Arc::new(batches::plan(&mapping));
    let batches = batches::batches(&mapping, frames, limits)?;

    let n_writers = config.writers_per_import;
    let n_batches = batches.len();
    let turns = turns(batches, n_writers * BATCHES_PER_TURN)?;
    let opening = Instant::now();
    let stored = Arc::new(Stored::open(store, Arc::clone(&plan)).await?);
    let mut once = opening.elapsed();
    let bare = Arc::new(Bare::new(&config.database_url, plan, n_writers)?);

    let (mut with, mut without) = (Side::default(), Side::default());
    for (index, turn) in turns.into_iter().enumerate() {
        let begun = Instant::now();
        let (side, n_rows) = if is_through_ledger(index) {
            let write = |batch| Arc::clone(&stored).write(batch);
            (&mut with, drive(turn, n_writers, write).await?)
        } else {
            let write = |batch| Arc::clone(&bare).write(batch);
            (&mut without, drive(turn, n_writers, write).await?)
        };
        if index >= WARM_UP_TURNS {
            side.n_rows += n_rows;
            side.elapsed += begun.elapsed();
        }
    }
    let ending = Instant::now();
    let counts = stored.end().await?;
    once += ending.elapsed();
    let told = serde_json::json!({
        "stored": {"rows": with.n_rows, "seconds": with.elapsed.as_secs_f64()},
        "bare": {"rows": without.n_rows, "seconds": without.elapsed.as_secs_f64()},
        "rejected": counts.rejected,
        "once_seconds": once.as_secs_f64(),
        "batches": n_batches,
    });
    println!("{told}");
    Ok(())
}

/// So many batches each; fewer at the end are left out.
fn turns(batches: Vec<Batch>, n_batches: usize) -> Result<Vec<Vec<Batch>>, Box<dyn Error>> {
    let n_turns = batches.len() / n_batches;
    let n_needed = WARM_UP_TURNS + TURNS_MIN;
    if n_turns < n_needed {
        let n = batches.len();
        return Err(format!("{n} batches are {n_turns} turns, {n_needed} are needed").into());
    }
    let mut batches = batches.into_iter();
    let turn = |_| batches.by_ref().take(n_batches).collect();
    Ok((0..n_turns).map(turn).collect())
}

/// Whose turn it is: the Thue-Morse sequence, which favours neither way and has no period. A turn of
/// two writers nearly fills a segment of the database's log, and a new segment holds both up: where
/// turns change in a fixed period, most of that meets one way.
fn is_through_ledger(turn: usize) -> bool {
    turn.count_ones().is_multiple_of(2)
}

/// Writes batches, so many at once; how many rows the table took.
async fn drive<F, E>(
    batches: Vec<Batch>,
    n_writers: usize,
    write: impl Fn(Batch) -> F,
) -> Result<u64, Box<dyn Error>>
where
    F: Future<Output = Result<u64, E>> + Send + 'static,
    E: Error + Send + 'static,
{
    let mut batches = batches.into_iter();
    let mut writes = JoinSet::new();
    let mut n_rows = 0;
    loop {
        while writes.len() < n_writers
            && let Some(batch) = batches.next()
        {
            writes.spawn(write(batch));
        }
        match writes.join_next().await {
            Some(n_taken) => n_rows += n_taken??,
            None => return Ok(n_rows),
        }
    }
}

//! Makes the data of benchmarks, and the example file.
//!
//! ```sh
//! cargo run --release --example generate -- --rows 1000000 --seed 1 --format xlsx --output b.xlsx
//! cargo run --release --example generate -- --example-file --output examples/businesses.xlsx
//! ```
//!
//! In: a number of rows and a seed. Out: the same file every time; the same rows as xlsx and as
//! CSV. Row by row, in memory that does not grow with their number.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write, stderr};
use std::path::PathBuf;

use clap::Parser;

use crate::rows::{Format, Variant};

mod example_file;
mod rows;
mod text;
mod words;
mod xlsx;

/// Rows of a sheet, less the header.
const SHEET_ROWS_MAX: u64 = (1 << 20) - 1;

/// Makes a file of businesses.
#[derive(Debug, Parser)]
struct Args {
    /// Rows besides the header
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=rows::ROWS_MAX))]
    rows: u64,
    /// The same seed makes the same file
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value = "xlsx")]
    format: Format,
    /// File to write
    #[arg(long)]
    output: PathBuf,
    /// Rows in a hundred that hold a cell which no import accepts
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    bad_cells: f64,
    /// Rows in a hundred that have name and email of an earlier row
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    repeat_keys: f64,
    /// The 1,000 rows of examples/businesses.xlsx, 13 of them bad, instead
    #[arg(long, conflicts_with_all = ["rows", "seed", "format", "bad_cells", "repeat_keys"])]
    example_file: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.format == Format::Xlsx && args.rows > SHEET_ROWS_MAX {
        return Err(format!("a sheet holds at most {SHEET_ROWS_MAX} rows and a header").into());
    }
    let output = BufWriter::with_capacity(1 << 20, File::create(&args.output)?);
    if args.example_file {
        xlsx::write(output, "Businesses", || example_file::rows().into_iter())?.flush()?;
    } else {
        let variant = Variant {
            seed: args.seed,
            bad_cells: args.bad_cells / 100.0,
            repeat_keys: args.repeat_keys / 100.0,
        };
        let rows = || {
            let data = (0..args.rows).map(|index| rows::row(index, &variant, args.format));
            std::iter::once(rows::header()).chain(data)
        };
        match args.format {
            Format::Xlsx => xlsx::write(output, "Businesses", rows)?.flush()?,
            Format::Csv => text::write(output, rows())?.flush()?,
        }
    }
    let n_bytes = std::fs::metadata(&args.output)?.len();
    writeln!(stderr(), "{}: {n_bytes} bytes", args.output.display())?;
    Ok(())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err(String::from("a number from 0 to 100 is expected")),
    }
}

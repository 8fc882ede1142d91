//! How long a one-row import takes on a warm connection: `cargo run --release --example latency
//! -- --addr http://127.0.0.1:50051 --table businesses [--imports 200]`.
//!
//! In: the address of a running service and a table with a text column `name`. Out: percentiles
//! on standard output. A benchmark, not a test: nothing is asserted but that the rows went in.
#![expect(clippy::print_stdout, reason = "a command whose output is its purpose")]

use std::time::{Duration, Instant};

use clap::Parser;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::{self, import_header, value::Kind};

#[derive(Debug, Parser)]
struct Args {
    /// Address of the service
    #[arg(long)]
    addr: String,
    /// Table to import into
    #[arg(long, default_value = "businesses")]
    table: String,
    /// Imports to measure, after as many that warm up
    #[arg(long, default_value_t = 200)]
    imports: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut client = ImportServiceClient::connect(args.addr.clone()).await?;
    for _ in 0..args.imports {
        import_one_row(&mut client, &args.table).await?;
    }
    let mut times = Vec::with_capacity(args.imports);
    for _ in 0..args.imports {
        let begun = Instant::now();
        import_one_row(&mut client, &args.table).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let percentile = |p: usize| -> Duration { times[(times.len() * p / 100).min(times.len() - 1)] };
    println!(
        "one-row imports: {} measured, p50 {:.2?}, p95 {:.2?}, p99 {:.2?}",
        times.len(),
        percentile(50),
        percentile(95),
        percentile(99)
    );
    Ok(())
}

async fn import_one_row(
    client: &mut ImportServiceClient<tonic::transport::Channel>,
    table: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let source = proto::RowSource {
        column_names: vec!["name".to_owned()],
        as_cells: false,
    };
    let header = proto::ImportHeader {
        table: table.to_owned(),
        source: Some(import_header::Source::RowSource(source)),
        ..Default::default()
    };
    let value = proto::Value {
        kind: Some(Kind::StringValue("latency".to_owned())),
    };
    let rows = vec![proto::Row {
        values: vec![value],
        ..Default::default()
    }];
    let messages = [
        Payload::Header(header),
        Payload::Rows(proto::RowBatch {
            rows,
            ..Default::default()
        }),
        Payload::Finish(proto::Finish {
            total_row_count: Some(1),
            ..Default::default()
        }),
    ];
    let requests = messages.map(|payload| proto::ImportRequest {
        payload: Some(payload),
    });
    let mut events = client
        .import(futures::stream::iter(requests))
        .await?
        .into_inner();
    let mut last = None;
    while let Some(response) = events.message().await? {
        last = response.event;
    }
    match last {
        Some(Event::Result(result))
            if result.stats.is_some_and(|it| it.inserted_row_count == 1) =>
        {
            Ok(())
        }
        other => Err(format!("the row did not go in: {other:?}").into()),
    }
}

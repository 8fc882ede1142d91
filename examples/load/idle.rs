//! Open imports that send nothing but their header.
//!
//! In: how many. Out: a line once all are accepted; they end when standard input does.

use std::error::Error;

use futures::StreamExt;
use rowlift::client::messages;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;

use crate::Client;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the service
    #[arg(long)]
    addr: String,
    /// Table to import into; it has a text column `name`
    #[arg(long, default_value = "businesses")]
    table: String,
    /// Imports to hold open
    #[arg(long, default_value_t = 200)]
    imports: usize,
}

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(args.addr.clone()).await?;
    let mut open = Vec::with_capacity(args.imports);
    for _ in 0..args.imports {
        let header = messages::row_header(&args.table, &["name"]);
        let first = messages::request(Payload::Header(header));
        let stays_open = futures::stream::iter([first]).chain(futures::stream::pending());
        let mut events = client.import(stays_open).await?.into_inner();
        match events.message().await?.and_then(|it| it.event) {
            Some(Event::Accepted(_)) => open.push(events),
            other => return Err(format!("not accepted, but {other:?}").into()),
        }
    }
    println!("{{\"open\": {}}}", open.len());
    // The connection lives on in tasks of its own.
    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ended).await??;
    Ok(())
}

//! A million rejected rows, and a service that does not grow.

use std::fmt::Write;
use std::time::Instant;

use futures::StreamExt;
use rowlift::proto::{self, FileFormat};

use super::ITEMS;
use crate::faults::migrate;
use crate::support::postgres::Database;
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::service::file_header;
use crate::support::size::short_or_long;

/// What an export may take beside what the service takes anyway.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

/// A CSV whose first row is good and whose others are not.
fn file(n_rejected: usize, note_chars: usize) -> String {
    let mut csv = String::from("name,age,born,note\nAnn,1,2000-02-29,good\n");
    // As XML does not repeat itself, the text does not either.
    let mut state = 1_u32;
    for n in 0..n_rejected {
        write!(csv, "Name {n},x,2000-02-29,").unwrap();
        for _ in 0..note_chars {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            csv.push(char::from(b'a' + u8::try_from(state >> 24).unwrap() % 26));
        }
        csv.push('\n');
    }
    csv
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_take_the_same_memory_however_many_rows_there_are() {
    // Either way several times more than the service may grow by.
    let (n_rows, note_chars) = short_or_long((5000, 8000), (1_000_000, 200));
    let database = Database::fresh().await;
    migrate(&database).await;
    let server = ServerProcess::start(&database, &[]).await;
    database.execute(ITEMS).await;
    let client = server.client().await;
    let header = proto::ImportHeader {
        max_rejected_row_count: Some(-1),
        ..file_header("million", "items")
    };
    let data = file(n_rows, note_chars);
    let n_bytes = data.len();
    let import = Running::file(client.clone(), header, data.into(), 256 << 10);
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(counts.rejected_row_count, i64::try_from(n_rows).unwrap());
    // What the import took may still be at hand: another server has nothing.
    drop(server);
    let server = ServerProcess::start(&database, &[]).await;
    let client = server.client().await;
    let before = server.peak_bytes();
    // Somebody who does not read on costs no more.
    let request = proto::ExportRejectedRowsRequest {
        import_id: "million".to_owned(),
        format: FileFormat::Csv.into(),
        ..Default::default()
    };
    let mut slow = client
        .service()
        .export_rejected_rows(request)
        .await
        .unwrap();
    slow.get_mut().next().await.unwrap().unwrap();
    for format in [FileFormat::Csv, FileFormat::Xlsx] {
        server.forget_peak();
        let begun = Instant::now();
        let mut sink = std::io::sink();
        let exported = client.export_rejected_rows("million", format, &mut sink, |_| {});
        let exported = exported.await.unwrap();
        let grown = server.peak_bytes().saturating_sub(before);
        eprintln!(
            "{format:?}: {n_rows} rows, {exported} bytes, {:?}, grown by {} KiB from {} KiB",
            begun.elapsed(),
            grown >> 10,
            before >> 10
        );
        assert!(
            exported > n_bytes as u64 / 3,
            "{exported} bytes of {n_bytes}"
        );
        assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes");
    }
    drop(slow);
    server.leaves_nothing().await;
}

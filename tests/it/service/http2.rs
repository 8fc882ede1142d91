//! What HTTP/2 must not let one caller do to the others: an upload that is held back, responses
//! that nobody reads, crowds, and streams that break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt, stream};
use rowlift::client::messages;
use rowlift::client::messages::finish_rows;
use rowlift::proto::{ImportHeader, ImportRequest, import_request::Payload};

use crate::support::businesses::{self, COLUMNS};

mod crowd;
mod readers;
mod stalled;

/// Rows of a message.
const MESSAGE_ROWS: u64 = 500;

fn header(id: &str) -> ImportHeader {
    ImportHeader {
        import_id: id.to_owned(),
        ..messages::row_header("businesses", &COLUMNS)
    }
}

/// An import of so many rows in one message.
fn small(id: &str, n_rows: u64) -> Vec<ImportRequest> {
    vec![
        messages::request(Payload::Header(header(id))),
        businesses::packed(0..n_rows, 1),
        finish_rows(n_rows.cast_signed()),
    ]
}

/// Rows for as long as somebody takes them, and how many messages were taken.
fn endless(
    id: &str,
) -> (
    impl Stream<Item = ImportRequest> + Send + 'static,
    Arc<AtomicUsize>,
) {
    let n_taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_taken);
    let rows = (0..).map(|n: u64| {
        let first = n * MESSAGE_ROWS;
        businesses::packed(first..first + MESSAGE_ROWS, 1)
    });
    let first = stream::iter([messages::request(Payload::Header(header(id)))]);
    let messages = first.chain(stream::iter(rows)).inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (messages, n_taken)
}

//! An import that runs beside the test.
//!
//! In: a client, a header and a file or messages. Out: what its events have said so far, and how
//! it ended. Dropped, the call is cancelled: the service sees a lost caller.

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use rowlift::client::error::ClientError;
use rowlift::client::{CallOptions, FinishedImport, ImportClient, messages};
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::{Accepted, ImportHeader, ImportRequest, ImportStats};
use rowlift::shutdown::Tasks;
use tokio::task::JoinHandle;

use super::waits::eventually;

/// How an import ended.
pub(crate) type Ended = Result<FinishedImport, ClientError>;

/// A running import.
#[derive(Debug)]
pub(crate) struct Running {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Ended>,
}

/// What the events have said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// When it was accepted, and how.
    pub(crate) accepted: Option<(Instant, Accepted)>,
    /// The last committed offset.
    pub(crate) committed: i64,
    /// Rows received, as the last progress says.
    pub(crate) received: i64,
    /// The server has said that it stops.
    pub(crate) is_draining: bool,
}

impl Running {
    /// An import of a file.
    pub(crate) fn file(
        client: ImportClient,
        header: ImportHeader,
        file: Bytes,
        chunk_bytes: usize,
    ) -> Running {
        Running::begin(move |seen| async move {
            let options = CallOptions {
                chunk_bytes,
                ..CallOptions::default()
            };
            let file = Cursor::new(file);
            client
                .import_file(header, file, &options, |event| note(&seen, event))
                .await
        })
    }

    /// An import of messages, which follow the header.
    pub(crate) fn messages(
        client: ImportClient,
        header: ImportHeader,
        messages: impl Stream<Item = ImportRequest> + Send + 'static,
    ) -> Running {
        let first = messages::request(Payload::Header(header));
        let messages = stream::iter([first]).chain(messages);
        Running::begin(move |seen| async move {
            let options = CallOptions::default();
            client
                .import_messages(messages, &options, |event| note(&seen, event))
                .await
        })
    }

    fn begin<F>(call: impl FnOnce(Arc<Mutex<Seen>>) -> F) -> Running
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let call = call(Arc::clone(&seen));
        Running {
            seen,
            task: Tasks::new().spawn(call),
        }
    }

    /// What the events have said so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the events have said something; the import must go on until then.
    pub(crate) async fn until(&mut self, what: &str, mut condition: impl FnMut(&Seen) -> bool) {
        eventually(what, async || {
            if condition(&self.seen()) {
                return true;
            }
            let ended = (&mut self.task).now_or_never();
            assert!(ended.is_none(), "{what}: ended before, {ended:?}");
            false
        })
        .await;
    }

    /// Waits until so many rows are committed.
    pub(crate) async fn until_committed(&mut self, n_rows: i64) {
        self.until("rows are committed", |seen| seen.committed >= n_rows)
            .await;
    }

    /// Waits for the answer to the header; when it came, and what it was.
    pub(crate) async fn until_accepted(&mut self) -> (Instant, Accepted) {
        self.until("the import is accepted", |seen| seen.accepted.is_some())
            .await;
        self.seen().accepted.expect("it was accepted")
    }

    /// Waits for its end, however long.
    pub(crate) async fn end(mut self) -> Ended {
        (&mut self.task).await.unwrap()
    }

    /// Waits for its end, which is no success: code and reason.
    pub(crate) async fn refusal(self) -> String {
        let error = match self.end().await {
            Ok(finished) => panic!("ended OK: {finished:?}"),
            Err(error) => error,
        };
        error.verdict().unwrap_or_else(|| format!("{error:?}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(seen: &Mutex<Seen>, event: &Event) {
    let mut seen = seen.lock().unwrap();
    match event {
        Event::Accepted(accepted) => {
            seen.committed = accepted.committed_offset;
            seen.accepted = Some((Instant::now(), accepted.clone()));
        }
        Event::Ack(ack) => seen.committed = ack.committed_offset,
        Event::Draining(_) => seen.is_draining = true,
        Event::Progress(progress) => {
            let stats = progress.stats.as_ref();
            seen.received = stats.map_or(0, |stats| stats.received_row_count);
        }
        Event::RejectedRow(_) | Event::Result(_) => {}
    }
}

/// The counts of an import that succeeded; the law holds.
pub(crate) fn stats(finished: &FinishedImport) -> ImportStats {
    let stats = *finished.result.stats.as_ref().expect("a result has counts");
    let sum = stats.inserted_row_count
        + stats.updated_row_count
        + stats.unchanged_row_count
        + stats.skipped_row_count
        + stats.rejected_row_count
        + stats.blank_row_count
        + stats.unprocessed_row_count;
    assert_eq!(stats.received_row_count, sum, "conservation law: {stats:?}");
    stats
}

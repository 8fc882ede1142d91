//! A service with its database, and a moment that a test holds.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use futures::{Stream, stream};
use rowlift::client::messages;
use rowlift::proto::{ImportHeader, ImportRequest};

use crate::support::businesses::{self, COLUMNS};
use crate::support::postgres::Database;
use crate::support::service::Service;
use crate::support::waits::eventually;

/// Rows of a message.
const MESSAGE_ROWS: u64 = 500;

/// A service on a database of its own, with small batches and four writers.
pub(crate) async fn start() -> (Database, Service) {
    let database = Database::fresh().await;
    let service = Service::postgres(&database, |config| {
        config.writers_max = 4;
        config.writers_per_import = 4;
        config.batch_rows_max = 500;
    })
    .await;
    (database, service)
}

/// Rows for `businesses`, begun or resumed.
pub(crate) fn header(id: &str) -> ImportHeader {
    ImportHeader {
        import_id: id.to_owned(),
        resume: true,
        ..messages::row_header("businesses", &COLUMNS)
    }
}

/// The rows from 0 to `n_rows`, and the end.
pub(crate) fn whole(n_rows: u64) -> impl Stream<Item = ImportRequest> + Send + 'static {
    let firsts = (0..n_rows).step_by(usize::try_from(MESSAGE_ROWS).unwrap());
    let messages =
        firsts.map(move |first| businesses::packed(first..n_rows.min(first + MESSAGE_ROWS), 1));
    let finish = messages::finish_rows(i64::try_from(n_rows).unwrap());
    stream::iter(messages.chain([finish]))
}

/// The rows from 0 to `n_rows`, and no end: the session stays.
pub(crate) fn without_end(n_rows: u64) -> impl Stream<Item = ImportRequest> + Send + 'static {
    use futures::StreamExt;
    let firsts = (0..n_rows).step_by(usize::try_from(MESSAGE_ROWS).unwrap());
    let messages =
        firsts.map(move |first| businesses::packed(first..n_rows.min(first + MESSAGE_ROWS), 1));
    stream::iter(messages).chain(stream::pending())
}

/// A moment that is held from its first coming on, until it is let go.
#[derive(Debug)]
pub(crate) struct Held {
    name: &'static str,
    reached: Mutex<Receiver<()>>,
    /// Dropping it lets everybody go who waits.
    hold: Option<SyncSender<()>>,
}

impl Held {
    /// Holds the first one who comes to the moment `name`; later ones pass.
    pub(crate) fn first(name: &'static str) -> Held {
        let (tell, reached) = sync_channel(1);
        let (hold, held) = sync_channel::<()>(0);
        let held = Arc::new(Mutex::new(Some(held)));
        fail::cfg_callback(name, move || {
            let Some(held) = held.lock().unwrap().take() else {
                return;
            };
            tell.send(()).unwrap();
            // An error says that the holder has let go.
            let _ = held.recv();
        })
        .unwrap();
        Held {
            name,
            reached: Mutex::new(reached),
            hold: Some(hold),
        }
    }

    /// Waits until somebody is held.
    pub(crate) async fn reached(&self) {
        eventually(self.name, async || {
            self.reached.lock().unwrap().try_recv().is_ok()
        })
        .await;
    }

    /// Lets go.
    pub(crate) fn let_go(&mut self) {
        self.hold = None;
    }
}

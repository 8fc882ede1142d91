//! The service's forgetting: what has expired goes, a little at a time.
//!
//! In: a store. Out: nothing but log lines. Begins at once, for commands that bring a service of
//! their own, and goes on every [`INTERVAL`], more or less, so that replicas do not all come at
//! the same time. One step is one small transaction, with a pause after it; a stop between two
//! steps loses nothing, and one inside rolls back.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::store::{FORGOTTEN_ROWS, Forgotten, Store, StoreError};

/// Time between two looks, with jitter.
const INTERVAL: Duration = Duration::from_mins(1);
/// Between two steps: imports come first.
const PAUSE: Duration = Duration::from_millis(50);

/// Forgets until `stop`.
pub async fn run(store: Arc<dyn Store>, stop: CancellationToken) {
    let work = async {
        loop {
            pass(&*store).await;
            let jitter = rand::rng().random_range(0.75..1.25);
            tokio::time::sleep(INTERVAL.mul_f64(jitter)).await;
        }
    };
    tokio::select! {
        // A step that is cut short rolls back.
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Forgets all that has expired by now.
async fn pass(store: &dyn Store) {
    let mut all = Forgotten::default();
    loop {
        match store.forget(FORGOTTEN_ROWS).await {
            Ok(step) => {
                all.n_ids += step.n_ids;
                all.n_wiped += step.n_wiped;
                all.n_rows += step.n_rows;
                if !step.more {
                    break;
                }
            }
            // The database is away or busy: the next pass goes on.
            Err(error @ (StoreError::Transient { .. } | StoreError::Deadline)) => {
                debug!(%error, "what has expired could not be forgotten now");
                break;
            }
            Err(error) => {
                warn!(%error, "what has expired could not be forgotten");
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    if all != Forgotten::default() {
        info!(
            n_ids = all.n_ids,
            n_imports_wiped = all.n_wiped,
            n_rows = all.n_rows,
            "expired imports and values forgotten"
        );
    }
}

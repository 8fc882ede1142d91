//! An import of a file that outlives its connection.
//!
//! In: a header, a file on disk and how often to try. Out: the same as of one call, and a remark
//! before each further try. A try that fails because the connection is lost, or because the server
//! cannot take the import now, is repeated under the same id with `resume`: the server knows what
//! is decided already, and the file is read again from its beginning. Bounded by [`Retries`] and
//! by the call's timeout, which holds for all tries together.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::RngExt;
use uuid::Uuid;

use crate::client::error::ClientError;
use crate::client::{CallOptions, FinishedImport, ImportClient, open, open_for};
use crate::proto::ImportHeader;
use crate::proto::import_response::Event;

/// How often and how fast a lost import is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Further tries.
    pub max: u32,
    /// Before the first of them; doubles with each, less a jitter of up to a half.
    pub pause_first: Duration,
    /// Before any of them.
    pub pause_max: Duration,
}

/// What an import that outlives its connection tells.
#[derive(Debug)]
pub enum Notice<'a> {
    /// What the server says. Every try begins with an `accepted` of its own.
    Event(&'a Event),
    /// A try failed, and another one follows.
    Retry(Retry<'a>),
}

/// A try that failed.
#[derive(Debug)]
pub struct Retry<'a> {
    /// The import.
    pub import_id: &'a str,
    /// Why.
    pub error: &'a ClientError,
    /// The number of the try that follows, from 1.
    pub number: u32,
    /// Tries that may follow in all.
    pub max: u32,
    /// Until then.
    pub pause: Duration,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries {
            max: 8,
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(15),
        }
    }
}

impl ImportClient {
    /// As [`ImportClient::import_path`], with further tries where the connection is lost. An import
    /// without an id gets one here, so that it can be taken up again. What is no regular file can be
    /// read once only: it is tried once.
    pub async fn import_path_resuming(
        &self,
        mut header: ImportHeader,
        path: &Path,
        options: &CallOptions,
        mut on_notice: impl FnMut(Notice<'_>) + Send,
    ) -> Result<FinishedImport, ClientError> {
        let begun = Instant::now();
        let (mut file, can_be_read_again) = open_for(&mut header, path).await?;
        if header.import_id.is_empty() {
            header.import_id = Uuid::now_v7().to_string();
        }
        let retries = options.retries;
        let mut options = options.clone();
        let give_up_at = options.timeout.map(|timeout| begun + timeout);
        let mut number = 0;
        let mut committed = 0;
        loop {
            let (mut is_ours, mut gets_on) = (false, false);
            let tried = self
                .import_file(header.clone(), file, &options, |event| {
                    is_ours |= matches!(event, Event::Accepted(_));
                    if let Some(offset) = committed_offset(event)
                        && offset > committed
                    {
                        (committed, gets_on) = (offset, true);
                    }
                    on_notice(Notice::Event(event));
                })
                .await;
            if gets_on {
                // Only tries without progress count: a long import may meet many faults.
                number = 0;
            }
            let error = match tried {
                Err(error) if can_be_read_again && error.may_pass() && number < retries.max => {
                    error
                }
                ended => return ended,
            };
            let pause = retries.pause(number).max(error.retry_delay());
            if let Some(at) = give_up_at {
                let left = at.saturating_duration_since(Instant::now());
                if left <= pause {
                    return Err(error);
                }
                options.timeout = Some(left.saturating_sub(pause));
            }
            number += 1;
            on_notice(Notice::Retry(Retry {
                import_id: &header.import_id,
                error: &error,
                number,
                max: retries.max,
                pause,
            }));
            tokio::time::sleep(pause).await;
            // An import that this call did not begin is not for it to take over.
            header.resume |= is_ours || error.is_without_answer();
            (file, _) = open(path)?;
        }
    }
}

/// How far an event says that the import is decided.
fn committed_offset(event: &Event) -> Option<i64> {
    match event {
        Event::Accepted(accepted) => Some(accepted.committed_offset),
        Event::Ack(ack) => Some(ack.committed_offset),
        _ => None,
    }
}

impl Retries {
    /// Before the try after `n_failed` further ones.
    fn pause(&self, n_failed: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(n_failed);
        let pause = self.pause_first.saturating_mul(doubled);
        pause
            .min(self.pause_max)
            .mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests;

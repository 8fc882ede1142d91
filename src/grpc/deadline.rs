//! The caller's deadline: `grpc-timeout`, read by ourselves.
//!
//! tonic holds the response head to it only and answers CANCELLED. In: metadata. Out: a point in
//! time for the whole call, and [`within`] for calls that answer with one message.

use std::future::Future;
use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use crate::grpc::status::{self, invalid};
use crate::model::import::Failure;
use crate::session::ending;

/// Longest timeout that is held; longer ones are the same as none.
const TIMEOUT_MAX: Duration = Duration::from_hours(366 * 24);
/// A unary call answers so long before its deadline: tonic's own answer, CANCELLED, comes at it.
const HEAD_START: Duration = Duration::from_millis(5);

/// When the call must have ended; `None`: no deadline.
pub fn deadline(metadata: &MetadataMap) -> Result<Option<Instant>, Failure> {
    let Some(value) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
        invalid(
            "grpc-timeout",
            "not 1 to 8 digits and one of H, M, S, m, u, n",
        )
    })?;
    Ok(timeout
        .filter(|timeout| *timeout <= TIMEOUT_MAX)
        .map(|timeout| Instant::now() + timeout))
}

/// `head_start` before the deadline, or a quarter of what is left where that is less: when the work
/// of a unary call ends, so that its own reason can still be told.
pub fn earlier(deadline: Instant, head_start: Duration) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    let head_start = head_start.min(left / 4);
    deadline.checked_sub(head_start).unwrap_or(deadline)
}

/// Runs a unary call inside its deadline.
pub async fn within<T>(
    metadata: &MetadataMap,
    call: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<Response<T>, Status> {
    let deadline = deadline(metadata).map_err(|failure| status::status(&failure))?;
    let result = match deadline {
        None => call.await,
        Some(deadline) => {
            let at = deadline.checked_sub(HEAD_START).unwrap_or(deadline);
            tokio::time::timeout_at(at.into(), call)
                .await
                .unwrap_or_else(|_| Err(ending::deadline()))
        }
    };
    result
        .map(Response::new)
        .map_err(|failure| status::status(&failure))
}

/// The outer `None`: malformed. The inner one: too long to matter.
#[expect(clippy::option_option, reason = "two different absences, both private")]
fn parse(text: &str) -> Option<Option<Duration>> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => n.checked_mul(3600).map(Duration::from_secs),
        'M' => n.checked_mul(60).map(Duration::from_secs),
        'S' => Some(Duration::from_secs(n)),
        'm' => Some(Duration::from_millis(n)),
        'u' => Some(Duration::from_micros(n)),
        'n' => Some(Duration::from_nanos(n)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

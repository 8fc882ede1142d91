//! What ends an import from outside, and the waits of its task.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::model::import::{Failure, Phase};
use crate::session::pipeline::Input;
use crate::session::registry::Registration;
use crate::session::{Call, Sessions, ending, open};
use crate::store::{Pulse, StoreError};
use crate::writer;

use super::cancelled_by_request;

/// What ends an import from outside, whether or not its caller is there.
pub(super) async fn stop_signal(sessions: &Sessions, registration: &mut Registration) -> Failure {
    tokio::select! {
        () = sessions.drained.cancelled() => writer::stopping(),
        // The sender lives in the registry as long as the registration.
        Ok(pulse) = registration.pulse.wait_for(|pulse| *pulse != Pulse::Held) => match *pulse {
            Pulse::Fenced => ending::failure_of(StoreError::Fenced),
            Pulse::CancelRequested | Pulse::Held => cancelled_by_request(),
        },
    }
}

/// The caller is gone, or its deadline has passed; without a caller, the bound that holds instead.
pub(super) async fn caller_gone(
    call: &Call,
    bound: Option<Instant>,
    detached: bool,
    phase: Phase,
) -> Failure {
    tokio::select! {
        biased;
        () = call.caller_gone.cancelled(), if !detached => open::caller_gone(),
        () = sleep_until(bound) => {
            ending::deadline().with("phase", format!("{phase:?}").to_uppercase())
        }
    }
}

/// Until this moment; without one, for ever.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Hands the pending input to the pipeline once there is room. A pipeline that has ended says why
/// through its outputs.
pub(super) async fn feed(input: Option<&mpsc::Sender<Input>>, pending: &mut Option<Input>) {
    let Some(input) = input else {
        return std::future::pending().await;
    };
    match input.reserve().await {
        Ok(place) => {
            if let Some(pending) = pending.take() {
                place.send(pending);
            }
        }
        Err(_) => std::future::pending().await,
    }
}

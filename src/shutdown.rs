//! Tasks that a stop waits for, and the signals that begin it.
//!
//! In: futures to run beside the caller, SIGTERM and SIGINT. Out: two tokens that every task may
//! listen to. `draining` asks to finish what is under way and to take nothing new; `aborted`
//! asks to let go at once and implies `draining`. The order of a stop is the application's;
//! what is bounded here is [`Tasks::wait`]. A second signal ends the process at once.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// The process's tasks; clones share them.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    aborted: CancellationToken,
    /// A child of `aborted`: to abort is also to drain.
    draining: CancellationToken,
}

/// SIGTERM and SIGINT, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    Terminate,
    Interrupt,
}

// === impl Tasks ===

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Tasks {
        let aborted = CancellationToken::new();
        Tasks {
            tracker: TaskTracker::new(),
            draining: aborted.child_token(),
            aborted,
        }
    }

    /// Runs a future beside the caller; [`Tasks::wait`] waits for it. Dropping the handle
    /// detaches, it does not cancel.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// Runs a function that blocks or computes for longer than 500 µs on a thread of its own;
    /// [`Tasks::wait`] waits for it.
    pub fn spawn_blocking<F, T>(&self, function: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(function)
    }

    /// Cancelled once a stop has begun.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled once a stop no longer waits.
    pub fn aborted(&self) -> &CancellationToken {
        &self.aborted
    }

    /// Begins a stop.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends the waiting.
    pub fn abort(&self) {
        self.aborted.cancel();
    }

    /// Waits until no task is left, for at most `bound`; whether none is.
    pub async fn wait(&self, bound: Duration) -> bool {
        self.tracker.close();
        let all_ended = tokio::time::timeout(bound, self.tracker.wait())
            .await
            .is_ok();
        if !all_ended {
            warn!(
                n_tasks = self.tracker.len(),
                "tasks still run after the wait"
            );
        }
        all_ended
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether all tasks have ended.
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks::new()
    }
}

// === impl Signals ===

impl Signals {
    /// Catches the signals from now on. Needs a tokio runtime.
    pub fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The first signal begins the stop of `tasks`, the second ends the process. Spawn it beside
    /// the service, outside of `tasks`: it never ends by itself.
    pub async fn run(mut self, tasks: Tasks) {
        let first = self.next().await;
        // Before the log: writing it may fail, and the stop may not depend on it.
        tasks.drain();
        info!(signal = first.name(), "stopping");
        let second = self.next().await;
        tasks.abort();
        warn!(signal = second.name(), "second signal: ending at once");
        std::process::exit(second.exit_code());
    }

    /// Waits for the first signal only.
    pub async fn first(&mut self) {
        let caught = self.next().await;
        info!(signal = caught.name(), "interrupted");
    }

    async fn next(&mut self) -> Caught {
        // Both arms only wait: a signal that arrives meanwhile stays pending in its stream.
        tokio::select! {
            _ = self.terminate.recv() => Caught::Terminate,
            _ = self.interrupt.recv() => Caught::Interrupt,
        }
    }
}

impl Caught {
    fn name(self) -> &'static str {
        match self {
            Caught::Terminate => "SIGTERM",
            Caught::Interrupt => "SIGINT",
        }
    }

    /// What a shell reports for a process that the signal ended.
    fn exit_code(self) -> i32 {
        match self {
            Caught::Terminate => 128 + 15,
            Caught::Interrupt => 128 + 2,
        }
    }
}

#[cfg(test)]
mod tests;

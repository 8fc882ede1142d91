//! The sessions of this server that are live, and their heartbeat.
//!
//! In: sessions as they open ([`Registry::enter`]) and what they count. Out: cancel requests and
//! fencing, told to each session through its [`Registration`]. One statement every
//! [`HEARTBEAT`] for all sessions; an entry goes away with its registration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::model::import::Phase;
use crate::store::{LiveCounters, Pulse, SessionKey, Store};

/// Time between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// All live sessions of this server.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: Arc<Mutex<HashMap<SessionKey, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    owner: String,
    import_id: String,
    counters: LiveCounters,
    signal: watch::Sender<Pulse>,
}

/// A live session's place in the registry; leaves it when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Registry,
    key: SessionKey,
    /// The latest that the ledger says of this session.
    pub pulse: watch::Receiver<Pulse>,
}

impl Registry {
    /// Enters a session.
    pub fn enter(&self, key: SessionKey, owner: &str, import_id: &str) -> Registration {
        let (signal, pulse) = watch::channel(Pulse::Held);
        let entry = Entry {
            owner: owner.to_owned(),
            import_id: import_id.to_owned(),
            counters: LiveCounters::default(),
            signal,
        };
        self.lock().insert(key, entry);
        Registration {
            registry: self.clone(),
            key,
            pulse,
        }
    }

    /// Live sessions by phase, as each reported it last.
    pub fn phases(&self) -> Vec<Phase> {
        let entries = self.lock();
        entries.values().map(|entry| entry.counters.phase).collect()
    }

    /// Tells the sessions of an import on this server that it was asked to stop, without waiting
    /// for the next heartbeat.
    pub fn cancel(&self, owner: &str, import_id: &str) {
        for entry in self.lock().values() {
            if entry.owner == owner && entry.import_id == import_id {
                entry.signal.send_replace(Pulse::CancelRequested);
            }
        }
    }

    /// Sends heartbeats until `stop`. An error is logged and the next beat tries again: leases
    /// outlast several beats.
    pub async fn beat(self, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Nothing is lost: a beat is complete or did not begin.
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let sessions: Vec<(SessionKey, LiveCounters)> = self
                .lock()
                .iter()
                .map(|(key, entry)| (*key, entry.counters))
                .collect();
            if sessions.is_empty() {
                continue;
            }
            match store.heartbeat(&sessions).await {
                Ok(pulses) => self.tell(&pulses),
                Err(error) => warn!(%error, n_sessions = sessions.len(), "heartbeat failed"),
            }
        }
    }

    fn tell(&self, pulses: &[(SessionKey, Pulse)]) {
        let entries = self.lock();
        for (key, pulse) in pulses {
            if let Some(entry) = entries.get(key)
                && *pulse != Pulse::Held
            {
                entry.signal.send_replace(*pulse);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Entry>> {
        self.entries
            .lock()
            .expect("no panic while the registry is locked")
    }
}

impl Registration {
    /// The session's fencing key.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// What the next heartbeat reports.
    pub fn report(&self, counters: LiveCounters) {
        if let Some(entry) = self.registry.lock().get_mut(&self.key) {
            entry.counters = counters;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.key);
    }
}

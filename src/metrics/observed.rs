//! What is looked at when the metrics are read: places, queues, memory, disk, connections.
//!
//! In: functions that read the state of a service, each at once and without waiting. Out: gauges
//! of a meter. They hold what they read for as long as the provider lives.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::{meter, names, pool_name};

/// A moment of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Imports by phase.
    pub imports: Vec<(&'static str, u64)>,
    /// Imports that may run.
    pub imports_limit: u64,
    /// Batches that wait for a writer.
    pub queue_depth: u64,
    /// Batches that may wait.
    pub queue_capacity: u64,
    /// Writers at work.
    pub writers_busy: u64,
    /// Writers that may work.
    pub writers_limit: u64,
    /// Bytes of batches in flight.
    pub memory_used: u64,
    /// Their bound.
    pub memory_limit: u64,
    /// Bytes of temporary files.
    pub spool_used: u64,
    /// Their bound; `None`: the disk.
    pub spool_limit: Option<u64>,
    /// Connections to the database, by pool.
    pub pools: Vec<PoolState>,
}

/// A moment of a pool of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Which.
    pub name: &'static str,
    /// Connections in use.
    pub used: u64,
    /// Open connections that nobody uses.
    pub idle: u64,
    /// Connections that may be open.
    pub max: u64,
    /// Those who wait for one.
    pub pending: u64,
}

/// Values of a gauge, each with its attributes.
type Values = Vec<(Vec<KeyValue>, u64)>;

/// Name, unit and description of a gauge, and how it is read.
type Gauge = (
    &'static str,
    &'static str,
    &'static str,
    fn(&State) -> Values,
);

const GAUGES: [Gauge; 13] = [
    (
        names::IMPORTS_ACTIVE,
        "{import}",
        "Imports that run or wait, by phase",
        imports,
    ),
    (
        names::IMPORTS_LIMIT,
        "{import}",
        "Imports that may run at once",
        |state| one(state.imports_limit),
    ),
    (
        names::WRITE_QUEUE_DEPTH,
        "{batch}",
        "Batches that wait for a writer",
        |state| one(state.queue_depth),
    ),
    (
        names::WRITE_QUEUE_CAPACITY,
        "{batch}",
        "Batches that may wait for a writer",
        |state| one(state.queue_capacity),
    ),
    (
        names::WRITERS_BUSY,
        "{writer}",
        "Writers at work",
        |state| one(state.writers_busy),
    ),
    (
        names::WRITERS_LIMIT,
        "{writer}",
        "Writers that may work at once",
        |state| one(state.writers_limit),
    ),
    (
        names::MEMORY_USED,
        "By",
        "Bytes of batches in flight",
        |state| one(state.memory_used),
    ),
    (
        names::MEMORY_LIMIT,
        "By",
        "Bytes that batches in flight may have",
        |state| one(state.memory_limit),
    ),
    (
        names::SPOOL_USED,
        "By",
        "Bytes of temporary files",
        |state| one(state.spool_used),
    ),
    (
        names::SPOOL_LIMIT,
        "By",
        "Bytes that temporary files may have",
        |state| state.spool_limit.map(one).unwrap_or_default(),
    ),
    (
        names::DB_CONNECTIONS,
        "{connection}",
        "Connections to the database",
        |state| state.pools.iter().flat_map(connections).collect(),
    ),
    (
        names::DB_CONNECTIONS_MAX,
        "{connection}",
        "Connections that a pool may have",
        |state| by_pool(state, |pool| pool.max),
    ),
    (
        names::DB_CONNECTIONS_PENDING,
        "{request}",
        "Those who wait for a connection to the database",
        |state| by_pool(state, |pool| pool.pending),
    ),
];

/// Lets the gauges of a provider follow a service.
pub fn observe(provider: &SdkMeterProvider, state: impl Fn() -> State + Send + Sync + 'static) {
    let meter = meter(provider);
    let state = Arc::new(state);
    for (name, unit, what, read) in GAUGES {
        let state = Arc::clone(&state);
        let gauge = meter.u64_observable_gauge(name).with_unit(unit);
        // The provider keeps the callback.
        let _instrument = gauge
            .with_description(what)
            .with_callback(move |observer| {
                for (attributes, value) in read(&state()) {
                    observer.observe(value, &attributes);
                }
            })
            .build();
    }
}

fn one(value: u64) -> Values {
    vec![(Vec::new(), value)]
}

fn imports(state: &State) -> Values {
    let imports = state.imports.iter();
    imports
        .map(|(phase, n)| (vec![KeyValue::new("phase", *phase)], *n))
        .collect()
}

fn by_pool(state: &State, value: fn(&PoolState) -> u64) -> Values {
    let pools = state.pools.iter();
    pools
        .map(|pool| (vec![pool_name(pool.name)], value(pool)))
        .collect()
}

fn connections(pool: &PoolState) -> [(Vec<KeyValue>, u64); 2] {
    let with = |state: &'static str, n| {
        let state = KeyValue::new("db.client.connection.state", state);
        (vec![pool_name(pool.name), state], n)
    };
    [with("used", pool.used), with("idle", pool.idle)]
}

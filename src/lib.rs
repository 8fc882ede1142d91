//! Rowlift takes a spreadsheet or batches of rows over gRPC and puts every row into a database
//! table exactly once.
//!
//! ```text
//!  caller ═chunks / rows═▶ grpc ─▶ session ─▶ spool ─▶ decoder (child process) ─▶ mapping ─▶ batcher
//!    ▲                              │ admission, deadline, epoch                                │
//!    │                              │                                         bounded queue, bytes │
//!    └── accepted ack progress ◀── progress (latest wins) ◀── receipts ◀── writer × N ◀────────────┘
//!        rejected_row result                                              │ one transaction a batch:
//!                                                                         ▼ fence + rows + rejects + checkpoint
//!                                                                      store: PostgreSQL | SQLite
//! ```
//!
//! Invariants: nothing is unbounded; a permit travels in the value that it pays for; writers
//! never wait for the caller to read; a bad row is data, never an `Err`; rows keep their order
//! inside a batch; `decode`, `mapping` and `batch` are synchronous and pure.
//!
//! Modules in reading order. Dependencies point one way:
//! main -> cli, app -> grpc -> lookup -> session -> {decode, mapping, batch, writer} -> store -> model;
//! `export` makes files for grpc out of what the store has.

pub mod cli;
pub mod client;
pub mod app;
pub mod admin;
pub mod config;
pub mod grpc;
pub mod lookup;
pub mod session;
pub mod progress;
pub mod decode;
pub mod mapping;
pub mod export;
pub mod batch;
pub mod writer;
pub mod store;
pub mod disk;
pub mod model;
pub mod proto;
pub mod shutdown;
pub mod telemetry;
pub mod access;
pub mod watched;
pub mod budget;
pub mod metrics;
pub mod clock;
pub mod allocator;

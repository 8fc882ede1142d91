//! Names of metrics, attributes and their values, as dashboards and alerts know them.
//!
//! Those of OpenTelemetry's semantic conventions as of 2026-08, and our own under `rowlift.`. In
//! Prometheus' text dots are underscores, units and `_total` are appended.

/// How long RPCs of ours took, s.
pub const RPC_DURATION: &str = "rpc.server.call.duration";
/// How long imports took, from header to result, s.
pub const IMPORT_DURATION: &str = "rowlift.import.duration";
/// Imports that run or wait, by phase.
pub const IMPORTS_ACTIVE: &str = "rowlift.imports.active";
/// Imports that may run at once.
pub const IMPORTS_LIMIT: &str = "rowlift.imports.limit";
/// Calls that found no place.
pub const ADMISSION_REFUSED: &str = "rowlift.admission.refused";
/// Bytes received of files and rows.
pub const RECEIVED_SIZE: &str = "rowlift.received.size";
/// Rows by what became of them; `received` is the sum of all others.
pub const ROWS: &str = "rowlift.rows";
/// Rejected rows by code; a row counts under each of its codes.
pub const ROW_ERRORS: &str = "rowlift.row.errors";
/// Rows of written batches.
pub const BATCH_ROWS: &str = "rowlift.batch.rows";
/// How long one attempt at a batch took, s.
pub const BATCH_WRITE_DURATION: &str = "rowlift.batch.write.duration";
/// Batches that wait for a writer.
pub const WRITE_QUEUE_DEPTH: &str = "rowlift.write_queue.depth";
/// Batches that may wait for a writer.
pub const WRITE_QUEUE_CAPACITY: &str = "rowlift.write_queue.capacity";
/// How long they waited, s.
pub const WRITE_QUEUE_WAIT: &str = "rowlift.write_queue.wait.duration";
/// Attempts that are made again.
pub const WRITE_RETRIES: &str = "rowlift.write.retries";
/// Writers at work.
pub const WRITERS_BUSY: &str = "rowlift.writers.busy";
/// Writers that may work at once.
pub const WRITERS_LIMIT: &str = "rowlift.writers.limit";
/// Bytes of batches in flight.
pub const MEMORY_USED: &str = "rowlift.memory.used";
/// Their bound.
pub const MEMORY_LIMIT: &str = "rowlift.memory.limit";
/// Bytes of temporary files.
pub const SPOOL_USED: &str = "rowlift.spool.used";
/// Their bound, if there is one.
pub const SPOOL_LIMIT: &str = "rowlift.spool.limit";
/// How long workbooks took to decode, s.
pub const DECODE_DURATION: &str = "rowlift.decode.duration";
/// Decoders that ended, by what ended them.
pub const DECODER_EXITS: &str = "rowlift.decoder.exits";
/// How long the database took over the rows of a batch, s.
pub const DB_DURATION: &str = "db.client.operation.duration";
/// Connections, by pool and state.
pub const DB_CONNECTIONS: &str = "db.client.connection.count";
/// Connections that a pool may have.
pub const DB_CONNECTIONS_MAX: &str = "db.client.connection.max";
/// Those who wait for a connection, by pool.
pub const DB_CONNECTIONS_PENDING: &str = "db.client.connection.pending_requests";
/// How long it took to obtain a connection, s, by pool.
pub const DB_CONNECTION_WAIT: &str = "db.client.connection.wait_time";

/// Names that scrapers see otherwise than the exporter makes them: to Prometheus a name that ends in
/// `_count` is a part of a histogram, and `promtool check metrics` refuses such a gauge.
pub const SCRAPED_AS: [(&str, &str); 1] = [("db_client_connection_count", "db_client_connections")];

/// What became of rows, in the order of the conservation law.
pub const ROW_OUTCOMES: [&str; 8] = [
    "received",
    "inserted",
    "updated",
    "unchanged",
    "skipped",
    "rejected",
    "blank",
    "unprocessed",
];

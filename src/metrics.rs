//! What the service counts and measures.
//!
//! In: facts from wherever they come about. Out: the instruments of a meter, which is pushed and
//! scraped. Attributes are of closed sets, never an import's id, a file, a table or a tenant: after
//! ten thousand imports there are as many series as after ten. Recording never waits.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::model::import::{FileFormat, ImportState, Reason};

pub mod counted;
pub mod names;
pub mod observed;

/// The scope of all instruments.
const SCOPE: &str = "rowlift";
/// Bounds of the histograms of short things, s.
const SHORT_SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// Bounds of the histograms of whole calls, s.
const LONG_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
/// Bounds of rows of a batch.
const BATCH_ROWS: [f64; 9] = [
    1.0, 10.0, 100.0, 500.0, 1000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0,
];

/// The instruments of one service; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    instruments: Arc<Instruments>,
}

#[derive(Debug)]
struct Instruments {
    rpc_duration: Histogram<f64>,
    import_duration: Histogram<f64>,
    admission_refused: Counter<u64>,
    received_size: Counter<u64>,
    rows: Counter<u64>,
    row_errors: Counter<u64>,
    batch_rows: Histogram<u64>,
    batch_write_duration: Histogram<f64>,
    write_queue_wait: Histogram<f64>,
    write_retries: Counter<u64>,
    decode_duration: Histogram<f64>,
    decoder_exits: Counter<u64>,
    db_duration: Histogram<f64>,
    connection_wait: Histogram<f64>,
}

impl Metrics {
    /// Instruments of this provider.
    pub fn new(provider: &SdkMeterProvider) -> Metrics {
        let meter = meter(provider);
        let seconds = |name, bounds: &[f64], what| {
            let histogram = meter.f64_histogram(name).with_unit("s");
            histogram
                .with_boundaries(bounds.to_vec())
                .with_description(what)
                .build()
        };
        let count = |name, unit, what| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(what).build()
        };
        let batch_rows = meter.u64_histogram(names::BATCH_ROWS).with_unit("{row}");
        let instruments = Instruments {
            rpc_duration: seconds(names::RPC_DURATION, &LONG_SECONDS, "Duration of RPCs"),
            import_duration: seconds(
                names::IMPORT_DURATION,
                &LONG_SECONDS,
                "Duration of imports, from header to result",
            ),
            admission_refused: count(
                names::ADMISSION_REFUSED,
                "{call}",
                "Calls that were refused a place",
            ),
            received_size: count(names::RECEIVED_SIZE, "By", "Bytes received"),
            rows: count(names::ROWS, "{row}", "Rows by what became of them"),
            row_errors: count(names::ROW_ERRORS, "{row}", "Rejected rows by code"),
            batch_rows: batch_rows
                .with_boundaries(BATCH_ROWS.to_vec())
                .with_description("Rows of written batches")
                .build(),
            batch_write_duration: seconds(
                names::BATCH_WRITE_DURATION,
                &SHORT_SECONDS,
                "Duration of one attempt at writing a batch",
            ),
            write_queue_wait: seconds(
                names::WRITE_QUEUE_WAIT,
                &SHORT_SECONDS,
                "Time that a batch waited for a writer",
            ),
            write_retries: count(
                names::WRITE_RETRIES,
                "{retry}",
                "Failed attempts at a batch that are repeated, by class of SQLSTATE",
            ),
            decode_duration: seconds(
                names::DECODE_DURATION,
                &LONG_SECONDS,
                "Duration of decoding a workbook",
            ),
            decoder_exits: count(
                names::DECODER_EXITS,
                "{process}",
                "Decoders that ended, by what ended them",
            ),
            db_duration: seconds(
                names::DB_DURATION,
                &SHORT_SECONDS,
                "Duration of writing the rows of a batch in the database",
            ),
            connection_wait: seconds(
                names::DB_CONNECTION_WAIT,
                &SHORT_SECONDS,
                "Time that it took to obtain an open connection to the database",
            ),
        };
        Metrics {
            instruments: Arc::new(instruments),
        }
    }

    /// Instruments that nobody reads.
    pub fn none() -> Metrics {
        Metrics::new(&SdkMeterProvider::builder().build())
    }

    /// An RPC has ended; `error_type` is the status's name where the server is to blame.
    pub fn rpc_ended(
        &self,
        method: &'static str,
        code: &'static str,
        error_type: Option<&'static str>,
        took: Duration,
    ) {
        let mut attributes = vec![
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.status_code", code),
        ];
        attributes.extend(error_type.map(|it| KeyValue::new("error.type", it)));
        let seconds = took.as_secs_f64();
        self.instruments.rpc_duration.record(seconds, &attributes);
    }

    /// A call found no place.
    pub fn admission_refused(&self, reason: Reason) {
        let reason = KeyValue::new("reason", format!("{reason:?}").to_lowercase());
        self.instruments.admission_refused.add(1, &[reason]);
    }

    /// One attempt at a batch has ended.
    pub fn batch_written(&self, n_rows: u64, took: Duration, error_type: Option<&'static str>) {
        let attributes: Vec<KeyValue> = error_type
            .map(|it| KeyValue::new("error.type", it))
            .into_iter()
            .collect();
        if error_type.is_none() {
            self.instruments.batch_rows.record(n_rows, &[]);
        }
        let seconds = took.as_secs_f64();
        self.instruments
            .batch_write_duration
            .record(seconds, &attributes);
    }

    /// A batch has waited for a writer.
    pub fn queue_waited(&self, wait: Duration) {
        self.instruments
            .write_queue_wait
            .record(wait.as_secs_f64(), &[]);
    }

    /// An attempt is made again.
    pub fn write_retried(&self, sql_state: &str) {
        // The class is two of ASCII; there are some forty of them.
        let class: String = sql_state.chars().take(2).collect();
        let class = KeyValue::new("class", class);
        self.instruments.write_retries.add(1, &[class]);
    }

    /// A workbook's decoder has ended.
    pub fn decoder_ended(&self, format: Option<FileFormat>, took: Duration, reason: &'static str) {
        if let Some(format) = format {
            let format = KeyValue::new("format", format_name(format));
            let seconds = took.as_secs_f64();
            self.instruments.decode_duration.record(seconds, &[format]);
        }
        let reason = KeyValue::new("reason", reason);
        self.instruments.decoder_exits.add(1, &[reason]);
    }

    /// Somebody has got a connection of this pool.
    pub fn connection_waited(&self, pool: &'static str, wait: Duration) {
        let seconds = wait.as_secs_f64();
        self.instruments
            .connection_wait
            .record(seconds, &[pool_name(pool)]);
    }

    /// The database has taken the rows of a batch, or refused them with this SQLSTATE.
    pub fn rows_written(
        &self,
        system: &'static str,
        operation: &'static str,
        took: Duration,
        sql_state: Option<&str>,
    ) {
        let mut attributes = vec![
            KeyValue::new("db.system.name", system),
            KeyValue::new("db.operation.name", operation),
        ];
        let error = sql_state.map(|code| KeyValue::new("error.type", code.to_owned()));
        attributes.extend(error);
        let seconds = took.as_secs_f64();
        self.instruments.db_duration.record(seconds, &attributes);
    }
}

/// Which pool of connections, in attributes.
fn pool_name(name: &'static str) -> KeyValue {
    KeyValue::new("db.client.connection.pool.name", name)
}

/// The meter of all instruments.
fn meter(provider: &SdkMeterProvider) -> Meter {
    provider.meter(SCOPE)
}

/// A format in attributes.
pub fn format_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Xlsx => "xlsx",
        FileFormat::Xls => "xls",
        FileFormat::Xlsb => "xlsb",
        FileFormat::Ods => "ods",
        FileFormat::Csv => "csv",
    }
}

/// How an import ended, in attributes.
fn state_name(state: ImportState) -> &'static str {
    match state {
        ImportState::Queued => "queued",
        ImportState::Running => "running",
        ImportState::Suspended => "suspended",
        ImportState::Cancelling => "cancelling",
        ImportState::Succeeded => "succeeded",
        ImportState::Failed => "failed",
        ImportState::Cancelled => "cancelled",
    }
}

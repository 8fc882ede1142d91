//! Log lines and spans: which ones, how they look, where they go.
//!
//! In: the configuration. Out: lines on standard error, never on standard output, which belongs to
//! results; spans to the collector that the `OTEL_*` variables name. Neither holds cells,
//! database URLs or tokens: what triggers say by NOTICE and what a panic says may quote some, so
//! neither is logged as it is. Bounded: what a collector does not take in time is dropped.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use thiserror::Error;
use tracing::{Level, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};
use crate::store::postgres::NOTICE_TARGET;
use lines::Lines;

mod lines;
pub mod meters;

/// The service's name, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE_NAME: &str = "rowlift";
/// The crate, whose spans are exported; those of transports are not.
const TARGET: &str = "rowlift";

/// The process's spans on their way to a collector.
#[derive(Debug)]
pub struct Telemetry {
    spans: SdkTracerProvider,
}

/// A count as an attribute of a span: OpenTelemetry has no unsigned numbers, such a one would go out as
/// text.
pub fn attribute(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Why no telemetry could be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The directives do not parse.
    #[error("log: {directives:?} are not directives such as info,rowlift=debug")]
    Directives {
        /// As configured.
        directives: String,
        /// Where.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else set one up first.
    #[error("a log is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
    /// The `OTEL_*` variables do not lead to an exporter.
    #[error("telemetry cannot be exported")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the process's log and spans up; once. Needs a tokio runtime if spans are exported.
pub fn init(config: &Config) -> Result<Telemetry, TelemetryError> {
    let filter = filter(&config.log)?;
    let json = match config.log_format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let spans = spans(config)?;
    let log = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(if json { Lines::Json } else { Lines::Text })
        // A closed pipe must not panic whoever logs.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .with_filter(filter);
    let exported = tracing_opentelemetry::layer()
        .with_tracer(spans.tracer(TARGET))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, Level::INFO));
    tracing_subscriber::registry()
        .with(exported)
        .with(log)
        .try_init()
        .map_err(TelemetryError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    for remark in &config.otel.remarks {
        warn!("{remark}");
    }
    Ok(Telemetry { spans })
}

/// Sets up nothing but text lines: for commands that only call a service.
pub fn log_only(directives: &str) -> Result<(), TelemetryError> {
    let log = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(Lines::Text)
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .with_filter(filter(directives)?);
    tracing_subscriber::registry()
        .with(log)
        .try_init()
        .map_err(TelemetryError::Twice)
}

/// Says where, never what: a panic's message may quote the text that it stumbled over.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location();
    tracing::error!(
        file = location.map_or("", |it| it.file()),
        line = location.map_or(0, std::panic::Location::line),
        thread = std::thread::current().name().unwrap_or_default(),
        "panic"
    );
}

fn filter(directives: &str) -> Result<EnvFilter, TelemetryError> {
    let filter = EnvFilter::try_new(directives).map_err(|source| TelemetryError::Directives {
        directives: directives.to_owned(),
        source,
    })?;
    let quiet = format!("{NOTICE_TARGET}=off").parse();
    Ok(filter.add_directive(quiet.expect("a directive that is written here")))
}

impl Telemetry {
    /// Exports what has not been exported, for at most `bound`.
    pub async fn shut_down(self, bound: Duration) {
        let spans = self.spans;
        bounded("spans", bound, move || spans.shutdown()).await;
    }
}

/// Without a collector spans have ids, so that lines can be told apart, and go nowhere.
fn spans(config: &Config) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource());
    if !config.otel.traces {
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        return Ok(builder.with_sampler(sampler).build());
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| TelemetryError::Exporter(Box::new(error)))?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Who we are; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add to it.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let key = opentelemetry::Key::from_static_str("service.name");
    let is_named = named
        .get(&key)
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named {
        named
    } else {
        Resource::builder().with_service_name(SERVICE_NAME).build()
    }
}

/// Runs a provider's end, which blocks and does not keep to bounds of its own, beside the caller.
async fn bounded(
    what: &'static str,
    bound: Duration,
    end: impl FnOnce() -> OTelSdkResult + Send + 'static,
) {
    let ended = tokio::time::timeout(bound, tokio::task::spawn_blocking(end)).await;
    match ended {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => warn!(%error, what, "not all telemetry was exported"),
        Ok(Err(error)) => warn!(%error, what, "the export was lost"),
        Err(_) => warn!(what, "the collector took too long, telemetry is lost"),
    }
}

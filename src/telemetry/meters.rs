//! Who reads a service's metrics: a scraper, and a collector that they are pushed to.
//!
//! In: the configuration. Out: a provider for [`Metrics`](crate::metrics::Metrics), and its state
//! as Prometheus' text. One provider with a reader for each, so that both see the same.

use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Encoder, Registry, TextEncoder};
use tracing::warn;

use super::{TelemetryError, resource};
use crate::config::otel::Otel;
use crate::metrics::names::SCRAPED_AS;

/// A provider and what scrapers read.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Where instruments come from.
    pub provider: SdkMeterProvider,
    registry: Registry,
}

impl Meters {
    /// A provider of its own; pushes if the configuration names a collector. Needs a tokio
    /// runtime for that.
    pub fn new(otel: &Otel) -> Result<Meters, TelemetryError> {
        let registry = Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Exporter(Box::new(error)))?;
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource())
            .with_reader(scraped);
        if otel.metrics {
            let exporter = MetricExporter::builder()
                .with_tonic()
                .build()
                .map_err(|error| TelemetryError::Exporter(Box::new(error)))?;
            builder = builder.with_reader(PeriodicReader::builder(exporter).build());
        }
        Ok(Meters {
            provider: builder.build(),
            registry,
        })
    }

    /// All metrics in the text format that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        for family in &mut families {
            if let Some((_, name)) = SCRAPED_AS.iter().find(|(name, _)| *name == family.name()) {
                family.set_name((*name).to_owned());
            }
        }
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            warn!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Pushes what has not been pushed, for at most `bound`.
    pub async fn shut_down(&self, bound: Duration) {
        let provider = self.provider.clone();
        super::bounded("metrics", bound, move || provider.shutdown()).await;
    }
}

//! What the standard `OTEL_*` variables say, as far as the exporters do not read it themselves.
//!
//! In: variables. Out: where telemetry goes, and remarks about variables that change nothing here.

use std::ffi::OsString;

/// Variables that name where traces go, or everything.
const TRACES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// The same for metrics.
const METRICS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// Variables of the specification, and the only value that is in force.
const FIXED: [(&str, &str); 6] = [
    ("OTEL_TRACES_EXPORTER", "otlp"),
    ("OTEL_METRICS_EXPORTER", "otlp"),
    ("OTEL_LOGS_EXPORTER", "none"),
    ("OTEL_PROPAGATORS", "tracecontext"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
];

/// Where telemetry goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Otel {
    /// Spans are pushed.
    pub traces: bool,
    /// Metrics are pushed.
    pub metrics: bool,
    /// Variables that change nothing, each with what holds instead.
    pub remarks: Vec<String>,
}

impl Otel {
    /// Reads the variables.
    pub(super) fn from_variables(variable: &impl Fn(&str) -> Option<OsString>) -> Otel {
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            (!value.trim().is_empty()).then(|| value.trim().to_owned())
        };
        let is_disabled =
            text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let names_any = |names: [&str; 2]| names.into_iter().any(|name| text(name).is_some());
        let remarks = FIXED.into_iter().filter_map(|(name, only)| {
            let value = text(name).filter(|value| value != only)?;
            Some(format!("{name}={value} is not supported, {only} is used"))
        });
        Otel {
            traces: !is_disabled && names_any(TRACES),
            metrics: !is_disabled && names_any(METRICS),
            remarks: remarks.collect(),
        }
    }
}

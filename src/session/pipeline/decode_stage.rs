//! The time that a file takes to be decoded, as a span and as measurements.
//!
//! In: what the decoder says of the file. Out: the span `import.decode`, a child of the call's, and
//! the end of a decoder's process in the metrics. A CSV is decoded while it arrives: its span
//! begins with the header.

use std::time::Instant;

use tracing::{Span, field, info_span};

use crate::decode::SourceHeader;
use crate::decode::error::{DeathCause, DecodeError};
use crate::metrics::{self, Metrics};
use crate::model::import::FileFormat;
use crate::telemetry;

/// A file that is being decoded.
#[derive(Debug)]
pub(super) struct DecodeStage {
    span: Span,
    begun: Instant,
    format: Option<FileFormat>,
}

impl DecodeStage {
    /// Begins now, as a child of the current span.
    pub(super) fn begin() -> DecodeStage {
        let span = info_span!(
            "import.decode",
            format = field::Empty,
            sheet = field::Empty,
            rows = field::Empty,
        );
        DecodeStage {
            span,
            begun: Instant::now(),
            format: None,
        }
    }

    /// The header is read.
    pub(super) fn of(mut self, header: &SourceHeader) -> DecodeStage {
        let format = metrics::format_name(header.format);
        self.span.record("format", format);
        self.span.record("sheet", header.sheet.as_str());
        self.format = Some(header.format);
        self
    }

    /// A workbook's decoder is through, or has failed.
    pub(super) fn decoder_ended(&self, metrics: &Metrics, error: Option<&DecodeError>) {
        let reason = error.map_or("done", reason);
        metrics.decoder_ended(self.format, self.begun.elapsed(), reason);
    }

    /// Every row is there.
    pub(super) fn end(self, n_rows: u64) {
        self.span.record("rows", telemetry::attribute(n_rows));
    }
}

/// What ended a decoder's process: a closed set.
fn reason(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::DecoderDied { cause } => match cause {
            DeathCause::CpuLimit { .. } => "cpu_limit",
            DeathCause::MemoryLimit { .. } => "memory_limit",
            _ => "died",
        },
        DecodeError::Cancelled => "cancelled",
        DecodeError::Limit { .. } => "limit",
        DecodeError::Io { .. } | DecodeError::DiskFull { .. } | DecodeError::SpoolFull { .. } => {
            "failed"
        }
        _ => "bad_file",
    }
}

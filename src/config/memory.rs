//! What decoders and batches may take has to fit the memory that the service has.
//!
//! In: the settings, which of them were set, and the bound on memory, if there is one. Out:
//! defaults that fit, or a refusal that names the keys. What was set is never changed.
//!
//! A decoder is counted with all the address space that it may take. Most take far less, an xlsx
//! some tens of MiB as long as its strings have room on the disk; but a file may be made to need it
//! all, and without that room strings are in memory.

use crate::config::Config;
use crate::config::error::ConfigError;
use crate::config::keys::Settings;

/// What the service takes beside decoders and batches: connections, buffers, code.
const OTHER_BYTES: u64 = 512 << 20;
/// Below it a decoder could not even open a workbook of a few thousand rows.
const CHILD_BYTES_MIN: u64 = 256 << 20;
/// Of little memory, one part of so many is for batches.
const IN_FLIGHT_PARTS: u64 = 8;

const DECODERS: &str = "decoders_max";
const CHILD: &str = "limits.child_address_space_bytes";
const IN_FLIGHT: &str = "bytes_in_flight_max";

/// Fits the defaults to the bound of `limit` bytes; refuses what was set and does not fit.
pub(super) fn fit(
    config: &mut Config,
    set: &Settings,
    limit: Option<u64>,
) -> Result<(), ConfigError> {
    let Some(limit) = limit else {
        return Ok(());
    };
    let first_set = [DECODERS, CHILD, IN_FLIGHT]
        .into_iter()
        .find(|key| set.was_set(key));
    let Some(key) = first_set else {
        shrink(config, limit);
        return Ok(());
    };
    if key != DECODERS {
        config.decoders_max = decoders_that_fit(config, limit).clamp(1, config.decoders_max);
    }
    let needed = needed(config);
    if needed <= limit {
        return Ok(());
    }
    let hint = match decoders_that_fit(config, limit) {
        0 => format!("lower {CHILD} or {IN_FLIGHT}"),
        n_decoders => format!("{DECODERS} may be {n_decoders}"),
    };
    let message = format!(
        "{DECODERS} ({}) x {CHILD} ({}) + {IN_FLIGHT} ({}) + {} for all else are {}, and the memory \
         limit of this control group is {}: {hint}, or raise the limit",
        config.decoders_max,
        size(config.limits.child_address_space_bytes),
        size(config.bytes_in_flight_max),
        size(OTHER_BYTES),
        size(needed),
        size(limit),
    );
    Err(ConfigError::Conflict { key, message })
}

/// Makes defaults fit: fewer decoders, then less for each of them. A service with less memory than
/// even that starts all the same: rows and CSV files need no decoder.
fn shrink(config: &mut Config, limit: u64) {
    let batch_bytes_max = u64::try_from(config.batch_bytes_max).unwrap_or(u64::MAX);
    let in_flight = (limit / IN_FLIGHT_PARTS).max(batch_bytes_max);
    config.bytes_in_flight_max = config.bytes_in_flight_max.min(in_flight);
    config.decoders_max = decoders_that_fit(config, limit).clamp(1, config.decoders_max);
    if needed(config) > limit {
        let rest = limit.saturating_sub(config.bytes_in_flight_max + OTHER_BYTES);
        let child = &mut config.limits.child_address_space_bytes;
        *child = rest.clamp(CHILD_BYTES_MIN, (*child).max(CHILD_BYTES_MIN));
    }
}

fn needed(config: &Config) -> u64 {
    let n_decoders = u64::try_from(config.decoders_max).unwrap_or(u64::MAX);
    n_decoders
        .saturating_mul(config.limits.child_address_space_bytes)
        .saturating_add(config.bytes_in_flight_max)
        .saturating_add(OTHER_BYTES)
}

fn decoders_that_fit(config: &Config, limit: u64) -> usize {
    let rest = limit
        .saturating_sub(OTHER_BYTES)
        .saturating_sub(config.bytes_in_flight_max);
    let n_decoders = rest / config.limits.child_address_space_bytes.max(1);
    usize::try_from(n_decoders).unwrap_or(usize::MAX)
}

/// As the keys take it.
fn size(n_bytes: u64) -> String {
    if n_bytes.is_multiple_of(1 << 20) {
        format!("{}MiB", n_bytes >> 20)
    } else {
        n_bytes.to_string()
    }
}

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{CHILD_BYTES_MIN, fit};
use crate::config::{Config, ServeFlags};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Decoders, address space of each and bytes in flight, MiB, or why it is refused.
fn fitted(
    variables: &[(&str, &str)],
    limit: impl Into<Option<u64>>,
) -> Result<(usize, u64, u64), String> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(OsString::from);
    let (mut config, set) = Config::resolve(&ServeFlags::default(), variable).unwrap();
    if !set.was_set("decoders_max") {
        // As on a machine of 16 cores.
        config.decoders_max = 16;
    }
    fit(&mut config, &set, limit.into()).map_err(|error| error.to_string())?;
    let (child, in_flight) = (
        config.limits.child_address_space_bytes / MIB,
        config.bytes_in_flight_max / MIB,
    );
    Ok((config.decoders_max, child, in_flight))
}

#[test]
fn without_a_bound_nothing_changes_and_nothing_is_refused() {
    assert_eq!(fitted(&[], None), Ok((16, 1536, 256)));
    let many = [("ROWLIFT_DECODERS_MAX", "1000")];
    assert_eq!(fitted(&many, None), Ok((1000, 1536, 256)));
}

#[test]
fn defaults_fit_any_bound() {
    assert_eq!(fitted(&[], 64 * GIB), Ok((16, 1536, 256)));
    assert_eq!(fitted(&[], 4 * GIB), Ok((2, 1536, 256)));
    assert_eq!(fitted(&[], 2 * GIB), Ok((1, 1280, 256)));
    assert_eq!(fitted(&[], GIB), Ok((1, 384, 128)));
    assert_eq!(fitted(&[], 512 * MIB), Ok((1, CHILD_BYTES_MIN / MIB, 64)));
    assert_eq!(fitted(&[], 1), Ok((1, CHILD_BYTES_MIN / MIB, 3)));
}

#[test]
fn the_default_of_decoders_follows_what_was_set() {
    let child = [("ROWLIFT_LIMITS_CHILD_ADDRESS_SPACE_BYTES", "512MiB")];
    assert_eq!(fitted(&child, 4 * GIB), Ok((6, 512, 256)));
    let in_flight = [("ROWLIFT_BYTES_IN_FLIGHT_MAX", "1GiB")];
    assert_eq!(fitted(&in_flight, 4 * GIB), Ok((1, 1536, 1024)));
}

#[test]
fn what_was_set_and_does_not_fit_is_refused_with_keys_values_and_a_way_out() {
    let three = [("ROWLIFT_DECODERS_MAX", "3")];
    assert_eq!(
        fitted(&three, 4 * GIB).unwrap_err(),
        "decoders_max: decoders_max (3) x limits.child_address_space_bytes (1536MiB) + \
         bytes_in_flight_max (256MiB) + 512MiB for all else are 5376MiB, and the memory limit of \
         this control group is 4096MiB: decoders_max may be 2, or raise the limit"
    );
    let child = [("ROWLIFT_LIMITS_CHILD_ADDRESS_SPACE_BYTES", "1GiB")];
    let refusal = fitted(&child, GIB).unwrap_err();
    let start = "limits.child_address_space_bytes: decoders_max (1) x";
    assert!(refusal.starts_with(start), "{refusal}");
    let way_out = ": lower limits.child_address_space_bytes or bytes_in_flight_max, or raise";
    assert!(refusal.contains(way_out), "{refusal}");
    assert_eq!(fitted(&three, 5376 * MIB), Ok((3, 1536, 256)));
}

//! How large the fault tests are.

use super::postgres::variable;

/// Whether the fault tests run at their full size: `scripts/test --long`.
pub(crate) fn is_long() -> bool {
    variable("ROWLIFT_LONG").is_some_and(|value| value == "1")
}

/// One of two sizes.
pub(crate) fn short_or_long<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

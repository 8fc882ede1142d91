//! Days and points in time as numbers.
//!
//! In: years, months, days and the like. Out: days and microseconds since 1970-01-01 within the
//! years 1 to 9999, which every store and every library on the way can hold. How they are spelled is
//! in [`crate::model::serial`].

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::mapping::coerce::Fault;
use crate::model::serial::{DAY_MICROS, SECOND_MICROS, date_of};

/// 0001-01-01.
pub(super) const DAYS_MIN: i64 = -719_162;
/// 9999-12-31.
pub(super) const DAYS_MAX: i64 = 2_932_896;
/// Days since 1970-01-01 of a date that exists; `None` if it does not, or is not in the years 1
/// to 9999.
pub(super) fn days_of(year: u32, month: u32, day: u32) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let n_days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=n_days).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last one.
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

/// Days as a date's value.
pub(super) fn checked_days(days: i64) -> Result<i32, Fault> {
    if (DAYS_MIN..=DAYS_MAX).contains(&days) {
        Ok(i32::try_from(days).expect("within the years 1 to 9999"))
    } else {
        Err(Fault::out_of_range("is not within the years 1 to 9999"))
    }
}

/// Microseconds since 1970-01-01T00:00:00 as a timestamp's value.
pub(super) fn checked_micros(micros: i64) -> Result<i64, Fault> {
    if (DAYS_MIN * DAY_MICROS..(DAYS_MAX + 1) * DAY_MICROS).contains(&micros) {
        Ok(micros)
    } else {
        Err(Fault::out_of_range("is not within the years 1 to 9999"))
    }
}

/// Microseconds in UTC of a wall clock's time, which must have been shown exactly once.
pub(super) fn in_zone(local: i64, zone: Option<&TimeZone>) -> Result<i64, Fault> {
    let Some(zone) = zone else {
        return Err(Fault::ambiguous(
            "has no offset from UTC, and no time zone is declared",
        ));
    };
    let local = checked_micros(local)?;
    let (year, month, day) = date_of(local.div_euclid(DAY_MICROS));
    let second = local.rem_euclid(DAY_MICROS) / SECOND_MICROS;
    let small = |value: i64| i8::try_from(value).expect("below 60");
    let wall = civil::DateTime::new(
        i16::try_from(year).expect("at most 9999"),
        i8::try_from(month).expect("at most 12"),
        i8::try_from(day).expect("at most 31"),
        small(second / 3600),
        small(second / 60 % 60),
        small(second % 60),
        0,
    )
    .expect("a date and a time that exist");
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            checked_micros(local - i64::from(offset.seconds()) * SECOND_MICROS)
        }
        AmbiguousOffset::Gap { .. } => Err(Fault::mismatch(
            "does not exist in the declared time zone: clocks were put forward",
        )),
        AmbiguousOffset::Fold { .. } => Err(Fault::ambiguous(
            "occurs twice in the declared time zone: clocks were put back",
        )),
    }
}

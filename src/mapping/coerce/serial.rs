//! Date serials and durations: numbers that a workbook shows as dates and times.
//!
//! In: days since an epoch, with a fraction. Out: dates, times and timestamps to the nearest
//! millisecond, or ISO 8601 text. The 1900 system has a 29th of February 1900 as day 60, which
//! no calendar has, and a day 0, which only times of day have; the 1904 system has neither
//! fault, so its day 0 is 1904-01-01.

use crate::mapping::coerce::calendar::{DAYS_MAX, checked_micros, in_zone};
use crate::mapping::coerce::{Fault, Scratch, Settings, Target};
use crate::model::cell::DateSystem;
use crate::model::serial::{
    DAY_MICROS, EPOCH_1900, EPOCH_1904, Moment, moment, write_cell_duration, write_date_time,
    write_serial, write_time,
};
use crate::model::table::ColumnType;
use crate::model::value::Value;

/// What a date serial becomes.
pub(super) fn from_serial<'v>(
    target: &'v Target,
    serial: f64,
    system: DateSystem,
    settings: &Settings,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    if target.takes_shown_text() {
        scratch.text.clear();
        write_serial(serial, system, &mut scratch.text);
        return target.fits(&scratch.text);
    }
    let moment = || {
        let fault = Fault::out_of_range("is a date that no calendar has");
        let moment = moment(serial).ok_or(fault)?;
        let days = days_since_1970(moment.day, system).ok_or(fault)?;
        Ok((days, moment.micros))
    };
    match target.ty {
        ColumnType::Date => {
            let (days, micros) = moment()?;
            if micros != 0 {
                return Err(Fault::precision_loss("has a time of day"));
            }
            let days = i32::try_from(days).expect("within the years 1900 to 9999");
            Ok(Value::Date(days))
        }
        ColumnType::Time => {
            let fault = Fault::out_of_range("is a date that no calendar has");
            let last = match system {
                DateSystem::Y1900 => DAYS_MAX - EPOCH_1900,
                DateSystem::Y1904 => DAYS_MAX - EPOCH_1904,
            };
            let moment = moment_within(serial, last).ok_or(fault)?;
            Ok(Value::Time(moment.micros))
        }
        ColumnType::Timestamp => {
            let (days, micros) = moment()?;
            checked_micros(days * DAY_MICROS + micros).map(Value::Timestamp)
        }
        ColumnType::TimestampTz => {
            let (days, micros) = moment()?;
            let zone = settings.time_zone.as_ref();
            in_zone(days * DAY_MICROS + micros, zone).map(Value::Timestamp)
        }
        _ => Err(Fault::mismatch("is a date")),
    }
}

/// What a span of time becomes.
pub(super) fn from_duration<'v>(
    target: &'v Target,
    days: f64,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    if target.takes_shown_text() {
        scratch.text.clear();
        write_cell_duration(days, &mut scratch.text);
        return target.fits(&scratch.text);
    }
    if target.ty != ColumnType::Time {
        return Err(Fault::mismatch("is a span of time"));
    }
    match moment(days) {
        Some(Moment { day: 0, micros }) => Ok(Value::Time(micros)),
        Some(Moment { day: 1, micros: 0 }) => Ok(Value::Time(DAY_MICROS)),
        _ => Err(Fault::out_of_range("is not within a day")),
    }
}

/// What a number of days stands for, where no column asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mapping) enum Meaning {
    /// A date, in ISO 8601.
    Date(String),
    /// A time of day, in ISO 8601.
    Time(String),
    /// A wall clock's date and time, microseconds since 1970-01-01T00:00:00.
    DateTime(i64),
    /// Nothing that calendar or clock has.
    None,
}

/// What a serial stands for.
pub(in crate::mapping) fn meaning(serial: f64, system: DateSystem) -> Meaning {
    let Some(Moment { day, micros }) = moment(serial) else {
        return Meaning::None;
    };
    let is_time = day == 0 && (system == DateSystem::Y1900 || micros != 0);
    let mut text = String::new();
    if is_time {
        write_time(micros, &mut text);
        return Meaning::Time(text);
    }
    match days_since_1970(day, system) {
        None => Meaning::None,
        Some(days) if micros != 0 => Meaning::DateTime(days * DAY_MICROS + micros),
        Some(days) => {
            write_date_time(days * DAY_MICROS, &mut text);
            Meaning::Date(text)
        }
    }
}

/// What a span of time stands for: a time of day where it is one, which ods tells from a span in
/// no way.
pub(in crate::mapping) fn duration_meaning(days: f64) -> Meaning {
    match moment(days) {
        Some(Moment { day: 0, micros }) => {
            let mut text = String::new();
            write_time(micros, &mut text);
            Meaning::Time(text)
        }
        _ => Meaning::None,
    }
}

fn moment_within(serial: f64, last_day: i64) -> Option<Moment> {
    moment(serial).filter(|moment| (0..=last_day).contains(&moment.day))
}

/// The date of a serial's whole days, if there is one.
fn days_since_1970(day: i64, system: DateSystem) -> Option<i64> {
    let days = match (system, day) {
        (DateSystem::Y1900, 1..=59) => day + EPOCH_1900 + 1,
        (DateSystem::Y1900, 61..) => day + EPOCH_1900,
        (DateSystem::Y1904, 0..) => day + EPOCH_1904,
        _ => return None,
    };
    (days <= DAYS_MAX).then_some(days)
}

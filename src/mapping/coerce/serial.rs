//! Date serials and durations: numbers that a workbook shows as dates and times.
//!
//! In: days since an epoch, with a fraction. Out: dates, times and timestamps to the nearest
//! millisecond, or ISO 8601 text. The 1900 system has a 29th of February 1900 as day 60, which
//! no calendar has, and a day 0, which only times of day have; the 1904 system has neither
//! fault, so its day 0 is 1904-01-01.

use crate::mapping::coerce::calendar::{
    DAY_MICROS, DAYS_MAX, checked_micros, in_zone, write_date_time, write_time,
};
use crate::mapping::coerce::number::{whole_of, write_number};
use crate::mapping::coerce::{Fault, Scratch, Settings, Target};
use crate::model::cell::{DateSystem, round_to_15_digits};
use crate::model::table::ColumnType;
use crate::model::value::Value;

const DAY_MILLIS: f64 = 86_400_000.0;
/// Serials beyond it are numbers that somebody formatted by mistake.
const SERIAL_MAX: f64 = 1e8;
/// Day 0 of the 1904 system, in days since 1970-01-01.
const EPOCH_1904: i64 = -24_107;
/// Day 0 of the 1900 system for serials from 61 on, in days since 1970-01-01.
const EPOCH_1900: i64 = -25_569;

/// A serial to the nearest millisecond.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// The serial's whole days.
    day: i64,
    /// Microseconds since midnight.
    micros: i64,
}

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

/// Writes a serial as a person is shown it, in ISO 8601: the date alone if it has no time, the
/// time alone if it has no date. A number that is no date at all stays a number.
pub(in crate::mapping) fn write_serial(serial: f64, system: DateSystem, text: &mut String) {
    let Some(Moment { day, micros }) = moment(serial) else {
        text.push_str(write_number(round_to_15_digits(serial), &mut String::new()));
        return;
    };
    match (system, day) {
        (DateSystem::Y1900, 0) => write_time(micros, text),
        (DateSystem::Y1904, 0) if micros != 0 => write_time(micros, text),
        (DateSystem::Y1900, 60) => {
            text.push_str("1900-02-29");
            if micros != 0 {
                text.push('T');
                write_time(micros, text);
            }
        }
        (DateSystem::Y1900, ..60) => {
            write_date_time((day + EPOCH_1900 + 1) * DAY_MICROS + micros, text);
        }
        (DateSystem::Y1900, _) => write_date_time((day + EPOCH_1900) * DAY_MICROS + micros, text),
        (DateSystem::Y1904, _) => write_date_time((day + EPOCH_1904) * DAY_MICROS + micros, text),
    }
}

/// Writes a span of time as `[h]:mm:ss` shows it, such as `36:00:00`.
pub(in crate::mapping) fn write_cell_duration(days: f64, text: &mut String) {
    let Some(Moment { day, micros }) = moment(days.abs()) else {
        text.push_str(write_number(round_to_15_digits(days), &mut String::new()));
        return;
    };
    let micros = day * DAY_MICROS + micros;
    if days < 0.0 && micros != 0 {
        text.push('-');
    }
    write_time(micros, text);
}

fn moment(serial: f64) -> Option<Moment> {
    // NaN is not within any range.
    if !(-SERIAL_MAX..=SERIAL_MAX).contains(&serial) {
        return None;
    }
    let millis = whole_of((serial * DAY_MILLIS).round())?;
    Some(Moment {
        day: millis.div_euclid(86_400_000),
        micros: millis.rem_euclid(86_400_000) * 1000,
    })
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

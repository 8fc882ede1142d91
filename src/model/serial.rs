//! Days and times of day as a person is shown them: dates, date serials, spans of time.
//!
//! In: days since an epoch, with a fraction, and microseconds. Out: ISO 8601 text. The 1900 system
//! has a 29th of February 1900 as day 60, which no calendar has, and a day 0, which only times of
//! day have; the 1904 system has neither fault, so its day 0 is 1904-01-01.

use std::fmt::Write;

use crate::model::cell::{DateSystem, round_to_15_digits, whole_of};

/// One day.
pub const DAY_MICROS: i64 = 86_400_000_000;
/// One second.
pub const SECOND_MICROS: i64 = 1_000_000;

const DAY_MILLIS: f64 = 86_400_000.0;
/// Serials beyond it are numbers that somebody formatted by mistake.
const SERIAL_MAX: f64 = 1e8;
/// Day 0 of the 1904 system, in days since 1970-01-01.
pub const EPOCH_1904: i64 = -24_107;
/// Day 0 of the 1900 system for serials from 61 on, in days since 1970-01-01.
pub const EPOCH_1900: i64 = -25_569;

/// A serial to the nearest millisecond.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The serial's whole days.
    pub day: i64,
    /// Microseconds since midnight.
    pub micros: i64,
}

/// Writes a serial as a person is shown it, in ISO 8601: the date alone if it has no time, the
/// time alone if it has no date. A number that is no date at all stays a number.
pub fn write_serial(serial: f64, system: DateSystem, text: &mut String) {
    let Some(Moment { day, micros }) = moment(serial) else {
        write!(text, "{}", round_to_15_digits(serial)).expect("writing to a string");
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
pub fn write_cell_duration(days: f64, text: &mut String) {
    let Some(Moment { day, micros }) = moment(days.abs()) else {
        write!(text, "{}", round_to_15_digits(days)).expect("writing to a string");
        return;
    };
    let micros = day * DAY_MICROS + micros;
    if days < 0.0 && micros != 0 {
        text.push('-');
    }
    write_time(micros, text);
}

/// The serial to the nearest millisecond; `None` if it is no date at all.
pub fn moment(serial: f64) -> Option<Moment> {
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

/// Year, month and day of a number of days since 1970-01-01, in any year.
pub fn date_of(days: i64) -> (i64, u32, u32) {
    let from_march_0 = days + 719_468;
    let era = from_march_0.div_euclid(146_097);
    let day_of_era = from_march_0.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |value: i64| u32::try_from(value).expect("a month or a day");
    (year, small(month), small(day))
}

/// `YYYY-MM-DD`; years beyond 9999 and before 0 carry a sign.
pub fn write_date(days: i64, text: &mut String) {
    let (year, month, day) = date_of(days);
    let written = match year {
        0..=9999 => write!(text, "{year:04}-{month:02}-{day:02}"),
        _ => write!(text, "{year:+05}-{month:02}-{day:02}"),
    };
    written.expect("writing to a string");
}

/// `HH:MM:SS[.f]` with as many decimals as there are; hours may go beyond 24.
pub fn write_time(micros: i64, text: &mut String) {
    let seconds = micros / SECOND_MICROS;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(text, "{hours:02}:{minutes:02}:{:02}", seconds % 60).expect("writing to a string");
    let fraction = micros % SECOND_MICROS;
    if fraction != 0 {
        write!(text, ".{fraction:06}").expect("writing to a string");
        text.truncate(text.trim_end_matches('0').len());
    }
}

/// A date, followed by `T` and the time unless that is midnight.
pub fn write_date_time(micros: i64, text: &mut String) {
    write_date(micros.div_euclid(DAY_MICROS), text);
    let time = micros.rem_euclid(DAY_MICROS);
    if time != 0 {
        text.push('T');
        write_time(time, text);
    }
}

//! Dates, times and timestamps in text.
//!
//! In: text in ISO 8601, in the column's declared format, or in the declared order of day, month
//! and year. Out: days and microseconds. Nothing is guessed: without a declared order every date
//! of three plain numbers is AMBIGUOUS_VALUE, also one whose day is above 12, because the next
//! row's may not be; so is a year of two digits, and a clock time that needs a zone and has none.
//!
//! A declared format is tried first. What does not fit it is read as ISO 8601, unless the format
//! itself puts the day second (`%Y-%d-%m`) and the two could be confused. Seconds have any number
//! of decimals and are rounded to the microsecond, as the database would do. 24:00:00 is the end
//! of the day, second 60 the next minute.

use jiff::Timestamp;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use crate::mapping::DateOrder;
use crate::mapping::coerce::calendar::{checked_days, checked_micros, days_of, in_zone};
use crate::mapping::coerce::{Fault, Scratch, Settings, Target, serial};
use crate::model::serial::{DAY_MICROS, SECOND_MICROS, write_date_time};
use crate::model::table::ColumnType;
use crate::model::value::Value;

/// A date and a time of day as they stand in a text.
#[derive(Debug, Clone, Copy)]
struct Parsed {
    /// Since 1970-01-01.
    days: i64,
    /// Since midnight, the end of the day included.
    micros: i64,
    /// Seconds east of UTC.
    offset: Option<i64>,
}

const NO_SUCH: Fault = Fault::mismatch("is a date or time that does not exist");

/// Text into a date column. A time of day other than midnight would be lost.
pub(super) fn date_from_text(
    target: &Target,
    text: &str,
    settings: &Settings,
) -> Result<Value<'static>, Fault> {
    let fault = Fault::mismatch("is not a date: YYYY-MM-DD");
    let parsed = parse(target, text, settings, fault)?;
    if parsed.micros != 0 || parsed.offset.is_some() {
        return Err(Fault::precision_loss("has a time of day"));
    }
    checked_days(parsed.days).map(Value::Date)
}

/// Text into a time column.
pub(super) fn time_from_text(target: &Target, text: &str) -> Result<Value<'static>, Fault> {
    if !target.format.is_empty()
        && let Ok(time) = strtime::parse(&target.format, text).and_then(|parsed| parsed.to_time())
    {
        return Ok(Value::Time(micros_of(time)));
    }
    let mut cursor = Cursor(text.as_bytes());
    match cursor.clock() {
        Some(micros) if cursor.is_at_end() => match micros {
            Ok(micros) if micros <= DAY_MICROS => Ok(Value::Time(micros)),
            _ => Err(NO_SUCH),
        },
        _ => Err(Fault::mismatch("is not a time: HH:MM:SS")),
    }
}

/// Text into a timestamp or timestamptz column; a date alone is its midnight.
pub(super) fn timestamp_from_text(
    target: &Target,
    text: &str,
    settings: &Settings,
) -> Result<Value<'static>, Fault> {
    let fault = Fault::mismatch("is not a date and time: YYYY-MM-DD HH:MM:SS");
    let parsed = parse(target, text, settings, fault)?;
    let local = checked_micros(parsed.days * DAY_MICROS + parsed.micros)?;
    let micros = match (&target.ty, parsed.offset) {
        (ColumnType::TimestampTz, None) => in_zone(local, settings.time_zone.as_ref())?,
        (ColumnType::TimestampTz, Some(offset)) => local - offset * SECOND_MICROS,
        (_, None | Some(0)) => local,
        (_, Some(_)) => {
            return Err(Fault::ambiguous(
                "has an offset from UTC, which the column does not keep",
            ));
        }
    };
    checked_micros(micros).map(Value::Timestamp)
}

/// A cell that its file calls a date, a time or a span of time, in ISO 8601.
pub(super) fn from_iso_cell<'v>(
    target: &'v Target,
    text: &'v str,
    settings: &Settings,
    scratch: &'v mut Scratch,
) -> Result<Value<'v>, Fault> {
    if let Some(days) = duration_days(text) {
        return serial::from_duration(target, days, scratch);
    }
    let parsed = iso_date_time(text).and_then(Result::ok);
    match &target.ty {
        _ if target.takes_shown_text() => match parsed {
            Some(Parsed {
                days,
                micros,
                offset: None,
            }) => {
                scratch.text.clear();
                write_date_time(days * DAY_MICROS + micros, &mut scratch.text);
                target.fits(&scratch.text)
            }
            _ => target.fits(text),
        },
        ColumnType::Date => date_from_text(target, text, settings),
        ColumnType::Time => match parsed {
            Some(Parsed { micros, .. }) => Ok(Value::Time(micros % DAY_MICROS)),
            None => time_from_text(target, text),
        },
        ColumnType::Timestamp | ColumnType::TimestampTz => {
            timestamp_from_text(target, text, settings)
        }
        _ => Err(Fault::mismatch("is a date")),
    }
}

/// Whether `format` can be read at all, and says enough for a column of type `ty`; else why not.
pub(in crate::mapping) fn check_format(format: &str, ty: &ColumnType) -> Result<(), String> {
    let is_known = matches!(
        ty,
        ColumnType::Date | ColumnType::Time | ColumnType::Timestamp | ColumnType::TimestampTz
    );
    if !is_known {
        return Err("only date, time and timestamp columns have a format".to_owned());
    }
    // What it makes of one moment has to be readable by itself.
    let probe = Timestamp::from_second(1_709_528_767).expect("a second of 2024");
    let probe = probe.to_zoned_datetime(TimeZone::UTC);
    let readable = strtime::format(format, &probe)
        .and_then(|text| strtime::parse(format, text))
        .map_err(|error| format!("not a strftime pattern for reading: {error}"))?;
    if readable.iana_time_zone().is_some() {
        return Err("time zone names are not read: use %z".to_owned());
    }
    let says_enough = match ty {
        ColumnType::Time => readable.hour().is_some() && readable.to_time().is_ok(),
        _ => readable.timestamp().is_some() || readable.to_datetime().is_ok(),
    };
    if says_enough {
        Ok(())
    } else {
        Err("does not say enough for the column's type".to_owned())
    }
}

// Dates.

fn parse(target: &Target, text: &str, settings: &Settings, fault: Fault) -> Result<Parsed, Fault> {
    let format = target.format.as_str();
    if !format.is_empty() {
        if let Some(parsed) = formatted(format, text) {
            return Ok(parsed);
        }
        if format.contains("%Y-%d") {
            return Err(Fault::mismatch("is not in the declared format"));
        }
    }
    iso_date_time(text)
        .or_else(|| ordered_date_time(text, settings.date_order))
        .unwrap_or(Err(fault))
}

fn formatted(format: &str, text: &str) -> Option<Parsed> {
    let broken_down: BrokenDownTime = strtime::parse(format, text).ok()?;
    if let Some(timestamp) = broken_down.timestamp() {
        let micros = timestamp.as_microsecond();
        return Some(Parsed {
            days: micros.div_euclid(DAY_MICROS),
            micros: micros.rem_euclid(DAY_MICROS),
            offset: Some(0),
        });
    }
    let date = broken_down.to_date().ok()?;
    let time = broken_down.to_time().ok()?;
    let year = u32::try_from(date.year()).ok()?;
    let month = u32::try_from(date.month()).ok()?;
    let day = u32::try_from(date.day()).ok()?;
    Some(Parsed {
        days: days_of(year, month, day)?,
        micros: micros_of(time),
        offset: broken_down.offset().map(|offset| offset.seconds().into()),
    })
}

fn micros_of(time: jiff::civil::Time) -> i64 {
    let seconds =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let nanos = i64::from(time.subsec_nanosecond());
    seconds * SECOND_MICROS + (nanos + 500) / 1000
}

/// `YYYY-MM-DD` or `YYYYMMDD`, alone or with a time. `None`: the text has another shape.
fn iso_date_time(text: &str) -> Option<Result<Parsed, Fault>> {
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.number(4, 4)?;
    let is_extended = cursor.eat(b'-');
    let month = cursor.number(2, 2)?;
    if is_extended && !cursor.eat(b'-') {
        return None;
    }
    let day = cursor.number(2, 2)?;
    cursor.rest_of_date_time(days_of(year, month, day))
}

/// Three numbers in the declared order, alone or with a time. `None`: the text has another shape.
fn ordered_date_time(text: &str, order: Option<DateOrder>) -> Option<Result<Parsed, Fault>> {
    let mut cursor = Cursor(text.as_bytes());
    let first = cursor.counted()?;
    let separator = cursor.0.first().copied()?;
    if !matches!(separator, b'/' | b'.' | b'-') {
        return None;
    }
    cursor.eat(separator);
    let second = cursor.counted()?;
    if !cursor.eat(separator) {
        return None;
    }
    let third = cursor.counted()?;
    let (year, month, day) = match order {
        None => {
            // Only what would be a date under some order could be more than one.
            cursor.rest_of_date_time(Some(0))?.ok()?;
            return Some(Err(Fault::ambiguous(
                "could be more than one date: declare the order of day, month and year",
            )));
        }
        Some(DateOrder::Dmy) => (third, second, first),
        Some(DateOrder::Mdy) => (third, first, second),
        Some(DateOrder::Ymd) => (first, second, third),
    };
    match (year, month, day) {
        ((4, year), (1 | 2, month), (1 | 2, day)) => {
            cursor.rest_of_date_time(days_of(year, month, day))
        }
        ((2, _), (1 | 2, _), (1 | 2, _)) => Some(Err(Fault::ambiguous("has a year of two digits"))),
        _ => Some(Err(Fault::mismatch("is not a date in the declared order"))),
    }
}

/// The days of an ISO 8601 duration of days, hours, minutes and seconds.
fn duration_days(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix("-P") {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('P')?),
    };
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut seconds = 0.0;
    let mut add = |part: &str, units: &[(char, f64)]| {
        let mut rest = part;
        for (unit, length) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let is_plain = number
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.');
                seconds += number.parse::<f64>().ok().filter(|_| is_plain)? * length;
                rest = after;
            }
        }
        rest.is_empty().then_some(())
    };
    add(date, &[('D', 86_400.0)])?;
    add(time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    (rest.len() > 1).then_some(sign * seconds / 86_400.0)
}

// === impl Cursor ===

/// What is left of a text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A number of at least `min` and at most `max` digits; more digits are left.
    fn number(&mut self, min: usize, max: usize) -> Option<u32> {
        let digits = self.0.iter().take(max);
        let n_digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        if n_digits < min {
            return None;
        }
        let (digits, rest) = self.0.split_at(n_digits);
        self.0 = rest;
        let value = |value: u32, digit: &u8| value * 10 + u32::from(digit - b'0');
        Some(digits.iter().fold(0, value))
    }

    /// A number of at most four digits, and how many it has.
    fn counted(&mut self) -> Option<(usize, u32)> {
        let before = self.0.len();
        let number = self.number(1, 4)?;
        Some((before - self.0.len(), number))
    }

    /// What may follow a date: nothing, or a time with or without an offset. `None`: the text
    /// has another shape.
    fn rest_of_date_time(&mut self, days: Option<i64>) -> Option<Result<Parsed, Fault>> {
        let (mut micros, mut offset) = (Ok(0), None);
        if !self.is_at_end() {
            if !(self.eat(b'T') || self.eat(b't') || self.eat(b' ')) {
                return None;
            }
            micros = self.clock()?;
            let has_gap = self.eat(b' ');
            if has_gap || !self.is_at_end() {
                offset = Some(self.offset()?);
            }
            if !self.is_at_end() {
                return None;
            }
        }
        Some(match (days, micros) {
            (Some(days), Ok(micros)) => Ok(Parsed {
                days,
                micros,
                offset,
            }),
            _ => Err(NO_SUCH),
        })
    }

    /// `H:MM[:SS[.f]]` in microseconds. `None`: the text has another shape.
    fn clock(&mut self) -> Option<Result<i64, Fault>> {
        let hour = self.number(1, 2)?;
        if !self.eat(b':') {
            return None;
        }
        let minute = self.number(2, 2)?;
        let (mut second, mut fraction) = (0, 0);
        if self.eat(b':') {
            second = self.number(2, 2)?;
            if self.eat(b'.') || self.eat(b',') {
                fraction = self.fraction()?;
            }
        }
        let is_end_of_day = hour == 24 && minute == 0 && second == 0 && fraction == 0;
        if !(hour < 24 && minute < 60 && second <= 60 || is_end_of_day) {
            return Some(Err(NO_SUCH));
        }
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        Some(Ok(seconds * SECOND_MICROS + fraction))
    }

    /// Decimals of a second, rounded to microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let n_digits = self
            .0
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if n_digits == 0 {
            return None;
        }
        let (digits, rest) = self.0.split_at(n_digits);
        self.0 = rest;
        let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
        let micros = (0..6).fold(0, |micros, at| micros * 10 + digit(at));
        Some(micros + i64::from(digit(6) >= 5))
    }

    /// `Z`, `+HH`, `+HH:MM` or `+HHMM`, in seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.eat(b'Z') || self.eat(b'z') {
            return Some(0);
        }
        let sign = if self.eat(b'+') {
            1
        } else if self.eat(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.number(2, 2)?;
        let minutes = if self.eat(b':') || !self.is_at_end() {
            self.number(2, 2)?
        } else {
            0
        };
        // PostgreSQL's bound.
        (hours < 16 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }
}

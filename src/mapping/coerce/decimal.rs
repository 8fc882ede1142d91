//! numeric: text to its canonical spelling, within precision and scale.
//!
//! In: a number with a decimal point and no grouping. Out: `-?digits[.digits]`, `NaN`,
//! `Infinity` or `-Infinity`, with the decimals that were given: `1.10` stays `1.10`. A sign of
//! zero is dropped, as PostgreSQL does. Bounded by what PostgreSQL's numeric holds, so that
//! `1e999999999` costs nothing.

use crate::mapping::coerce::number::{Parts, is_infinity, parts, split_sign};
use crate::mapping::coerce::{Bound, Fault};
use crate::model::table::NumericBounds;

/// Digits that numeric holds before the point.
const WHOLE_DIGITS_MAX: i64 = 131_072;
/// Digits that numeric holds after the point.
const DECIMALS_MAX: i64 = 16_383;

/// The canonical spelling of `text`, which is `text` itself wherever it can be.
pub(super) fn from_text<'v>(
    text: &'v str,
    bounds: Option<NumericBounds>,
    out: &'v mut String,
) -> Result<&'v str, Fault> {
    if is_canonical_within(text, bounds) {
        return Ok(text);
    }
    let Some(parts) = parts(text) else {
        return special(text, bounds);
    };
    let digits = Digits::new(&parts);
    let (whole_max, decimals_max) = match bounds {
        Some(NumericBounds { precision, scale }) => {
            (i64::from(precision) - i64::from(scale), i64::from(scale))
        }
        None => (WHOLE_DIGITS_MAX, DECIMALS_MAX),
    };
    let significant = digits.significant();
    if let Some((first, last)) = significant {
        if first > whole_max {
            return Err(beyond(bounds, Fault::out_of_range("is out of range")));
        }
        if -last > decimals_max {
            let fault = Fault::precision_loss("has more decimals than the column keeps");
            return Err(beyond(bounds, fault));
        }
    }
    let decimals = digits.decimals().min(decimals_max.max(0));
    out.clear();
    if parts.negative && significant.is_some() {
        out.push('-');
    }
    let first = significant.map_or(1, |(first, _)| first.max(1));
    for place in (1..=first).rev() {
        out.push(digits.at(place));
    }
    if decimals > 0 {
        out.push('.');
        for place in (1 - decimals..=0).rev() {
            out.push(digits.at(place));
        }
    }
    Ok(out)
}

/// The digits of a number by their place: 1 is the ones, 2 the tens, 0 the tenths.
struct Digits<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Place of the first digit of all.
    top: i64,
}

impl<'a> Digits<'a> {
    fn new(parts: &Parts<'a>) -> Digits<'a> {
        Digits {
            whole: parts.whole.as_bytes(),
            fraction: parts.fraction.as_bytes(),
            top: to_i64(parts.whole.len()) + parts.exponent.unwrap_or(0),
        }
    }

    fn len(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &'a u8> + use<'a> {
        self.whole.iter().chain(self.fraction)
    }

    /// Places of the first and, one below it, of the last digit that is not 0; `None`: zero.
    fn significant(&self) -> Option<(i64, i64)> {
        let first = self.all().position(|digit| *digit != b'0')?;
        let n_trailing = self.all().rev().take_while(|digit| **digit == b'0').count();
        let last = self.len() - n_trailing;
        Some((self.top - to_i64(first), self.top - to_i64(last)))
    }

    /// Digits after the point as they were given, trailing zeros included.
    fn decimals(&self) -> i64 {
        (to_i64(self.len()) - self.top).max(0)
    }

    fn at(&self, place: i64) -> char {
        let Ok(index) = usize::try_from(self.top - place) else {
            return '0';
        };
        let digit = self
            .whole
            .get(index)
            .or_else(|| self.fraction.get(index.checked_sub(self.whole.len())?));
        digit.map_or('0', |digit| char::from(*digit))
    }
}

/// Whether the text is its own canonical spelling and is seen at once to fit.
#[inline]
fn is_canonical_within(text: &str, bounds: Option<NumericBounds>) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((_, "")) => return false,
        Some(parts) => parts,
        None => (unsigned, ""),
    };
    let digits = || whole.bytes().chain(fraction.bytes());
    let is_zero = || digits().all(|digit| digit == b'0');
    let is_canonical = !whole.is_empty()
        && (whole == "0" || !whole.starts_with('0'))
        && digits().all(|byte| byte.is_ascii_digit())
        && (unsigned.len() == text.len() || !is_zero());
    let n_whole = if whole == "0" { 0 } else { to_i64(whole.len()) };
    let n_decimals = to_i64(fraction.len());
    let fits = match bounds {
        Some(NumericBounds { precision, scale }) => {
            (0..=precision).contains(&scale)
                && n_whole <= i64::from(precision) - i64::from(scale)
                && n_decimals <= i64::from(scale)
        }
        None => n_whole <= WHOLE_DIGITS_MAX && n_decimals <= DECIMALS_MAX,
    };
    is_canonical && fits
}

fn special(text: &str, bounds: Option<NumericBounds>) -> Result<&'static str, Fault> {
    let (negative, name) = split_sign(text);
    if name.eq_ignore_ascii_case("nan") {
        Ok("NaN")
    } else if !is_infinity(name) {
        Err(Fault::mismatch("is not a number"))
    } else if bounds.is_some() {
        Err(beyond(bounds, Fault::out_of_range("is out of range")))
    } else {
        Ok(if negative { "-Infinity" } else { "Infinity" })
    }
}

fn beyond(bounds: Option<NumericBounds>, fault: Fault) -> Fault {
    match bounds {
        Some(NumericBounds { precision, scale }) => {
            fault.bounded(Bound::Numeric { precision, scale })
        }
        None => fault,
    }
}

fn to_i64(length: usize) -> i64 {
    i64::try_from(length).expect("a cell is below 4 GiB")
}

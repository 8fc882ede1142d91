//! Hashes of the unique keys of rows.
//!
//! In: the keys in which rows of an import meet, the typed rows of a batch. Out: its [`BatchKeys`].
//! Keys that the database takes for the same have the same hash: numbers go by their worth, and what
//! else the database would compare in ways of its own has no [`MeetingKey`]. The hash is not
//! secret: whoever makes keys collide has their own batches written one after the other. Pure;
//! bounded by the rows.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::keys::BatchKeys;
use crate::model::plan::overlap::{MeetingKey, Overlap};
use crate::model::value::{Row, RowBuffer, Value};

/// Before a value; no value begins with it.
const NULL: u8 = 0;
const VALUE: u8 = 1;

/// Makes the keys of an import's batches.
#[derive(Debug, Clone, Default)]
pub struct KeyHasher {
    keys: Vec<MeetingKey>,
}

/// In which way a row may meet others in a key.
enum Meeting {
    /// None.
    Apart,
    /// Those with this hash.
    At(u64),
    /// Any.
    Anywhere,
}

impl KeyHasher {
    /// The hasher of an import. Where its batches are all written at the same time, or none are,
    /// nothing is hashed.
    pub fn new(overlap: Overlap) -> KeyHasher {
        match overlap {
            Overlap::Keyed(keys) => KeyHasher { keys },
            Overlap::Free | Overlap::OneByOne => KeyHasher::default(),
        }
    }

    /// The keys of a batch's rows.
    pub fn keys(&self, rows: &RowBuffer) -> BatchKeys {
        if self.keys.is_empty() {
            return BatchKeys::NONE;
        }
        let mut hashes = Vec::with_capacity(rows.n_rows() * self.keys.len());
        let mut scratch = Vec::new();
        for row in rows.rows() {
            // Two keys may hold the same values, and do not meet in them.
            for (seed, key) in (0..).zip(&self.keys) {
                match meeting(key, seed, row, &mut scratch) {
                    Meeting::Apart => {}
                    Meeting::At(hash) => hashes.push(hash),
                    Meeting::Anywhere => return BatchKeys::Untold,
                }
            }
        }
        BatchKeys::told(hashes)
    }
}

fn meeting(key: &MeetingKey, seed: u64, row: Row<'_>, scratch: &mut Vec<u8>) -> Meeting {
    scratch.clear();
    let mut is_known = true;
    for column in &key.columns {
        match row.value(column.index) {
            Value::Unset | Value::Default if column.has_default => is_known = false,
            // Whatever the rest of the key is.
            Value::Unset | Value::Default | Value::Null if !key.nulls_alike => {
                return Meeting::Apart;
            }
            Value::Unset | Value::Default | Value::Null => scratch.push(NULL),
            value => {
                scratch.push(VALUE);
                write(value, scratch);
            }
        }
    }
    if is_known {
        Meeting::At(xxh3_64_with_seed(scratch, seed))
    } else {
        Meeting::Anywhere
    }
}

/// Writes a value so that values of one column are the same where their bytes are. What has no
/// length of its own is preceded by it, so that neighbours cannot be mistaken.
fn write(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Unset | Value::Default | Value::Null => unreachable!("told apart before"),
        Value::Bool(value) => out.push(value.into()),
        Value::Int(value) | Value::Time(value) | Value::Timestamp(value) => {
            out.extend(value.to_le_bytes());
        }
        Value::Date(days) => out.extend(days.to_le_bytes()),
        Value::Uuid(uuid) => out.extend(uuid),
        Value::Float(value) => out.extend(same_float(value).to_bits().to_le_bytes()),
        Value::Decimal(text) => write_decimal(text, out),
        Value::Text(text) => write_sized(text.as_bytes(), out),
        Value::Bytes(bytes) => write_sized(bytes, out),
    }
}

/// The two zeros are the same, and so are all that is not a number.
fn same_float(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}

/// `1`, `1.0` and `1.00` are the same.
fn write_decimal(text: &str, out: &mut Vec<u8>) {
    let worth = match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
        None => text,
    };
    // Canonical text has no other zeros to spare, and no sign of zero.
    write_sized(worth.as_bytes(), out);
}

fn write_sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests;

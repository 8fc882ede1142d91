//! Rows for the sample table, each from nothing but its ordinal and a seed.
//!
//! In: a range of ordinals. Out: CSV, or packed rows. Names and emails are unique, and a name
//! begins with its ordinal, so that SQL can tell which rows a table has.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use rowlift::client::messages;
use rowlift::proto::ImportRequest;

use super::postgres::Database;

/// The columns of a row, in order.
pub(crate) const COLUMNS: [&str; 9] = [
    "name",
    "category",
    "phone",
    "email",
    "address",
    "city",
    "country",
    "website",
    "description",
];

const CATEGORIES: [&str; 4] = ["Bakery", "Software", "Real Estate", "Café"];
const CITIES: [(&str, &str); 4] = [
    ("Köln", "Germany"),
    ("Zürich", "Switzerland"),
    ("Aarhus", "Denmark"),
    ("東京", "Japan"),
];

/// The cells of a row; the phone is sometimes empty.
fn cells(ordinal: u64, seed: u64) -> [String; 9] {
    let random = mixed(ordinal ^ (seed << 40));
    let (city, country) = CITIES[index(random >> 8, CITIES.len())];
    [
        format!("{ordinal:08} & Sons {:x}", random & 0xFFFF),
        CATEGORIES[index(random >> 4, CATEGORIES.len())].to_owned(),
        if random.is_multiple_of(16) {
            String::new()
        } else {
            format!("+49-{:010}", random % 10_000_000_000)
        },
        format!("no{ordinal}.{:x}@example.org", random >> 40),
        format!("{} Main St", 1 + (random >> 16) % 999),
        city.to_owned(),
        country.to_owned(),
        format!("https://www.{:x}.example", random >> 20),
        format!("It says \"{}\", and more of {random:x}.", random % 1000),
    ]
}

fn index(random: u64, length: usize) -> usize {
    usize::try_from(random % 1024).expect("below 1024") % length
}

/// A SplitMix64 step.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A CSV file of the rows 0 to `n_rows`, header included.
pub(crate) fn csv(n_rows: u64, seed: u64) -> Bytes {
    let mut csv = COLUMNS.join(",");
    csv.push('\n');
    for ordinal in 0..n_rows {
        for (at, cell) in cells(ordinal, seed).iter().enumerate() {
            if at > 0 {
                csv.push(',');
            }
            if cell.contains(['"', ',']) {
                write!(csv, "\"{}\"", cell.replace('"', "\"\"")).unwrap();
            } else {
                csv.push_str(cell);
            }
        }
        csv.push('\n');
    }
    csv.into()
}

/// A message of packed rows, with their offset.
pub(crate) fn packed(ordinals: Range<u64>, seed: u64) -> ImportRequest {
    let offset = i64::try_from(ordinals.start).unwrap();
    let rows: Vec<[String; 9]> = ordinals.map(|ordinal| cells(ordinal, seed)).collect();
    let rows: Vec<Vec<Option<&str>>> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().map(String::as_str);
            cells
                .map(|cell| Some(cell).filter(|it| !it.is_empty()))
                .collect()
        })
        .collect();
    messages::packed_rows(Some(offset), &rows)
}

/// Number of rows, of different names, and the sum of the ordinals in `businesses`.
pub(crate) async fn tally(database: &Database) -> [u64; 3] {
    let sql = "select count(*), count(distinct name), coalesce(sum(left(name, 8)::bigint), 0)
        from businesses";
    let rows = database.query(sql).await;
    [0, 1, 2].map(|at| rows[0][at].as_ref().unwrap().parse().unwrap())
}

/// What [`tally`] is when each of the rows 0 to `n_rows` is there once.
pub(crate) fn once(n_rows: u64) -> [u64; 3] {
    [n_rows, n_rows, n_rows * n_rows.saturating_sub(1) / 2]
}

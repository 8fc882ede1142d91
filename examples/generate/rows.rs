//! Row number i of the benchmark's table, from nothing but i and the seed.
//!
//! In: an index and a [`Variant`]. Out: the row's cells. Names, emails and websites are unique
//! because they hold a word that is a bijection of the index.

use std::borrow::Cow;

use clap::ValueEnum;

use super::words::{
    ADDRESS_STREETS, CATEGORIES, DESCRIPTION_PARTS, NAME_ENDS, NAME_WORDS, PLACES, TLDS,
};

/// A row from column A on.
pub(crate) type Row = Vec<Cell>;

/// What the rows are written as; bad cells differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Xlsx,
    Csv,
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Nothing.
    Empty,
    /// Text that only this cell holds.
    Text(String),
    /// Text that many cells hold.
    Common(&'static str),
    /// A number as written, in the general format.
    Number(&'static str),
    /// A whole number in the format `0000000000`.
    ZerosNumber(u64),
    /// An error such as `#N/A`.
    Error(&'static str),
    /// A formula, and the text that was computed, if it was.
    Formula {
        formula: String,
        value: Option<String>,
    },
}

/// What is done to plain rows.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) seed: u64,
    /// Share of rows with a bad cell.
    pub(crate) bad_cells: f64,
    /// Share of rows that repeat a key.
    pub(crate) repeat_keys: f64,
}

/// The columns of a row, in order.
const COLUMNS: [&str; 9] = [
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
const NAME: usize = 0;
const PHONE: usize = 2;
const EMAIL: usize = 3;
const WEBSITE: usize = 7;

const NAME_CHARS_MIN: usize = 25;
const NAME_CHARS_MAX: usize = 45;
const DESCRIPTION_CHARS_MIN: usize = 85;
const DESCRIPTION_CHARS_MAX: usize = 120;
const NO_PHONE: f64 = 0.05;
const NO_WEBSITE: f64 = 0.08;

const CONSONANTS: &[u8; 16] = b"bdfghklmnprstvwz";
const VOWELS: &[u8; 5] = b"aeiou";
const SYLLABLES: u64 = 4;
/// As many rows as there are words of four syllables.
pub(crate) const ROWS_MAX: u64 = 80_u64.pow(4);
/// Odd and no multiple of 5, so that multiplying by it permutes the numbers below 80^4.
const SCATTER: u64 = 2_654_435_761;

/// The header.
pub(crate) fn header() -> Row {
    COLUMNS.iter().map(|name| Cell::Common(name)).collect()
}

/// Row number `index`, counted from 0 after the header.
pub(crate) fn row(index: u64, variant: &Variant, format: Format) -> Row {
    let mut row = plain_row(index, variant.seed);
    let mut random = Random::new(variant.seed ^ 0x5EED, index);
    if index > 0 && random.chance(variant.repeat_keys) {
        let earlier = plain_row(random.below(index), variant.seed);
        for column in [NAME, EMAIL] {
            row[column] = earlier[column].clone();
        }
    }
    if random.chance(variant.bad_cells) {
        spoil(&mut row, random.below(3), format);
    }
    row
}

/// A row with nothing wrong.
pub(crate) fn plain_row(index: u64, seed: u64) -> Row {
    let mut random = Random::new(seed, index);
    let word = unique_word(index, seed);
    let (city, country, dial) = random.pick(PLACES);
    let phone = format!(
        "+{dial}-{:03}-{:03}-{:04}",
        100 + random.below(900),
        random.below(1000),
        random.below(10_000)
    );
    let domain = format!(
        "{}-{}.{}",
        random.pick(NAME_WORDS).1,
        random.pick(NAME_WORDS).1,
        random.pick(TLDS)
    );
    let email = format!("{}.{word}@{domain}", random.pick(NAME_WORDS).1);
    let website = format!("https://www.{word}-{domain}");
    let address = format!(
        "{} {}, Bldg {}",
        1 + random.below(9999),
        random.pick(ADDRESS_STREETS),
        1 + random.below(400)
    );
    vec![
        Cell::Text(name(&word, &mut random)),
        Cell::Common(random.pick(CATEGORIES)),
        if random.chance(NO_PHONE) {
            Cell::Empty
        } else {
            Cell::Text(phone)
        },
        Cell::Text(email),
        Cell::Text(address),
        Cell::Common(city),
        Cell::Common(country),
        if random.chance(NO_WEBSITE) {
            Cell::Empty
        } else {
            Cell::Text(website)
        },
        Cell::Text(description(&mut random)),
    ]
}

/// Puts a cell into the row that every import rejects.
fn spoil(row: &mut Row, kind: u64, format: Format) {
    match (kind, format) {
        (0, _) => row[NAME] = Cell::Empty,
        (1, Format::Xlsx) => row[WEBSITE] = Cell::Error("#N/A"),
        (_, Format::Xlsx) => row[PHONE] = Cell::Number("4930123456789012"),
        (1, Format::Csv) => row[WEBSITE] = Cell::Text(String::from("https://\0.example")),
        (_, Format::Csv) => row.push(Cell::Text(String::from("beyond the header"))),
    }
}

fn name(word: &str, random: &mut Random) -> String {
    let mut name = capitalized(word);
    let end = random.pick(NAME_ENDS);
    // The longest word has 9 letters and a space before it.
    let wanted = random.below(u64::try_from(NAME_CHARS_MAX - NAME_CHARS_MIN - 9).expect("11"));
    let wanted = NAME_CHARS_MIN + usize::try_from(wanted).expect("below 11");
    while name.chars().count() + 1 + end.chars().count() < wanted {
        name.push(' ');
        name.push_str(random.pick(NAME_WORDS).0);
    }
    name.push(' ');
    name.push_str(end);
    let n_chars = name.chars().count();
    assert!(
        (NAME_CHARS_MIN..=NAME_CHARS_MAX).contains(&n_chars),
        "{name}"
    );
    name
}

fn description(random: &mut Random) -> String {
    let parts: Vec<&str> = DESCRIPTION_PARTS
        .iter()
        .map(|part| random.pick(part))
        .collect();
    let text = format!("{}, no. {}.", parts.join(" "), random.below(1000));
    assert!(
        (DESCRIPTION_CHARS_MIN..=DESCRIPTION_CHARS_MAX).contains(&text.len()),
        "{text}"
    );
    text
}

/// A word of four syllables that no other index has.
fn unique_word(index: u64, seed: u64) -> String {
    let mut rest = (index * SCATTER + seed % ROWS_MAX) % ROWS_MAX;
    let mut word = String::with_capacity(8);
    for _ in 0..SYLLABLES {
        let [consonant, vowel] =
            [rest / 5 % 16, rest % 5].map(|at| usize::try_from(at).expect("below 16"));
        word.push(char::from(CONSONANTS[consonant]));
        word.push(char::from(VOWELS[vowel]));
        rest /= 80;
    }
    word
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

impl Cell {
    /// The cell in a CSV file.
    pub(crate) fn as_csv(&self) -> Cow<'_, [u8]> {
        match self {
            Cell::Empty => Cow::Borrowed(b""),
            Cell::Text(text) => Cow::Borrowed(text.as_bytes()),
            Cell::Common(text) | Cell::Number(text) | Cell::Error(text) => {
                Cow::Borrowed(text.as_bytes())
            }
            Cell::ZerosNumber(number) => Cow::Owned(format!("{number:010}").into_bytes()),
            Cell::Formula { value, .. } => {
                Cow::Borrowed(value.as_deref().unwrap_or_default().as_bytes())
            }
        }
    }
}

/// SplitMix64: the same numbers for the same seed and row, whatever was asked before.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, row: u64) -> Random {
        let mut random = Random(seed);
        let seed = random.next();
        Random(seed.wrapping_add(row.wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is far below 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a double holds.
        ((self.next() >> 11) as f64) / ((1_u64 << 53) as f64) < share
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let bound = u64::try_from(items.len()).expect("a short list");
        items[usize::try_from(self.below(bound)).expect("below the length")]
    }
}

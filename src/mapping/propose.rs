//! Which column each header was probably meant for: suggestions, for people to confirm.
//!
//! In: a table, a source's names and its first rows. Out: a [`Proposal`] a source column. A score
//! of 1 is what [`Mapping::resolve`](crate::mapping::Mapping::resolve) maps by itself and nothing
//! else; the others are near spellings, shared words, words that mean the same, and what the
//! values look like. Each column of the table is proposed once. Bounded: up to
//! [`GUESSED_MAX`] headers are compared with the columns, by up to [`COMPARED_CHARS_MAX`]
//! characters each.

use crate::mapping::SourceColumns;
use crate::mapping::guess::{Shape, shape};
use crate::mapping::header::{Match, is_blank};
use crate::mapping::resolve::names_of;
use crate::mapping::words::{are_kin, concept, concept_within, fold, words};
use crate::model::frame::Frame;
use crate::model::table::{Column, ColumnType, Table};

#[cfg(test)]
mod tests;

/// Headers that are not exact and are compared nevertheless.
pub const GUESSED_MAX: usize = 128;

/// Longer names are not compared letter by letter: it takes time in proportion to both lengths.
const COMPARED_CHARS_MAX: usize = 64;

/// Guesses below it are none.
const SCORE_MIN: f64 = 0.5;
/// The best guess: what is exact has 1.
const GUESS_MAX: f64 = 0.99;
// What a likeness is worth by itself.
const SAME_BUT_ACCENTS: f64 = 0.95;
const SAME_MEANING: f64 = 0.9;
const NEAR_SPELLING: f64 = 0.9;
const KIN_MEANING: f64 = 0.8;
const ALL_WORDS: f64 = 0.75;
const MEANING_WITHIN: f64 = 0.7;
const KIN_WITHIN: f64 = 0.6;
const VALUES_ALONE: f64 = 0.6;
/// What values of the right shape add.
const VALUES_TOO: f64 = 0.08;

/// What one source column was probably meant for.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// 1-based position of the source column.
    pub source_index: u32,
    /// The header as the source spells it; empty without one.
    pub source_name: String,
    /// Index of the table's column; `None`: none is near.
    pub table_column: Option<usize>,
    /// 0 to 1; 1: an import maps it by itself.
    pub score: f64,
}

/// A proposal for every column of the source that has a name; without a header, for every column
/// that `rows` have.
pub fn propose(table: &Table, source: SourceColumns<'_>, rows: &[Frame]) -> Vec<Proposal> {
    if !source.has_header {
        return by_position(table, rows);
    }
    let mut proposals = Vec::new();
    let mut is_taken = vec![false; table.columns.len()];
    let names = names_of(table);
    for (index, name) in source.names.iter().enumerate() {
        if is_blank(name) {
            continue;
        }
        let exact = match names.find(name) {
            Match::One(column) if may_be_fed(&table.columns[column]) && !is_taken[column] => {
                is_taken[column] = true;
                Some(column)
            }
            _ => None,
        };
        proposals.push(proposal(index, name, exact));
    }
    let values = Values { rows };
    for guess in guesses(table, &proposals, &is_taken, &values) {
        let proposal = &mut proposals[guess.at];
        if proposal.table_column.is_none() && !is_taken[guess.column] {
            is_taken[guess.column] = true;
            proposal.table_column = Some(guess.column);
            proposal.score = guess.score;
        }
    }
    proposals
}

/// Whether files may fill the column.
fn may_be_fed(column: &Column) -> bool {
    column.importable && !column.generated && column.ty != ColumnType::Array
}

fn proposal(index: usize, name: &str, exact: Option<usize>) -> Proposal {
    Proposal {
        source_index: u32::try_from(index + 1).unwrap_or(u32::MAX),
        source_name: name.to_owned(),
        table_column: exact,
        score: if exact.is_some() { 1.0 } else { 0.0 },
    }
}

/// As an import without a header maps them.
fn by_position(table: &Table, rows: &[Frame]) -> Vec<Proposal> {
    let widths = rows.iter().flat_map(Frame::rows).map(|row| row.n_cells());
    let mut columns = table.columns.iter().enumerate();
    let mut next = || columns.find(|(_, column)| column.importable);
    (0..widths.max().unwrap_or(0))
        .map(|index| {
            let column = next().filter(|(_, column)| may_be_fed(column));
            proposal(index, "", column.map(|(column, _)| column))
        })
        .collect()
}

/// A likeness that is good enough.
#[derive(Debug)]
struct Guess {
    /// Index of the proposal.
    at: usize,
    column: usize,
    score: f64,
}

/// The best ones first.
fn guesses(
    table: &Table,
    proposals: &[Proposal],
    is_taken: &[bool],
    values: &Values<'_>,
) -> Vec<Guess> {
    let columns: Vec<(usize, Vec<Name>)> = table
        .columns
        .iter()
        .enumerate()
        .filter(|(index, column)| may_be_fed(column) && !is_taken[*index])
        .map(|(index, column)| {
            let aliases = column.aliases.iter().map(String::as_str);
            let names = std::iter::once(column.name.as_str()).chain(aliases);
            (index, names.map(Name::of).collect())
        })
        .collect();
    let mut guesses = Vec::new();
    let open = proposals.iter().enumerate();
    let open = open.filter(|(_, proposal)| proposal.table_column.is_none());
    for (at, proposal) in open.take(GUESSED_MAX) {
        let header = Name::of(&proposal.source_name);
        let shape = values.shape_of(proposal.source_index);
        for (column, names) in &columns {
            let likeness = names.iter().map(|name| likeness(&header, name));
            let likeness = likeness.fold(0.0, f64::max);
            let is_shaped = names.iter().any(|name| suits(name, shape));
            let score = if is_shaped {
                (likeness + VALUES_TOO).max(VALUES_ALONE)
            } else {
                likeness
            };
            if score >= SCORE_MIN {
                let score = score.min(GUESS_MAX);
                let column = *column;
                guesses.push(Guess { at, column, score });
            }
        }
    }
    // Stable: of two that are as good the one further left, and the column that comes first.
    guesses.sort_by(|one, other| other.score.total_cmp(&one.score));
    guesses
}

/// A name and what can be compared of it.
#[derive(Debug)]
struct Name {
    folded: String,
    words: Vec<String>,
    concept: Option<&'static str>,
    concept_within: Option<&'static str>,
}

impl Name {
    fn of(name: &str) -> Name {
        Name {
            folded: fold(name),
            words: words(name),
            concept: concept(name),
            concept_within: concept_within(name),
        }
    }
}

/// How like a header and a column's name are.
fn likeness(header: &Name, column: &Name) -> f64 {
    if !header.folded.is_empty() && header.folded == column.folded {
        return SAME_BUT_ACCENTS;
    }
    let mut best = near_spelling(&header.folded, &column.folded);
    let mut is = |score: f64| best = best.max(score);
    if let (Some(one), Some(other)) = (header.concept, column.concept) {
        if one == other {
            is(SAME_MEANING);
        } else if are_kin(one, other) {
            is(KIN_MEANING);
        }
        // Two whole names of which each is known to mean something else.
        return best;
    }
    let has_all = |one: &[String], other: &[String]| {
        !other.is_empty() && other.iter().all(|word| one.contains(word))
    };
    if has_all(&header.words, &column.words) || has_all(&column.words, &header.words) {
        is(ALL_WORDS);
    }
    let within = |name: &Name| name.concept.or(name.concept_within);
    if let (Some(one), Some(other)) = (within(header), within(column)) {
        if one == other {
            is(MEANING_WITHIN);
        } else if are_kin(one, other) {
            is(KIN_WITHIN);
        }
    }
    best
}

/// At most a third of the letters differ.
fn near_spelling(one: &str, other: &str) -> f64 {
    let n_chars = (one.chars().count(), other.chars().count());
    let (shorter, longer) = (n_chars.0.min(n_chars.1), n_chars.0.max(n_chars.1));
    if shorter < 4 || longer > COMPARED_CHARS_MAX {
        return 0.0;
    }
    let distance = strsim::damerau_levenshtein(one, other);
    if distance > shorter / 3 {
        return 0.0;
    }
    NEAR_SPELLING * (1.0 - distance as f64 / longer as f64)
}

/// Whether values of this shape are what the column's name promises.
fn suits(column: &Name, shape: Option<Shape>) -> bool {
    let concept = column.concept.or(column.concept_within);
    matches!(
        (shape, concept),
        (Some(Shape::Email), Some("email"))
            | (Some(Shape::Url), Some("website"))
            | (Some(Shape::Phone), Some("phone" | "mobile"))
    )
}

/// The first rows of the source.
struct Values<'a> {
    rows: &'a [Frame],
}

impl Values<'_> {
    /// What most values of a column look like, if they look like the same.
    fn shape_of(&self, source_index: u32) -> Option<Shape> {
        let at = usize::try_from(source_index).ok()?.checked_sub(1)?;
        let rows = self.rows.iter().flat_map(Frame::rows);
        let shapes: Vec<Shape> = rows
            .filter_map(|row| row.cells().nth(at).map(shape))
            .filter(|shape| *shape != Shape::Empty)
            .collect();
        let first = *shapes.first()?;
        let most = |wanted: Shape| {
            let n_same = shapes.iter().filter(|shape| **shape == wanted).count();
            n_same * 5 >= shapes.len() * 4
        };
        [first, Shape::Email, Shape::Url, Shape::Phone]
            .into_iter()
            .find(|shape| most(*shape))
    }
}

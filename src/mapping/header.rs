//! Names of columns: which of them mean the same, and which one was probably meant.
//!
//! In: names as a person wrote them. Out: keys that compare equal, matches, suggestions.
//! Bounded: suggestions look at names up to [`SUGGESTED_CHARS_MAX`] characters only.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

/// Longer names get no suggestion: comparing takes time in proportion to both lengths.
const SUGGESTED_CHARS_MAX: usize = 100;

/// What a name stands for among the columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// This one.
    One(usize),
    /// Any of these, and nothing says which.
    Several(Vec<usize>),
    /// Nothing.
    None,
}

/// Names that can be looked up: exactly, then by key, then by other names' keys.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    exact: HashMap<&'a str, Vec<usize>>,
    keys: HashMap<String, Vec<usize>>,
    aliases: HashMap<String, Vec<usize>>,
}

/// What two spellings of a name have in common: after NFKC, without case, spaces, `_`, `-`, `.`
/// and `/`. Characters without width go too: nobody can see them. Empty if nothing is left.
pub(super) fn key(name: &str) -> String {
    let is_kept = |letter: &char| {
        !letter.is_whitespace()
            && !matches!(letter, '_' | '-' | '.' | '/')
            && !matches!(
                letter,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
            )
    };
    // Upper case first, so that ß is ss and the final sigma a sigma.
    name.nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(is_kept)
        .collect()
}

/// Whether a header cell holds nothing that a person could see.
pub(super) fn is_blank(name: &str) -> bool {
    name.chars().all(|letter| {
        letter.is_whitespace()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    })
}

impl<'a> Names<'a> {
    pub(super) fn new(names: impl Iterator<Item = (usize, &'a str)>) -> Names<'a> {
        let mut all = Names::default();
        for (index, name) in names {
            all.exact.entry(name).or_default().push(index);
            insert(&mut all.keys, key(name), index);
        }
        all
    }

    pub(super) fn add_alias(&mut self, index: usize, alias: &str) {
        insert(&mut self.aliases, key(alias), index);
    }

    /// Whether a name stands for something.
    pub(super) fn is_known(&self, name: &str) -> bool {
        self.find(name) != Match::None
    }

    pub(super) fn find(&self, name: &str) -> Match {
        let exact = self.exact.get(name).or_else(|| self.exact.get(name.trim()));
        if let Some(indexes) = exact {
            return Match::of(indexes);
        }
        let key = key(name);
        if key.is_empty() {
            return Match::None;
        }
        let by_key = self.keys.get(&key).or_else(|| self.aliases.get(&key));
        by_key.map_or(Match::None, |indexes| Match::of(indexes))
    }
}

impl Match {
    fn of(indexes: &[usize]) -> Match {
        match indexes {
            [] => Match::None,
            [index] => Match::One(*index),
            _ => Match::Several(indexes.to_vec()),
        }
    }
}

fn insert(keys: &mut HashMap<String, Vec<usize>>, key: String, index: usize) {
    let indexes = keys.entry(key).or_default();
    if !indexes.contains(&index) {
        indexes.push(index);
    }
}

/// The one of `names` that was probably meant by `name`: at most a third of the letters differ.
pub(super) fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = key(name);
    let n_chars = wanted.chars().count();
    if !(2..=SUGGESTED_CHARS_MAX).contains(&n_chars) {
        return None;
    }
    let near = |candidate: &'a str| {
        if candidate.len() > SUGGESTED_CHARS_MAX {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&wanted, &key(candidate));
        (distance <= (n_chars / 3).max(1)).then_some((distance, candidate))
    };
    names
        .filter_map(near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;

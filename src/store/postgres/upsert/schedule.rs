//! The order of statements, so that the outcome is that of writing row by row.
//!
//! In: rows with their patterns and the keys that they share. Out: [`Step`]s, each of rows of one
//! pattern that share no key. Pure.

use std::collections::{BTreeMap, HashMap};

/// Rounds by repeats of a key; rows that repeat it more often are written in segments.
const ROUNDS_MAX: usize = 8;

/// Rows that one statement writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Their pattern.
    pub(super) pattern: usize,
    /// Indexes into the batch, ascending.
    pub(super) rows: Vec<usize>,
}

/// First every key's first row, then its second, and so on; in each round a step a pattern.
/// Right where rows of different keys have nothing to do with each other.
///
/// `shared` has the first row with its key for each row that is not alone with it.
pub(super) fn rounds(
    rows: &[usize],
    pattern_of: &[usize],
    shared: &BTreeMap<usize, usize>,
) -> Vec<Step> {
    let mut rounds: Vec<BTreeMap<usize, Vec<usize>>> = Vec::new();
    let mut late = Vec::new();
    let mut seen: HashMap<usize, usize> = HashMap::new();
    for row in rows {
        let round = match shared.get(row) {
            None => 0,
            Some(first) => {
                let n_seen = seen.entry(*first).or_default();
                *n_seen += 1;
                *n_seen - 1
            }
        };
        if round >= ROUNDS_MAX {
            late.push(*row);
            continue;
        }
        if rounds.len() <= round {
            rounds.resize_with(round + 1, BTreeMap::new);
        }
        rounds[round]
            .entry(pattern_of[*row])
            .or_default()
            .push(*row);
    }
    let steps = rounds.into_iter().flatten();
    let mut steps: Vec<Step> = steps
        .map(|(pattern, rows)| Step { pattern, rows })
        .collect();
    steps.extend(segments(&late, pattern_of, shared));
    steps
}

/// Consecutive rows, cut where the pattern changes or a key repeats.
pub(super) fn segments(
    rows: &[usize],
    pattern_of: &[usize],
    shared: &BTreeMap<usize, usize>,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    // The step in which a key was last seen.
    let mut seen: HashMap<usize, usize> = HashMap::new();
    for row in rows {
        let pattern = pattern_of[*row];
        let key = shared.get(row);
        let fits = match steps.last() {
            None => false,
            Some(step) => {
                let repeats = key.is_some_and(|key| seen.get(key) == Some(&(steps.len() - 1)));
                step.pattern == pattern && !repeats
            }
        };
        if !fits {
            steps.push(Step {
                pattern,
                rows: Vec::new(),
            });
        }
        let at = steps.len() - 1;
        steps[at].rows.push(*row);
        if let Some(key) = key {
            seen.insert(*key, at);
        }
    }
    steps
}

#[cfg(test)]
mod tests;

//! Rows that earlier sessions decided.

use proptest::prelude::*;

use super::{LIMITS, frame, mapping};
use crate::batch::decided::{Decided, DecidedRange, Mismatch};
use crate::batch::{BatchLimits, Batcher};
use crate::model::batch::Batch;
use crate::model::reject::SourceKind;

/// What a resumed session makes of these ordinals, or which rows are others.
fn resume(
    limits: BatchLimits,
    decided: &[DecidedRange],
    frames: &[&[u64]],
) -> Result<Vec<Batch>, Mismatch> {
    let mapping = mapping();
    let decided = Decided::new(decided.iter().cloned());
    let mut batcher = Batcher::new(limits, &mapping, 0, decided, "Q3", SourceKind::File);
    let mut batches = Vec::new();
    for ordinals in frames {
        batcher.add(frame(ordinals), &mapping, |batch| -> Result<(), Mismatch> {
            batches.push(batch);
            Ok(())
        })?;
    }
    batcher.finish::<Mismatch>()?;
    batches.extend(batcher.flush());
    Ok(batches)
}

fn decided_by(batches: &[Batch]) -> Vec<DecidedRange> {
    let ranges = batches.iter().map(|batch| DecidedRange {
        range: batch.range.clone(),
        rows_hash: batch.rows_hash,
    });
    ranges.collect()
}

fn ranges(batches: &[Batch]) -> Vec<(u64, u64)> {
    batches
        .iter()
        .map(|batch| (batch.range.start, batch.range.end))
        .collect()
}

#[test]
fn decided_rows_are_passed_over_and_batches_end_where_they_begin() {
    let ordinals: Vec<u64> = (0..20).collect();
    let first = resume(LIMITS, &[], &[&ordinals]).unwrap();
    assert_eq!(ranges(&first), [(0, 2), (2, 6), (6, 14), (14, 20)]);
    let decided = decided_by(&[first[0].clone(), first[2].clone()]);
    let limits = BatchLimits {
        rows_first: 3,
        rows_max: 3,
        ..LIMITS
    };
    let second = resume(limits, &decided, &[&ordinals[..7], &ordinals[7..]]).unwrap();
    assert_eq!(ranges(&second), [(2, 5), (5, 6), (14, 17), (17, 20)]);
}

#[test]
fn other_rows_are_noticed_once_their_range_is_passed() {
    let first = resume(LIMITS, &[], &[&[0, 1, 2, 3, 4, 5]]).unwrap();
    let decided = decided_by(&first[..1]);
    let changed = resume(LIMITS, &decided, &[&[0, 101]]);
    assert_eq!(changed.unwrap_err().range, 0..2);
    let cut = resume(LIMITS, &decided_by(&first), &[&[0, 1, 2]]);
    assert_eq!(cut.unwrap_err().range, 2..6);
    let gone = resume(LIMITS, &decided, &[]);
    assert_eq!(gone.unwrap_err().range, 0..2);
}

#[test]
fn a_range_is_checked_with_its_last_row() {
    let first = resume(LIMITS, &[], &[&[0, 1]]).unwrap();
    let mapping = mapping();
    let mut decided = decided_by(&first);
    decided[0].rows_hash ^= 1;
    let decided = Decided::new(decided);
    let mut batcher = Batcher::new(LIMITS, &mapping, 0, decided, "", SourceKind::File);
    let added = batcher.add(frame(&[0, 1]), &mapping, |_| -> Result<(), Mismatch> {
        panic!("no batch comes of it")
    });
    assert!(added.is_err());
}

proptest! {
    /// Whatever was decided before, however it was cut, the rest is what remains.
    #[test]
    fn decided_and_fresh_batches_make_the_whole(
        gaps in prop::collection::vec(1_u64..4, 1..60),
        kept in prop::collection::vec(any::<bool>(), 60),
        rows_first in 1_usize..6,
        rows_max in 6_usize..20,
        split in 0_usize..60,
    ) {
        let mut at = 0;
        let ordinals: Vec<u64> = gaps.iter().map(|gap| { at += gap; at - 1 }).collect();
        let first = resume(LIMITS, &[], &[&ordinals]).unwrap();
        let kept_batches: Vec<Batch> = first
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(batch, _)| batch.clone())
            .collect();
        let limits = BatchLimits { rows_first, rows_max, ..LIMITS };
        let split = split.min(ordinals.len());
        let (head, tail) = ordinals.split_at(split);
        let second = resume(limits, &decided_by(&kept_batches), &[head, tail]).unwrap();
        let mut all: Vec<Batch> = kept_batches.into_iter().chain(second).collect();
        all.sort_by_key(|batch| batch.range.start);
        let mut next = 0;
        for batch in &all {
            prop_assert_eq!(batch.range.start, next);
            next = batch.range.end;
        }
        prop_assert_eq!(next, ordinals.last().unwrap() + 1);
        let sum = |batches: &[Batch]| batches.iter().fold(0_u128, |s, b| s.wrapping_add(b.rows_hash));
        prop_assert_eq!(sum(&all), sum(&first));
        let n_rows = |batches: &[Batch]| -> usize { batches.iter().map(|b| b.rows.n_rows() + b.rejected.len()).sum() };
        prop_assert_eq!(n_rows(&all), ordinals.len());
    }
}

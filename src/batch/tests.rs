use std::sync::Arc;

use bytes::Bytes;

use super::decided::{Decided, Mismatch};
use super::{BatchLimits, Batcher};
use crate::mapping::{Mapping, MappingSpec, SourceColumns};
use crate::model::batch::Batch;
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder};
use crate::model::reject::SourceKind;
use crate::model::table::{Column, ColumnType, Table};

mod resumed;

const LIMITS: BatchLimits = BatchLimits {
    rows_first: 2,
    rows_max: 8,
    bytes_max: 1 << 20,
};

fn table() -> Arc<Table> {
    let column = Column {
        name: "n".to_owned(),
        ty: ColumnType::Int8,
        type_name: "bigint".to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    };
    Arc::new(Table::bare("public", "t", vec![column]))
}

fn mapping() -> Mapping {
    let spec = MappingSpec::of_file();
    let names = ["n".to_owned()];
    let source = SourceColumns {
        names: &names,
        has_header: true,
        where_: "",
    };
    Mapping::resolve(&table(), &spec, source).unwrap()
}

/// Rows at these ordinals, each holding its own ordinal, or text if it is odd and above 100.
fn frame(ordinals: &[u64]) -> Frame {
    let mut builder = FrameBuilder::new();
    for &ordinal in ordinals {
        builder.begin_row(ordinal, ordinal + 2, "");
        let bad = ordinal > 100 && ordinal % 2 == 1;
        builder.push(if bad {
            Cell::Text("bad")
        } else {
            Cell::Number(ordinal as f64)
        });
        builder.end_row();
    }
    builder.take()
}

/// What the frames become, the flush at the end included.
fn batches(limits: BatchLimits, frames: &[&[u64]]) -> Vec<Batch> {
    let mapping = mapping();
    let mut batcher = Batcher::new(
        limits,
        &mapping,
        0,
        Decided::default(),
        "Q3",
        SourceKind::File,
    );
    let mut batches = Vec::new();
    for ordinals in frames {
        let emit = |batch| -> Result<(), Mismatch> {
            batches.push(batch);
            Ok(())
        };
        batcher.add(frame(ordinals), &mapping, emit).unwrap();
    }
    batches.extend(batcher.flush());
    batches
}

#[test]
fn ranges_follow_each_other_and_batches_grow() {
    let ordinals: Vec<u64> = (0..40).collect();
    let batches = batches(LIMITS, &[&ordinals[..5], &ordinals[5..30], &ordinals[30..]]);
    let ranges: Vec<_> = batches
        .iter()
        .map(|batch| (batch.range.start, batch.range.end))
        .collect();
    assert_eq!(
        ranges,
        [
            (0, 2),
            (2, 6),
            (6, 14),
            (14, 22),
            (22, 30),
            (30, 38),
            (38, 40)
        ]
    );
    let indexes: Vec<u64> = batches.iter().map(|batch| batch.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn blank_ordinals_belong_to_the_batch_of_the_next_row() {
    let batches = batches(LIMITS, &[&[3, 4, 10]]);
    let counts: Vec<_> = batches
        .iter()
        .map(|it| (it.range.clone(), it.rows.n_rows(), it.n_blank()))
        .collect();
    assert_eq!(counts, [(0..5, 2, 3), (5..11, 1, 5)]);
}

#[test]
fn rejected_rows_have_their_place_in_the_range() {
    let batches = batches(LIMITS, &[&[100, 101, 102, 103]]);
    let (accepted, rejected): (Vec<_>, Vec<_>) = batches
        .iter()
        .map(|it| (it.rows.n_rows(), it.rejected.len()))
        .unzip();
    assert_eq!(
        (
            accepted.iter().sum::<usize>(),
            rejected.iter().sum::<usize>()
        ),
        (2, 2)
    );
    assert_eq!(batches[0].rejected[0].row_number, 103);
    assert_eq!(batches[0].n_blank(), 100);
}

#[test]
fn every_row_is_found_again_as_it_was_read() {
    for batch in batches(LIMITS, &[&[0, 1, 2], &[5, 101, 104], &[106]]) {
        for index in 0..batch.rows.n_rows() {
            let row = batch.source_row(index);
            assert_eq!(row.ordinal, batch.sources[index].ordinal);
            assert_eq!(
                row.cells().collect::<Vec<_>>(),
                [Cell::Number(row.ordinal as f64)]
            );
        }
    }
}

#[test]
fn a_batch_closes_at_its_bytes() {
    let limits = BatchLimits {
        rows_first: 1000,
        rows_max: 1000,
        bytes_max: 1,
    };
    let batches = batches(limits, &[&[0, 1, 2]]);
    assert_eq!(batches.len(), 3);
}

#[test]
fn the_hash_of_a_range_does_not_depend_on_how_it_was_cut() {
    let sum = |batches: Vec<Batch>| {
        batches
            .iter()
            .fold(0_u128, |sum, batch| sum.wrapping_add(batch.rows_hash))
    };
    let whole = sum(batches(LIMITS, &[&[0, 1, 2, 101, 102]]));
    let limits = BatchLimits {
        rows_first: 1,
        rows_max: 1,
        ..LIMITS
    };
    assert_eq!(sum(batches(limits, &[&[0], &[1, 2, 101], &[102]])), whole);
    assert_ne!(sum(batches(LIMITS, &[&[0, 1, 2, 101, 103]])), whole);
}

#[test]
fn a_position_comes_with_the_batch_that_holds_its_rows() {
    let mapping = mapping();
    let mut batcher = Batcher::new(
        LIMITS,
        &mapping,
        0,
        Decided::default(),
        "",
        SourceKind::Rows,
    );
    let mut positions = Vec::new();
    let mut emit = |batch: Batch| -> Result<(), Mismatch> {
        positions.push((batch.range.end, batch.position));
        Ok(())
    };
    batcher.note_position(3, Bytes::from_static(b"three"));
    batcher.add(frame(&[0, 1, 2]), &mapping, &mut emit).unwrap();
    batcher.note_position(4, Bytes::from_static(b"four"));
    batcher.add(frame(&[3]), &mapping, &mut emit).unwrap();
    if let Some(batch) = batcher.flush() {
        emit(batch).unwrap();
    }
    assert_eq!(
        positions,
        [(2, None), (4, Some(Bytes::from_static(b"four")))]
    );
}

#[test]
fn nothing_is_held_for_rows_that_may_never_come() {
    let limits = BatchLimits {
        rows_first: 1024,
        rows_max: 1024,
        ..LIMITS
    };
    let mapping = mapping();
    let kind = SourceKind::Rows;
    let mut batcher = Batcher::new(limits, &mapping, 0, Decided::default(), "", kind);
    let mut emit = |_| -> Result<(), Mismatch> { Ok(()) };
    batcher.add(frame(&[0]), &mapping, &mut emit).unwrap();
    assert!(batcher.flush().is_some());
    assert_eq!(batcher.sources.capacity(), 0);
    // Those behind a full batch come at once.
    let rows: Vec<u64> = (1..=1024).map(|n| n * 2).collect();
    batcher.add(frame(&rows), &mapping, &mut emit).unwrap();
    assert!(batcher.sources.capacity() >= 1024);
    assert!(batcher.flush().is_none());
    assert_eq!(batcher.sources.capacity(), 0);
}

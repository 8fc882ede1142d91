use std::collections::BTreeMap;

use bytes::Bytes;

use super::Tally;
use crate::model::batch::Receipt;
use crate::model::reject::{CellError, RejectedRow, RowErrorCode};
use crate::model::stats::RowCounts;
use crate::store::{CommittedRange, OpenImport, SessionKey};

fn receipt(range: std::ops::Range<u64>) -> Receipt {
    let counts = RowCounts {
        inserted: range.end - range.start,
        ..RowCounts::default()
    };
    Receipt {
        range,
        counts,
        rejected: Vec::new(),
        retries: 0,
    }
}

#[test]
fn the_watermark_waits_for_the_smallest_missing_range() {
    let mut tally = Tally::default();
    tally.committed(&receipt(10..20), Some(Bytes::from_static(b"b")));
    assert_eq!((tally.watermark(), tally.position()), (0, None));
    tally.committed(&receipt(20..25), None);
    assert_eq!(tally.watermark(), 0);
    tally.committed(&receipt(0..10), Some(Bytes::from_static(b"a")));
    assert_eq!(
        (tally.watermark(), tally.position()),
        (25, Some(Bytes::from_static(b"b")))
    );
    assert_eq!(tally.counts().inserted, 25);
}

#[test]
fn a_resumed_tally_goes_on_from_its_watermark_and_over_what_was_committed_above_it() {
    let position = Bytes::from_static(b"above");
    let mut tally = Tally::resume(&OpenImport {
        key: SessionKey {
            import: 1,
            epoch: 2,
        },
        resumed: true,
        committed_offset: 5,
        committed_hash: 0,
        committed_ranges: vec![CommittedRange {
            range: 9..12,
            rows_hash: 0,
            position: Some(position.clone()),
        }],
        counts: RowCounts {
            inserted: 8,
            ..RowCounts::default()
        },
        committed_position: None,
        create_time_ms: 0,
        file_sha256: None,
        tenant: String::new(),
        keeps_values: true,
    });
    assert_eq!((tally.watermark(), tally.position()), (5, None));
    tally.committed(&receipt(5..9), None);
    assert_eq!((tally.watermark(), tally.counts().inserted), (12, 12));
    assert_eq!(tally.position(), Some(position));
}

#[test]
fn codes_of_a_transaction_that_is_rolled_back_are_forgotten() {
    let error = CellError {
        code: RowErrorCode::ALL[0],
        column: String::new(),
        cell: String::new(),
        message: String::new(),
        value: String::new(),
        constraint: String::new(),
        sql_state: String::new(),
        source_name: String::new(),
        params: BTreeMap::new(),
    };
    let rejecting = Receipt {
        rejected: vec![RejectedRow {
            ordinal: 0,
            sheet: String::new(),
            row_number: 1,
            errors: vec![error],
            raw_values: Vec::new(),
        }],
        ..receipt(0..1)
    };
    let mut tally = Tally::default();
    tally.undecided(&rejecting);
    assert_eq!(tally.rejected_by_code().values().sum::<u64>(), 1);
    tally.forget_undecided();
    assert!(tally.rejected_by_code().is_empty());
    // Those of committed batches stay.
    tally.committed(&rejecting, None);
    tally.undecided(&rejecting);
    tally.forget_undecided();
    assert_eq!(tally.rejected_by_code(), tally.decided_by_code());
    assert_eq!(tally.rejected_by_code().values().sum::<u64>(), 1);
}

use bytes::Bytes;

use super::{StoredRange, prefix};
use crate::model::stats::RowCounts;
use crate::store::CommittedRange;

fn range(start: u64, end: u64, position: Option<&'static str>) -> StoredRange {
    StoredRange {
        committed: CommittedRange {
            range: start..end,
            rows_hash: u128::from(end) << 64,
            position: position.map(Bytes::from),
        },
        counts: RowCounts::default(),
        n_batches: 1,
    }
}

#[test]
fn watermark_stops_at_the_first_gap() {
    let table = [
        (vec![], 0, 0, None),
        (vec![range(5, 9, Some("x"))], 0, 0, None),
        (vec![range(0, 5, None), range(5, 9, None)], 9, 2, None),
        (
            vec![
                range(0, 5, Some("a")),
                range(5, 9, None),
                range(10, 11, Some("c")),
            ],
            9,
            2,
            Some("a"),
        ),
    ];
    for (ranges, end, n_ranges, position) in table {
        let prefix = prefix(&ranges);
        assert_eq!((prefix.end, prefix.n_ranges), (end, n_ranges), "{ranges:?}");
        assert_eq!(prefix.position, position.map(Bytes::from), "{ranges:?}");
        let ends = ranges[..n_ranges].iter().map(|it| it.committed.range.end);
        assert_eq!(prefix.rows_hash, u128::from(ends.sum::<u64>()) << 64);
    }
}

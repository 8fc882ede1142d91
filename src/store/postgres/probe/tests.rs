use std::collections::BTreeMap;

use super::{Findings, SharedKey, violation};
use crate::model::reject::RowErrorCode;

fn shared(constraint: &str, first_of: &[(usize, usize)]) -> SharedKey {
    SharedKey {
        violation: violation(RowErrorCode::UniqueViolation, constraint),
        first_of: first_of.iter().copied().collect(),
    }
}

fn rejected(findings: &Findings) -> Vec<usize> {
    findings.resolve().rejected.keys().copied().collect()
}

#[test]
fn of_rows_that_share_a_key_the_first_is_kept() {
    let findings = Findings {
        certain: BTreeMap::new(),
        shared: vec![shared("k", &[(1, 1), (4, 1), (9, 1)])],
    };
    assert_eq!(rejected(&findings), [4, 9]);
    let keepers: Vec<usize> = findings.resolve().keepers.into_iter().collect();
    assert_eq!(keepers, [1]);
}

#[test]
fn a_rejected_row_keeps_no_key() {
    // Row 1 is refused for another key, so that row 4 is the first with the shared one.
    let certain = BTreeMap::from([(1, violation(RowErrorCode::UniqueViolation, "other"))]);
    let findings = Findings {
        certain,
        shared: vec![shared("k", &[(1, 1), (4, 1), (9, 1)])],
    };
    assert_eq!(rejected(&findings), [1, 9]);
}

#[test]
fn two_keys_are_judged_in_source_order() {
    // 2 repeats 1 on a; 3 repeats 2 on b, but 2 is out, so 3 stays.
    let findings = Findings {
        certain: BTreeMap::new(),
        shared: vec![
            shared("a", &[(1, 1), (2, 1)]),
            shared("b", &[(2, 2), (3, 2)]),
        ],
    };
    assert_eq!(rejected(&findings), [2]);
}

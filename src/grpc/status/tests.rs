use tonic::Code;
use tonic_types::StatusExt;

use super::{cut, status};
use crate::model::import::{Failure, Reason};

#[test]
fn a_status_carries_reason_metadata_and_fields() {
    let failure = Failure::new(Reason::OffsetGap, "gap")
        .with("expected_offset", 7)
        .with_field("rows.offset", "too large");
    let status = status(&failure);
    assert_eq!(status.code(), Code::OutOfRange);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("OFFSET_GAP", "rowlift")
    );
    assert_eq!(info.metadata["expected_offset"], "7");
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields[0].field, "rows.offset");
}

#[test]
fn unavailable_says_when_to_retry() {
    let status = status(&Failure::new(Reason::Overloaded, "full"));
    assert!(
        status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .is_some()
    );
}

#[test]
fn texts_are_escaped_and_cut() {
    assert_eq!(cut("a\nb\u{1b}"), "a\\nb\\u{1b}");
    assert_eq!(cut(&"é".repeat(300)).chars().count(), 257);
}

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::ClientError;
use crate::client::json;

fn refused() -> ClientError {
    let mut details = ErrorDetails::new();
    let metadata = HashMap::from([(String::from("limit"), String::from("5"))]);
    details.set_error_info("LIMIT_EXCEEDED", "rowlift", metadata);
    details.add_bad_request_violation("header.table", "is empty");
    Status::with_error_details(Code::ResourceExhausted, "too much", details).into()
}

#[test]
fn a_status_is_told_with_code_reason_and_details() {
    let error = refused();
    assert_eq!(error.to_string(), "too much");
    assert_eq!(
        error.verdict().unwrap(),
        "RESOURCE_EXHAUSTED, LIMIT_EXCEEDED"
    );
    assert_eq!(error.details(), ["limit: 5", "header.table: is empty"]);
    assert_eq!(ClientError::NoResult.verdict(), None);
}

#[test]
fn a_failure_without_a_result_becomes_one_with_the_error_alone() {
    let line: serde_json::Value =
        serde_json::from_str(&json::line(&refused().to_result())).unwrap();
    assert_eq!(line["error"]["code"], 8);
    assert_eq!(line["error"]["message"], "too much");
    let info = &line["error"]["details"][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
    assert_eq!(info["reason"], "LIMIT_EXCEEDED");
    assert_eq!(line.as_object().unwrap().len(), 1);
}

#[test]
fn a_failure_on_this_side_tells_its_causes() {
    let error = ClientError::Read {
        source: std::io::Error::other("the disk is gone"),
    };
    let result = error.to_result().error.unwrap();
    assert_eq!(
        result.message,
        "cannot read the file to its end: the disk is gone"
    );
    assert_eq!(result.code, i32::from(Code::Aborted));
}

#[test]
fn a_cause_that_was_told_is_not_told_again() {
    #[derive(Debug, thiserror::Error)]
    #[error("no route: {0}")]
    struct Outer(#[source] std::io::Error);
    let error = ClientError::Write {
        source: std::io::Error::other(Outer(std::io::Error::other("cable cut"))),
    };
    assert_eq!(
        super::with_causes(&error),
        "cannot write the file: no route: cable cut"
    );
}

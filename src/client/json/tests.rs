use serde_json::json;

use super::line;
use crate::proto::import_response::Event;
use crate::proto::{ImportResponse, ImportResult, ImportStats, Progress, State, WriteMethod};

#[test]
fn a_result_has_the_shape_of_proto3_json() {
    let result = ImportResult {
        import_id: String::from("a-1"),
        state: State::Succeeded.into(),
        stats: Some(ImportStats {
            received_row_count: 3,
            inserted_row_count: 2,
            rejected_row_count: 1,
            rows_per_second: 1.5,
            ..ImportStats::default()
        }),
        committed_offset: 9_007_199_254_740_993,
        rejected_row_count_by_code: [(String::from("TOO_LONG"), 1)].into(),
        write_method: WriteMethod::Copy.into(),
        ..ImportResult::default()
    };
    let parsed: serde_json::Value = serde_json::from_str(&line(&result)).unwrap();
    assert_eq!(
        parsed,
        json!({
            "importId": "a-1",
            "state": "STATE_SUCCEEDED",
            "stats": {
                "receivedRowCount": "3",
                "insertedRowCount": "2",
                "rejectedRowCount": "1",
                "rowsPerSecond": 1.5,
            },
            "committedOffset": "9007199254740993",
            "rejectedRowCountByCode": { "TOO_LONG": "1" },
            "writeMethod": "WRITE_METHOD_COPY",
        })
    );
}

#[test]
fn a_line_holds_no_line_break() {
    let response = ImportResponse {
        event: Some(Event::Progress(Progress {
            fraction: Some(0.5),
            ..Progress::default()
        })),
    };
    assert_eq!(line(&response), r#"{"progress":{"fraction":0.5}}"#);
    let result = ImportResult {
        import_id: String::from("a\nb"),
        ..ImportResult::default()
    };
    assert_eq!(line(&result), r#"{"importId":"a\nb"}"#);
}

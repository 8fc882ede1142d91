use std::time::Duration;

use super::{View, describe};
use crate::cli::terminal::Terminal;
use crate::cli::tests::Captured;
use crate::proto::import_response::Event;
use crate::proto::{Accepted, Ack, ImportResult, ImportStats, Phase, Progress, RejectedRow};

fn events() -> Vec<Event> {
    let rejected = |offset| {
        Event::RejectedRow(RejectedRow {
            offset,
            ..RejectedRow::default()
        })
    };
    vec![
        Event::Accepted(Accepted {
            import_id: String::from("a-1"),
            ..Accepted::default()
        }),
        Event::Ack(Ack::default()),
        rejected(9),
        rejected(2),
        Event::Progress(progress()),
        Event::Result(ImportResult::default()),
    ]
}

fn progress() -> Progress {
    Progress {
        phase: Phase::Writing.into(),
        stats: Some(ImportStats {
            received_row_count: 12_100,
            unprocessed_row_count: 100,
            rejected_row_count: 3,
            rows_per_second: 45_000.0,
            ..ImportStats::default()
        }),
        eta: Some(Duration::from_secs(12).try_into().unwrap()),
        ..Progress::default()
    }
}

fn show(mut view: View) -> (View, String, String) {
    let (output, notes) = (Captured::default(), Captured::default());
    let mut terminal = Terminal::to(output.clone(), notes.clone());
    for event in &events() {
        view.show(event, &mut terminal);
    }
    (view, output.text(), notes.text())
}

#[test]
fn without_a_terminal_progress_is_plain_lines_beside_the_result() {
    let (mut view, output, notes) = show(View::lines());
    assert_eq!(output, "");
    assert_eq!(
        notes,
        "12,000 rows, 45,000 rows/s, 3 rejected, about 12 s left\n"
    );
    assert_eq!(view.import_id(), Some("a-1"));
    let offsets: Vec<i64> = view
        .take_rejected_rows()
        .iter()
        .map(|row| row.offset)
        .collect();
    assert_eq!(offsets, [2, 9]);
}

#[test]
fn machines_get_events_but_no_acks_and_not_yet_the_result() {
    let (_, output, notes) = show(View::json());
    let keys: Vec<String> = output
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line.as_object().unwrap().keys().next().unwrap().clone()
        })
        .collect();
    assert_eq!(keys, ["accepted", "rejectedRow", "rejectedRow", "progress"]);
    assert_eq!(notes, "");
}

#[test]
fn a_wait_is_told_as_such() {
    let queued = Progress {
        phase: Phase::Queued.into(),
        ..Progress::default()
    };
    assert_eq!(describe(&queued), "0 rows, waiting for a place");
}

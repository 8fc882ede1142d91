use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{Ack, Event, Progress, ResultEvent, channel};
use crate::mapping::{ColumnSource, EffectiveColumn, EmptyAction};
use crate::model::import::{Failure, ImportOutcome, ImportState, Phase, Reason, WriteMethod};
use crate::model::stats::ImportStats;

fn outcome(failure: Option<Failure>) -> ImportOutcome {
    ImportOutcome {
        state: ImportState::Succeeded,
        stats: ImportStats::default(),
        committed_offset: 0,
        failure,
        rejected_by_code: std::collections::BTreeMap::new(),
        write_method: WriteMethod::Copy,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: false,
    }
}

fn ack(committed_offset: u64) -> Ack {
    Ack {
        committed_offset,
        ..Ack::default()
    }
}

#[tokio::test]
async fn the_latest_ack_wins_and_the_result_is_last() {
    let gone = CancellationToken::new();
    let (outbox, mut events) = channel(gone.clone());
    outbox.ack(ack(1));
    outbox.ack(ack(2));
    outbox.finish(ResultEvent {
        import_id: "a".to_owned(),
        outcome: outcome(None),
    });
    assert_eq!(events.next().await, Some(Ok(Event::Ack(ack(2)))));
    assert!(matches!(events.next().await, Some(Ok(Event::Result(_)))));
    assert_eq!(events.next().await, None);
    drop(events);
    assert!(!gone.is_cancelled());
}

#[tokio::test]
async fn a_failed_import_ends_with_its_result_and_then_its_status() {
    let (outbox, mut events) = channel(CancellationToken::new());
    let failure = Failure::new(Reason::CorruptFile, "cut");
    let outcome = outcome(Some(failure.clone()));
    outbox.finish(ResultEvent {
        import_id: "a".to_owned(),
        outcome,
    });
    assert!(matches!(events.next().await, Some(Ok(Event::Result(_)))));
    assert_eq!(events.next().await, Some(Err(failure)));
}

#[tokio::test]
async fn a_lost_task_is_never_a_silent_ok() {
    let (outbox, mut events) = channel(CancellationToken::new());
    drop(outbox);
    let Some(Err(failure)) = events.next().await else {
        panic!("a status is due")
    };
    assert_eq!(failure.reason, Reason::Internal);
}

#[tokio::test]
async fn a_caller_that_stops_reading_cancels_the_session() {
    let gone = CancellationToken::new();
    let (_outbox, events) = channel(gone.clone());
    drop(events);
    assert!(gone.is_cancelled());
}

#[tokio::test]
async fn a_mapping_is_told_even_if_its_progress_was_replaced() {
    let (outbox, mut events) = channel(CancellationToken::new());
    let progress = |effective_columns| Progress {
        phase: Phase::Writing,
        stats: ImportStats::default(),
        fraction: None,
        eta: None,
        effective_columns,
    };
    let column = EffectiveColumn {
        source: ColumnSource::Position(1),
        source_name: String::new(),
        source_index: Some(1),
        target_column: "name".to_owned(),
        format: String::new(),
        on_empty: EmptyAction::Automatic,
        insert_only: false,
    };
    outbox.progress(progress(vec![column.clone()]));
    outbox.progress(progress(Vec::new()));
    let Some(Ok(Event::Progress(read))) = events.next().await else {
        panic!("progress is due")
    };
    assert_eq!(read.effective_columns, [column]);
}

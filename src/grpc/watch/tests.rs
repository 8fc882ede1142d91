use std::collections::VecDeque;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;

use super::*;
use crate::model::import::{ImportState, Phase, WriteMethod};
use crate::model::stats::ImportStats;

fn record(state: ImportState, committed_offset: u64, elapsed_ms: u64) -> ImportRecord {
    ImportRecord {
        owner: String::new(),
        import_id: "a".to_owned(),
        tenant: String::new(),
        table: "public.t".to_owned(),
        file_name: String::new(),
        state,
        epoch: 1,
        stats: ImportStats {
            elapsed_ms,
            ..ImportStats::default()
        },
        committed_offset,
        phase: Phase::Writing,
        failure: None,
        outcome: None,
        labels: std::collections::BTreeMap::new(),
        validate_only: false,
        write_method: WriteMethod::Copy,
        create_time_ms: 0,
        update_time_ms: 0,
        end_time_ms: None,
        expire_time_ms: None,
        rejects_expire_time_ms: None,
    }
}

fn running(committed_offset: u64, elapsed_ms: u64) -> ImportRecord {
    record(ImportState::Running, committed_offset, elapsed_ms)
}

/// Fast, so that tests take no time.
const PACE: Pace = Pace {
    interval: Duration::from_millis(1),
    retry: Duration::from_millis(1),
    unchanged_max: Duration::from_millis(50),
    silence_max: Duration::from_millis(20),
};

type Answer = Result<Option<ImportRecord>, StoreError>;

fn silence() -> Answer {
    Err(StoreError::Transient {
        sql_state: "08006".to_owned(),
        message: "gone".to_owned(),
    })
}

/// A watch of what a ledger answers, one after the other; the last answer for ever.
fn watch(
    answers: Vec<Answer>,
    drained: &CancellationToken,
    deadline: Option<Instant>,
) -> (
    impl Stream<Item = Result<ImportRecord, Failure>> + Send + use<>,
    Arc<AtomicUsize>,
) {
    let n_questions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_questions);
    let mut answers = VecDeque::from(answers);
    let ask = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let answer = if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            match &answers[0] {
                Ok(record) => Ok(record.clone()),
                Err(_) => silence(),
            }
        };
        ready(answer)
    };
    let places = Places::new("watches", 1);
    let watch = Watch {
        ask,
        id: "a".to_owned(),
        pace: PACE,
        deadline,
        drained: drained.clone(),
        _place: places.enter(&Caller::anybody()).unwrap(),
    };
    (follow(watch, running(0, 0)), n_questions)
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_until_the_end() {
    let (stream, _) = watch(
        vec![
            Ok(Some(running(0, 500))),
            Ok(Some(running(7, 1000))),
            silence(),
            Ok(Some(record(ImportState::Succeeded, 9, 1500))),
        ],
        &CancellationToken::new(),
        None,
    );
    let told: Vec<_> = stream.map(|next| next.unwrap()).collect().await;
    let told: Vec<_> = told
        .iter()
        .map(|it| (it.state, it.committed_offset))
        .collect();
    assert_eq!(
        told,
        [
            (ImportState::Running, 0),
            (ImportState::Running, 7),
            (ImportState::Succeeded, 9)
        ]
    );
}

#[tokio::test]
async fn a_state_that_stays_is_told_again_after_a_while() {
    let (stream, _) = watch(
        vec![Ok(Some(running(0, 1)))],
        &CancellationToken::new(),
        None,
    );
    let begun = Instant::now();
    let told: Vec<_> = stream
        .take(3)
        .map(|next| next.map(|_| begun.elapsed()))
        .collect()
        .await;
    assert!(*told[1].as_ref().unwrap() >= PACE.unchanged_max);
    assert!(*told[2].as_ref().unwrap() >= PACE.unchanged_max * 2);
}

#[tokio::test]
async fn a_ledger_that_stays_silent_ends_the_watch() {
    let begun = Instant::now();
    let (stream, _) = watch(vec![silence()], &CancellationToken::new(), None);
    let told: Vec<_> = stream.collect().await;
    assert_eq!(told.len(), 2);
    let failure = told[1].as_ref().unwrap_err();
    assert_eq!(failure.reason, Reason::DatabaseUnavailable);
    assert!(begun.elapsed() >= PACE.silence_max);
}

#[tokio::test]
async fn deadline_drain_and_a_forgotten_id_end_the_watch() {
    let stopped = CancellationToken::new();
    stopped.cancel();
    let at = Instant::now() + Duration::from_millis(10);
    let here = || vec![Ok(Some(running(0, 0)))];
    for (answers, drained, deadline, reason) in [
        (here(), CancellationToken::new(), Some(at), Reason::Deadline),
        (here(), stopped, None, Reason::Draining),
        (
            vec![Ok(None)],
            CancellationToken::new(),
            None,
            Reason::ImportNotFound,
        ),
    ] {
        let (stream, _) = watch(answers, &drained, deadline);
        let told: Vec<_> = stream.collect().await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1].as_ref().unwrap_err().reason, reason);
    }
}

#[tokio::test]
async fn nobody_asks_once_the_stream_is_dropped() {
    let (stream, n_questions) = watch(
        vec![Ok(Some(running(0, 0)))],
        &CancellationToken::new(),
        None,
    );
    let mut stream = Box::pin(stream);
    stream.next().await.unwrap().unwrap();
    // Told again: it has asked.
    stream.next().await.unwrap().unwrap();
    assert!(n_questions.load(Ordering::Relaxed) > 0);
    drop(stream);
    // Only the stream held what asks: no task goes on with it.
    assert_eq!(Arc::strong_count(&n_questions), 1);
}

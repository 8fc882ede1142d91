//! Drives imports through sessions until they end, as a caller that never gives up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rowlift::access::Caller;
use rowlift::batch::BatchLimits;
use rowlift::decode::limits::Limits;
use rowlift::disk::SpoolDir;
use rowlift::grpc::header::import_spec;
use rowlift::metrics::Metrics;
use rowlift::metrics::names::ROW_OUTCOMES;
use rowlift::model::cell::Cell;
use rowlift::model::frame::FrameBuilder;
use rowlift::model::import::{Failure, ImportOutcome, ImportState, Reason};
use rowlift::progress::{self, Event};
use rowlift::proto;
use rowlift::session::admission::Admission;
use rowlift::session::inbound::{Chunk, Inbound, InboundRows, Totals};
use rowlift::session::memory::Memory as Budget;
use rowlift::session::registry::Registry;
use rowlift::session::{self, Call, Message, SessionConfig, Sessions};
use rowlift::store::Store;
use rowlift::writer::tables::Tables;
use rowlift::writer::{RetryPolicy, WriterPool};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::memory::Memory;

/// A test fails rather than hangs.
const WAIT: Duration = Duration::from_mins(1);
/// Sessions of one import at most.
const SESSIONS_MAX: usize = 100;

/// Who imports what, and how.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// `None`: a row that the mapping rejects.
    pub(super) rows: Vec<Option<i64>>,
    /// Chunks of a CSV instead of row messages.
    pub(super) is_file: bool,
    pub(super) commit_mode: proto::CommitMode,
    pub(super) validate_only: bool,
    /// Rejected rows allowed.
    pub(super) rejects_max: i64,
    /// Rows of a message; a CSV's chunks have four times as many bytes.
    pub(super) message_rows: usize,
    pub(super) batch_rows: usize,
}

/// How one session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With a result.
    Result(ImportOutcome),
    /// Without one.
    Refused(Failure),
    /// Its process died.
    Killed,
}

/// Imports until the import has ended for good; later sessions cut the input otherwise.
pub(super) async fn import(memory: &Arc<Memory>, case: &Case) -> ImportOutcome {
    let mut case = case.clone();
    for _ in 0..SESSIONS_MAX {
        let ended = tokio::time::timeout(WAIT, session(memory, &case));
        match ended.await.expect("the session ends") {
            Ended::Result(outcome) if outcome.state.is_terminal() => return outcome,
            Ended::Refused(failure) => assert!(
                !matches!(failure.reason, Reason::IdConflict | Reason::Internal),
                "{failure:?}"
            ),
            Ended::Result(_) | Ended::Killed => {}
        }
        case.message_rows = case.message_rows % 7 + 1;
        case.batch_rows = case.batch_rows % 5 + 1;
    }
    panic!("the import does not end: {case:?}");
}

/// One session, in a process of its own.
pub(super) async fn session(memory: &Arc<Memory>, case: &Case) -> Ended {
    let sessions = sessions(memory, case.batch_rows);
    let caller_gone = CancellationToken::new();
    let (outbox, mut events) = progress::channel(caller_gone.clone());
    let call = Call {
        ticket: sessions.admission.enter(&Caller::anybody()).unwrap(),
        caller: Arc::new(Caller::anybody()),
        deadline: None,
        caller_gone,
    };
    let messages = futures::stream::iter(messages(case));
    let running = session::run(Arc::clone(&sessions), call, messages, outbox);
    let reading = async {
        let mut result = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Result(event)) => result = Some(event.outcome),
                Ok(_) => {}
                Err(failure) => return result.map_or(Ended::Refused(failure), Ended::Result),
            }
        }
        Ended::Result(result.expect("OK comes with a result"))
    };
    let whole = async { tokio::join!(running, reading).1 };
    tokio::select! {
        ended = whole => ended,
        // The session is dropped with all its tasks.
        () = memory.hangs() => Ended::Killed,
    }
}

fn sessions(memory: &Arc<Memory>, batch_rows: usize) -> Arc<Sessions> {
    let admission = Admission::new(4, 4);
    admission.open();
    let store: Arc<dyn Store> = Arc::clone(memory) as Arc<dyn Store>;
    Arc::new(Sessions {
        config: SessionConfig {
            imports_max: 4,
            queue_wait: WAIT,
            header_timeout: WAIT,
            idle_timeout: WAIT,
            rejected_rows_max: 1000,
            bytes_in_flight_max: 1 << 20,
            batches: BatchLimits {
                rows_first: batch_rows,
                rows_max: batch_rows,
                bytes_max: 1 << 20,
            },
            retry: RetryPolicy {
                window: Duration::from_secs(30),
            },
            limits: Limits::default(),
            decoder_program: "none".into(),
            spool_dir: SpoolDir::new(std::env::temp_dir(), None),
            drain_grace: WAIT,
            progress_interval: WAIT,
            max_ack_delay: Duration::from_millis(1),
            server: "test".to_owned(),
            settings_allowed: Vec::new(),
            id_retention: Duration::from_hours(1),
        },
        store,
        admission,
        metrics: Metrics::new(&memory.meters.provider),
        registry: Registry::default(),
        writers: WriterPool::new(4),
        tables: Tables::default(),
        memory: Budget::new(1 << 20),
        decoders: Arc::new(Semaphore::new(1)),
        draining: CancellationToken::new(),
        drained: CancellationToken::new(),
    })
}

fn messages(case: &Case) -> Vec<Result<Message, Failure>> {
    let source = if case.is_file {
        proto::import_header::Source::File(proto::FileSource::default())
    } else {
        proto::import_header::Source::RowSource(proto::RowSource {
            column_names: vec!["n".to_owned()],
            as_cells: true,
        })
    };
    let header = proto::ImportHeader {
        import_id: "one".to_owned(),
        resume: true,
        table: "numbers".to_owned(),
        source: Some(source),
        commit_mode: case.commit_mode.into(),
        validate_only: case.validate_only,
        max_rejected_row_count: Some(case.rejects_max),
        ..Default::default()
    };
    let spec = import_spec(header).unwrap();
    let mut messages = vec![Ok(Message::Header(Box::new(spec)))];
    let inbound = if case.is_file {
        chunks(case)
    } else {
        row_messages(case)
    };
    messages.extend(inbound.into_iter().map(|it| Ok(Message::Inbound(it))));
    let totals = Totals {
        rows: Some(case.rows.len() as u64),
        ..Totals::default()
    };
    messages.push(Ok(Message::Inbound(Inbound::Finish(totals))));
    messages
}

fn text(row: Option<i64>) -> String {
    row.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn chunks(case: &Case) -> Vec<Inbound> {
    let mut csv = String::from("n\n");
    for row in &case.rows {
        csv.push_str(&text(*row));
        csv.push('\n');
    }
    let chunks = csv.as_bytes().chunks(case.message_rows * 4);
    chunks
        .map(|data| {
            Inbound::Chunk(Chunk {
                offset: None,
                data: Bytes::copy_from_slice(data),
                crc32c: None,
            })
        })
        .collect()
}

/// Rows from the first on, as a caller sends them that kept no position.
fn row_messages(case: &Case) -> Vec<Inbound> {
    let mut messages = Vec::new();
    let mut offset = 0;
    for rows in case.rows.chunks(case.message_rows) {
        let rows = rows.to_vec();
        let n_rows = rows.len() as u64;
        messages.push(Inbound::Rows(InboundRows {
            offset: Some(offset),
            n_rows,
            n_bytes: n_rows,
            position: Bytes::from(format!("after {}", offset + n_rows)),
            pack: Box::new(move |first, skip| {
                let mut frame = FrameBuilder::new();
                for (at, row) in (first..).zip(&rows[skip..]) {
                    frame.begin_row(at, at + 1, "");
                    frame.push(Cell::Text(&text(*row)));
                    frame.end_row();
                }
                Ok(vec![frame.take()])
            }),
        }));
        offset += n_rows;
    }
    messages
}

/// What was counted of rows, by outcome: the law holds.
pub(super) fn counted(memory: &Memory) -> BTreeMap<&'static str, u64> {
    let text = memory.meters.text();
    let count = |outcome: &str| {
        let series = format!("rowlift_rows_total{{outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value
            .unwrap_or_else(|| panic!("no {series} in {text}"))
            .parse()
            .unwrap()
    };
    let mut counts: BTreeMap<&str, u64> = ROW_OUTCOMES.map(|it| (it, count(it))).into();
    let received = counts.remove("received").unwrap();
    assert_eq!(counts.values().sum::<u64>(), received, "{counts:?}");
    counts
}

/// No row was counted more than once under what became of it; each was, if no process died before
/// it could.
pub(super) fn assert_counted_once(memory: &Memory, outcome: &ImportOutcome, nobody_died: bool) {
    let counts = counted(memory);
    let rows = outcome.stats.rows;
    for (name, n_rows) in [
        ("inserted", rows.inserted),
        ("rejected", rows.rejected),
        ("blank", rows.blank),
    ] {
        assert!(counts[name] <= n_rows, "{name}: {counts:?}, {outcome:?}");
        assert!(
            counts[name] == n_rows || !nobody_died,
            "{name}: {counts:?}, {outcome:?}"
        );
    }
    // Each rejected row of these imports has one error.
    let text = memory.meters.text();
    let codes = text
        .lines()
        .filter(|line| line.starts_with("rowlift_row_errors_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    let n_errors: u64 = codes.sum();
    assert!(n_errors <= counts["rejected"], "{n_errors}: {text}");
    assert!(
        n_errors == counts["rejected"] || !nobody_died,
        "{n_errors}: {text}"
    );
}

/// The table, the counts and the rejects are those of one clean run.
pub(super) fn assert_once(memory: &Memory, case: &Case, outcome: &ImportOutcome) {
    let n_bad = case.rows.iter().filter(|row| row.is_none()).count() as u64;
    let is_failed = case.rejects_max >= 0 && n_bad > u64::try_from(case.rejects_max).unwrap();
    let good: BTreeMap<u64, i64> = (0..)
        .zip(&case.rows)
        .filter_map(|(at, row)| row.map(|value| (at, value)))
        .collect();
    let rows = outcome.stats.rows;
    assert_eq!(
        outcome.stats.received_rows,
        rows.total() + outcome.stats.unprocessed_rows()
    );
    if is_failed {
        assert_eq!(outcome.state, ImportState::Failed, "{outcome:?}");
        let limit = u64::try_from(case.rejects_max).unwrap();
        assert_eq!(rows.rejected, limit + 1, "{outcome:?}");
        assert_eq!(memory.rejected("one").len() as u64, limit + 1);
        if case.commit_mode == proto::CommitMode::Atomic || case.validate_only {
            assert!(memory.rows().is_empty());
        }
        return;
    }
    assert_eq!(outcome.state, ImportState::Succeeded, "{outcome:?}");
    assert_eq!(rows.inserted, good.len() as u64);
    assert_eq!(rows.rejected, n_bad);
    assert_eq!(outcome.stats.received_rows, case.rows.len() as u64);
    assert_eq!(outcome.committed_offset, case.rows.len() as u64);
    assert_eq!(memory.rejected("one").len() as u64, n_bad);
    let by_code = outcome.rejected_by_code.values().sum::<u64>();
    assert_eq!(by_code, n_bad, "{outcome:?}");
    if case.validate_only {
        assert!(memory.rows().is_empty(), "a dry run leaves no row");
    } else {
        assert_eq!(memory.rows(), good);
    }
}

//! ImportRows: one small batch of rows in one call, by way of a session like any other.
//!
//! In: a request. Out: the result with the rejected rows, or why there is none. The session runs
//! among the server's tasks and is not cut short by a call that is dropped: the request sent
//! again tells what became of it. Bounded by the size of a message, the places for imports and
//! the call's deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use prost::Message as _;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::access::Caller;
use crate::grpc::deadline::earlier;
use crate::grpc::header::policies::{self, ConflictFields};
use crate::grpc::header::{column_names, column_rules, labels, number, tenant};
use crate::grpc::service::imports::named_import;
use crate::grpc::service::rejects::{self, PAGE_BYTES_MAX};
use crate::grpc::status::invalid;
use crate::grpc::{convert, rows};
use crate::mapping::UnmappedSource;
use crate::model::import::{Failure, Reason};
use crate::progress::{self, Event, Events, ResultEvent};
use crate::proto;
use crate::session::inbound::{Inbound, Totals};
use crate::session::spec::{
    CommitMode, Disconnect, DuplicateFile, ImportSpec, RejectPolicy, RowsSpec, SourceSpec,
};
use crate::session::{self, Call, Message, Sessions, ending};
use crate::shutdown::Tasks;
use crate::store::OpenMode;

/// Rejected rows that the session tells; the ledger has the others.
const SAMPLES_MAX: usize = 1000;
/// A session ends so long before its call's deadline, so that its end can still be told.
const HEAD_START: Duration = Duration::from_millis(200);

/// Writes the rows, or tells what became of them before.
pub async fn import_rows(
    sessions: &Arc<Sessions>,
    tasks: &Tasks,
    caller: Arc<Caller>,
    deadline: Option<Instant>,
    request: proto::ImportRowsRequest,
) -> Result<proto::ImportRowsResponse, Failure> {
    let (spec, batch) = import_spec(request)?;
    let import_id = spec.import_id.clone();
    let all_or_nothing = spec.rejects == RejectPolicy::AbortTellingAll;
    let sha256 = sha256(&import_id, &batch.rows);
    let messages = messages(spec, batch, sha256)?;
    let call = Call {
        ticket: sessions.admission.enter(&caller)?,
        caller: Arc::clone(&caller),
        deadline: deadline.map(|at| earlier(at, HEAD_START)),
        // Nobody cancels it: a dropped call leaves its session alone.
        caller_gone: CancellationToken::new(),
    };
    let (outbox, events) = progress::channel(CancellationToken::new());
    let messages = futures::stream::iter(messages);
    let session = session::run(Arc::clone(sessions), call, messages, outbox);
    tasks.spawn(session.in_current_span());
    let ended = read(events).await;
    if ended.replayed {
        check_same_rows(&import_id, ended.result.as_deref(), sha256)?;
    }
    let refused = |failure: Failure| Err(without_header(failure));
    let result = match (ended.failure, ended.result) {
        (None, Some(result)) => result,
        // With its reasons told, a bad row is an answer.
        (Some(failure), Some(result))
            if all_or_nothing && failure.reason == Reason::RowRejected =>
        {
            result
        }
        (Some(failure), _) => return refused(failure),
        (None, None) => {
            return Err(ending::internal(&import_id, "ended with OK and no result"));
        }
    };
    let n_rejected = result.outcome.stats.rows.rejected;
    let mut rejected_rows = ended.rejected_rows;
    if n_rejected > rejected_rows.len() as u64 {
        let store = &*sessions.store;
        match rejects::page(store, caller.owner(), &import_id, None, None, u32::MAX).await {
            Ok(page) if page.rows.len() >= rejected_rows.len() => {
                rejected_rows = with_values(page.rows, rejected_rows);
            }
            Ok(_) => {}
            // The result is what counts; the list of rejected rows can be asked for again.
            Err(failure) => tracing::warn!(
                import.id = import_id,
                error = failure.message,
                "rejected rows could not be read"
            ),
        }
    }
    Ok(proto::ImportRowsResponse {
        result: Some(convert::result(&result.import_id, &result.outcome)),
        replayed: ended.replayed,
        rejected_rows,
    })
}

/// The ledger's rows, with those of the session in their place: the ledger may keep no values.
fn with_values(
    mut stored: Vec<proto::RejectedRow>,
    told: Vec<proto::RejectedRow>,
) -> Vec<proto::RejectedRow> {
    for row in told {
        if let Ok(at) = stored.binary_search_by_key(&row.offset, |row| row.offset) {
            stored[at] = row;
        }
    }
    stored
}

/// What a session's events come to.
#[derive(Debug, Default)]
struct Ended {
    replayed: bool,
    /// By ordinal, as many as fit into a message.
    rejected_rows: Vec<proto::RejectedRow>,
    result: Option<Box<ResultEvent>>,
    failure: Option<Failure>,
}

async fn read(mut events: Events) -> Ended {
    let mut ended = Ended::default();
    let mut n_bytes = 0;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Accepted(accepted)) => ended.replayed = accepted.replayed,
            Ok(Event::Rejected(row)) => {
                let row = convert::rejected_row(*row);
                n_bytes += row.encoded_len();
                if n_bytes <= PAGE_BYTES_MAX {
                    ended.rejected_rows.push(row);
                }
            }
            Ok(Event::Result(result)) => ended.result = Some(result),
            Ok(Event::Ack(_) | Event::Progress(_) | Event::Draining(_)) => {}
            Err(failure) => ended.failure = Some(failure),
        }
    }
    ended.rejected_rows.sort_by_key(|row| row.offset);
    ended
}

/// What the request asks for, and its rows.
fn import_spec(
    request: proto::ImportRowsRequest,
) -> Result<(ImportSpec, proto::RowBatch), Failure> {
    let import_id = named_import(&request.import_id)?;
    if request.table.is_empty() {
        return Err(invalid("table", "empty"));
    }
    let column_names = column_names("column_names", request.column_names)?;
    rows::check_rows("rows", &request.rows, column_names.len())?;
    let (rejects, commit_mode) =
        match number::<proto::ErrorPolicy>("error_policy", request.error_policy)? {
            // All or nothing: a message's rows fit one batch.
            proto::ErrorPolicy::Unspecified | proto::ErrorPolicy::Abort => {
                (RejectPolicy::AbortTellingAll, CommitMode::OneBatch)
            }
            proto::ErrorPolicy::SkipRow => (RejectPolicy::SkipDefault, CommitMode::PerBatch),
        };
    let spec = ImportSpec {
        import_id,
        mode: OpenMode::Repeat,
        table: request.table,
        source: SourceSpec::Rows(RowsSpec {
            column_names,
            as_cells: false,
        }),
        columns: column_rules("columns", request.columns)?,
        unmapped_source: UnmappedSource::Fail,
        write_method: None,
        rejects,
        progress_interval: None,
        rejected_samples: SAMPLES_MAX,
        max_ack_delay: None,
        labels: labels("labels", request.labels)?,
        conflict: policies::conflict(ConflictFields {
            path: "",
            action: request.on_conflict,
            columns: request.conflict_columns,
            key: request.conflict_key,
            missing: request.on_missing,
        })?,
        commit_mode,
        validate_only: request.validate_only,
        disconnect: Disconnect::Suspend,
        settings: policies::settings("settings", request.settings)?,
        tenant: tenant("tenant", request.tenant)?,
        reject_retention: None,
        duplicate_file: DuplicateFile::Allow,
    };
    let batch = proto::RowBatch {
        // An import that goes on has decided some of them: they are told apart by their ordinals.
        offset: Some(0),
        rows: request.rows,
        ..proto::RowBatch::default()
    };
    Ok((spec, batch))
}

/// The call that a caller of Import would make of them.
fn messages(
    spec: ImportSpec,
    batch: proto::RowBatch,
    sha256: [u8; 32],
) -> Result<[Result<Message, Failure>; 3], Failure> {
    let n_columns = match &spec.source {
        SourceSpec::Rows(rows) => rows.column_names.len(),
        SourceSpec::File(_) => 0,
    };
    let totals = Totals {
        rows: Some(batch.rows.len() as u64),
        bytes: None,
        sha256: Some(sha256),
    };
    let rows = rows::row_batch(batch, n_columns)?;
    Ok([
        Ok(Message::Header(Box::new(spec))),
        Ok(Message::Inbound(Inbound::Rows(rows))),
        Ok(Message::Inbound(Inbound::Finish(totals))),
    ])
}

/// What tells the rows of one import from any other.
fn sha256(import_id: &str, rows: &[proto::Row]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update("rowlift rows 1 ");
    // With the id, no other import of the same rows has this hash.
    hasher.update(import_id);
    for row in rows {
        hasher.update(row.encode_length_delimited_to_vec());
    }
    hasher.finalize().into()
}

/// A replay is of the same rows.
fn check_same_rows(
    import_id: &str,
    result: Option<&ResultEvent>,
    sha256: [u8; 32],
) -> Result<(), Failure> {
    // Empty: the import had not received them all when it ended.
    let stored = result.map_or(&[][..], |result| &result.outcome.file_sha256);
    if stored.is_empty() || stored == sha256 {
        return Ok(());
    }
    let message = format!("import {import_id:?} was of other rows");
    Err(Failure::new(Reason::IdConflict, message).with_field("rows", "not those of the import"))
}

/// The session names fields of a header; this request has them one level higher.
fn without_header(mut failure: Failure) -> Failure {
    for (path, _) in &mut failure.fields {
        let own = path
            .strip_prefix("header.row_source.")
            .or_else(|| path.strip_prefix("header."));
        if let Some(own) = own {
            *path = own.to_owned();
        }
    }
    failure
}

#[cfg(test)]
mod tests;

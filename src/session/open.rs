//! From a call's first message to an open import.
//!
//! In: the header. Out: a held import with everything its session needs, a stored one to replay,
//! or a refusal that leaves no import. Bounded by the header timeout and the call's deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt};

use crate::mapping::{Mapping, SourceColumns};
use crate::model::import::{Failure, ImportOutcome, ImportRecord, NewImport, Reason, WriteMethod};
use crate::model::layout::SourceLayout;
use crate::model::table::Table;
use crate::progress::{Accepted, Outbox, ResultEvent};
use crate::session::ending;
use crate::session::spec::{ImportSpec, SourceSpec};
use crate::session::{Call, Message, SessionConfig, Sessions};
use crate::store::{OpenImport, Opened};
use crate::writer;

/// What became of a header.
#[derive(Debug)]
pub enum Opening {
    /// The import had ended.
    Ended(Arc<ImportSpec>, Box<ImportRecord>),
    /// The session holds it.
    Running(Box<Held>),
}

/// An import that this session holds.
#[derive(Debug)]
pub struct Held {
    /// What the caller asked for.
    pub spec: Arc<ImportSpec>,
    /// The target.
    pub table: Arc<Table>,
    /// How rows are written.
    pub method: WriteMethod,
    /// Row imports: the mapping.
    pub mapping: Option<Arc<Mapping>>,
    /// The hold, and what earlier sessions committed.
    pub open: OpenImport,
    /// When the header arrived.
    pub begun_at: Instant,
}

/// Waits for the header and opens its import.
pub async fn open<S>(sessions: &Sessions, call: &Call, messages: &mut S) -> Result<Opening, Failure>
where
    S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
{
    let spec = bounded(sessions, call, header(&sessions.config, messages)).await?;
    let begun_at = Instant::now();
    bounded(sessions, call, open_import(sessions, call, spec, begun_at)).await
}

/// Ends a call whose import had ended with what is stored.
pub fn replay(
    outbox: Outbox,
    call: &Call,
    spec: &ImportSpec,
    record: ImportRecord,
    config: &SessionConfig,
) {
    outbox.accepted(Accepted {
        import_id: record.import_id.clone(),
        epoch: record.epoch,
        resumed: true,
        replayed: true,
        committed_offset: record.committed_offset,
        committed_position: None,
        idle_timeout: config.idle_timeout,
        deadline_in: call
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now())),
        effective_columns: Vec::new(),
        rejected_rows_max: spec.rejects.limit(config.rejected_rows_max),
    });
    let outcome = record.outcome.unwrap_or_else(|| ImportOutcome {
        state: record.state,
        stats: record.stats,
        committed_offset: record.committed_offset,
        failure: record.failure,
        rejected_by_code: std::collections::BTreeMap::new(),
        write_method: record.write_method,
        file_sha256: Vec::new(),
        duplicate_of_import_id: String::new(),
        validate_only: record.validate_only,
    });
    outbox.finish(ResultEvent {
        import_id: record.import_id,
        outcome,
    });
}

/// Holds `work` to the call's deadline and to its caller's presence. Opening an import is not
/// undone when it is cut short: its lease expires.
async fn bounded<T>(
    sessions: &Sessions,
    call: &Call,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    let deadline = async {
        match call.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = work => result,
        () = deadline => Err(ending::deadline().with("phase", "QUEUED").with("committed_offset", 0)),
        () = call.caller_gone.cancelled() => Err(caller_gone()),
        () = sessions.drained.cancelled() => Err(writer::stopping()),
    }
}

/// The caller cancelled or its connection was lost.
pub fn caller_gone() -> Failure {
    Failure::new(
        Reason::CancelledByCaller,
        "the caller is gone; resume to go on",
    )
}

async fn header<S>(config: &SessionConfig, messages: &mut S) -> Result<Arc<ImportSpec>, Failure>
where
    S: Stream<Item = Result<Message, Failure>> + Unpin + Send,
{
    first(config, messages, |message| match message {
        Message::Header(spec) => Some(Arc::new(*spec)),
        Message::Inbound(_) => None,
    })
    .await
}

/// The first message of a call, which has to be a header: what `header` makes of it.
pub async fn first<S, M, H>(
    config: &SessionConfig,
    messages: &mut S,
    header: impl FnOnce(M) -> Option<H> + Send,
) -> Result<H, Failure>
where
    S: Stream<Item = Result<M, Failure>> + Unpin + Send,
    M: Send,
{
    let required = |what: &str| Err(Failure::new(Reason::HeaderRequired, what));
    let message = tokio::time::timeout(config.header_timeout, messages.next()).await;
    match message {
        Err(_) => Err(Failure::new(
            Reason::HeaderTimeout,
            format!("no header within {} s", config.header_timeout.as_secs()),
        )),
        Ok(None) => required("the stream ended before the header, which is the first message"),
        Ok(Some(Err(failure))) => Err(failure),
        Ok(Some(Ok(message))) => match header(message) {
            Some(header) => Ok(header),
            None => required("the first message is not a header"),
        },
    }
}

async fn open_import(
    sessions: &Sessions,
    call: &Call,
    spec: Arc<ImportSpec>,
    begun_at: Instant,
) -> Result<Opening, Failure> {
    let store = &sessions.store;
    let table = store.table(&spec.table).await.map_err(ending::failure_of)?;
    let table = table.and_then(|table| call.caller.view(&table));
    let table = table.ok_or_else(|| {
        Failure::new(
            Reason::TableNotFound,
            format!(
                "table {:?} does not exist or is not on the allow-list",
                spec.table
            ),
        )
        .with("table", &spec.table)
    })?;
    check_settings(sessions, &spec)?;
    check_retention(&sessions.config, &spec)?;
    // Errors of the header leave no import: the mapping of rows is checked before it is opened.
    rows_mapping(&spec, &table, 0)?;
    let method = store.write_method(spec.write_method, &table, spec.transactions());
    let table_name = table.name.to_string();
    let new = NewImport {
        owner: call.caller.owner().to_owned(),
        import_id: spec.import_id.clone(),
        tenant: spec.tenant.clone(),
        fingerprint: spec.fingerprint(&table_name),
        table: table_name,
        file_name: spec.file_name().to_owned(),
        file_sha256: spec.file_sha256(),
        labels: spec.labels.clone(),
        validate_only: spec.validate_only,
        write_method: method,
        server: sessions.config.server.clone(),
        layout: rows_layout(&spec),
        reject_retention: spec.reject_retention,
    };
    let open = match store
        .open_import(&new, spec.mode)
        .await
        .map_err(ending::failure_of)?
    {
        Opened::Ended(record) => {
            check_same_file(&spec, &record)?;
            return Ok(Opening::Ended(spec, record));
        }
        Opened::Running(open) => open,
    };
    let mapping = rows_mapping(&spec, &table, open.create_time_ms)?.map(Arc::new);
    Ok(Opening::Running(Box::new(Held {
        spec,
        table,
        method,
        mapping,
        open,
        begun_at,
    })))
}

/// The layout of a row import; files have theirs once their header is read.
fn rows_layout(spec: &ImportSpec) -> Option<SourceLayout> {
    let SourceSpec::Rows(rows) = &spec.source else {
        return None;
    };
    Some(SourceLayout {
        format: None,
        sheet: String::new(),
        names: rows.column_names.clone(),
        has_header: true,
    })
}

/// Only settings that the configuration names may be set.
fn check_settings(sessions: &Sessions, spec: &ImportSpec) -> Result<(), Failure> {
    if !spec.settings.is_empty() && !sessions.store.takes_settings() {
        return Err(Failure::new(
            Reason::InvalidOption,
            "this database has no settings of a transaction",
        )
        .with_field("header.settings", "set, and the database takes none"));
    }
    let allowed = &sessions.config.settings_allowed;
    let refused = spec.settings.keys().find(|name| !allowed.contains(name));
    match refused {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            Reason::InvalidOption,
            format!("setting {name:?} is not one that this server lets callers set"),
        )
        .with_field(
            format!("header.settings[{name:?}]"),
            "not in settings_allowed of the server's configuration",
        )),
    }
}

/// Values of an import cannot outlive it.
fn check_retention(config: &SessionConfig, spec: &ImportSpec) -> Result<(), Failure> {
    let max = config.id_retention;
    if spec.reject_retention.is_none_or(|wanted| wanted <= max) {
        return Ok(());
    }
    let seconds = max.as_secs();
    let message =
        format!("this server forgets an import, and its values, {seconds} s after its end");
    Err(Failure::new(Reason::InvalidOption, message).with_field(
        "header.reject_retention",
        format!("longer than {seconds} s"),
    ))
}

/// A replay is of the same file: where the header names its hash, it is compared at once.
fn check_same_file(spec: &ImportSpec, record: &ImportRecord) -> Result<(), Failure> {
    let SourceSpec::File(file) = &spec.source else {
        return Ok(());
    };
    let stored = record
        .outcome
        .as_ref()
        .map_or(&[][..], |outcome| &outcome.file_sha256);
    match file.sha256 {
        Some(sent) if !stored.is_empty() && stored != sent => {
            let message = format!("import {:?} was of another file", record.import_id);
            Err(Failure::new(Reason::IdConflict, message)
                .with_field("header.file.sha256", "not the hash of the import's file"))
        }
        _ => Ok(()),
    }
}

/// The mapping of a row import; files have theirs once their header is read.
fn rows_mapping(
    spec: &ImportSpec,
    table: &Arc<Table>,
    create_time_ms: i64,
) -> Result<Option<Mapping>, Failure> {
    let SourceSpec::Rows(rows) = &spec.source else {
        return Ok(None);
    };
    let columns = SourceColumns {
        names: &rows.column_names,
        has_header: true,
        where_: "",
    };
    Mapping::resolve(table, &spec.mapping_spec(create_time_ms, ""), columns).map(Some)
}

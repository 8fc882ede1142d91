//! ExportRejectedRows: an import's rejected rows as a file to fix and send again.
//!
//! In: an ended import's id. Out: the file, piece by piece. Rows are read from the ledger in pieces
//! of [`PIECE_ROWS`] and [`PIECE_BYTES`], the next one once the caller has taken the last, so that
//! memory does not depend on how many there are. A workbook is written to unnamed files in the
//! spool directory first. Bounded by [`EXPORTS_MAX`]; whoever drops the stream stops it, and its
//! files are gone.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::disk::SpoolFile;
use crate::export::{self, Columns, ExportError, csv, xlsx};
use crate::grpc::header::{number, tenant};
use crate::grpc::service::imports::{is_of_tenant, named_import, unknown_import};
use crate::grpc::status::invalid;
use crate::model::import::{Failure, FileFormat, ImportRecord, Reason};
use crate::model::layout::SourceLayout;
use crate::model::reject::{RejectedRow, RowErrorCode};
use crate::proto;
use crate::session::places::{Place, Places};
use crate::session::{Sessions, ending, open};
use crate::shutdown::Tasks;
use crate::store::query::{RejectedQuery, RejectedSource};
use crate::store::{Store, StoreError};

/// Exports of this server at once; each may hold a workbook in the spool directory.
pub const EXPORTS_MAX: usize = 16;
/// Rows that are read from the ledger at once.
const PIECE_ROWS: u32 = 500;
/// Bytes, as stored, after which a piece ends; a single row may be larger.
const PIECE_BYTES: u32 = 512 << 10;
/// Bytes of one message.
const CHUNK_BYTES: usize = 256 << 10;
/// While there is nothing to send something is sent in this time: proxies cut silent streams.
const BEAT: Duration = Duration::from_secs(10);
/// How long a caller may read nothing.
const READ_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a ledger that does not answer is asked again.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Between two such questions.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// An export that may begin.
pub struct Export {
    store: Arc<dyn Store>,
    import: i64,
    n_rows: u64,
    layout: SourceLayout,
    format: FileFormat,
    file_name: String,
    options: xlsx::Options,
    /// The outcome says so: there is no need to look for the widest row.
    has_no_extra_cells: bool,
    /// The server stops.
    drained: CancellationToken,
    /// Given back with the export.
    _place: Place,
}

/// A piece of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Part {
    data: Bytes,
    /// Format and name of the file, in the first part.
    described: Option<(FileFormat, String)>,
}

/// Checks that the import's rejected rows can be exported as asked.
pub async fn begin(
    sessions: &Sessions,
    places: &Places,
    caller: &Caller,
    request: &proto::ExportRejectedRowsRequest,
) -> Result<Export, Failure> {
    let tenant = tenant("tenant", request.tenant.clone())?;
    let id = named_import(&request.import_id)?;
    let wanted = wanted_format(request.format)?;
    if sessions.drained.is_cancelled() {
        return Err(draining());
    }
    let place = places.enter(caller)?;
    let owner = caller.owner();
    let store = &sessions.store;
    let record = store.import(owner, &id).await.map_err(ending::failure_of)?;
    let record = record.filter(|record| is_of_tenant(record, &tenant));
    let record = record.ok_or_else(|| unknown_import(&id))?;
    if !record.state.is_terminal() {
        return Err(
            wrong_state("the import has not ended, and more rows may be rejected")
                .with("state", record.state.name()),
        );
    }
    let source = store.rejected_source(owner, &id).await;
    let source = source
        .map_err(ending::failure_of)?
        .ok_or_else(|| unknown_import(&id))?;
    let layout = layout(&source)?;
    let format = wanted.unwrap_or(match layout.format {
        None | Some(FileFormat::Csv) => FileFormat::Csv,
        Some(_) => FileFormat::Xlsx,
    });
    if format != FileFormat::Csv && source.n_rows > xlsx::ROWS_MAX {
        return Err(xlsx::too_many_rows(source.n_rows).into());
    }
    Ok(Export {
        store: Arc::clone(store),
        import: source.import,
        n_rows: source.n_rows,
        options: options(sessions, &layout),
        layout,
        format,
        file_name: file_name(&record, format),
        has_no_extra_cells: has_no_extra_cells(&record),
        drained: sessions.drained.clone(),
        _place: place,
    })
}

fn options(sessions: &Sessions, layout: &SourceLayout) -> xlsx::Options {
    let limits = &sessions.config.limits;
    xlsx::Options {
        spool_dir: sessions.config.spool_dir.clone(),
        sheet: layout.sheet.clone(),
        workbook_bytes_max: limits.workbook_bytes_max,
        inflated_bytes_max: limits.inflated_bytes_max,
    }
}

fn file_name(record: &ImportRecord, format: FileFormat) -> String {
    export::file_name(&record.file_name, &record.import_id, format)
}

fn has_no_extra_cells(record: &ImportRecord) -> bool {
    let outcome = record.outcome.as_ref();
    outcome.is_some_and(|outcome| {
        let by_code = &outcome.rejected_by_code;
        !by_code.contains_key(RowErrorCode::ExtraCells.name())
    })
}

/// `None`: that of the source.
fn wanted_format(wire: i32) -> Result<Option<FileFormat>, Failure> {
    match number::<proto::FileFormat>("format", wire)? {
        proto::FileFormat::Unspecified => Ok(None),
        proto::FileFormat::Xlsx => Ok(Some(FileFormat::Xlsx)),
        proto::FileFormat::Csv => Ok(Some(FileFormat::Csv)),
        _ => Err(invalid("format", "neither XLSX nor CSV")),
    }
}

/// An import that ended before its header was read has no layout, and no rejected rows either.
fn layout(source: &RejectedSource) -> Result<SourceLayout, Failure> {
    match (&source.layout, source.n_rows) {
        (Some(layout), _) => Ok(layout.clone()),
        (None, 0) => Ok(SourceLayout {
            format: Some(FileFormat::Csv),
            sheet: String::new(),
            names: Vec::new(),
            has_header: true,
        }),
        (None, _) => Err(wrong_state(
            "the values of the import's rejected rows are not kept: they were never stored, have been \
             deleted, or their time is over",
        )),
    }
}

fn wrong_state(message: &str) -> Failure {
    Failure::new(Reason::WrongState, message)
}

/// The responses of an export.
pub fn responses(
    export: Export,
    deadline: Option<std::time::Instant>,
    tasks: &Tasks,
) -> impl Stream<Item = Result<proto::ExportRejectedRowsResponse, Failure>> + Send + use<> {
    let (sender, parts) = mpsc::channel(1);
    let (end_sender, end) = oneshot::channel();
    // A task of its own: the transport does not poll a stream that its caller does not read, and
    // the bounds hold then too.
    tasks.spawn(async move {
        let drained = export.drained.clone();
        let end = tokio::select! {
            // Nothing is lost that another call does not get.
            biased;
            () = drained.cancelled() => Err(draining()),
            () = sleep_until(deadline) => Err(ending::deadline()),
            () = sender.closed() => Err(open::caller_gone()),
            end = export.run(&sender) => end,
        };
        // Whoever does not listen any more has no use for the end.
        let _ = end_sender.send(end);
    });
    let end = stream::once(end).filter_map(|end| {
        let lost = || Err(ending::internal("", "an export's task was lost"));
        std::future::ready(end.unwrap_or_else(|_| lost()).err().map(Err))
    });
    let parts = ReceiverStream::new(parts).map(Ok);
    parts.chain(end).map(|part| part.map(response))
}

fn response(part: Part) -> proto::ExportRejectedRowsResponse {
    let (format, file_name) = match part.described {
        Some((FileFormat::Csv, name)) => (proto::FileFormat::Csv, name),
        Some((_, name)) => (proto::FileFormat::Xlsx, name),
        None => (proto::FileFormat::Unspecified, String::new()),
    };
    proto::ExportRejectedRowsResponse {
        data: part.data,
        format: format.into(),
        file_name,
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("import", &self.import)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

// === impl Export ===

impl Export {
    async fn run(&self, sender: &mpsc::Sender<Part>) -> Result<(), Failure> {
        let first = Part {
            described: Some((self.format, self.file_name.clone())),
            ..Part::default()
        };
        send(sender, first).await?;
        let width = beating(sender, self.width()).await?;
        let columns = Columns::new(&self.layout, width);
        match self.format {
            FileFormat::Csv => self.csv(sender, &columns).await,
            _ => self.workbook(sender, columns).await,
        }
    }

    /// How many cells the widest row has. Under a header a row with content beyond it has an error
    /// that says so.
    async fn width(&self) -> Result<usize, Failure> {
        if self.layout.has_header && self.has_no_extra_cells {
            return Ok(0);
        }
        let code = self.layout.has_header.then_some(RowErrorCode::ExtraCells);
        let mut pieces = self.pieces(code);
        let mut width = 0;
        loop {
            let rows = pieces.next().await?;
            let Some(widest) = rows.iter().map(export::width).max() else {
                return Ok(width);
            };
            width = width.max(widest);
        }
    }

    async fn csv(&self, sender: &mpsc::Sender<Part>, columns: &Columns) -> Result<(), Failure> {
        send_data(sender, csv::header(columns).into()).await?;
        let mut pieces = self.pieces(None);
        loop {
            let rows = pieces.next().await?;
            if rows.is_empty() {
                return self.check(pieces.n_rows);
            }
            send_data(sender, csv::rows(columns, &rows)?.into()).await?;
        }
    }

    async fn workbook(&self, sender: &mpsc::Sender<Part>, columns: Columns) -> Result<(), Failure> {
        let file = beating(sender, self.write_workbook(columns)).await?;
        let (file, _room) = file.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        loop {
            let mut data = Vec::with_capacity(CHUNK_BYTES);
            let mut chunk = (&mut file).take(CHUNK_BYTES as u64);
            let read = chunk.read_to_end(&mut data).await;
            read.map_err(|error| ExportError::Io(error.to_string()))?;
            if data.is_empty() {
                return Ok(());
            }
            send_data(sender, data.into()).await?;
        }
    }

    /// Writes the workbook on a blocking thread, which ends when this is dropped.
    async fn write_workbook(&self, columns: Columns) -> Result<SpoolFile, Failure> {
        let (rows_sender, rows_receiver) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let _stopped_when_dropped = stop.clone().drop_guard();
        let options = self.options.clone();
        let writer =
            tokio::task::spawn_blocking(move || write_rows(columns, options, rows_receiver, &stop));
        let mut pieces = self.pieces(None);
        loop {
            let rows = pieces.next().await?;
            let is_last = rows.is_empty();
            if is_last {
                self.check(pieces.n_rows)?;
            }
            // A writer that has ended says why by its result.
            if rows_sender.send(rows).await.is_err() || is_last {
                break;
            }
        }
        match writer.await {
            Ok(file) => Ok(file?),
            Err(error) => {
                // The library that writes rows panics where the disk takes no more.
                // Its words may quote a cell.
                let panicked = error.is_panic();
                tracing::warn!(panicked, "an export's workbook could not be written");
                let why = "no space is left, as a rule".to_owned();
                Err(ExportError::Io(why).into())
            }
        }
    }

    fn pieces(&self, code: Option<RowErrorCode>) -> Pieces<'_> {
        Pieces {
            store: &*self.store,
            import: self.import,
            query: RejectedQuery {
                code,
                after: None,
                rows_max: PIECE_ROWS,
                bytes_max: PIECE_BYTES,
            },
            n_rows: 0,
        }
    }

    /// All rows, or the file is not what it should be.
    fn check(&self, n_rows: u64) -> Result<(), Failure> {
        if n_rows == self.n_rows {
            return Ok(());
        }
        Err(wrong_state(
            "the import's rejected rows were deleted or written anew meanwhile",
        ))
    }
}

/// The thread's part of a workbook: pieces of rows, then an empty one.
fn write_rows(
    columns: Columns,
    options: xlsx::Options,
    mut pieces: mpsc::Receiver<Vec<RejectedRow>>,
    stop: &CancellationToken,
) -> Result<SpoolFile, ExportError> {
    let mut writer = xlsx::Writer::new(columns, options)?;
    while let Some(rows) = pieces.blocking_recv() {
        if rows.is_empty() {
            return writer.finish(&|| !stop.is_cancelled());
        }
        for row in &rows {
            writer.row(row)?;
        }
    }
    Err(ExportError::Io("it is not wanted any more".to_owned()))
}

/// Rejected rows from the ledger, piece by piece.
struct Pieces<'a> {
    store: &'a dyn Store,
    import: i64,
    query: RejectedQuery,
    /// Rows so far.
    n_rows: u64,
}

impl Pieces<'_> {
    /// The next rows; none once there are no more. A ledger that does not answer is asked again
    /// for a while.
    async fn next(&mut self) -> Result<Vec<RejectedRow>, Failure> {
        let begun = Instant::now();
        loop {
            let error = match self.store.rejected_piece(self.import, self.query).await {
                Ok(rows) => {
                    self.query.after = rows.last().map_or(self.query.after, |it| Some(it.ordinal));
                    self.n_rows += rows.len() as u64;
                    return Ok(rows);
                }
                Err(error) => error,
            };
            let may_pass = matches!(error, StoreError::Transient { .. });
            if !may_pass || begun.elapsed() >= SILENCE_MAX {
                return Err(ending::failure_of(error));
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// Does something long, sending empty parts meanwhile.
async fn beating<T: Send>(
    sender: &mpsc::Sender<Part>,
    work: impl Future<Output = Result<T, Failure>> + Send,
) -> Result<T, Failure> {
    tokio::pin!(work);
    let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    loop {
        tokio::select! {
            // Cancel safe: the work stays where it is.
            biased;
            done = &mut work => return done,
            _ = beat.tick() => send(sender, Part::default()).await?,
        }
    }
}

/// Sends bytes in messages that any client takes.
async fn send_data(sender: &mpsc::Sender<Part>, mut data: Bytes) -> Result<(), Failure> {
    while !data.is_empty() {
        let part = Part {
            data: data.split_to(data.len().min(CHUNK_BYTES)),
            described: None,
        };
        send(sender, part).await?;
    }
    Ok(())
}

/// Waits until the part before is taken, for [`READ_WAIT_MAX`].
async fn send(sender: &mpsc::Sender<Part>, part: Part) -> Result<(), Failure> {
    match tokio::time::timeout(READ_WAIT_MAX, sender.send(part)).await {
        Ok(sent) => sent.map_err(|_| open::caller_gone()),
        Err(_) => Err(Failure::new(
            Reason::IdleTimeout,
            format!(
                "nothing was read for {} s; export once more",
                READ_WAIT_MAX.as_secs()
            ),
        )),
    }
}

fn draining() -> Failure {
    Failure::new(
        Reason::Draining,
        "the server is stopping; export through another one",
    )
}

async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

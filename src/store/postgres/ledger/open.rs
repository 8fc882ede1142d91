//! Beginning, taking over and replaying imports.
//!
//! In: a [`NewImport`]. Out: a hold with what earlier sessions committed, or the stored outcome.
//!
//! A takeover is two transactions. The first inserts the next epoch into `sessions`; its primary
//! key decides among rivals, and from its COMMIT on no batch of an older session begins. The
//! second updates `imports`, which waits for the batches in flight; what it reads afterwards is
//! all that the older sessions ever commit.

use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgRow};

use crate::model::import::{Failure, ImportState, NewImport, Reason};
use crate::model::stats::RowCounts;
use crate::store::{OpenImport, OpenMode, Opened, SessionKey, StoreError};

use super::super::arguments::{self, bigint};
use super::super::connection::Transaction;
use super::super::{error, literal};
use super::record::{self, Stored};
use super::{Ledger, TAKEOVERS_MAX, fold, forget, rejects};

/// Begins, takes over or replays; see [`crate::store::Store::open_import`].
pub(in super::super) async fn open_import(
    ledger: Ledger<'_>,
    new: &NewImport,
    mode: OpenMode,
) -> Result<Opened, StoreError> {
    for _ in 0..TAKEOVERS_MAX {
        if let Some(open) = begin_new(ledger, new).await.map_err(error::of_ledger)? {
            return Ok(Opened::Running(open));
        }
        let Some(stored) = record::find(ledger, &new.owner, &new.import_id).await? else {
            // It went just now, or its id has expired and its rows are still there.
            let freed = forget::free_id(ledger, &new.owner, &new.import_id).await;
            freed.map_err(error::of_ledger)?;
            continue;
        };
        let takeover = match decide(new, mode, &stored)? {
            Decision::Replay => return Ok(Opened::Ended(Box::new(stored.record))),
            Decision::TakeOver(takeover) => takeover,
        };
        let epoch = stored.newest_epoch + 1;
        let claimed = claim(ledger, stored.id, epoch).await;
        if !claimed.map_err(error::of_ledger)? {
            return Err(busy(&stored));
        }
        let key = SessionKey {
            import: stored.id,
            epoch,
        };
        let taken = take_over(ledger, new, key, takeover).await;
        if let Some(open) = taken.map_err(error::of_ledger)? {
            return Ok(Opened::Running(open));
        }
        // It ended, or was taken over again, while this session waited: look anew.
    }
    Err(StoreError::Failed(Failure::new(
        Reason::ImportBusy,
        "the import changes hands too often",
    )))
}

/// What an import that exists calls for.
enum Decision {
    Replay,
    TakeOver(Takeover),
}

/// What becomes of what earlier sessions left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takeover {
    /// It stays.
    Continue,
    /// It is forgotten: the import had failed without a decided row.
    Anew,
}

fn decide(new: &NewImport, mode: OpenMode, stored: &Stored) -> Result<Decision, StoreError> {
    if !new.tenant.is_empty() && new.tenant != stored.record.tenant {
        return Err(StoreError::Failed(new.of_another_tenant()));
    }
    let state = stored.record.state;
    let undecided = state == ImportState::Failed && stored.n_batches == 0;
    if undecided && mode != OpenMode::Resume {
        return Ok(Decision::TakeOver(Takeover::Anew));
    }
    if stored.fingerprint != new.fingerprint {
        return Err(StoreError::Failed(Failure::new(
            Reason::IdConflict,
            "another import has this import_id: its table, source or options differ",
        )));
    }
    if state.is_terminal() {
        return Ok(Decision::Replay);
    }
    match mode {
        OpenMode::Resume | OpenMode::Repeat => {
            let is_settled = stored.live || stored.n_batches > 0;
            match new.of_another_file(stored.file_sha256.filter(|_| is_settled)) {
                None => Ok(Decision::TakeOver(Takeover::Continue)),
                Some(failure) => Err(StoreError::Failed(
                    failure.with("committed_offset", stored.record.committed_offset),
                )),
            }
        }
        OpenMode::Begin if stored.live => Err(busy(stored)),
        OpenMode::Begin => Err(StoreError::Failed(
            Failure::new(
                Reason::WrongState,
                "the import is suspended: resume it to continue",
            )
            .with("committed_offset", stored.record.committed_offset),
        )),
    }
}

fn busy(stored: &Stored) -> StoreError {
    StoreError::Failed(
        Failure::new(Reason::ImportBusy, "another session holds the import")
            .with("committed_offset", stored.record.committed_offset),
    )
}

/// Stores a new import with its first session, in one round trip; `None` if the id is taken.
async fn begin_new(ledger: Ledger<'_>, new: &NewImport) -> Result<Option<OpenImport>, sqlx::Error> {
    let (owner, import_id) = (literal::text(&new.owner), literal::text(&new.import_id));
    let server = literal::text(&new.server);
    let Description { of_run, of_import } = Description::of(new);
    // Its first session is told by no earlier one.
    let insert = format!(
        "WITH new AS (INSERT INTO rowlift.imports (owner, import_id, epoch, state, {OF_RUN}, \
         {OF_IMPORT}) VALUES ({owner}, {import_id}, 1, 2, {of_run}, {of_import}) \
         ON CONFLICT (owner, import_id) DO NOTHING RETURNING id, create_time), \
         held AS (INSERT INTO rowlift.sessions (import, epoch, server, lease_until, \
         received_bytes, received_rows) SELECT id, 1, {server}, {lease}, 0, 0 FROM new) \
         SELECT id, floor(extract(epoch FROM create_time) * 1000)::int8 FROM new",
        of_import = of_import.join(", "),
        lease = ledger.lease_sql()
    );
    let rows = ledger.once(&insert).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let import: i64 = row.try_get(0)?;
    let create_time_ms = row.try_get(1)?;
    Ok(Some(OpenImport {
        key: SessionKey { import, epoch: 1 },
        resumed: false,
        committed_offset: 0,
        committed_hash: 0,
        committed_ranges: Vec::new(),
        counts: RowCounts::default(),
        committed_position: None,
        create_time_ms,
        file_sha256: new.file_sha256,
        tenant: new.tenant.clone(),
        keeps_values: ledger.keeps_values(new.reject_retention.map(forget::milliseconds)),
    }))
}

/// Columns of an import's row that are those of the request that runs it.
const OF_RUN: &str = "table_name, fingerprint, file_name, validate_only, write_method, server";

/// Columns that an import which is continued keeps, where it has them.
const OF_IMPORT: &str = "tenant, labels, source_layout, reject_retention_ms, file_sha256";

/// What a request writes into its import's row, as SQL.
struct Description {
    /// Values of [`OF_RUN`].
    of_run: String,
    /// Values of [`OF_IMPORT`].
    of_import: [String; 5],
}

impl Description {
    fn of(new: &NewImport) -> Description {
        let of_run = [
            literal::text(new.table.as_str()),
            literal::bytes(&new.fingerprint),
            literal::text(&shown(&new.file_name)),
            new.validate_only.to_string(),
            new.write_method.number().to_string(),
            literal::text(&new.server),
        ];
        let labels = serde_json::to_string(&new.labels).expect("labels are text");
        // Of a row import, which is known from its header.
        let layout = new.layout.as_ref().map(rejects::stored);
        let retention = new.reject_retention.map(forget::milliseconds);
        Description {
            of_run: of_run.join(", "),
            of_import: [
                literal::text(&new.tenant),
                format!("{}::jsonb", literal::text(&labels)),
                literal::or_null(layout.as_deref().map(literal::bytes)),
                literal::or_null(retention.map(|it| it.to_string())),
                literal::or_null(new.file_sha256.map(|sha256| literal::bytes(&sha256))),
            ],
        }
    }
}

/// A name that is stored for display only, as the database can store it.
fn shown(name: &str) -> String {
    name.replace('\0', "\u{fffd}")
}

/// Inserts a session; what the one before it received, and a cancel request that it has not
/// obeyed, carry over.
async fn insert_session(
    transaction: &mut Transaction,
    ledger: Ledger<'_>,
    import: i64,
    epoch: u64,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO rowlift.sessions (import, epoch, server, lease_until, cancel_requested_at, \
         cancel_reason, received_bytes, received_rows) \
         SELECT $1, $2, $3, {lease}, o.cancel_requested_at, o.cancel_reason, \
         coalesce(o.received_bytes, 0), coalesce(o.received_rows, 0) FROM (SELECT) AS one \
         LEFT JOIN LATERAL (SELECT * FROM rowlift.sessions s WHERE s.import = $1 \
         ORDER BY s.epoch DESC LIMIT 1) AS o ON true",
        lease = ledger.lease_sql()
    );
    let mut parameters = PgArguments::default();
    arguments::add(&mut parameters, import);
    arguments::add(&mut parameters, bigint(epoch));
    arguments::add(&mut parameters, ledger.server);
    transaction.execute(&sql, parameters).await?;
    Ok(())
}

/// The first half of a takeover; `false` if somebody else has the epoch.
pub(super) async fn claim(
    ledger: Ledger<'_>,
    import: i64,
    epoch: u64,
) -> Result<bool, sqlx::Error> {
    let mut transaction = ledger.begin().await?;
    match insert_session(&mut transaction, ledger, import, epoch).await {
        Ok(()) => {
            transaction.commit().await?;
            Ok(true)
        }
        // The epoch is taken, or the import expired just now and is gone.
        Err(error) if matches!(error::sql_state(&error), Some("23505" | "23503")) => {
            transaction.rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The second half; `None` if the import ended or was taken over meanwhile.
async fn take_over(
    ledger: Ledger<'_>,
    new: &NewImport,
    key: SessionKey,
    takeover: Takeover,
) -> Result<Option<OpenImport>, sqlx::Error> {
    let Description { of_run, of_import } = Description::of(new);
    let (import, epoch) = (key.import, bigint(key.epoch));
    let (states, reset) = match takeover {
        Takeover::Continue => {
            let [tenant, labels, layout, retention, sha256] = of_import;
            let kept = format!(
                "tenant = coalesce(tenant, {tenant}), labels = coalesce(labels, {labels}), \
                 source_layout = coalesce(source_layout, {layout}), \
                 reject_retention_ms = least(reject_retention_ms, {retention}), \
                 file_sha256 = CASE WHEN EXISTS (SELECT FROM rowlift.import_batches b \
                 WHERE b.import = {import}) THEN file_sha256 ELSE coalesce({sha256}, file_sha256) END"
            );
            ("NOT IN (5, 6, 7)", kept)
        }
        Takeover::Anew => {
            let replaced = format!(
                "({OF_IMPORT}) = ({}), outcome = NULL, end_time = NULL, \
                 create_time = clock_timestamp()",
                of_import.join(", ")
            );
            ("= 6", replaced)
        }
    };
    let sql = format!(
        "UPDATE rowlift.imports SET epoch = {epoch}, state = 2, ({OF_RUN}) = ({of_run}), \
         failure = NULL, update_time = clock_timestamp(), expire_time = NULL, \
         rejects_expire_time = NULL, wiped = false, wiped_below = 0, {reset} \
         WHERE id = {import} AND epoch < {epoch} AND state {states} \
         RETURNING floor(extract(epoch FROM create_time) * 1000)::int8, file_sha256, \
         reject_retention_ms, tenant"
    );
    let begin = ledger.limits.begin();
    let taken = Transaction::begin(ledger.pool, &format!("{begin}{sql}")).await?;
    let (mut transaction, rows) = taken;
    let Some(row) = rows.first() else {
        transaction.rollback().await?;
        return Ok(None);
    };
    let open = read_open(&mut transaction, ledger, key, takeover, row).await?;
    transaction.commit().await?;
    Ok(Some(open))
}

async fn read_open(
    transaction: &mut Transaction,
    ledger: Ledger<'_>,
    key: SessionKey,
    takeover: Takeover,
    updated: &PgRow,
) -> Result<OpenImport, sqlx::Error> {
    let SessionKey { import, epoch } = key;
    let mut tidy = format!(
        "DELETE FROM rowlift.sessions WHERE import = {import} AND epoch < {}",
        bigint(epoch)
    );
    if takeover == Takeover::Anew {
        let rejects = format!("; DELETE FROM rowlift.rejected_rows WHERE import = {import}");
        tidy.push_str(&rejects);
    }
    transaction.simple(&tidy).await?;
    fold::fold(transaction, import).await?;
    record::forget_undecided(transaction, import).await?;
    let progress = record::progress(transaction, import).await?;
    let above = record::ranges_above(transaction, import, progress.watermark).await?;
    let (committed_ranges, committed_position) = above;
    let file_sha256: Option<Vec<u8>> = updated.try_get(1)?;
    Ok(OpenImport {
        key,
        resumed: takeover == Takeover::Continue,
        committed_offset: progress.watermark,
        committed_hash: record::hash_below(transaction, import, progress.watermark).await?,
        committed_ranges,
        counts: progress.counts,
        committed_position,
        create_time_ms: updated.try_get(0)?,
        file_sha256: file_sha256.and_then(|sha256| sha256.try_into().ok()),
        tenant: updated.try_get(3)?,
        keeps_values: ledger.keeps_values(updated.try_get(2)?),
    })
}

//! How a session comes to hold an import.
//!
//! In: a request to begin, with what the ledger knows. Out: [`Opened`]: a new import, one that is
//! taken over with what earlier sessions left, or the outcome of one that has ended.

use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::batches::{self, StoredRange};
use super::records::{self, Stored};
use super::{forget, json, lease_ms, now_ms, rejects, stored};
use crate::model::import::{Failure, ImportState, NewImport, Reason};
use crate::model::stats::RowCounts;
use crate::store::sqlite::error::shown;
use crate::store::sqlite::sql::{execute, fetch_one, run};
use crate::store::{OpenImport, OpenMode, Opened, Retention, SessionKey, StoreError};

/// See [`crate::store::Store::open_import`].
pub(in crate::store::sqlite) async fn open(
    connection: &mut SqliteConnection,
    new: &NewImport,
    mode: OpenMode,
    lease: Duration,
    retention: Retention,
) -> Result<Opened, StoreError> {
    execute(connection, "BEGIN IMMEDIATE").await?;
    let mut opened = match records::find(connection, &new.owner, &new.import_id).await? {
        None => {
            forget::free_id(connection, &new.owner, &new.import_id).await?;
            Opened::Running(create(connection, new, lease).await?)
        }
        Some(known) => reopen(connection, new, mode, lease, known).await?,
    };
    if let Opened::Running(open) = &mut opened {
        open.keeps_values = keeps_values(connection, open.key.import, retention).await?;
    }
    execute(connection, "COMMIT").await?;
    Ok(opened)
}

/// Whether rejected rows of the import are stored with their values.
async fn keeps_values(
    connection: &mut SqliteConnection,
    import: i64,
    retention: Retention,
) -> Result<bool, StoreError> {
    let sql = "SELECT coalesce(reject_retention_ms, ?) > 0 FROM rowlift_imports WHERE id = ?";
    let query = sqlx::query(sql)
        .bind(forget::milliseconds(retention.rejects))
        .bind(import);
    Ok(fetch_one(connection, query).await?.get(0))
}

async fn reopen(
    connection: &mut SqliteConnection,
    new: &NewImport,
    mode: OpenMode,
    lease: Duration,
    known: Stored,
) -> Result<Opened, StoreError> {
    if !new.tenant.is_empty() && new.tenant != known.tenant {
        return Err(StoreError::Failed(new.of_another_tenant()));
    }
    let ranges = batches::ranges(connection, known.id).await?;
    let committed_offset = batches::prefix(&ranges).end;
    let refuse = |reason, why: &str| {
        let message = format!("import \"{}\" {why}", shown(&new.import_id));
        let failure = Failure::new(reason, message).with("committed_offset", committed_offset);
        Err(StoreError::Failed(failure))
    };
    if known.state == ImportState::Failed && ranges.is_empty() && mode != OpenMode::Resume {
        return begin_anew(connection, new, lease, known)
            .await
            .map(Opened::Running);
    }
    if known.fingerprint != new.fingerprint {
        return refuse(
            Reason::IdConflict,
            "exists with another source, table or options",
        );
    }
    if known.state.is_terminal() {
        let record = records::record(connection, known).await?;
        return Ok(Opened::Ended(Box::new(record)));
    }
    match mode {
        OpenMode::Resume | OpenMode::Repeat => {
            let is_settled = known.is_live() || !ranges.is_empty();
            let noted = known.file_sha256.filter(|_| is_settled);
            if let Some(failure) = new.of_another_file(noted) {
                let failure = failure.with("committed_offset", committed_offset);
                return Err(StoreError::Failed(failure));
            }
            let open = take_over(connection, new, lease, known, &ranges).await?;
            Ok(Opened::Running(open))
        }
        OpenMode::Begin if known.is_live() => refuse(Reason::ImportBusy, "is running"),
        OpenMode::Begin => refuse(Reason::WrongState, "is suspended: resume it"),
    }
}

async fn create(
    connection: &mut SqliteConnection,
    new: &NewImport,
    lease: Duration,
) -> Result<OpenImport, StoreError> {
    let sql = concat!(
        "INSERT INTO rowlift_imports (owner, import_id, tenant, target_table, fingerprint, \
         file_name, file_sha256, labels, validate_only, write_method, source_layout, \
         reject_retention_ms, epoch, state, create_time_ms, update_time_ms) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 2, now_ms, now_ms \
         FROM (SELECT ",
        now_ms!(),
        " AS now_ms) RETURNING id, create_time_ms"
    );
    let query = sqlx::query(sql)
        .bind(&new.owner)
        .bind(&new.import_id)
        .bind(&new.tenant)
        .bind(&new.table)
        .bind(new.fingerprint.as_slice())
        .bind(&new.file_name)
        .bind(new.file_sha256.map(Vec::from))
        .bind(json(&new.labels)?)
        .bind(new.validate_only)
        .bind(new.write_method.number())
        .bind(layout(new)?)
        .bind(new.reject_retention.map(forget::milliseconds));
    let row = fetch_one(connection, query).await?;
    let key = SessionKey {
        import: row.get(0),
        epoch: 1,
    };
    insert_session(connection, key, &new.server, lease, None).await?;
    Ok(OpenImport {
        key,
        resumed: false,
        committed_offset: 0,
        committed_hash: 0,
        committed_ranges: Vec::new(),
        counts: RowCounts::default(),
        committed_position: None,
        create_time_ms: row.get(1),
        file_sha256: new.file_sha256,
        tenant: new.tenant.clone(),
        keeps_values: true,
    })
}

/// Of a row import, which is known from its header.
fn layout(new: &NewImport) -> Result<Option<Vec<u8>>, StoreError> {
    let json = new.layout.as_ref().map(json).transpose()?;
    Ok(json.map(String::into_bytes))
}

/// A FAILED import without a decided row, under its id once more.
async fn begin_anew(
    connection: &mut SqliteConnection,
    new: &NewImport,
    lease: Duration,
    known: Stored,
) -> Result<OpenImport, StoreError> {
    let key = next_session(connection, new, lease, &known).await?;
    rejects::delete_undecided(connection, key.import).await?;
    let sql = concat!(
        "UPDATE rowlift_imports SET tenant = ?, target_table = ?, fingerprint = ?, \
         validate_only = ?, source_layout = ?, labels = ?, reject_retention_ms = ?, \
         file_sha256 = ?, create_time_ms = ",
        now_ms!(),
        " WHERE id = ? RETURNING create_time_ms"
    );
    let query = sqlx::query(sql)
        .bind(&new.tenant)
        .bind(&new.table)
        .bind(new.fingerprint.as_slice())
        .bind(new.validate_only)
        .bind(layout(new)?)
        .bind(json(&new.labels)?)
        .bind(new.reject_retention.map(forget::milliseconds))
        .bind(new.file_sha256.map(Vec::from))
        .bind(key.import);
    let row = fetch_one(connection, query).await?;
    Ok(OpenImport {
        key,
        resumed: false,
        committed_offset: 0,
        committed_hash: 0,
        committed_ranges: Vec::new(),
        counts: RowCounts::default(),
        committed_position: None,
        create_time_ms: row.get(0),
        file_sha256: new.file_sha256,
        tenant: new.tenant.clone(),
        keeps_values: true,
    })
}

/// The next session of an import that has not ended.
async fn take_over(
    connection: &mut SqliteConnection,
    new: &NewImport,
    lease: Duration,
    known: Stored,
    ranges: &[StoredRange],
) -> Result<OpenImport, StoreError> {
    let key = next_session(connection, new, lease, &known).await?;
    // Rows beyond a reject limit whose import did not live to fail: they are sent again.
    rejects::delete_undecided(connection, key.import).await?;
    let mut file_sha256 = known.file_sha256;
    if ranges.is_empty() && new.file_sha256.is_some() {
        file_sha256 = new.file_sha256;
        let sql = "UPDATE rowlift_imports SET file_sha256 = ? WHERE id = ?";
        let query = sqlx::query(sql)
            .bind(file_sha256.map(Vec::from))
            .bind(key.import);
        run(connection, query).await?;
    }
    let prefix = batches::prefix(ranges);
    let above = &ranges[prefix.n_ranges..];
    Ok(OpenImport {
        key,
        resumed: true,
        committed_offset: prefix.end,
        committed_hash: prefix.rows_hash,
        committed_ranges: above.iter().map(|it| it.committed.clone()).collect(),
        counts: batches::total(ranges),
        committed_position: prefix.position,
        create_time_ms: known.create_time_ms,
        file_sha256,
        tenant: known.tenant,
        keeps_values: true,
    })
}

/// Gives an import to a new session: from here on the older ones are fenced.
async fn next_session(
    connection: &mut SqliteConnection,
    new: &NewImport,
    lease: Duration,
    known: &Stored,
) -> Result<SessionKey, StoreError> {
    let key = SessionKey {
        import: known.id,
        epoch: known.session.epoch.max(known.epoch) + 1,
    };
    // A request to cancel is for the import, not for the session that did not live to see it.
    let cancel = known.session.cancel_reason.as_deref();
    let cancel = cancel.filter(|_| !known.state.is_terminal());
    insert_session(connection, key, &new.server, lease, cancel).await?;
    // Tenant and labels stay those of the first request.
    let wanted = new.reject_retention.map(forget::milliseconds);
    let shortest = [known.reject_retention_ms, wanted]
        .into_iter()
        .flatten()
        .min();
    let sql = concat!(
        "UPDATE rowlift_imports SET epoch = ?, state = 2, file_name = ?, write_method = ?, \
         reject_retention_ms = ?, source_layout = coalesce(source_layout, ?), failure = NULL, \
         outcome = NULL, end_time_ms = NULL, expire_time_ms = NULL, rejects_expire_time_ms = NULL, \
         wiped = 0, wiped_below = 0, update_time_ms = ",
        now_ms!(),
        " WHERE id = ?"
    );
    let query = sqlx::query(sql)
        .bind(stored(key.epoch))
        .bind(&new.file_name)
        .bind(new.write_method.number())
        .bind(shortest)
        .bind(layout(new)?)
        .bind(key.import);
    run(connection, query).await?;
    Ok(key)
}

pub(super) async fn insert_session(
    connection: &mut SqliteConnection,
    key: SessionKey,
    server: &str,
    lease: Duration,
    cancel_reason: Option<&str>,
) -> Result<(), StoreError> {
    let sql = concat!(
        "INSERT INTO rowlift_sessions (import, epoch, server, begin_time_ms, lease_until_ms, \
         cancel_reason) SELECT ?, ?, ?, now_ms, now_ms + ?, ? FROM (SELECT ",
        now_ms!(),
        " AS now_ms)"
    );
    let query = sqlx::query(sql)
        .bind(key.import)
        .bind(stored(key.epoch))
        .bind(server)
        .bind(lease_ms(lease))
        .bind(cancel_reason);
    run(connection, query).await?;
    Ok(())
}

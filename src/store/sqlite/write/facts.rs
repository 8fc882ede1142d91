//! What of a table decides how rows are written.
//!
//! In: the plan and the catalogue as they are when a batch begins. Out: [`TableFacts`].

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, WritePlan};
use crate::store::sqlite::catalog::{default_expression, has_conflict_clause};
use crate::store::sqlite::sql::{fetch_all, fetch_optional};
use crate::store::{StoreError, WriteRequest};

/// How the rows of a piece go into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// One by one.
    Singly,
    /// Together; an INSERT that fails has done nothing.
    Undone,
    /// Together; an INSERT keeps the rows before the one that breaks a key or a check: SQLite then
    /// needs no copy of each page that the statement changes. Foreign keys are looked at when all
    /// rows are in, triggers would take the rule over, and what AUTOINCREMENT remembers is written when
    /// a statement ends well.
    Kept,
}

/// Facts of the target.
#[derive(Debug)]
pub(super) struct TableFacts {
    /// A trigger may swallow a row or undo more than it: rows go one by one, each under its own
    /// savepoint.
    pub(super) has_triggers: bool,
    /// Constraints say themselves what a conflict does. ABORT overrides them, in triggers too.
    pub(super) has_conflict_clauses: bool,
    /// How rows go.
    pub(super) pieces: Pieces,
    /// Expressions of the planned columns' defaults, where an update may need them.
    pub(super) defaults: Vec<Option<String>>,
}

impl TableFacts {
    /// Reads them from the catalogue.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        request: &WriteRequest<'_>,
    ) -> Result<TableFacts, StoreError> {
        let plan = request.plan;
        let sql = "SELECT sql, EXISTS (SELECT 1 FROM sqlite_master t WHERE t.type = 'trigger' \
                   AND t.tbl_name = m.name COLLATE NOCASE) \
                   FROM sqlite_master m WHERE m.type = 'table' AND m.name = ?";
        let name = &plan.table.name.name;
        let row = fetch_optional(connection, sqlx::query(sql).bind(name)).await?;
        // A table that is gone shows in the first INSERT.
        let has_triggers = row.as_ref().is_some_and(|row| row.get::<bool, _>(1));
        let has_conflict_clauses = row
            .as_ref()
            .is_some_and(|row| has_conflict_clause(row.get(0)));
        // The word in a name or a comment does no harm.
        let has_autoincrement = row.as_ref().is_some_and(|row| {
            let sql = row.get::<&str, _>(0).to_ascii_uppercase();
            sql.contains("AUTOINCREMENT")
        });
        let is_row_method = matches!(
            plan.method,
            WriteMethod::Sequential | WriteMethod::Concurrent
        );
        let updates = matches!(plan.on_conflict, OnConflict::Update { .. });
        let singly = is_row_method
            || request.probe_first
            || has_triggers
            || has_conflict_clauses
            || is_order_seen(plan)
            || (updates && updates_a_parent(connection, plan).await?);
        Ok(TableFacts {
            has_triggers,
            has_conflict_clauses,
            pieces: if singly {
                Pieces::Singly
            } else if updates || has_autoincrement || !plan.table.foreign_keys.is_empty() {
                Pieces::Undone
            } else {
                Pieces::Kept
            },
            defaults: if updates {
                defaults(connection, plan).await?
            } else {
                vec![None; plan.columns.len()]
            },
        })
    }
}

/// Whether what becomes of a row may depend on what a later row of the same statement does, or
/// has to be known of each row: SQLite looks at foreign keys when a statement ends.
fn is_order_seen(plan: &WritePlan) -> bool {
    plan.table.foreign_keys.iter().any(|key| {
        let name = &key.foreign_table.name;
        if key.deferred {
            // A row that was skipped is not to blame.
            plan.conflict_key().is_some()
        } else {
            name.eq_ignore_ascii_case(&plan.table.name.name)
        }
    })
}

/// Whether an update may change what rows of any table refer to.
async fn updates_a_parent(
    connection: &mut SqliteConnection,
    plan: &WritePlan,
) -> Result<bool, StoreError> {
    let sql = "SELECT f.\"to\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f \
               WHERE m.type = 'table' AND f.\"table\" = ? COLLATE NOCASE";
    let query = sqlx::query(sql).bind(&plan.table.name.name);
    let referenced = fetch_all(connection, query).await?;
    let primary = plan.table.unique_keys.iter().find(|key| key.primary);
    let is_updated = |name: &str| {
        let key = plan.conflict_key();
        let is_key = |name: &String| key.is_some_and(|key| key.columns.contains(name));
        (0..plan.columns.len()).any(|index| {
            let column = &plan.column(index).name;
            let is_set = !plan.columns[index].insert_only && !is_key(column);
            is_set && column.eq_ignore_ascii_case(name)
        })
    };
    Ok(referenced
        .iter()
        .any(|row| match row.get::<Option<&str>, _>(0) {
            Some(name) => is_updated(name),
            None => primary.is_some_and(|key| key.columns.iter().any(|name| is_updated(name))),
        }))
}

async fn defaults(
    connection: &mut SqliteConnection,
    plan: &WritePlan,
) -> Result<Vec<Option<String>>, StoreError> {
    let sql = "SELECT name, dflt_value FROM pragma_table_xinfo(?, 'main')";
    let query = sqlx::query(sql).bind(&plan.table.name.name);
    let rows = fetch_all(connection, query).await?;
    let default = |index: usize| {
        let column = plan.column(index);
        let row = rows
            .iter()
            .find(|row| row.get::<&str, _>(0) == column.name)?;
        let default: Option<&str> = row.get(1);
        default
            .filter(|_| column.has_default)
            .map(default_expression)
    };
    Ok((0..plan.columns.len()).map(default).collect())
}

//! What single tables bear: so many writers at once, so many rows a second.
//!
//! In: the file of limits, as it is now, and batches. Out: a batch's turn, and a writer's place of its
//! table that travels with it ([`Taken`]). A batch waits here before it pays for memory and before
//! a writer is taken for it, so that a table with limits never holds what other tables want. First
//! come, first served, for all imports of a table together; a dropped wait has taken nothing. A
//! table without limits costs nothing.
//!
//! One transaction for all rows (ATOMIC, dry runs) holds one of the table's writers throughout, and
//! does not pause between its batches, which would keep a writer idle: its rows are owed once they
//! are committed, and what comes after it into the table waits until they are paid off.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::budget::{Budget, Taken};
use crate::model::table::TableName;

use pace::Pace;

mod pace;

/// Who waits for a turn looks at the limits this often: they may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Tables whose state is kept although nobody uses them.
const TABLES_MAX: usize = 1000;
/// One of so many of a table's writers may serve transactions that hold it for all their rows.
const WHOLE_SHARE: usize = 2;

/// The limits: the first entry that fits a table holds, for each such table by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLimits {
    #[serde(default)]
    tables: Vec<TableLimit>,
}

/// The limits of some tables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLimit {
    /// `schema.table`; `*` stands for any run of characters.
    pub name: String,
    /// Batches that are written at once; unset: as many as there are writers.
    #[serde(default)]
    pub writers_max: Option<usize>,
    /// Rows that are written in a second, on average; unset: as many as can be.
    #[serde(default)]
    pub rows_per_second_max: Option<u64>,
}

/// How the limits are found out.
type Look = dyn Fn() -> Arc<TableLimits> + Send + Sync;

/// All tables that have limits.
#[derive(Clone, Default)]
pub struct Tables {
    /// `None`: no table has any.
    look: Option<Arc<Look>>,
    gates: Arc<Mutex<HashMap<TableName, Arc<State>>>>,
}

/// The way into one table.
#[derive(Clone, Default)]
pub struct Gate {
    /// `None`: open.
    limited: Option<Limited>,
}

#[derive(Clone)]
struct Limited {
    table: TableName,
    look: Arc<Look>,
    state: Arc<State>,
}

/// What is going on in one table.
#[derive(Debug, Default)]
struct State {
    writers: Arc<Budget>,
    /// Writers of one transaction for all rows.
    whole: Arc<Budget>,
    /// Held by whoever is next; fair.
    line: tokio::sync::Mutex<()>,
    pace: Mutex<Pace>,
}

// === impl TableLimits ===

impl TableLimits {
    /// Parses a file of limits; the error names the line. Tables without a schema are those of
    /// `default_schema`.
    pub fn parse(text: &str, default_schema: &str) -> Result<TableLimits, String> {
        let mut limits: TableLimits = toml::from_str(text).map_err(|error| error.to_string())?;
        for limit in &mut limits.tables {
            for (key, value) in [
                ("writers_max", limit.writers_max.map(|n| n as u64)),
                ("rows_per_second_max", limit.rows_per_second_max),
            ] {
                if value == Some(0) {
                    return Err(format!("{:?}: {key} must be at least 1", limit.name));
                }
            }
            if !limit.name.contains('.') {
                limit.name = format!("{default_schema}.{}", limit.name);
            }
        }
        Ok(limits)
    }

    fn of(&self, table: &TableName) -> Option<&TableLimit> {
        // Each has its schema.
        self.tables.iter().find(|it| table.fits(&it.name, ""))
    }
}

// === impl Tables ===

impl Tables {
    /// Tables whose limits are what `look` returns, whenever it is asked.
    pub fn new(look: impl Fn() -> Arc<TableLimits> + Send + Sync + 'static) -> Tables {
        Tables {
            look: Some(Arc::new(look)),
            gates: Arc::default(),
        }
    }

    /// The way into a table.
    pub fn gate(&self, table: &TableName) -> Gate {
        let Some(look) = &self.look else {
            return Gate::default();
        };
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= TABLES_MAX && !gates.contains_key(table) {
            let limits = look();
            gates.retain(|table, state| {
                Arc::strong_count(state) > 1 || !state.is_idle(limits.of(table))
            });
        }
        let state = Arc::clone(gates.entry(table.clone()).or_default());
        Gate {
            limited: Some(Limited {
                table: table.clone(),
                look: Arc::clone(look),
                state,
            }),
        }
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables")
            .field("has_limits", &self.look.is_some())
            .finish_non_exhaustive()
    }
}

// === impl Gate ===

impl Gate {
    /// Waits for a batch's turn, then for a writer of the table. Cancel safe: only a wait that
    /// ends owes the rows.
    pub async fn enter(&self, n_rows: usize) -> Option<Taken> {
        let limited = self.limited.as_ref()?;
        let _turn = limited.state.line.lock().await;
        limited.paid_off().await;
        // Who has a writer waits for nothing of the table any more.
        let writer = limited.writer().await;
        self.owe(n_rows);
        Some(writer)
    }

    /// Waits for the right of one transaction to take all of an import's rows into the table; a
    /// writer of it is still to be waited for. Cancel safe.
    pub async fn enter_whole(&self) -> Option<Taken> {
        let limited = self.limited.as_ref()?;
        let budget = &limited.state.whole;
        let place = budget
            .take(1, || (limited.writers_max() / WHOLE_SHARE).max(1))
            .await;
        let _turn = limited.state.line.lock().await;
        limited.paid_off().await;
        Some(place)
    }

    /// Waits for a writer of the table. Cancel safe.
    pub async fn writer(&self) -> Option<Taken> {
        match &self.limited {
            Some(limited) => Some(limited.writer().await),
            None => None,
        }
    }

    /// Rows go into the table without a wait: they are owed.
    pub fn owe(&self, n_rows: usize) {
        if let Some(limited) = &self.limited
            && let Some(rate) = limited.rows_per_second_max()
        {
            let mut pace = limited.state.pace();
            pace.owe(n_rows, Instant::now(), rate);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.limited.as_ref().map(|limited| &limited.table);
        f.debug_tuple("Gate").field(&table).finish()
    }
}

impl Limited {
    fn writers_max(&self) -> usize {
        let limits = (self.look)();
        let limit = limits.of(&self.table).and_then(|it| it.writers_max);
        limit.unwrap_or(usize::MAX)
    }

    fn rows_per_second_max(&self) -> Option<u64> {
        let limits = (self.look)();
        limits.of(&self.table).and_then(|it| it.rows_per_second_max)
    }

    async fn writer(&self) -> Taken {
        self.state.writers.take(1, || self.writers_max()).await
    }

    /// Waits until no row is owed.
    async fn paid_off(&self) {
        while let Some(rate) = self.rows_per_second_max() {
            let wait = self.state.pace().wait(Instant::now(), rate);
            if wait.is_zero() {
                return;
            }
            tokio::time::sleep(wait.min(LOOK_EVERY)).await;
        }
    }
}

impl State {
    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether forgetting it makes no difference.
    fn is_idle(&self, limit: Option<&TableLimit>) -> bool {
        let rate = limit.and_then(|it| it.rows_per_second_max);
        let owes = rate.is_some_and(|rate| !self.pace().wait(Instant::now(), rate).is_zero());
        self.writers.n_taken() == 0 && self.whole.n_taken() == 0 && !owes
    }
}

#[cfg(test)]
mod tests;

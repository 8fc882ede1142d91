//! Tables that were read a moment ago.
//!
//! In: what the catalogue said, and when. Out: the same for as long as it may be out of date:
//! [`TABLES_AGE_MAX`] for the list of all, [`TABLE_AGE_MAX`] for one. Bounded by
//! [`RECENT_TABLES_MAX`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::model::table::Table;

/// How long a list of tables may be out of date.
const TABLES_AGE_MAX: Duration = Duration::from_mins(1);
/// How long a table's description is used again: reading the catalogue takes as long as a small
/// import. A batch that meets a change of the table in between ends SCHEMA_CHANGED.
const TABLE_AGE_MAX: Duration = Duration::from_secs(1);
/// Tables that are kept.
const RECENT_TABLES_MAX: usize = 1000;

/// Descriptions, each with the moment at which it was read.
#[derive(Debug, Default)]
pub(super) struct KnownTables {
    /// The last list of all tables.
    all: Mutex<Option<(Instant, Vec<Arc<Table>>)>>,
    /// Single ones by the name that was asked for.
    recent: Mutex<HashMap<String, (Instant, Arc<Table>)>>,
}

impl KnownTables {
    /// All tables, if they were read lately.
    pub(super) fn all(&self) -> Option<Vec<Arc<Table>>> {
        let all = locked(&self.all);
        let (read, tables) = all.as_ref()?;
        (read.elapsed() < TABLES_AGE_MAX).then(|| tables.clone())
    }

    /// They were read now.
    pub(super) fn remember_all(&self, tables: &[Arc<Table>]) {
        *locked(&self.all) = Some((Instant::now(), tables.to_vec()));
    }

    /// The table that was asked for by this name, if it was read lately.
    pub(super) fn one(&self, name: &str) -> Option<Arc<Table>> {
        let recent = locked(&self.recent);
        let (read, table) = recent.get(name)?;
        (read.elapsed() < TABLE_AGE_MAX).then(|| Arc::clone(table))
    }

    /// It was read now.
    pub(super) fn remember(&self, name: &str, table: &Arc<Table>) {
        let mut recent = locked(&self.recent);
        if recent.len() >= RECENT_TABLES_MAX {
            recent.retain(|_, (read, _)| read.elapsed() < TABLE_AGE_MAX);
        }
        if recent.len() < RECENT_TABLES_MAX {
            recent.insert(name.to_owned(), (Instant::now(), Arc::clone(table)));
        }
    }

    /// Those of another database come now.
    pub(super) fn forget(&self) {
        *locked(&self.all) = None;
        locked(&self.recent).clear();
    }
}

fn locked<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().expect("no panic while it is locked")
}

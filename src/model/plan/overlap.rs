//! Which batches of an import may be written at the same time.
//!
//! In: a plan. Out: an [`Overlap`]. The outcome of an import is that of writing its rows one by one
//! in source order, so rows that may meet are written in that order: batches run at the same time
//! where rows cannot meet, or where the keys of their rows tell that they do not. Pure.

use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, WritePlan};
use crate::model::table::{Meets, UniqueKey};

/// Which batches of an import may be written at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlap {
    /// All: rows of the import meet nowhere.
    Free,
    /// Those whose rows have nothing in common in any of these keys: rows meet in no other.
    Keyed(Vec<MeetingKey>),
    /// None: where rows meet, only the database can tell.
    OneByOne,
}

/// A unique key in which rows meet, all of whose columns are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetingKey {
    /// Its columns, in order. Never empty.
    pub columns: Vec<MeetingColumn>,
    /// Rows with a NULL in the key meet, too.
    pub nulls_alike: bool,
}

/// A column of such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeetingColumn {
    /// Index into [`WritePlan::columns`].
    pub index: usize,
    /// A row without a value gets one that nobody knows here.
    pub has_default: bool,
}

impl WritePlan {
    /// Which batches may be written at the same time.
    pub fn overlap(&self) -> Overlap {
        let excluded = &self.table.excluded_columns;
        if self.method == WriteMethod::Sequential || excluded.iter().any(|it| self.maps(it)) {
            return Overlap::OneByOne;
        }
        let keys = self.table.unique_keys.iter();
        let meeting: Vec<&UniqueKey> = keys.filter(|key| self.may_meet_in(key)).collect();
        if meeting.is_empty() {
            return Overlap::Free;
        }
        if self.order_shows() || self.gives_up_keys() {
            return Overlap::OneByOne;
        }
        let keys = meeting.into_iter().map(|key| self.meeting_key(key));
        keys.collect::<Option<_>>()
            .map_or(Overlap::OneByOne, Overlap::Keyed)
    }

    /// Whether rows may meet in a key.
    fn may_meet_in(&self, key: &UniqueKey) -> bool {
        // What is not mapped is the default's: the same in every row, or not, nobody knows. NULL,
        // without one, is never the same.
        let may_repeat = |name: &String| self.maps(name) || self.has_default(name);
        // A key that reads no plain column (expressions only) may be fed by anything, and one over
        // a generated column by what that is made of.
        key.columns.is_empty()
            || key.meets == Meets::Derived
            || (key.columns.iter().any(|name| self.maps(name))
                && (!key.plain || key.columns.iter().all(may_repeat)))
    }

    /// Whether what becomes of a row depends on others by more than unique keys.
    fn order_shows(&self) -> bool {
        let table = &self.table;
        // A row may be the parent of one that comes later. A policy's check may read the table.
        let mut to_itself = table
            .foreign_keys
            .iter()
            .filter(|key| key.foreign_table == table.name)
            .flat_map(|key| &key.columns);
        table.order_shows_on_insert
            || table.order_shows_on_update && self.updates()
            || table.row_security
            || to_itself.any(|name| self.maps(name) || self.has_default(name))
    }

    /// Whether an updated row may leave a unique key to a later row, or come to one: what it had
    /// there before is not among the values of any batch. The key that rows meet by stays.
    fn gives_up_keys(&self) -> bool {
        let OnConflict::Update { key, .. } = self.on_conflict else {
            return false;
        };
        let others = self.table.unique_keys.iter().enumerate();
        let mut others = others.filter(|(at, _)| *at != key);
        others.any(|(_, other)| !other.plain || other.columns.iter().any(|name| self.maps(name)))
    }

    /// The key by the columns of the plan; `None`: rows do not tell where they meet.
    fn meeting_key(&self, key: &UniqueKey) -> Option<MeetingKey> {
        let nulls_alike = match key.meets {
            Meets::NullsApart => false,
            Meets::NullsAlike => true,
            Meets::Untold | Meets::Derived => return None,
        };
        let columns = key.columns.iter().map(|name| {
            Some(MeetingColumn {
                index: self.index_of(name)?,
                has_default: self.has_default(name),
            })
        });
        let columns: Vec<MeetingColumn> = columns.collect::<Option<_>>()?;
        (!columns.is_empty()).then_some(MeetingKey {
            columns,
            nulls_alike,
        })
    }

    fn updates(&self) -> bool {
        matches!(self.on_conflict, OnConflict::Update { .. })
    }

    fn maps(&self, name: &str) -> bool {
        self.index_of(name).is_some()
    }

    /// Whether a row without a value gets one; a column that is not known counts as such.
    fn has_default(&self, name: &str) -> bool {
        let column = self.table.column_index(name);
        column.is_none_or(|at| self.table.columns[at].has_default)
    }
}

#[cfg(test)]
mod tests;

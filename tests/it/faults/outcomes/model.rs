//! What writing rows one by one makes of a table with three unique keys.
//!
//! In: rows of which 1 % break exactly one key. Out: the table, the counts and the rejected rows.

use std::collections::{BTreeMap, HashMap, HashSet};

use rowlift::proto::ConflictAction;

/// A row's number, and the cell and the constraint of its error.
pub(super) type Rejected = (i64, String, String);

/// A row.
#[derive(Debug, Clone)]
pub(super) struct KeyedRow {
    pub(super) id: u64,
    pub(super) email: String,
    pub(super) code: String,
    pub(super) name: String,
}

/// What becomes of rows.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) n_inserted: usize,
    pub(super) n_updated: usize,
    pub(super) n_skipped: usize,
    pub(super) rejected: Vec<Rejected>,
    by_email: HashMap<String, KeyedRow>,
    ids: HashSet<u64>,
    codes: HashSet<String>,
}

/// Rows of which every hundredth has the id, the email or the code of one before it: of the
/// neighbour, of one in another batch, or of one that has itself repeated a key.
pub(super) fn rows(n_rows: u64) -> Vec<KeyedRow> {
    let mut rows: Vec<KeyedRow> = Vec::new();
    for n in 0..n_rows {
        let mut row = KeyedRow {
            id: n,
            email: format!("{n}@x"),
            code: format!("c{n}"),
            name: format!("name {n}"),
        };
        if n % 100 == 99 {
            let repeat = n / 100;
            let back = [1, 50, 100, n / 2][usize::try_from(repeat / 3 % 4).unwrap()];
            let earlier = &rows[usize::try_from(n - back).unwrap()];
            match repeat % 3 {
                0 => row.id = earlier.id,
                1 => row.email.clone_from(&earlier.email),
                _ => row.code.clone_from(&earlier.code),
            }
        }
        rows.push(row);
    }
    rows
}

/// Writes the rows in their order; the key of SKIP and UPDATE is the email.
pub(super) fn one_by_one(rows: &[KeyedRow], action: ConflictAction) -> Outcome {
    let mut outcome = Outcome::default();
    for (at, row) in rows.iter().enumerate() {
        outcome.write(i64::try_from(at).unwrap() + 2, row, action);
    }
    outcome
}

impl Outcome {
    fn write(&mut self, row_number: i64, row: &KeyedRow, action: ConflictAction) {
        let old = self.by_email.get(&row.email).cloned();
        if old.is_some() && action == ConflictAction::Skip {
            self.n_skipped += 1;
            return;
        }
        let is_update = action == ConflictAction::Update;
        let own = old.as_ref().filter(|_| is_update);
        let broken = if self.ids.contains(&row.id) && own.is_none_or(|own| own.id != row.id) {
            Some(("A", "keyed_pkey"))
        } else if old.is_some() && !is_update {
            Some(("B", "keyed_email_key"))
        } else if self.codes.contains(&row.code) && own.is_none_or(|own| own.code != row.code) {
            Some(("C", "keyed_code_key"))
        } else {
            None
        };
        if let Some((column, constraint)) = broken {
            let cell = format!("{column}{row_number}");
            self.rejected
                .push((row_number, cell, constraint.to_owned()));
            return;
        }
        if let Some(old) = old {
            self.ids.remove(&old.id);
            self.codes.remove(&old.code);
            self.n_updated += 1;
        } else {
            self.n_inserted += 1;
        }
        self.ids.insert(row.id);
        self.codes.insert(row.code.clone());
        self.by_email.insert(row.email.clone(), row.clone());
    }

    /// The rows in the table by id, as a query returns them.
    pub(super) fn table(&self) -> Vec<Vec<Option<String>>> {
        let by_id: BTreeMap<u64, &KeyedRow> =
            self.by_email.values().map(|row| (row.id, row)).collect();
        let cells = |row: &&KeyedRow| {
            let KeyedRow {
                id,
                email,
                code,
                name,
            } = *row;
            let id = id.to_string();
            [&id, email, code, name]
                .map(|cell| Some(cell.clone()))
                .to_vec()
        };
        by_id.values().map(cells).collect()
    }
}

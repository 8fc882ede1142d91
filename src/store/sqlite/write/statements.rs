//! The statements of a run, and the values that they take.
//!
//! In: the plan, a [`Shape`]. Out: SQL for one row or many. A row's statements are tried in this
//! order, inside one command for many rows:
//!
//! ```text
//! INSERT .. [ON CONFLICT (key) DO NOTHING]            1: a new row
//! UPDATE .. WHERE changes() = 0 AND key AND distinct  1: updated, else unchanged
//! SELECT distinct .. WHERE key                        what is there, where 0 may mean more
//! ```

use sqlx::sqlite::SqliteArguments;

use super::facts::TableFacts;
use super::key::MeetingKey;
use super::shape::{Shape, Treatment};
use crate::model::plan::{OnConflict, WritePlan};
use crate::model::value::Row;
use crate::store::identifier::{Identifier, QualifiedName, quoted_list};
use crate::store::sqlite::encode;

/// One statement among those of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Opens the row's savepoint.
    Open,
    Insert,
    Update,
    /// Asks for the row that has the key: whether an update would change it.
    Look,
    /// Releases the row's savepoint.
    Close,
}

/// The statements of a run.
#[derive(Debug)]
pub(super) struct Statements {
    /// Indexes of the planned columns that an INSERT lists.
    inserted: Vec<usize>,
    /// Indexes of the planned columns whose values an UPDATE takes.
    updated: Vec<usize>,
    /// What an INSERT of one row, or one that is undone as a whole, begins with.
    verb: &'static str,
    /// ` t (a, b) VALUES `.
    head: String,
    /// `(?,?)`; empty for DEFAULT VALUES.
    group: String,
    /// ` ON CONFLICT (a) DO NOTHING`.
    tail: String,
    /// What stands in its place to update the rows that are there; `None` if that takes a
    /// statement a row.
    update_tail: Option<String>,
    /// The statements of one row.
    row: Vec<(Step, String)>,
}

impl Statements {
    pub(super) fn new(
        plan: &WritePlan,
        facts: &TableFacts,
        key: Option<&MeetingKey<'_>>,
        shape: &Shape,
    ) -> Statements {
        let treated = |which: &'static [Treatment]| {
            let columns = shape.columns.iter().enumerate();
            columns.filter_map(move |(index, it)| which.contains(it).then_some(index))
        };
        let tail = key.map(|key| key.target() + " DO NOTHING");
        let table = QualifiedName::from(&plan.table.name);
        let inserted: Vec<usize> =
            treated(&[Treatment::Given, Treatment::Present, Treatment::Kept]).collect();
        let names = inserted.iter().map(|it| plan.column(*it).name.as_str());
        let (head, group) = match inserted.len() {
            0 => (format!(" {table} DEFAULT VALUES"), String::new()),
            n_columns => {
                let names = quoted_list(names);
                let group = format!("({})", vec!["?"; n_columns].join(","));
                (format!(" {table} ({names}) VALUES "), group)
            }
        };
        let mut statements = Statements {
            updated: Vec::new(),
            update_tail: None,
            row: Vec::new(),
            tail: tail.unwrap_or_default(),
            verb: insert_verb(facts),
            inserted,
            head,
            group,
        };
        let mut row = Vec::new();
        if !shape.is_update_only {
            row.push((Step::Insert, statements.insert(1)));
        }
        if let Some(key) = key {
            let changes = Changes::new(plan, facts, key, shape);
            row.extend(changes.statements(plan, facts, key, shape));
            if changes.is_repeatable && key.holds_every_row() {
                statements.update_tail = Some(changes.tail(key));
            }
            statements.updated = changes.values;
        }
        if facts.has_triggers {
            row.insert(0, (Step::Open, "SAVEPOINT rowlift_row".to_owned()));
            row.push((Step::Close, "RELEASE rowlift_row".to_owned()));
        }
        statements.row = row;
        statements
    }

    /// Parameters of one row of [`insert`](Self::insert).
    pub(super) fn n_inserted(&self) -> usize {
        self.inserted.len()
    }

    /// One INSERT of several rows; one that fails has done nothing.
    pub(super) fn insert(&self, n_rows: usize) -> String {
        self.many(self.verb, n_rows, &self.tail)
    }

    /// One INSERT of several rows that keeps those before the one it fails at, for
    /// [`Pieces::Kept`](super::facts::Pieces::Kept).
    pub(super) fn insert_together(&self, n_rows: usize) -> String {
        self.many("INSERT OR FAIL INTO", n_rows, &self.tail)
    }

    /// One statement that updates the rows that are there; `None` if that takes a statement a
    /// row, empty if nothing of them is updated.
    pub(super) fn update(&self, n_rows: usize) -> Option<String> {
        let tail = self.update_tail.as_deref()?;
        Some(match tail {
            "" => String::new(),
            tail => self.many(self.verb, n_rows, tail),
        })
    }

    fn many(&self, verb: &str, n_rows: usize, tail: &str) -> String {
        let mut sql = format!("{verb}{}", self.head);
        for index in 0..n_rows {
            sql.push_str(if index == 0 { "" } else { "," });
            sql.push_str(&self.group);
        }
        sql.push_str(tail);
        sql
    }

    /// All statements of several rows, one row after the other.
    pub(super) fn singly(&self, n_rows: usize) -> String {
        let mut one = String::new();
        for (_, sql) in &self.row {
            one.push_str(sql);
            one.push(';');
        }
        one.repeat(n_rows)
    }

    /// What [`singly`](Self::singly) does for each row.
    pub(super) fn steps(&self) -> impl ExactSizeIterator<Item = Step> + '_ {
        self.row.iter().map(|(step, _)| *step)
    }

    /// Adds a row's values for [`insert`](Self::insert) and [`update`](Self::update).
    pub(super) fn bind<'q>(
        &self,
        plan: &WritePlan,
        row: Row<'q>,
        arguments: &mut SqliteArguments<'q>,
    ) {
        bind_all(plan, row, &self.inserted, arguments);
    }

    /// Adds a row's values for [`singly`](Self::singly).
    pub(super) fn bind_singly<'q>(
        &self,
        plan: &WritePlan,
        key: Option<&MeetingKey<'_>>,
        row: Row<'q>,
        arguments: &mut SqliteArguments<'q>,
    ) {
        for step in self.steps() {
            match (step, key) {
                (Step::Insert, _) => bind_all(plan, row, &self.inserted, arguments),
                (Step::Update, Some(key)) => {
                    bind_all(plan, row, &self.updated, arguments);
                    key.bind(plan, row, arguments);
                    bind_all(plan, row, &self.updated, arguments);
                }
                (Step::Look, Some(key)) => {
                    bind_all(plan, row, &self.updated, arguments);
                    key.bind(plan, row, arguments);
                }
                (Step::Open | Step::Close | Step::Update | Step::Look, _) => {}
            }
        }
    }
}

fn bind_all<'q>(
    plan: &WritePlan,
    row: Row<'q>,
    columns: &[usize],
    arguments: &mut SqliteArguments<'q>,
) {
    for index in columns {
        encode::bind(arguments, row.value(*index), &plan.column(*index).ty);
    }
}

fn insert_verb(facts: &TableFacts) -> &'static str {
    if facts.has_conflict_clauses {
        "INSERT OR ABORT INTO"
    } else {
        "INSERT INTO"
    }
}

/// What an update does to a row that is there.
struct Changes {
    /// Columns whose values are parameters.
    values: Vec<usize>,
    /// Quoted names with what they become: an expression over a parameter, and the same over
    /// `excluded`.
    set: Vec<(String, String, String)>,
    /// Done twice, it does nothing the second time.
    is_repeatable: bool,
}

impl Changes {
    fn new(plan: &WritePlan, facts: &TableFacts, key: &MeetingKey<'_>, shape: &Shape) -> Changes {
        let mut changes = Changes {
            values: Vec::new(),
            set: Vec::new(),
            is_repeatable: true,
        };
        if !matches!(plan.on_conflict, OnConflict::Update { .. }) {
            return changes;
        }
        for (index, treatment) in shape.columns.iter().enumerate() {
            if key.reads(index) || plan.columns[index].insert_only {
                continue;
            }
            let name = Identifier::new(&plan.column(index).name).to_string();
            let (value, excluded) = match treatment {
                Treatment::Left => continue,
                Treatment::Given | Treatment::Present => {
                    ("?".to_owned(), format!("excluded.{name}"))
                }
                Treatment::Kept => (
                    format!("coalesce(?, {name})"),
                    format!("coalesce(excluded.{name}, {name})"),
                ),
                Treatment::Default => {
                    changes.is_repeatable = false;
                    // The rowid's default is a new one: a row that is there keeps its own.
                    let Some(default) = &facts.defaults[index] else {
                        continue;
                    };
                    (default.clone(), default.clone())
                }
            };
            if *treatment != Treatment::Default {
                changes.values.push(index);
            }
            changes.set.push((name, value, excluded));
        }
        changes
    }

    /// What comes after a row's INSERT.
    fn statements(
        &self,
        plan: &WritePlan,
        facts: &TableFacts,
        key: &MeetingKey<'_>,
        shape: &Shape,
    ) -> Vec<(Step, String)> {
        let mut statements = Vec::new();
        let table = QualifiedName::from(&plan.table.name);
        let condition = key.condition(plan);
        let of = self.set.iter();
        let distinct: Vec<String> = of.map(|(name, value, _)| distinct(name, value)).collect();
        let distinct = distinct.join(" OR ");
        if !self.set.is_empty() {
            let verb = if facts.has_conflict_clauses {
                "UPDATE OR ABORT"
            } else {
                "UPDATE"
            };
            let set = self
                .set
                .iter()
                .map(|(name, value, _)| format!("{name} = {value}"));
            let set = set.collect::<Vec<String>>().join(", ");
            let unless = if shape.is_update_only {
                ""
            } else {
                "changes() = 0 AND "
            };
            let sql =
                format!("{verb} {table} SET {set} WHERE {unless}{condition} AND ({distinct})");
            statements.push((Step::Update, sql));
        }
        let updates = matches!(plan.on_conflict, OnConflict::Update { .. });
        if shape.is_update_only || facts.has_triggers || (updates && key.has_expressions()) {
            let seen = match distinct.as_str() {
                "" => "0".to_owned(),
                distinct => format!("({distinct})"),
            };
            let sql = format!("SELECT {seen} FROM {table} WHERE {condition}");
            statements.push((Step::Look, sql));
        }
        statements
    }

    /// The tail of an INSERT that updates; empty if nothing is.
    fn tail(&self, key: &MeetingKey<'_>) -> String {
        if self.set.is_empty() {
            return String::new();
        }
        let set = self.set.iter();
        let set = set.map(|(name, _, excluded)| format!("{name} = {excluded}"));
        let set = set.collect::<Vec<String>>().join(", ");
        let of = self.set.iter();
        let of = of.map(|(name, _, excluded)| distinct(name, excluded));
        let of = of.collect::<Vec<String>>().join(" OR ");
        format!("{} DO UPDATE SET {set} WHERE {of}", key.target())
    }
}

/// Whether a column's value is another one: of texts, another spelling too.
fn distinct(name: &str, value: &str) -> String {
    format!("{name} COLLATE BINARY IS NOT {value}")
}

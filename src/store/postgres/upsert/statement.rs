//! The statements that write staged rows, as SQL whose only literals are numbers and what the
//! database itself named.
//!
//! In: a plan with what the catalogue adds to it, a pattern, rows. Out: SQL for simple queries. Rows
//! come out of [`super::stage`]'s table; its names and the target's never meet unqualified but
//! where the key's terms are read, one relation at a time. Pure.

use std::fmt::Write as _;

use crate::model::plan::{OnConflict, WritePlan};
use crate::model::table::{ColumnType, UniqueKey};
use crate::store::copying::CopyFormat;
use crate::store::identifier::{Identifier, QualifiedName, quoted_list};

use super::super::types::TableTypes;
use super::pattern::{Fill, Pattern, settable};
use super::target::{Target, free_name};

/// The staged rows.
pub(super) const STAGE: &str = "pg_temp.rowlift_stage";

/// A setting of the transaction in which a watched statement leaves what it met.
const MET: &str = "rowlift.met";

/// What is the same for all statements of a batch.
#[derive(Debug)]
pub(super) struct Statements<'a> {
    plan: &'a WritePlan,
    key: &'a UniqueKey,
    target: &'a Target,
    types: &'a TableTypes,
    /// The stage's column of positions in the batch.
    pub(super) ord: String,
    /// The stage's column of patterns.
    pub(super) pattern: String,
    /// Names for the values of the key's terms.
    keys: Vec<String>,
}

/// A row that an update would change, as the database found it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// `tableoid`.
    pub(super) relation: i64,
    /// `ctid`.
    pub(super) tid: String,
}

impl<'a> Statements<'a> {
    pub(super) fn new(
        plan: &'a WritePlan,
        key: &'a UniqueKey,
        target: &'a Target,
        types: &'a TableTypes,
    ) -> Statements<'a> {
        let keys = (0..key.terms.len()).map(|at| free_name(plan, &format!("rowlift_key_{at}")));
        Statements {
            plan,
            key,
            target,
            types,
            ord: free_name(plan, "rowlift_ord"),
            pattern: free_name(plan, "rowlift_pattern"),
            keys: keys.collect(),
        }
    }

    /// The stage, made anew for the transaction, or emptied if an earlier batch of it made it.
    pub(super) fn create_stage(&self) -> String {
        let columns = (0..self.plan.columns.len()).map(|at| {
            let (ty, collate) = if is_staged_as_text(&self.plan.column(at).ty) {
                ("text", "")
            } else {
                let collate = self.target.columns[at].collate.as_str();
                (self.types.columns[at].name.as_str(), collate)
            };
            format!("{} {ty}{collate}", self.name(at))
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS rowlift_stage ({} integer, {} integer, {columns}) \
             ON COMMIT DROP; TRUNCATE {STAGE}",
            self.ord, self.pattern
        )
    }

    /// Single rows are about to be looked for.
    pub(super) fn index_stage(&self) -> String {
        format!(
            "CREATE INDEX IF NOT EXISTS rowlift_stage_ord ON {STAGE} ({})",
            self.ord
        )
    }

    /// `COPY` into the stage.
    pub(super) fn copy(&self, format: CopyFormat) -> String {
        let format = match format {
            CopyFormat::Binary => " WITH (FORMAT binary)",
            CopyFormat::Text => "",
        };
        format!("COPY {} FROM STDIN{format}", self.stage_columns())
    }

    /// Whether a value of this column goes into the stage in its binary form.
    pub(super) fn is_binary(&self, at: usize) -> bool {
        self.types.columns[at].is_binary && !is_staged_as_text(&self.plan.column(at).ty)
    }

    /// How a parameter for this column of the stage is cast.
    pub(super) fn cast(&self, at: usize) -> String {
        let ty = &self.types.columns[at];
        match (is_staged_as_text(&self.plan.column(at).ty), ty.is_binary) {
            (true, _) => "::text".to_owned(),
            (false, true) => format!("::{}", ty.name),
            (false, false) => format!("::text::{}", ty.name),
        }
    }

    /// The stage with all its columns.
    pub(super) fn stage_columns(&self) -> String {
        let names = quoted_list((0..self.plan.columns.len()).map(|at| self.column_name(at)));
        format!("{STAGE} ({}, {}, {names})", self.ord, self.pattern)
    }

    /// A condition for staged rows; `pattern` where all rows of it between the first and the last
    /// are meant.
    pub(super) fn filter(&self, rows: &[usize], pattern: Option<usize>) -> String {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return "false".to_owned();
        };
        if let Some(pattern) = pattern {
            return format!(
                "s.{} BETWEEN {first} AND {last} AND s.{} = {pattern}",
                self.ord, self.pattern
            );
        }
        if last - first + 1 == rows.len() {
            return format!("s.{} BETWEEN {first} AND {last}", self.ord);
        }
        format!(
            "s.{} IN (SELECT pg_catalog.unnest('{{{}}}'::int4[]))",
            self.ord,
            list(rows)
        )
    }

    /// INSERT of staged rows, which meets rows that are there. Its row: how many were inserted, how
    /// many updated.
    pub(super) fn insert(&self, pattern: &Pattern, filter: &str) -> String {
        let sets = self.sets(pattern);
        let action = if sets.is_empty() {
            "NOTHING".to_owned()
        } else {
            let differs = self.differs(pattern, "t", |at| self.excluded(pattern, at));
            format!("UPDATE SET {} WHERE {differs}", sets.join(", "))
        };
        format!(
            "WITH w AS ({} {action} RETURNING (xmax = 0) AS new) SELECT \
             count(*) FILTER (WHERE new), count(*) FILTER (WHERE NOT new) FROM w",
            self.insert_on_conflict(pattern, filter)
        )
    }

    /// INSERT of one staged row where triggers may leave it out. Its row: inserted, updated,
    /// whether it met a row that it left as it was.
    pub(super) fn insert_watched(&self, pattern: &Pattern, filter: &str) -> String {
        let insert = self.insert_on_conflict(pattern, filter);
        let (action, met) = if let OnConflict::Update { .. } = self.plan.on_conflict {
            let met = format!("coalesce(pg_catalog.current_setting('{MET}', true), '') = 'same'");
            let say = |what: &str| format!("pg_catalog.set_config('{MET}', '{what}', true)");
            let sets = self.sets(pattern);
            let action = if sets.is_empty() {
                let name = self.name(first_value(pattern));
                format!("UPDATE SET {name} = t.{name} WHERE {} IS NULL", say("same"))
            } else {
                let differs = self.differs(pattern, "t", |at| self.excluded(pattern, at));
                format!(
                    "UPDATE SET {} WHERE CASE WHEN {differs} THEN {} IS NOT NULL \
                     ELSE {} IS NULL END",
                    sets.join(", "),
                    say("differs"),
                    say("same")
                )
            };
            (action, met)
        } else {
            let there = format!(
                "EXISTS (SELECT FROM ({}) AS s CROSS JOIN LATERAL (SELECT FROM {} AS x WHERE {}) \
                 AS x)",
                self.keyed(self.key_source(filter)),
                self.table(),
                self.matches()
            );
            ("NOTHING".to_owned(), there)
        };
        format!(
            "SET LOCAL {MET} = ''; WITH w AS ({insert} {action} RETURNING (xmax = 0) AS new) \
             SELECT count(*) FILTER (WHERE new), count(*) FILTER (WHERE NOT new), {met} FROM w"
        )
    }

    /// INSERT that meets no row but is refused by it. Its row: how many were inserted.
    pub(super) fn insert_only(&self, pattern: &Pattern, filter: &str) -> String {
        format!(
            "WITH w AS ({} RETURNING 1) SELECT count(*) FROM w",
            self.insert_select(pattern, filter)
        )
    }

    /// Locks the rows of the table that staged rows meet. Rows: position in the batch, place,
    /// whether an update would change it.
    pub(super) fn find(&self, pattern: &Pattern, filter: &str) -> String {
        let differs = self.differs(pattern, "x", |at| {
            let full = &self.target.columns[at].full_type;
            let new = format!("s.{}::{full}", self.name(at));
            self.kept(pattern, at, &new, "x")
        });
        format!(
            "SELECT s.{ord}, x.relation, x.tid, x.differs FROM ({source}) AS s CROSS JOIN LATERAL \
             (SELECT x.tableoid::int8 AS relation, x.ctid::text AS tid, {differs} AS differs \
             FROM {table} AS x WHERE {matches} FOR NO KEY UPDATE) AS x",
            ord = self.ord,
            source = self.keyed(self.source(pattern, filter)),
            table = self.table(),
            matches = self.matches(),
        )
    }

    /// UPDATE of rows that were found and locked. Its row: how many were updated.
    pub(super) fn update(&self, pattern: &Pattern, found: &[(usize, Place)]) -> String {
        let rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        let tids: Vec<String> = found
            .iter()
            .map(|(_, place)| format!("\"{}\"", place.tid))
            .collect();
        let relations: Vec<String> = found
            .iter()
            .map(|(_, place)| place.relation.to_string())
            .collect();
        let sets = (0..self.plan.columns.len()).filter(|at| self.is_set(pattern, *at));
        let sets: Vec<String> = sets
            .map(|at| {
                let name = self.name(at);
                let new = self.kept(pattern, at, &format!("s.{name}"), "t");
                format!("{name} = {new}")
            })
            .collect();
        format!(
            "WITH w AS (UPDATE {table} AS t SET {sets} FROM ({source}) AS s, \
             ROWS FROM (pg_catalog.unnest('{{{ords}}}'::int4[]), \
             pg_catalog.unnest('{{{tids}}}'::tid[]), \
             pg_catalog.unnest('{{{relations}}}'::int8[])) AS m(ord, tid, relation) \
             WHERE s.{ord} = m.ord AND t.ctid = m.tid AND t.tableoid::int8 = m.relation \
             RETURNING 1) SELECT count(*) FROM w",
            table = self.table(),
            sets = sets.join(", "),
            source = self.source(pattern, &self.filter(&sorted, None)),
            ords = list(&rows),
            tids = tids.join(","),
            relations = relations.join(","),
            ord = self.ord,
        )
    }

    /// Staged rows that are not alone with their key. Rows: position, position of the first.
    pub(super) fn repeats(&self, filter: &str) -> String {
        format!(
            "SELECT r.ord, r.first FROM (SELECT s.{ord} AS ord, min(s.{ord}) OVER w AS first, \
             count(*) OVER w AS n FROM ({source}) AS s WINDOW w AS (PARTITION BY {keys})) AS r \
             WHERE r.n > 1",
            ord = self.ord,
            source = self.keyed(self.key_source(filter)),
            keys = self.keys_of("s").join(", "),
        )
    }

    /// Whether an update of this pattern sets the column.
    fn is_set(&self, pattern: &Pattern, at: usize) -> bool {
        pattern.fills[at] != Fill::Unset && settable(self.plan, at)
    }

    /// Whether an update of this pattern changes anything at all.
    pub(super) fn sets_any(&self, pattern: &Pattern) -> bool {
        (0..self.plan.columns.len()).any(|at| self.is_set(pattern, at))
    }

    /// `"c" = excluded."c"`, for each column that an update sets.
    fn sets(&self, pattern: &Pattern) -> Vec<String> {
        let set = (0..self.plan.columns.len()).filter(|at| self.is_set(pattern, *at));
        set.map(|at| format!("{} = {}", self.name(at), self.excluded(pattern, at)))
            .collect()
    }

    fn excluded(&self, pattern: &Pattern, at: usize) -> String {
        self.kept(pattern, at, &format!("excluded.{}", self.name(at)), "t")
    }

    /// The new value, or the old one where NULL stands for it.
    fn kept(&self, pattern: &Pattern, at: usize, new: &str, old: &str) -> String {
        if pattern.fills[at] == Fill::Keep {
            format!("coalesce({new}, {old}.{})", self.name(at))
        } else {
            new.to_owned()
        }
    }

    /// Whether any column that is set holds another value. Equality must not hide a change: that of
    /// a collation may ignore case, that of a box compares areas.
    fn differs(&self, pattern: &Pattern, old: &str, new: impl Fn(usize) -> String) -> String {
        let set = (0..self.plan.columns.len()).filter(|at| self.is_set(pattern, *at));
        let each: Vec<String> = set
            .map(|at| {
                let cast = match self.plan.column(at).ty {
                    ColumnType::Text | ColumnType::Varchar(_) => "::text COLLATE \"C\"",
                    ColumnType::Json | ColumnType::Other | ColumnType::Array => "::text",
                    _ => "",
                };
                let (name, new) = (self.name(at), new(at));
                format!("{old}.{name}{cast} IS DISTINCT FROM ({new}){cast}")
            })
            .collect();
        if each.is_empty() {
            return "false".to_owned();
        }
        format!("({})", each.join(" OR "))
    }

    fn insert_on_conflict(&self, pattern: &Pattern, filter: &str) -> String {
        let predicate = if self.key.predicate.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.key.predicate)
        };
        format!(
            "{} ON CONFLICT ({}){predicate} DO",
            self.insert_select(pattern, filter),
            self.key.terms.join(", ")
        )
    }

    fn insert_select(&self, pattern: &Pattern, filter: &str) -> String {
        let sent = |at: &usize| matches!(pattern.fills[*at], Fill::Value | Fill::Keep);
        let sent: Vec<usize> = (0..self.plan.columns.len()).filter(sent).collect();
        let values: Vec<String> = sent.iter().map(|at| self.staged(*at)).collect();
        format!(
            "INSERT INTO {} AS t ({}) SELECT {} FROM {STAGE} AS s WHERE {filter} ORDER BY s.{}",
            self.table(),
            quoted_list(sent.iter().map(|at| self.column_name(*at))),
            values.join(", "),
            self.ord
        )
    }

    /// Staged rows with the values that an update sets, under the target's names.
    fn source(&self, pattern: &Pattern, filter: &str) -> String {
        let mut sql = format!("SELECT s.{}", self.ord);
        for at in 0..self.plan.columns.len() {
            let name = self.name(at);
            let value = match pattern.fills[at] {
                Fill::Value | Fill::Keep => self.key_value(at),
                Fill::Default => {
                    let default = match self.target.columns[at].default.as_str() {
                        "" => "NULL",
                        default => default,
                    };
                    format!("({default})::{}", self.types.columns[at].name)
                }
                Fill::Unset => continue,
            };
            write(&mut sql, format_args!(", {value} AS {name}"));
        }
        // OFFSET 0: no value is converted but of the rows that are meant.
        write(
            &mut sql,
            format_args!(" FROM {STAGE} AS s WHERE {filter} OFFSET 0"),
        );
        sql
    }

    /// The staged value as the column will hold it: times are rounded where it says so, and rows
    /// meet by what is stored.
    fn key_value(&self, at: usize) -> String {
        let is_time = matches!(
            self.plan.column(at).ty,
            ColumnType::Time | ColumnType::Timestamp | ColumnType::TimestampTz
        );
        if is_time {
            format!("{}::{}", self.staged(at), self.target.columns[at].full_type)
        } else {
            self.staged(at)
        }
    }

    /// Staged rows with the columns that the key reads, under the target's names.
    fn key_source(&self, filter: &str) -> String {
        let mut sql = format!("SELECT s.{}", self.ord);
        for at in 0..self.plan.columns.len() {
            if self.key.columns.contains(&self.plan.column(at).name) {
                write(
                    &mut sql,
                    format_args!(", {} AS {}", self.key_value(at), self.name(at)),
                );
            }
        }
        write(
            &mut sql,
            format_args!(" FROM {STAGE} AS s WHERE {filter} OFFSET 0"),
        );
        sql
    }

    /// The rows of `source` with the values of the key's terms.
    fn keyed(&self, source: String) -> String {
        let terms = self.key.terms.iter().zip(&self.keys);
        let terms: Vec<String> = terms
            .map(|(term, name)| format!("{term} AS {name}"))
            .collect();
        let terms = terms.join(", ");
        format!("SELECT v.*, {terms} FROM ({source}) AS v OFFSET 0")
    }

    /// The rows of the table, alone in their FROM, that have the key of a row `s`.
    fn matches(&self) -> String {
        let terms = self.key.terms.iter().zip(self.keys_of("s"));
        let mut all: Vec<String> = terms.map(|(term, key)| format!("{term} = {key}")).collect();
        if !self.key.predicate.is_empty() {
            all.push(self.key.predicate.clone());
        }
        all.join(" AND ")
    }

    fn keys_of(&self, relation: &str) -> Vec<String> {
        let keys = self.keys.iter();
        keys.map(|name| format!("{relation}.{name}")).collect()
    }

    /// The staged value of a column in its type.
    fn staged(&self, at: usize) -> String {
        let name = self.name(at);
        if is_staged_as_text(&self.plan.column(at).ty) {
            format!("s.{name}::{}", self.types.columns[at].name)
        } else {
            format!("s.{name}")
        }
    }

    fn column_name(&self, at: usize) -> &'a str {
        &self.plan.column(at).name
    }

    fn name(&self, at: usize) -> Identifier<'a> {
        Identifier::new(self.column_name(at))
    }

    fn table(&self) -> QualifiedName<'a> {
        QualifiedName::from(&self.plan.table.name)
    }
}

/// Types that only their own input function reads: a value that it refuses must not keep others
/// from being staged.
pub(super) fn is_staged_as_text(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Other | ColumnType::Array)
}

/// Any column that the rows of the pattern send: the key's are among them.
fn first_value(pattern: &Pattern) -> usize {
    let sent = pattern.fills.iter().position(|fill| *fill == Fill::Value);
    sent.expect("a row's key is set")
}

fn list(rows: &[usize]) -> String {
    let rows: Vec<String> = rows.iter().map(usize::to_string).collect();
    rows.join(",")
}

fn write(sql: &mut String, arguments: std::fmt::Arguments<'_>) {
    sql.write_fmt(arguments)
        .expect("writing into a string cannot fail");
}

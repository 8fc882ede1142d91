//! The unique key by which rows meet, in SQL.
//!
//! In: the plan. Out: a [`MeetingKey`], or NO_UNIQUE_KEY where the key cannot be asked for a row
//! without guessing.

use sqlx::sqlite::SqliteArguments;

use crate::model::import::{Failure, Reason};
use crate::model::plan::{OnConflict, WritePlan};
use crate::model::table::{Column, ColumnType, UniqueKey};
use crate::model::value::{Row, Value};
use crate::store::StoreError;
use crate::store::identifier::Identifier;
use crate::store::sqlite::encode;
use crate::store::sqlite::error::shown;

/// A key of the table whose columns are all mapped.
#[derive(Debug)]
pub(super) struct MeetingKey<'a> {
    key: &'a UniqueKey,
    /// Indexes of the planned columns that the key reads.
    columns: Vec<usize>,
    has_expressions: bool,
}

impl<'a> MeetingKey<'a> {
    /// The plan's key; `None` if rows that meet are rejected.
    pub(super) fn of(plan: &'a WritePlan) -> Result<Option<MeetingKey<'a>>, StoreError> {
        let Some(key) = plan.conflict_key() else {
            return Ok(None);
        };
        let refuse = |why: String| {
            let message = format!("unique key \"{}\" {why}", shown(&key.name));
            Err(StoreError::Failed(Failure::new(
                Reason::NoUniqueKey,
                message,
            )))
        };
        if key.terms.is_empty() {
            return refuse("cannot be spelled, so rows cannot meet by it".to_owned());
        }
        let mut columns = Vec::new();
        for name in &key.columns {
            let Some(index) = plan.index_of(name) else {
                return refuse(format!("reads \"{}\", which nothing maps", shown(name)));
            };
            columns.push(index);
        }
        let has_expressions = key.terms.iter().any(|term| term.starts_with('('));
        let updates = matches!(plan.on_conflict, OnConflict::Update { .. });
        let guessed = columns.iter().find(|it| is_reshaped(plan.column(**it)));
        if let (true, true, Some(index)) = (has_expressions, updates, guessed) {
            let column = plan.column(*index);
            return refuse(format!(
                "has an expression over \"{}\", whose type {} makes numbers of some texts: rows \
                 cannot be updated by it",
                shown(&column.name),
                shown(&column.type_name)
            ));
        }
        Ok(Some(MeetingKey {
            key,
            columns,
            has_expressions,
        }))
    }

    /// The key as the catalogue describes it.
    pub(super) fn key(&self) -> &'a UniqueKey {
        self.key
    }

    /// Whether it reads the planned column.
    pub(super) fn reads(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }

    /// Whether the key compares an expression.
    pub(super) fn has_expressions(&self) -> bool {
        self.has_expressions
    }

    /// Whether every row of the table is in the key by columns that are not NULL in a batch: a row
    /// that is in meets itself.
    pub(super) fn holds_every_row(&self) -> bool {
        !self.has_expressions && self.key.predicate.is_empty()
    }

    /// `ON CONFLICT ("a", "b") WHERE (predicate)`.
    pub(super) fn target(&self) -> String {
        let terms = self.key.terms.join(", ");
        match self.key.predicate.as_str() {
            "" => format!(" ON CONFLICT ({terms})"),
            predicate => format!(" ON CONFLICT ({terms}) WHERE ({predicate})"),
        }
    }

    /// Which row of the table has the key of a given row; its values are those of
    /// [`bind`](Self::bind).
    pub(super) fn condition(&self, plan: &WritePlan) -> String {
        let conditions: Vec<String> = if self.has_expressions {
            // The same expression over the row's values, under the names of the columns.
            let names = self.columns.iter();
            let names = names.map(|it| format!("? AS {}", Identifier::new(&plan.column(*it).name)));
            let values = names.collect::<Vec<String>>().join(", ");
            let terms = self.key.terms.iter();
            let equal = |term: &String| format!("{term} = (SELECT {term} FROM (SELECT {values}))");
            terms.map(equal).collect()
        } else {
            self.key
                .terms
                .iter()
                .map(|it| format!("{it} = ?"))
                .collect()
        };
        let condition = conditions.join(" AND ");
        match self.key.predicate.as_str() {
            "" => condition,
            predicate => format!("{condition} AND ({predicate})"),
        }
    }

    /// Adds the values that [`condition`](Self::condition) asks for.
    pub(super) fn bind<'q>(
        &self,
        plan: &WritePlan,
        row: Row<'q>,
        arguments: &mut SqliteArguments<'q>,
    ) {
        let n_times = if self.has_expressions {
            self.key.terms.len()
        } else {
            1
        };
        for _ in 0..n_times {
            for index in &self.columns {
                let value = match row.value(*index) {
                    Value::Decimal(text) if self.has_expressions => stored_decimal(text),
                    value => value,
                };
                encode::bind(arguments, value, &plan.column(*index).ty);
            }
        }
    }
}

/// Whether a column makes a number of a text that looks like one, before an expression sees it.
fn is_reshaped(column: &Column) -> bool {
    let is_text = matches!(
        column.ty,
        ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Char(_)
            | ColumnType::Json
            | ColumnType::Jsonb
            | ColumnType::Enum(_)
            | ColumnType::Other
    );
    // https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    let declared = column.type_name.to_ascii_uppercase();
    let is_in = |names: &[&str]| names.iter().any(|name| declared.contains(name));
    let keeps_text =
        !is_in(&["INT"]) && (declared.is_empty() || is_in(&["CHAR", "CLOB", "TEXT", "BLOB"]));
    is_text && !keeps_text
}

/// What a column of numeric affinity makes of a canonical decimal.
fn stored_decimal(text: &str) -> Value<'_> {
    if let Ok(int) = text.parse() {
        return Value::Int(int);
    }
    let int = text
        .split_once('.')
        .filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'))
        .and_then(|(int, _)| int.parse().ok());
    match (int, text.parse::<f64>()) {
        (Some(int), _) => Value::Int(int),
        (None, Ok(real)) if real.is_finite() => Value::Float(real),
        _ => Value::Text(text),
    }
}

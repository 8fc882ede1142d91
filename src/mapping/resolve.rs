//! Once an import: which source column feeds which column of the table.
//!
//! In: table, spec and the source's names. Out: a [`Mapping`], or one COLUMN_MAPPING failure with
//! every problem in it. Bounded by the number of columns on both sides.

use std::ops::Range;
use std::sync::Arc;

use crate::mapping::coerce::{Role, Settings, Target, check_format};
use crate::mapping::conflict::{self, ConflictAction};
use crate::mapping::describe::quoted;
use crate::mapping::header::is_blank;
use crate::mapping::{
    ColumnRule, ColumnSource, EffectiveColumn, EmptyAction, Given, Mapping, MappingSpec,
    SourceColumns, Strays, UnmappedSource,
};
use crate::model::cell::column_letters;
use crate::model::import::{Failure, Reason};
use crate::model::layout;
use crate::model::plan::{OnConflict, OnMissing};
use crate::model::reject::SourceKind;
use crate::model::table::{Column, ColumnType, Table};
use crate::model::value::Value;

pub(super) use links::names_of;

mod fixed;
mod links;

/// Problems that the failure's message spells out; the others are counted.
const PROBLEMS_SHOWN_MAX: usize = 3;

/// What feeds one column of the table.
#[derive(Debug, Clone)]
struct Link {
    table_column: usize,
    feed: Feed,
    /// How the mapping in force is reported.
    source: ColumnSource,
    source_name: String,
    format: String,
    on_empty: EmptyAction,
    insert_only: bool,
}

#[derive(Debug, Clone)]
enum Feed {
    /// The source column at this 0-based index.
    Cells(usize),
    /// Anything else.
    Given(Given),
}

/// What the parts of the resolution work on and add to.
#[derive(Debug)]
struct Resolution<'a> {
    table: &'a Table,
    spec: &'a MappingSpec,
    source: SourceColumns<'a>,
    settings: Settings,
    /// Columns of the source; without a header, those that are mapped.
    n_source_columns: usize,
    /// Columns that an export of rejected rows has behind those of its source; empty where the
    /// source is none.
    own: Range<usize>,
    links: Vec<Link>,
    /// Field paths and what is wrong there.
    problems: Vec<(String, String)>,
}

/// See [`Mapping::resolve`].
pub(super) fn resolve(
    table: &Arc<Table>,
    spec: &MappingSpec,
    source: SourceColumns<'_>,
) -> Result<Mapping, Failure> {
    let names = source.names.iter().rposition(|name| !is_blank(name));
    let mut resolution = Resolution {
        table,
        spec,
        source,
        settings: Settings {
            mode: spec.mode,
            null_tokens: spec.null_tokens.clone(),
            time_zone: spec.time_zone.clone(),
            decimal_separator: spec.decimal_separator,
            date_order: spec.date_order,
        },
        n_source_columns: match names {
            Some(last) if source.has_header => last + 1,
            _ => 0,
        },
        own: if source.has_header && spec.source_kind == SourceKind::File {
            layout::own_columns(source.names).unwrap_or_default()
        } else {
            0..0
        },
        links: Vec::new(),
        problems: Vec::new(),
    };
    if !spec.columns.is_empty() {
        resolution.link_rules();
        // A rule that is refused may well be the one that feeds a required column.
        if !resolution.problems.is_empty() {
            return Err(failure(source.where_, resolution.problems));
        }
    } else if source.has_header {
        resolution.link_names();
    } else {
        resolution.link_positions();
    }
    resolution.check_required();
    resolution.finish(table)
}

// === impl Resolution ===

impl Resolution<'_> {
    fn problem(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.problems.push((path.into(), what.into()));
    }

    /// Columns that a new row cannot do without have to be fed, if a caller could feed them.
    fn check_required(&mut self) {
        let inserts = !matches!(
            self.spec.conflict.action,
            ConflictAction::Update(OnMissing::Reject | OnMissing::Skip)
        );
        let missing = |(index, column): (usize, &Column)| {
            let is_linked = self.links.iter().any(|link| link.table_column == index);
            (inserts && column.is_required() && !is_linked).then(|| column.name.clone())
        };
        let missing: Vec<String> = self
            .table
            .columns
            .iter()
            .enumerate()
            .filter_map(missing)
            .collect();
        for name in missing {
            let what = format!("required column {} missing", quoted(&name));
            self.problem("header.columns", what);
        }
        if self.links.is_empty() && self.problems.is_empty() {
            let what = format!("no column of table {} is mapped", self.table.name);
            self.problem("header.columns", what);
        }
    }

    fn finish(mut self, table: &Arc<Table>) -> Result<Mapping, Failure> {
        if !self.problems.is_empty() {
            return Err(failure(self.source.where_, self.problems));
        }
        // Cells come from the left; the sort is stable, so that one cell may feed several columns.
        self.links.sort_by_key(|link| match link.feed {
            Feed::Cells(index) => index,
            Feed::Given(_) => usize::MAX,
        });
        let mapped = self.links.iter();
        let mapped: Vec<&str> = mapped
            .map(|link| self.table.columns[link.table_column].name.as_str())
            .collect();
        let on_conflict = conflict::resolve(self.table, &self.spec.conflict, &mapped)?;
        let updates = matches!(on_conflict, OnConflict::Update { .. });
        let key_columns: &[String] = match on_conflict {
            OnConflict::Reject => &[],
            OnConflict::Skip { key } | OnConflict::Update { key, .. } => {
                &self.table.unique_keys[key].columns
            }
        };
        for (index, link) in self.links.iter().enumerate() {
            let name = &self.table.columns[link.table_column].name;
            let Feed::Given(Given::Fixed(value)) = &link.feed else {
                continue;
            };
            let is_absent = matches!(
                value.row(0).value(0),
                Value::Null | Value::Unset | Value::Default
            );
            if is_absent && key_columns.contains(name) {
                let what = format!("rows meet by column {}, which needs a value", quoted(name));
                let path = format!("header.columns[{index}]");
                return Err(failure(self.source.where_, vec![(path, what)]));
            }
        }
        let effective = self.links.iter().map(|link| self.effective(link)).collect();
        let strays = self.strays();
        let unread = self.own.clone().filter(|at| !self.is_fed(*at)).collect();
        let mut fed = Vec::new();
        let mut given = Vec::new();
        for link in self.links {
            let column = &self.table.columns[link.table_column];
            let role = if key_columns.contains(&column.name) {
                Role::Key
            } else if updates && !link.insert_only {
                Role::Updated
            } else {
                Role::Inserted
            };
            let target = Target::new(link.table_column, column, link.on_empty, link.format, role);
            match link.feed {
                Feed::Cells(index) => fed.push((index, target)),
                Feed::Given(value) => given.push((value, target)),
            }
        }
        Ok(Mapping {
            table: Arc::clone(table),
            fed,
            given,
            effective,
            settings: self.settings,
            source_kind: self.spec.source_kind,
            n_source_columns: self.n_source_columns,
            unread,
            strays,
            sheet: self.spec.context.sheet.clone(),
            on_conflict,
        })
    }

    fn effective(&self, link: &Link) -> EffectiveColumn {
        let source_index = match link.feed {
            Feed::Cells(index) => u32::try_from(index + 1).ok(),
            Feed::Given(_) => None,
        };
        EffectiveColumn {
            source: link.source.clone(),
            source_name: link.source_name.clone(),
            source_index,
            target_column: self.table.columns[link.table_column].name.clone(),
            format: link.format.clone(),
            on_empty: link.on_empty,
            insert_only: link.insert_only,
        }
    }

    /// Where content is EXTRA_CELLS: below blank header cells and beyond the header. Sources
    /// without a header end at the last mapped column, and what is beyond is unmapped. In an
    /// export of rejected rows what was beyond the source's header is before our columns.
    fn strays(&self) -> Strays {
        let ignores = self.spec.unmapped_source == UnmappedSource::Ignore;
        let is_unnamed = |index: &usize| {
            let name = self.source.names.get(*index);
            let is_named = !name.is_some_and(|name| is_blank(name));
            self.source.has_header && !is_named && !self.is_fed(*index)
        };
        let before_own = self.source.names.iter().take(self.own.start);
        let n_names = before_own.clone().rposition(|name| !is_blank(name));
        let n_names = n_names.map_or(0, |last| last + 1);
        Strays {
            // Ascending, without those that a rule reads by position.
            unnamed: match self.spec.unmapped_source {
                UnmappedSource::Ignore => (n_names..self.own.start).filter(is_unnamed).collect(),
                UnmappedSource::Fail => (0..self.n_source_columns).filter(is_unnamed).collect(),
            },
            beyond: (self.source.has_header || !ignores).then_some(self.n_source_columns),
        }
    }

    fn is_fed(&self, index: usize) -> bool {
        let mut links = self.links.iter();
        links.any(|link| matches!(link.feed, Feed::Cells(fed) if fed == index))
    }

    /// The path of the source column at `index` in the request, as far as there is one.
    fn path_of_name(&self, index: usize) -> String {
        match self.spec.source_kind {
            SourceKind::Rows => format!("header.row_source.column_names[{index}]"),
            SourceKind::File => "header.file".to_owned(),
        }
    }

    /// How a source column is called in messages: by its name, and in files by its letters.
    fn name_of(&self, index: usize) -> String {
        let name = quoted(self.source.names[index].trim());
        match (self.spec.source_kind, u32::try_from(index + 1)) {
            (SourceKind::File, Ok(column)) => format!("{name} ({})", column_letters(column)),
            _ => name,
        }
    }
}

/// Whether a rule's options make sense for the column that it names; else path and reason.
fn check_options(rule: &ColumnRule, ty: &ColumnType) -> Result<(), (&'static str, String)> {
    if *ty == ColumnType::Array {
        return Err(("target_column", "arrays cannot be imported".to_owned()));
    }
    if !rule.format.is_empty() {
        check_format(&rule.format, ty).map_err(|why| ("format", why))?;
    }
    Ok(())
}

fn failure(where_: &str, problems: Vec<(String, String)>) -> Failure {
    let shown: Vec<&str> = problems
        .iter()
        .take(PROBLEMS_SHOWN_MAX)
        .map(|(_, what)| what.as_str())
        .collect();
    let mut message = shown.join("; ");
    if let Some(n_more) = problems.len().checked_sub(PROBLEMS_SHOWN_MAX + 1) {
        message = format!("{message}; and {} more", n_more + 1);
    }
    if !where_.is_empty() {
        message = format!("{where_}: {message}");
    }
    problems.into_iter().fold(
        Failure::new(Reason::ColumnMapping, message),
        |failure, (path, what)| failure.with_field(path, what),
    )
}

//! The three ways in which source columns find their target: by name, by position, by rule.
//!
//! In: names, rules and the table's columns. Out: links and problems of the [`Resolution`].

use std::collections::HashMap;

use crate::mapping::describe::quoted;
use crate::mapping::header::{Match, Names, is_blank, suggestion};
use crate::mapping::resolve::{Feed, Link, Resolution, check_options};
use crate::mapping::{ColumnRule, ColumnSource, EmptyAction, UnmappedSource};
use crate::model::table::{Column, ColumnType, Table};

/// Problems up to which unknown columns get a suggestion: as many as a failure has fields.
const SUGGESTED_PROBLEMS_MAX: usize = 20;

impl Resolution<'_> {
    /// Every header that means a column of the table feeds it.
    pub(super) fn link_names(&mut self) {
        let names = names_of(self.table);
        let mut fed_by: HashMap<usize, usize> = HashMap::new();
        for index in 0..self.n_source_columns {
            let name = &self.source.names[index];
            if is_blank(name) || self.own.contains(&index) {
                continue;
            }
            match names.find(name) {
                Match::None => self.unknown_name(index),
                Match::Several(columns) => {
                    let columns: Vec<String> = columns
                        .into_iter()
                        .map(|column| quoted(&self.table.columns[column].name))
                        .collect();
                    let what = format!(
                        "column {} could be any of {}",
                        self.name_of(index),
                        columns.join(", ")
                    );
                    self.problem(self.path_of_name(index), what);
                }
                Match::One(column) => match fed_by.get(&column) {
                    Some(first) => {
                        let what = format!(
                            "duplicate column: {} and {} both mean {}",
                            self.name_of(*first),
                            self.name_of(index),
                            quoted(&self.table.columns[column].name)
                        );
                        self.problem(self.path_of_name(index), what);
                    }
                    None => {
                        if self.link_name(index, column) {
                            fed_by.insert(column, index);
                        }
                    }
                },
            }
        }
    }

    /// Feeds `column` from the source column at `index`, unless the table's configuration forbids
    /// it; such a header is one that nothing maps.
    fn link_name(&mut self, index: usize, column: usize) -> bool {
        let target = &self.table.columns[column];
        let why = if target.importable && target.ty != ColumnType::Array {
            None
        } else if target.importable {
            Some("is an array, and arrays cannot be imported")
        } else if self.spec.unmapped_source == UnmappedSource::Ignore {
            return false;
        } else {
            Some(refusal(target))
        };
        if let Some(why) = why {
            let what = format!("column {} {why}", self.name_of(index));
            self.problem(self.path_of_name(index), what);
            return false;
        }
        let source_name = self.source.names[index].clone();
        self.links.push(Link {
            table_column: column,
            feed: Feed::Cells(index),
            source: ColumnSource::Name(source_name.clone()),
            source_name,
            format: String::new(),
            on_empty: EmptyAction::Automatic,
            insert_only: false,
        });
        true
    }

    /// The first source column feeds the first column that may be filled, and so on.
    pub(super) fn link_positions(&mut self) {
        let table = self.table;
        let importable = table.columns.iter().enumerate();
        let importable = importable.filter(|(_, column)| column.importable);
        for (position, (index, column)) in importable.enumerate() {
            if column.ty == ColumnType::Array {
                let what = format!(
                    "column {} is an array, and arrays cannot be imported",
                    quoted(&column.name)
                );
                self.problem("header.columns", what);
            }
            self.n_source_columns = position + 1;
            self.links.push(Link {
                table_column: index,
                feed: Feed::Cells(position),
                source: position_of(position),
                source_name: String::new(),
                format: String::new(),
                on_empty: EmptyAction::Automatic,
                insert_only: false,
            });
        }
    }

    /// The rules are the whole mapping.
    pub(super) fn link_rules(&mut self) {
        let spec = self.spec;
        let columns = self.source.names.iter().take(self.n_source_columns);
        let columns = columns.map(String::as_str).enumerate();
        let columns = columns.filter(|(_, name)| !is_blank(name));
        let (own, columns): (Vec<_>, Vec<_>) = columns.partition(|(at, _)| self.own.contains(at));
        let (own, names) = (Names::new(own.into_iter()), Names::new(columns.into_iter()));
        for (at, rule) in spec.columns.iter().enumerate() {
            let path = format!("header.columns[{at}]");
            if let Err((field, what)) = self.link_rule(rule, &names, &own) {
                self.problem(format!("{path}.{field}"), what);
            }
        }
        if self.problems.is_empty() {
            self.refuse_unmapped();
        }
    }

    fn link_rule(
        &mut self,
        rule: &ColumnRule,
        names: &Names<'_>,
        own: &Names<'_>,
    ) -> Result<(), (&'static str, String)> {
        let target_error = |what: String| ("target_column", what);
        let table_column = self
            .table
            .column_index(&rule.target_column)
            .ok_or_else(|| {
                let candidates = self.table.columns.iter().map(|column| column.name.as_str());
                target_error(unknown(&rule.target_column, candidates))
            })?;
        let column = &self.table.columns[table_column];
        let name = quoted(&column.name);
        if self
            .links
            .iter()
            .any(|link| link.table_column == table_column)
        {
            return Err(target_error(format!("column {name} is mapped twice")));
        }
        let is_given = matches!(
            rule.source,
            ColumnSource::Constant(_) | ColumnSource::Context(_)
        );
        if column.generated
            || !(if is_given {
                column.assignable
            } else {
                column.importable
            })
        {
            let why = if is_given && !column.generated {
                "may not be filled with a constant or a context"
            } else {
                refusal(column)
            };
            return Err(target_error(format!("column {name} {why}")));
        }
        check_options(rule, &column.ty)
            .map_err(|(field, why)| (field, format!("column {name}: {why}")))?;
        let feed = match &rule.source {
            ColumnSource::Name(wanted) => Feed::Cells(
                self.named(wanted, names, own)
                    .map_err(|what| ("source_name", what))?,
            ),
            ColumnSource::Position(position) => {
                let index = self.positioned(*position);
                Feed::Cells(index.map_err(|what| ("source_index", what))?)
            }
            ColumnSource::Constant(frame) => Feed::Given(
                self.constant(table_column, rule, frame)
                    .map_err(|what| ("constant", what))?,
            ),
            ColumnSource::Context(context) => Feed::Given(
                self.context(table_column, rule, *context)
                    .map_err(|what| ("context", what))?,
            ),
        };
        let header = match feed {
            Feed::Cells(index) => self.source.names.get(index),
            Feed::Given(_) => None,
        };
        self.links.push(Link {
            table_column,
            source: match (&rule.source, header) {
                (ColumnSource::Name(_), Some(header)) => ColumnSource::Name(header.clone()),
                _ => rule.source.clone(),
            },
            feed,
            source_name: header.cloned().unwrap_or_default(),
            format: rule.format.clone(),
            on_empty: rule.on_empty,
            insert_only: rule.insert_only,
        });
        Ok(())
    }

    /// The source's own columns come first; those of an export of rejected rows can be asked for.
    fn named(&self, wanted: &str, names: &Names<'_>, own: &Names<'_>) -> Result<usize, String> {
        if !self.source.has_header {
            return Err(format!(
                "column {} cannot be found: the source has no header",
                quoted(wanted)
            ));
        }
        let found = match names.find(wanted) {
            Match::None => own.find(wanted),
            found => found,
        };
        match found {
            Match::One(index) => Ok(index),
            Match::Several(indexes) => {
                let names: Vec<String> = indexes.into_iter().map(|at| self.name_of(at)).collect();
                Err(format!(
                    "duplicate column {}: {}",
                    quoted(wanted),
                    names.join(", ")
                ))
            }
            Match::None => {
                let candidates = self.source.names.iter().map(|name| name.trim());
                Err(format!(
                    "column {} is not in the header{}",
                    quoted(wanted),
                    did_you_mean(wanted, candidates)
                ))
            }
        }
    }

    /// The 0-based index of a position. With a header it has to be under it, a blank cell at the
    /// header's end included.
    fn positioned(&mut self, position: u32) -> Result<usize, String> {
        let index = usize::try_from(position)
            .ok()
            .and_then(|position| position.checked_sub(1))
            .ok_or("positions begin with 1")?;
        if self.source.has_header && index >= self.source.names.len() {
            return Err(format!(
                "position {position} is beyond the header's {} columns",
                self.source.names.len()
            ));
        }
        self.n_source_columns = self.n_source_columns.max(index + 1);
        Ok(index)
    }

    /// Problems for all source columns that no rule reads.
    fn refuse_unmapped(&mut self) {
        if self.spec.unmapped_source == UnmappedSource::Ignore {
            return;
        }
        let mut is_read = vec![false; self.n_source_columns];
        for link in &self.links {
            if let Feed::Cells(index) = link.feed {
                is_read[index] = true;
            }
        }
        for index in (0..is_read.len()).filter(|index| !is_read[*index]) {
            if self.own.contains(&index) {
                continue;
            }
            let what = match self.source.names.get(index) {
                Some(name) if self.source.has_header && is_blank(name) => continue,
                Some(_) if self.source.has_header => self.name_of(index),
                _ => format!("at position {}", index + 1),
            };
            self.problem(
                self.path_of_name(index),
                format!("column {what} is not mapped"),
            );
        }
    }

    fn unknown_name(&mut self, index: usize) {
        if self.spec.unmapped_source == UnmappedSource::Ignore {
            return;
        }
        let name = self.source.names[index].trim();
        let what = if self.problems.len() < SUGGESTED_PROBLEMS_MAX {
            let importable = self.table.columns.iter().filter(|column| column.importable);
            unknown(name, importable.map(|column| column.name.as_str()))
        } else {
            unknown(name, std::iter::empty())
        };
        self.problem(self.path_of_name(index), what);
    }
}

pub(in crate::mapping) fn names_of(table: &Table) -> Names<'_> {
    let columns = table.columns.iter().enumerate();
    let mut names = Names::new(columns.map(|(index, column)| (index, column.name.as_str())));
    for (index, column) in table.columns.iter().enumerate() {
        for alias in &column.aliases {
            names.add_alias(index, alias);
        }
    }
    names
}

fn position_of(index: usize) -> ColumnSource {
    ColumnSource::Position(u32::try_from(index + 1).unwrap_or(u32::MAX))
}

/// Why a column may not be filled from a source column.
fn refusal(column: &Column) -> &'static str {
    if column.generated {
        "is generated by the database"
    } else {
        "may not be imported"
    }
}

fn unknown<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    format!(
        "unknown column {}{}",
        quoted(name),
        did_you_mean(name, candidates)
    )
}

fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    match suggestion(name, candidates) {
        Some(candidate) => format!(", did you mean {candidate}?"),
        None => String::new(),
    }
}

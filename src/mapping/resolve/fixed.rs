//! Constants and row contexts: evaluated once where every row gets the same value.
//!
//! In: a rule and what the import knows of itself. Out: a [`Given`], or what is wrong. Values are
//! taken as sent: no trimming, `''` is the empty string.

use crate::mapping::coerce::{Role, Scratch, Target};
use crate::mapping::describe::{Place, message};
use crate::mapping::resolve::Resolution;
use crate::mapping::row::number_value;
use crate::mapping::{ColumnRule, Given, RowContext};
use crate::model::cell::Cell;
use crate::model::frame::Frame;
use crate::model::reject::SourceKind;
use crate::model::table::ColumnType;
use crate::model::value::RowBuffer;

impl Resolution<'_> {
    /// The value of a constant.
    pub(super) fn constant(
        &self,
        table_column: usize,
        rule: &ColumnRule,
        frame: &Frame,
    ) -> Result<Given, String> {
        let row = frame.rows().next().filter(|row| row.n_cells() == 1);
        let cell = row.and_then(|row| row.cells().next());
        match cell {
            Some(cell) if frame.n_rows() == 1 => self.fixed(table_column, rule, cell),
            _ => Err("a constant is one value".to_owned()),
        }
    }

    /// What a row context gives.
    pub(super) fn context(
        &self,
        table_column: usize,
        rule: &ColumnRule,
        context: RowContext,
    ) -> Result<Given, String> {
        let known = &self.spec.context;
        let ty = &self.table.columns[table_column].ty;
        match context {
            RowContext::ImportId => self.fixed(table_column, rule, Cell::Text(&known.import_id)),
            RowContext::CreateTime => {
                let cell = Cell::Timestamp {
                    seconds: known.create_time_ms.div_euclid(1000),
                    nanos: i32::try_from(known.create_time_ms.rem_euclid(1000) * 1_000_000)
                        .expect("below a second"),
                };
                self.fixed(table_column, rule, cell)
            }
            RowContext::RowNumber => {
                let target = self.target(table_column, rule);
                let mut scratch = Scratch::default();
                number_value(&target, 1, &self.settings.exact(), &mut scratch)
                    .map(|_| Given::RowNumber)
                    .map_err(|_| "row numbers need a column of numbers or text".to_owned())
            }
            RowContext::Sheet if self.spec.source_kind == SourceKind::Rows => match ty {
                ColumnType::Text
                | ColumnType::Varchar(_)
                | ColumnType::Char(_)
                | ColumnType::Enum(_)
                | ColumnType::Other => Ok(Given::Sheet),
                _ => Err("sheet names need a column of text".to_owned()),
            },
            RowContext::Sheet if known.sheet.is_empty() => {
                self.fixed(table_column, rule, Cell::Empty)
            }
            RowContext::Sheet => self.fixed(table_column, rule, Cell::Text(&known.sheet)),
        }
    }

    fn fixed(
        &self,
        table_column: usize,
        rule: &ColumnRule,
        cell: Cell<'_>,
    ) -> Result<Given, String> {
        let target = self.target(table_column, rule);
        let mut scratch = Scratch::default();
        match target.coerce(cell, &self.settings.exact(), &mut scratch) {
            Ok(value) => {
                let mut values = RowBuffer::new(1);
                values.push(value);
                Ok(Given::Fixed(values))
            }
            Err(fault) => {
                let place = Place {
                    column: &self.table.columns[table_column].name,
                    ty: Some(&target.ty),
                    source_name: "",
                };
                Err(message(place, &cell.to_string(), fault).0)
            }
        }
    }

    fn target(&self, table_column: usize, rule: &ColumnRule) -> Target {
        let column = &self.table.columns[table_column];
        Target::new(
            table_column,
            column,
            rule.on_empty,
            rule.format.clone(),
            Role::Inserted,
        )
    }
}

//! Rows of a batch into the stage: by COPY, binary or as text, or by INSERT.
//!
//! In: some rows. Out: they are in the stage, or the database's error. Buffers of [`PIECE_BYTES`],
//! statements of [`ROWS_MAX`] rows and [`PARAMETERS_MAX`] parameters. A dropped future closes the
//! connection ([`Transaction`]).

use std::fmt::Write as _;
use std::ops::Range;

use sqlx::postgres::PgArguments;

use crate::model::batch::Batch;
use crate::model::plan::WritePlan;
use crate::model::table::ColumnType;
use crate::model::value::Row;
use crate::store::copying::CopyFormat;

use super::super::arguments::{self, Field};
use super::super::connection::Transaction;
use super::super::copy::{BINARY_HEADER, BINARY_TRAILER, PIECE_BYTES, append_text_field};
use super::super::insert::{PARAMETERS_MAX, ROWS_MAX};
use super::super::{binary, text};
use super::pattern::Patterns;
use super::statement::{Statements, is_staged_as_text};

/// Rows on their way.
#[derive(Debug)]
pub(super) struct StageRows<'a> {
    /// Whose columns.
    pub(super) plan: &'a WritePlan,
    /// Where they are.
    pub(super) batch: &'a Batch,
    /// The second mark of each; the first is its index.
    pub(super) patterns: &'a Patterns,
    /// Which, by index.
    pub(super) rows: Range<usize>,
}

impl StageRows<'_> {
    /// As one COPY.
    pub(super) async fn copy(
        &self,
        transaction: &mut Transaction,
        statements: &Statements<'_>,
        format: CopyFormat,
    ) -> Result<(), sqlx::Error> {
        let types = self.types();
        let mut copy = transaction.copy_in(&statements.copy(format)).await?;
        let mut buffer = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let mut scratch = String::new();
        if format == CopyFormat::Binary {
            buffer.extend_from_slice(BINARY_HEADER);
        }
        for index in self.rows.clone() {
            let (marks, row) = (self.marks(index), self.batch.rows.row(index));
            match format {
                CopyFormat::Binary => append_row(&mut buffer, marks, row, &types),
                CopyFormat::Text => append_text_row(&mut buffer, &mut scratch, marks, row, &types),
            }
            if buffer.len() >= PIECE_BYTES {
                copy.send(buffer.as_slice()).await?;
                buffer.clear();
            }
        }
        if format == CopyFormat::Binary {
            buffer.extend_from_slice(&BINARY_TRAILER);
        }
        copy.send(buffer.as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }

    /// In INSERTs of many rows.
    pub(super) async fn insert(
        &self,
        transaction: &mut Transaction,
        statements: &Statements<'_>,
    ) -> Result<(), sqlx::Error> {
        let types = self.types();
        let casts: Vec<String> = (0..types.len()).map(|at| statements.cast(at)).collect();
        let n_rows_max = ROWS_MAX.min(PARAMETERS_MAX / (types.len() + 2)).max(1);
        let mut first = self.rows.start;
        while first < self.rows.end {
            let end = self.rows.end.min(first + n_rows_max);
            let mut parameters = PgArguments::default();
            for index in first..end {
                for mark in self.marks(index) {
                    arguments::add(&mut parameters, mark);
                }
                let values = self.batch.rows.row(index).values();
                for (at, (value, ty)) in values.zip(&types).enumerate() {
                    let is_binary = statements.is_binary(at);
                    let field = Field {
                        ty,
                        value,
                        is_binary,
                    };
                    arguments::add(&mut parameters, field);
                }
            }
            let sql = insert(&statements.stage_columns(), &casts, end - first);
            transaction.execute(&sql, parameters).await?;
            first = end;
        }
        Ok(())
    }

    fn types(&self) -> Vec<&ColumnType> {
        let columns = 0..self.plan.columns.len();
        columns.map(|at| &self.plan.column(at).ty).collect()
    }

    fn marks(&self, index: usize) -> [i32; 2] {
        [index, self.patterns.of_row[index]]
            .map(|mark| i32::try_from(mark).expect("a batch has fewer rows than that"))
    }
}

/// An INSERT of so many rows; each has its marks and its values as parameters.
fn insert(stage_columns: &str, casts: &[String], n_rows: usize) -> String {
    let mut sql = format!("INSERT INTO {stage_columns} VALUES ");
    let mut n_parameters = 0;
    let mut parameter = |sql: &mut String, before: &str, cast: &str| {
        n_parameters += 1;
        write!(sql, "{before}${n_parameters}{cast}").expect("writing into a string cannot fail");
    };
    for row in 0..n_rows {
        parameter(&mut sql, if row == 0 { "(" } else { ", (" }, "::int4");
        parameter(&mut sql, ", ", "::int4");
        for cast in casts {
            parameter(&mut sql, ", ", cast);
        }
        sql.push(')');
    }
    sql
}

fn append_row(buffer: &mut Vec<u8>, marks: [i32; 2], row: Row<'_>, types: &[&ColumnType]) {
    let n_fields = marks.len() + types.len();
    let n_fields = i16::try_from(n_fields).expect("a table has at most 1600 columns");
    buffer.extend_from_slice(&n_fields.to_be_bytes());
    for mark in marks {
        buffer.extend_from_slice(&4_i32.to_be_bytes());
        buffer.extend_from_slice(&mark.to_be_bytes());
    }
    for (value, ty) in row.values().zip(types) {
        if !is_staged_as_text(ty) {
            binary::append_field(buffer, ty, value);
            continue;
        }
        match text::render(ty, value) {
            None => buffer.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                let length = i32::try_from(text.len()).expect("a value is below 1 GiB");
                buffer.extend_from_slice(&length.to_be_bytes());
                buffer.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn append_text_row(
    buffer: &mut Vec<u8>,
    scratch: &mut String,
    marks: [i32; 2],
    row: Row<'_>,
    types: &[&ColumnType],
) {
    scratch.clear();
    write!(scratch, "{}\t{}", marks[0], marks[1]).expect("writing into a string cannot fail");
    buffer.extend_from_slice(scratch.as_bytes());
    for (value, ty) in row.values().zip(types) {
        buffer.push(b'\t');
        append_text_field(buffer, scratch, ty, value);
    }
    buffer.push(b'\n');
}

//! Parameters of statements.
//!
//! In: Rust values, or a row's values in the binary form of [`super::binary`]. Out:
//! [`PgArguments`]. A row's values carry no type of their own: the statement casts each of them,
//! so that sqlx never asks the database about types that it does not know.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, Postgres, Type};

use crate::model::table::ColumnType;
use crate::model::value::Value;

use super::{binary, text};

/// A value of a mapped column as a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// The column's type.
    pub(super) ty: &'a ColumnType,
    /// The value.
    pub(super) value: Value<'a>,
    /// In the type's binary form, else as text.
    pub(super) is_binary: bool,
}

impl Type<Postgres> for Field<'_> {
    fn type_info() -> PgTypeInfo {
        // 0: the server takes the type from the cast around the parameter.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl<'q> Encode<'q, Postgres> for Field<'q> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let is_some = if self.is_binary {
            binary::append(buffer, self.ty, self.value)
        } else {
            let rendered = text::render(self.ty, self.value);
            buffer.extend_from_slice(rendered.as_deref().unwrap_or_default().as_bytes());
            rendered.is_some()
        };
        Ok(if is_some { IsNull::No } else { IsNull::Yes })
    }
}

/// Adds one parameter.
///
/// # Panics
/// If its encoded form is 2 GiB or longer.
pub(super) fn add<'q, T>(arguments: &mut PgArguments, value: T)
where
    T: Encode<'q, Postgres> + Type<Postgres> + 'q,
{
    arguments
        .add(value)
        .expect("values of a batch are far below 2 GiB");
}

/// A count or ordinal as the ledger's bigint.
pub(super) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A bigint of the ledger as the count or ordinal that it was.
pub(super) fn number(bigint: i64) -> u64 {
    u64::try_from(bigint).unwrap_or(0)
}

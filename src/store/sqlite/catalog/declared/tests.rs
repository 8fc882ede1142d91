use super::column_type;
use crate::model::table::{ColumnType, NumericBounds};

#[test]
fn declarations_stand_for_types() {
    let numeric = |precision, scale| ColumnType::Numeric(Some(NumericBounds { precision, scale }));
    let table = [
        ("integer", ColumnType::Int8),
        ("INT", ColumnType::Int8),
        ("smallint", ColumnType::Int2),
        ("int4", ColumnType::Int4),
        ("VARCHAR(255)", ColumnType::Varchar(Some(255))),
        ("character  varying ( 40 )", ColumnType::Varchar(Some(40))),
        ("varchar", ColumnType::Varchar(None)),
        ("char(3)", ColumnType::Char(3)),
        ("char", ColumnType::Varchar(None)),
        ("text", ColumnType::Text),
        ("", ColumnType::Text),
        ("numeric", ColumnType::Numeric(None)),
        ("numeric(10, 2)", numeric(10, 2)),
        ("DECIMAL(5)", numeric(5, 0)),
        ("numeric(2,-3)", numeric(2, -3)),
        ("double precision", ColumnType::Float8),
        ("REAL", ColumnType::Float8),
        ("boolean", ColumnType::Bool),
        ("date", ColumnType::Date),
        ("time(6)", ColumnType::Time),
        ("datetime", ColumnType::Timestamp),
        ("timestamp(6) with time zone", ColumnType::TimestampTz),
        ("timestamp with time zone", ColumnType::TimestampTz),
        ("timestamptz", ColumnType::TimestampTz),
        ("uuid", ColumnType::Uuid),
        ("json", ColumnType::Json),
        ("jsonb", ColumnType::Jsonb),
        ("BLOB", ColumnType::Bytea),
        ("bytea", ColumnType::Bytea),
        ("money", ColumnType::Other),
        ("varchar(x)", ColumnType::Varchar(None)),
        ("varchar(-1)", ColumnType::Varchar(None)),
        ("a\"; drop table b; --(", ColumnType::Other),
    ];
    for (declared, expected) in table {
        assert_eq!(column_type(declared), expected, "{declared}");
    }
}

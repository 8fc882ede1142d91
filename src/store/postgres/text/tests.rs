use super::render;
use crate::model::table::ColumnType;
use crate::model::value::Value;

#[test]
fn values_read_as_the_database_writes_them() {
    let noon = 43_200_000_000;
    for (ty, value, text) in [
        (ColumnType::Bool, Value::Bool(true), "true"),
        (
            ColumnType::Int8,
            Value::Int(i64::MIN),
            "-9223372036854775808",
        ),
        (ColumnType::Float8, Value::Float(f64::NAN), "NaN"),
        (
            ColumnType::Float8,
            Value::Float(f64::NEG_INFINITY),
            "-Infinity",
        ),
        (ColumnType::Float8, Value::Float(-0.0), "-0e0"),
        (ColumnType::Float8, Value::Float(0.1), "1e-1"),
        (ColumnType::Float4, Value::Float(f64::from(0.1_f32)), "1e-1"),
        (ColumnType::Bytea, Value::Bytes(&[0, 0xAB]), "\\x00ab"),
        (ColumnType::Date, Value::Date(0), "1970-01-01"),
        (ColumnType::Date, Value::Date(11_016), "2000-02-29"),
        (ColumnType::Date, Value::Date(-719_163), "0001-12-31 BC"),
        (ColumnType::Date, Value::Date(-719_162), "0001-01-01"),
        (ColumnType::Date, Value::Date(-735_160), "0044-03-15 BC"),
        (ColumnType::Date, Value::Date(2_932_897), "10000-01-01"),
        (ColumnType::Time, Value::Time(86_400_000_000), "24:00:00"),
        (ColumnType::Time, Value::Time(1), "00:00:00.000001"),
        (
            ColumnType::Timestamp,
            Value::Timestamp(noon),
            "1970-01-01 12:00:00",
        ),
        (
            ColumnType::Timestamp,
            Value::Timestamp(-1),
            "1969-12-31 23:59:59.999999",
        ),
        (
            ColumnType::TimestampTz,
            Value::Timestamp(noon),
            "1970-01-01 12:00:00+00",
        ),
    ] {
        assert_eq!(render(&ty, value).as_deref(), Some(text), "{value:?}");
    }
}

#[test]
fn every_day_of_eight_centuries_follows_the_one_before() {
    let mut last = super::civil(-150_000);
    for day in -149_999..150_000 {
        let next = super::civil(day);
        assert!(last < next, "{last:?} {next:?}");
        last = next;
    }
}

#[test]
fn null_and_unset_have_no_text() {
    assert_eq!(render(&ColumnType::Text, Value::Null), None);
    assert_eq!(render(&ColumnType::Text, Value::Unset), None);
    assert_eq!(
        render(&ColumnType::Text, Value::Text("")),
        Some(String::new())
    );
}

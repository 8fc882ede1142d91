//! Every type of column through every method.

use rowlift::model::table::ColumnType;
use rowlift::model::value::Value;

use super::fixture::{Fixture, METHODS, batch};

const TABLE: &str = "
CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"');
CREATE DOMAIN short AS varchar(3);
CREATE DOMAIN money_amount AS numeric(12, 2);
CREATE TABLE every_type (
    id int NOT NULL, t text, vc varchar(3), vcu varchar, ch char(5), i2 int2, i4 int4, i8 int8,
    n numeric, n2 numeric(10, 2), f4 float4, f8 float8, b bool, d date, tm time, ts timestamp,
    tz timestamptz, u uuid, j json, jb jsonb, by bytea, m mood, ds short, dm money_amount,
    ip inet, iv interval, bits varbit(5))";

const COLUMNS: [&str; 27] = [
    "id", "t", "vc", "vcu", "ch", "i2", "i4", "i8", "n", "n2", "f4", "f8", "b", "d", "tm", "ts",
    "tz", "u", "j", "jb", "by", "m", "ds", "dm", "ip", "iv", "bits",
];

const UUID: [u8; 16] = [
    0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8,
];

fn low() -> Vec<Value<'static>> {
    vec![
        Value::Int(1),
        Value::Text("tab\tnew\nline\\ é 東京 'quote' \\N"),
        Value::Text("é東x"),
        Value::Text(""),
        Value::Text("ab"),
        Value::Int(i16::MIN.into()),
        Value::Int(i32::MIN.into()),
        Value::Int(i64::MIN),
        Value::Decimal("-12345678901234567890.000012340"),
        Value::Decimal("99999999.99"),
        Value::Float(f64::from(f32::MIN_POSITIVE)),
        Value::Float(f64::MIN_POSITIVE),
        Value::Bool(false),
        Value::Date(-719_163),
        Value::Time(0),
        Value::Timestamp(-1),
        Value::Timestamp(-62_135_596_800_000_001),
        Value::Uuid(UUID),
        Value::Text("{\"a\" : [1, \"x\\u0041\"]}"),
        Value::Text("{\"a\" : [1, \"x\"]}"),
        Value::Bytes(&[0, 255, 92, 39]),
        Value::Text("it's \"ok\""),
        Value::Text("abc"),
        Value::Decimal("0.01"),
        Value::Text("10.0.0.1/8"),
        Value::Text("1 day 02:03:04"),
        Value::Text("10101"),
    ]
}

fn high() -> Vec<Value<'static>> {
    vec![
        Value::Int(2),
        Value::Text("\\x41"),
        Value::Text("abc"),
        Value::Text("NULL"),
        Value::Text("abcde"),
        Value::Int(i16::MAX.into()),
        Value::Int(i32::MAX.into()),
        Value::Int(i64::MAX),
        Value::Decimal("NaN"),
        Value::Decimal("-0.10"),
        Value::Float(f64::from(0.1_f32)),
        Value::Float(0.1 + 0.2),
        Value::Bool(true),
        Value::Date(2_932_896),
        Value::Time(86_400_000_000),
        Value::Timestamp(253_402_300_799_999_999),
        Value::Timestamp(1_700_000_000_123_456),
        Value::Uuid([0xFF; 16]),
        Value::Text("null"),
        Value::Text("\"\""),
        Value::Bytes(&[]),
        Value::Text("sad"),
        Value::Text(""),
        Value::Decimal("1234567890.12"),
        Value::Text("::1"),
        Value::Text("-3 mons"),
        Value::Text(""),
    ]
}

fn odd() -> Vec<Value<'static>> {
    vec![
        Value::Int(3),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Decimal("-Infinity"),
        Value::Decimal("0"),
        Value::Float(f64::NEG_INFINITY),
        Value::Float(f64::NAN),
        Value::Null,
        Value::Null,
        Value::Time(3_723_000_001),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

fn rows() -> Vec<Vec<Value<'static>>> {
    vec![low(), high(), odd()]
}

/// The rows as the database writes them.
const WRITTEN: [[Option<&str>; 27]; 3] = [
    [
        Some("1"),
        Some("tab\tnew\nline\\ é 東京 'quote' \\N"),
        Some("é東x"),
        Some(""),
        Some("ab   "),
        Some("-32768"),
        Some("-2147483648"),
        Some("-9223372036854775808"),
        Some("-12345678901234567890.000012340"),
        Some("99999999.99"),
        Some("1.1754944e-38"),
        Some("2.2250738585072014e-308"),
        Some("f"),
        Some("0001-12-31 BC"),
        Some("00:00:00"),
        Some("1969-12-31 23:59:59.999999"),
        Some("0001-12-31 23:59:59.999999+00 BC"),
        Some("12345678-9abc-def0-0102-030405060708"),
        Some("{\"a\" : [1, \"x\\u0041\"]}"),
        Some("{\"a\": [1, \"x\"]}"),
        Some("\\x00ff5c27"),
        Some("it's \"ok\""),
        Some("abc"),
        Some("0.01"),
        Some("10.0.0.1/8"),
        Some("1 day 02:03:04"),
        Some("10101"),
    ],
    [
        Some("2"),
        Some("\\x41"),
        Some("abc"),
        Some("NULL"),
        Some("abcde"),
        Some("32767"),
        Some("2147483647"),
        Some("9223372036854775807"),
        Some("NaN"),
        Some("-0.10"),
        Some("0.1"),
        Some("0.30000000000000004"),
        Some("t"),
        Some("9999-12-31"),
        Some("24:00:00"),
        Some("9999-12-31 23:59:59.999999"),
        Some("2023-11-14 22:13:20.123456+00"),
        Some("ffffffff-ffff-ffff-ffff-ffffffffffff"),
        Some("null"),
        Some("\"\""),
        Some("\\x"),
        Some("sad"),
        Some(""),
        Some("1234567890.12"),
        Some("::1"),
        Some("-3 mons"),
        Some(""),
    ],
    [
        Some("3"),
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        Some("-Infinity"),
        Some("0.00"),
        Some("-Infinity"),
        Some("NaN"),
        None,
        None,
        Some("01:02:03.000001"),
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ],
];

fn expected(n_columns: usize) -> Vec<Vec<Option<String>>> {
    let text = |value: Option<&str>| value.map(str::to_owned);
    WRITTEN
        .iter()
        .map(|row| row.iter().copied().take(n_columns).map(text).collect())
        .collect()
}

#[tokio::test]
async fn every_value_comes_back_as_it_was_sent_by_every_method() {
    let fixture = Fixture::new().await;
    fixture.database.execute(TABLE).await;
    // With the last three columns COPY is text, without them it is binary.
    for n_columns in [COLUMNS.len(), COLUMNS.len() - 3] {
        for method in METHODS {
            fixture.database.execute("TRUNCATE every_type").await;
            let import = fixture
                .import("every_type", &COLUMNS[..n_columns], method)
                .await;
            let rows: Vec<Vec<Value<'_>>> =
                rows().iter().map(|row| row[..n_columns].to_vec()).collect();
            let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
            assert_eq!(
                receipt.counts.inserted, 3,
                "{method:?}: {:?}",
                receipt.rejected
            );
            let select = format!(
                "SELECT {} FROM every_type ORDER BY id",
                COLUMNS[..n_columns].join(", ")
            );
            let written = fixture.database.query(&select).await;
            assert_eq!(written, expected(n_columns), "{method:?}");
        }
    }
}

#[tokio::test]
async fn too_long_a_value_is_never_cut() {
    let fixture = Fixture::new().await;
    fixture.database.execute(TABLE).await;
    for method in METHODS {
        for (column, value) in [
            ("vc", Value::Text("abcd")),
            ("ds", Value::Text("abcd")),
            ("ch", Value::Text("abcdef")),
            ("bits", Value::Text("101010")),
        ] {
            let import = fixture.import("every_type", &["id", column], method).await;
            let row = vec![Value::Int(1), value];
            let receipt = fixture.write(&import, &batch(0, &[row])).await.unwrap();
            assert_eq!(receipt.counts.inserted, 0, "{method:?} {column}");
            let error = &receipt.rejected[0].errors[0];
            assert_eq!(error.sql_state, "22001", "{method:?} {column}");
        }
    }
    assert_eq!(
        fixture
            .database
            .value("SELECT count(*) FROM every_type")
            .await,
        "0"
    );
}

#[tokio::test]
async fn values_left_unset_get_their_defaults() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE d (a int DEFAULT 1, b int DEFAULT 2, c int DEFAULT 3, e text)")
        .await;
    let (set, unset) = (Value::Int(0), Value::Unset);
    let few = vec![
        vec![set, unset, set],
        vec![set, set, unset],
        vec![set, unset, set],
    ];
    let none_set = vec![vec![unset, unset, unset], vec![set, Value::Null, set]];
    let many: Vec<Vec<Value<'_>>> = (0..8)
        .map(|mask| {
            (0..3)
                .map(|at| if mask >> at & 1 == 0 { unset } else { set })
                .collect()
        })
        .collect();
    for method in METHODS {
        for rows in [&few, &none_set, &many] {
            fixture.database.execute("TRUNCATE d").await;
            let import = fixture.import("d", &["a", "b", "c"], method).await;
            let receipt = fixture.write(&import, &batch(0, rows)).await.unwrap();
            assert_eq!(receipt.counts.inserted, rows.len() as u64, "{method:?}");
            let mut written = fixture.database.query("SELECT a, b, c FROM d").await;
            let text = |value: &Value<'_>, default: i64| match value {
                Value::Unset => Some(default.to_string()),
                Value::Int(value) => Some(value.to_string()),
                _ => None,
            };
            let mut expected: Vec<Vec<Option<String>>> = rows
                .iter()
                .map(|row| {
                    row.iter()
                        .zip(1..)
                        .map(|(value, default)| text(value, default))
                        .collect()
                })
                .collect();
            written.sort();
            expected.sort();
            assert_eq!(written, expected, "{method:?}");
        }
    }
}

#[tokio::test]
async fn more_values_than_a_statement_holds_are_inserted_in_several() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE wide (a int, b int, c int)")
        .await;
    let import = fixture
        .import(
            "wide",
            &["a", "b", "c"],
            rowlift::model::import::WriteMethod::Batch,
        )
        .await;
    let rows: Vec<Vec<Value<'_>>> = (0..2_500).map(|at| vec![Value::Int(at); 3]).collect();
    let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2_500);
    let sum = fixture
        .database
        .value("SELECT sum(a + b + c) FROM wide")
        .await;
    assert_eq!(sum, (2_499 * 2_500 / 2 * 3).to_string());
}

#[tokio::test]
async fn the_catalogue_tells_types_below_their_domains() {
    let fixture = Fixture::new().await;
    fixture.database.execute(TABLE).await;
    let table = rowlift::store::Store::table(&fixture.store, "every_type")
        .await
        .unwrap()
        .unwrap();
    let column = |name: &str| &table.columns[table.column_index(name).unwrap()];
    assert_eq!(column("ds").ty, ColumnType::Varchar(Some(3)));
    assert_eq!(column("ds").type_name, "short");
    assert_eq!(column("vcu").ty, ColumnType::Varchar(None));
    assert_eq!(column("ch").ty, ColumnType::Char(5));
    assert_eq!(column("ip").ty, ColumnType::Other);
    assert!(matches!(&column("dm").ty, ColumnType::Numeric(Some(bounds)) if bounds.scale == 2));
    assert!(matches!(&column("m").ty, ColumnType::Enum(labels) if labels.len() == 2));
    assert!(!column("id").nullable);
}

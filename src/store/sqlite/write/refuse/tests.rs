use super::{named_column, unique_key};
use crate::model::table::{Column, ColumnType, Meets, Table, UniqueKey};

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType::Text,
        type_name: "TEXT".to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    }
}

fn key(name: &str, columns: &[&str], plain: bool) -> UniqueKey {
    UniqueKey {
        name: name.to_owned(),
        columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        primary: false,
        plain,
        definition: String::new(),
        terms: Vec::new(),
        predicate: String::new(),
        arbiter: plain,
        meets: Meets::Untold,
    }
}

fn table() -> Table {
    Table {
        unique_keys: vec![
            key("partial", &["a"], false),
            key("plain", &["a"], true),
            key("pair", &["a", "b"], true),
            key("it's lower", &["b"], false),
        ],
        ..Table::bare(
            "main",
            "a.b, c",
            ["a", "b", "a, a.b, c.b"].map(column).into(),
        )
    }
}

#[test]
fn keys_are_known_by_their_messages() {
    let table = table();
    let cases = [
        ("UNIQUE constraint failed: a.b, c.a", Some("plain")),
        ("UNIQUE constraint failed: a.b, c.a, a.b, c.b", Some("pair")),
        (
            "UNIQUE constraint failed: index 'it''s lower'",
            Some("it's lower"),
        ),
        ("UNIQUE constraint failed: other.a", None),
    ];
    for (message, expected) in cases {
        let found = unique_key(&table, message).map(|key| key.name.as_str());
        assert_eq!(found, expected, "{message}");
    }
}

#[test]
fn columns_are_known_by_their_messages() {
    let table = table();
    let not_null = "NOT NULL constraint failed: ";
    let column = |name: &str| named_column(&table, &format!("{not_null}a.b, c.{name}"), not_null);
    assert_eq!(column("b"), "b");
    assert_eq!(column("a, a.b, c.b"), "a, a.b, c.b");
    assert_eq!(column("missing"), "");
    let strict = "cannot store TEXT value in INTEGER column a.b, c.a";
    assert_eq!(named_column(&table, strict, " column "), "a");
}

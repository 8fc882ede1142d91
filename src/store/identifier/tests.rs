use super::{Identifier, QualifiedName, quoted_list};
use crate::model::table::TableName;

#[test]
fn quotes_in_a_name_are_doubled() {
    for (name, quoted) in [
        ("plain", "\"plain\""),
        ("Mixed Case", "\"Mixed Case\""),
        ("a\"; drop table b; --", "\"a\"\"; drop table b; --\""),
        ("\"", "\"\"\"\""),
        ("naïve\\", "\"naïve\\\""),
    ] {
        assert_eq!(Identifier::new(name).to_string(), quoted, "{name}");
    }
}

#[test]
fn schema_and_table_are_quoted_by_themselves() {
    let table = TableName {
        schema: "a.b".to_owned(),
        name: "c\"d".to_owned(),
    };
    assert_eq!(
        QualifiedName::from(&table).to_string(),
        "\"a.b\".\"c\"\"d\""
    );
    assert_eq!(quoted_list(["x", "y z"]), "\"x\", \"y z\"");
}

#[test]
#[should_panic(expected = "no catalogue has the name")]
fn a_name_with_a_nul_is_refused() {
    let _ = Identifier::new("a\0b");
}

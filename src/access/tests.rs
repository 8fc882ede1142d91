use super::*;
use crate::model::table::{Column, ColumnType};

const POLICY: &str = r#"
[[callers]]
principals = ["spiffe://mesh/ns/shop/sa/*"]
owner = "shop"
tables = ["orders", "tenant_*.contacts"]
columns = ["name"]
verbs = ["import", "read"]
imports_max = 2
bytes_in_flight_max = "64MiB"
calls_max = 3

[[callers]]
principals = ["auditor", "spiffe://mesh/ns/audit/sa/reader"]
owner = "audit"
tables = ["*.*"]
verbs = ["read"]
"#;

fn table(schema: &str, name: &str) -> Arc<Table> {
    let column = |name: &str| Column {
        name: name.to_owned(),
        ty: ColumnType::Text,
        type_name: "text".to_owned(),
        nullable: true,
        has_default: false,
        generated: false,
        importable: true,
        assignable: true,
        aliases: Vec::new(),
    };
    Arc::new(Table::bare(
        schema,
        name,
        vec![column("name"), column("is_admin")],
    ))
}

#[test]
fn the_first_rule_that_fits_holds() {
    let policy = Policy::parse(POLICY, "public").unwrap();
    let shop = policy.caller("spiffe://mesh/ns/shop/sa/web").unwrap();
    assert_eq!((shop.owner(), shop.imports_max()), ("shop", Some(2)));
    assert_eq!(shop.bytes_in_flight_max(), Some(64 << 20));
    assert_eq!(shop.calls_max(), Some(3));
    assert!(shop.may(Verb::Import) && shop.may(Verb::Read));
    assert!(!shop.may(Verb::Cancel) && !shop.may(Verb::Delete) && !shop.may(Verb::Inspect));
    assert_eq!(policy.caller("auditor").unwrap().owner(), "audit");
    assert_eq!(policy.caller("spiffe://mesh/ns/other/sa/web"), None);
    assert_eq!(policy.caller(""), None);
}

#[test]
fn tables_and_columns_that_are_not_named_do_not_exist() {
    let policy = Policy::parse(POLICY, "public").unwrap();
    let shop = policy.caller("spiffe://mesh/ns/shop/sa/web").unwrap();
    assert_eq!(shop.view(&table("public", "people")), None);
    assert_eq!(shop.view(&table("other", "orders")), None);
    let contacts = shop.view(&table("tenant_7", "contacts")).unwrap();
    let can: Vec<bool> = contacts.columns.iter().map(|it| it.importable).collect();
    assert_eq!(can, [true, false]);
    let can: Vec<bool> = contacts.columns.iter().map(|it| it.assignable).collect();
    assert_eq!(can, [true, false]);
    let auditor = policy.caller("auditor").unwrap();
    assert!(auditor.view(&table("any", "table")).is_some());
}

#[test]
fn without_identity_everybody_may_do_everything() {
    let anybody = Caller::anybody();
    assert!(anybody.may(Verb::Import) && anybody.may(Verb::Delete));
    let orders = table("public", "orders");
    assert_eq!(anybody.view(&orders), Some(orders));
    assert_eq!((anybody.owner(), anybody.principal()), ("", ""));
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused() {
    let unknown = "[[callers]]\nprincipals = [\"a\"]\nowner = \"a\"\ntable = []\nverbs = []";
    assert!(Policy::parse(unknown, "public").is_err());
    let verb = "[[callers]]\nprincipals = [\"a\"]\nowner = \"a\"\ntables = []\nverbs = [\"own\"]";
    assert!(Policy::parse(verb, "public").is_err());
    for size in ["0", "\"1 MB\"", "-1", "true", "\"1023KiB\""] {
        let rule = POLICY.replace("\"64MiB\"", size);
        let error = Policy::parse(&rule, "public").unwrap_err();
        assert!(error.contains("bytes_in_flight_max"), "{error}");
    }
    assert!(Policy::parse(&POLICY.replace("64MiB", "1MiB"), "public").is_ok());
    let nobody = "[[callers]]\nprincipals = [\"a\"]\nowner = \"\"\ntables = []\nverbs = []";
    assert!(
        Policy::parse(nobody, "public")
            .unwrap_err()
            .contains("no owner")
    );
}

//! Tables as the catalogue describes them, and names that try to be more than names.

use rowlift::model::import::WriteMethod;
use rowlift::model::table::ColumnType;
use rowlift::model::value::Value;
use rowlift::store::{Store, Transactions};

use super::fixture::{Fixture, METHODS, batch};

#[tokio::test]
async fn keys_say_what_can_be_probed() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE parent (a int, b int, PRIMARY KEY (b, a));
             CREATE TABLE k (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int,
                 plain text CONSTRAINT k_plain UNIQUE, lowered text, part int, late int,
                 nulls int, doubled int GENERATED ALWAYS AS (a * 2) STORED,
                 list int[], CONSTRAINT k_check CHECK (a < b),
                 CONSTRAINT k_late UNIQUE (late) DEFERRABLE,
                 CONSTRAINT k_nulls UNIQUE NULLS NOT DISTINCT (nulls),
                 CONSTRAINT k_parent FOREIGN KEY (b, a) REFERENCES parent (b, a)
                     DEFERRABLE INITIALLY DEFERRED);
             CREATE UNIQUE INDEX k_lowered ON k (lower(lowered));
             CREATE UNIQUE INDEX k_part ON k (part) WHERE part > 0;",
        )
        .await;
    let table = fixture.store.table("k").await.unwrap().unwrap();
    let keys: Vec<(&str, &[String], bool, bool)> = table
        .unique_keys
        .iter()
        .map(|key| {
            (
                key.name.as_str(),
                key.columns.as_slice(),
                key.primary,
                key.plain,
            )
        })
        .collect();
    let columns = |name: &str| [name.to_owned()];
    assert_eq!(
        keys,
        [
            ("k_pkey", &columns("id")[..], true, true),
            ("k_late", &columns("late")[..], false, false),
            ("k_lowered", &columns("lowered")[..], false, false),
            ("k_nulls", &columns("nulls")[..], false, false),
            ("k_part", &columns("part")[..], false, false),
            ("k_plain", &columns("plain")[..], false, true),
        ]
    );
    let foreign = &table.foreign_keys[0];
    assert_eq!(foreign.columns, ["b", "a"]);
    assert_eq!(foreign.foreign_columns, ["b", "a"]);
    assert_eq!(foreign.foreign_table.to_string(), "public.parent");
    assert!(foreign.deferred);
    assert_eq!(table.constraint_columns("k_check"), ["a", "b"]);
    let column = |name: &str| &table.columns[table.column_index(name).unwrap()];
    assert!(column("id").generated && column("doubled").generated);
    assert!(!column("id").importable && column("a").importable);
    assert_eq!(column("list").ty, ColumnType::Array);
}

#[tokio::test]
async fn names_mean_nothing_to_the_database() {
    let fixture = Fixture::new().await;
    let evil = "a\"; drop table b; --";
    fixture
        .database
        .execute(
            "CREATE TABLE b (id int);
             CREATE SCHEMA \"s.\"\"x\";
             CREATE TABLE \"s.\"\"x\".\"a\"\"; drop table b; --\"
                 (\"c\"\"; drop table b; --\" inet UNIQUE, \"Ü ,\" int REFERENCES businesses)",
        )
        .await;
    let name = format!("s.\"x.{evil}");
    let columns = ["c\"; drop table b; --", "Ü ,"];
    for method in METHODS {
        let mut import = fixture.import(&name, &columns, method).await;
        import.probe_first = true;
        let ip = format!("10.0.0.{}", method.number());
        let good = vec![Value::Text(&ip), Value::Null];
        let orphan = vec![Value::Text("::1"), Value::Int(77)];
        let rows = [good.clone(), good, orphan];
        let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
        assert_eq!(
            receipt.counts.inserted, 1,
            "{method:?} {:?}",
            receipt.rejected
        );
        assert_eq!(receipt.rejected[0].errors[0].column, columns[0]);
        assert_eq!(receipt.rejected[1].errors[0].column, columns[1]);
    }
    assert_eq!(fixture.database.value("SELECT count(*) FROM b").await, "0");
}

#[tokio::test]
async fn only_allowed_tables_exist() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE \"Upper\" (a int)")
        .await;
    let tables = fixture.store.tables().await.unwrap();
    let names: Vec<String> = tables.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["public.Upper", "public.businesses"]);
    for (name, exists) in [
        ("businesses", true),
        ("public.businesses", true),
        ("Businesses", false),
        ("upper", false),
        ("v", false),
        ("rowlift.imports", false),
        ("pg_catalog.pg_class", false),
        ("information_schema.tables", false),
        ("", false),
        ("a\0b", false),
    ] {
        let found = fixture.store.table(name).await.unwrap();
        assert_eq!(found.is_some(), exists, "{name:?}");
    }
}

#[tokio::test]
async fn copy_is_not_chosen_where_row_level_security_applies() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE secured (a int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY")
        .await;
    // The tests' role is a superuser, for whom it never applies.
    let mut table = (*fixture.store.table("secured").await.unwrap().unwrap()).clone();
    assert!(!table.row_security);
    let per_batch = Transactions::PerBatch;
    let method = |wanted, table: &_| fixture.store.write_method(wanted, table, per_batch);
    assert_eq!(method(None, &table), WriteMethod::Copy);
    assert_eq!(
        method(Some(WriteMethod::Sequential), &table),
        WriteMethod::Sequential
    );
    table.row_security = true;
    assert_eq!(method(None, &table), WriteMethod::Batch);
    assert_eq!(method(Some(WriteMethod::Copy), &table), WriteMethod::Batch);
}

#[tokio::test]
async fn migrating_twice_changes_nothing_and_a_table_that_exists_is_left_alone() {
    let database = crate::support::postgres::Database::fresh().await;
    database.execute("CREATE TABLE businesses (mine int)").await;
    let config = super::fixture::config(&database);
    let store = rowlift::store::postgres::PgStore::connect(config)
        .await
        .unwrap();
    assert!(!store.ready().await.unwrap());
    store.migrate().await.unwrap();
    assert!(store.ready().await.unwrap());
    store.migrate().await.unwrap();
    let columns = "SELECT string_agg(attname, ',') FROM pg_attribute \
        WHERE attrelid = 'businesses'::regclass AND attnum > 0";
    assert_eq!(database.value(columns).await, "mine");
    store.close(std::time::Duration::from_secs(5)).await;
}

//! Tables as the stores describe them.

use std::sync::Arc;

use rowlift::model::cell::Cell;
use rowlift::model::table::{ColumnType, NumericBounds, Table};

use super::backend::{Backend, BatchBuilder, begin, number, plan, table, texts, write};

const OWNERS: &str = "create table owners (id bigint primary key, code text, \
                      constraint owners_code unique (code))";
const PETS: &str = "create table pets (
    id bigint not null,
    name varchar(20) not null,
    kind char(3) default 'cat',
    weight numeric(6, 2),
    born date,
    seen_at timestamp with time zone,
    shown text generated always as (name) stored,
    owner_id bigint references owners (id),
    owner_code text,
    constraint pets_pkey primary key (id),
    constraint heavy check (weight > 0),
    constraint owner_code foreign key (owner_code) references owners (code)
        deferrable initially deferred,
    unique (name, kind))";

async fn pets(backend: &dyn Backend) -> Arc<Table> {
    for sql in [
        OWNERS,
        PETS,
        "create unique index pets_lower on pets (lower(name)) where born is not null",
        "create index pets_born on pets (born)",
    ] {
        backend.execute(sql).await;
    }
    table(backend, "pets").await
}

pub(crate) async fn columns_are_described_by_the_catalogue(backend: &dyn Backend) {
    let table = pets(backend).await;
    let column = |name: &str| &table.columns[table.column_index(name).unwrap()];
    let names: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
    let expected = [
        "id",
        "name",
        "kind",
        "weight",
        "born",
        "seen_at",
        "shown",
        "owner_id",
        "owner_code",
    ];
    assert_eq!(names, expected);
    assert_eq!(column("id").ty, ColumnType::Int8);
    assert_eq!(column("name").ty, ColumnType::Varchar(Some(20)));
    assert_eq!(column("kind").ty, ColumnType::Char(3));
    let bounds = NumericBounds {
        precision: 6,
        scale: 2,
    };
    assert_eq!(column("weight").ty, ColumnType::Numeric(Some(bounds)));
    assert_eq!(column("born").ty, ColumnType::Date);
    assert_eq!(column("seen_at").ty, ColumnType::TimestampTz);
    assert!(column("shown").generated && !column("shown").importable);
    assert!(!column("name").nullable && column("weight").nullable);
    assert!(column("kind").has_default && !column("name").has_default);
    assert!(column("name").importable && !column("name").assignable);
}

pub(crate) async fn keys_and_checks_are_described_by_the_catalogue(backend: &dyn Backend) {
    let table = pets(backend).await;
    let keys: Vec<_> = table.unique_keys.iter().collect();
    let facts: Vec<_> = keys
        .iter()
        .map(|key| {
            (
                key.name.as_str(),
                key.primary,
                key.plain,
                key.columns.join(","),
            )
        })
        .collect();
    assert_eq!(facts[0], ("pets_pkey", true, true, "id".to_owned()));
    assert!(facts.contains(&("pets_name_kind_key", false, true, "name,kind".to_owned())));
    let lower = keys.iter().find(|key| key.name == "pets_lower").unwrap();
    assert!(
        !lower.plain && lower.columns.contains(&"name".to_owned()),
        "{lower:?}"
    );
    assert!(
        lower.arbiter && lower.predicate.contains("born"),
        "{lower:?}"
    );
    assert!(
        matches!(lower.terms.as_slice(), [term] if term.contains("lower(")),
        "{lower:?}"
    );
    assert!(keys.iter().all(|key| key.arbiter && !key.terms.is_empty()));
    assert_eq!(keys.len(), 3);

    let foreign: Vec<_> = table
        .foreign_keys
        .iter()
        .map(|key| (key.name.as_str(), key.columns.join(","), key.deferred))
        .collect();
    assert!(
        foreign.contains(&("pets_owner_id_fkey", "owner_id".to_owned(), false)),
        "{foreign:?}"
    );
    assert!(
        foreign.contains(&("owner_code", "owner_code".to_owned(), true)),
        "{foreign:?}"
    );
    let by_code = table.foreign_keys.iter().find(|key| key.deferred).unwrap();
    assert_eq!(
        (
            by_code.foreign_table.name.as_str(),
            by_code.foreign_columns[0].as_str()
        ),
        ("owners", "code")
    );
    let check = table
        .checks
        .iter()
        .find(|check| check.name == "heavy")
        .unwrap();
    assert_eq!(check.columns, ["weight"]);
}

pub(crate) async fn names_full_of_quotes_are_harmless(backend: &dyn Backend) {
    let name = "a\"; drop table b; --";
    backend.execute("create table b (id bigint)").await;
    let quoted = name.replace('"', "\"\"");
    let sql = format!(
        "create table \"{quoted}\" (\"{quoted}\" varchar(9) unique, \"x.y, z\" bigint not null)"
    );
    backend.execute(&sql).await;
    let store = backend.store();
    let plan = plan(backend, name, &[name, "x.y, z"]).await;
    let key = begin(&*store, "quotes").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[Cell::Text("'a'"), Cell::Int(1)])
        .row(&[Cell::Text("'a'"), Cell::Int(2)])
        .row(&[Cell::Text("b"), Cell::Null])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (1, 2));
    assert_eq!(receipt.rejected[0].errors[0].column, name);
    assert_eq!(receipt.rejected[1].errors[0].column, "x.y, z");
    let sql = format!("select \"{quoted}\" from \"{quoted}\"");
    assert_eq!(texts(backend, &sql).await, ["'a'"]);
    assert_eq!(number(backend, "select count(*) from b").await, 0);
    let missing = "a\"; drop table b; -- more";
    assert_eq!(store.table(missing).await.unwrap(), None);
}

pub(crate) async fn tables_of_the_ledger_are_hidden(backend: &dyn Backend) {
    backend.execute("create table mine (a bigint)").await;
    let store = backend.store();
    let tables = store.tables().await.unwrap();
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table.name.name.as_str())
        .collect();
    assert_eq!(names, ["businesses", "mine"]);
    let hidden = [
        "rowlift_imports",
        "_sqlx_migrations",
        "sqlite_master",
        "rowlift.imports",
        "pg_class",
        "pg_catalog.pg_class",
        "information_schema.tables",
        "",
        ".",
        "main.",
    ];
    for name in hidden {
        assert_eq!(store.table(name).await.unwrap(), None, "{name}");
    }
    let mine = store.table("mine").await.unwrap().unwrap();
    let qualified = store.table(&mine.name.to_string()).await.unwrap().unwrap();
    assert_eq!(mine, qualified);
}

pub(crate) async fn sample_table_takes_rows(backend: &dyn Backend) {
    let store = backend.store();
    let plan = plan(backend, "businesses", &["name", "phone", "email"]).await;
    assert!(!plan.table.columns[plan.table.column_index("name").unwrap()].nullable);
    let key = begin(&*store, "sample").await;
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[
            Cell::Text("Ørsted"),
            Cell::Null,
            Cell::Text("a@example.com"),
        ])
        .row(&[Cell::Text("東京"), Cell::Text("+81"), Cell::Null])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2);
    assert_eq!(
        texts(backend, "select name from businesses order by id").await,
        ["Ørsted", "東京"]
    );
    let dated = "select count(*) from businesses where created_at is not null and updated_at is not null and deleted_at is null";
    assert_eq!(number(backend, dated).await, 2);
}

//! What the catalogue tells of keys and tables, by which it is decided which batches may be written
//! side by side.

use rowlift::model::table::Meets;
use rowlift::store::Store as _;

use super::fixture::Fixture;

#[tokio::test]
async fn keys_say_which_rows_meet_in_them() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TYPE mood AS ENUM ('sad', 'happy');
             CREATE DOMAIN tag AS varchar(20);
             CREATE DOMAIN second AS timestamptz(0);
             CREATE TABLE meeting (
                 i int, n numeric(9, 2), f float4, u uuid, d date, m mood, y bytea, b bool,
                 t text, v varchar(9), g tag, w text, x text COLLATE \"C\",
                 c char(9), p bpchar, j jsonb, e inet, s second, h timestamp(6), k time(3),
                 l text GENERATED ALWAYS AS (lower(t)) STORED);
             CREATE UNIQUE INDEX apart ON meeting (i, n, f, u, d, m, y, b, t, v, g, x, h);
             CREATE UNIQUE INDEX part ON meeting (i) WHERE b;
             CREATE UNIQUE INDEX more ON meeting (i) INCLUDE (c, l);
             CREATE UNIQUE INDEX alike ON meeting (i, t) NULLS NOT DISTINCT;
             CREATE UNIQUE INDEX untold_operators ON meeting (t text_pattern_ops);
             CREATE UNIQUE INDEX untold_expression ON meeting (i, lower(t));
             CREATE UNIQUE INDEX untold_c ON meeting (c);
             CREATE UNIQUE INDEX untold_p ON meeting (p);
             CREATE UNIQUE INDEX untold_j ON meeting (j);
             CREATE UNIQUE INDEX untold_e ON meeting (e);
             CREATE UNIQUE INDEX untold_s ON meeting (s);
             CREATE UNIQUE INDEX untold_k ON meeting (k);
             CREATE UNIQUE INDEX derived ON meeting (i, l);
             CREATE UNIQUE INDEX derived_expression ON meeting ((l || 'x'));",
        )
        .await;
    let folds = create_collation_that_folds(&fixture).await;
    if folds {
        fixture
            .database
            .execute(
                "ALTER TABLE meeting ALTER w TYPE text COLLATE folded;
                 CREATE UNIQUE INDEX untold_w ON meeting (i, w);
                 CREATE UNIQUE INDEX untold_collation ON meeting (t COLLATE folded);",
            )
            .await;
    }
    let table = fixture.store.table("meeting").await.unwrap().unwrap();
    assert_eq!(table.unique_keys.len(), if folds { 16 } else { 14 });
    for key in &table.unique_keys {
        let expected = match key.name.split('_').next().unwrap() {
            "apart" | "part" | "more" => Meets::NullsApart,
            "alike" => Meets::NullsAlike,
            "untold" => Meets::Untold,
            "derived" => Meets::Derived,
            other => panic!("{other}"),
        };
        assert_eq!(key.meets, expected, "{}", key.name);
    }
}

/// Creates a collation that takes different texts for the same, or tells that the server cannot: it
/// was built without ICU, as the one that `scripts/pg18` installs.
async fn create_collation_that_folds(fixture: &Fixture) -> bool {
    fixture
        .database
        .execute(
            "DO $$ BEGIN
                 CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2',
                     deterministic = false);
             EXCEPTION WHEN feature_not_supported THEN NULL;
             END $$",
        )
        .await;
    let found = fixture
        .database
        .query("SELECT collname::text FROM pg_collation WHERE collname = 'folded'")
        .await;
    !found.is_empty()
}

/// Tables with a unique key, what of each makes the order of rows show, and for which rows.
const ORDERED: &[(&str, &str, bool, bool)] = &[
    ("nothing", "", false, false),
    (
        "defaults",
        "ALTER TABLE ? ADD at timestamptz DEFAULT clock_timestamp(),
             ADD u uuid DEFAULT gen_random_uuid(), ADD o int DEFAULT once()",
        false,
        false,
    ),
    (
        "own_default",
        "ALTER TABLE ? ADD n bigint DEFAULT next_one()",
        true,
        true,
    ),
    (
        "own_check",
        "ALTER TABLE ? ADD CHECK (k <> '' OR next_one() > 0)",
        true,
        true,
    ),
    (
        "own_domains",
        "CREATE DOMAIN checked AS int CHECK (VALUE > 0 AND next_one() > 0);
         ALTER TABLE ? ADD n checked",
        true,
        true,
    ),
    (
        "own_domain_below",
        "CREATE DOMAIN checked_below AS int CHECK (VALUE > 0 AND next_one() > 0);
         CREATE DOMAIN above AS checked_below; ALTER TABLE ? ADD n above",
        true,
        true,
    ),
    (
        "own_domain_default",
        "CREATE DOMAIN filled AS bigint DEFAULT next_one(); ALTER TABLE ? ADD n filled",
        true,
        true,
    ),
    (
        "on_insert",
        "CREATE TRIGGER g AFTER INSERT ON ? FOR EACH ROW EXECUTE FUNCTION pass()",
        true,
        false,
    ),
    (
        "on_update",
        "CREATE TRIGGER g BEFORE UPDATE ON ? FOR EACH ROW EXECUTE FUNCTION pass()",
        false,
        true,
    ),
    (
        "on_both",
        "CREATE TRIGGER g BEFORE INSERT OR UPDATE ON ? EXECUTE FUNCTION pass()",
        true,
        true,
    ),
    (
        // As PostgreSQL 14 has it in a partition, whose parent was given it.
        "cloned",
        "CREATE TRIGGER cloned_g BEFORE INSERT ON ? FOR EACH ROW EXECUTE FUNCTION pass();
         UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 'cloned_g'",
        true,
        false,
    ),
    (
        "disabled",
        "CREATE TRIGGER g BEFORE INSERT ON ? FOR EACH ROW EXECUTE FUNCTION pass();
         ALTER TABLE ? DISABLE TRIGGER g",
        false,
        false,
    ),
    (
        "ruled",
        "CREATE RULE r AS ON INSERT TO ? DO ALSO SELECT 1",
        true,
        true,
    ),
    (
        "being_built",
        "CREATE UNIQUE INDEX being_built_n ON ? ((1));
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'being_built_n'::regclass",
        true,
        true,
    ),
    (
        "a_parent",
        "CREATE TABLE child (k text REFERENCES ?); ALTER TABLE ? ADD p text REFERENCES nothing",
        false,
        false,
    ),
];

#[tokio::test]
async fn code_of_users_makes_the_order_of_rows_show() {
    let fixture = Fixture::new().await;
    let functions = "
        CREATE FUNCTION next_one() RETURNS bigint LANGUAGE sql
            AS 'SELECT count(*) FROM pg_class';
        CREATE FUNCTION once() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
        CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    fixture.database.execute(functions).await;
    for (name, change, on_insert, on_update) in ORDERED {
        let sql = format!("CREATE TABLE {name} (k text PRIMARY KEY); {change}");
        fixture.database.execute(&sql.replace('?', name)).await;
        let table = fixture.store.table(name).await.unwrap().unwrap();
        let shows = (table.order_shows_on_insert, table.order_shows_on_update);
        assert_eq!(shows, (*on_insert, *on_update), "{name}");
    }
    let tables = fixture.store.tables().await.unwrap();
    for (name, _, on_insert, _) in ORDERED {
        let table = tables.iter().find(|table| table.name.name == *name);
        assert_eq!(table.unwrap().order_shows_on_insert, *on_insert, "{name}");
    }
}

#[tokio::test]
async fn what_partitions_have_by_themselves_counts() {
    let fixture = Fixture::new().await;
    for (name, change, shows) in [
        ("plain", "", false),
        ("with_key", "CREATE UNIQUE INDEX ON ?_1 (n)", true),
        (
            "with_trigger",
            "CREATE TRIGGER g AFTER INSERT ON ?_1 FOR EACH ROW EXECUTE FUNCTION pass()",
            true,
        ),
        ("with_parent", "ALTER TABLE ? ADD p int REFERENCES ?", true),
    ] {
        let sql = format!(
            "CREATE OR REPLACE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql
                 AS 'BEGIN RETURN NEW; END';
             CREATE TABLE ? (k int PRIMARY KEY, n int) PARTITION BY RANGE (k);
             CREATE TABLE ?_1 PARTITION OF ? FOR VALUES FROM (0) TO (10);
             CREATE TABLE ?_2 PARTITION OF ? DEFAULT; {change}"
        );
        fixture.database.execute(&sql.replace('?', name)).await;
        let table = fixture.store.table(name).await.unwrap().unwrap();
        assert_eq!(table.order_shows_on_insert, shows, "{name}");
        // A row of a partition may be the parent of another one in it, by a key to the whole.
        let partition = format!("{name}_1");
        let table = fixture.store.table(&partition).await.unwrap().unwrap();
        let shows = ["with_trigger", "with_parent"].contains(&name);
        assert_eq!(table.order_shows_on_insert, shows, "{partition}");
    }
}

#[tokio::test]
async fn keys_that_only_an_index_knows_may_be_fed_by_any_column() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE being_built (id serial PRIMARY KEY, n int);
             CREATE UNIQUE INDEX being_built_n ON being_built (n);
             UPDATE pg_index SET indisvalid = false
                 WHERE indexrelid = 'being_built_n'::regclass;
             CREATE TABLE in_parts (id int, n int) PARTITION BY RANGE (id);
             CREATE TABLE in_parts_1 PARTITION OF in_parts DEFAULT;
             CREATE UNIQUE INDEX ON in_parts_1 (n);
             CREATE TABLE plain_parts (id int, n int) PARTITION BY RANGE (id);
             CREATE TABLE plain_parts_1 PARTITION OF plain_parts DEFAULT;
             CREATE INDEX ON plain_parts_1 (n)",
        )
        .await;
    for (name, excluded) in [
        ("being_built", &["id", "n"][..]),
        ("in_parts", &["id", "n"]),
        ("in_parts_1", &[]),
        ("plain_parts", &[]),
    ] {
        let table = fixture.store.table(name).await.unwrap().unwrap();
        assert_eq!(table.excluded_columns, excluded, "{name}");
    }
}

#[tokio::test]
async fn an_exclusion_over_a_generated_column_may_be_fed_by_any() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE booked (first int, last int,
                 taken int4range GENERATED ALWAYS AS (int4range(first, last)) STORED,
                 EXCLUDE USING gist (taken WITH &&))",
        )
        .await;
    let table = fixture.store.table("booked").await.unwrap().unwrap();
    assert_eq!(table.excluded_columns, ["first", "last", "taken"]);
}

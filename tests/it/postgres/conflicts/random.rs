//! A batch against the same rows in batches of one.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

const TABLES: &str = "
CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, 5);
CREATE TYPE shade AS ENUM ('dark', 'light');
CREATE TABLE plain (id int, k text, a int, b text DEFAULT 'std', c text NOT NULL, PRIMARY KEY (id, k));
CREATE TABLE other (LIKE plain INCLUDING ALL, UNIQUE (a));
CREATE TABLE checked (LIKE plain INCLUDING ALL, CHECK (a <> 3), FOREIGN KEY (a) REFERENCES parent);
CREATE TABLE lowered (LIKE plain INCLUDING DEFAULTS);
CREATE UNIQUE INDEX lowered_pkey ON lowered (lower(k), id) WHERE a IS DISTINCT FROM 4;
CREATE TABLE triggered (LIKE plain INCLUDING ALL);
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.a = 2 THEN RETURN NULL; END IF;
    IF TG_OP = 'INSERT' THEN NEW.b := upper(NEW.b); END IF; RETURN NEW; END $$;
CREATE TRIGGER pass BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TABLE audited (LIKE plain INCLUDING ALL);
CREATE TABLE log (at bigserial, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO log (line) VALUES (concat(TG_OP, ' ', NEW)); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION note();
";

const NAMES: [&str; 6] = [
    "plain",
    "other",
    "checked",
    "lowered",
    "triggered",
    "audited",
];
/// Batches a table.
const ROUNDS: usize = 4;
const COLUMNS: [&str; 5] = ["id", "k", "a", "b", "c"];

fn random_row(random: &mut StdRng) -> Vec<Value<'static>> {
    let keys = ["x", "X", "y"];
    let texts = [Text("p"), Text("q"), Null, Unset, Standard];
    let a = [
        Int(1),
        Int(1),
        Int(2),
        Int(3),
        Int(4),
        Int(6),
        Null,
        Unset,
        Unset,
    ];
    let c = [Text("c"), Text("d"), Unset, Unset, Null];
    vec![
        Int(random.random_range(0..4)),
        Text(keys[random.random_range(0..keys.len())]),
        a[random.random_range(0..a.len())],
        texts[random.random_range(0..texts.len())],
        c[random.random_range(0..c.len())],
    ]
}

async fn import(fixture: &Fixture, table: &str, action: usize) -> Import {
    let import = fixture.import(table, &COLUMNS, WriteMethod::Copy).await;
    let key = format!("{table}_pkey");
    match action {
        0 => import.skip(&key),
        1 => import.update(&key, OnMissing::Insert),
        2 => import.update(&key, OnMissing::Reject),
        3 => import.update(&key, OnMissing::Skip).insert_only("b"),
        _ => import
            .update(&key, OnMissing::Insert)
            .insert_only("a")
            .insert_only("c"),
    }
}

/// What a batch leaves: counts, rejected rows with constraints, tables.
type Outcome = (
    RowCounts,
    Vec<(u64, Code, String, String)>,
    Vec<String>,
    Vec<String>,
);

async fn outcome(
    fixture: &Fixture,
    table: &str,
    action: usize,
    before: &[Vec<Value<'_>>],
    batches: &[&[Vec<Value<'_>>]],
) -> Outcome {
    let reset = format!("TRUNCATE {table}, log");
    fixture.database.execute(&reset).await;
    let filling = fixture.import(table, &COLUMNS, WriteMethod::Copy).await;
    fixture.write(&filling, &batch(0, before)).await.unwrap();
    fixture.database.execute("TRUNCATE log").await;
    let import = import(fixture, table, action).await;
    let mut counts = RowCounts::default();
    let mut rejected = Vec::new();
    let mut first = 0;
    for rows in batches {
        let receipt = fixture.write(&import, &batch(first, rows)).await.unwrap();
        first += rows.len() as u64;
        counts += receipt.counts;
        rejected.extend(receipt.rejected.iter().map(|row| {
            let error = &row.errors[0];
            (
                row.ordinal,
                error.code,
                error.constraint.clone(),
                error.column.clone(),
            )
        }));
    }
    let log = "SELECT line FROM log ORDER BY at";
    let log = fixture.database.query(log).await;
    let log = log.into_iter().filter_map(|row| row[0].clone()).collect();
    (counts, rejected, rows_of(fixture, table).await, log)
}

#[tokio::test]
async fn a_batch_has_the_outcome_of_its_rows_one_by_one() {
    let fixture = fixture(TABLES).await;
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..ROUNDS {
        for table in NAMES {
            let action = random.random_range(0..5);
            let before: Vec<_> = (0..4).map(|_| random_row(&mut random)).collect();
            let n_rows = random.random_range(2..14);
            let rows: Vec<_> = (0..n_rows).map(|_| random_row(&mut random)).collect();
            let whole = outcome(&fixture, table, action, &before, &[&rows]).await;
            let single: Vec<&[Vec<Value<'_>>]> = rows.chunks(1).collect();
            let single = outcome(&fixture, table, action, &before, &single).await;
            assert_eq!(
                whole, single,
                "seed {seed}, round {round}, {table}, action {action}: {before:?} {rows:?}"
            );
        }
    }
}

//! Rows that meet others by a key: SKIP and UPDATE.

use rowlift::model::import::WriteMethod;
use rowlift::model::plan::OnMissing;
use rowlift::model::reject::RowErrorCode as Code;
use rowlift::model::stats::RowCounts;
use rowlift::model::value::Value::{self, Default as Standard, Int, Null, Text, Unset};

use super::fixture::{Fixture, Import, METHODS, batch, codes};

mod keys;
mod order;
mod random;

const TABLE: &str = "
CREATE TABLE t (id int PRIMARY KEY, name text, n int DEFAULT 7, note text NOT NULL);
INSERT INTO t VALUES (1, 'one', 1, 'x'), (2, 'two', 2, 'y'), (3, 'three', 3, 'z');";
/// The table as it was.
const AGAIN: &str = "TRUNCATE t;
INSERT INTO t VALUES (1, 'one', 1, 'x'), (2, 'two', 2, 'y'), (3, 'three', 3, 'z');";
const COLUMNS: [&str; 4] = ["id", "name", "n", "note"];

/// A store with the statements run.
async fn fixture(sql: &str) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.database.execute(sql).await;
    fixture
}

/// Inserted, updated, unchanged, skipped.
fn counts(inserted: u64, updated: u64, unchanged: u64, skipped: u64) -> RowCounts {
    RowCounts {
        inserted,
        updated,
        unchanged,
        skipped,
        ..RowCounts::default()
    }
}

/// Writes rows as the import's first batch; what became of them.
async fn write(
    fixture: &Fixture,
    import: &Import,
    rows: &[Vec<Value<'_>>],
) -> (RowCounts, Vec<(u64, Code)>) {
    let receipt = fixture.write(import, &batch(0, rows)).await.unwrap();
    assert_eq!(receipt.counts.total(), rows.len() as u64);
    assert_eq!(receipt.counts.rejected, receipt.rejected.len() as u64);
    let counts = RowCounts {
        rejected: 0,
        ..receipt.counts
    };
    (counts, codes(&receipt.rejected))
}

/// The table's rows, each as the database writes a record.
async fn rows_of(fixture: &Fixture, table: &str) -> Vec<String> {
    let sql = format!("SELECT r::text FROM {table} AS r ORDER BY r::text");
    let rows = fixture.database.query(&sql).await;
    rows.into_iter()
        .map(|row| row[0].clone().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn skip_keeps_what_is_there_and_counts_it() {
    let fixture = fixture(TABLE).await;
    for method in METHODS {
        fixture.database.execute(AGAIN).await;
        let import = fixture.import("t", &COLUMNS, method).await.skip("t_pkey");
        let rows = [
            vec![Int(4), Text("four"), Int(4), Text("a")],
            vec![Int(2), Text("zwei"), Int(4), Text("a")],
            vec![Int(4), Text("again"), Int(4), Text("a")],
            vec![Int(5), Null, Unset, Text("a")],
            vec![Int(5), Null, Int(9), Text("a")],
            vec![Int(6), Null, Unset, Null],
        ];
        let (counted, rejected) = write(&fixture, &import, &rows).await;
        assert_eq!(counted, counts(2, 0, 0, 3), "{method:?}");
        assert_eq!(rejected, [(5, Code::RequiredMissing)]);
        let expected = ["(1,one,1,x)", "(2,two,2,y)", "(3,three,3,z)"];
        let table = rows_of(&fixture, "t").await;
        assert_eq!(table[..3], expected, "{method:?}");
        assert_eq!(table[3..], ["(4,four,4,a)", "(5,,7,a)"], "{method:?}");
    }
}

#[tokio::test]
async fn update_writes_what_differs_and_keeps_what_is_blank() {
    let fixture = fixture(TABLE).await;
    for method in METHODS {
        fixture.database.execute(AGAIN).await;
        let import = fixture.import("t", &COLUMNS, method).await;
        let import = import.update("t_pkey", OnMissing::Insert);
        let rows = [
            vec![Int(1), Text("eins"), Unset, Text("x")], // 0: updated
            vec![Int(2), Text("two"), Int(2), Text("y")], // 1: unchanged
            vec![Int(3), Unset, Int(30), Unset],          // 2: updated, note kept
            vec![Int(4), Unset, Unset, Text("new")],      // 3: new, defaults
            vec![Int(5), Text("five"), Int(5), Unset],    // 4: new without its note
            vec![Int(2), Unset, Standard, Unset],         // 5: n is its default
            vec![Int(1), Null, Unset, Unset],             // 6: NULL on purpose
        ];
        let (counted, rejected) = write(&fixture, &import, &rows).await;
        assert_eq!(rejected, [(4, Code::RequiredMissing)], "{method:?}");
        assert_eq!(counted, counts(1, 4, 1, 0), "{method:?}");
        assert_eq!(
            rows_of(&fixture, "t").await,
            ["(1,,1,x)", "(2,two,7,y)", "(3,three,30,z)", "(4,,7,new)"],
            "{method:?}"
        );
    }
}

#[tokio::test]
async fn the_required_column_of_a_new_row_is_named() {
    let fixture = fixture(TABLE).await;
    let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
    let import = import.update("t_pkey", OnMissing::Insert);
    let rows = batch(0, &[vec![Int(9), Text("nine"), Int(1), Unset]]);
    let receipt = fixture.write(&import, &rows).await.unwrap();
    let error = &receipt.rejected[0].errors[0];
    assert_eq!((error.column.as_str(), error.cell.as_str()), ("note", "D2"));
    assert_eq!(error.message, "no value for a column that needs one");
}

#[tokio::test]
async fn insert_only_columns_and_the_key_stay_as_they_are() {
    let fixture = fixture(TABLE).await;
    let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
    let import = import
        .update("t_pkey", OnMissing::Insert)
        .insert_only("name")
        .insert_only("note");
    let rows = [
        vec![Int(1), Text("other"), Int(1), Text("other")],
        vec![Int(2), Text("other"), Int(20), Unset],
        vec![Int(4), Text("four"), Int(4), Text("new")],
        vec![Int(5), Text("five"), Int(4), Unset],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 1, 1, 0));
    assert_eq!(rejected, [(3, Code::RequiredMissing)]);
    assert_eq!(
        rows_of(&fixture, "t").await,
        [
            "(1,one,1,x)",
            "(2,two,20,y)",
            "(3,three,3,z)",
            "(4,four,4,new)"
        ]
    );
}

#[tokio::test]
async fn an_update_of_nothing_leaves_rows_unchanged() {
    let fixture =
        fixture("CREATE TABLE k (a int, b int, PRIMARY KEY (a, b)); INSERT INTO k VALUES (1, 1)")
            .await;
    let import = fixture.import("k", &["a", "b"], WriteMethod::Copy).await;
    let import = import.update("k_pkey", OnMissing::Insert);
    let rows = [
        vec![Int(1), Int(1)],
        vec![Int(1), Int(2)],
        vec![Int(1), Int(2)],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!((counted, rejected.len()), (counts(1, 0, 2, 0), 0));
    let import = fixture.import("k", &["a", "b"], WriteMethod::Copy).await;
    let import = import.update("k_pkey", OnMissing::Reject);
    let (counted, rejected) = write(
        &fixture,
        &import,
        &[vec![Int(1), Int(2)], vec![Int(3), Int(3)]],
    )
    .await;
    assert_eq!(counted, counts(0, 0, 1, 0));
    assert_eq!(rejected, [(1, Code::NoMatch)]);
}

#[tokio::test]
async fn a_row_without_a_match_is_rejected_or_skipped() {
    let fixture = fixture(TABLE).await;
    let rows = [
        vec![Int(1), Text("eins"), Standard, Unset],
        vec![Int(8), Text("acht"), Int(8), Text("new")],
        vec![Int(2), Text("two"), Unset, Text("y")],
        vec![Int(1), Text("uno"), Int(7), Unset],
        vec![Int(9), Text("neun"), Unset, Unset],
    ];
    for (on_missing, skipped, rejected) in [
        (
            OnMissing::Reject,
            0,
            vec![(1, Code::NoMatch), (4, Code::NoMatch)],
        ),
        (OnMissing::Skip, 2, vec![]),
    ] {
        fixture
            .database
            .execute("UPDATE t SET name = 'one', n = 1 WHERE id = 1")
            .await;
        let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
        let import = import.update("t_pkey", on_missing);
        let done = write(&fixture, &import, &rows).await;
        assert_eq!(done, (counts(0, 2, 1, skipped), rejected));
        assert_eq!(
            rows_of(&fixture, "t").await,
            ["(1,uno,7,x)", "(2,two,2,y)", "(3,three,3,z)"]
        );
    }
    let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
    let import = import.update("t_pkey", OnMissing::Reject);
    let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
    assert_eq!(receipt.rejected[0].errors[0].message, "no row has this key");
}

#[tokio::test]
async fn rows_that_repeat_a_key_apply_in_order() {
    let fixture = fixture(TABLE).await;
    let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
    let import = import.update("t_pkey", OnMissing::Insert);
    let mut rows = vec![vec![Int(9), Text("first"), Int(0), Text("n")]];
    rows.extend((1..20).map(|n| vec![Int(9), Unset, Int(n), Unset]));
    rows.push(vec![Int(9), Unset, Int(19), Unset]);
    rows.push(vec![Int(9), Text("last"), Unset, Text("m")]);
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!((counted, rejected.len()), (counts(1, 20, 1, 0), 0));
    assert_eq!(rows_of(&fixture, "t").await[3], "(9,last,19,m)");
    // The next batch meets what the one before left.
    let next = batch(
        22,
        &[
            vec![Int(9), Text("last"), Int(20), Unset],
            vec![Int(9), Unset, Int(20), Unset],
        ],
    );
    let receipt = fixture.write(&import, &next).await.unwrap();
    assert_eq!(receipt.counts, counts(0, 1, 1, 0));
}

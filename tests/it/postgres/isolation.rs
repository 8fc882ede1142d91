//! Which rows the database refuses, whatever the method, and that all others are in.

use rowlift::model::import::WriteMethod;
use rowlift::model::reject::RowErrorCode as Code;
use rowlift::model::value::Value;

use super::fixture::{Fixture, METHODS, add_mapping_reject, batch, codes, integers};

const TABLES: &str = "
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE DOMAIN even AS int CONSTRAINT even_check CHECK (VALUE % 2 = 0);
CREATE TABLE taken (id int PRIMARY KEY, u int UNIQUE, p int REFERENCES parent, c int CHECK (c > 0),
    e even, r int4range, n text NOT NULL DEFAULT 'x', EXCLUDE USING gist (r WITH &&));
INSERT INTO taken VALUES (100, 100, 1, 1, 2, '[1,5)', 'x');";

/// id, u, p, c, e, r, n.
type Row = (i64, i64, i64, i64, i64, &'static str, Option<&'static str>);

fn values(row: &Row) -> Vec<Value<'static>> {
    let (id, unique, parent, check, even, range, not_null) = *row;
    vec![
        Value::Int(id),
        Value::Int(unique),
        Value::Int(parent),
        Value::Int(check),
        Value::Int(even),
        Value::Text(range),
        not_null.map_or(Value::Null, Value::Text),
    ]
}

#[tokio::test]
async fn each_row_is_rejected_for_its_own_reason_and_the_rest_is_in() {
    let fixture = Fixture::new().await;
    fixture.database.execute(TABLES).await;
    let x = Some("x");
    let rows: Vec<Row> = vec![
        (1, 1, 1, 1, 2, "[10,11)", x),
        (100, 2, 1, 1, 2, "[11,12)", x), // 1: primary key in the table
        (3, 100, 1, 1, 2, "[12,13)", x), // 2: unique key in the table
        (1, 4, 1, 1, 2, "[13,14)", x),   // 3: repeats row 0
        (5, 5, 9, 1, 2, "[14,15)", x),   // 4: no such parent
        (6, 6, 1, 0, 2, "[15,16)", x),   // 5: check
        (7, 7, 1, 1, 3, "[16,17)", x),   // 6: domain's check
        (8, 8, 1, 1, 2, "[2,3)", x),     // 7: excluded by the table
        (9, 9, 1, 1, 2, "[10,20)", x),   // 8: excluded by row 0
        (10, 10, 1, 1, 2, "[17,18)", None), // 9: NULL
        (6, 6, 2, 1, 2, "[15,16)", x),   // 10: key of row 5, which is out: in
        (11, 11, 2, 1, 2, "nonsense", x), // 11: not a range
        (12, 12, 2, 1, 2, "[18,19)", x),
    ];
    let expected = [
        (1, Code::UniqueViolation),
        (2, Code::UniqueViolation),
        (3, Code::UniqueViolation),
        (4, Code::ForeignKeyViolation),
        (5, Code::CheckViolation),
        (6, Code::CheckViolation),
        (7, Code::ExclusionViolation),
        (8, Code::ExclusionViolation),
        (9, Code::RequiredMissing),
        (11, Code::TypeMismatch),
    ];
    let rows: Vec<Vec<Value<'_>>> = rows.iter().map(values).collect();
    let columns = ["id", "u", "p", "c", "e", "r", "n"];
    for method in METHODS {
        for probe_first in [false, true] {
            fixture
                .database
                .execute("DELETE FROM taken WHERE id <> 100")
                .await;
            let mut import = fixture.import("taken", &columns, method).await;
            import.probe_first = probe_first;
            let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
            assert_eq!(
                codes(&receipt.rejected),
                expected,
                "{method:?} {probe_first}"
            );
            assert_eq!(receipt.counts.inserted, 3, "{method:?}");
            assert_eq!(receipt.counts.total(), 13, "{method:?}");
            let ids = "SELECT string_agg(id::text, ',' ORDER BY id) FROM taken";
            assert_eq!(
                fixture.database.value(ids).await,
                "1,6,12,100",
                "{method:?}"
            );
            let cells: Vec<(&str, &str)> = receipt
                .rejected
                .iter()
                .map(|row| (row.errors[0].column.as_str(), row.errors[0].cell.as_str()))
                .collect();
            assert_eq!(cells[0], ("id", "A3"), "{method:?}");
            assert_eq!(cells[1], ("u", "B4"), "{method:?}");
            assert_eq!(cells[3], ("p", "C6"), "{method:?}");
            assert_eq!(cells[4], ("c", "D7"), "{method:?}");
            assert_eq!(cells[5], ("e", "E8"), "{method:?}");
            assert_eq!(cells[8], ("n", "G11"), "{method:?}");
            let stored = "SELECT count(*) FROM rowlift.rejected_rows WHERE import = ";
            let stored = fixture
                .database
                .value(&format!("{stored}{}", import.key.import))
                .await;
            assert_eq!(stored, "10");
        }
    }
}

#[tokio::test]
async fn bad_rows_are_found_among_thousands() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE big (a int UNIQUE CHECK (a % 1000 <> 7));
             INSERT INTO big SELECT 100000 + g FROM generate_series(1, 5) g",
        )
        .await;
    let mut values: Vec<i64> = (0..3_000).collect();
    values[1_500] = 3; // Repeats row 3.
    values[2_999] = 100_001; // In the table.
    let mut expected = vec![(7, Code::CheckViolation), (1_007, Code::CheckViolation)];
    expected.push((1_500, Code::UniqueViolation));
    expected.push((2_007, Code::CheckViolation));
    expected.push((2_999, Code::UniqueViolation));
    for method in METHODS {
        fixture
            .database
            .execute("DELETE FROM big WHERE a < 100000")
            .await;
        let import = fixture.import("big", &["a"], method).await;
        let receipt = fixture.write(&import, &integers(0, &values)).await.unwrap();
        assert_eq!(codes(&receipt.rejected), expected, "{method:?}");
        let n_rows = fixture
            .database
            .value("SELECT count(*) FROM big WHERE a < 100000")
            .await;
        assert_eq!(n_rows, "2995", "{method:?}");
    }
}

#[tokio::test]
async fn triggers_reject_their_rows_whether_they_raise_or_swallow() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.a % 100 = 5 THEN RAISE EXCEPTION 'no fives: %', NEW.a; END IF;
                 IF NEW.a % 100 = 6 THEN RAISE EXCEPTION SQLSTATE 'ABC12' USING MESSAGE = 'six'; END IF;
                 IF NEW.a % 100 = 7 THEN RETURN NULL; END IF;
                 RETURN NEW;
             END $$;
             CREATE TABLE before_it (a int);
             CREATE TRIGGER j BEFORE INSERT ON before_it FOR EACH ROW EXECUTE FUNCTION judge();
             CREATE TABLE after_it (a int);
             CREATE TRIGGER j AFTER INSERT ON after_it FOR EACH ROW EXECUTE FUNCTION judge();",
        )
        .await;
    let values: Vec<i64> = (0..300).collect();
    for method in METHODS {
        let import = fixture.import("before_it", &["a"], method).await;
        let receipt = fixture.write(&import, &integers(0, &values)).await.unwrap();
        let ordinals: Vec<u64> = receipt.rejected.iter().map(|row| row.ordinal).collect();
        assert_eq!(
            ordinals,
            [5, 6, 7, 105, 106, 107, 205, 206, 207],
            "{method:?}"
        );
        assert!(
            receipt
                .rejected
                .iter()
                .all(|row| row.errors[0].code == Code::Database)
        );
        assert_eq!(receipt.rejected[0].errors[0].message, "no fives: 5");
        assert_eq!(receipt.rejected[1].errors[0].sql_state, "ABC12");
        assert_eq!(receipt.rejected[2].errors[0].sql_state, "");
        assert_eq!(receipt.counts.inserted, 291);

        let import = fixture.import("after_it", &["a"], method).await;
        let receipt = fixture.write(&import, &integers(0, &values)).await.unwrap();
        // An AFTER trigger's NULL means nothing.
        let ordinals: Vec<u64> = receipt.rejected.iter().map(|row| row.ordinal).collect();
        assert_eq!(ordinals, [5, 6, 105, 106, 205, 206], "{method:?}");
    }
    let n_rows = fixture
        .database
        .value("SELECT count(*) FROM before_it")
        .await;
    assert_eq!(n_rows, (291 * 4).to_string());
}

#[tokio::test]
async fn a_key_that_a_trigger_changes_is_not_judged_before_it() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE FUNCTION shift() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.a = NEW.a + 1000; RETURN NEW; END $$;
             CREATE TABLE shifted (a int PRIMARY KEY);
             INSERT INTO shifted VALUES (1), (1002);
             CREATE TRIGGER s BEFORE INSERT ON shifted FOR EACH ROW EXECUTE FUNCTION shift();",
        )
        .await;
    let mut import = fixture.import("shifted", &["a"], WriteMethod::Copy).await;
    import.probe_first = true;
    let receipt = fixture
        .write(&import, &integers(0, &[1, 2, 3]))
        .await
        .unwrap();
    assert_eq!(codes(&receipt.rejected), [(1, Code::UniqueViolation)]);
}

#[tokio::test]
async fn deferred_constraints_fail_their_rows_and_not_the_commit() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE node (id int PRIMARY KEY,
                 up int REFERENCES node DEFERRABLE INITIALLY DEFERRED,
                 late int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let row = |id, up, late| vec![Value::Int(id), up, Value::Int(late)];
    let rows = [
        row(1, Value::Int(2), 1), // Refers to a row that follows.
        row(2, Value::Null, 2),
        row(3, Value::Int(99), 3), // Refers to nothing.
        row(4, Value::Int(1), 1),  // Repeats `late` of the first.
        row(5, Value::Int(4), 5),  // Refers to a row that is out.
        row(6, Value::Int(5), 6),  // Refers to it in turn.
    ];
    for method in METHODS {
        // Without a bad row, the forward reference is good.
        fixture.database.execute("TRUNCATE node").await;
        let import = fixture.import("node", &["id", "up", "late"], method).await;
        let receipt = fixture.write(&import, &batch(0, &rows[..2])).await.unwrap();
        assert_eq!(receipt.counts.inserted, 2, "{method:?}");

        // Beside rows that the mapping rejects, constraints are checked in another statement.
        let mut mixed = batch(0, &rows);
        add_mapping_reject(&mut mixed);
        let expected = [
            (0, Code::ForeignKeyViolation), // Judged one by one, its parent is not there yet.
            (2, Code::ForeignKeyViolation),
            (3, Code::ForeignKeyViolation),
            (4, Code::ForeignKeyViolation),
            (5, Code::ForeignKeyViolation),
            (6, Code::TypeMismatch),
        ];
        for (rows, expected) in [(&batch(0, &rows), &expected[..5]), (&mixed, &expected)] {
            fixture.database.execute("TRUNCATE node").await;
            let import = fixture.import("node", &["id", "up", "late"], method).await;
            let receipt = fixture.write(&import, rows).await.unwrap();
            assert_eq!(codes(&receipt.rejected), expected, "{method:?}");
            assert_eq!(
                fixture.database.value("SELECT count(*) FROM node").await,
                "1"
            );
        }
    }
}

#[tokio::test]
async fn rows_of_a_batch_may_refer_to_each_other() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, c int CHECK (c > 0))",
        )
        .await;
    let row = |id, up, c| vec![Value::Int(id), up, Value::Int(c)];
    let rows = [
        row(1, Value::Null, 1),
        row(2, Value::Int(1), 1),
        row(3, Value::Int(1), 0),
        row(4, Value::Int(3), 1),
    ];
    for method in METHODS {
        fixture.database.execute("TRUNCATE tree").await;
        let mut import = fixture.import("tree", &["id", "up", "c"], method).await;
        import.probe_first = true;
        let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
        let expected = [(2, Code::CheckViolation), (3, Code::ForeignKeyViolation)];
        assert_eq!(codes(&receipt.rejected), expected, "{method:?}");
    }
}

#[tokio::test]
async fn keys_compare_as_their_types_do() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute(
            "CREATE TABLE typed (n numeric UNIQUE, c char(4) UNIQUE, z timestamptz UNIQUE,
                 f float8 UNIQUE, u uuid UNIQUE, b bytea UNIQUE);
             INSERT INTO typed VALUES (1.0, 'ab', '2024-01-01 00:00Z', 0.5,
                 '00000000-0000-0000-0000-000000000001', '\\x00')",
        )
        .await;
    let mut one = [0; 16];
    one[15] = 1;
    let null = Value::Null;
    let rows = [
        vec![Value::Decimal("1.00"), null, null, null, null, null],
        vec![null, Value::Text("ab  "), null, null, null, null],
        vec![
            null,
            null,
            Value::Timestamp(1_704_067_200_000_000),
            null,
            null,
            null,
        ],
        vec![null, null, null, Value::Float(0.5), null, null],
        vec![null, null, null, null, Value::Uuid(one), null],
        vec![null, null, null, null, null, Value::Bytes(&[0])],
        vec![null; 6],
        vec![null; 6],
    ];
    let columns = ["n", "c", "z", "f", "u", "b"];
    let mut import = fixture.import("typed", &columns, WriteMethod::Copy).await;
    import.probe_first = true;
    let receipt = fixture.write(&import, &batch(0, &rows)).await.unwrap();
    let ordinals: Vec<u64> = receipt.rejected.iter().map(|row| row.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 2, 3, 4, 5]);
    // A probe found them: no statement failed.
    assert!(
        receipt
            .rejected
            .iter()
            .all(|row| row.errors[0].sql_state.is_empty())
    );
}

#[tokio::test]
async fn a_table_that_is_gone_or_changed_ends_the_batch() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE gone (a int, b int)")
        .await;
    for method in METHODS {
        let import = fixture.import("gone", &["a"], method).await;
        fixture
            .database
            .execute("ALTER TABLE gone RENAME a TO z")
            .await;
        let result = fixture.write(&import, &integers(0, &[1])).await;
        let Err(rowlift::store::StoreError::Failed(failure)) = result else {
            panic!("{method:?}: {result:?}");
        };
        assert_eq!(
            failure.reason,
            rowlift::model::import::Reason::SchemaChanged,
            "{method:?}"
        );
        fixture
            .database
            .execute("ALTER TABLE gone RENAME z TO a")
            .await;
    }
}

#[tokio::test]
async fn settings_hold_for_the_transaction_only() {
    let fixture = Fixture::new().await;
    fixture
        .database
        .execute("CREATE TABLE audited (a int, who text DEFAULT current_setting('app.user', true))")
        .await;
    let mut import = fixture.import("audited", &["a"], WriteMethod::Copy).await;
    import
        .settings
        .insert("app.user".to_owned(), "o'neill".to_owned());
    fixture.write(&import, &integers(0, &[1])).await.unwrap();
    import.settings.clear();
    fixture.write(&import, &integers(1, &[2])).await.unwrap();
    let rows = fixture
        .database
        .query("SELECT who FROM audited ORDER BY a")
        .await;
    assert_eq!(rows[0], [Some("o'neill".to_owned())]);
    assert!(rows[1][0].as_deref().unwrap_or_default().is_empty());
    import
        .settings
        .insert("no_such_setting".to_owned(), "1".to_owned());
    let refused = fixture.write(&import, &integers(2, &[3])).await;
    assert!(
        matches!(refused, Err(rowlift::store::StoreError::Failed(_))),
        "{refused:?}"
    );
}

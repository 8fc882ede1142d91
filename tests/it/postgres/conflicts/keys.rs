//! Keys that are more than columns, and types that are more than numbers.

use super::*;

#[tokio::test]
async fn a_partial_index_finds_only_its_rows() {
    let sql = "CREATE TABLE p (email text, name text, deleted_at date);
        CREATE UNIQUE INDEX p_email ON p (email) WHERE deleted_at IS NULL;
        INSERT INTO p VALUES ('a', 'gone', '2020-01-01'), ('a', 'here', NULL), ('b', 'gone', '2020-01-01')";
    let fixture = fixture(sql).await;
    let columns = ["email", "name"];
    let import = fixture.import("p", &columns, WriteMethod::Copy).await;
    let import = import.update("p_email", OnMissing::Reject);
    let rows = [vec![Text("a"), Text("new")], vec![Text("b"), Text("new")]];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(0, 1, 0, 0));
    assert_eq!(rejected, [(1, Code::NoMatch)]);
    let import = fixture.import("p", &columns, WriteMethod::Copy).await;
    let import = import.update("p_email", OnMissing::Insert);
    let (counted, _) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 0, 1, 0));
    let import = fixture
        .import("p", &columns, WriteMethod::Copy)
        .await
        .skip("p_email");
    let (counted, _) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(0, 0, 0, 2));
}

#[tokio::test]
async fn an_expression_index_meets_rows_by_its_value() {
    let sql = "CREATE TABLE e (id int, \"E mail\" text, name text, gone date, note text NOT NULL);
        CREATE UNIQUE INDEX e_key ON e (lower(\"E mail\"), (id % 10)) WHERE gone IS NULL;
        INSERT INTO e VALUES (1, 'Bob@X', 'Bob', NULL, 'x')";
    let fixture = fixture(sql).await;
    let columns = ["id", "E mail", "name", "note"];
    let import = fixture.import("e", &columns, WriteMethod::Copy).await;
    let key = import.plan.table.unique_keys[0].clone();
    assert_eq!(key.terms, ["(lower(\"E mail\"))", "((id % 10))"]);
    assert_eq!(key.predicate, "(gone IS NULL)");
    let mut read = key.columns.clone();
    read.sort();
    assert_eq!(
        (read, key.arbiter, key.plain),
        (vec!["E mail".to_owned(), "id".to_owned()], true, false)
    );
    let import = import.update("e_key", OnMissing::Insert);
    let rows = [
        vec![Int(11), Text("BOB@x"), Text("Robert"), Text("x")],
        vec![Int(2), Text("BOB@x"), Text("Other"), Text("x")],
        vec![Int(12), Text("bob@X"), Unset, Unset],
        vec![Int(3), Text("none"), Text("none"), Unset],
        vec![Int(1), Text("bob@X"), Text("Rob"), Unset],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 2, 1, 0));
    assert_eq!(rejected, [(3, Code::RequiredMissing)]);
    assert_eq!(
        rows_of(&fixture, "e").await,
        ["(1,Bob@X,Rob,,x)", "(2,BOB@x,Other,,x)"]
    );
}

#[tokio::test]
async fn deferrable_keys_are_no_arbiters() {
    let sql =
        "CREATE TABLE d (a int UNIQUE DEFERRABLE, b int UNIQUE NULLS NOT DISTINCT, c int UNIQUE)";
    let fixture = fixture(sql).await;
    let import = fixture.import("d", &["a"], WriteMethod::Copy).await;
    let keys: Vec<(&str, bool, bool)> = import
        .plan
        .table
        .unique_keys
        .iter()
        .map(|key| (key.name.as_str(), key.arbiter, key.plain))
        .collect();
    assert_eq!(
        keys,
        [
            ("d_a_key", false, false),
            ("d_b_key", true, false),
            ("d_c_key", true, true)
        ]
    );
}

#[tokio::test]
async fn types_without_equality_and_of_the_database_are_compared_as_text() {
    let sql = "CREATE DOMAIN small AS numeric(6,2) DEFAULT 1.5 CHECK (VALUE < 1000);
        CREATE TYPE mood AS ENUM ('sad', 'glad');
        CREATE TABLE o (ip inet PRIMARY KEY, place point, doc json, area box, cost small, m mood,
            code char(4), short varchar(3) NOT NULL);
        INSERT INTO o VALUES ('10.0.0.1', '(1,2)', '{\"a\": 1}', '((0,0),(1,1))', 2.50, 'sad', 'ab', 'x')";
    let fixture = fixture(sql).await;
    let columns = ["ip", "place", "doc", "area", "cost", "m", "code", "short"];
    let same = vec![
        Text("10.0.0.1/32"),
        Text("( 1 , 2 )"),
        Text("{\"a\": 1}"),
        Text("0,0,1,1"),
        Value::Decimal("2.5"),
        Text("sad"),
        Text("ab"),
        Text("x"),
    ];
    let with = |at: usize, value| {
        let mut row = same.clone();
        row[at] = value;
        row
    };
    // A box of the same area is another box all the same.
    let rows = [
        same.clone(),
        with(3, Text("(1,1),(2,2)")),
        with(2, Text("{\"a\":1}")),
        with(4, Standard),
        with(0, Text("nonsense")),
        with(0, Text("10.0.0.2")),
        with(4, Value::Decimal("1000")),
        with(1, Text("(1,2)")),
        with(7, Unset),
    ];
    for on_missing in [OnMissing::Insert, OnMissing::Reject] {
        fixture.database.execute("DELETE FROM o WHERE ip = '10.0.0.2'; UPDATE o SET area = '((0,0),(1,1))', cost = 2.5, doc = '{\"a\": 1}'").await;
        let import = fixture.import("o", &columns, WriteMethod::Copy).await;
        let import = import.update("o_pkey", on_missing);
        let (counted, rejected) = write(&fixture, &import, &rows).await;
        let other = if on_missing == OnMissing::Insert {
            assert_eq!(counted, counts(1, 4, 2, 0));
            vec![(4, Code::TypeMismatch), (6, Code::CheckViolation)]
        } else {
            assert_eq!(counted, counts(0, 4, 2, 0));
            vec![
                (4, Code::TypeMismatch),
                (5, Code::NoMatch),
                (6, Code::CheckViolation),
            ]
        };
        assert_eq!(rejected, other);
        let row = fixture
            .database
            .value("SELECT o::text FROM o WHERE ip = '10.0.0.1'")
            .await;
        assert_eq!(
            row,
            "(10.0.0.1,\"(1,2)\",\"{\"\"a\"\": 1}\",\"(1,1),(0,0)\",2.50,sad,\"ab  \",x)"
        );
    }
}

#[tokio::test]
async fn values_that_a_type_refuses_are_rejected_each() {
    let fixture = fixture("CREATE TABLE v (d date PRIMARY KEY, n int)").await;
    let mut rows: Vec<Vec<Value<'_>>> = (0..2_000).map(|n| vec![Value::Date(n), Int(1)]).collect();
    for at in (7..2_000).step_by(100) {
        rows[at][0] = Value::Date(i32::MAX);
    }
    for rejected_max in [None, Some(5)] {
        let mut import = fixture
            .import("v", &["d", "n"], WriteMethod::Copy)
            .await
            .skip("v_pkey");
        import.rejects = rowlift::model::batch::RejectBudget::new(rejected_max, 0);
        let done = fixture.write(&import, &batch(0, &rows)).await;
        if rejected_max.is_none() {
            let receipt = done.unwrap();
            assert_eq!(
                (receipt.counts.inserted, receipt.counts.rejected),
                (1_980, 20)
            );
            assert!(receipt.rejected.iter().all(|row| row.ordinal % 100 == 7));
            assert_eq!(receipt.rejected[0].errors[0].column, "d");
            continue;
        }
        let Err(rowlift::store::StoreError::RejectLimit { recorded }) = done else {
            panic!("{done:?}");
        };
        let ordinals: Vec<u64> = recorded.iter().map(|row| row.ordinal).collect();
        assert_eq!(ordinals, [7, 107, 207, 307, 407, 507]);
    }
}

#[tokio::test]
async fn case_only_changes_are_changes() {
    let sql =
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE c (name text COLLATE ci PRIMARY KEY, label text COLLATE ci, n int);
        INSERT INTO c VALUES ('Bob', 'bob', 1)";
    let fixture = fixture("SELECT").await;
    let with_icu = "SELECT count(*) > 0 FROM pg_collation WHERE collname = 'und-x-icu'";
    if fixture.database.value(with_icu).await == "f" {
        // A server that was built without ICU has no collation that takes two texts for one.
        return;
    }
    fixture.database.execute(sql).await;
    let import = fixture
        .import("c", &["name", "label", "n"], WriteMethod::Copy)
        .await;
    let import = import.update("c_pkey", OnMissing::Insert);
    // The second and the third have one key; the pattern of the third differs.
    let rows = [
        vec![Text("BOB"), Text("BOB"), Int(1)],
        vec![Text("ann"), Text("x"), Null],
        vec![Text("ANN"), Text("y"), Unset],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!((counted, rejected.len()), (counts(1, 2, 0, 0), 0));
    assert_eq!(rows_of(&fixture, "c").await, ["(Bob,BOB,1)", "(ann,y,)"]);
}

#[tokio::test]
async fn partitions_are_looked_into() {
    let sql =
        "CREATE TABLE q (id int, dropped int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE q1 (v text, x int, id int NOT NULL);
        ALTER TABLE q1 DROP COLUMN x;
        ALTER TABLE q DROP COLUMN dropped;
        ALTER TABLE q ATTACH PARTITION q1 FOR VALUES FROM (0) TO (100);
        CREATE TABLE q2 PARTITION OF q FOR VALUES FROM (100) TO (200);
        INSERT INTO q VALUES (1, 'a'), (101, 'b')";
    let fixture = fixture(sql).await;
    let rows = [
        vec![Int(1), Text("b")],
        vec![Int(101), Text("b")],
        vec![Int(2), Text("c")],
        vec![Int(101), Text("z")],
    ];
    for on_missing in [OnMissing::Skip, OnMissing::Insert] {
        fixture
            .database
            .execute("DELETE FROM q; INSERT INTO q VALUES (1, 'a'), (101, 'b')")
            .await;
        let import = fixture.import("q", &["id", "v"], WriteMethod::Copy).await;
        let import = import.update("q_pkey", on_missing);
        let (counted, _) = write(&fixture, &import, &rows).await;
        if on_missing == OnMissing::Insert {
            assert_eq!(counted, counts(1, 2, 1, 0));
        } else {
            assert_eq!(counted, counts(0, 2, 1, 1));
        }
    }
}

#[tokio::test]
async fn row_security_holds_for_rows_that_meet_others() {
    let role = format!("rowlift_{}", uuid::Uuid::new_v4().simple());
    let sql = format!(
        "CREATE TABLE s (id int PRIMARY KEY, tenant text DEFAULT current_setting('app.tenant'), v text);
        ALTER TABLE s ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON s USING (tenant = current_setting('app.tenant'));
        INSERT INTO s VALUES (1, 'a', 'x'), (2, 'b', 'x');
        CREATE ROLE {role} LOGIN;
        GRANT ALL ON s TO {role};
        GRANT USAGE ON SCHEMA rowlift TO {role};
        GRANT ALL ON ALL TABLES IN SCHEMA rowlift TO {role}"
    );
    let mut fixture = fixture(&sql).await;
    let open = fixture.import("s", &["id", "v"], WriteMethod::Copy).await;
    let mut config = super::super::fixture::config(&fixture.database);
    // Directly: the pooler of the tests lets everybody be the same role.
    config.pooled = false;
    config.url =
        fixture
            .database
            .url()
            .replacen("postgres://postgres", &format!("postgres://{role}"), 1);
    fixture.store = rowlift::store::postgres::PgStore::connect(config)
        .await
        .unwrap();
    for on_missing in [OnMissing::Insert, OnMissing::Skip] {
        let first = if on_missing == OnMissing::Insert {
            0
        } else {
            9
        };
        let mut import = fixture.import("s", &["id", "v"], WriteMethod::Copy).await;
        import.key = open.key;
        assert!(import.plan.table.row_security);
        import
            .settings
            .insert("app.tenant".to_owned(), "a".to_owned());
        let import = import.update("s_pkey", on_missing);
        let rows = [vec![Int(1), Text("y")], vec![Int(3), Text("z")]];
        let receipt = fixture.write(&import, &batch(first, &rows)).await.unwrap();
        let expected = if on_missing == OnMissing::Insert {
            counts(1, 1, 0, 0)
        } else {
            counts(0, 0, 2, 0)
        };
        assert_eq!(receipt.counts, expected);
    }
    assert_eq!(
        rows_of(&fixture, "s").await,
        ["(1,a,y)", "(2,b,x)", "(3,a,z)"]
    );
    let tidy = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    fixture.database.execute(&tidy).await;
}

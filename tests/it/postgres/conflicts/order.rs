//! Refusals, triggers and other keys: the outcome is that of writing row by row.

use super::*;

#[tokio::test]
async fn refused_rows_are_found_among_those_that_meet_others() {
    let sql = "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
        CREATE TABLE r (id int PRIMARY KEY, u int UNIQUE, p int REFERENCES parent, c int CHECK (c > 0));
        INSERT INTO r VALUES (1, 100, 1, 1), (2, 200, 1, 1)";
    let rows = [
        vec![Int(1), Int(101), Int(2), Int(1)], // 0: updated: 100 is free
        vec![Int(2), Int(101), Int(1), Int(1)], // 1: 101 is taken
        vec![Int(3), Int(100), Int(1), Int(1)], // 2: new
        vec![Int(4), Int(400), Int(9), Int(1)], // 3: no parent
        vec![Int(5), Int(500), Int(1), Int(0)], // 4: check
        vec![Int(2), Int(200), Int(1), Int(1)], // 5: unchanged
        vec![Int(5), Int(500), Int(1), Int(5)], // 6: new: row 4 is out
        vec![Int(2), Int(200), Int(1), Int(0)], // 7: check
    ];
    for method in [WriteMethod::Copy, WriteMethod::Sequential] {
        let fixture = fixture(sql).await;
        let columns = ["id", "u", "p", "c"];
        let import = fixture.import("r", &columns, method).await;
        let import = import.update("r_pkey", OnMissing::Insert);
        let (counted, rejected) = write(&fixture, &import, &rows).await;
        assert_eq!(counted, counts(2, 1, 1, 0));
        let expected = [
            (1, Code::UniqueViolation),
            (3, Code::ForeignKeyViolation),
            (4, Code::CheckViolation),
            (7, Code::CheckViolation),
        ];
        assert_eq!(rejected, expected);
        assert_eq!(
            rows_of(&fixture, "r").await,
            ["(1,101,2,1)", "(2,200,1,1)", "(3,100,1,1)", "(5,500,1,5)"]
        );
    }
}

#[tokio::test]
async fn one_per_cent_of_refusals_is_usable() {
    let sql = "CREATE TABLE big (id int PRIMARY KEY, v text, c int CHECK (c <> 7));
        INSERT INTO big SELECT g, 'old', 1 FROM generate_series(0, 19999, 2) g";
    let fixture = fixture(sql).await;
    let rows: Vec<Vec<Value<'_>>> = (0..20_000)
        .map(|n| vec![Int(n), Text("new"), Int(if n % 100 == 33 { 7 } else { 1 })])
        .collect();
    let import = fixture
        .import("big", &["id", "v", "c"], WriteMethod::Copy)
        .await;
    let import = import.update("big_pkey", OnMissing::Insert);
    let begun = std::time::Instant::now();
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    println!("20,000 rows, 200 refused: {:?}", begun.elapsed());
    assert_eq!(counted, counts(9_800, 10_000, 0, 0));
    assert_eq!(rejected.len(), 200);
    assert!(rejected.iter().all(|(ordinal, _)| ordinal % 100 == 33));
    let import = fixture
        .import("big", &["id", "v", "c"], WriteMethod::Copy)
        .await;
    let import = import.update("big_pkey", OnMissing::Insert);
    let rows: Vec<Vec<Value<'_>>> = (0..20_000)
        .map(|n| vec![Int(n), Text("newer"), Unset])
        .collect();
    let begun = std::time::Instant::now();
    write(&fixture, &import, &rows).await;
    println!("20,000 rows, clean: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_update_is_judged_by_what_the_row_becomes() {
    // As a new row it would break the check: what it leaves blank is what the check wants.
    let sql = "CREATE TABLE w (id int PRIMARY KEY, kind text, note text, must int NOT NULL,
            CHECK (kind <> 'x' OR note IS NOT NULL));
        INSERT INTO w VALUES (1, 'a', 'noted', 5)";
    let fixture = fixture(sql).await;
    let import = fixture
        .import("w", &["id", "kind", "note"], WriteMethod::Copy)
        .await;
    let import = import.update("w_pkey", OnMissing::Insert);
    let rows = [
        vec![Int(1), Text("x"), Unset],
        vec![Int(2), Text("x"), Unset],
        vec![Int(1), Text("y"), Text("n")],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(0, 2, 0, 0));
    assert_eq!(rejected, [(1, Code::RequiredMissing)]);
    assert_eq!(rows_of(&fixture, "w").await, ["(1,y,n,5)"]);
}

const SWALLOW: &str = "CREATE TABLE b (id int PRIMARY KEY, v text, seen int);
    CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.v LIKE 'gone%' THEN RETURN NULL; END IF;
        NEW.v := lower(NEW.v); RETURN NEW; END $$;
    CREATE TRIGGER swallow BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION swallow();
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.v = 'held' THEN RETURN NULL; END IF; RETURN NEW; END $$;
    CREATE TRIGGER hold BEFORE UPDATE ON b FOR EACH ROW EXECUTE FUNCTION hold();
    INSERT INTO b VALUES (1, 'one', 1), (2, 'two', 2);";

#[tokio::test]
async fn rows_that_a_trigger_swallows_are_rejected_not_counted() {
    let fixture = fixture(SWALLOW).await;
    let import = fixture
        .import("b", &["id", "v", "seen"], WriteMethod::Copy)
        .await;
    let import = import.update("b_pkey", OnMissing::Insert);
    let rows = [
        vec![Int(1), Text("ONE"), Int(1)], // 0: unchanged, once the trigger has seen it
        vec![Int(2), Text("held"), Int(2)], // 1: its update is swallowed
        vec![Int(2), Text("gone"), Int(2)], // 2: swallowed before it meets the row
        vec![Int(3), Text("NEW"), Unset],  // 3: inserted
        vec![Int(3), Unset, Int(4)],       // 4: updated
        vec![Int(4), Text("gone"), Int(4)], // 5: swallowed
        vec![Int(1), Text("uno"), Unset],  // 6: updated
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 2, 1, 0));
    assert_eq!(
        rejected,
        [
            (1, Code::Database),
            (2, Code::Database),
            (5, Code::Database)
        ]
    );
    assert_eq!(
        rows_of(&fixture, "b").await,
        ["(1,uno,1)", "(2,two,2)", "(3,new,4)"]
    );
}

#[tokio::test]
async fn skip_tells_swallowed_rows_from_those_whose_key_a_trigger_changed() {
    let sql = "CREATE TABLE l (email text PRIMARY KEY, v text);
        CREATE FUNCTION lowered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.v = 'gone' THEN RETURN NULL; END IF;
            NEW.email := lower(NEW.email); RETURN NEW; END $$;
        CREATE TRIGGER lowered BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION lowered();
        INSERT INTO l VALUES ('a', 'x')";
    let fixture = fixture(sql).await;
    let import = fixture
        .import("l", &["email", "v"], WriteMethod::Copy)
        .await
        .skip("l_pkey");
    let rows = [
        vec![Text("A"), Text("y")],
        vec![Text("a"), Text("y")],
        vec![Text("B"), Text("y")],
        vec![Text("b"), Text("z")],
        vec![Text("c"), Text("gone")],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 0, 0, 3));
    assert_eq!(rejected, [(4, Code::Database)]);
    assert_eq!(rows_of(&fixture, "l").await, ["(a,x)", "(b,y)"]);
}

#[tokio::test]
async fn deferred_constraints_are_put_down_to_their_rows() {
    let sql = "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
        CREATE TABLE d (id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)";
    let fixture = fixture(sql).await;
    let import = fixture.import("d", &["id", "p"], WriteMethod::Copy).await;
    let import = import.update("d_pkey", OnMissing::Insert);
    let rows = [
        vec![Int(1), Int(1)],
        vec![Int(2), Int(9)],
        vec![Int(1), Int(9)],
        vec![Int(1), Int(1)],
    ];
    let (counted, rejected) = write(&fixture, &import, &rows).await;
    assert_eq!(counted, counts(1, 0, 1, 0));
    assert_eq!(
        rejected,
        [
            (1, Code::ForeignKeyViolation),
            (2, Code::ForeignKeyViolation)
        ]
    );
}

#[tokio::test]
async fn a_repeated_batch_gets_its_receipt() {
    let fixture = fixture(TABLE).await;
    let import = fixture.import("t", &COLUMNS, WriteMethod::Copy).await;
    let import = import.update("t_pkey", OnMissing::Insert);
    let rows = batch(
        0,
        &[
            vec![Int(1), Text("eins"), Unset, Unset],
            vec![Int(4), Null, Unset, Text("n")],
            vec![Int(5), Null, Unset, Unset],
        ],
    );
    let first = fixture.write(&import, &rows).await.unwrap();
    let again = fixture.write(&import, &rows).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(
        (
            first.counts.updated,
            first.counts.inserted,
            first.counts.rejected
        ),
        (1, 1, 1)
    );
}

//! Exactly once: fences, repeated batches, limits on rejects, deadlines.

use crate::support::decided;
use std::time::{Duration, Instant};

use rowlift::model::batch::RejectBudget;
use rowlift::model::import::WriteMethod;
use rowlift::model::value::Value;
use rowlift::store::{OpenMode, Store, StoreError};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::fixture::{Fixture, add_mapping_reject, batch, integers, new_import};

const TABLE: &str = "CREATE TABLE t (a int PRIMARY KEY)";

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.database.execute(TABLE).await;
    fixture
}

#[tokio::test]
async fn a_session_that_was_taken_over_writes_nothing() {
    let fixture = fixture().await;
    let new = new_import();
    let first = fixture.open(&new, OpenMode::Begin).await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.key = first.key;
    fixture.write(&import, &integers(0, &[1])).await.unwrap();
    let second = fixture.open(&new, OpenMode::Resume).await;
    assert_eq!((second.key.epoch, second.committed_offset), (2, 1));
    let fenced = fixture.write(&import, &integers(1, &[2])).await;
    assert!(matches!(fenced, Err(StoreError::Fenced)), "{fenced:?}");
    import.key = second.key;
    fixture.write(&import, &integers(1, &[2])).await.unwrap();
    assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn a_batch_that_waits_for_a_takeover_is_fenced_and_one_in_flight_is_waited_for() {
    let fixture = fixture().await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let new = new_import();
    import.key = fixture.open(&new, OpenMode::Begin).await.key;
    // The table is locked: the batch has passed its fence and waits inside its transaction.
    let mut locker = PgConnection::connect(fixture.database.url()).await.unwrap();
    locker
        .execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let rows = integers(0, &[1]);
    let write = fixture.write(&import, &rows);
    let takeover = async {
        wait_for(&fixture, "wait_event_type = 'Lock' AND query LIKE 'COPY%'").await;
        let open = fixture.open(&new, OpenMode::Resume);
        let unlock = async {
            // The takeover has its epoch and waits for the batch.
            wait_for(
                &fixture,
                "wait_event_type = 'Lock' AND query LIKE '%UPDATE rowlift.imports%'",
            )
            .await;
            let late = fixture.write(&import, &integers(1, &[2])).await;
            assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
            locker.execute("COMMIT").await.unwrap();
        };
        tokio::join!(open, unlock).0
    };
    let (written, taken) = tokio::join!(write, takeover);
    assert_eq!(written.unwrap().counts.inserted, 1);
    // What the batch committed is what the new session is told.
    assert_eq!(taken.committed_offset, 1);
    assert_eq!(taken.counts.inserted, 1);
}

/// Waits until a backend of this database is in the state.
async fn wait_for(fixture: &Fixture, state: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND {state}"
    );
    let begun = Instant::now();
    while fixture.database.value(&sql).await == "0" {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {state}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_repeated_batch_gets_its_receipt_and_writes_nothing() {
    let fixture = fixture().await;
    for method in super::fixture::METHODS {
        fixture.database.execute("TRUNCATE t").await;
        let mut import = fixture.import("t", &["a"], method).await;
        import.rejects = RejectBudget::new(Some(4), 0);
        let mut rows = integers(0, &[1, 2, 2]);
        add_mapping_reject(&mut rows);
        let first = fixture.write(&import, &rows).await.unwrap();
        assert_eq!((first.counts.inserted, first.counts.rejected), (2, 2));
        assert_eq!(first.rejected[1].raw_values, ["x\0y"]);
        let again = fixture.write(&import, &rows).await.unwrap();
        assert_eq!(again, first, "{method:?}");
        assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "2");
        let committed = decided(&fixture.store, import.key).await;
        assert_eq!(committed, (first.counts, 4));
    }
}

#[tokio::test]
async fn a_batch_whose_twin_commits_meanwhile_gets_the_twins_receipt() {
    let fixture = fixture().await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    // The twin is a first attempt whose answer was lost, still in flight.
    let mut twin = PgConnection::connect(fixture.database.url()).await.unwrap();
    let sql = format!(
        "BEGIN; INSERT INTO t VALUES (1), (2); INSERT INTO rowlift.import_batches \
         (import, first_ordinal, end_ordinal, epoch, inserted, rows_hash) \
         VALUES ({}, 0, 2, 1, 2, decode('{}', 'hex'))",
        import.key.import,
        "00".repeat(16)
    );
    twin.execute(sqlx::raw_sql(&sql)).await.unwrap();
    let rows = integers(0, &[1, 2]);
    let commit = async {
        wait_for(&fixture, "wait_event_type = 'Lock' AND query LIKE 'COPY%'").await;
        twin.execute("COMMIT").await.unwrap();
    };
    let (receipt, ()) = tokio::join!(fixture.write(&import, &rows), commit);
    let receipt = receipt.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (2, 0));
    assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "2");
    assert_eq!(
        fixture
            .database
            .value("SELECT count(*) FROM rowlift.rejected_rows")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_batch_whose_twin_stores_its_range_meanwhile_charges_its_rejects_once() {
    let fixture = Fixture::new().await;
    // No key on which the rows of the two would meet.
    fixture.database.execute("CREATE TABLE t (a int)").await;
    let mut import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    import.rejects = RejectBudget::new(Some(1), 0);
    let mut twin = PgConnection::connect(fixture.database.url()).await.unwrap();
    let sql = format!(
        "BEGIN; INSERT INTO t VALUES (1), (2); INSERT INTO rowlift.import_batches \
         (import, first_ordinal, end_ordinal, epoch, inserted, rejected, rows_hash) \
         VALUES ({}, 0, 3, 1, 2, 1, decode('{}', 'hex'))",
        import.key.import,
        "00".repeat(16)
    );
    twin.execute(sqlx::raw_sql(&sql)).await.unwrap();
    let mut rows = integers(0, &[1, 2]);
    add_mapping_reject(&mut rows);
    let commit = async {
        let range =
            "wait_event_type = 'Lock' AND query LIKE '%INSERT INTO rowlift.import_batches%'";
        wait_for(&fixture, range).await;
        twin.execute("COMMIT").await.unwrap();
    };
    let (receipt, ()) = tokio::join!(fixture.write(&import, &rows), commit);
    let receipt = receipt.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.rejected), (2, 1));
    assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "2");
    let sql = "SELECT count(*) FROM rowlift.rejected_rows";
    assert_eq!(fixture.database.value(sql).await, "0", "the twin's alone");
    // The limit is used up, by one row.
    assert!(import.rejects.reserve(3, 1).is_err());
}

#[tokio::test]
async fn k_rejected_rows_pass_and_one_more_fails() {
    let fixture = fixture().await;
    for method in super::fixture::METHODS {
        for (limit, passes) in [(3, true), (2, false), (0, false)] {
            fixture.database.execute("TRUNCATE t").await;
            let mut import = fixture.import("t", &["a"], method).await;
            import.rejects = RejectBudget::new(Some(limit), 0);
            let mut rows = integers(0, &[1, 1, 2, 1]);
            add_mapping_reject(&mut rows);
            let result = fixture.write(&import, &rows).await;
            let n_rows = fixture.database.value("SELECT count(*) FROM t").await;
            let stored = format!(
                "SELECT coalesce(string_agg(ordinal::text, ',' ORDER BY ordinal), '') \
                 FROM rowlift.rejected_rows WHERE import = {}",
                import.key.import
            );
            let stored = fixture.database.value(&stored).await;
            if passes {
                assert_eq!(result.unwrap().counts.rejected, 3);
                assert_eq!((n_rows.as_str(), stored.as_str()), ("2", "1,3,4"));
                continue;
            }
            let Err(StoreError::RejectLimit { recorded }) = result else {
                panic!("{method:?} {limit}: {result:?}");
            };
            assert_eq!(recorded.len() as u64, limit + 1);
            assert_eq!(n_rows, "0", "nothing of the batch stays");
            assert_eq!(
                stored,
                ["1", "1,3", "1,3,4"][usize::try_from(limit).unwrap()]
            );
            let next = integers(9, &[1, 1]);
            let again = fixture.write(&import, &next).await;
            assert!(
                matches!(&again, Err(StoreError::RejectLimit { recorded }) if recorded.is_empty()),
                "{again:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_deadline_ends_a_batch_in_time_and_leaves_no_backend() {
    let fixture = fixture().await;
    let mut locker = PgConnection::connect(fixture.database.url()).await.unwrap();
    locker
        .execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    for method in super::fixture::METHODS {
        let mut import = fixture.import("businesses", &["name"], method).await;
        import.plan = {
            // The plan is made from a twin: the locked table's own catalogue would wait as well.
            let mut plan = fixture.plan("businesses", &["id"], method).await;
            let mut table = (*plan.table).clone();
            table.name.name = "t".to_owned();
            table.columns[0].name = "a".to_owned();
            plan.table = std::sync::Arc::new(table);
            plan
        };
        import.deadline = Some(Duration::from_millis(500));
        let begun = Instant::now();
        let result = fixture.write(&import, &integers(0, &[1])).await;
        assert!(
            matches!(result, Err(StoreError::Deadline)),
            "{method:?} {result:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_millis(1_500),
            "{:?}",
            begun.elapsed()
        );
    }
    let active = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() \
        AND state = 'active' AND pid <> pg_backend_pid()";
    let begun = Instant::now();
    while fixture.database.value(active).await != "t" {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "a backend is still active"
        );
    }
    locker.execute("COMMIT").await.unwrap();
    assert_eq!(fixture.database.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn a_dropped_write_closes_its_connection_and_rolls_back() {
    let fixture = fixture().await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let mut locker = PgConnection::connect(fixture.database.url()).await.unwrap();
    locker
        .execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    {
        let rows = integers(0, &[1]);
        let write = fixture.write(&import, &rows);
        tokio::select! {
            result = write => panic!("{result:?}"),
            () = wait_for(&fixture, "wait_event_type = 'Lock' AND query LIKE 'COPY%'") => {}
        }
    }
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() \
        AND state = 'active' AND pid <> pg_backend_pid()";
    let begun = Instant::now();
    while fixture.database.value(gone).await != "t" {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the statement still runs"
        );
    }
    locker.execute("COMMIT").await.unwrap();
    let receipt = fixture.write(&import, &integers(0, &[1])).await.unwrap();
    assert_eq!(receipt.counts.inserted, 1);
}

#[tokio::test]
async fn a_database_that_goes_away_is_transient() {
    let fixture = fixture().await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let mut locker = PgConnection::connect(fixture.database.url()).await.unwrap();
    locker
        .execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let rows = integers(0, &[1]);
    let kill = async {
        wait_for(&fixture, "wait_event_type = 'Lock' AND query LIKE 'COPY%'").await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND query LIKE 'COPY%'";
        fixture.database.execute(kill).await;
    };
    let (result, ()) = tokio::join!(fixture.write(&import, &rows), kill);
    assert!(
        matches!(result, Err(StoreError::Transient { .. })),
        "{result:?}"
    );
    locker.execute("COMMIT").await.unwrap();
    fixture.write(&import, &rows).await.unwrap();

    let mut config = super::fixture::config(&fixture.database);
    "postgres://nobody@127.0.0.1:1/none".clone_into(&mut config.url);
    config.control_timeout = Duration::from_secs(2);
    let store = rowlift::store::postgres::PgStore::connect(config)
        .await
        .unwrap();
    let down = store.ready().await;
    assert!(
        matches!(down, Err(StoreError::Transient { .. })),
        "{down:?}"
    );
}

#[tokio::test]
async fn blank_ordinals_and_batches_without_rows_count() {
    let fixture = fixture().await;
    let import = fixture.import("t", &["a"], WriteMethod::Copy).await;
    let mut rows = batch(0, &[vec![Value::Int(1)]]);
    rows.range.end = 5;
    let receipt = fixture.write(&import, &rows).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.blank), (1, 4));
    let mut none = batch(5, &[]);
    none.range.end = 6;
    add_mapping_reject(&mut none);
    let receipt = fixture.write(&import, &none).await.unwrap();
    assert_eq!((receipt.counts.blank, receipt.counts.rejected), (1, 1));
    let (counts, offset) = decided(&fixture.store, import.key).await;
    assert_eq!((counts.total(), offset), (7, 7));
}

//! Rows that meet an existing key: left out, or written over it.

use rowlift::model::batch::Receipt;
use rowlift::model::cell::Cell;
use rowlift::model::plan::{OnMissing, WritePlan};
use rowlift::model::reject::RowErrorCode;
use rowlift::store::{SessionKey, Store};

use super::backend::{
    Backend, BatchBuilder, begin, codes, meeting, number, pairs, plan, skip, texts, update,
    update_or, verdicts, write,
};

const NAMES: &str = "create table t (name text, n bigint primary key)";
const BLANKS: &str = "create table t (id bigint primary key, name text not null, \
                      n bigint default 7, note text)";

/// Rows of `t`, each as one text.
async fn rows(backend: &dyn Backend, columns: &[&str]) -> Vec<String> {
    let shown: Vec<String> = columns
        .iter()
        .map(|column| format!("coalesce(cast({column} as text), '-')"))
        .collect();
    let sql = format!("select {} from t order by 1", shown.join(" || ' ' || "));
    texts(backend, &sql).await
}

/// Writes rows of as many cells as the plan has columns.
async fn write_rows(
    store: &dyn Store,
    key: SessionKey,
    plan: &WritePlan,
    start: u64,
    rows: &[&[Cell<'_>]],
) -> Receipt {
    let mut builder = BatchBuilder::new(plan, start);
    for row in rows {
        builder = builder.row(row);
    }
    let receipt = write(store, key, plan, &builder.build(start)).await;
    receipt.unwrap()
}

pub(crate) async fn skip_keeps_the_first_of_rows_with_a_key(backend: &dyn Backend) {
    backend.execute(NAMES).await;
    backend.execute("insert into t values ('there', 1)").await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_pkey", skip);
    let store = backend.store();
    let key = begin(&*store, "skip").await;
    let first = [("x", 1), ("a", 2), ("b", 2), ("c", 3), ("a", 2)];
    let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &first)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [2, 0, 0, 3, 0]);
    let second = [("d", 3), ("e", 4)];
    let receipt = write(&*store, key, &plan, &pairs(&plan, 5, &second)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [1, 0, 0, 1, 0]);
    let kept = rows(backend, &["n", "name"]).await;
    assert_eq!(kept, ["1 there", "2 a", "3 c", "4 e"]);
    let committed = store.committed(key).await.unwrap();
    assert_eq!(verdicts(committed.counts), [3, 0, 0, 4, 0]);
}

pub(crate) async fn update_keeps_the_last_of_rows_with_a_key(backend: &dyn Backend) {
    backend.execute(NAMES).await;
    backend
        .execute("insert into t values ('there', 1), ('same', 5)")
        .await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "update").await;
    let first = [
        ("x", 1),
        ("a", 2),
        ("b", 2),
        ("same", 5),
        ("b", 2),
        ("A", 6),
    ];
    let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &first)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [2, 2, 2, 0, 0]);
    let second = [("c", 2), ("a", 6), ("x", 1), ("y", 1), ("x", 1)];
    let receipt = write(&*store, key, &plan, &pairs(&plan, 6, &second)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [0, 4, 1, 0, 0]);
    let kept = rows(backend, &["n", "name"]).await;
    assert_eq!(kept, ["1 x", "2 c", "5 same", "6 a"]);
}

pub(crate) async fn blank_cells_keep_what_is_there(backend: &dyn Backend) {
    backend.execute(BLANKS).await;
    backend
        .execute("insert into t values (1, 'one', 1, 'kept')")
        .await;
    let plan = plan(backend, "t", &["id", "name", "n", "note"]).await;
    let plan = meeting(&plan, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "blank").await;
    let (text, blank) = (Cell::Text, Cell::Unset);
    let first: [&[Cell<'_>]; 7] = [
        &[Cell::Int(1), blank, blank, text("new")],
        &[Cell::Int(2), text("two"), blank, blank],
        &[Cell::Int(3), blank, Cell::Int(3), blank],
        &[Cell::Int(1), blank, blank, blank],
        &[Cell::Int(2), blank, Cell::Int(5), blank],
        &[Cell::Int(1), text("uno"), blank, Cell::Null],
        &[Cell::Int(1), text("uno"), blank, blank],
    ];
    let receipt = write_rows(&*store, key, &plan, 0, &first).await;
    assert_eq!(verdicts(receipt.counts), [1, 3, 2, 0, 1]);
    let required = RowErrorCode::RequiredMissing;
    assert_eq!(codes(&receipt.rejected), [(2, required)]);
    let error = &receipt.rejected[0].errors[0];
    assert_eq!((error.column.as_str(), error.cell.as_str()), ("name", "B4"));
    assert_eq!(
        rows(backend, &["id", "name", "n", "note"]).await,
        ["1 uno 1 -", "2 two 5 -"]
    );
}

pub(crate) async fn defaults_are_set_in_updated_rows_too(backend: &dyn Backend) {
    backend.execute(BLANKS).await;
    backend
        .execute("insert into t values (1, 'one', 1, 'gone'), (2, 'two', 7, null)")
        .await;
    let plan = plan(backend, "t", &["id", "name", "n", "note"]).await;
    let plan = meeting(&plan, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "default").await;
    let default = Cell::Empty;
    let batch: [&[Cell<'_>]; 4] = [
        &[Cell::Int(1), Cell::Text("one"), default, default],
        &[Cell::Int(2), Cell::Text("two"), default, default],
        &[Cell::Int(3), Cell::Text("three"), default, default],
        &[Cell::Int(1), Cell::Unset, Cell::Int(8), Cell::Unset],
    ];
    let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
    assert_eq!(verdicts(receipt.counts), [1, 2, 1, 0, 0]);
    assert_eq!(
        rows(backend, &["id", "name", "n", "note"]).await,
        ["1 one 8 -", "2 two 7 -", "3 three 7 -"]
    );
}

pub(crate) async fn insert_only_columns_are_for_new_rows(backend: &dyn Backend) {
    backend.execute(BLANKS).await;
    backend
        .execute("insert into t values (1, 'one', 1, 'kept')")
        .await;
    let mut plan = plan(backend, "t", &["id", "name", "note"]).await;
    plan.columns[2].insert_only = true;
    let plan = meeting(&plan, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "insert only").await;
    let batch: [&[Cell<'_>]; 4] = [
        &[Cell::Int(1), Cell::Text("uno"), Cell::Text("other")],
        &[Cell::Int(1), Cell::Text("uno"), Cell::Text("another")],
        &[Cell::Int(2), Cell::Text("two"), Cell::Text("first")],
        &[Cell::Int(2), Cell::Text("dos"), Cell::Text("second")],
    ];
    let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
    assert_eq!(verdicts(receipt.counts), [1, 2, 1, 0, 0]);
    assert_eq!(
        rows(backend, &["id", "name", "note"]).await,
        ["1 uno kept", "2 dos first"]
    );
}

pub(crate) async fn key_alone_updates_nothing(backend: &dyn Backend) {
    backend
        .execute("create table t (n bigint primary key)")
        .await;
    backend.execute("insert into t values (1)").await;
    let plan = meeting(&plan(backend, "t", &["n"]).await, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "alone").await;
    let batch: [&[Cell<'_>]; 3] = [&[Cell::Int(1)], &[Cell::Int(2)], &[Cell::Int(2)]];
    let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
    assert_eq!(verdicts(receipt.counts), [1, 0, 2, 0, 0]);
}

pub(crate) async fn rows_without_a_match_are_rejected_or_skipped(backend: &dyn Backend) {
    let store = backend.store();
    let rejects = vec![(1, RowErrorCode::NoMatch), (3, RowErrorCode::NoMatch)];
    for (on_missing, expected, rejected) in [
        (OnMissing::Reject, [0, 2, 2, 0, 2], rejects),
        (OnMissing::Skip, [0, 2, 2, 2, 0], vec![]),
    ] {
        backend.execute("drop table if exists t").await;
        backend.execute(BLANKS).await;
        backend
            .execute("insert into t values (1, 'one', 1, 'kept'), (4, 'four', 4, null)")
            .await;
        let plan = plan(backend, "t", &["id", "name", "n"]).await;
        let plan = meeting(&plan, "t_pkey", update_or(on_missing));
        let key = begin(&*store, &format!("{on_missing:?}")).await;
        let batch: [&[Cell<'_>]; 6] = [
            &[Cell::Int(1), Cell::Text("uno"), Cell::Unset],
            &[Cell::Int(2), Cell::Text("two"), Cell::Int(2)],
            &[Cell::Int(4), Cell::Unset, Cell::Unset],
            &[Cell::Int(2), Cell::Unset, Cell::Unset],
            &[Cell::Int(1), Cell::Text("uno"), Cell::Int(1)],
            &[Cell::Int(4), Cell::Text("four"), Cell::Int(5)],
        ];
        let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
        assert_eq!(verdicts(receipt.counts), expected, "{on_missing:?}");
        assert_eq!(codes(&receipt.rejected), rejected);
        assert_eq!(
            rows(backend, &["id", "name", "n", "note"]).await,
            ["1 uno 1 kept", "4 four 5 -"]
        );
    }
}

pub(crate) async fn partial_indexes_leave_other_rows_alone(backend: &dyn Backend) {
    let store = backend.store();
    let there =
        "insert into t values ('a', 'gone', 'old'), ('a', 'live', null), ('b', 'gone', 'old')";
    for (index, expected, kept) in [
        (
            0,
            [1, 0, 0, 2, 0],
            ["a gone old", "a live -", "b first -", "b gone old"],
        ),
        (
            1,
            [1, 2, 0, 0, 0],
            ["a gone old", "a new -", "b gone old", "b second -"],
        ),
    ] {
        backend.execute("drop table if exists t").await;
        backend
            .execute("create table t (email text, name text, deleted text)")
            .await;
        backend
            .execute("create unique index live on t (email) where deleted is null")
            .await;
        backend.execute(there).await;
        let plan = plan(backend, "t", &["email", "name"]).await;
        let live = &plan.table.unique_keys[0];
        assert!(live.arbiter && !live.plain && !live.predicate.is_empty());
        assert!(
            live.terms.len() == 1 && live.columns == ["email"],
            "{live:?}"
        );
        let plan = match index {
            0 => meeting(&plan, "live", skip),
            _ => meeting(&plan, "live", update),
        };
        let key = begin(&*store, &format!("partial {index}")).await;
        let batch: [&[Cell<'_>]; 3] = [
            &[Cell::Text("a"), Cell::Text("new")],
            &[Cell::Text("b"), Cell::Text("first")],
            &[Cell::Text("b"), Cell::Text("second")],
        ];
        let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
        assert_eq!(verdicts(receipt.counts), expected);
        assert_eq!(rows(backend, &["email", "name", "deleted"]).await, kept);
    }
}

pub(crate) async fn expression_indexes_tell_which_rows_meet(backend: &dyn Backend) {
    let store = backend.store();
    for (index, expected, kept) in [
        (0, [1, 0, 0, 2, 0], ["A@x one", "b@x two"]),
        (1, [1, 2, 0, 0, 0], ["A@x uno", "b@x dos"]),
    ] {
        backend.execute("drop table if exists t").await;
        backend
            .execute("create table t (email text, name text not null)")
            .await;
        backend
            .execute("create unique index folded on t (lower(email))")
            .await;
        backend.execute("insert into t values ('A@x', 'one')").await;
        let plan = plan(backend, "t", &["email", "name"]).await;
        let plan = match index {
            0 => meeting(&plan, "folded", skip),
            _ => meeting(&plan, "folded", update),
        };
        let key = begin(&*store, &format!("folded {index}")).await;
        let batch: [&[Cell<'_>]; 3] = [
            &[Cell::Text("a@X"), Cell::Text("uno")],
            &[Cell::Text("b@x"), Cell::Text("two")],
            &[Cell::Text("B@X"), Cell::Text("dos")],
        ];
        let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
        assert_eq!(verdicts(receipt.counts), expected);
        assert_eq!(rows(backend, &["email", "name"]).await, kept);
        if index == 1 {
            // Who is not there cannot do without a name, who is there can.
            let blank: [&[Cell<'_>]; 2] = [
                &[Cell::Text("A@X"), Cell::Unset],
                &[Cell::Text("c@x"), Cell::Unset],
            ];
            let receipt = write_rows(&*store, key, &plan, 3, &blank).await;
            assert_eq!(verdicts(receipt.counts), [0, 0, 1, 0, 1]);
        }
    }
}

pub(crate) async fn other_constraints_refuse_rows_that_meet(backend: &dyn Backend) {
    backend
        .execute("create table p (id bigint primary key)")
        .await;
    backend.execute("insert into p values (1), (2)").await;
    let store = backend.store();
    for (index, expected) in [(0, [2, 0, 0, 2, 5]), (1, [2, 1, 1, 0, 5])] {
        backend.execute("drop table if exists t").await;
        backend
            .execute(
                "create table t (id bigint primary key, email text unique, \
                 n bigint constraint positive check (n > 0), p bigint references p)",
            )
            .await;
        backend
            .execute("insert into t values (1, 'a', 1, 1), (2, 'b', 2, 2)")
            .await;
        let plan = plan(backend, "t", &["id", "email", "n", "p"]).await;
        let plan = match index {
            0 => meeting(&plan, "t_pkey", skip),
            _ => meeting(&plan, "t_pkey", update),
        };
        let key = begin(&*store, &format!("refused {index}")).await;
        let row = |id, email, n, p| [Cell::Int(id), Cell::Text(email), Cell::Int(n), Cell::Int(p)];
        let batch = [
            row(1, "a", 1, 1),
            row(3, "a", 3, 1),
            row(4, "d", 0, 1),
            row(5, "e", 5, 9),
            row(2, "b", 3, 2),
            row(6, "f", 6, 1),
            row(7, "f", 7, 1),
            row(8, "h", 8, 2),
            row(9, "h", -9, 9),
        ];
        let batch: Vec<&[Cell<'_>]> = batch.iter().map(|row| &row[..]).collect();
        let receipt = write_rows(&*store, key, &plan, 0, &batch).await;
        assert_eq!(verdicts(receipt.counts), expected, "{:?}", receipt.rejected);
        let refused = codes(&receipt.rejected);
        let expected = [
            (1, RowErrorCode::UniqueViolation),
            (2, RowErrorCode::CheckViolation),
            (3, RowErrorCode::ForeignKeyViolation),
            (6, RowErrorCode::UniqueViolation),
        ];
        // The last row breaks three constraints: which is told is the database's choice.
        assert_eq!((&refused[..4], refused[4].0), (&expected[..], 8));
        let n = if index == 0 { 2 } else { 3 };
        let sql = "select n from t where id = 2";
        assert_eq!(number(backend, sql).await, n);
    }
}

pub(crate) async fn another_rows_key_refuses_an_update(backend: &dyn Backend) {
    backend
        .execute("create table t (name text unique, n bigint primary key)")
        .await;
    backend
        .execute("insert into t values ('a', 1), ('b', 2)")
        .await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "swap").await;
    let batch = [
        ("b", 1),
        ("c", 2),
        ("b", 1),
        ("d", 3),
        ("d", 2),
        ("c", 3),
        ("e", 2),
        ("c", 3),
    ];
    let receipt = write(&*store, key, &plan, &pairs(&plan, 0, &batch)).await;
    let receipt = receipt.unwrap();
    let unique = RowErrorCode::UniqueViolation;
    assert_eq!(
        codes(&receipt.rejected),
        [(0, unique), (4, unique), (5, unique)]
    );
    assert_eq!(verdicts(receipt.counts), [1, 4, 0, 0, 3]);
    assert_eq!(rows(backend, &["n", "name"]).await, ["1 b", "2 e", "3 c"]);
}

pub(crate) async fn large_batches_meet_as_small_ones_do(backend: &dyn Backend) {
    backend.execute(NAMES).await;
    let plan = meeting(&plan(backend, "t", &["name", "n"]).await, "t_pkey", update);
    let store = backend.store();
    let key = begin(&*store, "large").await;
    let batch = |start: u64, name, ns: std::ops::Range<i64>| {
        let mut builder = BatchBuilder::new(&plan, start);
        for n in ns {
            builder = builder.row(&[Cell::Text(name), Cell::Int(n)]);
        }
        builder.build(start)
    };
    let steps = [
        (batch(0, "a", 0..3_000), [3_000, 0, 0, 0, 0]),
        (batch(3_000, "a", 1_000..4_000), [1_000, 0, 2_000, 0, 0]),
        (batch(6_000, "b", 3_500..5_000), [1_000, 500, 0, 0, 0]),
    ];
    for (batch, expected) in steps {
        let receipt = write(&*store, key, &plan, &batch).await.unwrap();
        assert_eq!(verdicts(receipt.counts), expected);
    }
    let skipping = meeting(&plan, "t_pkey", skip);
    let receipt = write(&*store, key, &skipping, &batch(7_500, "c", 4_000..5_500)).await;
    assert_eq!(verdicts(receipt.unwrap().counts), [500, 0, 0, 1_000, 0]);
    let sql = "select name || ' ' || count(*) from t group by name order by 1";
    assert_eq!(texts(backend, sql).await, ["a 3500", "b 1500", "c 500"]);
}

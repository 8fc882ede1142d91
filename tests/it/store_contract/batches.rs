//! Rows that arrive.

use crate::support::decided;
use rowlift::model::cell::Cell;
use rowlift::model::import::WriteMethod;

use super::backend::{
    Backend, BatchBuilder, Kind, begin, number, pairs, plan, plan_by, texts, write,
};

const PAIRS: &str = "create table t (name text, n bigint)";

pub(crate) async fn rows_arrive_with_every_method(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let store = backend.store();
    let methods = [
        None,
        Some(WriteMethod::Sequential),
        Some(WriteMethod::Concurrent),
        Some(WriteMethod::Batch),
        Some(WriteMethod::Copy),
    ];
    for (index, wanted) in methods.into_iter().enumerate() {
        let plan = plan_by(backend, "t", &["name", "n"], wanted).await;
        let key = begin(&*store, &format!("{wanted:?}")).await;
        let batch = pairs(&plan, 0, &[("a", 1), ("", 2), ("it's", -3)]);
        let receipt = write(&*store, key, &plan, &batch).await.unwrap();
        assert_eq!(receipt.range, 0..3);
        assert_eq!(receipt.counts.inserted, 3, "{wanted:?}");
        assert_eq!(receipt.counts.total(), 3);
        assert!(receipt.rejected.is_empty());
        let expected = 3 * (index as u64 + 1);
        assert_eq!(number(backend, "select count(*) from t").await, expected);
        let (counts, watermark) = decided(&*store, key).await;
        assert_eq!((counts, watermark), (receipt.counts, 3));
    }
    let names = texts(backend, "select distinct name || n from t order by 1").await;
    assert_eq!(names, ["2", "a1", "it's-3"]);
}

pub(crate) async fn values_come_back_as_they_were_sent(backend: &dyn Backend) {
    let sql = "create table t (
        n bigint, ratio double precision, amount numeric(20, 4), flag boolean, note text,
        day date, at time, moment timestamp, instant timestamp with time zone, u uuid, data bytea)";
    backend.execute(sql).await;
    let columns = [
        "n", "ratio", "amount", "flag", "note", "day", "at", "moment", "instant", "u", "data",
    ];
    let plan = plan(backend, "t", &columns).await;
    let store = backend.store();
    let key = begin(&*store, "values").await;
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let moment = Cell::Timestamp {
        seconds: -1,
        nanos: 500_000_000,
    };
    let batch = BatchBuilder::new(&plan, 0)
        .row(&[
            Cell::Int(i64::MIN),
            Cell::Double(0.1 + 0.2),
            Cell::Decimal("-1234.5000"),
            Cell::Bool(true),
            Cell::Text("é\u{1F980}\n\t'\"\\"),
            Cell::Date("2024-02-29"),
            Cell::Time("23:59:59.000001"),
            moment,
            moment,
            Cell::Text(uuid),
            Cell::Bytes(&[0, 255, 10]),
        ])
        .row(&[Cell::Null; 11])
        .build(0);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!(receipt.counts.inserted, 2, "{:?}", receipt.rejected);
    let data = match backend.kind() {
        Kind::Sqlite => "hex(data)",
        Kind::Postgres => "encode(data, 'hex')",
    };
    let instant = match backend.kind() {
        Kind::Sqlite => "instant",
        Kind::Postgres => "instant at time zone 'UTC'",
    };
    let casts = format!(
        "select n, ratio, amount = -1234.5, flag, note, day, at, moment, {instant}, u, {data} from t"
    );
    let rows = backend.query(&casts).await;
    let text = |index: usize| rows[0][index].as_deref().unwrap();
    assert_eq!(text(0), "-9223372036854775808");
    assert_eq!(
        text(1).parse::<f64>().unwrap().to_bits(),
        (0.1_f64 + 0.2).to_bits()
    );
    assert!(["1", "t"].contains(&text(2)), "{}", text(2));
    assert!(["1", "t"].contains(&text(3)), "{}", text(3));
    assert_eq!(text(4), "é\u{1F980}\n\t'\"\\");
    assert_eq!(text(5), "2024-02-29");
    assert_eq!(text(6), "23:59:59.000001");
    assert!(text(7).starts_with("1969-12-31 23:59:59.5"), "{}", text(7));
    assert!(text(8).starts_with("1969-12-31 23:59:59.5"), "{}", text(8));
    assert_eq!(text(9), uuid);
    assert_eq!(text(10).to_lowercase(), "00ff0a");
    assert!(
        rows[1]
            .iter()
            .enumerate()
            .all(|(index, it)| it.is_none() || (index == 10 && it.as_deref() == Some(""))),
        "{:?}",
        rows[1]
    );
}

pub(crate) async fn unset_columns_get_their_defaults(backend: &dyn Backend) {
    backend
        .execute("create table t (name text default 'none', n bigint default 7, m bigint)")
        .await;
    let plan = plan(backend, "t", &["name", "n", "m"]).await;
    let store = backend.store();
    let key = begin(&*store, "defaults").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for _ in 0..3 {
        builder = builder
            .row(&[Cell::Unset, Cell::Int(1), Cell::Int(1)])
            .row(&[Cell::Text("a"), Cell::Unset, Cell::Int(2)])
            .row(&[Cell::Null, Cell::Null, Cell::Unset])
            .row(&[Cell::Unset, Cell::Unset, Cell::Unset])
            .row(&[Cell::Text("b"), Cell::Int(5), Cell::Int(3)]);
    }
    let receipt = write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    assert_eq!(receipt.counts.inserted, 15);
    let sql = "select coalesce(name, '-') || ' ' || coalesce(n, 0) || ' ' || coalesce(m, 0) || ' ' || count(*) \
               from t group by name, n, m order by 1";
    let expected = ["- 0 0 3", "a 7 2 3", "b 5 3 3", "none 1 1 3", "none 7 0 3"];
    assert_eq!(texts(backend, sql).await, expected);
}

pub(crate) async fn large_batches_arrive_whole(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "large").await;
    let mut builder = BatchBuilder::new(&plan, 0);
    for n in 0..5_003 {
        builder = builder.row(&[Cell::Text("row"), Cell::Int(n)]);
    }
    let receipt = write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    assert_eq!(receipt.counts.inserted, 5_003);
    let sql = "select count(distinct n) || ' ' || min(n) || ' ' || max(n) from t";
    assert_eq!(texts(backend, sql).await, ["5003 0 5002"]);
}

pub(crate) async fn blank_ordinals_are_counted(backend: &dyn Backend) {
    backend.execute(PAIRS).await;
    let plan = plan(backend, "t", &["name", "n"]).await;
    let store = backend.store();
    let key = begin(&*store, "blank").await;
    let row = [Cell::Text("a"), Cell::Int(1)];
    let batch = BatchBuilder::new(&plan, 0)
        .blank()
        .row(&row)
        .blank()
        .blank()
        .row(&row)
        .blank();
    let receipt = write(&*store, key, &plan, &batch.build(0)).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.blank), (2, 4));
    let batch = BatchBuilder::new(&plan, 6).blank().blank().build(1);
    let receipt = write(&*store, key, &plan, &batch).await.unwrap();
    assert_eq!((receipt.counts.inserted, receipt.counts.blank), (0, 2));
    let (counts, watermark) = decided(&*store, key).await;
    assert_eq!((counts.total(), watermark), (8, 8));
}

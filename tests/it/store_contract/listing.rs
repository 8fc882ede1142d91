//! Lists of imports and rejected rows, and the law that their counts obey.

use crate::support::decided;
use rowlift::model::cell::Cell;
use rowlift::model::import::{ImportRecord, ImportState};
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;
use rowlift::store::query::{ImportFilter, RejectedQuery};
use rowlift::store::{OpenMode, Store};

use super::backend::{
    Backend, BatchBuilder, begin, new_import, number, open, outcome, plan, write,
};

async fn ids(store: &dyn Store, filter: &ImportFilter) -> Vec<String> {
    let records = store.imports("alice", filter).await.unwrap().into_iter();
    records
        .map(|(_, record): (i64, ImportRecord)| record.import_id)
        .collect()
}

pub(crate) async fn imports_are_listed_newest_first_in_pages(backend: &dyn Backend) {
    let store = backend.store();
    for index in 0..7 {
        begin(&*store, &format!("i{index}")).await;
    }
    let mut other = new_import("i9");
    "bob".clone_into(&mut other.owner);
    open(&*store, &other, OpenMode::Begin).await;
    let mut filter = ImportFilter {
        limit: 3,
        ..ImportFilter::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = store.imports("alice", &filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.0);
        pages.push(
            page.iter()
                .map(|it| it.1.import_id.clone())
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    assert_eq!(pages, ["i6 i5 i4", "i3 i2 i1", "i0"]);
}

pub(crate) async fn filters_narrow_the_list(backend: &dyn Backend) {
    let store = backend.store();
    let all = ImportFilter {
        limit: 100,
        ..ImportFilter::default()
    };
    for (id, tenant, table, team) in [
        ("a", "acme", "main.t", "x"),
        ("b", "acme", "main.u", "y"),
        ("c", "", "main.t", "x"),
        ("d", "", "main.t", ""),
    ] {
        let mut new = new_import(id);
        new.tenant = tenant.to_owned();
        new.table = table.to_owned();
        if !team.is_empty() {
            new.labels.insert("te\"am".to_owned(), team.to_owned());
            new.labels.insert("all".to_owned(), "yes".to_owned());
        }
        open(&*store, &new, OpenMode::Begin).await;
    }
    assert_eq!(ids(&*store, &all).await, ["d", "c", "b", "a"]);
    let tenant = ImportFilter {
        tenant: "acme".to_owned(),
        ..all.clone()
    };
    assert_eq!(ids(&*store, &tenant).await, ["b", "a"]);
    let table = ImportFilter {
        table: "main.t".to_owned(),
        ..all.clone()
    };
    assert_eq!(ids(&*store, &table).await, ["d", "c", "a"]);
    let mut labels = all.clone();
    labels.labels.insert("te\"am".to_owned(), "x".to_owned());
    assert_eq!(ids(&*store, &labels).await, ["c", "a"]);
    labels.labels.insert("all".to_owned(), "no".to_owned());
    assert_eq!(ids(&*store, &labels).await, Vec::<String>::new());

    backend.expire_leases().await;
    let e = begin(&*store, "e").await;
    begin(&*store, "f").await;
    begin(&*store, "g").await;
    store
        .end_import(e, &outcome(ImportState::Succeeded, RowCounts::default()))
        .await
        .unwrap();
    store.request_cancel("alice", "g", "").await.unwrap();
    for (state, expected) in [
        (ImportState::Running, &["f"][..]),
        (ImportState::Suspended, &["d", "c", "b", "a"]),
        (ImportState::Succeeded, &["e"]),
        (ImportState::Cancelling, &["g"]),
        (ImportState::Failed, &[]),
    ] {
        let filter = ImportFilter {
            state: Some(state),
            ..all.clone()
        };
        assert_eq!(ids(&*store, &filter).await, expected, "{state:?}");
    }
}

pub(crate) async fn pages_of_rejected_rows_add_up(backend: &dyn Backend) {
    backend
        .execute("create table t (name text not null, n bigint)")
        .await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "pages").await;
    for index in 0..4_u64 {
        let mut builder = BatchBuilder::new(&plan, index * 30);
        for n in 0..30 {
            builder = match n % 3 {
                0 => builder.row(&[Cell::Text("a"), Cell::Int(n)]),
                1 => builder.row(&[Cell::Null, Cell::Int(n)]),
                _ => builder.refused(
                    &[Cell::Text("x"), Cell::Int(n)],
                    RowErrorCode::AmbiguousValue,
                ),
            };
        }
        write(&*store, key, &plan, &builder.build(index))
            .await
            .unwrap();
    }
    let missing = RowErrorCode::RequiredMissing;
    for (code, total) in [
        (None, 80),
        (Some(missing), 40),
        (Some(RowErrorCode::AmbiguousValue), 40),
        (Some(RowErrorCode::Database), 0),
    ] {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = store.rejected_rows("alice", "pages", code, after, 7).await;
            let page = page.unwrap().unwrap();
            assert_eq!(page.total, total);
            assert!(page.rows.len() <= 7);
            after = page.rows.last().map(|row| row.ordinal);
            seen.extend(page.rows.iter().map(|row| row.ordinal));
            for row in &page.rows {
                assert!(code.is_none_or(|code| row.errors[0].code == code));
                assert_eq!(row.row_number, row.ordinal + 2);
            }
            if !page.more {
                break;
            }
        }
        assert_eq!(seen.len() as u64, total);
        assert!(seen.is_sorted_by(|a, b| a < b));
    }
}

pub(crate) async fn pieces_of_rejected_rows_are_bounded(backend: &dyn Backend) {
    backend
        .execute("create table t (name text not null, n bigint)")
        .await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "pieces").await;
    let long = "x".repeat(10_000);
    let mut builder = BatchBuilder::new(&plan, 0);
    for n in 0..40 {
        let text = if n % 10 == 3 { &long } else { "a" };
        builder = match n % 4 {
            0 => builder.row(&[Cell::Text(text), Cell::Int(n)]),
            1 => builder.row(&[Cell::Null, Cell::Int(n)]),
            _ => builder.refused(&[Cell::Text(text), Cell::Int(n)], RowErrorCode::ExtraCells),
        };
    }
    write(&*store, key, &plan, &builder.build(0)).await.unwrap();
    let source = store.rejected_source("alice", "pieces").await.unwrap();
    let source = source.unwrap();
    assert_eq!((source.n_rows, source.layout), (30, None));
    for (code, total) in [(None, 30), (Some(RowErrorCode::ExtraCells), 20)] {
        // Many rows of few bytes, few of many, and one of more than all together may have.
        for (rows_max, bytes_max) in [(7, 1 << 20), (100, 2000), (100, 1)] {
            let mut query = RejectedQuery {
                code,
                after: None,
                rows_max,
                bytes_max,
            };
            let mut seen = Vec::new();
            loop {
                let piece = store.rejected_piece(source.import, query).await.unwrap();
                let Some(last) = piece.last() else { break };
                query.after = Some(last.ordinal);
                assert!(piece.len() <= rows_max as usize);
                let before_last = &piece[..piece.len() - 1];
                let n_bytes: usize = before_last
                    .iter()
                    .map(|row| serde_json::to_vec(row).unwrap().len())
                    .sum();
                assert!(n_bytes < bytes_max as usize, "{n_bytes} bytes");
                seen.extend(piece.iter().map(|row| row.ordinal));
            }
            assert_eq!(seen.len(), total, "{code:?} {rows_max} {bytes_max}");
            assert!(seen.is_sorted_by(|a, b| a < b));
        }
    }
    let unknown = store.rejected_source("bob", "pieces").await.unwrap();
    assert_eq!(unknown, None);
}

pub(crate) async fn counts_obey_the_conservation_law(backend: &dyn Backend) {
    backend
        .execute("create table t (name text not null, n bigint unique)")
        .await;
    let store = backend.store();
    let plan = plan(backend, "t", &["name", "n"]).await;
    let key = begin(&*store, "law").await;
    let mut ended = RowCounts::default();
    // Three hundred batches, so that ranges are folded on the way.
    for index in 0..300_u64 {
        let n = i64::try_from(index).unwrap();
        let batch = BatchBuilder::new(&plan, index * 4)
            .row(&[Cell::Text("a"), Cell::Int(n)])
            .row(&[Cell::Text("b"), Cell::Int(n / 2)])
            .blank()
            .refused(&[Cell::Text("x"), Cell::Int(n)], RowErrorCode::TooLong)
            .build(index);
        let receipt = write(&*store, key, &plan, &batch).await.unwrap();
        assert_eq!(receipt.counts.total(), 4);
        ended += receipt.counts;
    }
    let (counts, watermark) = decided(&*store, key).await;
    assert_eq!((counts, watermark), (ended, 1200));
    assert_eq!(
        number(backend, "select count(*) from t").await,
        counts.inserted
    );
    let record = store.import("alice", "law").await.unwrap().unwrap();
    assert_eq!((record.stats.rows, record.stats.batches), (counts, 300));
    assert_eq!(record.stats.unprocessed_rows(), 0);
    let page = store
        .rejected_rows("alice", "law", None, None, 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.total, counts.rejected);
    store
        .end_import(key, &outcome(ImportState::Suspended, counts))
        .await
        .unwrap();
    let open = open(&*store, &new_import("law"), OpenMode::Resume).await;
    assert_eq!((open.counts, open.committed_offset), (counts, 1200));
}

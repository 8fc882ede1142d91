//! Batches of many rows do what batches of one do.

use rowlift::model::cell::Cell;
use rowlift::model::plan::{OnConflict, OnMissing, WritePlan};
use rowlift::model::reject::RowErrorCode;
use rowlift::model::stats::RowCounts;

use super::backend::{
    Backend, BatchBuilder, Kind, begin, codes, meeting, plan, skip, texts, update_or, verdicts,
    write,
};

/// Each is a batch of its own, and that is what takes the time: no more of them than [`WIDTHS`] needs.
const N_ROWS: usize = 150;
/// Rows of a batch of many, one after the other: below and above the 8 and 32 that SQLite's statements
/// change at, and the 64 of PostgreSQL's pieces.
const WIDTHS: [usize; 4] = [1, 70, 9, 70];

/// Numbers that look random, the same for a seed: Knuth's MMIX generator.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        let multiplied = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = multiplied.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Drawn {
    id: i64,
    email: Option<String>,
    n: Option<i64>,
    note: Option<String>,
}

/// Few keys, so that they repeat; now and then a value that a check refuses, or none.
fn drawn(numbers: &mut Numbers, are_clean: bool) -> Drawn {
    if are_clean {
        // Statements of many rows go through, but for one here and there.
        let n = i64::try_from(numbers.below(1_200) / 100).unwrap();
        return Drawn {
            id: i64::try_from(numbers.below(60)).unwrap(),
            email: Some(format!("{}@example.com", numbers.below(40_000))),
            n: Some(if numbers.below(90) == 0 { 13 } else { n }),
            note: (numbers.below(60) > 0).then(|| "note".to_owned()),
        };
    }
    let id = i64::try_from(numbers.below(60)).unwrap();
    let email = format!("{}@example.com", numbers.below(400));
    let n = i64::try_from(numbers.below(16)).unwrap();
    let note = format!("note {}", numbers.below(3));
    Drawn {
        id,
        email: (numbers.below(8) > 0).then_some(email),
        n: (numbers.below(5) > 0).then_some(n),
        note: (numbers.below(3) > 0).then_some(note),
    }
}

fn add<'a>(builder: BatchBuilder<'a>, row: &Drawn) -> BatchBuilder<'a> {
    let text = |it: &'_ Option<String>| it.clone();
    let (email, note) = (text(&row.email), text(&row.note));
    builder.row(&[
        Cell::Int(row.id),
        email.as_deref().map_or(Cell::Unset, Cell::Text),
        row.n.map_or(Cell::Unset, Cell::Int),
        note.as_deref().map_or(Cell::Unset, Cell::Text),
    ])
}

/// Counts, rejected rows and table after all rows, in batches of these widths over and over.
async fn outcome(
    backend: &dyn Backend,
    plan: &WritePlan,
    id: &str,
    rows: &[Drawn],
    widths: &[usize],
) -> (RowCounts, Vec<(u64, RowErrorCode)>, Vec<String>) {
    backend.execute("delete from t").await;
    let there = "insert into t select id * 3, 'old ' || id, 5, 'old' from seq where id < 10";
    backend.execute(there).await;
    let store = backend.store();
    let key = begin(&*store, id).await;
    let (mut counts, mut rejected) = (RowCounts::default(), Vec::new());
    let mut widths = widths.iter().cycle();
    let mut at = 0;
    while at < rows.len() {
        let end = rows.len().min(at + widths.next().unwrap());
        let mut builder = BatchBuilder::new(plan, at as u64);
        for row in &rows[at..end] {
            builder = add(builder, row);
        }
        let receipt = write(&*store, key, plan, &builder.build(at as u64)).await;
        let receipt = receipt.unwrap();
        counts += receipt.counts;
        rejected.extend(codes(&receipt.rejected));
        at = end;
    }
    let table = "select id || ' ' || coalesce(email, '-') || ' ' || n || ' ' || coalesce(note, '-') \
                 from t order by id";
    (counts, rejected, texts(backend, table).await)
}

/// The plan with each thing that rows may do that meet another.
fn plans(plan: &WritePlan) -> [(&'static str, WritePlan); 5] {
    let reject = |_| OnConflict::Reject;
    let actions: [(&'static str, &dyn Fn(usize) -> OnConflict); 5] = [
        ("reject", &reject),
        ("skip", &skip),
        ("insert", &update_or(OnMissing::Insert)),
        ("no match", &update_or(OnMissing::Reject)),
        ("leave", &update_or(OnMissing::Skip)),
    ];
    actions.map(|(name, action)| (name, meeting(plan, "t_pkey", action)))
}

pub(crate) async fn batches_do_what_single_rows_do(backend: &dyn Backend) {
    backend
        .execute(
            "create table t (id bigint primary key, email text unique, \
             n bigint not null check (n <> 13), note text default 'none')",
        )
        .await;
    backend.execute("create table seq (id bigint)").await;
    let numbers: Vec<String> = (0..10).map(|id| format!("({id})")).collect();
    let sql = format!("insert into seq values {}", numbers.join(", "));
    backend.execute(&sql).await;
    let plan = plan(backend, "t", &["id", "email", "n", "note"]).await;
    let plans = plans(&plan);
    for (name, plan) in plans {
        for seed in 1..=2 {
            let mut numbers = Numbers(seed);
            let rows: Vec<Drawn> = (0..N_ROWS)
                .map(|_| drawn(&mut numbers, seed % 2 == 0))
                .collect();
            let singly = outcome(backend, &plan, &format!("{name} {seed} 1"), &rows, &[1]).await;
            let many = outcome(backend, &plan, &format!("{name} {seed} n"), &rows, &WIDTHS).await;
            let what = format!("{name}, seed {seed}");
            assert_eq!(verdicts(singly.0), verdicts(many.0), "{what}");
            let ordinals = |rejected: &[(u64, RowErrorCode)]| -> Vec<u64> {
                rejected.iter().map(|(ordinal, _)| *ordinal).collect()
            };
            assert_eq!(ordinals(&singly.1), ordinals(&many.1), "{what}");
            // Of several reasons PostgreSQL tells the one that was found first.
            if backend.kind() == Kind::Sqlite {
                assert_eq!(singly.1, many.1, "{what}");
            }
            assert_eq!(singly.2, many.2, "{what}");
            assert!(
                !singly.1.is_empty() || name == "leave",
                "{what}: none is refused"
            );
        }
    }
}

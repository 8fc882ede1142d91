//! Any faults, any cuts.

use proptest::prelude::*;
use rowlift::proto::CommitMode;

use super::driver::{Case, assert_counted_once, assert_once, import};
use super::memory::{Fault, Memory};

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::After),
        1 => Just(Fault::HangBefore),
        1 => Just(Fault::HangAfter),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let rows = prop::collection::vec(prop::option::weighted(0.9, any::<i64>()), 1..60);
    let mode = prop_oneof![Just(CommitMode::PerBatch), Just(CommitMode::Atomic)];
    (
        rows,
        any::<bool>(),
        mode,
        any::<bool>(),
        1_usize..9,
        1_usize..9,
    )
        .prop_map(
            |(mut rows, is_file, commit_mode, validate_only, message_rows, batch_rows)| {
                // An import whose rows are all rejected fails.
                rows.push(Some(1));
                Case {
                    rows,
                    is_file,
                    commit_mode,
                    validate_only,
                    rejects_max: -1,
                    message_rows,
                    batch_rows,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_in_once_whatever_fails(
        case in case(),
        faults in prop::collection::vec(fault(), 0..60),
        n_writers in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let memory = Memory::new(n_writers);
            memory.fail(faults);
            let outcome = import(&memory, &case).await;
            assert_once(&memory, &case, &outcome);
            assert_counted_once(&memory, &outcome, false);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_import_leaves_few_ranges() {
    let case = Case {
        rows: (0..3_000).map(Some).collect(),
        is_file: false,
        commit_mode: CommitMode::PerBatch,
        validate_only: false,
        rejects_max: -1,
        message_rows: 3,
        batch_rows: 1,
    };
    let memory = Memory::new(4);
    let outcome = import(&memory, &case).await;
    assert_once(&memory, &case, &outcome);
    let n_ranges = memory.n_ranges("one");
    assert!(n_ranges < 1_000, "{n_ranges} ranges of 3,000 batches");
    assert_eq!(outcome.stats.batches, 3_000);
}

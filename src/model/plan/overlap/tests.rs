use std::sync::Arc;

use super::{MeetingColumn, MeetingKey, Overlap};
use crate::model::import::WriteMethod;
use crate::model::plan::{OnConflict, OnMissing, PlannedColumn, WritePlan};
use crate::model::table::{Column, ColumnType, ForeignKey, Meets, Table, UniqueKey};

const UPDATE: OnConflict = OnConflict::Update {
    key: 1,
    on_missing: OnMissing::Insert,
};
const SKIP: OnConflict = OnConflict::Skip { key: 1 };

fn column(name: &str, has_default: bool) -> Column {
    Column {
        name: name.to_owned(),
        ty: ColumnType::Text,
        type_name: "text".to_owned(),
        nullable: true,
        has_default,
        generated: false,
        importable: true,
        assignable: false,
        aliases: Vec::new(),
    }
}

fn key(columns: &[&str], meets: Meets) -> UniqueKey {
    UniqueKey {
        name: columns.join("_"),
        columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        primary: false,
        plain: meets == Meets::NullsApart,
        definition: String::new(),
        terms: Vec::new(),
        predicate: String::new(),
        arbiter: true,
        meets,
    }
}

/// `id` (the database's), `a`, `b`, `c` (with a default); unique: `id` and `a`.
fn plan(mapped: &[&str]) -> WritePlan {
    let table = Table {
        unique_keys: vec![
            key(&["id"], Meets::NullsApart),
            key(&["a"], Meets::NullsApart),
        ],
        ..Table::bare(
            "public",
            "t",
            vec![
                column("id", true),
                column("a", false),
                column("b", false),
                column("c", true),
            ],
        )
    };
    let planned = |name: &&str| PlannedColumn {
        table_column: table.column_index(name).unwrap(),
        source_index: Some(0),
        source_name: String::new(),
        insert_only: false,
    };
    WritePlan {
        columns: mapped.iter().map(planned).collect(),
        table: Arc::new(table),
        method: WriteMethod::Copy,
        on_conflict: OnConflict::Reject,
    }
}

/// The plan with another table.
fn with(mut plan: WritePlan, change: impl FnOnce(&mut Table)) -> WritePlan {
    change(Arc::make_mut(&mut plan.table));
    plan
}

fn under(on_conflict: OnConflict, plan: WritePlan) -> WritePlan {
    WritePlan {
        on_conflict,
        ..plan
    }
}

/// The keys, each by its mapped columns.
fn keyed(keys: &[&[(usize, bool)]]) -> Overlap {
    let column = |(index, has_default): &(usize, bool)| MeetingColumn {
        index: *index,
        has_default: *has_default,
    };
    let keys = keys.iter().map(|columns| MeetingKey {
        columns: columns.iter().map(column).collect(),
        nulls_alike: false,
    });
    Overlap::Keyed(keys.collect())
}

#[test]
fn rows_that_meet_nowhere_are_free() {
    assert_eq!(plan(&["b"]).overlap(), Overlap::Free);
    // A pair that is never whole: NULL, which is what `b` is, meets nothing.
    let pair = with(plan(&["a"]), |table| {
        table.unique_keys = vec![key(&["a", "b"], Meets::NullsApart)];
    });
    assert_eq!(pair.overlap(), Overlap::Free);
    // Then nothing else is of interest.
    let triggers = with(plan(&["b"]), |table| table.order_shows_on_insert = true);
    assert_eq!(triggers.overlap(), Overlap::Free);
}

#[test]
fn rows_that_meet_in_keys_of_their_own_are_told_apart_by_them() {
    for on_conflict in [OnConflict::Reject, SKIP, UPDATE] {
        let plan = under(on_conflict, plan(&["b", "a"]));
        assert_eq!(plan.overlap(), keyed(&[&[(1, false)]]));
    }
    let several = plan(&["id", "a"]);
    assert_eq!(several.overlap(), keyed(&[&[(0, true)], &[(1, false)]]));
    let pair = with(plan(&["c", "b"]), |table| {
        table.unique_keys = vec![key(&["b", "c"], Meets::NullsAlike)];
    });
    let expected = MeetingKey {
        columns: vec![
            MeetingColumn {
                index: 1,
                has_default: false,
            },
            MeetingColumn {
                index: 0,
                has_default: true,
            },
        ],
        nulls_alike: true,
    };
    assert_eq!(pair.overlap(), Overlap::Keyed(vec![expected]));
}

#[test]
fn rows_that_only_the_database_tells_apart_are_written_one_by_one() {
    for meets in [Meets::Untold, Meets::Derived] {
        let untold = with(plan(&["a"]), |table| table.unique_keys[1].meets = meets);
        assert_eq!(untold.overlap(), Overlap::OneByOne, "{meets:?}");
    }
    // A generated column is made of others.
    let derived = with(plan(&["b"]), |table| {
        table.unique_keys = vec![key(&["a"], Meets::Derived)];
    });
    assert_eq!(derived.overlap(), Overlap::OneByOne);
    // An expression that reads no column.
    let fed_by_anything = with(plan(&["b"]), |table| {
        table.unique_keys = vec![key(&[], Meets::Untold)];
    });
    assert_eq!(fed_by_anything.overlap(), Overlap::OneByOne);
    // One whose value is not among the row's.
    let defaults = with(plan(&["a"]), |table| {
        table.unique_keys = vec![key(&["a", "c"], Meets::NullsApart)];
    });
    assert_eq!(defaults.overlap(), Overlap::OneByOne);
    let alike = with(plan(&["a"]), |table| {
        table.unique_keys = vec![key(&["a", "b"], Meets::NullsAlike)];
    });
    assert_eq!(alike.overlap(), Overlap::OneByOne);
}

#[test]
fn rows_that_depend_on_others_by_more_than_keys_are_written_one_by_one() {
    let table_of: [fn(&mut Table); 4] = [
        |table| table.order_shows_on_insert = true,
        |table| table.row_security = true,
        |table| table.excluded_columns = vec!["a".to_owned()],
        |table| {
            table.foreign_keys = vec![ForeignKey {
                name: "t_a_fkey".to_owned(),
                columns: vec!["a".to_owned()],
                foreign_table: table.name.clone(),
                foreign_columns: vec!["id".to_owned()],
                deferred: true,
            }];
        },
    ];
    for change in table_of {
        let plan = with(plan(&["a"]), change);
        assert_eq!(plan.overlap(), Overlap::OneByOne, "{:?}", plan.table);
    }
    // What runs for updated rows alone is no matter for new ones.
    let on_update = with(plan(&["a"]), |table| table.order_shows_on_update = true);
    assert_eq!(on_update.overlap(), keyed(&[&[(0, false)]]));
    assert_eq!(under(UPDATE, on_update).overlap(), Overlap::OneByOne);
    let sequential = WritePlan {
        method: WriteMethod::Sequential,
        ..plan(&["a"])
    };
    assert_eq!(sequential.overlap(), Overlap::OneByOne);
}

#[test]
fn an_update_that_gives_up_keys_is_written_one_by_one() {
    // Of another key an updated row leaves its old value to whoever comes next.
    let other = under(UPDATE, plan(&["a", "id"]));
    assert_eq!(other.overlap(), Overlap::OneByOne);
    let in_part = with(under(UPDATE, plan(&["a", "b"])), |table| {
        table.unique_keys.push(key(&["id", "b"], Meets::NullsApart));
    });
    assert_eq!(in_part.overlap(), Overlap::OneByOne);
    // It may come to be in an index that holds a part of the rows.
    let partial = with(under(UPDATE, plan(&["a", "b"])), |table| {
        table.unique_keys[0].plain = false;
    });
    assert_eq!(partial.overlap(), Overlap::OneByOne);
}

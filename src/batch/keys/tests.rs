use super::KeyHasher;
use crate::model::keys::BatchKeys;
use crate::model::plan::overlap::{MeetingColumn, MeetingKey, Overlap};
use crate::model::value::{RowBuffer, Value};

fn key(columns: &[usize]) -> MeetingKey {
    let columns = columns.iter().map(|index| MeetingColumn {
        index: *index,
        has_default: false,
    });
    MeetingKey {
        columns: columns.collect(),
        nulls_alike: false,
    }
}

fn nulls_alike(key: MeetingKey) -> MeetingKey {
    MeetingKey {
        nulls_alike: true,
        ..key
    }
}

fn keys<const N: usize>(keys: &[MeetingKey], rows: &[[Value<'_>; N]]) -> BatchKeys {
    let mut buffer = RowBuffer::new(N);
    for value in rows.iter().flatten() {
        buffer.push(*value);
    }
    KeyHasher::new(Overlap::Keyed(keys.to_vec())).keys(&buffer)
}

/// Whether a batch with one value meets one with the other.
fn meet(ours: Value<'_>, theirs: Value<'_>) -> bool {
    let key = [key(&[0])];
    keys(&key, &[[ours]]).meets(&keys(&key, &[[theirs]]))
}

#[test]
fn what_the_database_takes_for_the_same_meets() {
    for (ours, theirs) in [
        (Value::Int(7), Value::Int(7)),
        (Value::Bool(true), Value::Bool(true)),
        (Value::Text("a"), Value::Text("a")),
        (Value::Bytes(&[0, 1]), Value::Bytes(&[0, 1])),
        (Value::Uuid([7; 16]), Value::Uuid([7; 16])),
        (Value::Date(-1), Value::Date(-1)),
        (Value::Time(1), Value::Time(1)),
        (Value::Timestamp(1), Value::Timestamp(1)),
        (Value::Float(0.0), Value::Float(-0.0)),
        (Value::Float(f64::NAN), Value::Float(-f64::NAN)),
        (Value::Float(0.5), Value::Float(0.5)),
        (Value::Decimal("1"), Value::Decimal("1.0")),
        (Value::Decimal("1.10"), Value::Decimal("1.1")),
        (Value::Decimal("0"), Value::Decimal("0.000")),
        (Value::Decimal("-20.50"), Value::Decimal("-20.5")),
        (Value::Decimal("NaN"), Value::Decimal("NaN")),
    ] {
        assert!(meet(ours, theirs), "{ours:?} {theirs:?}");
    }
}

#[test]
fn what_the_database_tells_apart_does_not_meet() {
    for (ours, theirs) in [
        (Value::Int(7), Value::Int(-7)),
        (Value::Text("a"), Value::Text("A")),
        (Value::Text("a"), Value::Text("a ")),
        (Value::Text(""), Value::Null),
        (Value::Float(1.0), Value::Float(-1.0)),
        (Value::Decimal("1"), Value::Decimal("10")),
        (Value::Decimal("100"), Value::Decimal("1.00")),
        (Value::Decimal("1.01"), Value::Decimal("1.1")),
        (Value::Decimal("5"), Value::Decimal("-5")),
    ] {
        assert!(!meet(ours, theirs), "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_null_meets_nothing_unless_nulls_are_alike() {
    let pair = [Value::Int(1), Value::Null];
    let apart = [key(&[0, 1])];
    assert_eq!(keys(&apart, &[pair]), BatchKeys::NONE);
    let alike = [nulls_alike(key(&[0, 1]))];
    let ours = keys(&alike, &[pair]);
    assert!(ours.meets(&keys(&alike, &[pair])));
    // Left out of a column without a default, it is NULL.
    assert!(ours.meets(&keys(&alike, &[[Value::Int(1), Value::Unset]])));
    assert!(!ours.meets(&keys(&alike, &[[Value::Null, Value::Int(1)]])));
}

#[test]
fn a_value_of_the_database_may_be_any() {
    let mut fed = key(&[0, 1]);
    fed.columns[1].has_default = true;
    for value in [Value::Unset, Value::Default] {
        let rows = [[Value::Int(1), Value::Int(2)], [Value::Int(2), value]];
        assert_eq!(keys(&[fed.clone()], &rows), BatchKeys::Untold);
        // Not beside a NULL that meets nothing.
        assert_eq!(
            keys(&[fed.clone()], &[[Value::Null, value]]),
            BatchKeys::NONE
        );
    }
}

#[test]
fn values_keep_to_their_column_and_key() {
    let texts = |a, b| [Value::Text(a), Value::Text(b)];
    let both = [key(&[0, 1])];
    let ours = keys(&both, &[texts("ab", "c")]);
    assert!(!ours.meets(&keys(&both, &[texts("a", "bc")])));
    assert!(ours.meets(&keys(&both, &[texts("ab", "c")])));
    // A value in one key, the same in another.
    let each = [key(&[0]), key(&[1])];
    let ours = keys(&each, &[texts("a", "b")]);
    assert!(!ours.meets(&keys(&each, &[texts("b", "a")])));
    assert!(ours.meets(&keys(&each, &[texts("c", "b")])));
}

#[test]
fn nothing_is_hashed_where_it_does_not_matter() {
    let mut rows = RowBuffer::new(1);
    rows.push(Value::Int(1));
    for overlap in [Overlap::Free, Overlap::OneByOne] {
        assert_eq!(KeyHasher::new(overlap).keys(&rows), BatchKeys::NONE);
    }
}

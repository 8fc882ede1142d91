use std::time::Duration;

use tonic::metadata::MetadataMap;

use super::{deadline, parse};

#[test]
fn units_and_bounds_of_grpc_timeout() {
    for (text, wanted) in [
        ("1S", Some(Some(Duration::from_secs(1)))),
        ("150m", Some(Some(Duration::from_millis(150)))),
        ("2M", Some(Some(Duration::from_mins(2)))),
        ("99999999H", Some(Some(Duration::from_hours(99_999_999)))),
        ("1u", Some(Some(Duration::from_micros(1)))),
        ("", None),
        ("S", None),
        ("1", None),
        ("-1S", None),
        ("1.5S", None),
        ("123456789S", None),
        ("1X", None),
        ("1é", None),
    ] {
        assert_eq!(parse(text), wanted, "{text:?}");
    }
}

#[test]
fn a_timeout_of_centuries_is_none_and_does_not_overflow() {
    let mut metadata = MetadataMap::new();
    metadata.insert("grpc-timeout", "99999999H".parse().unwrap());
    assert_eq!(deadline(&metadata), Ok(None));
}

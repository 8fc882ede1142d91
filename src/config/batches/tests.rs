use crate::config::Config;
use crate::config::database_url::DatabaseUrl;

const POSTGRES: &str = "postgres://localhost/rowlift";
const SQLITE: &str = "sqlite://rowlift.db?mode=rwc";

/// Rows and MiB of a batch at most.
fn fitted(url: &str, bytes_in_flight_max: u64, set: &[&str]) -> (usize, usize) {
    let mut config = Config {
        database_url: DatabaseUrl::parse(url).unwrap(),
        bytes_in_flight_max,
        ..Config::default()
    };
    super::fit(&mut config, |name| set.contains(&name));
    (config.batch_rows_max, config.batch_bytes_max >> 20)
}

#[test]
fn sqlite_has_large_batches_within_the_memory_that_there_is() {
    assert_eq!(fitted(POSTGRES, 256 << 20, &[]), (20_000, 3));
    assert_eq!(fitted(SQLITE, 256 << 20, &[]), (100_000, 32));
    assert_eq!(fitted(SQLITE, 40 << 20, &[]), (100_000, 10));
    assert_eq!(fitted(SQLITE, 3 << 20, &[]), (100_000, 3));
}

#[test]
fn what_was_set_stays() {
    let all = ["batch_rows_max", "batch_bytes_max"];
    assert_eq!(fitted(SQLITE, 256 << 20, &all), (20_000, 3));
    assert_eq!(fitted(SQLITE, 256 << 20, &all[..1]), (20_000, 32));
}

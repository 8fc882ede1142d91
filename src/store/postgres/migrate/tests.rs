use super::{OLDEST, newest};

#[test]
fn a_migration_is_used_from_the_next_release_on() {
    assert_eq!(OLDEST, newest() - 1);
}

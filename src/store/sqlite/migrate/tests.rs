use super::{MIGRATIONS, OLDEST};

#[test]
fn a_migration_is_used_from_the_next_release_on() {
    let newest = MIGRATIONS.map(|(version, ..)| version).into_iter().max();
    assert_eq!(newest, Some(OLDEST + 1));
}

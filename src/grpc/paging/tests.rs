use super::{after, page_size, token};

#[test]
fn a_token_belongs_to_its_query() {
    let next = token(42, "imports of a");
    assert_eq!(after(&next, "imports of a"), Ok(Some(42)));
    assert!(after(&next, "imports of b").is_err());
    assert!(after("nonsense", "imports of a").is_err());
    assert_eq!(after("", "imports of a"), Ok(None));
}

#[test]
fn page_sizes_have_bounds() {
    assert_eq!(page_size(0), Ok(100));
    assert_eq!(page_size(1000), Ok(1000));
    assert!(page_size(1001).is_err());
    assert!(page_size(-1).is_err());
}

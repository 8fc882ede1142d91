use super::*;
use crate::access::Policy;

const POLICY: &str = r#"
[[callers]]
principals = ["shop"]
owner = "shop"
tables = []
verbs = []
imports_max = 1

[[callers]]
principals = ["free"]
owner = "free"
tables = []
verbs = []
"#;

#[test]
fn an_owner_without_a_share_is_refused_without_a_place() {
    let policy = Policy::parse(POLICY, "public").unwrap();
    let [shop, free] = ["shop", "free"].map(|name| policy.caller(name).unwrap());
    let admission = Admission::new(1, 0);
    admission.open();
    let running = admission.enter(&shop).unwrap();
    // No place is free either: the owner learns what it can change.
    let refused = admission.enter(&shop).unwrap_err();
    assert!(refused.message.contains("its policy"), "{refused:?}");
    let refused = admission.enter(&free).unwrap_err();
    assert!(refused.message.contains("every place"), "{refused:?}");
    drop(running);
    // Who found no place has no share of one.
    let running = admission.enter(&free).unwrap();
    admission.enter(&shop).unwrap_err();
    drop(running);
    admission.enter(&shop).unwrap();
}

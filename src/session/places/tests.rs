use super::*;
use crate::access::Policy;
use crate::model::import::Reason;

const POLICY: &str = r#"
[[callers]]
principals = ["shop"]
owner = "shop"
tables = []
verbs = []
calls_max = 1

[[callers]]
principals = ["greedy"]
owner = "greedy"
tables = []
verbs = []
"#;

fn caller(principal: &str) -> Caller {
    let policy = Policy::parse(POLICY, "public").unwrap();
    policy.caller(principal).unwrap()
}

#[test]
fn an_owner_has_as_many_places_as_its_policy_says() {
    let places = Places::new("exports", 4);
    let first = places.enter(&caller("shop")).unwrap();
    let refused = places.enter(&caller("shop")).unwrap_err();
    assert_eq!(refused.reason, Reason::Overloaded);
    assert_eq!(
        refused.message,
        "shop has 1 exports, as many as its policy allows"
    );
    drop(first);
    places.enter(&caller("shop")).unwrap();
    // Whose share is taken needs no place to be told so; who finds none keeps no share.
    let places = Places::new("exports", 1);
    let first = places.enter(&caller("shop")).unwrap();
    let refused = places.enter(&caller("shop")).unwrap_err();
    assert!(refused.message.contains("its policy"), "{refused:?}");
    drop(first);
    let first = places.enter(&caller("greedy")).unwrap();
    let refused = places.enter(&caller("shop")).unwrap_err();
    assert!(refused.message.contains("every place"), "{refused:?}");
    drop(first);
    places.enter(&caller("shop")).unwrap();
}

#[test]
fn nobody_takes_the_last_place_from_all_others() {
    let places = Places::new("exports", 3);
    let greedy = caller("greedy");
    let _all: Vec<Place> = (0..2).map(|_| places.enter(&greedy).unwrap()).collect();
    places.enter(&greedy).unwrap_err();
    let _last = places.enter(&caller("shop")).unwrap();
    let full = places.enter(&greedy).unwrap_err();
    assert_eq!(full.reason, Reason::Overloaded);
    // A single place is for whoever comes, and without identity there is one owner.
    Places::new("exports", 1).enter(&greedy).unwrap();
    let places = Places::new("exports", 2);
    let anybody = Caller::anybody();
    let _all: Vec<Place> = (0..2).map(|_| places.enter(&anybody).unwrap()).collect();
}

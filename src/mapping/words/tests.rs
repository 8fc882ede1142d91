use super::{CONCEPTS, KIN, are_kin, concept, concept_within, fold, words};

#[test]
fn a_word_means_the_same_in_any_spelling() {
    for name in [
        "Téléphone",
        "TELEPHONE",
        "tele-phone",
        "Telefon",
        "電話番号",
        "Teléfono",
        "전화",
    ] {
        assert_eq!(concept(name), Some("phone"), "{name}");
    }
    for name in ["Straße", "strasse", "STRASSE"] {
        assert_eq!(concept(name), Some("street"), "{name}");
    }
    assert_eq!(concept("Währung"), Some("currency"));
    assert_eq!(concept("Ref."), None);
    assert_eq!(concept(""), None);
}

#[test]
fn a_longer_name_means_what_its_last_known_word_does() {
    assert_eq!(
        concept_within("Contact e-mail address (work)"),
        Some("address")
    );
    assert_eq!(
        concept_within("Numéro de téléphone principal"),
        Some("phone")
    );
    assert_eq!(concept_within("billingCity"), Some("city"));
    assert_eq!(concept_within("客户联系电话"), Some("phone"));
    assert_eq!(concept_within("本社所在地"), Some("address"));
    assert_eq!(concept_within("q w e"), None);
    assert_eq!(concept_within(&"city ".repeat(100)), None);
}

#[test]
fn names_are_cut_into_words() {
    assert_eq!(words("Company_Name (legal)"), ["company", "name", "legal"]);
    assert_eq!(words("createdAt"), ["created", "at"]);
    assert_eq!(words("Ärzte-Nr."), ["arzte", "nr"]);
    assert_eq!(words("  "), [""; 0]);
    assert_eq!(fold("Crème Brûlée"), "cremebrulee");
}

#[test]
fn the_list_is_sound() {
    let names: Vec<&str> = CONCEPTS.iter().map(|(concept, _)| *concept).collect();
    for (concept, words) in CONCEPTS {
        assert!(
            words.split(' ').all(|word| !fold(word).is_empty()),
            "{concept}"
        );
    }
    for (one, other) in KIN {
        assert!(
            names.contains(one) && names.contains(other),
            "{one} {other}"
        );
        assert!(are_kin(one, other) && are_kin(other, one));
    }
    assert!(!are_kin("city", "country"));
}

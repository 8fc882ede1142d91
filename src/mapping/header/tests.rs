use super::{Match, Names, is_blank, key, suggestion};

#[test]
fn spellings_of_one_name_have_one_key() {
    let spellings = [
        [
            "email",
            " E-Mail ",
            "e_mail",
            "E.MAIL",
            "e/mail",
            "Ｅｍａｉｌ",
            "e\u{200b}mail",
        ],
        [
            "straße",
            "STRASSE",
            "Straße",
            "stra\u{df}e",
            "str_asse",
            "Stras.se",
            "ＳＴＲＡＳＳＥ",
        ],
        ["σας", "ΣΑΣ", "σασ", "Σας", " σας", "σ-ας", "σ\u{3000}ας"],
        [
            "größe",
            "gro\u{308}ße",
            "GRÖSSE",
            "Grösse",
            "grö ße",
            "grö\u{a0}ße",
            "grö\nße",
        ],
    ];
    for row in spellings {
        for spelling in row {
            assert_eq!(key(spelling), key(row[0]), "{spelling:?}");
        }
    }
    assert_ne!(key("e+mail"), key("email"));
    assert_eq!(key(" -_./"), "");
}

#[test]
fn an_exact_name_wins_over_an_equal_key() {
    let names = Names::new([(0, "e_mail"), (1, "email"), (2, "Name")].into_iter());
    assert_eq!(names.find("email"), Match::One(1));
    assert_eq!(names.find(" e_mail "), Match::One(0));
    assert_eq!(names.find("E-Mail"), Match::Several(vec![0, 1]));
    assert_eq!(names.find("NAME"), Match::One(2));
    assert_eq!(names.find("---"), Match::None);
}

#[test]
fn an_alias_comes_after_every_name() {
    let mut names = Names::new([(0, "phone"), (1, "tel")].into_iter());
    names.add_alias(0, "Tel");
    names.add_alias(0, "Telephone No.");
    assert_eq!(names.find("TEL"), Match::One(1));
    assert_eq!(names.find("telephone_no"), Match::One(0));
}

#[test]
fn near_misses_are_suggested_and_far_ones_are_not() {
    let columns = || ["name", "email", "category", "id"].into_iter();
    assert_eq!(suggestion("E-mial", columns()), Some("email"));
    assert_eq!(suggestion("catgory", columns()), Some("category"));
    assert_eq!(suggestion("telephone", columns()), None);
    assert_eq!(suggestion("x", columns()), None);
    assert_eq!(suggestion(&"email".repeat(10_000), columns()), None);
}

#[test]
fn headers_without_anything_to_see_are_blank() {
    for name in ["", "  ", "\u{a0}\t\n", "\u{200b}\u{feff}"] {
        assert!(is_blank(name), "{name:?}");
    }
    assert!(!is_blank("-"));
}

use super::*;

fn number(path: &std::path::Path) -> Result<u32, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?} is no number"))
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("number");
    std::fs::write(&path, "1").unwrap();
    let from = path.clone();
    let watched = Watched::open(vec![path.clone()], move || number(&from)).unwrap();
    assert_eq!(*watched.get(), 1);
    // As mounted secrets change: by renaming.
    let next = folder.path().join("next");
    std::fs::write(&next, "2").unwrap();
    std::fs::rename(&next, &path).unwrap();
    watched.look();
    assert_eq!(*watched.get(), 2);
    std::fs::write(&path, "broken").unwrap();
    watched.look();
    assert_eq!(*watched.get(), 2);
    std::fs::write(&path, "33").unwrap();
    watched.look();
    assert_eq!(*watched.get(), 33);
}

#[test]
fn a_first_value_that_cannot_be_read_is_an_error() {
    let path = PathBuf::from("does-not-exist");
    let from = path.clone();
    let opened = Watched::open(vec![path], move || number(&from));
    assert!(opened.is_err());
}

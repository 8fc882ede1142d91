use std::path::{Path, PathBuf};

use super::{flags, quoted};
use crate::cli::args::ServerArgs;

#[test]
fn paths_are_quoted_where_a_shell_needs_it() {
    for (path, shown) in [
        ("dir/f-1.xlsx", "dir/f-1.xlsx"),
        ("my file.xlsx", "'my file.xlsx'"),
        ("a'b", r"'a'\''b'"),
        ("$(x)", "'$(x)'"),
        ("", "''"),
    ] {
        assert_eq!(quoted(Path::new(path)), shown);
    }
}

#[test]
fn hints_reach_the_same_server_and_hide_passwords() {
    let none = ServerArgs {
        addr: None,
        database_url: None,
        config: None,
    };
    assert_eq!(flags(&none), "");
    let local = ServerArgs {
        database_url: Some(String::from("postgres://u:secret@h/d")),
        config: Some(PathBuf::from("r.toml")),
        ..none
    };
    assert_eq!(
        flags(&local),
        " --database-url 'postgres://u:***@h/d' --config r.toml"
    );
    let remote = ServerArgs {
        addr: Some(String::from("http://h:1")),
        database_url: None,
        config: None,
    };
    assert_eq!(flags(&remote), " --addr http://h:1");
}

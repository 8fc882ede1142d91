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
    assert_eq!(flags(&ServerArgs::default()), "");
    let local = ServerArgs {
        database_url: Some(String::from("postgres://u:secret@h/d")),
        config: Some(PathBuf::from("r.toml")),
        ..ServerArgs::default()
    };
    assert_eq!(
        flags(&local),
        " --database-url 'postgres://u:***@h/d' --config r.toml"
    );
    let remote = ServerArgs {
        addr: Some(String::from("https://h:1")),
        token_file: Some(PathBuf::from("t")),
        ..ServerArgs::default()
    };
    assert_eq!(flags(&remote), " --addr https://h:1 --token-file t");
}

use std::fs;

use super::lowest;

const OWN: &str = "11:cpu,cpuacct:/pod/x\n4:memory:/pod/x\n0::/pod/x\n";

fn with(files: &[(&str, &str)]) -> Option<u64> {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    lowest(root.path(), OWN)
}

#[test]
fn the_lowest_bound_around_holds() {
    let own = ("memory/pod/x/memory.limit_in_bytes", "4096\n");
    let around = ("memory/pod/memory.limit_in_bytes", "2048\n");
    let root = ("memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!(with(&[own, root]), Some(4096));
    assert_eq!(with(&[own, around, root]), Some(2048));
    assert_eq!(with(&[root]), None);
}

#[test]
fn version_2_says_max_where_there_is_none() {
    let own = ("pod/x/memory.max", "max\n");
    let around = ("pod/memory.max", "1073741824\n");
    assert_eq!(with(&[own]), None);
    assert_eq!(with(&[own, around]), Some(1 << 30));
}

#[test]
fn a_container_has_its_bound_at_the_root() {
    assert_eq!(with(&[("memory.max", "4096\n")]), Some(4096));
    let version_1 = ("memory/memory.limit_in_bytes", "4096\n");
    assert_eq!(with(&[version_1]), Some(4096));
}

#[test]
fn without_groups_there_is_no_bound() {
    assert_eq!(with(&[]), None);
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("memory.max"), "4096").unwrap();
    assert_eq!(lowest(root.path(), ""), None);
    assert_eq!(
        lowest(&root.path().join("below"), "0::/../../memory.max\n"),
        None
    );
}

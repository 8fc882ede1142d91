use super::copy_format;
use crate::store::copying::CopyFormat;

#[test]
fn engines_whose_copy_may_commit_by_itself_are_known_by_their_version() {
    for (version, format) in [
        (
            "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc",
            Some(CopyFormat::Binary),
        ),
        (
            "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang, 64-bit",
            None,
        ),
        (
            "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)",
            None,
        ),
        ("", Some(CopyFormat::Binary)),
    ] {
        assert_eq!(copy_format(version), format, "{version}");
    }
}

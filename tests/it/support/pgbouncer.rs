//! A PgBouncer of a test's own.
//!
//! In: a database and a number of connections. Out: an address where it can be reached in
//! transaction mode, until the value is dropped.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::postgres::Database;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/pgbouncer");

/// A running PgBouncer.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    dir: tempfile::TempDir,
    addr: SocketAddr,
}

impl PgBouncer {
    /// Before the server of `database`, with at most so many connections to it.
    pub(crate) fn start(database: &Database, n_connections: usize) -> PgBouncer {
        let dir = tempfile::Builder::new()
            .prefix("rowlift-pgbouncer.")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let mut command = Command::new(SCRIPT);
        command
            .arg("start")
            .arg(dir.path())
            .arg(database.url())
            .arg(n_connections.to_string());
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output();
        let output = output.expect(SCRIPT);
        assert!(output.status.success(), "{SCRIPT} start failed");
        let url = String::from_utf8(output.stdout).unwrap();
        let addr = url
            .split(['@', '/'])
            .find_map(|part| part.parse().ok())
            .unwrap_or_else(|| panic!("no address in {url:?}"));
        PgBouncer { dir, addr }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // What cannot be stopped is left to the operating system; the test has ended.
        let _ = Command::new(SCRIPT)
            .arg("stop")
            .arg(self.dir.path())
            .status();
    }
}

//! A service in a process of its own, to be killed.
//!
//! In: a database and settings. Out: an address that serves. Dropped, the process is killed. Its
//! log goes to a file that a failing test shows.

#![expect(
    clippy::print_stderr,
    reason = "a failed test shows what it did, and when"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rowlift::allocator;
use rowlift::client::ImportClient;
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::postgres::Database;
use super::waits::within;

/// A start takes longer while other tests have the processor.
const START_MAX: Duration = Duration::from_secs(30);

/// A running `rowlift serve`.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    /// Where it keeps its spool files.
    folder: tempfile::TempDir,
    addr: String,
}

impl ServerProcess {
    /// Serves this database, with four writers and these settings: names of `ROWLIFT_` variables
    /// in lower case, others as they are.
    pub(crate) async fn start(database: &Database, settings: &[(&str, &str)]) -> ServerProcess {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(log_path(folder.path())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rowlift"));
        for (name, _) in allocator::settings() {
            command.env_remove(name);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--database-url", database.service_url()])
            .env("ROWLIFT_DATABASE_POOLED", database.pooled().to_string())
            .env("ROWLIFT_TABLES", "*")
            .env("ROWLIFT_SPOOL_DIR", folder.path())
            .env("ROWLIFT_WRITERS_MAX", "4")
            .env("ROWLIFT_WRITERS_PER_IMPORT", "4")
            .env("ROWLIFT_LOG_FORMAT", "text")
            .env("ROWLIFT_PROGRESS_INTERVAL", "100ms")
            .envs(settings.iter().map(|(name, value)| {
                // Those of other specifications are named in full.
                let is_own = name.starts_with(|c: char| c.is_ascii_lowercase());
                let prefix = if is_own { "ROWLIFT_" } else { "" };
                (format!("{prefix}{}", name.to_ascii_uppercase()), *value)
            }))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut server = ServerProcess {
            child: command.spawn().unwrap(),
            folder,
            addr: String::new(),
        };
        within(START_MAX, "the service listens", async || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", server.log());
            server.addr = listens_at(&server.log()).unwrap_or_default();
            !server.addr.is_empty()
        })
        .await;
        let endpoint = Endpoint::from_shared(format!("http://{}", server.addr)).unwrap();
        let mut health = HealthClient::new(endpoint.connect_lazy());
        within(START_MAX, "the service serves", async || {
            let answer = health.check(HealthCheckRequest::default()).await;
            answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
        })
        .await;
        server
    }

    /// A client on a connection of its own.
    pub(crate) async fn client(&self) -> ImportClient {
        ImportClient::connect(&self.addr).await.unwrap()
    }

    /// Where it serves.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(log_path(self.folder.path())).unwrap()
    }

    /// Forgets what it has had in memory before now.
    pub(crate) fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(path, "5").unwrap();
    }

    /// Memory that it has had in use at once, bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }

    /// Memory that it has in use now, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// A variable of the environment that its program was started with.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let path = format!("/proc/{}/environ", self.child.id());
        let all = std::fs::read_to_string(path).unwrap();
        let mut pairs = all.split('\0').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(at, _)| *at == name)
            .map(|(_, value)| value.to_owned())
    }

    /// Files, sockets and the like that it has open.
    pub(crate) fn n_descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).unwrap().count()
    }

    /// Processes that it has started and that still run, or wait to be reaped.
    pub(crate) fn n_children(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let children = tasks.flatten().map(|task| {
            // A thread that has ended meanwhile has none.
            let children = std::fs::read_to_string(task.path().join("children"));
            children.unwrap_or_default().split_whitespace().count()
        });
        children.sum()
    }

    /// `kill -9`; returns once the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal: TERM, STOP, CONT.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        within(START_MAX, "the service ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }

    /// Waits until nothing of its imports is left: no decoder's process and no spool file, which
    /// is what a decoder has open.
    pub(crate) async fn leaves_nothing(&self) {
        let folder = self.folder.path();
        within(
            Duration::from_secs(10),
            "spool and decoders are gone",
            async || users_of(folder).is_empty() && files_of(folder).is_empty(),
        )
        .await;
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the service at {}\n{}", self.addr, self.log());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// The address in the line that says so.
fn listens_at(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("serving gRPC"))?;
    let (_, rest) = line.split_once("127.0.0.1:")?;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}

/// Open spool files of any process, unnamed ones included.
fn users_of(folder: &Path) -> Vec<PathBuf> {
    let mut open = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        // A process that has ended meanwhile has no files.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let targets = files
            .flatten()
            .filter_map(|file| file.path().read_link().ok());
        open.extend(targets.filter(|target| target.starts_with(folder)));
    }
    open.retain(|path| *path != log_path(folder));
    open
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let files = files.map(|file| file.path());
    files.filter(|path| *path != log_path(folder)).collect()
}

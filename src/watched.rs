//! Values that are read from files, and read again when the files change.
//!
//! In: paths, and how to make a value of what they hold. Out: the value as of the last look. Files
//! that cannot be read or do not parse later on leave the value as it was, and a line in the log:
//! a half-written file must not lock everybody out. Mounted secrets are replaced by renaming, so
//! that a look compares size, time and inode.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What distinguishes one state of a file from another.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

/// How a value is made.
type Load<T> = dyn Fn() -> Result<T, String> + Send + Sync;

/// A value out of files.
pub struct Watched<T> {
    paths: Vec<PathBuf>,
    load: Box<Load<T>>,
    value: RwLock<Arc<T>>,
    seen: Mutex<Stamp>,
}

impl<T> Watched<T> {
    /// Reads the value for the first time; the error says which file is at fault and why.
    pub fn open(
        paths: Vec<PathBuf>,
        load: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Watched<T>, String> {
        // Before the value: a change in between is seen by the next look.
        let seen = stamp(&paths);
        let value = load()?;
        Ok(Watched {
            paths,
            load: Box::new(load),
            value: RwLock::new(Arc::new(value)),
            seen: Mutex::new(seen),
        })
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something that looks at its files.
pub trait Look: Send + Sync + fmt::Debug {
    /// Reads the files again if they have changed. Blocks for as long as that takes.
    fn look(&self);
}

impl<T> Watched<T> {
    /// The paths, for the log.
    fn shown(&self) -> String {
        let paths = self.paths.iter().map(|it| it.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    }
}

impl<T: Send + Sync> Look for Watched<T> {
    fn look(&self) {
        let now = stamp(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match (self.load)() {
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                info!(paths = self.shown(), "read again");
            }
            Err(message) => {
                warn!(
                    paths = self.shown(),
                    message, "cannot be used, what was read before holds"
                );
            }
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the value: it may be a secret.
        f.debug_tuple("Watched").field(&self.paths).finish()
    }
}

/// Looks every [`LOOK_EVERY`] until `stop`.
pub async fn follow(all: Vec<Arc<dyn Look>>, stop: CancellationToken) {
    let all = Arc::new(all);
    loop {
        tokio::select! {
            // Nothing is lost: a look is complete or did not begin.
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let all = Arc::clone(&all);
        let looked = tokio::task::spawn_blocking(move || {
            for watched in all.iter() {
                watched.look();
            }
        });
        if let Err(error) = looked.await {
            warn!(%error, "files were not looked at");
        }
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
    };
    paths.iter().map(of).collect()
}

#[cfg(test)]
mod tests;

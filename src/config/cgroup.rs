//! How much memory the kernel lets this process have, by its control groups.
//!
//! In: `/proc/self/cgroup` and the group's files, of version 1 or 2. Out: the lowest bound that
//! holds, bytes, or none. What cannot be read is no bound.

use std::fs;
use std::path::{Component, Path};

/// Version 1 writes a number beyond any memory where there is no bound.
const UNBOUNDED: u64 = 1 << 60;

/// The bound on this process's memory, bytes.
pub(super) fn memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    lowest(Path::new("/sys/fs/cgroup"), &own)
}

/// The lowest bound below the mount point `root` for a process in the groups `own`.
fn lowest(root: &Path, own: &str) -> Option<u64> {
    let bounds = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        if controllers.is_empty() {
            bound_along(root, group, "memory.max")
        } else if controllers.split(',').any(|it| it == "memory") {
            bound_along(&root.join("memory"), group, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    bounds.min()
}

/// The lowest bound of a group and those around it. A container sees its own group as the root,
/// whatever it is called outside.
fn bound_along(root: &Path, group: &str, file: &str) -> Option<u64> {
    let group = Path::new(group.trim_start_matches('/'));
    let is_below = |it: &&Path| it.components().all(|part| part != Component::ParentDir);
    let bounds = group.ancestors().filter(is_below).filter_map(|group| {
        let text = fs::read_to_string(root.join(group).join(file)).ok()?;
        text.trim().parse().ok()
    });
    bounds.filter(|n_bytes| *n_bytes < UNBOUNDED).min()
}

#[cfg(test)]
mod tests;

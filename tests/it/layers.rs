//! The direction of dependencies between modules, and which crates each may name.
//!
//! main -> cli, app -> grpc -> lookup -> session -> {decode, mapping, batch, writer} -> store -> model.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer, from the top; a module may use those of lower layers, and its own.
const LAYERS: [&[&str]; 11] = [
    &["cli"],
    &["app"],
    &["admin"],
    &["grpc"],
    &["lookup"],
    &["session"],
    &["progress"],
    &["batch", "writer"],
    &["decode", "mapping", "export"],
    &["store", "access", "disk"],
    &["model"],
];

/// Modules that any module may use: they know none of the layers above.
const EVERYWHERE: [&str; 10] = [
    "allocator",
    "budget",
    "clock",
    "config",
    "metrics",
    "proto",
    "shutdown",
    "telemetry",
    "client",
    "watched",
];

/// Words that may stand in these modules only.
const CONFINED: [(&str, &[&str]); 6] = [
    ("tonic", &["grpc", "proto", "client", "app", "cli"]),
    ("prost", &["grpc", "proto", "client", "app", "cli"]),
    ("sqlx", &["store"]),
    ("calamine", &["decode/sheet"]),
    ("std::env", &["allocator", "config", "main"]),
    (
        "tokio",
        &[
            "admin",
            "app",
            "budget",
            "cli",
            "client",
            "grpc",
            "lookup",
            "main",
            "progress",
            "session",
            "shutdown",
            "store",
            "telemetry",
            "watched",
            "writer",
        ],
    ),
];

#[test]
fn modules_use_lower_layers_only() {
    let mut faults = Vec::new();
    for (path, source) in sources() {
        let Some(layer) = layer_of(&module(&path)) else {
            continue;
        };
        for used in used_modules(&source) {
            let allowed = EVERYWHERE.contains(&used.as_str())
                || layer_of(&used).is_some_and(|it| it > layer || module(&path) == used);
            if !allowed {
                faults.push(format!("{}: crate::{used}", path.display()));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "dependencies against the direction:\n{}",
        faults.join("\n")
    );
}

#[test]
fn crates_are_named_in_their_modules_only() {
    let mut faults = Vec::new();
    for (path, source) in sources() {
        let place = path.to_string_lossy().into_owned();
        for (word, homes) in CONFINED {
            let at_home = homes.iter().any(|home| {
                place == format!("{home}.rs") || place.starts_with(&format!("{home}/"))
            });
            if !at_home && code(&source).any(|line| names(line, word)) {
                faults.push(format!("{place}: {word}"));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "crates outside of their home:\n{}",
        faults.join("\n")
    );
}

/// Every Rust file of the library, by its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(sources.len() > 30, "the sources are found");
    sources
}

fn module(path: &Path) -> String {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn used_modules(source: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    code(source)
        .flat_map(|line| line.split("crate::").skip(1))
        .map(word)
        .filter(|used: &String| !used.is_empty())
        .collect()
}

/// Lines without comments; tests at the end of a file are code too.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

/// Whether the line names the crate `word`, as a path or in a `use`.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (head, tail) = line.split_at(at);
        let before = head.chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts
            && tail
                .strip_prefix(word)
                .is_some_and(|rest| rest.starts_with("::"))
    })
}

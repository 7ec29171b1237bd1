//! The house's rules that a program can check: who imports whom, what the documents name, what files look like.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → the modules of `crate::` that it may name. What is not listed may name everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("extract", &["extract"]),
    ("metrics", &[]),
    ("secret", &[]),
    ("telemetry", &["config", "secret"]),
    ("fetch", &["fetch", "extract", "secret"]),
    ("db", &["db", "secret", "telemetry", "fetch"]),
    (
        "redis",
        &["fetch", "metrics", "redis", "secret", "telemetry"],
    ),
    ("queue", &["db", "queue", "redis"]),
    ("render", &["fetch", "metrics", "render"]),
    ("compute", &[]),
    ("web", &["compute", "metrics", "web"]),
    (
        "workflow",
        &[
            "compute",
            "extract",
            "fetch",
            "queue",
            "render",
            "secret",
            "telemetry",
        ],
    ),
    (
        "workflows/*",
        &[
            "workflow",
            "db",
            "extract",
            "fetch",
            "metrics",
            "queue",
            "render",
            "secret",
            "telemetry",
            "web",
        ],
    ),
    ("pipeline", &["db", "telemetry", "workflow"]),
    ("embedded", &["embedded"]),
    ("demo", &["demo", "extract"]),
    ("health", &["db", "upkeep"]),
    (
        "upkeep",
        &[
            "config",
            "db",
            "extract",
            "metrics",
            "queue",
            "telemetry",
            "upkeep",
            "workflow",
            "workflows",
        ],
    ),
];

/// Modules that may speak to the engine's crate.
const KNOW_THE_ENGINE: &[&str] = &[
    "app",
    "bench",
    "cli",
    "config",
    "db",
    "health",
    "http",
    "metrics",
    "pipeline",
    "upkeep",
    "workflows",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The text without what stands in test modules at its end.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests")
        .map_or(text, |(before, _)| before)
}

/// `src/db/stage.rs` → `db`; `src/workflows/deep_scan.rs` → `workflows/*`.
fn module_of(file: &Path) -> String {
    let relative = file
        .strip_prefix(root().join("src"))
        .expect("a file below src");
    let first = relative
        .iter()
        .next()
        .unwrap_or_default()
        .to_string_lossy()
        .replace(".rs", "");
    let depth = relative.iter().count();
    if first == "workflows" && depth > 1 {
        "workflows/*".to_owned()
    } else {
        first
    }
}

/// The first segments of the `crate::` paths in a text, also of grouped imports.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, rest) in text
        .match_indices("crate::")
        .map(|(at, hit)| (at, &text[at + hit.len()..]))
    {
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => {
                let end = group.find("};").unwrap_or(group.len());
                let mut depth = 0_i32;
                let mut start = 0;
                let mut names = Vec::new();
                for (at, letter) in group[..end].char_indices() {
                    match letter {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.push(group[start..at].trim());
                            start = at + 1;
                        }
                        _ => {}
                    }
                }
                names.push(group[start..end].trim());
                names
            }
            None => vec![rest],
        };
        for name in names {
            let segment: String = name
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !segment.is_empty() {
                found.insert(segment);
            }
        }
    }
    found
}

#[test]
fn modules_import_only_what_they_may() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let module = module_of(&file);
        let text = fs::read_to_string(&file).expect("a file of ours");
        let text = without_tests(&text);
        if let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) {
            for path in crate_paths(text) {
                if !allowed.contains(&path.as_str()) {
                    wrong.push(format!("{}: crate::{path}", file.display()));
                }
            }
        }
        if text.contains("gleaner_actors") && !KNOW_THE_ENGINE.contains(&module.as_str()) {
            wrong.push(format!("{}: gleaner_actors", file.display()));
        }
        if text.contains("ractor::") {
            wrong.push(format!("{}: ractor", file.display()));
        }
    }
    assert!(wrong.is_empty(), "forbidden imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_engine_knows_nothing_of_the_application() {
    for file in rust_files(&root().join("actors/src")) {
        let text = fs::read_to_string(&file).expect("a file of ours");
        for word in ["diesel", "tokio_postgres", "axum", "reqwest", "gleaner::"] {
            assert!(
                !text.contains(&format!("use {word}")),
                "{}: {word}",
                file.display()
            );
        }
    }
}

#[test]
fn every_path_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = !name.contains([' ', '*', '<', '{', ':', '$', '='])
                && (name.contains('/') || name.ends_with(".md"))
                && [
                    "src/",
                    "actors/",
                    "config/",
                    "migrations/",
                    "deploy/",
                    "tests/",
                    "bench/",
                    ".ci/",
                    "scripts/",
                ]
                .iter()
                .any(|folder| name.starts_with(folder));
            if is_path {
                assert!(
                    root().join(name).exists(),
                    "{document} names {name}, which is not there"
                );
            }
        }
    }
}

/// Whether a test sleeps anywhere but in a helper that says what it waits for.
fn sleeps(text: &str) -> bool {
    text.contains("time::sleep(") && !text.contains("async fn wait_until")
}

#[test]
fn files_are_in_good_order() {
    let mut wrong = Vec::new();
    for folder in ["src", "actors/src", "actors/tests", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).expect("a file of ours");
            let shown = file
                .strip_prefix(root())
                .unwrap_or(&file)
                .display()
                .to_string();
            if file.file_name().is_some_and(|name| name == "mod.rs") {
                wrong.push(format!(
                    "{shown}: modules are foo.rs and foo/, never mod.rs"
                ));
            }
            if !text.starts_with("//!") && !text.starts_with("#!") {
                wrong.push(format!("{shown}: begins without saying what it is"));
            }
            if text
                .lines()
                .any(|line| line.ends_with(' ') || line.ends_with('\t'))
            {
                wrong.push(format!("{shown}: trailing white space"));
            }
            // What is generated has the length it has.
            if shown != "src/db/schema.rs" && text.lines().count() > 900 {
                wrong.push(format!("{shown}: {} lines; split it", text.lines().count()));
            }
            // The helpers that wait for a condition are the one place that may.
            let is_test = folder.ends_with("tests") && !shown.contains("support");
            if is_test && shown != "tests/it/tidy.rs" && sleeps(&text) {
                wrong.push(format!(
                    "{shown}: sleeps; wait for a condition with a deadline"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

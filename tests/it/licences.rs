//! Every dependency's licence can be satisfied with the licences allowed in `deny.toml`. The same check as `cargo deny`'s,
//! for machines without it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Whether `expression` (SPDX, with the old `/` for `OR`) can be satisfied with `allowed` licences alone.
fn is_satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    // "X WITH exception" is a licence of its own.
    let spaced = spaced.replace(" WITH ", "+WITH+");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let satisfied = any_of(&tokens, &mut position, allowed);
    satisfied && position == tokens.len()
}

fn any_of(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut satisfied = all_of(tokens, position, allowed);
    while tokens.get(*position) == Some(&"OR") {
        *position += 1;
        // Not `||` with the call on its right: every term must be read.
        satisfied |= all_of(tokens, position, allowed);
    }
    satisfied
}

fn all_of(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut satisfied = term(tokens, position, allowed);
    while tokens.get(*position) == Some(&"AND") {
        *position += 1;
        satisfied &= term(tokens, position, allowed);
    }
    satisfied
}

fn term(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let token = tokens.get(*position).copied().unwrap_or_default();
    *position += 1;
    if token == "(" {
        let satisfied = any_of(tokens, position, allowed);
        *position += 1;
        return satisfied;
    }
    allowed.contains(token)
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = BTreeSet::from(["MIT", "ISC"].map(str::to_owned));
    for (expression, wanted) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND ISC", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("(GPL-3.0 OR Zlib) AND ISC", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT WITH something", false),
        ("", false),
    ] {
        assert_eq!(is_satisfied(expression, &allowed), wanted, "{expression}");
    }
}

#[test]
fn licences_of_all_dependencies_are_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny = std::fs::read_to_string(root.join("deny.toml")).unwrap();
    let list = deny
        .split_once("allow = [")
        .unwrap()
        .1
        .split_once(']')
        .unwrap()
        .0;
    let allowed: BTreeSet<String> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(allowed.contains("MIT"), "{allowed:?}");

    // Not `--offline`: crates of other platforms are no part of a build, so a fresh machine has yet to fetch them.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused: Vec<String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| !is_satisfied(package["license"].as_str().unwrap_or_default(), &allowed))
        .map(|package| format!("{} ({})", package["name"], package["license"]))
        .collect();
    assert!(
        refused.is_empty(),
        "licences not in deny.toml: {}",
        refused.join(", ")
    );
}

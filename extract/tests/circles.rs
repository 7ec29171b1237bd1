//! The files of the crate import each other in one direction only.

#![expect(
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "it reads our own files, and may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;

/// The place of a file among the modules: `src/price/read.rs` is `["price", "read"]`, `src/lib.rs` is empty.
type Module = Vec<String>;

/// Every file and its code without comments and tests. What exists for tests alone is left out.
fn files(folder: &Path, module: &Module, into: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_for_tests = matches!(
            stem.as_str(),
            "tests" | "accuracy" | "testdata" | "fuzz" | "properties" | "rules"
        );
        let inner = [module.as_slice(), std::slice::from_ref(&stem)].concat();
        if path.is_dir() {
            files(&path, &inner, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_for_tests {
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap()
                .lines()
                .map(|line| line.split("//").next().unwrap().to_owned() + "\n")
                .collect();
            // Who may see an item is no import.
            let code = code.replace("pub(in super::super)", "pub");
            into.insert(if stem == "lib" { Vec::new() } else { inner }, code);
        }
    }
}

/// `super::{a::{self, B}, c}` as `super::a`, `super::a::B`, `super::c`.
fn spread(path: &str) -> Vec<String> {
    let Some((front, group)) = path.split_once('{') else {
        let path = path.split(" as ").next().unwrap().trim();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, sign) in group.char_indices().chain([(group.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = group[start..at].trim();
                if !item.is_empty() {
                    all.extend(spread(&format!("{front}{item}")));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    all
}

/// The file that a path in `module` leads into.
fn target(module: &Module, path: &str, files: &BTreeMap<Module, String>) -> Option<Module> {
    let mut at = module.clone();
    let mut names = path.split("::").map(str::trim).peekable();
    let is_child = names.peek().is_some_and(|name| {
        files.contains_key(&[module.as_slice(), &[(*name).to_owned()]].concat())
    });
    if names.peek() == Some(&"crate") {
        at.clear();
        names.next();
    } else if !is_child {
        if !matches!(names.peek(), Some(&"super" | &"self")) {
            return None;
        }
        while let Some(&name @ ("super" | "self")) = names.peek() {
            if name == "super" {
                at.pop();
            }
            names.next();
        }
    }
    while let Some(name) = names.peek() {
        let inner = [at.as_slice(), &[(*name).to_owned()]].concat();
        if !files.contains_key(&inner) {
            // An item of the file.
            return Some(at);
        }
        at = inner;
        names.next();
    }
    // The file itself is named, and what follows its name counts where it stands.
    Some(at)
}

#[test]
fn no_file_imports_what_imports_it() {
    let mut all = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&source, &Module::new(), &mut all);
    assert!(all.len() > 60, "{}", all.len());
    let uses = Regex::new(r"\buse\s+([^;]+);").unwrap();
    let paths = Regex::new(r"\b\w+(?:::\w+)+").unwrap();
    let mut imports: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, code) in &all {
        let used = uses.captures_iter(code).flat_map(|found| spread(&found[1]));
        let rest = uses.replace_all(code, "");
        let named = paths
            .find_iter(&rest)
            .map(|found| found.as_str().to_owned());
        let found = used
            .chain(named)
            .filter_map(|path| target(module, &path, &all));
        imports.insert(module, found.filter(|to| to != module).collect());
    }
    // The crate's root declares the modules and re-exports; nobody asks it for anything.
    imports.remove(&Module::new());
    // What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    loop {
        let left: BTreeSet<Module> = imports.keys().map(|module| (*module).clone()).collect();
        let imported: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        imports.retain(|module, to| {
            to.retain(|to| left.contains(to));
            !to.is_empty() && imported.contains(*module)
        });
        if imports.len() == left.len() {
            break;
        }
    }
    let imports: Vec<String> = imports
        .iter()
        .map(|(module, to)| format!("{module:?} imports {to:?}"))
        .collect();
    assert!(imports.is_empty(), "circles:\n{}", imports.join("\n"));
}

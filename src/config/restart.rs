//! Which keys wait for the next start: those that `config/gleaner.toml` marks so, beside the key, and no others.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use toml_edit::{DocumentMut, Item, Table};

use super::DEFAULTS;

/// How the file marks them.
const MARK: &str = "[restart]";

/// Whether this dotted key is read once, at the start.
pub(super) fn needs_restart(key: &str) -> bool {
    static MARKED: LazyLock<BTreeSet<String>> = LazyLock::new(|| marked(DEFAULTS));
    MARKED.contains(key)
}

/// The dotted keys that a file marks: in the comment before or behind them. Keys that follow without a comment of their own
/// share the one before.
fn marked(text: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    if let Ok(document) = text.parse::<DocumentMut>() {
        walk(document.as_table(), "", &mut keys);
    }
    keys
}

fn walk(table: &Table, path: &str, marked: &mut BTreeSet<String>) {
    let mut is_marked = false;
    for (name, item) in table {
        let key = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        if let Item::Table(inner) = item {
            walk(inner, &key, marked);
            continue;
        }
        let before = table
            .key(name)
            .and_then(|key| key.leaf_decor().prefix()?.as_str())
            .unwrap_or_default();
        let behind = item
            .as_value()
            .and_then(|value| value.decor().suffix()?.as_str())
            .unwrap_or_default();
        if before.contains('#') || behind.contains('#') {
            is_marked = before.contains(MARK) || behind.contains(MARK);
        }
        if is_marked {
            marked.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_for_the_keys_that_share_its_comment() {
        let found = marked(
            "[a]\n# One. [restart]\nx = 1\ny = 2\n# Other.\nz = 3 # no\nw = 4 # waits [restart]\n[a.b]\nv = 5\n",
        );
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["a.w", "a.x", "a.y"]);
    }

    #[test]
    fn whole_sections_that_are_read_once_are_marked_whole() {
        for section in ["database", "http", "embedded", "extract", "redis"] {
            let document: DocumentMut = DEFAULTS.parse().expect("the defaults");
            for (name, _) in document[section].as_table().expect("a section") {
                assert!(
                    needs_restart(&format!("{section}.{name}")),
                    "{section}.{name} is not marked {MARK}"
                );
            }
        }
        for key in [
            "engine.lease",
            "engine.restart_window",
            "log.format",
            "bots.listen",
            "crawl.interval",
        ] {
            assert!(needs_restart(key), "{key} is not marked {MARK}");
        }
        for key in [
            "engine.drain_timeout",
            "log.level",
            "fetch.timeout",
            "workflows.deep-scan.interval",
        ] {
            assert!(!needs_restart(key), "{key} is marked {MARK}");
        }
    }
}

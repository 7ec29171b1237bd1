//! What elements are called: the words in their `class`, `id` and test attributes.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use scraper::node::Element;

use super::html::Attributes;
use super::table::rows;

/// Longest text of attributes that is looked at, in bytes.
const MAX_ATTRIBUTE_BYTES: usize = 400;

/// How many more bytes names take with dashes around them and between their words, mostly.
const NEW_DASHES: usize = 16;

/// The attributes in which pages say what an element is.
const NAMING_ATTRIBUTES: [&str; 7] = [
    "class",
    "id",
    "data-testid",
    "data-test",
    "data-automation-id",
    "itemprop",
    "data-hook",
];

/// All names of an element, as `-product-price- -is-large-`.
pub(super) fn dashed_names(element: &Element) -> String {
    dashed_names_where(element, |_, _| true)
}

/// As [`dashed_names`], of the attributes that `admits` by name and value.
pub(super) fn dashed_names_where(element: &Element, admits: impl Fn(&str, &str) -> bool) -> String {
    let mut out = String::new();
    let values = element.attributes(NAMING_ATTRIBUTES);
    for (attribute, value) in NAMING_ATTRIBUTES.into_iter().zip(values) {
        if let Some(value) = value
            && out.len() < MAX_ATTRIBUTE_BYTES
            && admits(attribute, value)
        {
            push_dashed(&mut out, value);
        }
    }
    out
}

/// Appends names as `-product-price- -is-large-`.
fn push_dashed(out: &mut String, names: &str) {
    let end = names.floor_char_boundary(MAX_ATTRIBUTE_BYTES);
    out.reserve(end + NEW_DASHES);
    for name in names
        .get(..end)
        .unwrap_or_default()
        .split_ascii_whitespace()
    {
        out.push('-');
        let mut was_lower = false;
        let mut is_dashed = true;
        for c in name.chars() {
            let is_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
            if is_lower {
                out.push(c);
                is_dashed = false;
            } else if !c.is_alphanumeric() {
                if !is_dashed {
                    out.push('-');
                }
                is_dashed = true;
            } else {
                if c.is_ascii_uppercase() && was_lower {
                    out.push('-');
                }
                out.push(c.to_ascii_lowercase());
                is_dashed = false;
            }
            was_lower = is_lower;
        }
        if !is_dashed {
            out.push('-');
        }
        out.push(' ');
    }
}

/// A table of words in names, each in a group.
pub(super) struct NameWords {
    /// Nothing only if it grew beyond its limits, which constants cannot.
    automaton: Option<AhoCorasick>,
    /// The group of each pattern.
    groups: Vec<u32>,
}

impl NameWords {
    /// Reads a table whose columns are a group and its words, `|` between them; `group` numbers the groups, from 0 to 31.
    pub(super) fn new(table: &'static str, group: impl Fn(&str) -> Option<u32>) -> Self {
        let (patterns, groups): (Vec<&str>, Vec<u32>) = rows(table)
            .filter_map(|row| match row.as_slice() {
                [name, words] => Some((group(name)?, *words)),
                _ => None,
            })
            .flat_map(|(group, words)| words.split('|').map(move |word| (word, group)))
            .unzip();
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            // Names are short, and most have what it would skip to.
            .prefilter(false)
            .build(patterns)
            .ok();
        Self { automaton, groups }
    }

    /// The groups with a word in names as [`dashed_names`] gives them, one bit each.
    pub(super) fn found_in(&self, names: &str) -> u32 {
        let Some(automaton) = self.automaton.as_ref().filter(|_| !names.is_empty()) else {
            return 0;
        };
        automaton
            .find_overlapping_iter(names)
            .filter_map(|found| self.groups.get(found.pattern().as_usize()))
            .fold(0, |bits, group| bits | 1 << group)
    }

    /// Asserts that every word of the table makes the group that it stands in.
    #[cfg(test)]
    pub(super) fn check(&self, table: &'static str, group: impl Fn(&str) -> Option<u32>) {
        for row in rows(table) {
            let [name, words] = row.as_slice() else {
                panic!("{row:?}");
            };
            let group = group(name).unwrap_or_else(|| panic!("no group {name}"));
            for word in words.split('|') {
                assert_eq!(word, word.to_lowercase());
                let mut dashed = String::new();
                push_dashed(&mut dashed, word.trim_matches('-'));
                assert!(self.found_in(&dashed) & (1 << group) != 0, "{name} {word}");
            }
        }
    }
}

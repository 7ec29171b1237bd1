//! Headings that say that what follows them is other products.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::table::rows;

/// Longest heading of such a section, in characters.
const MAX_HEADING_CHARS: usize = 80;

/// Nothing only if the automaton grew beyond its limits, which constants cannot.
static OTHERS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let phrases = rows(include_str!("../data/section_words.txt"))
        .filter_map(|row| match row.as_slice() {
            ["others", phrases] => Some(*phrases),
            _ => None,
        })
        .flat_map(|phrases| phrases.split('|'));
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(phrases)
        .ok()
});

/// Whether a heading announces other products than the page's.
pub(super) fn announces_others(heading: &str) -> bool {
    heading.chars().count() <= MAX_HEADING_CHARS
        && OTHERS
            .as_ref()
            .is_some_and(|others| others.is_match(&heading.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_other_products_are_known() {
        for heading in [
            "You may also like",
            "Customers also viewed",
            "Das könnte Ihnen auch gefallen",
            "Vous aimerez aussi",
            "С этим товаром покупают",
            "関連商品",
        ] {
            assert!(announces_others(heading), "{heading}");
        }
        for heading in ["Blue lamp", "Description", "Lieferung", "送料"] {
            assert!(!announces_others(heading), "{heading}");
        }
    }

    #[test]
    fn every_phrase_is_in_lower_case_and_announces_others() {
        for row in rows(include_str!("../data/section_words.txt")) {
            assert_eq!(row.first(), Some(&"others"), "{row:?}");
            for phrase in row.iter().skip(1).flat_map(|phrases| phrases.split('|')) {
                assert_eq!(phrase, phrase.to_lowercase());
                assert!(announces_others(phrase), "{phrase}");
            }
        }
    }
}

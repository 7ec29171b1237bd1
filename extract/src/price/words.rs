//! The words that stand around prices, from `extract/data/price_words.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::table::rows;

/// The kinds a phrase has; a phrase may have several, and its place decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds(u32);

impl Kinds {
    pub(super) const PRICE: Self = Self(1);
    pub(super) const FROM: Self = Self(1 << 1);
    pub(super) const OLD: Self = Self(1 << 2);
    pub(super) const NOW: Self = Self(1 << 3);
    pub(super) const SAVING: Self = Self(1 << 4);
    pub(super) const LIMIT: Self = Self(1 << 5);
    pub(super) const FREE: Self = Self(1 << 6);
    pub(super) const NOT_FREE: Self = Self(1 << 7);
    pub(super) const TO: Self = Self(1 << 8);
    pub(super) const AND: Self = Self(1 << 9);
    pub(super) const PER: Self = Self(1 << 10);
    pub(super) const PERIOD: Self = Self(1 << 11);
    pub(super) const UNIT: Self = Self(1 << 12);
    pub(super) const REF: Self = Self(1 << 13);
    pub(super) const PERIODIC: Self = Self(1 << 14);
    pub(super) const PARTS: Self = Self(1 << 15);
    pub(super) const LOWEST: Self = Self(1 << 16);
    pub(super) const DAYS: Self = Self(1 << 17);
    pub(super) const TAX: Self = Self(1 << 18);
    pub(super) const WITH: Self = Self(1 << 19);
    pub(super) const WITHOUT: Self = Self(1 << 20);
    pub(super) const NET: Self = Self(1 << 21);
    pub(super) const GROSS: Self = Self(1 << 22);
    pub(super) const FOR_SOME: Self = Self(1 << 23);
    /// The words and the number of "lowest price of the last 30 days"; no phrase has it by itself.
    pub(super) const LOWEST_BEFORE: Self = Self(1 << 24);

    /// The kinds whose words stand beside prices and hardly anywhere else.
    const OF_PRICES: u32 = (1 << 16) - 1;

    /// Whether it has any kind of `other`.
    pub(super) fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is a word that stands beside prices; "with" and "days" stand anywhere.
    pub(super) fn is_of_prices(self) -> bool {
        self.0 & Self::OF_PRICES != 0
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "price" => Self::PRICE,
            "from" => Self::FROM,
            "old" => Self::OLD,
            "now" => Self::NOW,
            "saving" => Self::SAVING,
            "limit" => Self::LIMIT,
            "free" => Self::FREE,
            "notfree" => Self::NOT_FREE,
            "to" => Self::TO,
            "and" => Self::AND,
            "per" => Self::PER,
            "period" => Self::PERIOD,
            "unit" => Self::UNIT,
            "ref" => Self::REF,
            "periodic" => Self::PERIODIC,
            "parts" => Self::PARTS,
            "lowest" => Self::LOWEST,
            "days" => Self::DAYS,
            "tax" => Self::TAX,
            "with" => Self::WITH,
            "without" => Self::WITHOUT,
            "net" => Self::NET,
            "gross" => Self::GROSS,
            "some" => Self::FOR_SOME,
            _ => return None,
        })
    }
}

impl std::ops::BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Most words in a phrase.
const MAX_PHRASE: usize = 4;

struct Phrases {
    single: HashMap<&'static str, Kinds>,
    /// Phrases of several words, by their first; the longest first.
    longer: HashMap<&'static str, Vec<(Vec<&'static str>, Kinds)>>,
    /// Phrases in scripts without spaces, looked for inside words.
    inside: Vec<(&'static str, Kinds)>,
}

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| {
    let mut phrases = Phrases {
        single: HashMap::new(),
        longer: HashMap::new(),
        inside: Vec::new(),
    };
    for row in rows(include_str!("../data/price_words.txt")) {
        let [kind, list] = row.as_slice() else {
            continue;
        };
        let Some(kind) = Kinds::named(kind) else {
            continue;
        };
        for phrase in list.split('|').filter(|phrase| !phrase.is_empty()) {
            let words: Vec<&str> = phrase.split(' ').collect();
            match words.as_slice() {
                [] => {}
                [word] => {
                    if !word.chars().any(is_spaced) {
                        phrases.inside.push((word, kind));
                    }
                    let known = phrases.single.entry(word).or_default();
                    *known = *known | kind;
                }
                [first, rest @ ..] => {
                    let list = phrases.longer.entry(first).or_default();
                    if let Some((_, known)) = list.iter_mut().find(|(known, _)| known == rest) {
                        *known = *known | kind;
                    } else {
                        list.push((rest.to_vec(), kind));
                        list.sort_by_key(|(rest, _)| std::cmp::Reverse(rest.len()));
                    }
                }
            }
        }
    }
    phrases
});

/// Whether a letter belongs to a script that parts words with spaces.
fn is_spaced(c: char) -> bool {
    !matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// The kinds of the phrase that begins with `first`, and how many words it has. `following` gives
/// the words after it.
pub(super) fn phrase<'a>(first: &str, following: impl Fn(usize) -> &'a str) -> (Kinds, usize) {
    let phrases = &*PHRASES;
    if let Some(list) = phrases.longer.get(first) {
        for (rest, kinds) in list {
            let fits = rest.len() < MAX_PHRASE
                && rest
                    .iter()
                    .enumerate()
                    .all(|(index, word)| following(index) == *word);
            if fits {
                return (*kinds, rest.len() + 1);
            }
        }
    }
    if let Some(kinds) = phrases.single.get(first) {
        return (*kinds, 1);
    }
    if first.chars().next().is_some_and(|c| !is_spaced(c)) {
        let mut kinds = Kinds::default();
        for (word, kind) in &phrases.inside {
            if first.contains(word) {
                kinds = kinds | *kind;
            }
        }
        return (kinds, 1);
    }
    (Kinds::default(), 1)
}

#[cfg(test)]
pub(super) fn all() -> Vec<(String, Kinds)> {
    let single = PHRASES
        .single
        .iter()
        .map(|(word, kinds)| ((*word).to_owned(), *kinds));
    let longer = PHRASES.longer.iter().flat_map(|(first, list)| {
        list.iter()
            .map(move |(rest, kinds)| (format!("{first} {}", rest.join(" ")), *kinds))
    });
    single.chain(longer).collect()
}

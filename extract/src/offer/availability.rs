//! Whether something can be bought, from a word of schema.org or in a language of shops.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde::Serialize;

use crate::html::folded;
use crate::table::rows;

/// How much of a text is looked at, in characters.
const MAX_TEXT_CHARS: usize = 300;

/// A few are left when the text counts no more than this.
const FEW: u32 = 3;

/// Most characters between a negation and what it denies.
const NEGATION_REACH: usize = 18;

/// Whether the product can be bought, after schema.org's `ItemAvailability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Availability {
    /// It can be bought now (also `OnlineOnly`, `InStoreOnly`, `MadeToOrder`).
    InStock,
    /// It cannot be bought now (also `SoldOut`, `BackOrder`, `Reserved`).
    OutOfStock,
    /// It can be ordered before it is published (also `PreSale`).
    PreOrder,
    /// It can be bought now, and few are left.
    LimitedAvailability,
    /// It will not be sold again.
    Discontinued,
}

impl Availability {
    /// The name written and stored, as schema.org spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InStock => "InStock",
            Self::OutOfStock => "OutOfStock",
            Self::PreOrder => "PreOrder",
            Self::LimitedAvailability => "LimitedAvailability",
            Self::Discontinued => "Discontinued",
        }
    }

    /// Whether somebody who wants it can order it.
    #[must_use]
    pub fn is_available(self) -> bool {
        !matches!(self, Self::OutOfStock | Self::Discontinued)
    }
}

#[derive(Debug, Default)]
struct Words {
    discontinued: Vec<&'static str>,
    out: Vec<&'static str>,
    pre: Vec<&'static str>,
    few: Vec<&'static str>,
    stocked: Vec<&'static str>,
    negations: Vec<&'static str>,
    left: Vec<&'static str>,
    cart: Vec<&'static str>,
    notify: Vec<&'static str>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words::default();
    for row in rows(include_str!("../data/availability_words.txt")) {
        let [kind, phrases] = row.as_slice() else {
            continue;
        };
        let list = match *kind {
            "discontinued" => &mut words.discontinued,
            "out" => &mut words.out,
            "pre" => &mut words.pre,
            "few" => &mut words.few,
            "in" => &mut words.stocked,
            "not" => &mut words.negations,
            "left" => &mut words.left,
            "cart" => &mut words.cart,
            "notify" => &mut words.notify,
            _ => continue,
        };
        list.extend(phrases.split('|'));
    }
    words
});

/// What a text says about availability, in any of twenty languages, or a schema.org value in any
/// spelling. `None` when it says nothing about it.
///
/// The text should stand where availability stands (a label, a field, a button): a few words, of
/// which at most 300 characters are read. What is denied ("not in stock", "ikke på lager") or counts
/// nothing ("0 in stock", "0 stk") is out of stock.
#[must_use]
pub fn availability_of(text: &str) -> Option<Availability> {
    if let Some(value) = schema_value(text) {
        return Some(value);
    }
    let text = folded(text, MAX_TEXT_CHARS)?
        .to_lowercase()
        .replace('’', "'");
    let said = Said::in_text(&text);
    if said.has(Kind::Discontinued) {
        return Some(Availability::Discontinued);
    }
    let count = counted(&text);
    if count == Some(0) || said.has(Kind::Out) {
        return Some(Availability::OutOfStock);
    }
    if said.has(Kind::Pre) {
        return Some(Availability::PreOrder);
    }
    let stocked = said.first(Kind::Stocked);
    // "Plus que 2 en stock" denies nothing.
    if let Some(at) = stocked
        && count.is_none()
        && is_denied(&text, at)
    {
        return Some(Availability::OutOfStock);
    }
    if said.has(Kind::Few) || count.is_some_and(|count| count <= FEW) {
        return Some(Availability::LimitedAvailability);
    }
    (stocked.is_some() || count.is_some()).then_some(Availability::InStock)
}

/// What a text says that consists of nothing but words about availability.
pub(super) fn exact_availability(text: &str) -> Option<Availability> {
    if text.len() > 60 {
        return None;
    }
    let lower = text.to_lowercase().replace('’', "'");
    let lower = lower.trim_matches(|c: char| !c.is_alphanumeric());
    EXACT.get(lower).copied()
}

/// Every phrase by itself.
static EXACT: LazyLock<HashMap<&'static str, Availability>> = LazyLock::new(|| {
    let words = &*WORDS;
    [
        (&words.stocked, Availability::InStock),
        (&words.few, Availability::LimitedAvailability),
        (&words.pre, Availability::PreOrder),
        (&words.out, Availability::OutOfStock),
        (&words.discontinued, Availability::Discontinued),
    ]
    .into_iter()
    .flat_map(|(list, found)| list.iter().map(move |phrase| (*phrase, found)))
    .collect()
});

/// Whether a button's text says that it buys.
pub(super) fn is_cart_button(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    text.chars().count() <= 60 && Said::in_text(&text).has(Kind::Cart)
}

/// Whether a button offers to tell when there is something to buy.
pub(super) fn is_notify_button(text: &str) -> bool {
    let text = text.trim().to_lowercase().replace('’', "'");
    text.chars().count() <= 80 && Said::in_text(&text).has(Kind::Notify)
}

/// A value of schema.org, Open Graph, Merchant Center or a shop's data, whatever its spelling.
fn schema_value(text: &str) -> Option<Availability> {
    let text = text.trim();
    if text.len() > 80 {
        return None;
    }
    let last = text.trim_end_matches('/').rsplit(['/', '#', ':']).next()?;
    let letters: String = last
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    Some(match letters.as_str() {
        "instock" | "onlineonly" | "instoreonly" | "madetoorder" | "true" | "availablefororder"
        | "available" | "yes" => Availability::InStock,
        "outofstock" | "outstock" | "soldout" | "backorder" | "reserved" | "oos" | "false"
        | "unavailable" | "notavailable" | "notinstock" | "no" => Availability::OutOfStock,
        "preorder" | "presale" => Availability::PreOrder,
        "limitedavailability" | "limitedstock" | "lowstock" => Availability::LimitedAvailability,
        "discontinued" => Availability::Discontinued,
        _ => return None,
    })
}

/// What a list of phrases is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Discontinued,
    Out,
    Pre,
    Few,
    Stocked,
    Cart,
    Notify,
}

impl Kind {
    const COUNT: usize = 7;
}

/// Every phrase of these lists, looked for all at once.
struct Phrases {
    automaton: AhoCorasick,
    /// The list of each phrase, and its place there.
    lists: Vec<(Kind, usize)>,
}

/// Nothing only if the automaton grew beyond its limits, which constants cannot.
static PHRASES: LazyLock<Option<Phrases>> = LazyLock::new(|| {
    let words = &*WORDS;
    let (phrases, lists): (Vec<&str>, Vec<(Kind, usize)>) = [
        (&words.discontinued, Kind::Discontinued),
        (&words.out, Kind::Out),
        (&words.pre, Kind::Pre),
        (&words.few, Kind::Few),
        (&words.stocked, Kind::Stocked),
        (&words.cart, Kind::Cart),
        (&words.notify, Kind::Notify),
    ]
    .into_iter()
    .flat_map(|(list, kind)| {
        let placed = list.iter().copied().enumerate();
        placed.map(move |(place, phrase)| (phrase, (kind, place)))
    })
    .unzip();
    // The kind that is built fastest: most runs of the program read few pages.
    let automaton = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(phrases)
        .ok()?;
    Some(Phrases { automaton, lists })
});

/// Which lists have a phrase in a text.
#[derive(Default)]
struct Said {
    /// By list: the place in it of the first phrase of the list that is in the text, and where in the text.
    first: [Option<(usize, usize)>; Kind::COUNT],
}

impl Said {
    fn in_text(text: &str) -> Self {
        let mut said = Self::default();
        let Some(phrases) = &*PHRASES else {
            return said;
        };
        for found in phrases.automaton.find_overlapping_iter(text) {
            let Some((kind, place)) = phrases.lists.get(found.pattern().as_usize()) else {
                continue;
            };
            let Some(first) = said.first.get_mut(*kind as usize) else {
                continue;
            };
            let is_earlier = first.is_none_or(|(known, _)| *place < known);
            if is_earlier && is_whole(text, found.start(), found.end()) {
                *first = Some((*place, found.start()));
            }
        }
        said
    }

    fn has(&self, kind: Kind) -> bool {
        self.first(kind).is_some()
    }

    fn first(&self, kind: Kind) -> Option<usize> {
        self.first
            .get(kind as usize)
            .copied()
            .flatten()
            .map(|(_, at)| at)
    }
}

/// The place of a phrase: as whole words, or anywhere in scripts that do not part words.
fn find(text: &str, phrase: &str) -> Option<usize> {
    // Labels are short: most phrases cannot be in them.
    if phrase.len() > text.len() {
        return None;
    }
    text.match_indices(phrase)
        .map(|(at, _)| at)
        .find(|at| is_whole(text, *at, at + phrase.len()))
}

/// A letter or digit of a script that parts words.
fn is_spaced(c: char) -> bool {
    c.is_alphanumeric()
        && !matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Whether what stands there is whole words, or in a script that does not part words.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let (Some(before), Some(phrase), Some(after)) =
        (text.get(..start), text.get(start..end), text.get(end..))
    else {
        return false;
    };
    let parts = |edge: Option<char>, neighbour: Option<char>| {
        !(edge.is_some_and(is_spaced) && neighbour.is_some_and(is_spaced))
    };
    parts(phrase.chars().next(), before.chars().next_back())
        && parts(phrase.chars().next_back(), after.chars().next())
}

/// Whether a negation stands a word or two before the place.
fn is_denied(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let start = before.len().saturating_sub(NEGATION_REACH);
    let near = before
        .get(before.ceil_char_boundary(start)..)
        .unwrap_or_default();
    // A sentence of its own denies nothing in the next.
    let near = near
        .rsplit(['.', ',', ';', '!', '|', '–'])
        .next()
        .unwrap_or(near);
    WORDS
        .negations
        .iter()
        .any(|word| find(near, word).is_some())
}

/// How many a text says there are: "3 in stock", "0 stk", "stock: 0".
fn counted(text: &str) -> Option<u32> {
    let mut rest = text;
    let mut offset = 0;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = rest.get(at..)?;
        let length = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        let after = number.get(length..)?;
        let begins_word = !text
            .get(..offset + at)?
            .ends_with(|c: char| is_spaced(c) || matches!(c, '.' | ',' | '-'));
        let tail = after.trim_start_matches([' ', '+', '\u{a0}', '.']);
        let is_counted = begins_word
            && WORDS
                .left
                .iter()
                .any(|word| tail.starts_with(word) && find(tail, word) == Some(0));
        if is_counted {
            return Some(number.get(..length)?.parse().unwrap_or(u32::MAX));
        }
        offset += at + length;
        rest = after;
    }
    None
}

/// The condition a text names, as schema.org's `OfferItemCondition`.
pub(super) fn condition_of(text: &str) -> Option<String> {
    let last = text
        .trim()
        .trim_end_matches('/')
        .rsplit(['/', '#', ':'])
        .next()?;
    let lower = last.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let name = if has(&[
        "refurb",
        "renewed",
        "reconditioned",
        "generalüberholt",
        "reconditionné",
    ]) {
        "RefurbishedCondition"
    } else if has(&["damaged"]) {
        "DamagedCondition"
    } else if has(&[
        "used",
        "pre-owned",
        "second hand",
        "secondhand",
        "gebraucht",
        "brukt",
        "begagnad",
        "occasion",
    ]) {
        "UsedCondition"
    } else if has(&[
        "new", "neu", "neuf", "nuevo", "nuovo", "novo", "nieuw", "nowy", "ny",
    ]) {
        "NewCondition"
    } else {
        return None;
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Availability::{Discontinued, InStock, LimitedAvailability, OutOfStock, PreOrder};

    #[track_caller]
    fn check(wanted: Option<Availability>, texts: &[&str]) {
        for text in texts {
            assert_eq!(availability_of(text), wanted, "{text}");
        }
    }

    /// Defect 3 of the predecessor's list: what was denied or counted none was in stock.
    #[test]
    fn what_is_denied_or_counts_none_is_out_of_stock() {
        check(
            Some(OutOfStock),
            &[
                "Not in stock",
                "Ikke tilgjengelig",
                "0 in stock",
                "0 stk",
                "Ikke på lager",
                "Stock: 0 available",
                "Currently not in stock",
                "no longer in stock",
                "Not yet available",
                "0 Stück auf Lager",
                "Unavailable",
                "Derzeit nicht verfügbar",
                "Nicht auf Lager",
                "Ausverkauft",
                "Pas en stock",
                "Rupture de stock",
                "Agotado",
                "No disponible",
                "Non disponibile",
                "Esgotado",
                "Niet op voorraad",
                "Niedostępny",
                "Slut i lager",
                "Udsolgt",
                "Ei varastossa",
                "Není skladem",
                "Stokta yok",
                "Нет в наличии",
                "在庫切れ",
                "缺货",
                "품절",
                "غير متوفر",
                "Εξαντλήθηκε",
                "Nincs készleten",
                "Stoc epuizat",
                "Sold Out",
                "SOLD OUT - notify me",
                "In stock: 0 left",
            ],
        );
    }

    #[test]
    fn what_is_there_is_in_stock() {
        check(
            Some(InStock),
            &[
                "In stock",
                "Available",
                "12 in stock",
                "På lager (50+)",
                "Tilgjengelig",
                "Auf Lager",
                "Sofort lieferbar",
                "En stock",
                "Disponible",
                "Disponibile",
                "Em estoque",
                "Op voorraad",
                "Dostępny",
                "I lager",
                "Varastossa",
                "Skladem",
                "Stokta",
                "В наличии",
                "在庫あり",
                "有货",
                "재고 있음",
                "متوفر",
                "Διαθέσιμο",
                "Raktáron",
                "În stoc",
                "20 stk",
                "No minimum order. In stock",
            ],
        );
    }

    #[test]
    fn the_other_states_are_told_apart() {
        check(
            Some(PreOrder),
            &[
                "Pre-order now",
                "Vorbestellen",
                "Précommande",
                "Preventa",
                "予約販売",
                "Coming soon",
            ],
        );
        check(
            Some(LimitedAvailability),
            &[
                "Only a few left in stock",
                "2 left",
                "Only 1 in stock",
                "Få igjen på lager",
                "残りわずか",
            ],
        );
        check(
            Some(Discontinued),
            &[
                "Discontinued",
                "No longer available",
                "Nicht mehr lieferbar",
                "販売終了",
                "Utgått",
            ],
        );
        check(
            None,
            &[
                "",
                "Ships to Norway",
                "Blue",
                "Add to cart",
                "12 reviews",
                "Unstocked shelves",
            ],
        );
    }

    #[test]
    fn values_of_schema_org_are_known_in_any_spelling() {
        check(
            Some(InStock),
            &[
                "https://schema.org/InStock",
                "http://schema.org/InStock/",
                "schema:InStock",
                "in_stock",
                "instock",
                "InStoreOnly",
                "IN STOCK",
            ],
        );
        check(
            Some(OutOfStock),
            &[
                "https://schema.org/OutOfStock",
                "SoldOut",
                "OutStock",
                "oos",
                "out of stock",
                "BackOrder",
            ],
        );
        check(
            Some(PreOrder),
            &["https://schema.org/PreOrder", "PreSale", "preorder"],
        );
        check(
            Some(LimitedAvailability),
            &["http://schema.org/LimitedAvailability"],
        );
        check(Some(Discontinued), &["schema.org/Discontinued"]);
    }

    /// In no language does a phrase for what is out read as in stock, or the other way round.
    #[test]
    fn every_phrase_of_the_table_says_what_it_stands_for() {
        let words = &*WORDS;
        for (list, wanted) in [
            (&words.discontinued, Discontinued),
            (&words.out, OutOfStock),
            (&words.pre, PreOrder),
            (&words.few, LimitedAvailability),
            (&words.stocked, InStock),
        ] {
            let wrong: Vec<_> = list
                .iter()
                .map(|phrase| (phrase, availability_of(phrase)))
                .filter(|(_, found)| *found != Some(wanted))
                .collect();
            assert!(wrong.is_empty(), "{wanted:?}: {wrong:?}");
        }
        for word in &words.left {
            assert_eq!(
                availability_of(&format!("0 {word}")),
                Some(OutOfStock),
                "{word}"
            );
        }
        for word in &words.negations {
            assert!(is_denied(&format!("{word} "), word.len() + 1), "{word}");
        }
        for phrase in &words.cart {
            assert!(is_cart_button(phrase), "{phrase}");
        }
        for phrase in &words.notify {
            assert!(is_notify_button(phrase), "{phrase}");
        }
    }

    #[test]
    fn conditions_are_known_by_name() {
        for (text, wanted) in [
            ("https://schema.org/NewCondition", Some("NewCondition")),
            ("used", Some("UsedCondition")),
            ("Refurbished", Some("RefurbishedCondition")),
            ("blue", None),
        ] {
            assert_eq!(condition_of(text).as_deref(), wanted, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,120}") {
            let found = availability_of(&text);
            proptest::prop_assert!(found.is_none_or(|found| !found.as_str().is_empty()));
        }
    }
}

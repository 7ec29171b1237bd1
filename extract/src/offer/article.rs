//! The numbers that a page gives its product for people to read: the shop's, the maker's, a GTIN, each behind its label.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ego_tree::NodeId;

use super::product::valid_gtin;
use crate::table::rows;

/// Longest text that is looked through for labels, in bytes.
const MAX_TEXT_BYTES: usize = 300;

/// Longest text that is but a label, in bytes, and most words before the label in it.
const MAX_LABEL_BYTES: usize = 80;
const MAX_WORDS_BEFORE: usize = 2;

/// Most words of a label.
const MAX_LABEL_WORDS: usize = 5;

/// Longest number, in characters, and longest in several words.
const MAX_VALUE_CHARS: usize = 40;
const MAX_JOINED_CHARS: usize = 24;

/// Most numbers kept of one page.
const MAX_FOUND: usize = 200;

/// What parts the statements of one text.
const SEPARATORS: [char; 9] = ['|', ',', ';', '·', '•', '(', ')', '，', '／'];

/// Whose number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The shop's.
    Sku,
    /// Amazon's, which is the shop's there.
    Asin,
    /// The maker's.
    Mpn,
    /// GTIN, EAN, UPC, ISBN.
    Gtin,
}

/// How a number says what it is, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// An attribute for the page's scripts.
    Attribute,
    /// The name of its element.
    Class,
    /// A label before it.
    Label,
    /// `itemprop`.
    Property,
}

/// A number, and where it stands.
#[derive(Debug)]
pub(super) struct Article {
    pub(super) kind: Kind,
    pub(super) mark: Mark,
    pub(super) value: String,
    /// Where its label begins in the visible text.
    pub(super) start: usize,
    pub(super) node: NodeId,
}

/// A label that ends its text: what it labels stands in the next.
#[derive(Debug, Clone, Copy)]
struct Pending {
    label: Label,
    start: usize,
}

/// Collects the numbers of a page, text by text.
#[derive(Debug, Default)]
pub(super) struct Articles {
    pub(super) found: Vec<Article>,
    pending: Option<Pending>,
}

impl Articles {
    /// Looks through a text, trimmed, that begins at `start` of the visible text.
    pub(super) fn read(&mut self, text: &str, start: usize, node: NodeId) {
        let has_digit = text.contains(|c: char| c.is_ascii_digit());
        // Without a digit it can be but a label.
        let limit = if has_digit {
            MAX_TEXT_BYTES
        } else {
            MAX_LABEL_BYTES
        };
        if text.len() > limit {
            self.pending = None;
            return;
        }
        for (offset, segment) in segments(text) {
            if !self.read_pending(segment, node) {
                self.read_segment(segment, start + offset, node);
            }
        }
    }

    /// Reads a text as what the label before it announces. Tells whether it was that, or nothing at all.
    fn read_pending(&mut self, segment: &str, node: NodeId) -> bool {
        let Some(pending) = self.pending else {
            return false;
        };
        let (rest, _) = after_marks(segment);
        if rest.is_empty() {
            return true;
        }
        self.pending = None;
        let is_plain = pending.label.kind == Kind::Sku && !pending.label.is_generic;
        let capitals = || capitals_value(rest).filter(|_| is_plain);
        let Some(value) = whole_value(rest).or_else(capitals) else {
            return false;
        };
        self.add(pending.label.kind, Mark::Label, value, pending.start, node);
        true
    }

    fn read_segment(&mut self, segment: &str, start: usize, node: NodeId) {
        let mut rest = segment;
        let mut at = start;
        while let Some((label, end)) = label_of(rest).or_else(|| label_within(rest)) {
            let after = rest.get(end..).unwrap_or_default();
            let (value, has_mark) = after_marks(after);
            if value.is_empty() {
                self.pending = Some(Pending { label, start: at });
                return;
            }
            let capitals = || {
                let is_plain = has_mark && label.kind == Kind::Sku && !label.is_generic;
                Some((
                    capitals_value(value.trim()).filter(|_| is_plain)?,
                    value.len(),
                ))
            };
            let Some((value, length)) = value_of(value, label)
                .filter(|_| has_mark || !label.is_generic)
                .or_else(capitals)
            else {
                return;
            };
            self.add(label.kind, Mark::Label, value, at, node);
            let used = rest.len() - after_marks(after).0.len() + length;
            at += used;
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Takes the text of an element that calls itself such a number, with or without a label in it. A property may be a word too.
    pub(super) fn read_named(
        &mut self,
        kind: Kind,
        mark: Mark,
        text: &str,
        start: usize,
        node: NodeId,
    ) {
        let text = text.trim();
        let value = match label_of(text) {
            Some((label, end)) if label.kind == kind => {
                text.get(end..).map(|rest| after_marks(rest).0)
            }
            Some(_) => None,
            None => Some(after_marks(text).0),
        };
        let word = |value: &str| word_value(value).filter(|_| mark == Mark::Property);
        if let Some(value) = value.and_then(|value| whole_value(value).or_else(|| word(value))) {
            self.add(kind, mark, value, start, node);
        }
    }

    fn add(&mut self, kind: Kind, mark: Mark, value: String, start: usize, node: NodeId) {
        let value = match kind {
            Kind::Gtin => valid_gtin(&value),
            _ => Some(value),
        };
        if let Some(value) = value
            && self.found.len() < MAX_FOUND
        {
            self.found.push(Article {
                kind,
                mark,
                value,
                start,
                node,
            });
        }
    }
}

/// The number that a property of schema.org is.
pub(super) fn kind_of_property(names: &str) -> Option<Kind> {
    names.split_ascii_whitespace().find_map(|name| match name {
        "sku" | "productID" => Some(Kind::Sku),
        "mpn" => Some(Kind::Mpn),
        "gtin" | "gtin8" | "gtin12" | "gtin13" | "gtin14" | "isbn" => Some(Kind::Gtin),
        _ => None,
    })
}

/// The attributes in which shops keep their number for the scripts of the page.
pub(super) fn is_article_attribute(name: &str) -> bool {
    name.strip_prefix("data-").is_some_and(|name| {
        matches!(
            name,
            "sku"
                | "product-sku"
                | "product_sku"
                | "productsku"
                | "article-number"
                | "articlenumber"
                | "artnr"
                | "product-code"
                | "productcode"
                | "item-number"
                | "itemnumber"
                | "item-code"
        )
    })
}

/// The statements of one text, and where each begins: parted by marks, or by a dash or stroke between spaces.
fn segments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split(SEPARATORS)
        .flat_map(|part| {
            [" - ", " – ", " / "]
                .iter()
                .find(|mark| part.contains(**mark))
                .map_or_else(|| vec![part], |mark| part.split(*mark).collect())
        })
        .map(move |segment| {
            // What parts them is looked for again: it is one byte or several.
            let place = text
                .get(at..)
                .and_then(|rest| rest.find(segment))
                .unwrap_or(0)
                + at;
            at = place + segment.len();
            (place, segment)
        })
}

/// What a label announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label {
    kind: Kind,
    /// Its word means other things too.
    is_generic: bool,
}

static LABELS: LazyLock<HashMap<&'static str, Label>> = LazyLock::new(|| {
    let mut labels = HashMap::new();
    for row in rows(include_str!("../data/article_labels.txt")) {
        let [kind, list] = row.as_slice() else {
            continue;
        };
        let kind = match *kind {
            "sku" | "generic" => Kind::Sku,
            "asin" => Kind::Asin,
            "mpn" => Kind::Mpn,
            "gtin" => Kind::Gtin,
            _ => continue,
        };
        let label = Label {
            kind,
            is_generic: row.first() == Some(&"generic"),
        };
        labels.extend(list.split('|').map(|text| (text, label)));
    }
    labels
});

/// The words that labels begin with: most texts begin with another.
static FIRST_WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let first = |label: &&'static str| label.split(' ').next();
    LABELS.keys().filter_map(first).collect()
});

/// The label that a short text begins with after at most two words ("eBay item number:"), and where it ends.
fn label_within(text: &str) -> Option<(Label, usize)> {
    if text.len() > MAX_LABEL_BYTES || !text.trim_end().ends_with([':', '：']) {
        return None;
    }
    text.match_indices(' ')
        .take(MAX_WORDS_BEFORE)
        .find_map(|(at, _)| {
            let (label, end) = label_of(text.get(at..)?)?;
            (!label.is_generic).then_some((label, at + end))
        })
}

/// The label that a text begins with, and where it ends.
fn label_of(text: &str) -> Option<(Label, usize)> {
    let mut words = String::new();
    let mut found = None;
    let mut at = 0;
    for _ in 0..MAX_LABEL_WORDS {
        let rest = text.get(at..)?;
        let Some(begin) = rest.find(is_of_word) else {
            break;
        };
        // Within a label stand at most a point, an apostrophe or a dash, and a space.
        let between = rest.get(..begin)?;
        if at > 0 && (between.len() > 3 || between.contains([':', '#', '/', '：'])) {
            break;
        }
        let word = rest.get(begin..)?;
        let length = word_length(word);
        if at > 0 {
            words.push(' ');
        }
        words.extend(word.get(..length)?.chars().flat_map(char::to_lowercase));
        if at == 0 && !FIRST_WORDS.contains(words.as_str()) {
            return None;
        }
        at += begin + length;
        if let Some(label) = LABELS.get(words.as_str()) {
            found = Some((*label, at));
        }
    }
    found
}

/// Letters with the marks that combine with them, and digits, but not the raised letter of `nº`.
fn is_of_word(c: char) -> bool {
    let is_mark = matches!(c, '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{652}' | '\u{900}'..='\u{97f}' | '\u{e31}'..='\u{e4e}');
    (c.is_alphanumeric() || is_mark) && c != 'º' && c != 'ª'
}

/// The length of the first word of a text. Chinese and Japanese part it from digits by nothing.
fn word_length(text: &str) -> usize {
    let mut was_cjk = false;
    for (at, c) in text.char_indices() {
        if !is_of_word(c) || was_cjk && c.is_ascii_digit() {
            return at;
        }
        was_cjk = matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}');
    }
    text.len()
}

/// A text without the marks between a label and its number, and whether one of them announces a number.
fn after_marks(text: &str) -> (&str, bool) {
    let rest = text.trim_start_matches(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ':' | '：'
                    | '#'
                    | '№'
                    | '.'
                    | '-'
                    | '–'
                    | '—'
                    | '='
                    | '>'
                    | 'º'
                    | '°'
                    | '"'
                    | '['
                    | ']'
                    | '\u{200e}'
                    | '\u{200f}'
            )
    });
    let marks = text.get(..text.len() - rest.len()).unwrap_or_default();
    (rest, marks.contains([':', '：', '#', '№', '=', 'º', '°']))
}

/// The number that a text behind a label begins with, and its length in bytes.
fn value_of(text: &str, label: Label) -> Option<(String, usize)> {
    let first = text.split(char::is_whitespace).next()?;
    if let Some(value) = token_value(first) {
        let rest = text.get(first.len()..).unwrap_or_default().trim();
        // Words behind it: a sentence, unless the label means nothing else, or another label follows.
        let is_alone = rest.is_empty() || !label.is_generic || label_of(rest).is_some();
        let digits_follow = rest.starts_with(|c: char| c.is_ascii_digit());
        if let (true, Some(joined)) = (digits_follow, joined_value(text)) {
            return Some((joined, text.len()));
        }
        return is_alone.then_some((value, first.len()));
    }
    joined_value(text).map(|value| (value, text.len()))
}

/// The number that a text is as a whole.
fn whole_value(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(char::is_whitespace) {
        return joined_value(text);
    }
    token_value(text)
}

/// A number of capitals alone, in a text of its own behind a label that means nothing else.
fn capitals_value(text: &str) -> Option<String> {
    let is_capitals = text.len() >= 3
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    word_value(text).filter(|_| is_capitals)
}

/// A number that is a word, where nothing but a number stands.
fn word_value(text: &str) -> Option<String> {
    let length = text.chars().count();
    let is_word = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let is_none = ["na", "none", "null", "undefined", "tbd"]
        .iter()
        .any(|none| text.eq_ignore_ascii_case(none));
    (is_word && !is_none && (2..=MAX_VALUE_CHARS).contains(&length)).then(|| text.to_owned())
}

/// A number of several words: `AB 1234`, `403 411 76`.
fn joined_value(text: &str) -> Option<String> {
    let is_short = text.chars().count() <= MAX_JOINED_CHARS;
    let words: Vec<&str> = text.split_whitespace().collect();
    let has_digit = |word: &&str| word.contains(|c: char| c.is_ascii_digit());
    let all_digits = words
        .iter()
        .all(|word| word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit()));
    let is_letters_first = words.len() == 2
        && words.last().is_some_and(has_digit)
        && words.first().is_some_and(|word| {
            word.len() <= 5 && word.bytes().all(|byte| byte.is_ascii_uppercase())
        });
    let is_plain = words.iter().all(|word| word.chars().all(is_of_value));
    (is_short && is_plain && (all_digits && words.len() > 1 || is_letters_first))
        .then(|| words.join(" "))
}

fn is_of_value(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '+' | '–')
}

/// A number of one word. It has a digit, or is capitals with a dash between them.
fn token_value(token: &str) -> Option<String> {
    let token = token.trim_matches(|c: char| {
        matches!(
            c,
            '.' | ':' | ',' | ';' | '"' | '\'' | '/' | '-' | '*' | '“' | '”' | '„'
        )
    });
    let length = token.chars().count();
    let is_plain = token.chars().all(is_of_value) && (2..=MAX_VALUE_CHARS).contains(&length);
    let has_digit = token.contains(|c: char| c.is_ascii_digit());
    let is_code = length >= 4
        && token.contains(['-', '_'])
        && token
            .chars()
            .all(|c| c.is_ascii_uppercase() || matches!(c, '-' | '_'));
    (is_plain && (has_digit || is_code)).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use scraper::Html;

    use super::*;

    /// What is found in texts that follow each other.
    fn found(texts: &[&str]) -> Vec<(Kind, String)> {
        let document = Html::new_document();
        let mut articles = Articles::default();
        for text in texts {
            articles.read(text.trim(), 0, document.tree.root().id());
        }
        let pair = |article: Article| (article.kind, article.value);
        articles.found.into_iter().map(pair).collect()
    }

    #[test]
    fn numbers_are_found_behind_their_labels() {
        for (texts, kind, value) in [
            (&["Product code: 5530127"][..], Kind::Sku, "5530127"),
            (&["Item #", "77120"], Kind::Sku, "77120"),
            (&["Art.-Nr.: 20551873"], Kind::Sku, "20551873"),
            (&["Artikel-Nr. AB 1234"], Kind::Sku, "AB 1234"),
            (&["Код товара: 77310"], Kind::Sku, "77310"),
            (&["Réf. : LP-88/2"], Kind::Sku, "LP-88/2"),
            (&["N° d'article", ":", "4471"], Kind::Sku, "4471"),
            (&["商品番号：AB-120"], Kind::Sku, "AB-120"),
            (&["货号12345"], Kind::Sku, "12345"),
            (&["Kod produktu", "W-17"], Kind::Sku, "W-17"),
            (&["SKU", "BLUE-POT"], Kind::Sku, "BLUE-POT"),
            (&["SKU", "CDM"], Kind::Sku, "CDM"),
            (&["SKU = CDM / Color = Black"], Kind::Sku, "CDM"),
            (&["Artikelnummer", "403 411 76"], Kind::Sku, "403 411 76"),
            (&["Blue pot (SKU: X9, new)"], Kind::Sku, "X9"),
            (&["ASIN", "\u{200e}B07XXQ1234"], Kind::Asin, "B07XXQ1234"),
            (
                &["Acme item number:", "365999454668"],
                Kind::Sku,
                "365999454668",
            ),
            (&["Herstellernummer: HR 2358"], Kind::Mpn, "HR 2358"),
            (&["EAN: 4006381333931"], Kind::Gtin, "4006381333931"),
            (
                &["ISBN-13 : 978-3-16-148410-0"],
                Kind::Gtin,
                "9783161484100",
            ),
        ] {
            assert_eq!(found(texts), [(kind, value.to_owned())], "{texts:?}");
        }
        assert_eq!(
            found(&["SKU: A-1 EAN: 4006381333931 MPN: HR2358"]),
            [
                (Kind::Sku, "A-1".to_owned()),
                (Kind::Gtin, "4006381333931".to_owned()),
                (Kind::Mpn, "HR2358".to_owned())
            ]
        );
    }

    #[test]
    fn what_only_looks_like_one_is_left() {
        for texts in [
            &["SKU: N/A"][..],
            &["SKU", "N/A"],
            &["SKU", "NONE"],
            &["Item 3 of 5"],
            &["code 2024 of conduct"],
            &["Code", "of conduct in 12 points"],
            &["The SKU is 12345"],
            &["Produkt", "Blau"],
            &["Reference", "see chapter twelve"],
            &["EAN: 4006381333932"],
            &["Art. 5 GDPR"],
            &["Code: 10%"],
        ] {
            assert!(found(texts).is_empty(), "{texts:?} {:?}", found(texts));
        }
    }

    #[test]
    fn every_label_of_the_table_is_one() {
        for (text, label) in LABELS.iter() {
            assert_eq!(*text, text.to_lowercase());
            assert!(text.split(' ').count() <= MAX_LABEL_WORDS, "{text}");
            assert_eq!(
                label_of(text).map(|(label, _)| label),
                Some(*label),
                "{text}"
            );
        }
        for row in rows(include_str!("../data/article_labels.txt")) {
            assert!(
                matches!(
                    row.as_slice(),
                    ["sku" | "generic" | "asin" | "mpn" | "gtin", _]
                ),
                "{row:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(SKU|Art\\.|[:#/ ]|品番|[A-Z0-9-]{0,9}|.){0,12}") {
            for (_, value) in found(&[&text]) {
                proptest::prop_assert!(!value.is_empty());
            }
        }
    }
}

//! What stands before or after a number says what it is.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::html::INLINE_BOUNDARY;
use crate::table::rows;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Voice,
    Fax,
    /// Not a telephone at all: tax, bank, order …
    Other,
}

/// Longest label in words.
const MAX_WORDS: usize = 4;

/// How far before a number its label may begin, in characters.
const REACH: usize = 60;

static WORDS: LazyLock<HashMap<&'static str, Label>> = LazyLock::new(|| {
    rows(include_str!("../data/phone_labels.txt"))
        .filter_map(|row| match row.as_slice() {
            ["voice", word] => Some((*word, Label::Voice)),
            ["fax", word] => Some((*word, Label::Fax)),
            ["other", word] => Some((*word, Label::Other)),
            _ => None,
        })
        .collect()
});

/// The labels in scripts that set no spaces between words, longest first.
static UNSPACED: LazyLock<Vec<(&'static str, Label)>> = LazyLock::new(|| {
    let is_unspaced = |word: &str| word.starts_with(|c| c >= '\u{2e80}');
    let mut labels: Vec<_> = WORDS
        .iter()
        .map(|(word, label)| (*word, *label))
        .filter(|(word, _)| is_unspaced(word))
        .collect();
    labels.sort_by_key(|(word, _)| (std::cmp::Reverse(word.len()), *word));
    labels
});

/// The label at the end of `text`, which is what precedes a number.
pub(super) fn before(text: &str) -> Option<Label> {
    let skip = text.chars().count().saturating_sub(REACH);
    let tail: String = text
        .chars()
        .skip(skip)
        .map(|c| match c {
            INLINE_BOUNDARY => ' ',
            'Ａ'..='Ｚ' | 'ａ'..='ｚ' => half_width(c),
            c => c,
        })
        .flat_map(char::to_lowercase)
        .collect();
    let tail = strip_brackets(tail.trim_end());
    if tail.ends_with('#') || tail.ends_with('№') {
        return Some(Label::Other);
    }
    let has_mark = tail.ends_with([':', '.', '：', ')', '=']);
    let mut words: Vec<&str> = tail
        .split_whitespace()
        .map(bare)
        .filter(|w| !w.is_empty())
        .collect();
    // `t/f 123`, `tel/fax: 123`: the first is what most callers want.
    let joined = words
        .last()
        .and_then(|last| last.split_once(['/', '&', '+']));
    if let Some((first, second)) = joined
        && let (Some(a), Some(b)) = (lookup(bare(first)), lookup(bare(second)))
    {
        return Some(if a == Label::Voice || b == Label::Voice {
            Label::Voice
        } else {
            a
        });
    }
    let is_account = words.iter().rev().take(5).any(|word| is_account_word(word));
    for _ in 0..4 {
        if let Some(label) = ending(&words, has_mark, skip == 0) {
            return Some(label);
        }
        match words.last() {
            Some(word) if is_filler(word) => words.pop(),
            _ => break,
        };
    }
    is_account.then_some(Label::Other)
}

/// A Latin letter that East Asian text sets as wide as its own, as the letter itself.
fn half_width(c: char) -> char {
    char::from_u32(u32::from(c) - u32::from('Ａ') + u32::from('A')).unwrap_or(c)
}

fn ending(words: &[&str], has_mark: bool, is_whole: bool) -> Option<Label> {
    for count in (1..=MAX_WORDS.min(words.len())).rev() {
        let phrase = words.get(words.len() - count..)?.join(" ");
        let Some(label) = lookup(&phrase) else {
            continue;
        };
        // One letter is a label only with a colon or alone on its line.
        let is_letter = phrase.chars().count() == 1 && phrase.is_ascii();
        if is_letter && !has_mark && !(is_whole && words.len() == 1) {
            continue;
        }
        // `Fax: dial …`
        let front = words.get(..words.len() - count)?;
        let is_verb = label == Label::Voice
            && matches!(
                phrase.as_str(),
                "call" | "dial" | "direct" | "local" | "office"
            );
        let is_fax = front
            .last()
            .is_some_and(|word| lookup(word) == Some(Label::Fax));
        return Some(if is_verb && is_fax { Label::Fax } else { label });
    }
    let last = words.last()?;
    // `公司电话`: words of a script without spaces carry others before them.
    if last.ends_with(|c| c >= '\u{2e80}')
        && let Some((_, label)) = UNSPACED.iter().find(|(word, _)| last.ends_with(word))
    {
        return Some(*label);
    }
    // `Tel.043`, `Fax:0031`, `KvK-nr.:`: the last word may carry another before it.
    let (_, tail) = last.rsplit_once(['/', '-', ':', '|', '(', '>', '_'])?;
    lookup(bare(tail))
}

/// The label at the start of `text`, which is what follows a number: `(fax)`, `fax`, `- Tel`. Also where it ends, in bytes.
///
/// A word followed by a colon or by a digit belongs to the next number.
pub(super) fn after(text: &str) -> Option<(Label, usize)> {
    let is_gap = |c: char| matches!(c, ' ' | '(' | '[' | '-' | '–' | INLINE_BOUNDARY);
    let is_word = |c: char| c.is_alphanumeric();
    let (gap, head) = text.split_at_checked(text.find(|c| !is_gap(c))?)?;
    let (word, rest) = head.split_at_checked(head.find(|c| !is_word(c)).unwrap_or(head.len()))?;
    if gap.len() > 24 || word.len() > 80 || word.chars().count() < 2 {
        return None;
    }
    let label = lookup(&word.to_lowercase()).filter(|label| *label != Label::Other)?;
    let rest = rest.trim_start_matches([' ', INLINE_BOUNDARY]);
    let is_bracketed = gap.contains(['(', '[']);
    let is_next = rest.starts_with([':', '+', '(', '.', '#'])
        || rest.starts_with(|c: char| c.is_ascii_digit());
    (is_bracketed || !is_next).then_some((label, gap.len() + word.len()))
}

/// Whether `word` alone is a label of a telephone or fax number.
pub(super) fn is_phone_word(word: &str) -> bool {
    matches!(
        lookup(&word.to_lowercase()),
        Some(Label::Voice | Label::Fax)
    )
}

/// Whether `text` begins with a label of a telephone or fax number that is more than a letter, or with one letter and a colon.
pub(super) fn starts_with_phone_word(text: &str) -> bool {
    let text = text.trim_start();
    let (word, rest) = text
        .split_at_checked(
            text.find(|c: char| !c.is_alphabetic())
                .unwrap_or(text.len()),
        )
        .unwrap_or((text, ""));
    let is_letter = word.chars().count() == 1;
    is_phone_word(word) && (!is_letter || rest.starts_with(':'))
}

fn lookup(phrase: &str) -> Option<Label> {
    WORDS.get(phrase).copied()
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '☎' | '☏' | '✆' | '📞' | '📱'))
}

/// Removes a remark in brackets before the number: `Phone (Mon-Fri, 8am-2pm):`.
fn strip_brackets(tail: &str) -> &str {
    let trimmed = tail.trim_end_matches([':', ' ', '.']);
    if let Some(front) = trimmed.strip_suffix(')')
        && let Some(open) = front.rfind('(')
        && let Some(remark) = front.get(open + 1..)
        && lookup(bare(remark)).is_none()
    {
        return tail.get(..open).unwrap_or(tail).trim_end();
    }
    tail
}

/// Words whose number may come in several parts, with letters in between: `IBAN NL91 ABNA 0417 …`.
fn is_account_word(word: &str) -> bool {
    matches!(
        word,
        "iban"
            | "bic"
            | "swift"
            | "btw"
            | "kvk"
            | "vat"
            | "tva"
            | "siret"
            | "siren"
            | "rcs"
            | "isbn"
            | "konto"
            | "kontonummer"
            | "rekening"
            | "rekeningnummer"
            | "bankrekening"
            | "p.iva"
            | "ust-idnr"
            | "ust.-idnr"
            | "steuernummer"
            | "handelsregister"
            | "инн"
            | "огрн"
    )
}

/// Words that may stand between a label and its number.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "no" | "nr"
            | "num"
            | "number"
            | "numbers"
            | "us"
            | "on"
            | "at"
            | "to"
            | "today"
            | "now"
            | "is"
            | "our"
            | "toll"
            | "free"
            | "gratis"
            | "unter"
            | "op"
            | "au"
            | "al"
            | "sur"
            | "numer"
            | "nummer"
            | "numéro"
            | "número"
            | "numero"
            | "the"
            | "der"
            | "direct"
            | "dial"
            | "me"
            | "line"
            | "by"
            | "via"
            | "usa"
            | "uk"
            | "office"
            | "24"
            | "hour"
            | "hours"
            | "24h"
            | "emergency"
            | "international"
            | "national"
            | "customers"
            | "desk"
            | "sales"
            | "support"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_before_a_number_is_recognised() {
        let check = |text: &str, label: Option<Label>| assert_eq!(before(text), label, "{text}");
        check("Tel: ", Some(Label::Voice));
        check("T: ", Some(Label::Voice));
        check("F:", Some(Label::Fax));
        check("Suite F ", None);
        check("Phone (Mon-Fri, 8am-2pm): ", Some(Label::Voice));
        check("or via FAX to ", Some(Label::Fax));
        check("Call us today at ", Some(Label::Voice));
        check("Tel./Fax: ", Some(Label::Voice));
        check("KvK: ", Some(Label::Other));
        check("VAT no. ", Some(Label::Other));
        check("Fax: Dial ", Some(Label::Fax));
        check("VON#", Some(Label::Other));
        check("Company registration number ", Some(Label::Other));
        check("in the year ", None);
        check("телефон: ", Some(Label::Voice));
        check("", None);
    }

    #[test]
    fn every_word_of_the_table_says_what_the_number_is() {
        let idle: Vec<_> = WORDS
            .iter()
            .filter(|(word, label)| before(&format!("{word}: ")) != Some(**label))
            .collect();
        assert!(idle.is_empty(), "{idle:?}");
    }

    #[test]
    fn the_label_after_a_number_is_recognised() {
        let check = |text: &str, label: Option<Label>| {
            assert_eq!(after(text).map(|(label, _)| label), label, "{text}");
        };
        check(" (fax)", Some(Label::Fax));
        check(" fax", Some(Label::Fax));
        check(" fax: 123", None);
        check(" Fax 123", None);
        check(" (toll free)", None);
        check(" 8am", None);
    }
}

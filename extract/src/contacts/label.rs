//! What stands before or after a number says what it is.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::html::INLINE_BOUNDARY;
use crate::table::rows;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Voice,
    Fax,
    /// Not a telephone at all: tax, bank, order …
    Other,
    /// The same, by a word that is an ordinary one as well. It is a label only where labels stand: elsewhere it may end a name.
    Common,
}

impl Label {
    pub(super) fn is_phone(self) -> bool {
        matches!(self, Self::Voice | Self::Fax)
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    label: Label,
    /// Whether letters or a place may stand between it and its number.
    is_register: bool,
    /// The languages in which the word says so, with `|` between them; none for all.
    languages: Option<&'static str>,
}

/// The languages that a page may be read in, by their codes; none if that is not known.
#[derive(Debug, Default)]
pub(super) struct Languages(pub(super) Vec<String>);

impl Languages {
    fn have(&self, entry: Entry) -> bool {
        let is_spoken = |list: &str| {
            list.split('|')
                .any(|code| self.0.iter().any(|spoken| spoken == code))
        };
        self.0.is_empty() || entry.languages.is_none_or(is_spoken)
    }

    /// What a phrase says to those who speak them.
    fn lookup(&self, phrase: &str) -> Option<Entry> {
        entry(phrase).filter(|entry| self.have(*entry))
    }
}

/// Longest label in words.
const MAX_WORDS: usize = 4;

/// How far before a number its label may begin, in characters.
const REACH: usize = 60;

/// How many words before a number are looked at.
const MAX_PIECES: usize = 9;

/// Most words between a register and its number.
const MAX_BETWEEN: usize = 5;

/// A shorter word with a full stop is an abbreviation rather than the end of a sentence.
const MIN_LAST_WORD: usize = 4;

static WORDS: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(|| {
    rows(include_str!("../data/phone_labels.txt"))
        .filter_map(|row| {
            let (kind, word) = (*row.first()?, *row.get(1)?);
            let label = match kind {
                "voice" => Label::Voice,
                "fax" => Label::Fax,
                "other" | "register" => Label::Other,
                "common" => Label::Common,
                _ => return None,
            };
            let entry = Entry {
                label,
                is_register: kind == "register",
                languages: row.get(2).copied(),
            };
            Some((word, entry))
        })
        .collect()
});

/// The last words of registers that have several.
static REGISTER_ENDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let registers = WORDS.iter().filter(|(_, entry)| entry.is_register);
    registers
        .filter_map(|(phrase, _)| Some(phrase.rsplit_once(' ')?.1))
        .collect()
});

/// Words of buttons that show something.
static SHOWING: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    rows(include_str!("../data/phone_labels.txt"))
        .filter_map(|row| match row.as_slice() {
            ["show", word] => Some(*word),
            _ => None,
        })
        .collect()
});

/// The labels in scripts that set no spaces between words, longest first.
static UNSPACED: LazyLock<Vec<(&'static str, Label)>> = LazyLock::new(|| {
    let mut labels: Vec<_> = WORDS
        .iter()
        .map(|(word, entry)| (*word, entry.label))
        .filter(|(word, _)| word.starts_with(is_unspaced))
        .collect();
    labels.sort_by_key(|(word, _)| (std::cmp::Reverse(word.len()), *word));
    labels
});

/// A letter of Thai, or of a script of East Asia.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}') || c >= '\u{2e80}'
}

/// A word before a number.
struct Word<'a> {
    /// As it is written, without what is around it.
    text: &'a str,
    /// As in the table.
    key: String,
    /// Whether nothing stands before it that it could be a part of.
    is_first: bool,
}

impl Word<'_> {
    fn is_capitalised(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    /// `NL91`, `ABNA`, `B`
    fn is_code(&self) -> bool {
        let is_short = self.text.chars().count() <= 4;
        self.text.contains(|c: char| c.is_ascii_digit())
            || (is_short && !self.text.contains(char::is_lowercase))
    }
}

/// The label at the end of `text`, which is what precedes a number.
pub(super) fn before(text: &str, languages: &Languages) -> Option<Label> {
    let (tail, is_whole) = tail(text);
    let tail = strip_brackets(tail.trim_end_matches([' ', INLINE_BOUNDARY]), languages);
    let has_number_sign = tail.ends_with(['#', '№']);
    let has_mark = tail.ends_with([':', '.', '：', ')', '=', '#', '№']);
    let mut words = words(tail, is_whole);
    joined(tail, languages)
        .or_else(|| at_end(&mut words, has_mark, is_whole, languages))
        .filter(|label| *label != Label::Common || !tail.ends_with(','))
        .or(has_number_sign.then_some(Label::Other))
}

/// The end of `text` that a label may be in, and whether that is all of it.
fn tail(text: &str) -> (Cow<'_, str>, bool) {
    let start = text
        .char_indices()
        .rev()
        .nth(REACH - 1)
        .map_or(0, |(start, _)| start);
    let tail = text.get(start..).unwrap_or_default();
    let is_wide = |c| matches!(c, 'Ａ'..='Ｚ' | 'ａ'..='ｚ');
    let tail = if tail.contains(is_wide) {
        Cow::Owned(
            tail.chars()
                .map(|c| if is_wide(c) { half_width(c) } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(tail)
    };
    (tail, start == 0)
}

/// A Latin letter that East Asian text sets as wide as its own, as the letter itself.
fn half_width(c: char) -> char {
    char::from_u32(u32::from(c) - u32::from('Ａ') + u32::from('A')).unwrap_or(c)
}

/// The last words of a text, of which `is_whole` says that nothing is before it.
fn words(text: &str, is_whole: bool) -> Vec<Word<'_>> {
    let pieces: Vec<&str> = text
        .rsplit([' ', INLINE_BOUNDARY])
        .filter(|piece| !piece.is_empty())
        .take(MAX_PIECES)
        .collect();
    let mut words = Vec::new();
    let mut is_first = is_whole && pieces.len() < MAX_PIECES;
    for piece in pieces.into_iter().rev() {
        let word = bare(piece);
        if word.is_empty() {
            is_first = true;
            continue;
        }
        words.push(Word {
            text: word,
            key: key(word),
            is_first,
        });
        is_first = ends_phrase(piece);
    }
    words
}

/// Whether what follows this piece of a text is something new.
fn ends_phrase(piece: &str) -> bool {
    let is_long = || piece.chars().filter(|c| c.is_lowercase()).count() >= MIN_LAST_WORD;
    piece.ends_with([',', ';', ':', '|', '•', '·', '/', ')', '!', '?'])
        || (piece.ends_with('.') && is_long())
}

/// `t/f 123`, `tel/fax: 123`: the first is what most callers want.
fn joined(tail: &str, languages: &Languages) -> Option<Label> {
    let last = tail
        .rsplit([' ', INLINE_BOUNDARY])
        .map(bare)
        .find(|word| !word.is_empty())?;
    let (first, second) = last.split_once(['/', '&', '+'])?;
    let label = |word| Some(languages.lookup(&key(bare(word)))?.label);
    label(last).or_else(|| {
        let (first, second) = (label(first)?, label(second)?);
        let is_voice = first == Label::Voice || second == Label::Voice;
        Some(if is_voice { Label::Voice } else { first })
    })
}

/// The label at the end of these words, perhaps with others between it and the number.
fn at_end(
    words: &mut Vec<Word<'_>>,
    has_mark: bool,
    is_whole: bool,
    languages: &Languages,
) -> Option<Label> {
    if let Some(label) = register(words, languages) {
        return Some(label);
    }
    for _ in 0..4 {
        if let Some(label) = ending(words, has_mark, is_whole, languages) {
            return Some(label);
        }
        let is_between = |word: &Word<'_>| is_filler(&word.key) || is_country(word.text);
        match words.last() {
            Some(word) if is_between(word) => words.pop(),
            _ => break,
        };
    }
    None
}

/// `IBAN NL91 ABNA 0417 …`, `RCS Paris B 552 …`: the register that a number is in.
fn register(words: &[Word<'_>], languages: &Languages) -> Option<Label> {
    for end in (1..=words.len()).rev().take(MAX_BETWEEN) {
        let (word, front) = words.get(..end)?.split_last()?;
        match languages.lookup(&word.key) {
            Some(entry) if entry.is_register => return Some(entry.label),
            Some(entry) if entry.label.is_phone() => return None,
            Some(_) => {}
            None if REGISTER_ENDS.contains(word.key.as_str()) => {
                let starts = (0..front.len()).rev().take(MAX_WORDS - 1);
                let mut phrases = starts.filter_map(|start| words.get(start..end).map(join));
                let found = phrases.find_map(|phrase| languages.lookup(&phrase));
                return found
                    .filter(|entry| entry.is_register)
                    .map(|entry| entry.label);
            }
            None if word.is_code() || word.is_capitalised() || is_particle(&word.key) => {}
            None => return None,
        }
    }
    None
}

/// Words that may stand in the name of a place, or between a register and its number.
fn is_particle(word: &str) -> bool {
    is_filler(word)
        || word.chars().count() <= 3
        || matches!(word, "afdeling" | "division" | "abteilung" | "section")
}

fn ending(
    words: &[Word<'_>],
    has_mark: bool,
    is_whole: bool,
    languages: &Languages,
) -> Option<Label> {
    for count in (1..=MAX_WORDS.min(words.len())).rev() {
        let (front, phrase) = words.split_at_checked(words.len() - count)?;
        let text = join(phrase);
        let Some(entry) = languages.lookup(&text) else {
            continue;
        };
        // One letter is a label only with a colon or alone on its line.
        let is_letter = text.chars().count() == 1 && text.is_ascii();
        if is_letter && !has_mark && !(is_whole && words.len() == 1) {
            continue;
        }
        if entry.label == Label::Common && !phrase.first().is_some_and(|word| word.is_first) {
            continue;
        }
        // `Fax: dial …`
        let is_verb = matches!(&*text, "call" | "dial" | "direct" | "local" | "office");
        let is_fax = front
            .last()
            .and_then(|word| languages.lookup(&word.key))
            .is_some_and(|entry| entry.label == Label::Fax);
        return Some(if is_verb && is_fax {
            Label::Fax
        } else {
            entry.label
        });
    }
    in_last(words.last()?, languages)
}

fn join<'a>(words: &'a [Word<'_>]) -> Cow<'a, str> {
    match words {
        [word] => Cow::Borrowed(&word.key),
        _ => {
            let keys: Vec<&str> = words.iter().map(|word| word.key.as_str()).collect();
            Cow::Owned(keys.join(" "))
        }
    }
}

/// The label in the last word, which carries others before it.
fn in_last(last: &Word<'_>, languages: &Languages) -> Option<Label> {
    // `公司电话`: words of a script without spaces.
    if last.key.ends_with(is_unspaced)
        && let Some((_, label)) = UNSPACED.iter().find(|(word, _)| last.key.ends_with(word))
    {
        return Some(*label);
    }
    // `Tel.043`, `Fax:0031`
    let (front, tail) = last
        .text
        .rsplit_once(['/', '-', ':', '|', '(', '>', '_', '.'])?;
    let tail = key(bare(tail));
    // `KvK-nr.:`, `GSTIN/UIN:`
    let front = key(bare(front));
    let says_more = is_filler(&tail) || last.text.contains('/');
    let front = Some(front).filter(|front| says_more && front.chars().count() > 1);
    languages
        .lookup(&tail)
        .or_else(|| languages.lookup(&front?))
        .map(|entry| entry.label)
        .filter(|label| *label != Label::Common)
}

/// The label at the start of `text`, which is what follows a number: `(fax)`, `fax`, `- Tel`, `RCS Paris`. Also where it ends, in bytes.
///
/// A word followed by a colon or by a digit belongs to the next number, and so does a register if there is one (`has_next`).
pub(super) fn after(text: &str, has_next: bool, languages: &Languages) -> Option<(Label, usize)> {
    let is_gap = |c: char| matches!(c, ' ' | '(' | '[' | '-' | '–' | INLINE_BOUNDARY);
    let (gap, head) = text.split_at_checked(text.find(|c| !is_gap(c))?)?;
    let (word, rest) = head.split_at_checked(word_end(head))?;
    if gap.len() > 24 || word.len() > 80 || word.chars().count() < 2 {
        return None;
    }
    let entry = languages.lookup(&key(word))?;
    let is_bracketed = gap.contains(['(', '[']);
    if entry.label == Label::Common {
        return None;
    }
    if entry.label == Label::Other {
        let rest = rest.trim_start_matches(['.', ' ', INLINE_BOUNDARY]);
        let is_named = entry.is_register && rest.starts_with(char::is_uppercase);
        let is_here = is_bracketed || is_named && !has_next;
        return is_here.then_some((entry.label, gap.len() + word.len()));
    }
    let rest = rest.trim_start_matches([' ', INLINE_BOUNDARY]);
    let is_next = rest.starts_with([':', '+', '(', '.', '#'])
        || rest.starts_with(|c: char| c.is_ascii_digit());
    (is_bracketed || !is_next).then_some((entry.label, gap.len() + word.len()))
}

/// Whether what follows a number offers to show the rest of it: `… show`, `anzeigen`, `[afficher le numéro]`.
pub(super) fn hides(text: &str, languages: &Languages) -> bool {
    let text = text.get(..text.floor_char_boundary(REACH)).unwrap_or(text);
    let start = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (gap, rest) = text.split_at(start);
    let is_number = |word: &String| {
        names_number(word)
            || languages
                .lookup(word)
                .is_some_and(|entry| entry.label.is_phone())
    };
    let words = rest
        .split([' ', INLINE_BOUNDARY])
        .map(|word| key(bare(word)));
    let mut words = words
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .peekable();
    // `Nummer anzeigen`
    while words.next_if(is_number).is_some() {}
    let is_offer = words
        .next()
        .is_some_and(|word| SHOWING.contains(word.as_str()));
    // After dots, as a button of its own, or as one that says what it shows: not the way on a map.
    is_offer
        && (gap.contains(['…'])
            || gap.contains("..")
            || words.peek().is_none()
            || words.any(|word| is_number(&word)))
}

/// Where the word at the start of `text` ends, with full stops between its letters.
fn word_end(text: &str) -> usize {
    let mut end = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let next = letters.peek();
        let is_inner = next.is_some_and(|(_, next)| next.is_alphanumeric());
        if !(c.is_alphanumeric() || (c == '.' && is_inner)) {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

/// Whether `word` alone is a label of a telephone or fax number.
pub(super) fn is_phone_word(word: &str) -> bool {
    entry(&key(word)).is_some_and(|entry| entry.label.is_phone())
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

fn entry(phrase: &str) -> Option<Entry> {
    WORDS.get(phrase).copied()
}

fn bare(word: &str) -> &str {
    // The vowels and tones of Thai are marks on the letters.
    let is_mark = |c| {
        matches!(
            c,
            '\u{e31}'..='\u{e4e}' | '☎' | '☏' | '✆' | '📞' | '📱' | '〒'
        )
    };
    word.trim_matches(|c: char| !c.is_alphanumeric() && !is_mark(c))
}

/// A word as in the table: lower case, without the marks that some set in it (`P.IVA`, `USt-IdNr`, `d’entreprise`, `Nº`).
fn key(word: &str) -> String {
    word.chars()
        .filter(|c| {
            !matches!(
                c,
                '.' | '-' | '‐' | '‑' | '\'' | '’' | '"' | '״' | '׳' | 'º' | '°' | 'ª'
            )
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Removes a remark in brackets before the number: `Phone (Mon-Fri, 8am-2pm):`.
fn strip_brackets<'a>(tail: &'a str, languages: &Languages) -> &'a str {
    let trimmed = tail.trim_end_matches([':', ' ', '.']);
    if let Some(front) = trimmed.strip_suffix(')')
        && let Some(open) = front.rfind('(')
        && let Some(remark) = front.get(open + 1..)
        && languages.lookup(&key(bare(remark))).is_none()
    {
        return tail.get(..open).unwrap_or(tail).trim_end();
    }
    tail
}

/// `UK`, `DE`: two capitals that may say where a number is.
fn is_country(word: &str) -> bool {
    word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Words for a number of any kind.
fn names_number(word: &str) -> bool {
    matches!(
        word,
        "number"
            | "nummer"
            | "numer"
            | "numéro"
            | "número"
            | "numero"
            | "nr"
            | "no"
            | "číslo"
            | "број"
            | "номер"
            | "szám"
            | "numeri"
            | "număr"
            | "番号"
    )
}

/// Words that may stand between a label and its number.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "no" | "nr"
            | "n"
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

    fn spoken(codes: &[&str]) -> Languages {
        Languages(codes.iter().map(|code| (*code).to_owned()).collect())
    }

    #[test]
    fn the_label_before_a_number_is_recognised() {
        let check = |text: &str, label: Option<Label>| {
            assert_eq!(before(text, &Languages::default()), label, "{text}");
        };
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
        check("Phone # ", Some(Label::Voice));
        check("Tel. DE: ", Some(Label::Voice));
        check("Company registration number ", Some(Label::Other));
        check("in the year ", None);
        check("телефон: ", Some(Label::Voice));
        check("", None);
    }

    #[test]
    fn a_label_is_known_however_it_is_written() {
        for text in [
            "N° d'entreprise : ",
            "Nº d’entreprise ",
            "T.V.A. : ",
            "Ust.-Id.-Nr.: ",
            "USt-IdNr. ",
            "UStID: ",
            "P. IVA ",
            "P.Iva: ",
            "K.v.K.-nr.: ",
            "Org.-nr. ",
            "IČO: ",
            "ח\"פ: ",
            "税号：",
            "เลขประจำตัวผู้เสียภาษี ",
        ] {
            assert_eq!(
                before(text, &Languages::default()),
                Some(Label::Other),
                "{text}"
            );
        }
    }

    #[test]
    fn a_register_may_have_its_place_between_it_and_the_number() {
        let check = |text: &str, label: Option<Label>| {
            assert_eq!(before(text, &Languages::default()), label, "{text}");
        };
        check("RPM Bruxelles ", Some(Label::Other));
        check("Registro delle Imprese di Milano n. ", Some(Label::Other));
        check("GSTIN/UIN: ", Some(Label::Other));
        check("R.C.S. Paris B ", Some(Label::Other));
        check("RPR Gent, afdeling Brugge ", Some(Label::Other));
        check("IBAN NL91 ABNA ", Some(Label::Other));
        check("Handelsregister des Kantons Zürich ", Some(Label::Other));
        check("VAT registered since 1990, London ", None);
        check("KvK Amsterdam, tel. ", Some(Label::Voice));
    }

    #[test]
    fn a_common_word_is_a_label_only_where_labels_stand() {
        let english = spoken(&["en"]);
        let check = |text: &str, label: Option<Label>| {
            assert_eq!(before(text, &english), label, "{text}");
        };
        check("Harbour Inn: ", None);
        check("Valley Bank, ", None);
        check("U.S. Bank ", None);
        check("Bank: ", Some(Label::Common));
        check("Acme Ltd, Bank: ", Some(Label::Common));
        check("Bank, ", None);
        check("Order ", Some(Label::Common));
        check("To order: ", Some(Label::Voice));
        check("Swift Couriers London ", None);
        check("Inn: ", None);
        assert_eq!(before("INN: ", &spoken(&["ru"])), Some(Label::Common));
    }

    #[test]
    fn every_word_of_the_table_says_what_the_number_is() {
        let idle: Vec<_> = WORDS
            .iter()
            .filter(|(word, entry)| {
                before(&format!("{word}: "), &Languages::default()) != Some(entry.label)
            })
            .collect();
        assert!(idle.is_empty(), "{idle:?}");
        let unlike: Vec<_> = WORDS
            .keys()
            .filter(|word| word.split(' ').map(key).collect::<Vec<_>>().join(" ") != **word)
            .collect();
        assert!(unlike.is_empty(), "{unlike:?}");
    }

    #[test]
    fn what_shows_the_rest_of_a_number_is_recognised() {
        let check = |text: &str, expected: bool| {
            assert_eq!(hides(text, &Languages::default()), expected, "{text}");
        };
        check(" … anzeigen", true);
        check(" ... show", true);
        check(" [afficher le numéro]", true);
        check(" Показать телефон", true);
        check(" ver teléfono", true);
        check(" pokaż", true);
        check(" Show on map", false);
        check(" anzeigen auf der Karte", false);
        check(" or write", false);
        check("", false);
    }

    #[test]
    fn the_label_after_a_number_is_recognised() {
        let check = |text: &str, label: Option<Label>| {
            let found = after(text, false, &Languages::default());
            assert_eq!(found.map(|(label, _)| label), label, "{text}");
        };
        check(" (fax)", Some(Label::Fax));
        check(" fax", Some(Label::Fax));
        check(" fax: 123", None);
        check(" Fax 123", None);
        check(" (toll free)", None);
        check(" 8am", None);
        check(" R.C.S. Paris", Some(Label::Other));
        check(" (KvK)", Some(Label::Other));
        check(" KvK: ", None);
        let next = after(" RCS Paris ", true, &Languages::default());
        assert_eq!(next, None);
    }
}

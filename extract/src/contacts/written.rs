//! Addresses written out for people: `name [at] domain [dot] tld`, `name arroba domain.tld`, `name @ domain . tld`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::deobfuscate::pattern;
use super::mailbox::is_plausible;
use crate::at_sign::{AT, DOT, Form, Words};

/// What opens and closes words that stand for a sign.
const OPENING: &str = "[({<«|_*“\"（［【「";
const CLOSING: &str = "])}>»|_*”\"）］】」";

/// Longest word for a sign, in bytes.
const MAX_WORD_BYTES: usize = 32;

/// How far before an address its label may begin, in bytes.
const LABEL_BYTES: usize = 40;

/// Most labels of a domain that is written out: what follows them is text.
const MAX_LABELS: usize = 6;

/// Most addresses that are looked for in one text.
const MAX_FOUND: usize = 200;

/// The small words for the sign, each with the words for a full stop that go with it. What is a common word otherwise is believed only
/// if it is shouted.
const SMALL_WORDS: &[(&str, &[&str])] = &[
    ("at", &["dot", "punkt"]),
    ("AT", &["DOT", "PUNKT", "POINT", "PUNTO", "PONTO"]),
];

/// The parts of an address that is written out.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let any = [Form::Name, Form::Noun, Form::Word, Form::Bracket];
    let dot = format!(
        r"\s?[{0}]\s?(?:{1})\s?[{2}]\s?",
        regex::escape(OPENING),
        words(&DOT, &any),
        regex::escape(CLOSING)
    );
    let plain_dot = plain_dot();
    let name = format!(r"([a-z0-9][a-z0-9._+\-]*(?:(?:{plain_dot}|{dot})[a-z0-9][a-z0-9_+\-]*)*)");
    let domain =
        format!(r"([a-z0-9][a-z0-9\-]*(?:(?:\.|\s\.\s?|{plain_dot}|{dot})[a-z0-9][a-z0-9\-]*)+)");
    let bracketed = format!(
        r"[{0}]{{1,2}}\s?(?:{1})\s?[{2}]{{1,2}}",
        regex::escape(OPENING),
        words(&AT, &any),
        regex::escape(CLOSING)
    );
    let plain = words(&AT, &[Form::Name, Form::Noun, Form::Word]);
    let unspaced: Vec<&str> = unspaced().collect();
    let unspaced = unspaced.join("|");
    pattern(&format!(
        r"(?i){name}\s?(?:{bracketed}|\s-(?:{plain})-\s|(@)|\s({plain})\s|({unspaced}))\s?{domain}"
    ))
});

/// A full stop in a domain, however it is written.
static STOP: LazyLock<Regex> = LazyLock::new(|| {
    let any = [Form::Word, Form::Bracket];
    pattern(&format!(
        r"(?i)\s?[{0}]\s?(?:{1})\s?[{2}]\s?|{3}|\s?\.\s?",
        regex::escape(OPENING),
        words(&DOT, &any),
        regex::escape(CLOSING),
        plain_dot()
    ))
});

/// A bracket around the full stop and what follows it: `acme[.com]`, `acme (dot com)`.
static CLOSED_STOP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\s?[\[({{<]\s?(?:\.|(?:{})\s)\s?([a-z]{{2,24}})\s?[\])}}>]",
        words(&DOT, &[Form::Word])
    ))
});

/// What says that an e-mail address follows.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:e-?mail|mail|e-?post|correo|courriel|почта|пошта|имейл|sähköposti|e-?posta|poczta|paštas|pasts|メール|邮箱|郵箱|이메일|อีเมล)\W*$",
    )
});

fn plain_dot() -> String {
    format!(r"\s(?:{})\s|\s-dot-\s", words(&DOT, &[Form::Word]))
}

/// The words of these forms as alternatives of a pattern, longest first.
fn words(list: &Words, forms: &[Form]) -> String {
    let mut found: Vec<&str> = list
        .iter()
        .filter(|(_, form)| forms.contains(form))
        .map(|(word, _)| *word)
        .collect();
    found.sort_by_key(|word| (std::cmp::Reverse(word.len()), *word));
    let escaped: Vec<String> = found.into_iter().map(regex::escape).collect();
    escaped.join("|")
}

/// The names of the sign in scripts that set no spaces between words.
fn unspaced() -> impl Iterator<Item = &'static str> {
    let names = AT.iter().filter(|(_, form)| **form != Form::Bracket);
    names
        .map(|(word, _)| *word)
        .filter(|word| word.chars().all(|c| c >= '\u{2e80}'))
}

/// Addresses written out for people. Not yet checked.
///
/// `trusts` says of a local part whether it alone makes the loosest forms (`name @ domain.tld`, no label before it) believable.
pub(super) fn in_text(text: &str, trusts: impl Fn(&str) -> bool) -> Vec<String> {
    if text.len() < 8 || !may_hide(text) {
        return Vec::new();
    }
    let text = opened(text);
    ADDRESS
        .captures_iter(&text)
        .take(MAX_FOUND)
        .filter_map(|found| address(&text, &found, &trusts))
        .collect()
}

/// The text without brackets around a full stop and what follows it.
fn opened(text: &str) -> Cow<'_, str> {
    if text.contains(['[', '(', '{', '<']) {
        CLOSED_STOP.replace_all(text, ".$1")
    } else {
        Cow::Borrowed(text)
    }
}

fn address(text: &str, found: &Captures<'_>, trusts: &impl Fn(&str) -> bool) -> Option<String> {
    let (whole, local, domain) = (found.get(0)?, found.get(1)?, found.get(5)?);
    let written_dots: Vec<&str> = STOP
        .find_iter(domain.as_str())
        .map(|dot| dot.as_str())
        .filter(|dot| {
            dot.chars()
                .any(|c| c.is_alphabetic() || OPENING.contains(c))
        })
        .collect();
    let is_spoken_for = || is_labelled(text, whole.start()) || trusts(local.as_str());
    let is_site = domain.as_str().to_ascii_lowercase().starts_with("www.");
    if let Some(word) = found.get(3) {
        let form = form_of(word.as_str());
        let goes_together = written_dots.iter().any(|dot| match form {
            Some(Form::Word) => go_together(word.as_str(), dot),
            _ => true,
        });
        let stands_alone = match form {
            Some(Form::Name) => true,
            Some(Form::Noun) => is_spoken_for(),
            // `Mail: jo at firm.com`, `info AT firm.com`
            _ => {
                let has_colon = || text.get(..whole.start()).is_some_and(is_after_colon);
                let is_shouted = word.as_str() == "AT" && local.as_str().contains(is_small);
                is_shouted && is_spoken_for() || has_colon() && is_labelled(text, whole.start())
            }
        };
        if !goes_together && (is_site || !stands_alone) {
            return None;
        }
    }
    if found.get(2).is_some() && written_dots.is_empty() {
        let is_spaced = [" @", "@ ", " ."]
            .iter()
            .any(|gap| whole.as_str().contains(gap));
        if !is_spaced || !is_spoken_for() {
            return None;
        }
    }
    let domain = join_domain(&STOP.replace_all(domain.as_str(), "."));
    let local = STOP.replace_all(local.as_str(), ".");
    Some(format!("{local}@{domain}"))
}

fn is_after_colon(before: &str) -> bool {
    before.trim_end().ends_with([':', '：'])
}

fn is_small(c: char) -> bool {
    c.is_ascii_lowercase()
}

fn form_of(word: &str) -> Option<Form> {
    AT.get(word.to_lowercase().as_str()).copied()
}

/// Whether what stands before a place says that an e-mail address follows.
fn is_labelled(text: &str, place: usize) -> bool {
    let before = text.get(..place).unwrap_or_default();
    let start = before.floor_char_boundary(before.len().saturating_sub(LABEL_BYTES));
    LABEL.is_match(before.get(start..).unwrap_or_default())
}

/// Whether a word for a full stop, with what is around it, goes with a small word for the sign.
fn go_together(at: &str, dot: &str) -> bool {
    if dot.contains(|c| OPENING.contains(c)) {
        return true;
    }
    let dot = dot.trim().trim_matches('-');
    SMALL_WORDS.iter().any(|(known, dots)| {
        let is_shouted = known.chars().all(char::is_uppercase);
        let is_same = |known: &str, word: &str| {
            known == word || (!is_shouted && known.eq_ignore_ascii_case(word))
        };
        is_same(known, at) && dots.iter().any(|known| is_same(known, dot))
    })
}

/// Whether an address may be written out in `text`: a cheap look before the patterns.
fn may_hide(text: &str) -> bool {
    let has_sign = memchr::memchr(b'@', text.as_bytes()).is_some();
    let has_spaced_sign = || [" @", "@ ", " ."].iter().any(|gap| text.contains(gap));
    let has_dot = || {
        let is_dot = |word: &str| is_plain(word.trim_matches('-'), &DOT);
        has_bracketed(text, &DOT) || text.split(' ').any(is_dot)
    };
    (has_sign && (has_spaced_sign() || has_dot()))
        || has_bracketed(text, &AT)
        || has_plain_sign(text)
}

/// Whether a word stands for a sign without brackets.
fn is_plain(word: &str, list: &Words) -> bool {
    let form = |word: &str| list.get(word).is_some_and(|form| *form != Form::Bracket);
    word.len() <= MAX_WORD_BYTES && (form(word) || form(word.to_lowercase().as_str()))
}

/// Whether a word for `@` stands between two others: a cheap look, by how words begin.
fn has_plain_sign(text: &str) -> bool {
    /// The words that need no brackets, by the first byte that they may have.
    static BY_FIRST: LazyLock<Vec<Vec<&str>>> = LazyLock::new(|| {
        let mut by_first = vec![Vec::new(); 256];
        for (word, _) in AT.iter().filter(|(_, form)| **form != Form::Bracket) {
            let mut firsts = vec![word.bytes().next(), word.to_uppercase().bytes().next()];
            firsts.dedup();
            for first in firsts.into_iter().flatten() {
                if let Some(words) = by_first.get_mut(usize::from(first)) {
                    words.push(*word);
                }
            }
        }
        by_first
    });
    let by_first = &*BY_FIRST;
    let known = |first: u8| by_first.get(usize::from(first)).into_iter().flatten();
    let is_sign = |start: usize| {
        let rest = text.get(start..).unwrap_or_default();
        let rest = rest.trim_start_matches('-');
        let Some(first) = rest.bytes().next() else {
            return false;
        };
        let mut known = known(first).peekable();
        // Most words begin as none of them does.
        if known.peek().is_none() {
            return false;
        }
        let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default().trim_end_matches('-');
        known.any(|known| {
            known.len() == word.len()
                && (known.eq_ignore_ascii_case(word) || !word.is_ascii() && is_plain(word, &AT))
        })
    };
    let spaces = memchr::memchr_iter(b' ', text.as_bytes());
    std::iter::once(0)
        .chain(spaces.map(|space| space + 1))
        .any(is_sign)
        || (!text.is_ascii() && unspaced().any(|word| text.contains(word)))
}

/// Whether one of the words stands in brackets.
fn has_bracketed(text: &str, list: &Words) -> bool {
    /// The last bytes of [`OPENING`].
    const LAST_BYTES: &[u8] = b"[({<|_*\"\xab\x9c\x88\xbb\x90\x8c";
    // Every byte of every page is looked at.
    static IS_LAST: LazyLock<[bool; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| LAST_BYTES.iter().any(|own| usize::from(*own) == byte))
    });
    let is_last = &*IS_LAST;
    let openings = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| is_last.get(usize::from(*byte)) == Some(&true));
    openings.map(|(at, _)| at + 1).any(|start| {
        let rest = text.get(start..).unwrap_or_default();
        let rest = rest
            .get(..rest.floor_char_boundary(MAX_WORD_BYTES))
            .unwrap_or(rest);
        let word = |end: usize| rest.get(..end).map(str::trim).unwrap_or_default();
        rest.char_indices()
            .filter(|(_, c)| CLOSING.contains(*c))
            .take(2)
            .map(|(end, _)| word(end))
            .any(|word| list.contains_key(word) || list.contains_key(word.to_lowercase().as_str()))
    })
}

/// Drops the words of the next sentence: labels are joined only as far as they make a domain.
fn join_domain(domain: &str) -> String {
    let labels: Vec<&str> = domain.split('.').take(MAX_LABELS).collect();
    (2..=labels.len())
        .rev()
        .filter_map(|end| labels.get(..end))
        .map(|front| front.join("."))
        .find(|front| is_plausible(&format!("info@{front}")))
        .unwrap_or_else(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_out_addresses_are_found() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(in_text(text, |local| local == "info"), expected, "{text}");
        };
        check("write to jo [at] firm [dot] com now", &["jo@firm.com"]);
        check(
            "jo [dot] van [dot] doe [at] firm [dot] com",
            &["jo.van.doe@firm.com"],
        );
        check("ask jo dot doe at firm dot com", &["jo.doe@firm.com"]);
        check("jo(at)firm.co.uk", &["jo@firm.co.uk"]);
        check("jo {at} firm {dot} co {dot} uk", &["jo@firm.co.uk"]);
        check("jo at firm dot com", &["jo@firm.com"]);
        check("jo@firm [dot] com", &["jo@firm.com"]);
        check("info @ firm.com", &["info@firm.com"]);
        check("E-Mail: jo @ firm . de", &["jo@firm.de"]);
        check("jo (a) firm.fi", &["jo@firm.fi"]);
        check("jo[ät]firm.de. Danke", &["jo@firm.de"]);
        check("legal@firm.com. To unsubscribe", &[]);
        check("info @ firm.com. To unsubscribe", &["info@firm.com"]);
        check("jo [ at ] firm [ dot ] com", &["jo@firm.com"]);
        check("jo arobase firm point fr", &["jo@firm.fr"]);
        check("jo (arobase) firm.fr, x", &["jo@firm.fr"]);
        check("jo arroba firm punto es", &["jo@firm.es"]);
        check("jo AT firm PUNTO es", &["jo@firm.es"]);
        check("jo -at- firm -dot- com", &["jo@firm.com"]);
        check("we look at that point in time", &[]);
        check("meet us at amazon.com", &[]);
        check("cheap shoes @ amazon.com", &[]);
        check("look at this dot", &[]);
        check("E-Mail us at firm.com", &[]);
        check("SUPPORT AT FIRM.COM", &[]);
        check("Ristorante la chiocciola www.firm.it", &[]);
        check("nosso cachorro собака firm.ru", &[]);
        check("jo@firm.com", &[]);
    }

    #[test]
    fn the_sign_is_known_by_its_names() {
        for text in [
            "jo[snabel-a]firm.com",
            "jo (snabel-a) firm.com",
            "jo arroba firm.com",
            "jo [arroba] firm [punto] com",
            "jo zavináč firm.com",
            "jo(zavinac)firm tečka com",
            "E-mail: jo kukac firm pont com",
            "jo (małpa) firm (kropka) com",
            "почта: jo собака firm.com",
            "jo [собака] firm [точка] com",
            "jo krøllalfa firm punktum com",
            "jo klammeraffe firm punkt com",
            "jo【at】firm.com",
            "jo（at）firm.com",
            "joアットマークfirm.com",
            "jo 골뱅이 firm.com",
            "jo[@]firm[.com]",
            "jo (at) firm (dot com)",
            "Mail: jo at firm.com",
            "Mail: jo AT firm.com",
            "jo \"at\" firm.com",
            "jo [a commercial] firm.com",
        ] {
            assert_eq!(in_text(text, |_| false), ["jo@firm.com"], "{text}");
        }
        assert_eq!(
            in_text("info kukac firm.com", |local| local == "info"),
            ["info@firm.com"]
        );
        assert_eq!(
            in_text("info chiocciola firm.it", |local| local == "info"),
            ["info@firm.it"]
        );
    }
}

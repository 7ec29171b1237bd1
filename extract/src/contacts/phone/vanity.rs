//! North American numbers in letters: `1-800-FLOWERS`.

use std::sync::LazyLock;

use regex::Regex;

/// Numbers in letters: E.164, as written, and where. `dial` gives the number of digits, if they are one.
///
/// Only with a dash, dot or bracket in it: model names read `500 PANDA 169`.
pub(super) fn numbers(
    text: &str,
    mut dial: impl FnMut(&str) -> Option<String>,
) -> Vec<(String, String, usize)> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?:^|[^0-9A-Za-z_.-])((?:\+?1[-. ]{1,2})?\(?([2-9][0-9]{2})\)?[-. ]{1,2}((?:[A-Z0-9][-. ]?){6,12}[A-Z0-9]))(?:$|[^0-9A-Za-z_])",
        )
        .ok()
    });
    if !letters_follow_digits(text) {
        return Vec::new();
    }
    let Some(pattern) = &*PATTERN else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for found in pattern.captures_iter(text).take(50) {
        let (Some(raw), Some(area), Some(rest)) = (found.get(1), found.get(2), found.get(3)) else {
            continue;
        };
        // The word ends where the next word in capitals begins: `303.333.PAUL CALL NOW`.
        for word in shorter_words(rest.as_str()) {
            let is_dialled = raw.as_str().contains(['-', '.', '(']);
            let Some(keys) = keys(word).filter(|_| is_dialled) else {
                continue;
            };
            if let Some(e164) = dial(&format!("1{}{keys}", area.as_str())) {
                let length = rest.start() - raw.start() + word.len();
                let raw_text = raw.as_str().get(..length).unwrap_or(raw.as_str());
                out.push((e164, raw_text.to_owned(), raw.start()));
                break;
            }
        }
    }
    out
}

/// The seven digits that a word stands for, if it is one; what hides digits (`334-XXXX`) is none.
fn keys(word: &str) -> Option<String> {
    let letters = || word.chars().filter(char::is_ascii_uppercase);
    let keys: String = word.chars().filter_map(key).take(7).collect();
    let count = word.chars().filter(char::is_ascii_alphanumeric).count();
    let is_mixed = word.split(['-', '.', ' ']).any(|part| {
        part.contains(|c: char| c.is_ascii_digit())
            && part.contains(|c: char| c.is_ascii_uppercase())
    });
    let is_word = letters().count() >= 3 && letters().any(|c| c != 'X');
    (is_word && keys.len() == 7 && count <= 10 && !is_mixed).then_some(keys)
}

/// Whether a capital stands after a digit with a few separators or marks of `INLINE_BOUNDARY` between them: a cheap look before
/// the pattern.
pub(super) fn letters_follow_digits(text: &str) -> bool {
    const MAX_GAP: usize = 9;
    let mut gap = usize::MAX;
    text.bytes().any(|byte| {
        match byte {
            b'0'..=b'9' => gap = 0,
            b'-' | b'.' | b' ' | b')' | 0xe2 | 0x81 | 0xa0 if gap < MAX_GAP => gap += 1,
            b'A'..=b'Z' if (1..=MAX_GAP).contains(&gap) => return true,
            _ => gap = usize::MAX,
        }
        false
    })
}

/// `text` without its last words, shortest first.
fn shorter_words(text: &str) -> impl Iterator<Item = &str> {
    let ends = text
        .match_indices(char::is_whitespace)
        .map(|(index, _)| index);
    ends.chain(std::iter::once(text.len()))
        .filter_map(|end| text.get(..end))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The key of a telephone that bears a letter (ITU-T E.161).
pub(in super::super) fn key(c: char) -> Option<char> {
    Some(match c {
        '0'..='9' => c,
        'A'..='C' => '2',
        'D'..='F' => '3',
        'G'..='I' => '4',
        'J'..='L' => '5',
        'M'..='O' => '6',
        'P'..='S' => '7',
        'T'..='V' => '8',
        'W'..='Z' => '9',
        _ => return None,
    })
}

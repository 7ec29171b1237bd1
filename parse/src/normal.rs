//! The form that text is kept in: NFC, lines ended by `\n`, no control characters but that and the tab.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The longest name, in code points.
pub const MAX_NAME_CHARS: usize = 200;
/// How much of a name is looked at, in bytes.
const MAX_NAME_BYTES: usize = 4 * 1024;

/// What becomes of a character.
enum Fate {
    Kept,
    Dropped,
    Becomes(char),
}

fn fate(character: char) -> Fate {
    match character {
        '\n' | '\t' => Fate::Kept,
        // PostgreSQL's text cannot hold it; that something stood there is told.
        '\0' => Fate::Becomes('\u{fffd}'),
        // The form feed parts pages, and no page has one inside.
        '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Fate::Becomes('\n'),
        // A soft hyphen would keep a word from being found; a byte order mark is no text.
        '\u{ad}' | '\u{feff}' => Fate::Dropped,
        _ if character.is_control() => Fate::Dropped,
        _ => Fate::Kept,
    }
}

/// Text in that form. NUL becomes U+FFFD, what ends a line `\n` (`\r\n` one), other control characters, soft hyphens and byte order
/// marks nothing.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let is_clean = text
        .chars()
        .all(|character| matches!(fate(character), Fate::Kept));
    let clean = if is_clean {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(clean(text))
    };
    if is_nfc_quick(clean.chars()) == IsNormalized::Yes {
        clean
    } else {
        Cow::Owned(clean.nfc().collect())
    }
}

fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut was_return = false;
    for character in text.chars() {
        if !(was_return && character == '\n') {
            match fate(character) {
                Fate::Kept => out.push(character),
                Fate::Dropped => {}
                Fate::Becomes(other) => out.push(other),
            }
        }
        was_return = character == '\r';
    }
    out
}

/// A name in that form, in one line and of at most [`MAX_NAME_CHARS`] code points; nothing if there is nothing in it.
#[must_use]
pub fn name(name: &str) -> Option<String> {
    // Most of a longer one would be looked at for nothing.
    let end = name.floor_char_boundary(MAX_NAME_BYTES);
    let name = text(name.get(..end).unwrap_or_default());
    let words: Vec<&str> = name.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(MAX_NAME_CHARS).collect();
    let name = name.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// How many words a text has; of scripts that part none, each character counts.
#[must_use]
pub fn words(text: &str) -> u64 {
    let mut words = 0;
    let mut in_word = false;
    for character in text.chars() {
        if is_ideograph(character) {
            words += 1;
            in_word = false;
        } else if character.is_alphanumeric() {
            words += u64::from(!in_word);
            in_word = true;
        } else if character.is_whitespace() {
            in_word = false;
        }
    }
    words
}

/// Han, Hiragana and Katakana: scripts that part no words.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_brought_into_form() {
        for (given, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("a\0b", "a\u{fffd}b"),
            ("a\r\nb\rc\n\rd", "a\nb\nc\n\nd"),
            ("a\u{c}b\u{b}c\u{2028}d", "a\nb\nc\nd"),
            ("\u{feff}ex\u{ad}ample\u{7}\u{9f}", "example"),
            ("e\u{301}", "\u{e9}"),
            ("\u{212b}", "\u{c5}"),
            ("日本語", "日本語"),
        ] {
            assert_eq!(text(given), expected, "{given:?}");
        }
    }

    #[test]
    fn names_are_one_line() {
        for (given, expected) in [
            ("", None),
            (" \n\0", Some("\u{fffd}")),
            (" A\r\n  name\u{7} ", Some("A name")),
            ("\u{ad}", None),
        ] {
            assert_eq!(name(given).as_deref(), expected, "{given:?}");
        }
        let long = name(&"ä ".repeat(10_000)).expect("a name");
        assert_eq!(long.chars().count(), MAX_NAME_CHARS - 1);
    }

    #[test]
    fn words_are_counted() {
        for (given, expected) in [
            ("", 0),
            ("one, two  three!", 3),
            ("don't - stop", 2),
            ("日本語 text", 4),
            ("Привет мир", 2),
        ] {
            assert_eq!(words(given), expected, "{given:?}");
        }
    }
}

//! The text of a page from its characters, as an engine tells them.

/// What pdfium puts in the place of a hyphen that it takes for one at a line's end.
const HYPHEN: [u32; 2] = [0x02, 0xFFFE];

/// Put together so far.
///
/// Words that were parted at the end of a line are put together again, unless they go on with a capital or a digit; ligatures are
/// taken apart, so that they are found as the letters that they are; lines end with one `\n`.
#[derive(Debug, Default)]
pub(super) struct Joined {
    text: String,
    chars: u64,
    /// The first half of a character beyond U+FFFF.
    half: Option<u32>,
    /// A hyphen that is not written yet, and whether it is written if the word does not go on.
    hyphen: Option<bool>,
    /// Line ends that have come behind the hyphen.
    breaks: u32,
}

impl Joined {
    /// How many characters so far.
    pub(super) fn chars(&self) -> u64 {
        self.chars
    }

    /// The next character: a code point, or half of one.
    pub(super) fn push(&mut self, value: u32) {
        let half = self.half.take();
        match (half, value) {
            (_, 0xD800..0xDC00) => self.half = Some(value),
            (Some(high), 0xDC00..0xE000) => {
                self.push(0x1_0000 + ((high - 0xD800) << 10) + (value - 0xDC00));
            }
            (_, hyphen) if HYPHEN.contains(&hyphen) => self.part(true),
            (_, 0xAD) => self.part(false),
            (_, value) => {
                if let Some(char) = char::from_u32(value).filter(|char| is_text(*char)) {
                    self.add(char);
                }
            }
        }
    }

    fn part(&mut self, is_visible: bool) {
        self.settle(None);
        self.hyphen = Some(is_visible);
    }

    fn add(&mut self, char: char) {
        if self.hyphen.is_some() {
            match char {
                '\r' => return,
                '\n' => {
                    self.breaks += 1;
                    return;
                }
                ' ' if self.breaks == 0 => return,
                _ => self.settle(Some(char)),
            }
        }
        match char {
            '\r' => {}
            '\n' => {
                let kept = self.text.trim_end_matches([' ', '\t']).len();
                self.text.truncate(kept);
                self.write('\n');
            }
            // The end of a line to some, who mean no more by it.
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => self.write('\n'),
            _ => match letters(char) {
                Some(letters) => letters.chars().for_each(|letter| self.write(letter)),
                None => self.write(char),
            },
        }
    }

    /// Decides what becomes of the hyphen, now that it is known what follows.
    fn settle(&mut self, next: Option<char>) {
        let Some(is_visible) = self.hyphen.take() else {
            return;
        };
        let breaks = std::mem::take(&mut self.breaks);
        let goes_on = breaks < 2 && next.is_some_and(char::is_lowercase);
        if goes_on {
            return;
        }
        if is_visible {
            self.write('-');
        }
        for _ in 0..breaks {
            self.write('\n');
        }
    }

    fn write(&mut self, char: char) {
        self.text.push(char);
        self.chars += 1;
    }

    /// All of it.
    pub(super) fn finish(mut self) -> String {
        self.settle(None);
        self.text
    }
}

/// Whether a character is one, and not what engines tell where a font does not say what its glyphs mean.
fn is_text(char: char) -> bool {
    let value = u32::from(char);
    let is_noncharacter = value & 0xFFFE == 0xFFFE || (0xFDD0..0xFDF0).contains(&value);
    let is_control =
        char.is_control() && !matches!(char, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}');
    !is_noncharacter && !is_control
}

/// The letters of a ligature.
fn letters(char: char) -> Option<&'static str> {
    Some(match char {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn joined(values: impl IntoIterator<Item = u32>) -> String {
        let mut joined = Joined::default();
        for value in values {
            joined.push(value);
        }
        joined.finish()
    }

    #[test]
    fn lines_words_and_ligatures() {
        for (given, expected) in [
            ("one \r\ntwo", "one\ntwo"),
            ("infor\u{2}mation", "information"),
            ("infor\u{2}\r\nmation", "information"),
            ("infor\u{fffe}\r\nmation", "information"),
            ("Anglo\u{2}\r\nSaxon", "Anglo-\nSaxon"),
            ("1999\u{2}2001", "1999-2001"),
            ("end\u{2}", "end-"),
            ("end\u{2}\r\n\r\nnew", "end-\n\nnew"),
            ("soft\u{ad}hyphen", "softhyphen"),
            ("soft\u{ad}\r\nHyphen", "soft\nHyphen"),
            ("a\u{2}\u{2}b", "a-b"),
            ("o\u{fb03}ce \u{fb01}sh", "office fish"),
            ("a\0b\u{1}c", "abc"),
            ("plain-hyphen\nstays", "plain-hyphen\nstays"),
        ] {
            assert_eq!(joined(given.chars().map(u32::from)), expected, "{given:?}");
        }
    }

    #[test]
    fn halves_are_put_together_and_lost_ones_dropped() {
        assert_eq!(joined([0xD83D, 0xDE00]), "\u{1f600}");
        assert_eq!(joined([0x61, 0xD83D, 0x62, 0xDE00, 0x63]), "abc");
        assert_eq!(joined([0xFFFF, 0x11_0000, u32::MAX, 0x64]), "d");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken(values in proptest::collection::vec(any::<u32>(), 0..200)) {
            let text = joined(values);
            assert!(!text.contains(['\0', '\r']));
        }

        #[test]
        fn plain_text_stays(text in "[a-zA-Z0-9.,-]{0,40}( [a-z]{1,8}){0,9}") {
            assert_eq!(joined(text.chars().map(u32::from)), text);
        }
    }
}

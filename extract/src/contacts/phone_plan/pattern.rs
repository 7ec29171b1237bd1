//! The patterns of numbering plans, matched by moving a set of places.
//!
//! They are regular expressions over digits: digits, `\d`, classes, groups, alternatives and counts. A number has at most a few
//! dozen digits, so all places that a pattern may have come to are the bits of one integer: matching tries no place twice and
//! costs a few operations per part of the pattern.

use std::iter::Peekable;
use std::str::Chars;

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 16;

/// A pattern. The default matches nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    alternatives: Vec<Vec<Part>>,
}

/// Something that repeats at least and at most so often.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    what: What,
    least: u8,
    most: u8,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// One digit of these: bit 0 for `0` and so on.
    Digit(u16),
    Group(Pattern),
}

/// A set of places between digits: bit 0 is before the first.
type Places = u32;

impl Pattern {
    /// Reads a pattern; nothing if it holds what numbering plans do not.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut rest = text.chars().peekable();
        let pattern = read_alternatives(&mut rest, MAX_DEPTH)?;
        rest.next().is_none().then_some(pattern)
    }

    /// Whether some beginning of `digits` matches.
    pub(super) fn begins(&self, digits: &str) -> bool {
        let digits = digits.as_bytes();
        digits.len() < Places::BITS as usize && self.ends(digits, 1) != 0
    }

    /// Whether all of `digits` match.
    pub(super) fn fits(&self, digits: &str) -> bool {
        let digits = digits.as_bytes();
        digits.len() < Places::BITS as usize && self.ends(digits, 1) >> digits.len() & 1 == 1
    }

    /// Where matches end that begin in one of these places.
    fn ends(&self, digits: &[u8], from: Places) -> Places {
        self.alternatives.iter().fold(0, |ends, parts| {
            let end = parts
                .iter()
                .fold(from, |from, part| part.ends(digits, from));
            ends | end
        })
    }
}

impl Part {
    fn ends(&self, digits: &[u8], from: Places) -> Places {
        let mut places = from;
        for _ in 0..self.least {
            places = self.what.ends(digits, places);
        }
        let mut ends = places;
        for _ in self.least..self.most {
            places = self.what.ends(digits, places);
            ends |= places;
        }
        ends
    }
}

impl What {
    fn ends(&self, digits: &[u8], from: Places) -> Places {
        match self {
            Self::Group(pattern) if from != 0 => pattern.ends(digits, from),
            Self::Group(_) => 0,
            Self::Digit(accepted) => {
                let mut left = from;
                let mut ends = 0;
                while left != 0 {
                    let place = left.trailing_zeros();
                    left &= left - 1;
                    let value = digits
                        .get(place as usize)
                        .map_or(u8::MAX, |byte| byte.wrapping_sub(b'0'));
                    if value < 10 && accepted >> value & 1 == 1 {
                        ends |= 2 << place;
                    }
                }
                ends
            }
        }
    }
}

fn read_alternatives(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Pattern> {
    let mut alternatives = vec![Vec::new()];
    loop {
        match rest.peek() {
            None | Some(')') => return Some(Pattern { alternatives }),
            Some('|') => {
                rest.next();
                alternatives.push(Vec::new());
            }
            Some(_) => alternatives.last_mut()?.push(read_part(rest, depth)?),
        }
    }
}

fn read_part(rest: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Part> {
    let what = match rest.next()? {
        digit @ '0'..='9' => What::Digit(bit(digit)?),
        '\\' => (rest.next()? == 'd').then_some(What::Digit(0x3ff))?,
        '[' => What::Digit(read_class(rest)?),
        '(' => {
            if rest.next_if_eq(&'?').is_some() {
                rest.next_if_eq(&':')?;
            }
            let group = read_alternatives(rest, depth.checked_sub(1)?)?;
            rest.next_if_eq(&')')?;
            What::Group(group)
        }
        _ => return None,
    };
    let (least, most) = match rest.peek() {
        Some('?') => {
            rest.next();
            (0, 1)
        }
        Some('{') => read_counts(rest)?,
        _ => (1, 1),
    };
    Some(Part { what, least, most })
}

/// `[0-24]`, from after the bracket.
fn read_class(rest: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut class = 0;
    loop {
        let first = match rest.next()? {
            ']' => return Some(class),
            first => first,
        };
        let last = if rest.next_if_eq(&'-').is_some() {
            rest.next()?
        } else {
            first
        };
        for digit in first..=last {
            class |= bit(digit)?;
        }
    }
}

/// `{3}` or `{3,5}`.
fn read_counts(rest: &mut Peekable<Chars<'_>>) -> Option<(u8, u8)> {
    rest.next_if_eq(&'{')?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '}' => break,
            c => text.push(c),
        }
    }
    let (least, most) = text.split_once(',').unwrap_or((&text, &text));
    Some((least.parse().ok()?, most.parse().ok()?))
}

fn bit(digit: char) -> Option<u16> {
    digit.to_digit(10).map(|value| 1 << value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_as_a_regular_expression_does() {
        for text in [
            "1",
            r"\d{3}",
            "[2-57]0",
            "(?:1[0-3]|4)5?6{2,3}",
            "1(?:2(3|4)?){2}|98?7",
            "(?:)1",
            "",
        ] {
            let pattern = Pattern::read(text).expect(text);
            let regex = regex::Regex::new(&format!("^(?:{text})")).expect(text);
            let whole = regex::Regex::new(&format!("^(?:{text})$")).expect(text);
            for number in 0..20_000 {
                let digits = number.to_string();
                assert_eq!(
                    pattern.begins(&digits),
                    regex.is_match(&digits),
                    "{text} {digits}"
                );
                assert_eq!(
                    pattern.fits(&digits),
                    whole.is_match(&digits),
                    "{text} {digits}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_pattern_of_a_plan_is_refused() {
        for text in [
            "a", "(1", "1)", "[1", "1{", "1{2", "(?=1)", "1+", r"\w", "[a]", "^1",
        ] {
            assert_eq!(Pattern::read(text), None, "{text}");
        }
        assert!(!Pattern::default().begins("1"));
        assert!(
            !Pattern::read("1")
                .expect("a pattern")
                .begins(&"1".repeat(40))
        );
    }
}

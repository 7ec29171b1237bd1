//! Digits that stand raised behind an amount: its cents, or the mark of a footnote.

use std::borrow::Cow;

use super::scan::is_sign;

/// Most digits of an amount that is followed by raised cents; a longer number is a name.
const MAX_WHOLE_DIGITS: usize = 7;

/// What raised digits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raised {
    /// `19⁹⁹`: what stands behind the point.
    Cents,
    /// `19,99¹`: the mark of a footnote, no part of the amount.
    Footnote,
    /// `m²`: something else.
    Other,
}

/// What `digits` are that stand raised behind `before`. One digit is never cents, and complete cents are followed by none.
pub(crate) fn raised(before: &str, digits: &str) -> Raised {
    let before = before.trim_end();
    let mark = digits.trim_matches(|c: char| matches!(c, '(' | ')' | '[' | ']' | '*'));
    if has_cents(before) && mark.len() == 1 && mark.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Raised::Footnote;
    }
    if is_list_of_marks(digits) && ends_in_digit(without_sign(before)) {
        return Raised::Footnote;
    }
    let is_number = (1..=2).contains(&mark.len()) && mark.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Raised::Other;
    }
    if mark.len() == 2 && mark == digits && takes_cents(before) {
        return Raised::Cents;
    }
    let amount = without_sign(before);
    // `49€⁹⁵` has the sign for its point.
    let is_behind_sign = mark.len() == 2 && before.ends_with(is_sign) && takes_cents(amount);
    if ends_in_digit(amount) && !is_behind_sign {
        Raised::Footnote
    } else {
        Raised::Other
    }
}

/// Whether these are the marks of several footnotes: `1,2`, `1)3)`, `2 a`.
fn is_list_of_marks(text: &str) -> bool {
    let parts = |c: char| c == ' ' || matches!(c, ',' | ';' | '/' | '(' | ')' | '[' | ']' | '*');
    let is_mark = |mark: &str| {
        mark.len() <= 2 && mark.bytes().all(|byte| byte.is_ascii_digit())
            || mark.len() == 1 && mark.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let marks = || text.split(parts).filter(|mark| !mark.is_empty());
    marks().count() > 1 && marks().all(is_mark)
}

/// What stands before the sign, the dash or the star that a text ends in.
fn without_sign(text: &str) -> &str {
    let before_dash = text.strip_suffix(",-").unwrap_or(text);
    before_dash.trim_end_matches(|c: char| is_sign(c) || c == '*' || c == ' ')
}

/// Whether a text ends in an amount without cents.
pub(crate) fn takes_cents(text: &str) -> bool {
    let number = last_number(text);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    ends_in_digit(number) && digits <= MAX_WHOLE_DIGITS && !has_cents(text)
}

/// Whether a text ends in an amount with digits behind its point: not three, which are thousands.
fn has_cents(text: &str) -> bool {
    last_number(text)
        .rsplit_once(['.', ','])
        .is_some_and(|(_, decimals)| !decimals.is_empty() && decimals.len() != 3)
}

/// The digits that a text ends in, with what parts them.
fn last_number(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | '’');
    text.rfind(|c| !is_part(c))
        .and_then(|at| text.get(at..))
        .map_or(text, |rest| rest.trim_start_matches(|c| !is_part(c)))
}

fn ends_in_digit(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}

/// The digit that a raised one is.
fn digit(c: char) -> Option<char> {
    Some(match c {
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰' | '⁴'..='⁹' => char::from_digit(u32::from(c) - u32::from('⁰'), 10)?,
        _ => return None,
    })
}

/// A text whose raised digits are what they mean: behind the point, or gone.
pub(super) fn lowered(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| digit(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| digit(c).is_some()) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(|c| digit(c).is_none()).unwrap_or(from.len());
        let (written, after) = from.split_at(end);
        let digits: String = written.chars().filter_map(digit).collect();
        match raised(&out, &digits) {
            Raised::Cents => {
                out.truncate(out.trim_end().len());
                out.push('.');
                out.push_str(&digits);
            }
            Raised::Footnote => {}
            Raised::Other => out.push_str(written),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

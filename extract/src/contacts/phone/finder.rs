//! Finds runs of digits that may be telephone numbers, and knows the shapes that are not.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::label;
use super::super::phone_plan::Country;
use crate::html::INLINE_BOUNDARY;
use crate::table::rows;

/// Most digit groups in a run; a longer one is a table of figures.
const MAX_GROUPS: usize = 24;

/// Most separator characters between two groups.
const MAX_SEPARATOR: usize = 6;

/// Consecutive digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) digits: String,
    pub(super) has_plus: bool,
    pub(super) in_brackets: bool,
    /// What stands between the group before it and this one.
    separator: String,
    start: usize,
    end: usize,
}

/// Digit groups with nothing but separators between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) groups: Vec<Group>,
    /// The code of a country right before them: `BE 0471.234.567`.
    pub(super) country: Option<[u8; 2]>,
    /// Whether the page hides what comes after them: `030 1234…`.
    pub(super) is_cut: bool,
}

impl Run {
    /// Where the run begins, with its plus sign or bracket, in bytes.
    pub(super) fn start(&self) -> usize {
        self.groups.first().map_or(0, |group| group.start)
    }

    /// Where the run ends, in bytes.
    pub(super) fn end(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    /// Whether it begins as nothing but a telephone number does: `+44`, `(707)`.
    pub(super) fn is_phone_by_form(&self) -> bool {
        self.groups
            .first()
            .is_some_and(|group| group.has_plus || (group.in_brackets && group.digits.len() >= 2))
    }

    /// How these groups are written in `text`.
    pub(super) fn raw(&self, text: &str, range: std::ops::Range<usize>) -> String {
        let start = self.groups.get(range.start).map_or(0, |group| group.start);
        let end = range
            .end
            .checked_sub(1)
            .and_then(|last| self.groups.get(last))
            .map_or(0, |g| g.end);
        let raw = text.get(start..end).unwrap_or_default();
        raw.chars()
            .filter(|c| *c != INLINE_BOUNDARY)
            .take(60)
            .collect()
    }

    /// A number may begin at the run's start, or after a space or slash.
    pub(super) fn may_start(&self, index: usize) -> bool {
        index == 0 || self.groups.get(index).is_some_and(|group| group.is_loose())
    }

    /// A number may end (exclusively) at the run's end, or before a space or slash.
    pub(super) fn may_end(&self, end: usize) -> bool {
        self.groups.get(end).is_none_or(Group::is_loose)
    }
}

impl Group {
    /// What stands between the group before it and this one, without marks.
    pub(super) fn separator(&self) -> &str {
        self.separator.trim_matches(INLINE_BOUNDARY)
    }

    /// Whether one number may end and another begin before it.
    pub(super) fn is_loose(&self) -> bool {
        self.separator.contains([' ', '/', INLINE_BOUNDARY])
    }

    /// The same after a space.
    pub(super) fn apart(&self) -> Self {
        Self {
            separator: " ".to_owned(),
            ..self.clone()
        }
    }
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '.' | '-' | '/' | '(' | ')' | '[' | ']' | '‐'
            ..='―' | '−' | '·' | '~' | '．' | '－' | '／' | '（' | '）' | INLINE_BOUNDARY
    )
}

/// A decimal digit, in ASCII: also the full-width digits of East Asia and those of Arabic.
fn digit(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => return Some(c),
        '０'..='９' => '０',
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

/// All digits of these groups.
pub(super) fn digits_of(groups: &[Group]) -> String {
    groups.iter().map(|group| group.digits.as_str()).collect()
}

/// How many digits there are in `text`, at most `most`.
pub(super) fn count_digits(text: &str, most: usize) -> usize {
    if text.is_ascii() {
        let digits = text.bytes().filter(u8::is_ascii_digit);
        digits.take(most).count()
    } else {
        text.chars().filter_map(digit).take(most).count()
    }
}

/// Finds all runs in `text` that do not go over one of these places, which are in order.
pub(super) fn runs_between(text: &str, places: impl Iterator<Item = usize>) -> Vec<Run> {
    let mut out = Vec::new();
    let mut start = 0;
    for end in places.chain([text.len()]).filter(|place| *place > 0) {
        let Some(piece) = text.get(start..end) else {
            continue;
        };
        out.extend(runs(piece).into_iter().map(|mut run| {
            for group in &mut run.groups {
                group.start += start;
                group.end += start;
            }
            run
        }));
        start = end;
    }
    out
}

/// Finds all runs in `text`. Linear in its length.
pub(super) fn runs(text: &str) -> Vec<Run> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let mut out = Vec::new();
    let mut index = 0;
    while index < chars.len() {
        if chars.get(index).is_none_or(|(_, c)| digit(*c).is_none()) {
            index += 1;
            continue;
        }
        let (groups, next) = groups_from(&chars, index, text.len());
        if groups.len() <= MAX_GROUPS
            && let Some(run) = with_boundaries(groups, text)
        {
            out.push(run);
        }
        index = next;
    }
    out
}

/// Reads groups from the digit at `first`; gives the index after the last digit.
fn groups_from(chars: &[(usize, char)], first: usize, length: usize) -> (Vec<Group>, usize) {
    let offset = |index: usize| chars.get(index).map_or(length, |(offset, _)| *offset);
    let at = |index: usize| chars.get(index).map(|(_, c)| *c);
    let mut groups: Vec<Group> = Vec::new();
    let mut index = first;
    let mut separator = String::new();
    loop {
        let digits_start = index;
        let mut digits = String::new();
        while let Some(c) = at(index).and_then(digit) {
            digits.push(c);
            index += 1;
        }
        let (start, has_plus) = opening(chars, digits_start);
        let opens = start..digits_start;
        let in_brackets = opens
            .clone()
            .any(|i| matches!(at(i), Some('(' | '[' | '（')))
            || separator.contains(['(', '[', '（']);
        groups.push(Group {
            digits,
            has_plus: has_plus && groups.is_empty(),
            in_brackets,
            separator: std::mem::take(&mut separator),
            start: if groups.is_empty() {
                offset(start)
            } else {
                offset(digits_start)
            },
            end: offset(index),
        });
        let mut ahead = index;
        let is_zero = groups.last().is_some_and(|group| group.digits == "0");
        loop {
            if let Some(c) = at(ahead).filter(|c| is_separator(*c)) {
                separator.push(c);
                ahead += 1;
            } else if is_zero && at(ahead).zip(at(ahead + 1)).is_some_and(stands_for_carrier) {
                ahead += 2;
            } else {
                break;
            }
        }
        let goes_on = at(ahead).and_then(digit).is_some()
            && !separator.contains(". ")
            && separator.chars().filter(|c| *c != INLINE_BOUNDARY).count() <= MAX_SEPARATOR;
        if !goes_on {
            return (groups, index);
        }
        index = ahead;
    }
}

/// `(0xx11)`, `0**11`: what Brazil writes where callers dial the two digits of a carrier.
fn stands_for_carrier(signs: (char, char)) -> bool {
    matches!(signs, ('x' | 'X', 'x' | 'X') | ('*', '*') | ('_', '_'))
}

/// Where a number that has its first digit at `first` begins, with plus sign and bracket.
fn opening(chars: &[(usize, char)], first: usize) -> (usize, bool) {
    let mut start = first;
    let mut has_plus = false;
    let mut index = first;
    while index > 0 && first - index < 4 {
        match chars.get(index - 1).map(|(_, c)| *c) {
            Some('+' | '＋') if !has_plus => {
                has_plus = true;
                start = index - 1;
            }
            Some('(' | '[' | '（') => start = index - 1,
            Some(' ' | INLINE_BOUNDARY) => {}
            _ => break,
        }
        index -= 1;
    }
    (start, has_plus)
}

/// The run if nothing around it makes it a part of something else.
fn with_boundaries(mut groups: Vec<Group>, text: &str) -> Option<Run> {
    let first = groups.first()?;
    let before = text.get(..first.start)?;
    if !is_free_before(before, first.has_plus) {
        return None;
    }
    let after = text.get(groups.last()?.end..)?;
    let is_cut = is_cut(after);
    let near: String = after.chars().take(6).collect();
    // A time or the like: `… 10:30`, `… 5%`. The last group belongs to it, if it is loose.
    if is_bound_after(&near) {
        let last = groups.pop()?;
        if groups.is_empty() || !last.is_loose() {
            return None;
        }
    }
    let country = country_before(before);
    if country.is_some_and(is_state) && is_zip_plus_four(&groups) {
        groups.drain(..2);
    }
    (!groups.is_empty()).then_some(Run {
        groups,
        country,
        is_cut,
    })
}

/// Whether a page hides the rest of a number before this: `…`, `...`, `xx`, `** **`.
fn is_cut(after: &str) -> bool {
    /// Dots of a line that leads from one column to the next.
    const LEADERS: usize = 6;
    let is_gap = |c: char| matches!(c, ' ' | '-' | INLINE_BOUNDARY);
    let rest = after.trim_start_matches(is_gap);
    let Some(sign) = rest.chars().next() else {
        return false;
    };
    let mask = rest.chars().take(20).filter(|c| !is_gap(*c));
    let count = mask.take_while(|c| c.eq_ignore_ascii_case(&sign)).count();
    let ends = || {
        let word = rest.trim_start_matches(|c: char| c.eq_ignore_ascii_case(&sign));
        !word.starts_with(char::is_alphanumeric)
    };
    match sign {
        '…' => true,
        '•' | '●' | '█' | '▒' | '░' => count >= 2,
        '.' => (3..LEADERS).contains(&count) && !after.starts_with(' '),
        'x' | 'X' => count >= 2 && ends(),
        '*' => count >= 3,
        _ => false,
    }
}

/// The two capitals right before a number.
fn country_before(before: &str) -> Option<[u8; 2]> {
    let before = before.trim_end_matches([' ', ':', '-', '.', INLINE_BOUNDARY]);
    let (front, code) = before.split_at_checked(before.len().checked_sub(2)?)?;
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    let is_code =
        code.iter().all(u8::is_ascii_uppercase) && !front.ends_with(char::is_alphanumeric);
    is_code.then_some(code)
}

/// Whether a code is that of a state of the United States.
fn is_state(code: [u8; 2]) -> bool {
    const STATES: &[u8] = b"ALAKAZARCACOCTDEDCFLGAHIIDILINIAKSKYLAMEMDMAMIMNMSMOMTNENVNHNJNMNYNCNDOHOKORPAPRRISCSDTNTXUTVTVAWAWVWIWY";
    STATES.chunks(2).any(|state| state == code)
}

/// `TX 77402-4000`: a postal code of the United States.
fn is_zip_plus_four(groups: &[Group]) -> bool {
    let lengths: Vec<usize> = groups.iter().take(2).map(|g| g.digits.len()).collect();
    let is_joined = groups.get(1).is_some_and(|group| group.separator() == "-");
    lengths == [5, 4] && is_joined && groups.get(2).is_none_or(Group::is_loose)
}

fn is_free_before(before: &str, has_plus: bool) -> bool {
    let mut back = before.chars().rev();
    let Some(last) = back.next() else { return true };
    let previous = back.next();
    if last.is_alphabetic() {
        // `T0165`, `Fax0031`
        let word: String = before
            .chars()
            .rev()
            .take_while(|c| c.is_alphabetic())
            .take(12)
            .collect();
        let word: String = word.chars().rev().collect();
        return label::is_phone_word(&word) || word.eq_ignore_ascii_case("xx");
    }
    if matches!(
        last,
        '$' | '€' | '£' | '¥' | '=' | '&' | '@' | '_' | '%' | '\\' | '*' | '^'
    ) {
        return false;
    }
    if last.is_whitespace() && previous.is_some_and(|c| matches!(c, '$' | '€' | '£' | '¥')) {
        return false;
    }
    if has_plus {
        return !last.is_ascii_digit();
    }
    match last {
        '.' | ',' | '-' | '/' => {
            previous.is_none_or(|c| c.is_alphabetic() || c.is_whitespace() || c == '.')
        }
        ':' => previous.is_none_or(|c| !c.is_ascii_digit()),
        c => !c.is_ascii_digit(),
    }
}

fn is_bound_after(after: &str) -> bool {
    let mut ahead = after.chars();
    let Some(first) = ahead.next() else {
        return false;
    };
    let second = ahead.next();
    if first.is_alphabetic() {
        let word: String = after.chars().take_while(|c| c.is_alphabetic()).collect();
        let is_extension = matches!(word.to_lowercase().as_str(), "x" | "ext" | "extn" | "xt");
        return !(is_extension || label::is_phone_word(&word));
    }
    match first {
        '%' | '€' | '$' | '£' | '_' | '@' | '=' | '°' | '²' | '³' => true,
        ':' => second.is_some_and(|c| c.is_ascii_digit()),
        '-' | '\'' => second.is_some_and(char::is_alphanumeric),
        '.' => {
            second.is_some_and(char::is_alphabetic)
                && after.chars().skip(2).all(char::is_alphanumeric)
                && after.chars().count() == 6
                && after.chars().nth(1).is_some_and(char::is_lowercase)
        }
        _ => false,
    }
}

/// Dates, spans of years, IP addresses, decimals, prices: digits with a shape of their own.
pub(super) fn is_date_or_address(groups: &[Group]) -> bool {
    is_date(groups) || is_figure(groups) || are_sizes(groups)
}

/// More than one slash: alternatives (`600/800/1000`), not parts of a number, unless it begins with a country code (`+43/1/513 07 77`).
pub(super) fn is_list(groups: &[Group]) -> bool {
    let has_plus = groups.first().is_some_and(|group| group.has_plus);
    let slashes = groups
        .iter()
        .skip(1)
        .filter(|group| group.separator.contains('/'))
        .count();
    slashes > 1 && !has_plus
}

/// Sizes that grow, of two and three digits: `35-70-125-250`.
fn are_sizes(groups: &[Group]) -> bool {
    let grows = |pair: &[Group]| match pair {
        [a, b] => {
            let is_more = (a.digits.len(), &a.digits) < (b.digits.len(), &b.digits);
            b.separator() == "-" && is_more && !a.digits.starts_with('0')
        }
        _ => false,
    };
    let lengths = groups.first().zip(groups.last());
    groups.len() >= 4
        && lengths.is_some_and(|(first, last)| first.digits.len() == 2 && last.digits.len() == 3)
        && groups.windows(2).all(grows)
}

/// A day: `06/08/2013`, `2013-08-06`.
fn is_date(groups: &[Group]) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    let value = |index: usize| {
        groups
            .get(index)
            .and_then(|g| g.digits.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let is_year = |index: usize| (1900..=2100).contains(&value(index));
    let is_dated = [".", "/", "-", " "].iter().any(|separator| {
        groups
            .iter()
            .skip(1)
            .all(|group| group.separator() == *separator)
    });
    match lengths.as_slice() {
        [1 | 2, 1 | 2, 4] => is_dated && is_year(2) && value(0) <= 31 && value(1) <= 31,
        [4, 1 | 2, 1 | 2] => is_dated && is_year(0) && value(1) <= 31 && value(2) <= 31,
        _ => false,
    }
}

fn is_figure(groups: &[Group]) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    let value = |index: usize| {
        groups
            .get(index)
            .and_then(|g| g.digits.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let separators: Vec<&str> = groups.iter().skip(1).map(Group::separator).collect();
    let all = |separator: &str| separators.iter().all(|s| *s == separator);
    let is_year = |index: usize| (1900..=2100).contains(&value(index));
    match lengths.as_slice() {
        [4, 4] => is_year(0) && is_year(1),
        [1 | 2, 2, 1 | 2, 2] => {
            let sides: Vec<&str> = separators.iter().map(|s| s.trim()).collect();
            matches!(sides.as_slice(), ["." | ":", _, "." | ":"]) && (0..4).all(|i| value(i) < 60)
                || (all(".") && (0..4).all(|i| value(i) <= 255))
        }
        [1..=3, 1..=3, 1..=3, 1..=3] => all(".") && (0..4).all(|i| value(i) <= 255),
        [1..=3, length] if *length >= 4 => all("."),
        [1..=3, 3] => true,
        [1..=3, 3, 3] => {
            all(".")
                && !groups
                    .first()
                    .is_some_and(|group| group.digits.starts_with('0'))
        }
        [4, 4, 4, 4, ..] => true,
        _ => false,
    }
}

/// Whether the groups are how a number of this country is written without a label to help.
pub(super) fn has_national_shape(groups: &[Group], region: Country) -> bool {
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    let Some(first) = groups.first() else {
        return false;
    };
    let is_tight = groups
        .iter()
        .skip(1)
        .all(|group| group.separator.chars().count() <= 3);
    match region.national_prefix() {
        // The North American plan: prefix 1, then 3-3-4.
        Some("1") => {
            let is_shaped = match lengths.as_slice() {
                [3, 3, 4] | [1, 3, 3, 4] => true,
                [3, 7] | [1, 3, 7] => groups.iter().any(|group| group.in_brackets),
                _ => false,
            };
            let starts_with_one = lengths.first() != Some(&1) || first.digits == "1";
            is_shaped
                && starts_with_one
                && groups
                    .iter()
                    .skip(1)
                    .all(|g| g.separator.chars().count() <= MAX_SEPARATOR)
        }
        Some(prefix) => {
            let is_prefixed = first.digits.starts_with(prefix)
                || (first.in_brackets && groups.len() > 1 && first.digits.len() >= 2);
            // `(11) 9 9999-9999`: the digit that all mobile numbers of Brazil begin with stands alone.
            let is_lone = first.in_brackets && groups.len() == 4;
            let mut rest = lengths.iter().skip(if is_lone { 2 } else { 1 });
            let is_whole = is_prefixed && groups.len() >= 2 && rest.all(|length| *length >= 2);
            (is_whole || is_known_shape(&lengths, region)) && is_tight_enough(groups)
        }
        None => {
            groups.len() >= 3 && is_tight && lengths.iter().all(|length| (2..=4).contains(length))
        }
    }
}

/// Whether numbers of a country are written in groups of these lengths without the prefix before them.
fn is_known_shape(lengths: &[usize], region: Country) -> bool {
    static SHAPES: LazyLock<HashMap<&'static str, Vec<Vec<usize>>>> = LazyLock::new(|| {
        let shape = |text: &str| text.split('-').filter_map(|n| n.parse().ok()).collect();
        rows(include_str!("../../data/phone_shapes.txt"))
            .filter_map(|row| {
                let shapes = row.get(1)?.split('|').map(shape).collect();
                Some((*row.first()?, shapes))
            })
            .collect()
    });
    let shapes = SHAPES.get(region.region());
    shapes.is_some_and(|shapes| shapes.iter().any(|shape| shape == lengths))
}

fn is_tight_enough(groups: &[Group]) -> bool {
    groups.iter().skip(1).all(|group| {
        group
            .separator
            .chars()
            .filter(|c| *c != INLINE_BOUNDARY)
            .count()
            <= 4
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        runs(text)
            .iter()
            .map(|run| run.raw(text, 0..run.groups.len()))
            .collect()
    }

    #[test]
    fn runs_have_boundaries() {
        let check = |text: &str, expected: &[&str]| assert_eq!(found(text), expected, "{text}");
        check("Tel: +31 (0)117-396004 x", &["+31 (0)117-396004"]);
        check("(305) -597-5050", &["(305) -597-5050"]);
        check("T0165 85 20 00", &["0165 85 20 00"]);
        check("abc0165 85 20 00", &[]);
        check("€ 1.234.567", &[]);
        check("order=123456789", &[]);
        check("open 08.00-18.00", &["08.00-18.00"]);
        check("020 7193 1430. 24 Endell", &["020 7193 1430", "24"]);
        check("tel 030 123456 10:30", &["030 123456"]);
        check("+ 375 44 555", &["+ 375 44 555"]);
        check("０３－１２３４", &["０３－１２３４"]);
        check("٠٤ ١٢٣", &["٠٤ ١٢٣"]);
        check("(0xx11) 3123-4567", &["(0xx11) 3123-4567"]);
        check("(xx11) 3123-4567", &["11) 3123-4567"]);
        check("Bellaire, TX 77402-4000 866-643-0919", &["866-643-0919"]);
    }

    #[test]
    fn what_the_page_hides_of_a_number_is_noticed() {
        let check = |text: &str, expected: bool| {
            let is_cut = runs(text).last().is_some_and(|run| run.is_cut);
            assert_eq!(is_cut, expected, "{text}");
        };
        check("030 1234…", true);
        check("030 1234 … anzeigen", true);
        check("030 1234...", true);
        check("06 12 34 XX XX", true);
        check("06 12 34 ** **", true);
        check("(11) 9876-••••", true);
        check("030 1234567 • Berlin", false);
        check("030 1234567", false);
        check("212-334-5100 x123", false);
        check("030 1234567 ........ 12", false);
        check("030 1234567*", false);
    }

    #[test]
    fn dates_and_addresses_are_no_numbers() {
        let check = |text: &str, expected: bool| {
            let runs = runs(text);
            let groups = &runs.first().unwrap().groups;
            assert_eq!(is_date_or_address(groups), expected, "{text}");
        };
        check("06/08/2013", true);
        check("2013-08-06", true);
        check("1995 - 2014", true);
        check("176.215.38.50", true);
        check("08.00-18.00", true);
        check("4000 1234 5678 9010", true);
        check("-4.516667", true);
        check("1.299.000", true);
        check("202.400.3052", false);
        check("01.23.45.67.89", false);
        check("045-525 1922", false);
    }
}

//! Telephone and fax numbers: candidates with boundaries, then libphonenumber's rules.
//!
//! Text is full of digits that are no telephone. A candidate is taken if it is valid in a country of
//! the page *and* something speaks for it: a country code, a label, or the shape in which numbers of
//! that country are written.

mod finder;

use std::collections::HashMap;
use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use regex::Regex;

use self::finder::{Group, Run};
use super::finding::{Phone, PhoneKind, Source, best_first};
use super::label::{self, Label};
use super::phone_plan::{Country, Number, Reach, dial_abroad, is_code};
use super::region::Region;
use super::structured::{Property, Structured};
use crate::html::{Block, INLINE_BOUNDARY, Icon, Page};

/// Most validity checks in one page; each costs up to some microseconds.
const MAX_CHECKS: usize = 20_000;

/// Most digits in a candidate: E.164 allows 15, dialling prefixes come on top.
const MAX_DIGITS: usize = 18;

/// Fewest digits in a candidate.
const MIN_DIGITS: usize = 7;

/// Fewest digits of a labelled number that is dialled in the whole country (`Call 13 12 34`).
const MIN_NATIONAL_DIGITS: usize = 5;

/// Fewest digits of a number that nothing but a line of its own speaks for.
const MIN_LONE_DIGITS: usize = 9;

/// Fewest digits in a text with a number, which may go on in letters (`800-FLOWERS`).
const MIN_TEXT_DIGITS: usize = 3;

/// Longest block that can be the label of the block after it, in characters.
const MAX_LABEL_BLOCK: usize = 40;

/// All numbers of a page, best first.
pub(super) fn extract(page: &Page, regions: &[Region], structured: &Structured) -> Vec<Phone> {
    let mut found = Found {
        regions,
        phones: Vec::new(),
        labels: HashMap::new(),
        checks: 0,
    };
    from_links(page, &mut found);
    for (property, value, source) in &structured.properties {
        let kind = match property {
            Property::Phone => PhoneKind::Voice,
            Property::Fax => PhoneKind::Fax,
            Property::Number => PhoneKind::Unknown,
            Property::Email | Property::SameAs => continue,
        };
        found.add_value(value, kind, *source, 0.95);
    }
    from_text(page.blocks(), &mut found);
    let labels = found.labels;
    let mut phones = best_first(found.phones, |phone| &phone.e164, |phone| phone.confidence);
    for phone in &mut phones {
        if let Some(kind) = labels.get(&phone.e164) {
            phone.kind = *kind;
        } else if phone.source == Source::Microdata {
            phone.kind = PhoneKind::Voice;
        }
    }
    phones
}

struct Found<'a> {
    regions: &'a [Region],
    phones: Vec<Phone>,
    /// What labels in the text say of a number; a telephone label wins over a fax label.
    labels: HashMap<String, PhoneKind>,
    checks: usize,
}

/// What speaks for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// A label, a link or structured data.
    Labelled,
    /// It stands alone.
    Alone,
    /// Nothing but its shape.
    Shape,
}

impl Found<'_> {
    /// Adds the numbers in a value that is known to hold some.
    fn add_value(&mut self, value: &str, kind: PhoneKind, source: Source, confidence: f32) {
        let before = self.phones.len();
        let value = value.get(..value.floor_char_boundary(200)).unwrap_or(value);
        for run in finder::runs(value) {
            for (range, e164) in self.numbers(&run, Evidence::Labelled) {
                let raw = run.raw(value, range);
                self.push(e164, raw, kind, source, confidence);
            }
        }
        if self.phones.len() == before {
            for (e164, raw, _) in self.vanity(value) {
                self.push(e164, raw, kind, source, confidence);
            }
        }
    }

    fn push(
        &mut self,
        e164: String,
        raw: String,
        kind: PhoneKind,
        source: Source,
        confidence: f32,
    ) {
        if matches!(source, Source::JsonLd | Source::Microdata) || source == Source::Text {
            self.note_label(&e164, kind);
        }
        self.phones.push(Phone {
            e164,
            raw,
            kind,
            source,
            confidence,
        });
    }

    fn note_label(&mut self, e164: &str, kind: PhoneKind) {
        if kind == PhoneKind::Unknown {
            return;
        }
        let known = self.labels.entry(e164.to_owned()).or_insert(kind);
        if kind == PhoneKind::Voice {
            *known = kind;
        }
    }

    /// Splits a run of digit groups into numbers: from the left, the longest valid one first.
    fn numbers(&mut self, run: &Run, evidence: Evidence) -> Vec<(std::ops::Range<usize>, String)> {
        let groups = &run.groups;
        let days = if evidence == Evidence::Labelled {
            Vec::new()
        } else {
            finder::days(groups)
        };
        let is_free = |range: std::ops::Range<usize>| !days.iter().any(|day| range.contains(day));
        let mut out = Vec::new();
        let mut start = 0;
        let mut skipped = 0;
        while start < groups.len() {
            let found = (start < groups.len() && run.may_start(start))
                .then(|| {
                    (start + 1..=groups.len())
                        .rev()
                        .filter(|end| run.may_end(*end) && is_free(start..*end))
                        .find_map(|end| {
                            Some((end, self.number(groups.get(start..end)?, evidence)?))
                        })
                })
                .flatten();
            match found {
                // Without a label, a number amid other digits is probably a part of something else.
                Some((end, e164)) if evidence == Evidence::Labelled || skipped <= 6 => {
                    out.push((start..end, e164));
                    start = end;
                    skipped = 0;
                }
                _ => {
                    skipped += groups.get(start).map_or(0, |group| group.digits.len());
                    start += 1;
                }
            }
        }
        out
    }

    /// The number that exactly these groups make, in E.164.
    fn number(&mut self, groups: &[Group], evidence: Evidence) -> Option<String> {
        let first = groups.first()?;
        let written: String = groups.iter().map(|group| group.digits.as_str()).collect();
        let has_shape = !finder::is_date_or_address(groups);
        let least = if evidence == Evidence::Labelled && !first.has_plus {
            MIN_NATIONAL_DIGITS
        } else {
            MIN_DIGITS
        };
        if !(least..=MAX_DIGITS).contains(&written.len())
            || finder::is_list(groups)
            || (!has_shape && !first.has_plus && evidence != Evidence::Labelled)
        {
            return None;
        }
        // `+44 (0)20 …`: the zero is for callers inside the country.
        let dialled: String = groups
            .iter()
            .enumerate()
            .filter(|(index, group)| !(*index > 0 && group.in_brackets && group.digits == "0"))
            .map(|(_, group)| group.digits.as_str())
            .collect();
        if first.has_plus {
            return self.international(&dialled);
        }
        if let Some(rest) = dialled.strip_prefix("00")
            && (evidence == Evidence::Labelled || groups.len() > 1)
            && let Some(e164) = self.international(rest)
        {
            return Some(e164);
        }
        // `(86) 21-5175-8787`: a country code in brackets, which a guess at the country does not outdo.
        let has_code =
            first.in_brackets && is_code(&first.digits) && groups.len() > 1 && dialled.len() >= 10;
        let regions = self.regions;
        if has_code
            && regions.iter().all(|region| region.is_guess)
            && let Some(e164) = self.international(&dialled)
        {
            return Some(e164);
        }
        for region in regions {
            if let Some(e164) = self.national(&written, groups, *region, evidence) {
                return Some(e164);
            }
        }
        if has_code {
            return self.international(&dialled);
        }
        // `44 20 7193 1430`: a country code without any sign, told by a label.
        if evidence == Evidence::Labelled && dialled.len() >= 11 && groups.len() > 1 {
            let number = self.international(&dialled)?;
            let rest = dialled.get(first.digits.len()..)?;
            return (number == format!("+{}{rest}", first.digits) && first.digits.len() <= 3)
                .then_some(number);
        }
        None
    }

    fn international(&mut self, digits: &str) -> Option<String> {
        self.check(|| dial_abroad(digits)).map(|number| number.e164)
    }

    fn national(
        &mut self,
        digits: &str,
        groups: &[Group],
        region: Region,
        evidence: Evidence,
    ) -> Option<String> {
        let is_written_so = finder::has_national_shape(groups, region.id);
        let is_credible = match evidence {
            Evidence::Labelled => {
                !region.is_guess || is_written_so || has_prefix(digits, region.id)
            }
            Evidence::Shape => is_written_so && (!region.is_guess || has_prefix(digits, region.id)),
            // `0201234567` on a line of its own.
            Evidence::Alone => {
                let starts_with_zero = digits.starts_with('0')
                    && digits.len() >= MIN_LONE_DIGITS
                    && has_prefix(digits, region.id);
                (is_written_so || starts_with_zero)
                    && (!region.is_guess || has_prefix(digits, region.id))
            }
        };
        // A labelled number in a country without prefix needs no more than the label.
        let is_credible = is_credible
            || (evidence == Evidence::Labelled && region.id.national_prefix().is_none());
        // `1300 975 707`, `400-820-8820`: dialled without prefix in the whole country.
        let is_grouped = groups.len() >= 3 && groups.iter().all(|group| group.digits.len() >= 2);
        let may_be_national = is_grouped && evidence != Evidence::Labelled && !region.is_guess;
        if !is_credible && !may_be_national {
            return None;
        }
        // `(0-22) 520 90 02`: a prefix of old in a country that has none now.
        let is_old = evidence == Evidence::Labelled && region.id.national_prefix().is_none();
        let shorter = digits.strip_prefix('0').filter(|_| is_old);
        self.check(|| region.id.dial(digits))
            .or_else(|| self.check(|| region.id.dial(shorter?)))
            .filter(|number| {
                let is_long = digits.len() >= MIN_DIGITS;
                (is_credible && is_long) || number.reach == Reach::Nation
            })
            .map(|number| number.e164)
    }

    /// The number, if not too many have been looked at.
    fn check(&mut self, dial: impl FnOnce() -> Option<Number>) -> Option<Number> {
        if self.checks >= MAX_CHECKS {
            return None;
        }
        self.checks += 1;
        dial()
    }

    /// North American numbers in letters (`1-800-FLOWERS`): E.164, as written, and where.
    ///
    /// Only with a dash, dot or bracket in it: model names read `500 PANDA 169`.
    fn vanity(&mut self, text: &str) -> Vec<(String, String, usize)> {
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                r"(?:^|[^0-9A-Za-z_.-])((?:\+?1[-. ]{1,2})?\(?([2-9][0-9]{2})\)?[-. ]{1,2}((?:[A-Z0-9][-. ]?){6,12}[A-Z0-9]))(?:$|[^0-9A-Za-z_])",
            )
            .ok()
        });
        let is_north_american = self
            .regions
            .iter()
            .any(|region| matches!(region.id.region(), "US" | "CA"));
        if !is_north_american || !letters_follow_digits(text) {
            return Vec::new();
        }
        let Some(pattern) = &*PATTERN else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for found in pattern.captures_iter(text).take(50) {
            let (Some(raw), Some(area), Some(rest)) = (found.get(1), found.get(2), found.get(3))
            else {
                continue;
            };
            // The word ends where the next word in capitals begins: `303.333.PAUL CALL NOW`.
            for word in shorter_words(rest.as_str()) {
                let letters = word.chars().filter(char::is_ascii_uppercase).count();
                let keys: String = word.chars().filter_map(key).take(7).collect();
                let count = word.chars().filter(char::is_ascii_alphanumeric).count();
                let is_dialled = raw.as_str().contains(['-', '.', '(']);
                let is_mixed = word.split(['-', '.', ' ']).any(|part| {
                    part.contains(|c: char| c.is_ascii_digit())
                        && part.contains(|c: char| c.is_ascii_uppercase())
                });
                if letters < 3 || keys.len() < 7 || count > 10 || is_mixed || !is_dialled {
                    continue;
                }
                let digits = format!("1{}{keys}", area.as_str());
                if let Some(e164) = self.international(&digits) {
                    let length = rest.start() - raw.start() + word.len();
                    let raw_text = raw.as_str().get(..length).unwrap_or(raw.as_str());
                    out.push((e164, raw_text.to_owned(), raw.start()));
                    break;
                }
            }
        }
        out
    }
}

/// Whether a capital stands after a digit with a few separators or marks of [`INLINE_BOUNDARY`] between them: a cheap look before
/// the pattern.
fn letters_follow_digits(text: &str) -> bool {
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
pub(super) fn key(c: char) -> Option<char> {
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

fn has_prefix(digits: &str, country: Country) -> bool {
    country.begins_with_prefix(digits)
}

/// `tel:` and its relatives.
fn from_links(page: &Page, found: &mut Found<'_>) {
    for (_, _, href) in page.links() {
        let Some((scheme, target)) = href.trim().split_once(':') else {
            continue;
        };
        let is = |names: &[&str]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        let kind = if is(&["http", "https", "whatsapp"]) {
            whatsapp(target, found);
            continue;
        } else if is(&["tel", "telto", "sms", "callto", "phone"]) {
            PhoneKind::Voice
        } else if is(&["fax"]) {
            PhoneKind::Fax
        } else {
            continue;
        };
        let target = percent_decode_str(target).decode_utf8_lossy();
        // RFC 3966: parameters after a semicolon; some write queries.
        let target = target
            .split([';', '?'])
            .next()
            .unwrap_or_default()
            .trim_start_matches('/');
        found.add_value(target, kind, Source::Tel, 0.95);
    }
}

/// The number of a link that opens a conversation in `WhatsApp`: `wa.me/…`, `…/send?phone=…`.
fn whatsapp(target: &str, found: &mut Found<'_>) {
    const SEND: [&str; 3] = ["api.whatsapp.com/send", "web.whatsapp.com/send", "send"];
    let target = target.trim_start_matches('/');
    let number = target.strip_prefix("wa.me/").or_else(|| {
        let query = SEND.iter().find_map(|front| target.strip_prefix(front))?;
        query
            .trim_start_matches('/')
            .trim_start_matches('?')
            .split('&')
            .find_map(|field| field.strip_prefix("phone="))
    });
    let Some(number) = number else {
        return;
    };
    let number = percent_decode_str(number).decode_utf8_lossy();
    let digits: String = number
        .trim_start_matches(['+', ' '])
        .chars()
        .take_while(char::is_ascii_digit)
        .take(MAX_DIGITS)
        .collect();
    if let Some(e164) = found.international(&digits) {
        let raw = number.chars().take(40).collect();
        found.push(e164, raw, PhoneKind::Voice, Source::Tel, 0.85);
    }
}

fn from_text(blocks: &[Block], found: &mut Found<'_>) {
    let mut previous: Option<&str> = None;
    for block in blocks {
        if finder::count_digits(&block.text, MIN_TEXT_DIGITS) == MIN_TEXT_DIGITS {
            block_numbers(block, previous, found);
        }
        // A colon in a cell of its own.
        if block.text.contains(char::is_alphanumeric) {
            previous = Some(&block.text);
        }
    }
}

/// The numbers of one block; `previous` is the block before it, which may be its label.
fn block_numbers(block: &Block, previous: Option<&str>, found: &mut Found<'_>) {
    let text = block.text.as_str();
    let outer = previous.filter(|text| {
        text.chars().count() <= MAX_LABEL_BLOCK && !text.contains(|c: char| c.is_ascii_digit())
    });
    let outer = outer.and_then(label::before);
    let mut last: Option<(usize, Option<Label>)> = None;
    let has_digits = finder::count_digits(text, MIN_NATIONAL_DIGITS) == MIN_NATIONAL_DIGITS;
    let runs = if has_digits {
        // The symbol before a number ends the one before it.
        finder::runs_between(text, block.icons.iter().map(|(place, _)| *place))
    } else {
        Vec::new()
    };
    let has_words = |text: &str| text.contains(char::is_alphanumeric);
    for (index, run) in runs.iter().enumerate() {
        let next = runs.get(index + 1).map_or(text.len(), Run::start);
        let run_start = last.map_or(0, |(end, _)| end);
        let before = text.get(run_start..run.start()).unwrap_or_default();
        let after = text.get(run.end()..next).unwrap_or_default();
        let icon = icon_of(block, run_start, run.start(), before);
        let (own, length) = label_of(before, after, icon, last, outer);
        let end = run.end() + length;
        if own == Some(Label::Other) {
            last = Some((end, own));
            continue;
        }
        let evidence = if own.is_some() {
            Evidence::Labelled
        } else if runs.len() == 1 && !has_words(before) && !has_words(after) {
            Evidence::Alone
        } else {
            Evidence::Shape
        };
        for (range, e164) in found.numbers(run, evidence) {
            let has_plus = run
                .groups
                .get(range.start)
                .is_some_and(|group| group.has_plus);
            let confidence = match own {
                Some(_) => 0.85,
                None if has_plus => 0.8,
                None => 0.65,
            };
            let raw = run.raw(text, range);
            found.push(e164, raw, kind_of(own), Source::Text, confidence);
        }
        last = Some((end, own));
    }
    if letters_follow_digits(text) {
        let plain = text.replace(INLINE_BOUNDARY, " ");
        for (e164, raw, start) in found.vanity(&plain) {
            let own = plain.get(..start).and_then(label::before).or(outer);
            if own != Some(Label::Other) {
                found.push(e164, raw, kind_of(own), Source::Text, 0.7);
            }
        }
    }
}

/// What the last symbol between two places shows, if no words follow it.
fn icon_of(block: &Block, start: usize, end: usize, before: &str) -> Option<Label> {
    let (place, icon) = block
        .icons
        .iter()
        .rfind(|(place, _)| (start..=end).contains(place))?;
    let has_words = before
        .get(place - start..)
        .is_none_or(|rest| rest.contains(char::is_alphanumeric));
    (!has_words).then_some(match icon {
        Icon::Phone => Label::Voice,
        Icon::Fax => Label::Fax,
    })
}

/// The label of a run: before it, after it, its symbol's, that of the run before it in a list, or of the block.
///
/// Also how far a label after it reaches, in bytes.
fn label_of(
    before: &str,
    after: &str,
    icon: Option<Label>,
    last: Option<(usize, Option<Label>)>,
    outer: Option<Label>,
) -> (Option<Label>, usize) {
    if let Some(label) = label::before(before) {
        return (Some(label), 0);
    }
    if let Some((label, length)) = label::after(after) {
        return (Some(label), length);
    }
    if icon.is_some() {
        return (icon, 0);
    }
    let inherited = match last {
        // What follows an order number in a list is seldom another.
        Some((_, Some(Label::Other))) if before.contains([',', ';', '|', '·', '+']) => None,
        Some((_, label)) if is_list_separator(before) => label,
        Some(_) => None,
        None if before.chars().all(|c| !c.is_alphanumeric()) => outer,
        None => None,
    };
    (inherited, 0)
}

fn is_list_separator(text: &str) -> bool {
    let word: String = text
        .chars()
        .filter(|c| c.is_alphabetic())
        .collect::<String>()
        .to_lowercase();
    matches!(
        word.as_str(),
        "" | "or"
            | "and"
            | "oder"
            | "und"
            | "ou"
            | "et"
            | "of"
            | "en"
            | "o"
            | "y"
            | "e"
            | "и"
            | "или"
            | "lub"
            | "i"
    ) && text.chars().count() <= 12
}

fn kind_of(label: Option<Label>) -> PhoneKind {
    match label {
        Some(Label::Voice) => PhoneKind::Voice,
        Some(Label::Fax) => PhoneKind::Fax,
        Some(Label::Other) | None => PhoneKind::Unknown,
    }
}

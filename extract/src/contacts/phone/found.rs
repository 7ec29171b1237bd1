//! What has been found so far, and how digits become numbers.

use std::collections::HashMap;
use std::ops::Range;

use super::super::finding::{Phone, PhoneKind, Source, best_first};
use super::super::label::Languages;
use super::super::phone_plan::{Country, Number, Reach, dial_abroad, is_code, may_go_on};
use super::super::region::{Origin, Region};
use super::finder::{self, Group, Run};
use super::{register, spans, vanity};

/// Most validity checks in one page; each costs up to some microseconds.
const MAX_CHECKS: usize = 20_000;

/// Most digits in a candidate: E.164 allows 15, dialling prefixes come on top.
pub(super) const MAX_DIGITS: usize = 18;

/// Fewest digits in a candidate.
pub(super) const MIN_DIGITS: usize = 7;

/// Fewest digits of a labelled number that is dialled in the whole country (`Call 13 12 34`).
pub(super) const MIN_NATIONAL_DIGITS: usize = 5;

/// Fewest digits of a number that nothing but a line of its own speaks for.
const MIN_LONE_DIGITS: usize = 9;

/// Fewest digits in a text with a number, which may go on in letters (`800-FLOWERS`).
pub(super) const MIN_TEXT_DIGITS: usize = 3;

/// Fewest digits of a number that leaves out the area code of the number before it.
const MIN_LOCAL_DIGITS: usize = 5;

/// Most digits that may be left between a number and where the page cuts it short.
const MAX_CUT_DIGITS: usize = 6;

/// Most numbers that a page cuts short whose rest is looked for.
const MAX_CUTS: usize = 50;

/// What has been found on a page so far, and what it is read by.
pub(super) struct Found<'a> {
    regions: &'a [Region],
    pub(super) languages: &'a Languages,
    pub(super) phones: Vec<Phone>,
    /// What labels in the text say of a number; a telephone label wins over a fax label.
    labels: HashMap<String, PhoneKind>,
    /// What the text shows of numbers that it cuts short: digits without the zeros before them.
    pub(super) cuts: Vec<String>,
    /// The last number shortly before in the text, whose area code holds for one that has none.
    pub(super) neighbour: Vec<Group>,
    checks: usize,
}

/// What speaks for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A label, a link or structured data.
    Labelled,
    /// It stands alone.
    Alone,
    /// Nothing but its shape.
    Shape,
}

impl<'a> Found<'a> {
    pub(super) fn new(origin: &'a Origin) -> Self {
        Self {
            regions: &origin.regions,
            languages: &origin.languages,
            phones: Vec::new(),
            labels: HashMap::new(),
            cuts: Vec::new(),
            neighbour: Vec::new(),
            checks: 0,
        }
    }

    /// All of them, best first, each for what the labels say.
    pub(super) fn into_phones(self) -> Vec<Phone> {
        let labels = self.labels;
        let mut phones = best_first(self.phones, |phone| &phone.e164, |phone| phone.confidence);
        for phone in &mut phones {
            if let Some(kind) = labels.get(&phone.e164) {
                phone.kind = *kind;
            } else if phone.source == Source::Microdata {
                phone.kind = PhoneKind::Voice;
            }
        }
        phones
    }

    /// North American numbers in letters: E.164, as written, and where.
    pub(super) fn vanity(&mut self, text: &str) -> Vec<(String, String, usize)> {
        let is_north_american = self
            .regions
            .iter()
            .any(|region| matches!(region.id.region(), "US" | "CA"));
        if !is_north_american {
            return Vec::new();
        }
        vanity::numbers(text, |digits| self.international(digits))
    }

    /// Adds the numbers in a value that is known to hold some.
    pub(super) fn add_value(
        &mut self,
        value: &str,
        kind: PhoneKind,
        source: Source,
        confidence: f32,
    ) {
        let before = self.phones.len();
        let value = value.get(..value.floor_char_boundary(200)).unwrap_or(value);
        for run in finder::runs(value) {
            for (range, e164) in self.numbers(&run, Evidence::Labelled, run.is_cut) {
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

    pub(super) fn push(
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
    pub(super) fn numbers(
        &mut self,
        run: &Run,
        evidence: Evidence,
        is_cut: bool,
    ) -> Vec<(Range<usize>, String)> {
        let is_labelled = evidence == Evidence::Labelled;
        let mut taken = spans::places(&run.groups, is_labelled);
        if !is_labelled {
            taken.extend(register::places(run));
        }
        let mut out: Vec<(Range<usize>, String)> = Vec::new();
        let mut start = 0;
        let mut skipped = 0;
        while let Some(group) = run.groups.get(start) {
            let last = out.last().map(|(range, _)| range.clone());
            match self.number_at(run, start, &taken, last, evidence) {
                // Without a label, a number amid other digits is probably a part of something else.
                Some((end, e164)) if is_labelled || skipped <= 6 => {
                    out.push((start..end, e164));
                    start = end;
                    skipped = 0;
                }
                _ => {
                    if !taken.contains(&start) {
                        skipped += group.digits.len();
                    }
                    start += 1;
                }
            }
        }
        if is_cut {
            self.cut(&run.groups, &mut out);
        }
        out
    }

    /// The longest number that begins at this group, and where it ends; `last` is the number before it.
    fn number_at(
        &mut self,
        run: &Run,
        start: usize,
        taken: &[usize],
        last: Option<Range<usize>>,
        evidence: Evidence,
    ) -> Option<(usize, String)> {
        if !run.may_start(start) {
            return None;
        }
        let is_free = |end: &usize| !taken.iter().any(|place| (start..*end).contains(place));
        let mut ends = (start + 1..=run.groups.len())
            .rev()
            .filter(|end| run.may_end(*end))
            .filter(is_free);
        let first = last
            .filter(|last| last.end == start)
            .and_then(|last| run.groups.get(last));
        let has_slash = |group: &Group| group.separator().contains('/');
        if let Some(first) = first.filter(|_| run.groups.get(start).is_some_and(has_slash)) {
            let found = ends.clone().find_map(|end| {
                let second = run.groups.get(start..end)?;
                Some((end, self.sibling(first, second, evidence)?))
            });
            if found.is_some() {
                return found;
            }
        }
        let found = ends
            .clone()
            .find_map(|end| Some((end, self.number(run.groups.get(start..end)?, evidence)?)));
        if found.is_some() || evidence != Evidence::Labelled {
            return found;
        }
        let neighbour = std::mem::take(&mut self.neighbour);
        let found = ends.find_map(|end| {
            let second = run.groups.get(start..end)?;
            Some((end, self.sibling(&neighbour, second, evidence)?))
        });
        self.neighbour = neighbour;
        found
    }

    /// Remembers a number of the text for those after it that leave out its area code; one that has none is no help.
    pub(super) fn note_neighbour(&mut self, groups: &[Group], e164: &str) {
        let is_local = groups.first().is_some_and(|group| !group.has_plus)
            && dial_abroad(e164.trim_start_matches('+'))
                .is_some_and(|number| number.reach != Reach::Nation);
        self.neighbour = if is_local {
            groups.to_vec()
        } else {
            Vec::new()
        };
    }

    /// A number that leaves out the area code of the one before it: `0265-551 2200 / 233 6600`, `Tel. (212) 334-5100, Fax 334-5101`.
    fn sibling(&mut self, first: &[Group], second: &[Group], evidence: Evidence) -> Option<String> {
        let (head, tail) = second.split_first()?;
        let length = finder::digits_of(second).len();
        if head.digits.starts_with('0') || head.has_plus || length < MIN_LOCAL_DIGITS {
            return None;
        }
        let shared = (1..first.len())
            .filter_map(|count| first.split_at_checked(count))
            .find(|(_, rest)| finder::digits_of(rest).len() == length)
            .map(|(shared, _)| shared)?;
        let mut groups = shared.to_vec();
        groups.push(head.apart());
        groups.extend_from_slice(tail);
        self.number(&groups, evidence)
    }

    /// Takes back the last number if the page hides the rest of it, and remembers what it shows.
    fn cut(&mut self, groups: &[Group], out: &mut Vec<(Range<usize>, String)>) {
        let end = out.last().map_or(0, |(range, _)| range.end);
        let rest = finder::digits_of(groups.get(end..).unwrap_or_default()).len();
        let last = out.pop_if(|(_, e164)| rest <= MAX_CUT_DIGITS && may_go_on(e164));
        let start = last.map_or(end, |(range, _)| range.start);
        let shown = finder::digits_of(groups.get(start..).unwrap_or_default());
        let shown = shown.trim_start_matches('0');
        if shown.len() >= MIN_TEXT_DIGITS && self.cuts.len() < MAX_CUTS {
            self.cuts.push(shown.to_owned());
        }
    }

    /// The number that exactly these groups make, in E.164.
    fn number(&mut self, groups: &[Group], evidence: Evidence) -> Option<String> {
        let first = groups.first()?;
        let written = finder::digits_of(groups);
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

    pub(super) fn international(&mut self, digits: &str) -> Option<String> {
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
        // `1300 975 707`, `400-820-8820`, `4003-1234`: dialled without prefix in the whole country.
        let is_grouped = groups.len() >= 3 && groups.iter().all(|group| group.digits.len() >= 2)
            || groups.len() == 2 && groups.iter().all(|group| group.digits.len() == 4);
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
}

fn has_prefix(digits: &str, country: Country) -> bool {
    country.begins_with_prefix(digits)
}

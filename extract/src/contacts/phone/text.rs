//! Numbers in the text that a reader sees, with what stands beside them.

use super::super::finding::{PhoneKind, Source};
use super::super::label::{self, Label, Languages};
use super::finder::{self, Run};
use super::found::{Evidence, Found, MIN_NATIONAL_DIGITS, MIN_TEXT_DIGITS};
use super::vanity::letters_follow_digits;
use crate::html::{Block, INLINE_BOUNDARY, Icon};

/// Longest block that can be the label of the block after it, in characters.
const MAX_LABEL_BLOCK: usize = 40;

/// How many blocks after a number its area code holds for one that has none.
const NEIGHBOUR_BLOCKS: usize = 3;

/// All numbers in the blocks of a page.
pub(super) fn from_text(blocks: &[Block], found: &mut Found<'_>) {
    let mut previous: Option<&str> = None;
    let mut blocks_since = 0;
    for block in blocks {
        blocks_since += 1;
        if blocks_since > NEIGHBOUR_BLOCKS {
            found.neighbour.clear();
        }
        if finder::count_digits(&block.text, MIN_TEXT_DIGITS) == MIN_TEXT_DIGITS {
            let known = found.phones.len();
            block_numbers(block, previous, found);
            if found.phones.len() > known {
                blocks_since = 0;
            }
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
    let outer = outer.and_then(|text| label::before(text, found.languages));
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
        let beside = Beside {
            before,
            after,
            has_next: index + 1 < runs.len(),
            icon: icon_of(block, run_start, run.start(), before),
            last,
            outer,
        };
        let (own, length) = beside.label(found.languages);
        // `Valley Bank: (707) 632-4517`: nothing but a telephone number is written so.
        let own = own.filter(|label| *label != Label::Common || !run.is_phone_by_form());
        let end = run.end() + length;
        if own.is_some_and(|label| !label.is_phone()) {
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
        let is_cut = run.is_cut || label::hides(after, found.languages);
        for (range, e164) in found.numbers(run, evidence, is_cut) {
            let has_plus = run
                .groups
                .get(range.start)
                .is_some_and(|group| group.has_plus);
            let confidence = match own {
                Some(_) => 0.85,
                None if has_plus => 0.8,
                None => 0.65,
            };
            let groups = run.groups.get(range.clone()).unwrap_or_default();
            found.note_neighbour(groups, &e164);
            let raw = run.raw(text, range);
            found.push(e164, raw, kind_of(own), Source::Text, confidence);
        }
        last = Some((end, own));
    }
    if letters_follow_digits(text) {
        let plain = text.replace(INLINE_BOUNDARY, " ");
        for (e164, raw, start) in found.vanity(&plain) {
            let before = plain.get(..start).unwrap_or_default();
            let own = label::before(before, found.languages).or(outer);
            if own.is_none_or(Label::is_phone) {
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
    let label = match icon {
        Icon::Phone => Label::Voice,
        Icon::Fax => Label::Fax,
        Icon::At => return None,
    };
    (!has_words).then_some(label)
}

/// What stands beside a run.
struct Beside<'a> {
    before: &'a str,
    after: &'a str,
    /// Whether another run follows in the block.
    has_next: bool,
    /// What the symbol before it shows.
    icon: Option<Label>,
    /// Where the run before it in the block ends, and its label.
    last: Option<(usize, Option<Label>)>,
    /// The label that the block before it is.
    outer: Option<Label>,
}

impl Beside<'_> {
    /// The label of the run: before it, after it, its symbol's, that of the run before it in a list, or of the block.
    ///
    /// Also how far a label after it reaches, in bytes.
    fn label(&self, languages: &Languages) -> (Option<Label>, usize) {
        if let Some(label) = label::before(self.before, languages) {
            return (Some(label), 0);
        }
        if let Some((label, length)) = label::after(self.after, self.has_next, languages) {
            return (Some(label), length);
        }
        (self.icon.or_else(|| self.inherited()), 0)
    }

    fn inherited(&self) -> Option<Label> {
        match self.last {
            // What follows an order number in a list is seldom another.
            Some((_, Some(Label::Other | Label::Common)))
                if self.before.contains([',', ';', '|', '·', '+']) =>
            {
                None
            }
            Some((_, label)) if is_list_separator(self.before) => label,
            None if !self.before.contains(char::is_alphanumeric) => self.outer,
            Some(_) | None => None,
        }
    }
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
            | "a"
            | "og"
            | "och"
            | "ja"
            | "és"
            | "sau"
            | "ve"
            | "та"
            | "або"
            | "ή"
            | "και"
    ) && text.chars().count() <= 12
}

fn kind_of(label: Option<Label>) -> PhoneKind {
    match label {
        Some(Label::Voice) => PhoneKind::Voice,
        Some(Label::Fax) => PhoneKind::Fax,
        Some(Label::Other | Label::Common) | None => PhoneKind::Unknown,
    }
}

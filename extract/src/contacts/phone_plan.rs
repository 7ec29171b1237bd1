//! The numbering plans of all countries: whether digits are a number that can be dialled, and its one form.
//!
//! The rules are libphonenumber's, and so are the answers. The crate `phonenumber` (0.3) has the same tables but takes the prefix off
//! numbers that begin with the same digits (`+7 812 …`). The crate `rlibphonenumber` (2.2) is right, and was measured beside this
//! (`bench/README.md`): it answers half as many questions a second, is twenty times as slow until it has compiled its expressions, and takes ten
//! times the memory. A number is a few digits long, so a pattern needs no automaton: [`Pattern`] moves a set of places in the number, one bit each.

mod pattern;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use regex::Regex;

use self::pattern::Pattern;
use crate::table::rows;

/// Shortest and longest national number, without prefix and country code.
const NATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 2..=17;

/// Largest national number that is taken, without its leading zeros; the crate keeps it in 56 bits.
const MAX_NATIONAL: u64 = 1 << 56;

/// Longest country code.
const MAX_CODE_DIGITS: usize = 3;

/// The columns that hold a pattern for each type of number, in the order in which they are asked, and what each stands for.
const TYPES: [Reach; 10] = [
    Reach::Other,  // premium rate
    Reach::Nation, // toll free
    Reach::Nation, // shared cost
    Reach::Other,  // voice over IP
    Reach::Other,  // personal number
    Reach::Other,  // pager
    Reach::Nation, // universal access number
    Reach::Other,  // voicemail
    Reach::Other,  // fixed line
    Reach::Other,  // mobile
];

/// From where a number is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Dialled without area code or prefix in the whole country: toll free, shared cost, universal access.
    Nation,
    /// Any other.
    Other,
}

/// A number that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// E.164, with `+`.
    pub(super) e164: String,
    /// From where it is dialled.
    pub(super) reach: Reach,
}

/// A country with a numbering plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Country(&'static Plan);

impl PartialEq for Country {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Country {}

impl Country {
    /// The country with this code (ISO 3166-1 alpha-2, upper case).
    pub(super) fn by_region(code: &str) -> Option<Self> {
        PLANS.by_region.get(code).copied().map(Self)
    }

    /// Its code (ISO 3166-1 alpha-2).
    pub(super) fn region(self) -> &'static str {
        self.0.region
    }

    /// The digits that callers inside the country dial before an area code, if there are any.
    pub(super) fn national_prefix(self) -> Option<&'static str> {
        self.0.national_prefix
    }

    /// Whether digits begin with what callers inside the country dial, now or once, before an area code.
    pub(super) fn begins_with_prefix(self, digits: &str) -> bool {
        let prefix = self.national_prefix();
        prefix.is_some_and(|prefix| digits.starts_with(prefix))
            || (prefix.is_some()
                && self.0.dialled_prefix.as_ref().is_some_and(|prefix| {
                    prefix
                        .strip(digits)
                        .is_some_and(|rest| rest.len() < digits.len())
                }))
    }

    /// The number that these digits are when dialled in this country.
    pub(super) fn dial(self, digits: &str) -> Option<Number> {
        let plan = self.0;
        let abroad = plan
            .international_prefix
            .as_ref()
            .and_then(|prefix| prefix.strip(digits))
            .filter(|rest| !rest.starts_with('0'));
        if let Some(rest) = abroad {
            return dial_abroad(rest);
        }
        // The country code without a sign, if it does not begin a national number.
        let national = digits
            .strip_prefix(plan.code)
            .map(|rest| plan.significant(rest))
            .filter(|rest| {
                !plan.any.fits(digits) && plan.any.fits(rest) || plan.is_too_long(digits)
            })
            .unwrap_or(Cow::Borrowed(digits));
        number(plan.code, &plan.dialled(&national))
    }
}

/// The number that these digits are after a `+`.
pub(super) fn dial_abroad(digits: &str) -> Option<Number> {
    let (plan, national) = split_code(digits)?;
    number(plan.code, &plan.dialled(national))
}

/// Whether longer numbers begin with this one (E.164, with `+`), so that it may be a piece of one.
pub(super) fn may_go_on(e164: &str) -> bool {
    const MOST: usize = 4;
    let digits = e164.trim_start_matches('+');
    (1..=MOST).any(|count| {
        (0..=9).any(|digit: u8| {
            let rest = digit.to_string().repeat(count);
            dial_abroad(&format!("{digits}{rest}")).is_some()
        })
    })
}

/// Whether there is such a country code.
pub(super) fn is_code(digits: &str) -> bool {
    PLANS.by_code.contains_key(digits)
}

/// The main country of a code that exists, and what follows the code.
fn split_code(digits: &str) -> Option<(&'static Plan, &str)> {
    if digits.len() <= *NATIONAL_DIGITS.start() {
        return None;
    }
    (1..=MAX_CODE_DIGITS).find_map(|length| {
        let (code, rest) = digits.split_at_checked(length)?;
        let plan = PLANS.by_code.get(code)?.first().copied()?;
        Some((plan, rest))
    })
}

/// The number of this country code and national number, if a plan has it.
fn number(code: &str, national: &str) -> Option<Number> {
    let value: u64 = national.trim_start_matches('0').parse().ok()?;
    if !NATIONAL_DIGITS.contains(&national.len()) || value >= MAX_NATIONAL {
        return None;
    }
    let reach = plan_of(code, national)?.reach(national)?;
    Some(Number {
        e164: format!("+{code}{national}"),
        reach,
    })
}

/// Of the countries that share a code, the one whose number this is.
fn plan_of(code: &str, national: &str) -> Option<&'static Plan> {
    match PLANS.by_code.get(code)?.as_slice() {
        [only] => Some(only),
        several => several
            .iter()
            .copied()
            .find(|plan| match &plan.leading_digits {
                Some(leading) => leading.begins(national),
                None => plan.reach(national).is_some(),
            }),
    }
}

static PLANS: LazyLock<Plans> = LazyLock::new(|| {
    let mut plans = Plans::default();
    for row in rows(include_str!("../data/phone_plans.txt")) {
        if let Some(plan) = Plan::read(&row) {
            // Lives as long as the program, as the table does.
            let plan: &'static Plan = Box::leak(Box::new(plan));
            plans.by_region.insert(plan.region, plan);
            plans.by_code.entry(plan.code).or_default().push(plan);
        }
    }
    plans
});

#[derive(Default)]
struct Plans {
    by_region: HashMap<&'static str, &'static Plan>,
    /// The main country of each code first.
    by_code: HashMap<&'static str, Vec<&'static Plan>>,
}

/// One row of the table.
#[derive(Debug)]
struct Plan {
    region: &'static str,
    code: &'static str,
    national_prefix: Option<&'static str>,
    /// The national prefix with what else is dialled before a number, such as the code of a carrier.
    dialled_prefix: Option<Prefix>,
    /// What takes the place of `dialled_prefix` if its last group matched.
    transform: Option<&'static str>,
    international_prefix: Option<Prefix>,
    /// How numbers of this country begin, where others share its code.
    leading_digits: Option<Lazy>,
    any: Lazy,
    types: Vec<(Reach, Lazy)>,
    /// The lengths that numbers of any type may have, one bit each; none for any.
    lengths: u32,
}

impl Plan {
    fn read(row: &[&'static str]) -> Option<Self> {
        let (head, types) = row.split_at_checked(8)?;
        let given = |text: &'static str| (text != "-").then_some(text);
        let [
            region,
            code,
            national,
            dialled,
            transform,
            international,
            leading,
            any,
        ] = *head
        else {
            return None;
        };
        let types: Vec<(Reach, Lazy)> = TYPES
            .into_iter()
            .zip(types)
            .filter_map(|(reach, text)| Some((reach, Lazy::new(given(text)?))))
            .collect();
        let lengths: Vec<u32> = types.iter().map(|(_, pattern)| pattern.lengths).collect();
        let is_complete = !lengths.contains(&0);
        Some(Self {
            region,
            code,
            national_prefix: given(national),
            dialled_prefix: given(dialled).map(Prefix::new),
            transform: given(transform),
            international_prefix: given(international).map(Prefix::new),
            leading_digits: given(leading).map(Lazy::new),
            any: Lazy::new(any),
            types,
            lengths: lengths
                .into_iter()
                .filter(|_| is_complete)
                .fold(0, |all, one| all | one),
        })
    }

    /// From where a national number is dialled; nothing if it is none of this country.
    fn reach(&self, national: &str) -> Option<Reach> {
        if !self.any.fits(national) {
            return None;
        }
        self.types
            .iter()
            .find(|(_, pattern)| pattern.fits(national))
            .map(|(reach, _)| *reach)
    }

    /// The national number that is dialled so. What is left of too short a number was no prefix's to begin with.
    fn dialled<'a>(&self, digits: &'a str) -> Cow<'a, str> {
        let national = self.significant(digits);
        if has_length(self.lengths, national.len()) || self.is_too_long(&national) {
            national
        } else {
            Cow::Borrowed(digits)
        }
    }

    fn is_too_long(&self, digits: &str) -> bool {
        let longest = self.lengths.checked_ilog2();
        longest.is_some_and(|longest| u32::try_from(digits.len()).is_ok_and(|n| n > longest))
    }

    /// The digits without what is dialled before a national number, unless only all of them make a number.
    fn significant<'a>(&self, digits: &'a str) -> Cow<'a, str> {
        let stripped = match &self.dialled_prefix {
            Some(prefix) => prefix.strip(digits).map(|rest| {
                self.transform
                    .and_then(|rule| prefix.transform(digits, rule))
                    .map_or(Cow::Borrowed(rest), Cow::Owned)
            }),
            None => self
                .national_prefix
                .and_then(|prefix| digits.strip_prefix(prefix))
                .map(Cow::Borrowed),
        };
        match stripped {
            Some(rest) if self.any.fits(&rest) || !self.any.fits(digits) => rest,
            _ => Cow::Borrowed(digits),
        }
    }
}

/// Whether a set of lengths, one bit each, has this one. A set of none is of any.
fn has_length(lengths: u32, length: usize) -> bool {
    lengths == 0
        || u32::try_from(length)
            .ok()
            .and_then(|length| lengths.checked_shr(length))
            .is_some_and(|rest| rest & 1 == 1)
}

/// A pattern that is read when it is first asked.
#[derive(Debug)]
struct Lazy {
    /// The lengths that a number may have, one bit each; none for any.
    lengths: u32,
    text: &'static str,
    pattern: OnceLock<Pattern>,
}

impl Lazy {
    /// Takes a cell of the table: a pattern, perhaps after the lengths and a space.
    fn new(cell: &'static str) -> Self {
        let (lengths, text) = cell.split_once(' ').unwrap_or(("", cell));
        let bit = |length: &str| 1_u32.checked_shl(length.parse().ok()?);
        Self {
            lengths: lengths.split(',').filter_map(bit).sum(),
            text,
            pattern: OnceLock::new(),
        }
    }

    fn pattern(&self) -> &Pattern {
        self.pattern
            .get_or_init(|| Pattern::read(self.text).unwrap_or_default())
    }

    /// Whether a number is as the pattern says and has one of the lengths.
    fn fits(&self, national: &str) -> bool {
        has_length(self.lengths, national.len()) && self.pattern().fits(national)
    }

    /// Whether a number begins as the pattern says.
    fn begins(&self, national: &str) -> bool {
        self.pattern().begins(national)
    }
}

/// What is dialled before a number. Unlike for [`Lazy`], it matters how much of the number that is.
#[derive(Debug)]
enum Prefix {
    Digits(&'static str),
    Pattern {
        text: &'static str,
        regex: OnceLock<Option<Regex>>,
    },
}

impl Prefix {
    fn new(text: &'static str) -> Self {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            Self::Digits(text)
        } else {
            Self::Pattern {
                text,
                regex: OnceLock::new(),
            }
        }
    }

    fn regex(&self) -> Option<&Regex> {
        match self {
            Self::Digits(_) => None,
            Self::Pattern { text, regex } => regex
                .get_or_init(|| Regex::new(&format!("^(?:{text})")).ok())
                .as_ref(),
        }
    }

    /// The digits after the prefix, if they begin with it.
    fn strip<'a>(&self, digits: &'a str) -> Option<&'a str> {
        match self {
            Self::Digits(prefix) => digits.strip_prefix(prefix),
            Self::Pattern { .. } => digits.get(self.regex()?.find(digits)?.end()..),
        }
    }

    /// The digits with the prefix replaced, if its last group is in it.
    fn transform(&self, digits: &str, rule: &str) -> Option<String> {
        let found = self.regex()?.captures(digits)?;
        found.get(found.len() - 1)?;
        let mut out = String::new();
        found.expand(rule, &mut out);
        out.push_str(digits.get(found.get(0)?.end()..)?);
        Some(out)
    }
}

#[cfg(test)]
mod tests;

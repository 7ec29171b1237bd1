//! Finds the amounts among the pieces of a text, and the one that is the price.

mod other;
mod reader;
mod sign;

use self::reader::Reader;
use self::sign::Sign;
use super::amount::Amount;
use super::currency::{self, Currency};
use super::hints::{self, Hints};
use super::labels::{self, Labels, is_with_tax};
use super::scan::{Kind, Number, Tokens, is_dash_mark, tokens};
use super::words::{Kinds, phrase};

/// Most words of unknown meaning around an amount without currency.
const MAX_UNKNOWN_WORDS: usize = 2;

/// How far back a word may stand that says what an amount is, in pieces of the text.
const REACH: usize = 4;

/// What stands around an amount and changes its meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not states"
)]
pub struct Flags {
    /// The text gives a range; the amount is its lower end.
    pub is_range: bool,
    /// "From", "ab", "à partir de": the amount is the least of several.
    pub is_from: bool,
    /// The amount is a former or recommended price, and no current one stands beside it.
    pub is_old: bool,
    /// The amount is for a month, a week, a year.
    pub is_periodic: bool,
    /// The amount is for a kilogram, a litre, a metre.
    pub is_per_unit: bool,
    /// The text says "free" instead of a number.
    pub is_free: bool,
}

/// A price as a text gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// In units of the currency (not in cents).
    pub amount: Amount,
    /// By sign, code or word in the text, else by the hints.
    pub currency: Option<Currency>,
    /// The sign, code or word as written.
    pub currency_raw: Option<String>,
    /// What it cost before, where the text says both ("was 20 now 15").
    pub old_amount: Option<Amount>,
    /// What stands around the amount.
    pub flags: Flags,
}

/// An amount in the text, and what stands around it.
#[derive(Debug, Clone)]
struct Candidate {
    amount: Amount,
    currency: Option<Currency>,
    /// The sign as written, as a range of bytes.
    raw: Option<(usize, usize)>,
    /// The pieces it takes, with its currency: the first, and the one after the last.
    first: usize,
    after: usize,
    has_two_decimals: bool,
    is_old: bool,
    is_now: bool,
    labels: Labels,
    flags: Flags,
}

pub(super) fn price(text: &str, hints: &Hints<'_>) -> Option<Price> {
    let tokens = tokens(text);
    let kinds = kinds(&tokens);
    let reader = Reader {
        text,
        tokens,
        kinds,
        hints,
    };
    if !reader.tokens.has_number {
        return reader.free();
    }
    let mut candidates = reader.candidates();
    reader.join_ranges(&mut candidates);
    if candidates.iter().any(|candidate| candidate.raw.is_some()) {
        candidates.retain(|candidate| candidate.raw.is_some());
    } else if !reader.may_be_bare(&candidates) {
        return None;
    }
    reader.label(&mut candidates);
    let chosen = choose(&candidates)?;
    let is_old = chosen.is_old;
    let old_amount = candidates
        .iter()
        .filter(|other| {
            // "De 20 por 15": of two amounts the one before the named price of today.
            let is_former = other.is_old || chosen.is_now && other.after <= chosen.first;
            is_former && !is_old && other.amount > chosen.amount
        })
        .map(|other| other.amount)
        .next();
    Some(Price {
        amount: chosen.amount,
        currency: chosen.currency.or(hints.currency),
        currency_raw: chosen
            .raw
            .and_then(|(start, end)| text.get(start..end))
            .filter(|raw| !raw.is_empty())
            .map(str::to_owned),
        old_amount,
        flags: Flags {
            is_old,
            ..chosen.flags
        },
    })
}

/// The first amount that is today's; one for a whole piece rather than for a kilogram or a month, for everybody rather than for members,
/// and with tax where it stands without it too.
fn choose(candidates: &[Candidate]) -> Option<&Candidate> {
    let chosen = candidates.iter().min_by_key(|candidate| {
        (
            candidate.flags.is_per_unit || candidate.flags.is_periodic,
            candidate.labels.is_for_some,
            candidate.is_old,
            !candidate.is_now,
        )
    })?;
    let with_tax = candidates.iter().find(|other| {
        other.is_old == chosen.is_old
            && other.flags.is_per_unit == chosen.flags.is_per_unit
            && is_with_tax(chosen.labels, chosen.amount, other.labels, other.amount)
    });
    Some(with_tax.unwrap_or(chosen))
}

/// What the words in and around amounts say of each; see [`super::labels()`].
pub(super) fn labels(text: &str, amounts: &[(usize, usize)]) -> Vec<Labels> {
    let tokens = tokens(text);
    let kinds = kinds(&tokens);
    let length = tokens.list.len();
    let is_amount = |at: &usize| {
        let is_number =
            matches!(tokens.list.get(*at), Some(token) if matches!(token.kind, Kind::Number(_)));
        let is_percentage =
            matches!(tokens.list.get(at + 1), Some(token) if token.kind == Kind::Mark('%'));
        let is_of_label = kinds
            .get(*at)
            .is_some_and(|kinds| kinds.any(Kinds::LOWEST_BEFORE));
        is_number && !is_percentage && !is_of_label
    };
    // Words stand within what is given too. Of several amounts there it is not known which is meant: about none is said anything.
    let piece = |(start, end): &(usize, usize)| {
        let within = |at: &usize| matches!(tokens.list.get(*at), Some(token) if token.start >= *start && token.end <= *end);
        let mut numbers = (0..length).filter(within).filter(is_amount);
        match (numbers.next(), numbers.next()) {
            (Some(only), None) => (only, only + 1),
            _ => (length, length),
        }
    };
    let pieces: Vec<(usize, usize)> = amounts.iter().map(piece).collect();
    labels::labels(&tokens, &kinds, &pieces)
}

/// What each piece is, by the phrases it belongs to.
fn kinds(tokens: &Tokens) -> Vec<Kinds> {
    let list = &tokens.list;
    let mut kinds = vec![Kinds::default(); list.len()];
    let mut index = 0;
    while let Some(token) = list.get(index) {
        if !matches!(token.kind, Kind::Word { .. }) {
            if matches!(token.kind, Kind::Mark('&'))
                && let Some(slot) = kinds.get_mut(index)
            {
                *slot = Kinds::AND;
            }
            index += 1;
            continue;
        }
        // The words after this one, over the marks within words and after abbreviations.
        let word_at = |nth: usize| {
            let mut left = nth + 1;
            let mut at = index + 1;
            loop {
                let token = list.get(at)?;
                match token.kind {
                    Kind::Word { .. } => left -= 1,
                    Kind::Mark('.' | '\'' | '’' | '-') if token.is_glued => {}
                    _ => return None,
                }
                if left == 0 {
                    return Some(at);
                }
                at += 1;
            }
        };
        let (found, words) = phrase(tokens.lower(token), |nth| {
            word_at(nth)
                .and_then(|at| list.get(at))
                .map_or("", |token| tokens.lower(token))
        });
        let end = if words > 1 {
            word_at(words - 2).unwrap_or(index)
        } else {
            index
        };
        if let Some(slots) = kinds.get_mut(index..=end) {
            slots.fill(found);
        }
        index = end + 1;
    }
    labels::mark_lowest(tokens, &mut kinds);
    kinds
}

/// How many digits amounts of a currency have after the point in shops; the fils of Iraq are out of use.
fn minor_digits_in_use(currency: Currency) -> u8 {
    match currency.code() {
        "IQD" => 0,
        _ => currency.minor_digits(),
    }
}

impl Reader<'_> {
    /// "Free", and no word that makes it free delivery.
    fn free(&self) -> Option<Price> {
        let all = self
            .kinds
            .iter()
            .copied()
            .fold(Kinds::default(), |a, b| a | b);
        let unknown = self.unknown_words();
        let is_free =
            all.any(Kinds::FREE) && !all.any(Kinds::NOT_FREE) && unknown <= MAX_UNKNOWN_WORDS;
        is_free.then(|| Price {
            amount: Amount::ZERO,
            currency: self.hints.currency,
            currency_raw: None,
            old_amount: None,
            flags: Flags {
                is_free: true,
                ..Flags::default()
            },
        })
    }

    fn unknown_words(&self) -> usize {
        self.tokens
            .list
            .iter()
            .zip(&self.kinds)
            .filter(|(token, kinds)| {
                matches!(token.kind, Kind::Word { .. })
                    && !kinds.is_of_prices()
                    && !kinds.any(Kinds::LOWEST_BEFORE)
            })
            .count()
    }

    /// Whether an amount without currency can be nothing but a price here.
    fn may_be_bare(&self, candidates: &[Candidate]) -> bool {
        let numbers = (0..self.tokens.list.len()).filter(|index| self.is_number(*index));
        let digits: u32 = self
            .tokens
            .list
            .iter()
            .map(|token| match token.kind {
                Kind::Number(number) => number.digit_count(),
                _ => 0,
            })
            .sum();
        if numbers.count() > 2 && digits > 9 {
            return false;
        }
        let has_refs = self.kinds.iter().any(|kinds| kinds.any(Kinds::REF));
        let unknown = self.unknown_words();
        unknown == 0 && !has_refs
            || unknown <= MAX_UNKNOWN_WORDS
                && candidates
                    .first()
                    .is_some_and(|first| first.has_two_decimals)
    }

    /// Adds to each amount what the words around it say.
    fn label(&self, candidates: &mut [Candidate]) {
        let pieces: Vec<(usize, usize)> = candidates
            .iter()
            .map(|candidate| (candidate.first, candidate.after))
            .collect();
        let labels = labels::labels(&self.tokens, &self.kinds, &pieces);
        for (candidate, labels) in candidates.iter_mut().zip(labels) {
            candidate.is_old |= labels.is_lowest_before;
            candidate.labels = labels;
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut taken = 0;
        for index in 0..self.tokens.list.len() {
            let Some(Kind::Number(number)) = self.kind(index) else {
                continue;
            };
            if self.kinds_at(index).any(Kinds::LOWEST_BEFORE) {
                continue;
            }
            let prefix = self.prefix(index, taken);
            if index >= taken
                && let Some((amount, after)) = self.by_myriads(index)
            {
                let suffix = self.suffix(index, after, prefix);
                let currency = self.currency(prefix, suffix, &number);
                if let Some(sign) = prefix.or(suffix) {
                    let first = prefix.map_or(index, |sign| sign.first);
                    let after = suffix.map_or(after, |sign| sign.after);
                    found.extend(self.in_context(amount, &number, (first, after), taken).map(
                        |candidate| Candidate {
                            currency,
                            raw: self.raw(sign),
                            ..candidate
                        },
                    ));
                    taken = after;
                    continue;
                }
            }
            if index < taken {
                continue;
            }
            let (times, after_times) = self.multiplier(index, &number, prefix.is_some());
            let suffix = self.suffix(index, after_times, prefix);
            if prefix.is_none() && suffix.is_none() && self.add_minor(index, &number, &mut found) {
                taken = index + 2;
                continue;
            }
            let has_currency = prefix.is_some() || suffix.is_some();
            let times = if has_currency { times } else { 0 };
            let mut after = if times > 0 { after_times } else { index + 1 };
            let mut first = index;
            if let Some(sign) = prefix {
                first = sign.first;
            }
            if let Some(sign) = suffix {
                after = after.max(sign.after);
            }
            let split = suffix
                .filter(|_| prefix.is_none() && times == 0)
                .and_then(|sign| self.split_by_sign(index, &number, sign))
                .or_else(|| self.split_by_space(index, &number, prefix));
            // `49 99 €`: the sign stands behind the decimals.
            let suffix = suffix.or_else(|| split.and_then(|_| self.sign_at(index + 2, index + 2)));
            if split.is_some() {
                after += 1;
            }
            let has_currency = has_currency || split.is_some();
            let start_of_search = taken;
            taken = after;
            if self.is_signed(first, index)
                || self.is_other_number(index, first, after, has_currency)
            {
                continue;
            }
            let currency = self.currency(prefix, suffix, &number);
            let minor_digits = currency.map_or(2, minor_digits_in_use);
            let decimal = self.decimal(currency, &number);
            let Some(amount) = split.or_else(|| {
                number
                    .value(decimal, minor_digits)
                    .and_then(|amount| amount.times_ten_to(times))
            }) else {
                continue;
            };
            let Some(candidate) = self.in_context(amount, &number, (first, after), start_of_search)
            else {
                continue;
            };
            found.push(Candidate {
                currency,
                raw: prefix.or(suffix).and_then(|sign| self.raw(sign)),
                ..candidate
            });
        }
        found
    }

    /// The amount of `1万9800`, and the place after it.
    fn by_myriads(&self, index: usize) -> Option<(Amount, usize)> {
        let mut sum = Amount::ZERO;
        let mut at = index;
        while let Some(Kind::Number(number)) = self.kind(at) {
            let amount = number.value(None, 2)?;
            let power = match self.lower(at + 1) {
                "万" | "萬" | "만" => 4,
                "億" | "亿" | "억" => 8,
                _ if at > index => return Some((sum.plus(amount)?, at + 1)),
                _ => return None,
            };
            sum = sum.plus(amount.times_ten_to(power)?)?;
            at += 2;
        }
        None
    }

    /// The amount of `$49 99` or `49 99 €` where the text has nothing more.
    fn split_by_space(
        &self,
        index: usize,
        number: &Number,
        prefix: Option<Sign>,
    ) -> Option<Amount> {
        let Some(Kind::Number(decimals)) = self.kind(index + 1) else {
            return None;
        };
        let end = self.tokens.list.len();
        let is_whole = match prefix {
            Some(sign) => sign.first == 0 && index + 2 == end,
            None => {
                index == 0
                    && self
                        .sign_at(2, 2)
                        .is_some_and(|sign| sign.after == end && sign.meaning.is_some())
            }
        };
        (is_whole && decimals.is_plain() && decimals.digit_count() == 2)
            .then(|| number.with_decimals(&decimals))
            .flatten()
    }

    /// The amount of `35€99`, whose decimals stand behind the sign, or of `35€ 99` and nothing more.
    fn split_by_sign(&self, index: usize, number: &Number, sign: Sign) -> Option<Amount> {
        let after = sign.first + 1;
        let Some(Kind::Number(decimals)) = self.kind(after) else {
            return None;
        };
        let is_last = self.token(after + 1).is_none();
        let is_sign = sign.first == index + 1
            && sign.after == after
            && (self.is_glued(sign.first) || is_last && index == 0)
            && matches!(self.kind(sign.first), Some(Kind::Mark(_)));
        // `10€20€` and `35€99-45€99`.
        let is_of_next = self.sign_at(after + 1, after + 1).is_some();
        let is_named = self
            .hints
            .decimal_separator
            .is_some_and(|decimal| self.is_mark(sign.first, &[decimal]));
        let has_place = decimals.digit_count() == 2 && (is_last || is_named)
            || self.is_glued(after) && (decimals.digit_count() == 2 || is_named);
        (is_sign && !is_of_next && has_place)
            .then(|| number.with_decimals(&decimals))
            .flatten()
    }

    /// The character before decimals, where three digits after it would be thousands elsewhere.
    fn decimal(&self, currency: Option<Currency>, number: &Number) -> Option<char> {
        self.hints.decimal_separator.or_else(|| {
            let currency = currency?;
            match (minor_digits_in_use(currency), currency.code()) {
                // Written with a comma as in French and with a point as in English, and never in whole thousands.
                (_, "TND" | "LYD") => number.only_mark(),
                (3, _) => Some(self.decimal_of_three()),
                _ => hints::writes_decimal_point(currency, self.hints).then_some('.'),
            }
        })
    }

    /// The character before three decimals in the language.
    fn decimal_of_three(&self) -> char {
        let language = self
            .hints
            .language
            .and_then(|tag| tag.split(['-', '_']).next());
        match language {
            Some("fr" | "de" | "it" | "es" | "tr" | "nl" | "pt") => ',',
            _ => '.',
        }
    }

    /// Reads the words around an amount. `None` when they make it something else than a price.
    fn in_context(
        &self,
        amount: Amount,
        number: &Number,
        (first, after): (usize, usize),
        floor: usize,
    ) -> Option<Candidate> {
        let mut candidate = Candidate {
            amount,
            currency: None,
            raw: None,
            first,
            after,
            has_two_decimals: number.has_two_decimals(),
            is_old: false,
            is_now: false,
            labels: Labels::default(),
            flags: Flags::default(),
        };
        let mut is_marked = false;
        for (distance, index) in (floor..first).rev().enumerate() {
            let kinds = self.kinds_at(index);
            if distance < REACH {
                if kinds.any(Kinds::SAVING) && !kinds.any(Kinds::NOW | Kinds::PRICE) && !is_marked {
                    return None;
                }
                if kinds.any(Kinds::LIMIT) && distance < 2 && !kinds.any(Kinds::FROM | Kinds::TO) {
                    return None;
                }
                if kinds.any(Kinds::FROM) && distance < 3 && !is_marked {
                    candidate.flags.is_from = true;
                }
            }
            if !is_marked && kinds.any(Kinds::OLD | Kinds::NOW) {
                is_marked = true;
                candidate.is_now = kinds.any(Kinds::NOW);
                candidate.is_old = !candidate.is_now;
            }
        }
        if self.is_fee_before(first, floor) {
            return None;
        }
        let next = self.kinds_at(after);
        if next.any(Kinds::NOT_FREE) && self.is_fee_after(after) {
            return None;
        }
        let label_end = (after..after + REACH)
            .find(|at| self.is_mark(*at, &[':']))
            .map_or(after + REACH, |colon| colon + REACH);
        let is_of_next = (after..label_end).any(|at| self.is_number(at));
        if next.any(Kinds::SAVING) && !next.any(Kinds::NOW) && !is_of_next {
            return None;
        }
        if (next.any(Kinds::FROM) && !next.any(Kinds::PER)
            || self.is_mark(after, &['+', '~', '～', '〜']))
            && self.token(after + 1).is_none()
        {
            candidate.flags.is_from = true;
        }
        candidate.flags.is_periodic = next.any(Kinds::PERIODIC)
            || first > floor && self.kinds_at(first - 1).any(Kinds::PERIODIC)
            || self.is_part(first);
        if next.any(Kinds::PER) || self.is_mark(after, &['/']) {
            let mut what = after + 1;
            if self.is_mark(what, &['.']) {
                what += 1;
            }
            let has_count = self.is_number(what);
            if has_count {
                what += 1;
            }
            let kinds = self.kinds_at(what);
            // `50p/day`, `2.50/100g`, but not `20/10`.
            if kinds.any(Kinds::PERIOD) && !has_count {
                candidate.flags.is_periodic = true;
            } else if kinds.any(Kinds::UNIT)
                && !matches!(
                    self.lower(what),
                    "st" | "stk" | "stück" | "pc" | "piece" | "unit" | "x" | "szt" | "ks" | "шт"
                )
            {
                candidate.flags.is_per_unit = true;
            }
        }
        Some(candidate)
    }

    /// Whether the words before an amount make it the fee of a delivery, or what must be spent to have it free:
    /// "Shipping: 5", "free delivery from 50".
    fn is_fee_before(&self, first: usize, floor: usize) -> bool {
        let mut has_link = false;
        let mut has_free = false;
        for (distance, index) in (floor..first).rev().take(REACH + 3).enumerate() {
            let kinds = self.kinds_at(index);
            if kinds.any(Kinds::NOT_FREE) {
                let is_free = has_free || index > 0 && self.kinds_at(index - 1).any(Kinds::FREE);
                return has_link || distance == 0 && index == 0 && !is_free;
            }
            has_free |= kinds.any(Kinds::FREE);
            let is_link =
                kinds.any(Kinds::FROM | Kinds::LIMIT) || self.is_mark(index, &[':']) && !has_free;
            has_link |= is_link;
            if !is_link && !kinds.any(Kinds::FREE) {
                return false;
            }
        }
        false
    }

    /// Whether an amount is one of several that are paid: "3x de 33", "4 payments of 15".
    fn is_part(&self, first: usize) -> bool {
        let mut has_parts = false;
        for index in (first.saturating_sub(REACH + 2)..first).rev() {
            match self.kind(index) {
                Some(Kind::Number(number)) => return has_parts && number.digit_count() <= 2,
                Some(Kind::Word { .. }) => has_parts |= self.kinds_at(index).any(Kinds::PARTS),
                Some(kind) if is_dash_mark(kind) => {}
                _ => return false,
            }
        }
        false
    }

    /// Whether the words after an amount make it the fee of a delivery: "5 € shipping", not "20 € shipping included".
    fn is_fee_after(&self, after: usize) -> bool {
        let next = (after + 1..after + 3)
            .map(|at| self.kinds_at(at))
            .fold(Kinds::default(), |a, b| a | b);
        let is_of_next = (after..after + REACH).any(|at| self.is_number(at));
        self.token(after + 1).is_none() && !is_of_next && !next.any(Kinds::FREE)
    }

    /// The power of ten that a word after the number stands for, and where it ends.
    fn multiplier(&self, index: usize, number: &Number, has_prefix: bool) -> (u8, usize) {
        let next = index + 1;
        // Nobody writes millions to the cent: `$1,299.00 M.N.` are pesos.
        if number.is_grouped() && number.has_two_decimals() || self.is_national_money(next) {
            return (0, next);
        }
        let is_glued = self.is_glued(next);
        let written = self.written(next);
        let power = match self.lower(next) {
            "k" if is_glued => 3,
            "m" if is_glued && (written == "M" || has_prefix) => 6,
            // `1,5 M€`: the unit is a million euros.
            "m" if written == "M" && self.is_mark_of_money_glued(next + 1) => 6,
            "mio" | "mln" | "mn" | "million" | "millions" | "millionen" | "millón" | "millones"
            | "milhão" | "milhões" | "milione" | "milioni" | "miljoen" | "miljoner" | "milyon"
            | "миллионов" | "млн" => 6,
            "bn" | "billion" | "mrd" | "milliarden" | "milliards" | "млрд" => 9,
            "tys" | "тыс" | "tusen" | "mille" | "mil" => 3,
            "lakh" | "lac" | "लाख" => 5,
            "crore" | "cr" => 7,
            "万" | "萬" | "만" => 4,
            "億" | "亿" | "억" => 8,
            _ => return (0, next),
        };
        let after = next + 1;
        let has_dot = self.is_mark(after, &['.']) && self.is_glued(after);
        (power, if has_dot { after + 1 } else { after })
    }

    fn is_mark_of_money_glued(&self, index: usize) -> bool {
        self.is_glued(index)
            && matches!(self.kind(index), Some(Kind::Mark(_)))
            && self.sign_at(index, index).is_some()
    }

    /// Takes a number of hundredths: adds it to the amount before, or makes it one of its own.
    fn add_minor(&self, index: usize, number: &Number, found: &mut Vec<Candidate>) -> bool {
        let next = index + 1;
        let word = match self.kind(next) {
            Some(Kind::Mark('¢')) => "¢",
            Some(Kind::Word { .. }) => self.lower(next),
            _ => return false,
        };
        let Some(meaning) = currency::minor(word) else {
            return false;
        };
        let Some(amount) = number.value(None, 2) else {
            return false;
        };
        // Counts and carats are written so too.
        if matches!(word, "ct" | "cts" | "c") && !self.is_local(meaning) {
            return false;
        }
        let is_short = word.chars().count() < 3 && word != "¢";
        if is_short && !(self.is_glued(next) && number.is_plain() && number.digit_count() <= 2) {
            return false;
        }
        let Some(hundredths) = amount.hundredth() else {
            return false;
        };
        if let Some(before) = found.last_mut() {
            let is_next_to = (before.after..index)
                .all(|at| self.kinds_at(at).any(Kinds::AND) || self.is_mark(at, &['.']));
            if is_next_to
                && before.amount.scale() == 0
                && number.digit_count() <= 2
                && before
                    .currency
                    .is_none_or(|currency| meaning.admits(currency))
                && let Some(sum) = before.amount.plus(hundredths)
            {
                before.amount = sum;
                before.after = next + 1;
                before.currency = before
                    .currency
                    .or_else(|| hints::resolve(meaning, self.hints));
                return true;
            }
        }
        let Some(candidate) = self.in_context(hundredths, number, (index, next + 1), 0) else {
            return true;
        };
        let raw = self.token(next).map(|token| (token.start, token.end));
        found.push(Candidate {
            currency: hints::resolve(meaning, self.hints),
            raw,
            ..candidate
        });
        true
    }

    /// Makes one candidate, the lower, of two that are the ends of a range.
    fn join_ranges(&self, candidates: &mut Vec<Candidate>) {
        let mut index = 0;
        while index + 1 < candidates.len() {
            let (Some(low), Some(high)) = (candidates.get(index), candidates.get(index + 1)) else {
                break;
            };
            let between = low.after..high.first;
            let is_range = !between.is_empty()
                && between.len() <= 2
                && between.clone().all(|at| {
                    self.kind(at).is_some_and(is_dash_mark)
                        || self.is_mark(at, &['~', '～', '〜', '…'])
                        || self.kinds_at(at).any(Kinds::TO)
                        || self.kinds_at(at).any(Kinds::AND) && low.flags.is_from
                })
                && low.is_old == high.is_old;
            if !is_range {
                index += 1;
                continue;
            }
            let mut joined = if high.amount < low.amount { high } else { low }.clone();
            joined.currency = low.currency.or(high.currency);
            joined.raw = low.raw.or(high.raw);
            // `1-2 kr` in another currency's decimals cannot happen: both were read alike.
            (joined.first, joined.after) = (low.first, high.after);
            joined.flags = low.flags;
            joined.flags.is_range = true;
            joined.flags.is_periodic |= high.flags.is_periodic;
            joined.flags.is_per_unit |= high.flags.is_per_unit;
            candidates.remove(index + 1);
            if let Some(slot) = candidates.get_mut(index) {
                *slot = joined;
            }
        }
    }
}

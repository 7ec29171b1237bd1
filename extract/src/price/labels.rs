//! What the words beside an amount say of whose and which price it is: with or without tax, a lowest price of the days before, one for members.
//!
//! Such words stand before an amount or behind it, and between two amounts it has to be told to which of them they belong.

use super::amount::Amount;
use super::scan::{Kind, Tokens};
use super::words::Kinds;

/// How far a number of days stands from the word for days, in pieces of the text: "30 zile", "30 ultimele zile".
const DAYS_REACH: usize = 3;

/// How far "lowest" stands from the days it is about, in pieces.
const LOWEST_REACH: usize = 12;

/// How far "with" or "without" stands before the name of a tax, in pieces: "incl. 20 % VAT".
const TAX_REACH: usize = 6;

/// How far it stands behind it: "IVA incluido".
const TAX_REACH_AFTER: usize = 3;

/// How far words stand from the amount they are about, in pieces: behind it, before it.
const NEAR: usize = 3;
const FAR: usize = 6;

/// By how much, at most, a price with tax is above the one without.
const MAX_TAX: f64 = 0.35;

/// The rates of the taxes on sales, in percent, by which two amounts without words are told to be the same price without and with tax.
/// Source: the standard and reduced rates of the EU, the EEA, the UK, Switzerland, Türkiye, Japan, Australia and New Zealand (2026).
const RATES: [f64; 27] = [
    5.0, 5.5, 6.0, 7.0, 8.0, 8.1, 9.0, 9.5, 10.0, 12.0, 13.0, 13.5, 14.0, 15.0, 16.0, 17.0, 18.0,
    19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 25.5, 26.0, 27.0,
];

/// Whether tax is in an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tax {
    With,
    Without,
}

/// What the words beside an amount say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) tax: Option<Tax>,
    /// It is the lowest price of the days before a reduction, which shops of the EU print by law (Directive 98/6/EC, article 6a).
    pub(crate) is_lowest_before: bool,
    /// It is for members, for holders of a card, or for a used piece: not what everybody pays for a new one.
    pub(crate) is_for_some: bool,
}

/// Whether `other` is the same price with tax as `net` is without it.
pub(crate) fn is_with_tax(net: Labels, net_amount: Amount, other: Labels, amount: Amount) -> bool {
    let tax = amount.approximate() / net_amount.approximate() - 1.0;
    match (net.tax, other.tax) {
        (Some(Tax::With), _) | (_, Some(Tax::Without)) => false,
        (Some(Tax::Without), Some(Tax::With)) => tax > 0.0 && tax <= MAX_TAX,
        (None, None) => false,
        _ => {
            // What rounding to hundredths makes of it.
            let slack = 0.000_5 + 0.006 / net_amount.approximate();
            RATES.iter().any(|rate| (tax - rate / 100.0).abs() <= slack)
        }
    }
}

/// Marks the words "lowest price of the last 30 days", with the number in them, so that nobody takes it for an amount.
pub(super) fn mark_lowest(tokens: &Tokens, kinds: &mut [Kinds]) {
    for days in 0..kinds.len() {
        if !kinds.get(days).is_some_and(|kinds| kinds.any(Kinds::DAYS)) {
            continue;
        }
        let number = (days.saturating_sub(DAYS_REACH)..days).rev().find(|at| {
            let kind = tokens.list.get(*at).map(|token| token.kind);
            matches!(kind, Some(Kind::Number(number)) if number.is_plain() && number.digit_count() <= 2)
        });
        let begin = number.unwrap_or(days);
        let lowest = (begin.saturating_sub(LOWEST_REACH)..(days + NEAR).min(kinds.len()))
            .find(|at| kinds.get(*at).is_some_and(|kinds| kinds.any(Kinds::LOWEST)));
        if let Some(lowest) = lowest
            && let Some(label) = kinds.get_mut(lowest.min(begin)..=lowest.max(days))
        {
            label.fill(Kinds::LOWEST_BEFORE);
        }
    }
}

/// Words that say one thing of an amount near them.
#[derive(Debug, Clone, Copy)]
struct Statement {
    first: usize,
    last: usize,
    says: Says,
}

#[derive(Debug, Clone, Copy)]
enum Says {
    Tax(Tax),
    LowestBefore,
    ForSome,
}

/// What a text in pieces says of each of its amounts, which are given by their first piece and the one after their last.
pub(super) fn labels(tokens: &Tokens, kinds: &[Kinds], amounts: &[(usize, usize)]) -> Vec<Labels> {
    let mut found = vec![Labels::default(); amounts.len()];
    let words = Words { tokens, kinds };
    for statement in words.statements() {
        let Some(about) = words
            .about(statement, amounts, &found)
            .and_then(|about| found.get_mut(about))
        else {
            continue;
        };
        match statement.says {
            Says::Tax(tax) => about.tax = about.tax.or(Some(tax)),
            Says::LowestBefore => about.is_lowest_before = true,
            Says::ForSome => about.is_for_some = true,
        }
    }
    found
}

struct Words<'a> {
    tokens: &'a Tokens,
    kinds: &'a [Kinds],
}

impl Words<'_> {
    fn is(&self, at: usize, kinds: Kinds) -> bool {
        self.kinds.get(at).is_some_and(|own| own.any(kinds))
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.tokens
            .list
            .get(at)
            .is_some_and(|token| token.kind == Kind::Mark(mark))
    }

    fn statements(&self) -> Vec<Statement> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.kinds.len() {
            let end_of = |kinds| {
                (at..self.kinds.len())
                    .take_while(|at| self.is(*at, kinds))
                    .last()
            };
            let statement = |last, says| {
                Some(Statement {
                    first: at,
                    last,
                    says,
                })
            };
            let next = if let Some(last) = end_of(Kinds::LOWEST_BEFORE) {
                statement(last, Says::LowestBefore)
            } else if let Some(last) = end_of(Kinds::FOR_SOME) {
                statement(last, Says::ForSome)
            } else if self.is(at, Kinds::NET) {
                statement(at, Says::Tax(Tax::Without))
            } else if self.is(at, Kinds::GROSS) {
                statement(at, Says::Tax(Tax::With))
            } else if self.is(at, Kinds::TAX) {
                self.tax_at(at)
            } else {
                None
            };
            at = next.map_or(at, |statement| statement.last) + 1;
            found.extend(next);
        }
        found
    }

    /// What is said of the tax that is named at `at`: "excl. 20 % VAT", "+ VAT", "IVA incluido".
    fn tax_at(&self, at: usize) -> Option<Statement> {
        let said = |other: usize| {
            if self.is(other, Kinds::WITHOUT) || self.is_mark(other, '+') || self.is_no_rate(other)
            {
                Some(Tax::Without)
            } else if self.is(other, Kinds::WITH) {
                Some(Tax::With)
            } else {
                None
            }
        };
        let statement = |other: usize, tax| Statement {
            first: at.min(other),
            last: at.max(other),
            says: Says::Tax(tax),
        };
        // "IVA no incluido" before "con IVA": what denies stands behind.
        let after =
            || (at + 1..=at + TAX_REACH_AFTER).find_map(|other| Some((other, said(other)?)));
        let before = || {
            (at.saturating_sub(TAX_REACH)..at)
                .rev()
                .take_while(|other| self.is_between_tax_words(*other) || said(*other).is_some())
                .find_map(|other| Some((other, said(other)?)))
        };
        before()
            .or_else(after)
            .map(|(other, tax)| statement(other, tax))
    }

    /// A rate of nothing: "alv 0 %".
    fn is_no_rate(&self, at: usize) -> bool {
        let is_zero = self
            .tokens
            .list
            .get(at)
            .is_some_and(|token| match token.kind {
                Kind::Number(number) => number.value(None, 2).is_some_and(Amount::is_zero),
                _ => false,
            });
        is_zero && self.is_mark(at + 1, '%')
    }

    /// What may stand between "incl." and "VAT": marks, the rate, a word or two.
    fn is_between_tax_words(&self, at: usize) -> bool {
        match self.tokens.list.get(at).map(|token| token.kind) {
            Some(Kind::Number(number)) => number.digit_count() <= 3,
            Some(Kind::Mark(c)) => !super::scan::is_sign(c),
            Some(Kind::Word { .. }) => true,
            None => false,
        }
    }

    /// The place among `amounts` of the one that a statement is about.
    fn about(
        &self,
        statement: Statement,
        amounts: &[(usize, usize)],
        found: &[Labels],
    ) -> Option<usize> {
        let before = amounts
            .iter()
            .rposition(|(_, after)| *after <= statement.first)
            .and_then(|place| Some((place, statement.first - amounts.get(place)?.1)));
        let after = amounts
            .iter()
            .position(|(first, _)| *first > statement.last)
            .and_then(|place| Some((place, amounts.get(place)?.0 - statement.last - 1)));
        let within = |found: Option<(usize, usize)>, reach: usize| {
            found
                .filter(|(_, distance)| *distance <= reach)
                .map(|(place, _)| place)
        };
        let has_colon = (statement.last + 1..=statement.last + 2).any(|at| self.is_mark(at, ':'));
        match statement.says {
            Says::Tax(_) => {
                let is_free =
                    |place: &usize| found.get(*place).is_some_and(|one| one.tax.is_none());
                within(after, FAR)
                    .filter(|_| has_colon)
                    .or_else(|| within(before, NEAR).filter(is_free))
                    .or_else(|| within(after, NEAR))
                    .or_else(|| within(before, FAR).filter(is_free))
            }
            Says::LowestBefore => within(after, LOWEST_REACH)
                .filter(|_| !self.is_bracketed(statement))
                .or_else(|| within(before, NEAR)),
            Says::ForSome => within(after, NEAR).or_else(|| within(before, NEAR)),
        }
    }

    /// Whether a statement stands in brackets of its own, behind what it is about.
    fn is_bracketed(&self, statement: Statement) -> bool {
        let opens = statement
            .first
            .checked_sub(1)
            .is_some_and(|at| self.is_mark(at, '(') || self.is_mark(at, '['));
        opens
            && (statement.last + 1..statement.last + FAR)
                .take_while(|at| !matches!(self.tokens.list.get(*at), Some(token) if matches!(token.kind, Kind::Number(_))))
                .any(|at| self.is_mark(at, ')') || self.is_mark(at, ']'))
    }
}

//! The price among what the places on a page say, and how far to trust it.
//!
//! Places are weighed by agreement: an amount has the trust of all the places that name it, and the amount with the most is the price. Before
//! that, what is known to be no price of today is taken out: an amount that a place calls the former price beside its own lower one;
//! where data and page differ by nothing but a point, the one that has lost it counts for little; and so do data whose amount stands nowhere on a
//! page that shows another price plainly. What the address names is chosen.

use super::product::Product;
use super::source::{Source, SourceKind};
use super::visible::Seen;
use crate::price::{self, Amount, Currency, Labels};

/// The confidence from which a place on the page is believed against the page's data.
const SURE_ENOUGH: f32 = 0.6;

/// What is left of the trust in a place whose amount has lost its point or its last groups of digits.
const SLIPPED: f32 = 0.2;

/// What is left of the trust in data whose amount stands nowhere on a page that shows another price plainly.
const NOT_SHOWN: f32 = 0.5;

/// From which confidence a page shows its price plainly.
const PLAIN: f32 = 0.55;

/// The most that is trusted where data and page differ by a point alone, and nothing else agrees with either.
const MAX_AFTER_SLIP: f32 = 0.5;

/// What one place says, in the order of trust.
pub(super) struct Reading {
    pub(super) kind: SourceKind,
    pub(super) product: Product,
    /// How far a price there is to be trusted by itself.
    pub(super) trust: f32,
}

/// What the places say together.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) price: Option<Amount>,
    pub(super) currency: Option<Currency>,
    pub(super) list_price: Option<Amount>,
    /// Every place, the most trusted first.
    pub(super) sources: Vec<Source>,
    /// How far to trust the price, from 0 to 1.
    pub(super) confidence: f32,
}

/// What a place says about the price, and how much that counts.
struct Vote {
    source: Source,
    weight: f32,
    list_price: Option<Amount>,
    is_chosen_by_url: bool,
    /// It is the former price by what another place says.
    is_former: bool,
}

/// Chooses the price among what the sources say. `shows_free` tells whether the page shows that something is free.
pub(super) fn judge(readings: &[Reading], seen: Option<&Seen>, shows_free: bool) -> Judgement {
    let mut votes = votes(readings, seen, shows_free);
    let has_slipped = weaken_slips(&mut votes);
    mark_former(&mut votes);
    let Some(price) = most_trusted(&votes) else {
        return Judgement::default();
    };
    let (agreeing, others): (Vec<&Vote>, Vec<&Vote>) =
        votes.iter().partition(|vote| vote.source.price == price);
    let mut confidence = confidence(&agreeing, &others);
    if has_slipped && agreeing.len() == 1 {
        confidence = confidence.min(MAX_AFTER_SLIP);
    }
    let former = others
        .iter()
        .filter(|vote| vote.is_former)
        .map(|vote| vote.source.price);
    let list_price = former
        .chain(agreeing.iter().filter_map(|vote| vote.list_price))
        .chain(others.iter().filter_map(|vote| vote.list_price))
        .find(|list| *list > price);
    Judgement {
        // As the most trusted place writes it: `20` or `20.00`.
        price: agreeing.first().map(|vote| vote.source.price),
        currency: currency(&agreeing, &others, seen),
        list_price,
        confidence,
        sources: votes.into_iter().map(|vote| vote.source).collect(),
    }
}

/// What every place says, the most trusted first and what is seen last.
fn votes(readings: &[Reading], seen: Option<&Seen>, shows_free: bool) -> Vec<Vote> {
    let data = readings.iter().filter_map(|reading| {
        let product = &reading.product;
        let price = product.price?;
        // Templates leave zeros where they know no price; only what the buyer reads makes it free.
        let is_believed = !price.is_zero() || shows_free;
        is_believed.then_some(Vote {
            source: Source {
                source: reading.kind,
                price: seen.map_or(price, |seen| as_seen(product, price, seen)),
                currency: product.currency,
                confidence: reading.trust,
            },
            weight: match seen {
                Some(seen) if is_contradicted(product, price, seen) => reading.trust * NOT_SHOWN,
                _ => reading.trust,
            },
            list_price: product.list_price,
            is_chosen_by_url: product.is_chosen_by_url,
            is_former: false,
        })
    });
    let shown = seen.map(|seen| Vote {
        source: Source {
            source: SourceKind::HtmlMl,
            price: seen.amount,
            currency: seen.currency,
            confidence: seen.confidence,
        },
        weight: seen.confidence,
        list_price: seen.list_price,
        is_chosen_by_url: false,
        is_former: false,
    });
    data.chain(shown).collect()
}

/// Whether the page shows a price plainly, and the one in the data nowhere, not even struck out. Of a price that the page shows without tax
/// alone, data may have the one with tax.
fn is_contradicted(product: &Product, price: Amount, seen: &Seen) -> bool {
    let is_shown = |amount: &Amount, currency: &Option<Currency>| {
        *amount == price
            && currency.is_none_or(|shown| product.currency.is_none_or(|own| own == shown))
    };
    let is_with_tax = price::is_with_tax(seen.labels, seen.amount, Labels::default(), price);
    seen.confidence >= PLAIN
        && !is_with_tax
        && as_seen(product, price, seen) != seen.amount
        && !seen
            .shown
            .iter()
            .any(|(amount, currency)| is_shown(amount, currency))
}

/// The price of a place in the light of what is seen: of several variants the one whose price stands on the page, and `1.299` is a thousand
/// and more where the buyer reads it so.
fn as_seen(product: &Product, price: Amount, seen: &Seen) -> Amount {
    let is_variant = !product.is_chosen_by_url && product.prices.contains(&seen.amount);
    let is_in_thousands = price.scale() == 3 && price.times_ten_to(3) == Some(seen.amount);
    if price != seen.amount && (is_variant || is_in_thousands) {
        seen.amount
    } else {
        price
    }
}

/// Takes trust from amounts that are those of the page but for a point or the last groups of digits, which a template or the typography
/// has lost. Tells whether there are any.
fn weaken_slips(votes: &mut [Vote]) -> bool {
    let Some((shown, data)) = votes.split_last_mut() else {
        return false;
    };
    if shown.source.source != SourceKind::HtmlMl {
        return false;
    }
    let mut has_slipped = false;
    for vote in data {
        match slip(vote.source.price, shown.source.price) {
            Some(Slip::InData) => vote.weight *= SLIPPED,
            Some(Slip::OnPage) => shown.weight *= SLIPPED,
            Some(Slip::Somewhere) => {}
            None => continue,
        }
        has_slipped = true;
    }
    has_slipped
}

/// Where a point or digits were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slip {
    InData,
    OnPage,
    Somewhere,
}

/// How an amount in data differs from the one on the page, if it does by nothing but a point or lost digits.
fn slip(data: Amount, shown: Amount) -> Option<Slip> {
    if data.is_zero() || shown.is_zero() || data == shown {
        return None;
    }
    if is_cut(data, shown) {
        return Some(Slip::InData);
    }
    let shift =
        |less: Amount, more: Amount| (1..=3).find(|by| less.times_ten_to(*by) == Some(more));
    match (shift(data, shown), shift(shown, data)) {
        // Hundredths are lost by whoever does not write them.
        (Some(2), _) if data.scale() == 2 && shown.scale() == 0 => Some(Slip::OnPage),
        (_, Some(2)) if shown.scale() == 2 && data.scale() == 0 => Some(Slip::InData),
        (None, None) => None,
        _ => Some(Slip::Somewhere),
    }
}

/// Whether an amount is what is left of another before its first comma: `1` of `1,299.00`, `19` of `19,99`.
fn is_cut(part: Amount, whole: Amount) -> bool {
    let digits = whole.to_string();
    let units = digits.split('.').next().unwrap_or_default();
    let part = part.to_string();
    let lost = units.len().saturating_sub(part.len());
    let has_hundredths = whole.scale() > 0 && !digits.ends_with(".00");
    units.starts_with(&part) && lost.is_multiple_of(3) && (lost > 0 || has_hundredths)
}

/// Marks the amounts that a place calls the former price beside a lower one of its own, unless the page shows it as today's.
fn mark_former(votes: &mut [Vote]) {
    let former: Vec<(SourceKind, Amount)> = votes
        .iter()
        .filter(|vote| vote.weight >= SURE_ENOUGH)
        .filter_map(|vote| Some((vote.source.source, vote.list_price?, vote.source.price)))
        .filter(|(_, list, price)| list > price)
        .map(|(place, list, _)| (place, list))
        .collect();
    let shown = votes
        .iter()
        .find(|vote| vote.source.source == SourceKind::HtmlMl && vote.weight >= SURE_ENOUGH)
        .map(|vote| vote.source.price);
    for vote in votes {
        vote.is_former = !vote.is_chosen_by_url
            && former.iter().any(|(place, list)| {
                *place != vote.source.source && *list == vote.source.price && Some(*list) != shown
            });
    }
}

/// The amount that the address names, else the one with the most trust of all places together; of equals the one of the first place.
fn most_trusted(votes: &[Vote]) -> Option<Amount> {
    let counts = |vote: &&Vote| !vote.is_former;
    if let Some(named) = votes.iter().find(|vote| vote.is_chosen_by_url) {
        return Some(named.source.price);
    }
    let trust = |amount: Amount| -> f32 {
        votes
            .iter()
            .filter(counts)
            .filter(|vote| vote.source.price == amount)
            .map(|vote| vote.weight)
            .sum()
    };
    votes
        .iter()
        .filter(counts)
        .map(|vote| vote.source.price)
        // Of equals the first: `max_by` would give the last.
        .rev()
        .max_by(|a, b| trust(*a).total_cmp(&trust(*b)))
        .or_else(|| votes.first().map(|vote| vote.source.price))
}

/// Each place that agrees takes away a third of the doubt, each that disagrees a fifth of the trust.
fn confidence(agreeing: &[&Vote], others: &[&Vote]) -> f32 {
    let Some((first, also)) = agreeing.split_first() else {
        return 0.0;
    };
    let sure = also.iter().fold(first.source.confidence, |sure, vote| {
        1.0 - (1.0 - sure) * (1.0 - vote.source.confidence / 3.0)
    });
    others.iter().fold(sure, |sure, vote| {
        sure * (1.0 - vote.source.confidence / 5.0)
    })
}

/// The currency of the price: by the sign beside it where that means one currency alone; else what the data say that agree; a script's,
/// which is often left as the template had it, only if the sign may mean it.
fn currency(agreeing: &[&Vote], others: &[&Vote], seen: Option<&Seen>) -> Option<Currency> {
    let shown = agreeing
        .iter()
        .find(|vote| vote.source.source == SourceKind::HtmlMl)
        .and(seen);
    let sign = shown.and_then(|seen| seen.sign.as_deref());
    if let Some(seen) = shown
        && sign.is_some_and(price::is_unmistakable)
    {
        return seen.currency;
    }
    let named_by = |votes: &[&Vote], is_script: bool| {
        votes
            .iter()
            .filter(|vote| vote.source.source != SourceKind::HtmlMl)
            .filter(|vote| (vote.source.source == SourceKind::ScriptData) == is_script)
            .filter_map(|vote| vote.source.currency)
            .find(|currency| !is_script || sign.is_none_or(|sign| price::may_mean(sign, *currency)))
    };
    named_by(agreeing, false)
        .or_else(|| named_by(agreeing, true))
        .or_else(|| shown.and_then(|seen| seen.currency))
        .or_else(|| named_by(others, false))
        .or_else(|| named_by(others, true))
        .or_else(|| seen.and_then(|seen| seen.currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn lost_points_and_digits_are_told_from_other_prices() {
        for (data, shown, wanted) in [
            ("1", "1299.00", Some(Slip::InData)),
            ("12", "12345.67", Some(Slip::InData)),
            ("19", "19.99", Some(Slip::InData)),
            ("1999", "19.99", Some(Slip::InData)),
            ("19.99", "1999", Some(Slip::OnPage)),
            ("12.5", "125", Some(Slip::Somewhere)),
            ("80", "95", None),
            ("19", "19.00", None),
            ("1", "12.99", None),
            ("99.00", "990.50", None),
        ] {
            assert_eq!(slip(amount(data), amount(shown)), wanted, "{data} {shown}");
        }
    }
}

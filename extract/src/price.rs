//! Reads a price out of a text, whatever country wrote it.
//!
//! [`parse`] is for short texts that stand where prices stand: `kr 19 990,-`, `from $1,299.00`,
//! `Was 20 now 15`. Amounts are exact decimals, never floating point.

mod amount;
mod currency;
mod hints;
mod labels;
mod raised;
mod read;
mod scan;
mod words;

pub use self::amount::{Amount, ParseAmountError};
pub use self::currency::Currency;
pub use self::hints::Hints;
pub(super) use self::labels::{Labels, is_with_tax};
pub(super) use self::raised::{Raised, raised, takes_cents};
pub use self::read::{Flags, Price};

/// The character that `text` consists of, if it is a currency sign by itself (`€`, `$`).
#[must_use]
pub fn currency_sign(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars
        .next()
        .filter(|c| chars.next().is_none() && scan::is_sign(*c))
}

/// How much of a text is looked at, in bytes.
pub const MAX_TEXT_BYTES: usize = 2 * 1024;

/// Reads the price in a text. `None` when there is none, or when it is negative.
///
/// Of several amounts the first current one is taken: not what the words around it call a former
/// price, a saving, a threshold ("orders over $75") or a price per kilogram. An amount without any
/// currency counts only where nothing else in the text could make it another number; percentages,
/// dates, telephone numbers, sizes and quantities never do. At most [`MAX_TEXT_BYTES`] are read.
#[must_use]
pub fn parse(text: &str, hints: &Hints<'_>) -> Option<Price> {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    let text = text.get(..end).unwrap_or_default();
    read::price(&raised::lowered(text), hints)
}

/// What the words around amounts in a text say of each, which is given by where it begins and ends, in bytes.
pub(super) fn labels(text: &str, amounts: &[(usize, usize)]) -> Vec<Labels> {
    read::labels(text, amounts)
}

/// Whether a sign, code or word that stands beside an amount may mean `currency`. What is no sign may mean any.
pub(super) fn may_mean(written: &str, currency: Currency) -> bool {
    let lower: String = written
        .trim_end_matches('.')
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect();
    match (Currency::from_code(written), currency::sign(&lower)) {
        (Some(code), _) => code == currency,
        (None, Some(meaning)) => meaning.admits(currency),
        (None, None) => true,
    }
}

/// Whether a sign, code or word means one currency wherever it stands, and is no other word.
pub(super) fn is_unmistakable(written: &str) -> bool {
    let lower = written.trim_end_matches('.').to_lowercase();
    Currency::from_code(written).is_some()
        || currency::weakness(&lower).is_none()
            && currency::sign(&lower).is_some_and(|meaning| meaning.candidates().len() == 1)
}

#[cfg(test)]
mod tests;

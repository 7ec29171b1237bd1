//! Reads a price out of a text, whatever country wrote it.
//!
//! [`parse`] is for short texts that stand where prices stand: `kr 19 990,-`, `from $1,299.00`,
//! `Was 20 now 15`. Amounts are exact decimals, never floating point.

mod amount;
mod currency;
mod hints;
mod read;
mod scan;
mod words;

pub use self::amount::{Amount, ParseAmountError};
pub use self::currency::Currency;
pub use self::hints::Hints;
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
    read::price(text, hints)
}

#[cfg(test)]
mod tests;

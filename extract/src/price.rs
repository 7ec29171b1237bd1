//! Reads a price out of a text, whatever country wrote it.
//!
//! [`parse`] is for short texts that stand where prices stand: `kr 19 990,-`, `from $1,299.00`,
//! `Was 20 now 15`. Amounts are exact decimals, never floating point.

mod amount;
mod currency;
mod read;
mod scan;
mod words;

pub use self::amount::{Amount, ParseAmountError};
pub use self::currency::Currency;

/// What the caller knows beyond the text. All are optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// The currency if the text names none, or an ambiguous sign (`$`, `kr`, `¥`).
    pub currency: Option<Currency>,
    /// The character before the decimals, where the text leaves it open: `.` or `,` (`1.234`), or a
    /// currency sign (`1250€600`; see [`currency_sign`]).
    pub decimal_separator: Option<char>,
    /// The language of the text or page, as a BCP 47 tag (`nb`, `en-CA`).
    pub language: Option<&'a str>,
    /// The host of the page (`www.shop.example.se`), for its country.
    pub domain: Option<&'a str>,
}

/// The character that `text` consists of, if it is a currency sign by itself (`€`, `$`).
#[must_use]
pub fn currency_sign(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars
        .next()
        .filter(|c| chars.next().is_none() && scan::is_sign(*c))
}

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

//! What the caller knows beyond the text, and which currency that makes of an ambiguous sign.

use super::currency::{self, Currency, Meaning};

/// Country-code domains sold to the whole world, so that they say nothing about money.
const OPEN_DOMAINS: &[&str] = &[
    "ac", "ag", "ai", "am", "as", "bz", "cc", "cd", "co", "cx", "dj", "fm", "gg", "gs", "im", "io",
    "la", "ly", "me", "ml", "ms", "mu", "nu", "pw", "sc", "sh", "st", "tf", "tk", "to", "tv", "vc",
    "vg", "ws",
];

/// What the caller knows beyond the text. All are optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// The currency if the text names none, or an ambiguous sign (`$`, `kr`, `¥`).
    pub currency: Option<Currency>,
    /// The character before the decimals, where the text leaves it open: `.` or `,` (`1.234`), or a
    /// currency sign (`1250€600`; see [`crate::price::currency_sign`]).
    pub decimal_separator: Option<char>,
    /// The language of the text or page, as a BCP 47 tag (`nb`, `en-CA`).
    pub language: Option<&'a str>,
    /// The host of the page (`www.shop.example.se`), for its country.
    pub domain: Option<&'a str>,
}

impl Currency {
    /// The currency a structured field names: a code, or a sign or word instead of it.
    #[must_use]
    pub fn from_field(field: &str, hints: &Hints<'_>) -> Option<Self> {
        let field = field.trim();
        Self::from_code(field).or_else(|| {
            currency::sign(&field.trim_end_matches('.').to_lowercase())
                .and_then(|meaning| resolve(meaning, hints))
        })
    }

    /// The currency of the country that domain or language points to.
    pub(in super::super) fn local(hints: &Hints<'_>) -> Option<Self> {
        hints.currency.or_else(|| local(hints).next())
    }
}

/// Which currency a sign means here: the caller's, else that of the domain's country, else that of
/// the language's, if the sign may mean it; else the usual one, if there is one.
pub(super) fn resolve(meaning: &Meaning, hints: &Hints<'_>) -> Option<Currency> {
    if let [only] = meaning.candidates() {
        return Some(*only);
    }
    hints
        .currency
        .into_iter()
        .chain(local(hints))
        .find(|currency| meaning.admits(*currency))
        .or_else(|| meaning.usual())
}

/// The currencies of the countries that domain and language point to, best first.
pub(super) fn local(hints: &Hints<'_>) -> impl Iterator<Item = Currency> {
    let by_domain = hints.domain.and_then(|host| {
        let label = host.trim_end_matches('.').rsplit('.').next()?;
        let label = label.to_ascii_lowercase();
        if label.len() != 2 || OPEN_DOMAINS.contains(&label.as_str()) {
            return None;
        }
        let country = label.to_ascii_uppercase();
        Currency::of_country(if country == "UK" { "GB" } else { &country })
    });
    let by_region = hints.language.and_then(|tag| {
        tag.split(['-', '_'])
            .skip(1)
            .find(|part| part.len() == 2)
            .and_then(|region| Currency::of_country(&region.to_ascii_uppercase()))
    });
    let by_language = hints.language.and_then(|tag| {
        let language = tag.split(['-', '_']).next()?.to_ascii_lowercase();
        Currency::of_country(currency::country_of_language(&language)?)
    });
    by_domain.into_iter().chain(by_region).chain(by_language)
}

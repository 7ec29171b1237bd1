//! What the caller knows beyond the text, and which currency that makes of an ambiguous sign.

use super::currency::{self, Currency, Meaning};

/// Country-code domains sold to the whole world, so that they say nothing about money.
const OPEN_DOMAINS: &[&str] = &[
    "ac", "ag", "ai", "am", "as", "bz", "cc", "cd", "co", "cx", "dj", "fm", "gg", "gs", "im", "io",
    "la", "ly", "me", "ml", "ms", "mu", "nu", "pw", "sc", "sh", "st", "tf", "tk", "to", "tv", "vc",
    "vg", "ws",
];

/// Labels under which a country sells to its own: `com.co` is Colombia's, where `.co` is anybody's.
const OWN_LABELS: &[&str] = &[
    "com", "co", "net", "org", "edu", "gov", "gob", "nom", "ac", "mil", "or", "go", "ne",
];

/// Open domains whose country's language tells that it is meant.
const OPEN_DOMAIN_LANGUAGES: &[(&str, &str)] = &[
    ("co", "es"),
    ("la", "lo"),
    ("am", "hy"),
    ("ly", "ar"),
    ("dj", "fr"),
    ("cd", "fr"),
    ("ml", "fr"),
    ("st", "pt"),
    ("to", "to"),
    ("ws", "sm"),
];

/// Countries that write a point before decimals and never one between thousands, whose money has hundredths (CLDR, number symbols of
/// the locales en-GB, en-AU …). Not the United States: `en-US` stands in templates of shops everywhere.
const POINT_COUNTRIES: &[&str] = &["GB", "IM", "JE", "GG", "AU", "NZ", "SG", "HK", "MY"];

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

/// Which currency a sign means beside an amount whose thousands are grouped by points: none of the dollars that other English-speaking
/// countries have, so that of the domain's country counts also where anybody may have such a domain.
pub(super) fn by_grouping(
    meaning: &Meaning,
    is_grouped_by_points: bool,
    hints: &Hints<'_>,
) -> Option<Currency> {
    let is_undecided = is_grouped_by_points
        && hints.currency.is_none()
        && !local(hints).any(|currency| meaning.admits(currency));
    let country = hints
        .domain
        .filter(|_| is_undecided)
        .and_then(country_label)?;
    Currency::of_country(&country).filter(|currency| meaning.admits(*currency))
}

/// Whether amounts of a currency have a point before their decimals, however many there are, because it is the money of the page's country.
pub(super) fn writes_decimal_point(currency: Currency, hints: &Hints<'_>) -> bool {
    let is_there = |country: &str| {
        POINT_COUNTRIES.contains(&country) && Currency::of_country(country) == Some(currency)
    };
    match hints.domain.and_then(|host| country_of_domain(host, hints)) {
        Some(country) => is_there(&country),
        None => hints
            .language
            .and_then(region)
            .is_some_and(|country| is_there(&country)),
    }
}

/// The currencies of the countries that domain and language point to, best first.
pub(super) fn local(hints: &Hints<'_>) -> impl Iterator<Item = Currency> {
    let by_domain = hints
        .domain
        .and_then(|host| country_of_domain(host, hints))
        .and_then(|country| Currency::of_country(&country));
    let by_region = hints
        .language
        .and_then(region)
        .and_then(|country| Currency::of_country(&country));
    let by_language = hints.language.and_then(|tag| {
        let language = tag.split(['-', '_']).next()?.to_ascii_lowercase();
        Currency::of_country(currency::country_of_language(&language)?)
    });
    by_domain.into_iter().chain(by_region).chain(by_language)
}

/// The country in a language tag (`CO` of `es-CO`).
fn region(tag: &str) -> Option<String> {
    tag.split(['-', '_'])
        .skip(1)
        .find(|part| part.len() == 2)
        .map(str::to_ascii_uppercase)
}

/// The country that a host's last label names, whoever may have such a host.
fn country_label(host: &str) -> Option<String> {
    let label = host.trim_end_matches('.').rsplit('.').next()?;
    (label.len() == 2).then(|| match label.to_ascii_uppercase().as_str() {
        "UK" => "GB".to_owned(),
        country => country.to_owned(),
    })
}

/// The country that a host is of. Under domains that are sold to the whole world that takes the country's own second level, or its language.
fn country_of_domain(host: &str, hints: &Hints<'_>) -> Option<String> {
    let country = country_label(host)?;
    let mut labels = host
        .trim_end_matches('.')
        .rsplit('.')
        .map(str::to_ascii_lowercase);
    let (last, second) = (labels.next()?, labels.next());
    if !OPEN_DOMAINS.contains(&last.as_str()) {
        return Some(country);
    }
    let is_own =
        second.is_some_and(|label| OWN_LABELS.contains(&label.as_str())) && labels.next().is_some();
    let language = hints.language.and_then(|tag| tag.split(['-', '_']).next());
    let speaks_it = language.is_some_and(|language| {
        OPEN_DOMAIN_LANGUAGES.contains(&(last.as_str(), language.to_ascii_lowercase().as_str()))
    });
    (is_own || speaks_it).then_some(country)
}

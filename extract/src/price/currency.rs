//! Currencies: ISO 4217 and how shops write them.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use super::Hints;
use crate::table::rows;

/// Country-code domains sold to the whole world, so that they say nothing about money.
const OPEN_DOMAINS: &[&str] = &[
    "ac", "ag", "ai", "am", "as", "bz", "cc", "cd", "co", "cx", "dj", "fm", "gg", "gs", "im", "io",
    "la", "ly", "me", "ml", "ms", "mu", "nu", "pw", "sc", "sh", "st", "tf", "tk", "to", "tv", "vc",
    "vg", "ws",
];

/// Codes that are also words or names in capitals; they count only where something else agrees.
const WORDLIKE_CODES: &[&str] = &[
    "ALL", "AMD", "BAM", "BOB", "COP", "CUP", "DOP", "GEL", "LAK", "MAD", "MOP", "PAB", "PEN",
    "SOS", "STN", "TOP", "TRY", "VES", "WST",
];

/// A currency of ISO 4217. Shown and serialised as its code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(u16);

struct Row {
    code: &'static str,
    minor_digits: u8,
}

/// What a sign or word may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The currencies it may be, the usual one first.
    candidates: Box<[Currency]>,
    /// Whether the first is meant when nothing says which.
    has_default: bool,
}

/// Where a sign that is also another word means money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weakness {
    /// Only where that currency is at home.
    Local,
    /// Only with a capital in front, or where it is at home.
    Capital,
    /// Only behind the amount, or where it is at home.
    After,
}

impl Weakness {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "local" => Self::Local,
            "capital" => Self::Capital,
            "after" => Self::After,
            _ => return None,
        })
    }
}

struct Table {
    rows: Vec<Row>,
    by_code: HashMap<&'static str, Currency>,
    by_sign: HashMap<&'static str, Meaning>,
    by_minor: HashMap<&'static str, Meaning>,
    weak: HashMap<&'static str, Weakness>,
    by_country: HashMap<&'static str, Currency>,
    country_of_language: HashMap<&'static str, &'static str>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::read);

impl Table {
    fn read() -> Self {
        let mut table = Self {
            rows: Vec::new(),
            by_code: HashMap::new(),
            by_sign: HashMap::new(),
            by_minor: HashMap::new(),
            weak: HashMap::new(),
            by_country: HashMap::new(),
            country_of_language: HashMap::new(),
        };
        for row in rows(include_str!("../data/currencies.txt")) {
            let [code, digits, countries, signs] = row.as_slice() else {
                continue;
            };
            let Ok(index) = u16::try_from(table.rows.len()) else {
                break;
            };
            let currency = Currency(index);
            table.rows.push(Row {
                code,
                minor_digits: digits.parse().unwrap_or(2),
            });
            table.by_code.insert(code, currency);
            table
                .by_country
                .extend(listed(countries).map(|country| (country, currency)));
            let meaning = Meaning {
                candidates: Box::new([currency]),
                has_default: true,
            };
            table
                .by_sign
                .extend(listed(signs).map(|sign| (sign, meaning.clone())));
        }
        for row in rows(include_str!("../data/currency_signs.txt")) {
            if let [sign, codes] = row.as_slice() {
                let meaning = table.meaning(codes);
                table.by_sign.insert(sign, meaning);
            }
        }
        for row in rows(include_str!("../data/currency_minor.txt")) {
            if let [word, codes] = row.as_slice() {
                let meaning = table.meaning(codes);
                table.by_minor.insert(word, meaning);
            }
        }
        for row in rows(include_str!("../data/currency_weak.txt")) {
            if let [kind, signs] = row.as_slice()
                && let Some(kind) = Weakness::named(kind)
            {
                table.weak.extend(listed(signs).map(|sign| (sign, kind)));
            }
        }
        for row in rows(include_str!("../data/currency_languages.txt")) {
            if let [language, country] = row.as_slice() {
                table.country_of_language.insert(language, country);
            }
        }
        table
    }

    fn meaning(&self, codes: &'static str) -> Meaning {
        Meaning {
            candidates: codes
                .split('|')
                .filter_map(|code| self.by_code.get(code).copied())
                .collect(),
            has_default: !codes.starts_with('-'),
        }
    }
}

fn listed(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('|').filter(|item| *item != "-")
}

impl Currency {
    /// The currency with an ISO 4217 code, in any case.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        let upper: [u8; 3] = code.trim().as_bytes().try_into().ok()?;
        let upper = upper.map(|byte| byte.to_ascii_uppercase());
        TABLE
            .by_code
            .get(std::str::from_utf8(&upper).ok()?)
            .copied()
    }

    /// The currency a structured field names: a code, or a sign or word instead of it.
    #[must_use]
    pub fn from_field(field: &str, hints: &Hints<'_>) -> Option<Self> {
        let field = field.trim();
        Self::from_code(field).or_else(|| {
            sign(&field.trim_end_matches('.').to_lowercase())
                .and_then(|meaning| resolve(meaning, hints))
        })
    }

    /// The currency of a country (ISO 3166-1 alpha-2, capitals).
    #[must_use]
    pub fn of_country(country: &str) -> Option<Self> {
        TABLE.by_country.get(country).copied()
    }

    /// All currencies, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.rows.len()).filter_map(|index| u16::try_from(index).ok().map(Self))
    }

    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        TABLE
            .rows
            .get(usize::from(self.0))
            .map_or("XXX", |row| row.code)
    }

    /// The currency of the country that domain or language points to.
    pub(in super::super) fn local(hints: &Hints<'_>) -> Option<Self> {
        hints.currency.or_else(|| local(hints).next())
    }

    /// How many digits its amounts have after the point.
    #[must_use]
    pub fn minor_digits(self) -> u8 {
        TABLE
            .rows
            .get(usize::from(self.0))
            .map_or(2, |row| row.minor_digits)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What a sign or word (lower case, without final dot) means.
pub(super) fn sign(lower: &str) -> Option<&'static Meaning> {
    TABLE.by_sign.get(lower)
}

/// Whether a sign (lower case) is also another word.
pub(super) fn weakness(lower: &str) -> Option<Weakness> {
    TABLE.weak.get(lower).copied()
}

/// What a word for hundredths (lower case) means.
pub(super) fn minor(lower: &str) -> Option<&'static Meaning> {
    TABLE.by_minor.get(lower)
}

/// The currency of a code as it stands in a text. Codes in capitals, or in one case with a capital
/// in front, except that those which are also words need `is_backed`.
pub(super) fn code(text: &str, is_backed: impl FnOnce(Currency) -> bool) -> Option<Currency> {
    let currency = Currency::from_code(text)?;
    let is_wordlike = WORDLIKE_CODES.contains(&currency.code());
    let is_capital = text.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_taken = if is_wordlike {
        is_capital && is_backed(currency)
    } else {
        is_capital
            || !matches!(
                currency.code(),
                "SAR" | "INR" | "NAD" | "MUR" | "KES" | "RON"
            )
    };
    is_taken.then_some(currency)
}

impl Meaning {
    /// Every currency it may mean.
    #[cfg(test)]
    pub(super) fn candidates(&self) -> &[Currency] {
        &self.candidates
    }

    /// Whether it may mean `currency`.
    pub(super) fn admits(&self, currency: Currency) -> bool {
        self.candidates.contains(&currency)
    }
}

/// Which currency a sign means here: the caller's, else that of the domain's country, else that of
/// the language's, if the sign may mean it; else the usual one, if there is one.
pub(super) fn resolve(meaning: &Meaning, hints: &Hints<'_>) -> Option<Currency> {
    if let [only] = &*meaning.candidates {
        return Some(*only);
    }
    hints
        .currency
        .into_iter()
        .chain(local(hints))
        .find(|currency| meaning.admits(*currency))
        .or_else(|| {
            meaning
                .candidates
                .first()
                .copied()
                .filter(|_| meaning.has_default)
        })
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
        let country = TABLE.country_of_language.get(language.as_str())?;
        Currency::of_country(country)
    });
    by_domain.into_iter().chain(by_region).chain(by_language)
}

#[cfg(test)]
pub(super) fn tables() -> impl Iterator<Item = (&'static str, &'static Meaning)> {
    TABLE.by_sign.iter().map(|(sign, meaning)| (*sign, meaning))
}

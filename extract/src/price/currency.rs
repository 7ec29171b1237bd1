//! Currencies: ISO 4217 and how shops write them.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

use crate::table::rows;

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

/// What a sign or word may mean; nothing that ISO 4217 knows for the toman.
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
    /// Only where it is at home, and with a capital in front.
    LocalCapital,
    /// Only behind the amount, or where it is at home.
    After,
}

impl Weakness {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "local" => Self::Local,
            "capital" => Self::Capital,
            "local-capital" => Self::LocalCapital,
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

/// The country (ISO 3166-1 alpha-2, capitals) where a language (lower case) is mostly written, for its currency.
pub(super) fn country_of_language(language: &str) -> Option<&'static str> {
    TABLE.country_of_language.get(language).copied()
}

impl Meaning {
    /// Every currency it may mean, the usual one first.
    pub(super) fn candidates(&self) -> &[Currency] {
        &self.candidates
    }

    /// The currency that is meant when nothing says which, if there is one.
    pub(super) fn usual(&self) -> Option<Currency> {
        self.candidates
            .first()
            .copied()
            .filter(|_| self.has_default)
    }

    /// Whether all that it may mean, `other` may mean too.
    pub(super) fn is_among(&self, other: &Self) -> bool {
        !self.candidates.is_empty() && self.candidates.iter().all(|one| other.admits(*one))
    }

    /// Whether it may mean `currency`.
    pub(super) fn admits(&self, currency: Currency) -> bool {
        self.candidates.contains(&currency)
    }
}

#[cfg(test)]
pub(super) fn tables() -> impl Iterator<Item = (&'static str, &'static Meaning)> {
    TABLE.by_sign.iter().map(|(sign, meaning)| (*sign, meaning))
}

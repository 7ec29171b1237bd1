//! Values in structured data: texts, amounts, addresses.

use serde_json::{Map, Value};
use url::Url;

use crate::html::folded;
use crate::offer::name::Names;
use crate::price::{self, Amount, Currency, Hints};

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 500;

/// What the page itself says, for telling its product from others.
pub(in super::super) struct Context<'a> {
    pub(in super::super) url: Option<&'a Url>,
    pub(in super::super) names: &'a Names,
    pub(in super::super) hints: Hints<'a>,
}

/// The text of a property: a string, a number, the name or value of an object, the first of a list.
pub(super) fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    text_value(object.get(key)?, 0)
}

pub(super) fn text_value(value: &Value, depth: usize) -> Option<String> {
    match value {
        Value::String(text) => clean(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) if depth < 3 => {
            values.iter().find_map(|value| text_value(value, depth + 1))
        }
        Value::Object(object) if depth < 3 => {
            ["name", "@value", "value", "url", "contentUrl", "@id"]
                .iter()
                .find_map(|key| object.get(*key))
                .and_then(|value| text_value(value, depth + 1))
        }
        _ => None,
    }
}

/// Folds white space and resolves the entities that are left in data.
fn clean(text: &str) -> Option<String> {
    if text.contains('&') {
        let decoded = html_text(text);
        return folded(&decoded, MAX_NAME_CHARS);
    }
    folded(text, MAX_NAME_CHARS)
}

/// The text of a fragment of HTML without tags: only its named and numbered characters count.
fn html_text(text: &str) -> String {
    let bounded: String = text.chars().take(2_000).filter(|c| *c != '<').collect();
    let fragment = scraper::Html::parse_fragment(&bounded);
    fragment.root_element().text().collect()
}

/// Whether a variant's address is the page's, with the query or fragment that chooses it.
pub(super) fn names_variant(address: &str, url: &Url) -> bool {
    let Ok(address) = url.join(address) else {
        return false;
    };
    let has_fragment = address
        .fragment()
        .is_none_or(|fragment| url.fragment() == Some(fragment));
    has_fragment
        && address.path().trim_end_matches('/') == url.path().trim_end_matches('/')
        && address.host_str() == url.host_str()
        && match address.query() {
            None => url.query().is_none(),
            Some(_) => address
                .query_pairs()
                .filter(|(name, _)| !name.starts_with("utm_"))
                .all(|pair| url.query_pairs().any(|own| own == pair)),
        }
}

/// An amount in data: a number, a plain decimal text, or a text as people write it.
pub(in super::super) fn amount(
    value: &Value,
    currency: Option<Currency>,
    hints: &Hints<'_>,
) -> Option<Amount> {
    let amount = match value {
        Value::Number(number) => number_amount(number)?,
        Value::String(text) => {
            let text = text.trim();
            match text.parse() {
                Ok(amount) => amount,
                Err(_) if text.contains(|c: char| c.is_numeric()) => {
                    let hints = Hints {
                        currency: currency.or(hints.currency),
                        ..*hints
                    };
                    price::parse(text, &hints)?.amount
                }
                Err(_) => return None,
            }
        }
        Value::Array(values) => {
            return values
                .iter()
                .take(5)
                .find_map(|value| amount(value, currency, hints));
        }
        // JSON-LD's long form of a value.
        Value::Object(object) => match object.get("@value") {
            Some(value @ (Value::Number(_) | Value::String(_))) => {
                return amount(value, currency, hints);
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(tidy(amount, currency))
}

/// Decimals beyond the currency's that a program has left behind (`198.99996`) are rounded away.
fn tidy(amount: Amount, currency: Option<Currency>) -> Amount {
    let digits = currency.map_or(2, Currency::minor_digits).max(2);
    if amount.scale() > digits + 1 {
        amount.rounded(digits)
    } else {
        amount
    }
}

/// The digits of a JSON number, which are those the page wrote.
fn number_amount(number: &serde_json::Number) -> Option<Amount> {
    let text = number.to_string();
    if let Ok(amount) = text.parse() {
        return Some(amount);
    }
    // More decimals than an amount keeps, which come from binary arithmetic.
    let (whole, decimals) = text.split_once('.')?;
    let kept = decimals.get(..6)?;
    format!("{whole}.{kept}").parse().ok()
}

//! What is done with a value after it was found.

use regex::RegexBuilder;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use url::Url;

use super::limits::MAX_VALUE_CHARS;
use super::work::Work;
use crate::url::resolve;

/// How large a compiled expression may become, in bytes.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// One that becomes no larger than this is light: it goes through a value without looking back.
const LIGHT_REGEX_BYTES: usize = 16 * 1024;

/// What it costs to compile an expression, and to go through a byte of a value with a light one, and with any other, in steps.
const COMPILE_STEPS: u64 = 50_000;
const LIGHT_STEPS_PER_BYTE: u64 = 1;
const HEAVY_STEPS_PER_BYTE: u64 = 64;

/// One change to a value. One that cannot be made yields nothing, and the next selector is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `"trim"` (also `"strip"`): white space off both ends, which every value has had already.
    Trim,
    /// `"lowercase"`.
    Lowercase,
    /// `"uppercase"`.
    Uppercase,
    /// `"digits"`: only the decimal digits.
    Digits,
    /// `"absolute_url"`: the value as a link of the page, resolved.
    AbsoluteUrl,
    /// `{"regex": "…"}`: the first group of the first match, or the match if there is no group.
    Regex(String),
    /// `{"replace": ["from", "to"]}`: every occurrence.
    Replace(String, String),
}

impl Step {
    /// What the structure check asks for.
    pub(super) const KNOWN: &'static str = "trim, lowercase, uppercase, digits, absolute_url, {\"regex\": …} or \
                                            {\"replace\": [from, to]}";

    pub(super) fn read(value: &Value) -> Option<Self> {
        if let Some(name) = value.as_str() {
            return Some(match name {
                "trim" | "strip" => Self::Trim,
                "lowercase" => Self::Lowercase,
                "uppercase" => Self::Uppercase,
                "digits" => Self::Digits,
                "absolute_url" => Self::AbsoluteUrl,
                _ => return None,
            });
        }
        let (name, argument) = value
            .as_object()
            .filter(|step| step.len() == 1)?
            .iter()
            .next()?;
        match (name.as_str(), argument) {
            ("regex", Value::String(expression)) if regex(expression).is_some() => {
                Some(Self::Regex(expression.clone()))
            }
            ("replace", Value::Array(pair)) => match pair.as_slice() {
                [Value::String(from), Value::String(to)] if !from.is_empty() => {
                    Some(Self::Replace(from.clone(), to.clone()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn apply(&self, value: &str, base: Option<&Url>, work: &Work) -> Option<String> {
        let changed = match self {
            Self::Trim => value.trim().to_owned(),
            Self::Lowercase => value.to_lowercase(),
            Self::Uppercase => value.to_uppercase(),
            Self::Digits => value.chars().filter(char::is_ascii_digit).collect(),
            Self::AbsoluteUrl => match base {
                Some(base) => resolve(base, value)?.into(),
                None => Url::parse(value).ok()?.into(),
            },
            Self::Regex(expression) => {
                if !work.spend(COMPILE_STEPS) {
                    return None;
                }
                let (regex, per_byte) = match sized(expression, LIGHT_REGEX_BYTES) {
                    Some(light) => (light, LIGHT_STEPS_PER_BYTE),
                    None => (regex(expression)?, HEAVY_STEPS_PER_BYTE),
                };
                let bytes = u64::try_from(value.len()).unwrap_or(u64::MAX);
                if !work.spend(bytes.saturating_mul(per_byte)) {
                    return None;
                }
                let found = regex.captures(value)?;
                found.get(1).or_else(|| found.get(0))?.as_str().to_owned()
            }
            Self::Replace(from, to) => {
                // Bounded before it is made: "to" may be a thousand times as long as "from".
                let grown = value
                    .matches(from.as_str())
                    .count()
                    .saturating_mul(to.len());
                if grown > MAX_VALUE_CHARS * 4 {
                    return None;
                }
                value.replace(from, to)
            }
        };
        Some(changed)
    }
}

fn regex(expression: &str) -> Option<regex::Regex> {
    sized(expression, MAX_REGEX_BYTES)
}

/// The expression, if it becomes no larger than so many bytes.
fn sized(expression: &str, bytes: usize) -> Option<regex::Regex> {
    RegexBuilder::new(expression)
        .size_limit(bytes)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .nest_limit(50)
        .build()
        .ok()
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = match self {
            Self::Trim => json!("trim"),
            Self::Lowercase => json!("lowercase"),
            Self::Uppercase => json!("uppercase"),
            Self::Digits => json!("digits"),
            Self::AbsoluteUrl => json!("absolute_url"),
            Self::Regex(expression) => json!({ "regex": expression }),
            Self::Replace(from, to) => json!({ "replace": [from, to] }),
        };
        value.serialize(serializer)
    }
}

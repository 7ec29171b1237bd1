//! Free-form JSON: kept as it is written, once it is sure that PostgreSQL takes it, and that it is not made of more than a row should hold.
//!
//! A tree of it is never built here: eight megabytes of `0,` would be a hundred and more. PostgreSQL does build one, so the values are
//! counted all the same.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::names::OneOf;

/// Names and values in the free-form JSON of one request, at most.
pub(super) const MOST_VALUES: usize = 100_000;
/// How deep it may be nested.
pub(super) const MOST_DEPTH: usize = 127;
/// Digits and all of a number, at most: PostgreSQL keeps every digit.
const LONGEST_NUMBER: usize = 400;
/// Greatest exponent of a number, either way.
const MOST_EXPONENT: i32 = 400;
/// Sources of a price that are kept, and the length of each.
const MOST_SOURCES: usize = 20;
const LONGEST_SOURCE: usize = 100;

/// What the free-form JSON of one request may still hold.
pub(super) struct Budget {
    values: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            values: MOST_VALUES,
        }
    }

    fn spend(&mut self) -> Result<(), String> {
        match self.values.checked_sub(1) {
            Some(left) => {
                self.values = left;
                Ok(())
            }
            None => Err(format!(
                "holds more than {MOST_VALUES} names and values, over all of the request"
            )),
        }
    }
}

/// Whether PostgreSQL takes it, and the budget holds. It is well-formed, or there would be no [`RawValue`].
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(written: &RawValue, budget: &mut Budget) -> Result<(), String> {
    let text = written.get();
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => {
                budget.spend()?;
                depth += 1;
                if depth > MOST_DEPTH {
                    return Err(format!("is nested deeper than {MOST_DEPTH}"));
                }
                at += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'"' => {
                budget.spend()?;
                at = end_of_text(bytes, at + 1)?;
            }
            b'-' | b'0'..=b'9' => {
                budget.spend()?;
                let end = end_of(bytes, at, |byte| {
                    matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')
                });
                check_number(text.get(at..end).unwrap_or_default())?;
                at = end;
            }
            b't' | b'f' | b'n' => {
                budget.spend()?;
                at = end_of(bytes, at, |byte| byte.is_ascii_lowercase());
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn end_of(bytes: &[u8], from: usize, is_part: impl Fn(&u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_part(byte)).count()
}

/// Behind the quotation mark that ends this text. JSON may hold half of a pair of UTF-16, which is no text.
fn end_of_text(bytes: &[u8], mut at: usize) -> Result<usize, String> {
    let halves = || "holds half of a surrogate pair".to_owned();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => match escaped(bytes, at) {
                Some(0xD800..=0xDBFF) => {
                    if !matches!(escaped(bytes, at + 6), Some(0xDC00..=0xDFFF)) {
                        return Err(halves());
                    }
                    at += 12;
                }
                Some(0xDC00..=0xDFFF) => return Err(halves()),
                _ => at += 6,
            },
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Ok(at)
}

/// The code unit that is written `\uXXXX` here.
fn escaped(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn check_number(text: &str) -> Result<(), String> {
    let exponent = text
        .split_once(['e', 'E'])
        .map_or(Ok(0), |(_, exponent)| exponent.parse::<i32>());
    let is_bounded = exponent.is_ok_and(|exponent| exponent.abs() <= MOST_EXPONENT)
        && text.len() <= LONGEST_NUMBER
        && text.parse::<f64>().is_ok_and(f64::is_finite);
    is_bounded
        .then_some(())
        .ok_or_else(|| "holds a number that is too large".to_owned())
}

/// The words under `price_sources`, as far as they are words.
pub(super) fn price_sources(written: &RawValue) -> Vec<String> {
    let found = serde_json::Deserializer::from_str(written.get()).deserialize_map(Sources);
    let listed = found.ok().flatten();
    listed
        .and_then(|listed| {
            serde_json::Deserializer::from_str(listed.get())
                .deserialize_seq(Words)
                .ok()
        })
        .unwrap_or_default()
}

/// What stands under `price_sources`; the last, if it stands there more than once.
struct Sources;

impl<'de> Visitor<'de> for Sources {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(OneOf(&["price_sources"]))? {
            if is_it.is_some() {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The words of a list.
struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut words = Vec::new();
        while let Some(own) = list.next_element::<&RawValue>()? {
            if words.len() == MOST_SOURCES {
                continue;
            }
            let word = serde_json::from_str::<String>(own.get());
            words.extend(
                word.ok()
                    .filter(|word| !word.is_empty() && word.len() <= LONGEST_SOURCE),
            );
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn what_postgresql_would_refuse_is_refused_here() {
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let many = |count: usize| format!("[0{}]", ",0".repeat(count - 1));
        for (text, problem) in [
            (
                "{\"a\": [1, -2.5e3, \"x\\\"y\\\\\", true, null, {}]}".to_owned(),
                None,
            ),
            ("\"\\ud83d\\ude00 \\u0000\"".to_owned(), None),
            ("\"\\ud83d\"".to_owned(), Some("surrogate")),
            ("\"\\ud83dx\\ude00\"".to_owned(), Some("surrogate")),
            ("{\"\\udc00\": 1}".to_owned(), Some("surrogate")),
            ("\"\\\\ud83d\"".to_owned(), None),
            ("1e400".to_owned(), Some("number")),
            ("[1e-401]".to_owned(), Some("number")),
            ("1E+99999999999999".to_owned(), Some("number")),
            ("9".repeat(309), Some("number")),
            (format!("0.{}1", "0".repeat(400)), Some("number")),
            (format!("0.{}1", "0".repeat(300)), None),
            (deep(127), None),
            (deep(128), Some("nested")),
            (deep(400_000), Some("nested")),
            (many(99_999), None),
            (many(100_000), Some("more than 100000")),
            (format!("\"{}\"", "x".repeat(1 << 20)), None),
        ] {
            let told = check(&raw(&text), &mut Budget::new());
            let start: String = text.chars().take(40).collect();
            match problem {
                None => assert_eq!(told, Ok(()), "{start}"),
                Some(word) => assert!(
                    told.as_ref().is_err_and(|why| why.contains(word)),
                    "{start}: {told:?}"
                ),
            }
        }
    }

    #[test]
    fn one_budget_holds_for_all_of_a_request() {
        let mut budget = Budget::new();
        let half = raw(&format!("[0{}]", ",0".repeat(49_999)));
        assert_eq!(check(&half, &mut budget), Ok(()));
        assert!(check(&half, &mut budget).is_err());
    }

    #[test]
    fn sources_are_words_of_a_list() {
        for (text, expected) in [
            (
                r#"{"price_sources": ["jsonld", 7, "", "og", {"a": 1}]}"#,
                vec!["jsonld", "og"],
            ),
            (
                r#"{"price_sources": ["a"], "b": [1, {"price_sources": ["c"]}], "price_sources": ["d"]}"#,
                vec!["d"],
            ),
            (r#"{"price_source\u0073": ["a"]}"#, vec!["a"]),
            (r#"{"price_sources": "jsonld"}"#, vec![]),
            (r#"[{"price_sources": ["a"]}]"#, vec![]),
            ("null", vec![]),
        ] {
            assert_eq!(price_sources(&raw(text)), expected, "{text}");
        }
        let many = format!(
            r#"{{"price_sources": ["{}"{}]}}"#,
            "x".repeat(101),
            r#", "y""#.repeat(50)
        );
        assert_eq!(price_sources(&raw(&many)).len(), MOST_SOURCES);
    }

    proptest! {
        /// Whatever a tree of JSON could be made of goes through.
        #[test]
        fn any_text_is_taken(text in ".*", number in any::<f64>().prop_filter("JSON knows no others", |own| own.is_finite())) {
            let written = serde_json::to_string(&serde_json::json!({ text.as_str(): [text, number] })).expect("JSON");
            prop_assert_eq!(check(&raw(&written), &mut Budget::new()), Ok(()));
        }
    }
}

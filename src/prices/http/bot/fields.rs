//! The fields of a request's body, read one by one so that a mistake is named by its field.
//!
//! Amounts are read as they are written and never pass through a floating-point number. Nothing is copied, and of fields that nobody
//! asks for nothing is kept: a body of a million of them takes no more than its bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{AnyOfBuilder, Object, ObjectBuilder, Schema, Type};

use super::Trouble;
use super::free::{self, Budget};
use super::names::OneOf;
use crate::http::openapi::text;
use crate::prices::bot::Token;
use crate::prices::uid::Uid;

/// Places of an amount.
const PLACES: usize = 4;
/// Digits of an amount before the point.
const DIGITS: usize = 12;
/// The longest right to a job, in characters.
const MAX_RIGHT: usize = 64;

/// An amount, as it is described.
pub(super) fn amount(description: &str) -> Schema {
    let number = ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .exclusive_maximum(u32::try_from(DIGITS).ok().map(|digits| 10_u64.pow(digits)));
    let quoted = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!(
            "^[0-9]{{1,{DIGITS}}}(\\.[0-9]{{1,{PLACES}}})?$"
        )));
    let description = format!(
        "{description} A plain decimal, as number or text, below 10^{DIGITS} and with at most {PLACES} places."
    );
    AnyOfBuilder::new()
        .item(number)
        .item(quoted)
        .description(Some(description))
        .build()
        .into()
}

/// A right to a job, as it is described.
pub(super) fn lease_tokens() -> Object {
    text(MAX_RIGHT, "The right to it, as it came.")
}

/// All fields that any request has, by their names.
const NAMES: [&str; 22] = [
    "api_token",
    "availability",
    "bot_id",
    "confidence",
    "currency",
    "domain",
    "duration_ms",
    "error_class",
    "error_msg",
    "in_stock",
    "job_id",
    "jobs",
    "lease_token",
    "list_price",
    "max_jobs",
    "parsed_data",
    "price",
    "raw_html",
    "results",
    "success",
    "title",
    "wait_seconds",
];

/// The fields of a JSON object that some request has; of a name that stands there twice, the last. `null` is as good as absent.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(BTreeMap<&'static str, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Self::default();
        deserializer.deserialize_map(Into(&mut fields))?;
        Ok(fields)
    }
}

/// Reads an object into these fields. What has been read stays there when the object turns out to be none.
struct Into<'f, 'a>(&'f mut Fields<'a>);

impl<'de: 'a, 'a> Visitor<'de> for Into<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(OneOf(&NAMES))? {
            if let Some(name) = name {
                let value = map.next_value::<&RawValue>()?;
                self.0.0.insert(name, value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Reads a list of at most so many objects.
struct AtMost(usize);

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<Fields<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {} objects", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(fields) = list.next_element()? {
            if all.len() == self.0 {
                return Err(A::Error::invalid_length(self.0 + 1, &self));
            }
            all.push(fields);
        }
        Ok(all)
    }
}

impl<'a> Fields<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Trouble> {
        serde_json::from_slice(body).map_err(|error| {
            Trouble::invalid(format!(
                "the body is no JSON object (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }

    /// `bot_id` and `api_token`, as far as they stand in the first bytes of a body that goes on.
    pub(super) fn login_at_the_start(start: &'a [u8]) -> (Option<String>, Option<String>) {
        let mut fields = Self::default();
        // That it ends too early is no mistake.
        drop(serde_json::Deserializer::from_slice(start).deserialize_map(Into(&mut fields)));
        let text = |name, most| fields.text(name, most).ok().flatten();
        (
            text("bot_id", super::MAX_NAME),
            text("api_token", super::MAX_TOKEN),
        )
    }

    fn value(&self, name: &str) -> Option<&'a RawValue> {
        let value = self.0.get(name).copied();
        value.filter(|value| value.get() != "null")
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.value(name).map(RawValue::get)
    }

    /// A text of at most so many characters; an empty one is as good as absent.
    pub(super) fn text(&self, name: &str, most: usize) -> Result<Option<String>, Trouble> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        let text: String = serde_json::from_str(raw)
            .map_err(|_not_a_string| Trouble::invalid(format!("{name}: must be a text")))?;
        if text.chars().count() > most {
            return Err(Trouble::invalid(format!(
                "{name}: must have at most {most} characters"
            )));
        }
        if text.contains('\0') {
            return Err(Trouble::invalid(format!("{name}: must not hold NUL")));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// A whole number in this range.
    pub(super) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Trouble> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        match raw.parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(Trouble::invalid(format!(
                "{name}: must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// A share, 0 to 1.
    pub(super) fn share(&self, name: &str) -> Result<Option<f32>, Trouble> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        match raw.parse::<f32>() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(Some(number)),
            _ => Err(Trouble::invalid(format!("{name}: must be 0 to 1"))),
        }
    }

    /// Yes or no.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Trouble> {
        match self.raw(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Trouble::invalid(format!("{name}: must be true or false"))),
        }
    }

    /// An amount, as a JSON number or a text: a plain decimal.
    pub(super) fn amount(&self, name: &str) -> Result<Option<String>, Trouble> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        let quoted: Option<String> = serde_json::from_str(raw).ok();
        match plain_decimal(quoted.as_deref().unwrap_or(raw).trim()) {
            Ok(amount) => Ok(Some(amount)),
            Err(problem) => Err(Trouble::invalid(format!("{name}: {problem}"))),
        }
    }

    /// Any JSON, as it is written.
    pub(super) fn json(
        &self,
        name: &str,
        budget: &mut Budget,
    ) -> Result<Option<&'a RawValue>, Trouble> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match free::check(value, budget) {
            Ok(()) => Ok(Some(value)),
            Err(problem) => Err(Trouble::invalid(format!("{name}: {problem}"))),
        }
    }

    /// A list of objects.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<Self>, Trouble> {
        let required =
            || Trouble::invalid(format!("{name}: a list of 1 to {most} objects is required"));
        let raw = self.raw(name).ok_or_else(required)?;
        let list = serde_json::Deserializer::from_str(raw)
            .deserialize_seq(AtMost(most))
            .map_err(|_no_list| required())?;
        if list.is_empty() {
            return Err(required());
        }
        Ok(list)
    }

    /// The job that is meant; also by its number.
    pub(super) fn job(&self) -> Result<i64, Trouble> {
        let raw = self
            .raw("job_id")
            .ok_or_else(|| Trouble::invalid("job_id: this field is required"))?;
        let quoted: Option<String> = serde_json::from_str(raw).ok();
        match quoted.as_deref().unwrap_or(raw).parse() {
            Ok(Uid(job)) => Ok(job),
            Err(_not_ours) => {
                // A UUID all the same, of another system: no such job, rather than a mistake.
                let text = quoted.unwrap_or_default();
                if is_uuid(&text) {
                    Err(Trouble::refused(crate::prices::bot::Refusal::NotFound))
                } else {
                    Err(Trouble::invalid("job_id: must be a UUID"))
                }
            }
        }
    }

    /// The right to it, if the bot names it.
    pub(super) fn token(&self) -> Result<Option<Token>, Trouble> {
        let Some(text) = self.text("lease_token", MAX_RIGHT)? else {
            return Ok(None);
        };
        match parse_token(&text) {
            Some(token) => Ok(Some(token)),
            None => Err(Trouble::invalid(
                "lease_token: must be what came with the job",
            )),
        }
    }
}

/// A right as bots know it: lease and attempt.
pub(super) fn show_token(token: Token) -> String {
    format!("{}-{}", token.lease.0, token.attempt)
}

fn parse_token(text: &str) -> Option<Token> {
    let (lease, attempt) = text.split_once('-')?;
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain(lease) && is_plain(attempt)).then_some(())?;
    Some(Token {
        lease: gleaner_actors::port::LeaseId(lease.parse().ok()?),
        attempt: attempt.parse().ok()?,
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The amount as PostgreSQL reads it, or what is wrong with it.
fn plain_decimal(text: &str) -> Result<String, &'static str> {
    if text.starts_with('-') && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
        return Err("must not be negative");
    }
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(places) {
        return Err("must be a plain decimal number, such as 1299.50");
    }
    let whole = whole.trim_start_matches('0');
    let places = places.trim_end_matches('0');
    if whole.len() > DIGITS {
        return Err("must be below 1000000000000");
    }
    if places.len() > PLACES {
        return Err("must have at most 4 decimal places");
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(if places.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{places}")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact_or_named() {
        for (text, expected) in [
            ("0", Ok("0")),
            ("0.0", Ok("0")),
            ("19.90", Ok("19.9")),
            ("\"19.90\"", Ok("19.9")),
            ("\" 007.5 \"", Ok("7.5")),
            ("999999999999.9999", Ok("999999999999.9999")),
            ("1.10000", Ok("1.1")),
            ("1000000000000", Err("must be below 1000000000000")),
            ("1.00001", Err("must have at most 4 decimal places")),
            ("-0.01", Err("must not be negative")),
            ("\"-5\"", Err("must not be negative")),
            ("-0", Err("must be a plain decimal number, such as 1299.50")),
            (
                "1e3",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
            (
                "\"NaN\"",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
            (
                "\"1,299.00\"",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
            (
                "\"\"",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
            (
                "true",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
            (
                "[1]",
                Err("must be a plain decimal number, such as 1299.50"),
            ),
        ] {
            let body = format!("{{\"price\": {text}}}");
            let fields = Fields::parse(body.as_bytes()).expect(text);
            let read = fields.amount("price");
            match expected {
                Ok(amount) => assert_eq!(read, Ok(Some(amount.to_owned())), "{text}"),
                Err(problem) => assert_eq!(
                    read,
                    Err(Trouble::invalid(format!("price: {problem}"))),
                    "{text}"
                ),
            }
        }
    }

    #[test]
    fn mistakes_are_named_by_their_field() {
        let fields = Fields::parse(
            br#"{"max_jobs": 7, "title": "x", "currency": null, "results": [1], "error_msg": "a\u0000b", "domain": "long", "job_id": "x", "lease_token": "7"}"#,
        )
        .expect("an object");
        let detail = |trouble: Trouble| trouble.detail;
        assert_eq!(
            fields.text("max_jobs", 9).map_err(detail),
            Err("max_jobs: must be a text".to_owned())
        );
        assert_eq!(fields.text("title", 9), Ok(Some("x".to_owned())));
        assert_eq!(fields.text("currency", 9), Ok(None));
        assert_eq!(
            fields.text("error_msg", 9).map_err(detail),
            Err("error_msg: must not hold NUL".to_owned())
        );
        assert_eq!(
            fields.text("domain", 3).map_err(detail),
            Err("domain: must have at most 3 characters".to_owned())
        );
        assert_eq!(fields.integer("max_jobs", 1..=7), Ok(Some(7)));
        for (name, range) in [("max_jobs", 1..=6), ("title", 1..=9), ("results", 0..=9)] {
            assert!(fields.integer(name, range).is_err(), "{name}");
        }
        assert_eq!(
            fields.boolean("max_jobs").map_err(detail),
            Err("max_jobs: must be true or false".to_owned())
        );
        assert!(fields.list("results", 9).is_err());
        assert!(fields.list("jobs", 9).is_err());
        assert_eq!(
            fields.job().map_err(detail),
            Err("job_id: must be a UUID".to_owned())
        );
        assert!(fields.token().is_err());
        for body in ["", "[]", "7", "{", "{\"a\": 1e}", "\u{feff}{}"] {
            assert!(Fields::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!(
            "{{\"parsed_data\": {}1{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let fields = Fields::parse(deep.as_bytes()).expect("an object");
        assert!(fields.json("parsed_data", &mut Budget::new()).is_err());
    }

    #[test]
    fn of_what_nobody_asks_for_nothing_is_kept() {
        let body: String = (0..1_000).map(|at| format!("\"{at}\": [{at}],")).collect();
        let body = format!("{{{body} \"max_j\\u006fbs\": 1, \"price\": 1, \"price\": 2}}");
        let fields = Fields::parse(body.as_bytes()).expect("an object");
        assert_eq!(fields.0.len(), 2);
        assert_eq!(fields.integer("max_jobs", 1..=9), Ok(Some(1)));
        assert_eq!(fields.amount("price"), Ok(Some("2".to_owned())));
    }

    #[test]
    fn a_list_ends_where_it_is_too_long() {
        let body = |count: usize| format!("{{\"jobs\": [{{}}{}]}}", ", {}".repeat(count - 1));
        for (count, is_taken) in [(1, true), (100, true), (101, false), (9_999, false)] {
            let body = body(count);
            let fields = Fields::parse(body.as_bytes()).expect("an object");
            assert_eq!(fields.list("jobs", 100).is_ok(), is_taken, "{count}");
        }
    }

    #[test]
    fn who_it_is_is_read_from_the_start_of_a_body() {
        let some = |text: &str| Some(text.to_owned());
        for (start, expected) in [
            (
                r#"{"bot_id": "ann", "raw_html": "<html"#,
                (some("ann"), None),
            ),
            (
                r#"{"x": [{"bot_id": "eve"}], "api_token": "t", "bot_id" : "ann" , "y"#,
                (some("ann"), some("t")),
            ),
            (r#"{"bot_id": "an"#, (None, None)),
            (r#"{"bot_id": 7, "api_token": "t", "#, (None, some("t"))),
            (r#"[{"bot_id": "ann"}"#, (None, None)),
            ("", (None, None)),
            ("{\"bot_id\": \"ann\", \u{0}", (some("ann"), None)),
        ] {
            assert_eq!(
                Fields::login_at_the_start(start.as_bytes()),
                expected,
                "{start}"
            );
        }
    }

    #[test]
    fn a_uuid_of_another_system_is_a_job_that_is_not_there() {
        let fields = Fields::parse(br#"{"job_id": "123e4567-e89b-42d3-a456-426614174000"}"#)
            .expect("an object");
        assert_eq!(
            fields.job().map_err(|trouble| trouble.code),
            Err("job_not_found")
        );
    }

    proptest! {
        #[test]
        fn tokens_come_back_as_they_went(lease in 0_i64.., attempt in 0_i16..) {
            let token = Token { lease: gleaner_actors::port::LeaseId(lease), attempt };
            prop_assert_eq!(parse_token(&show_token(token)), Some(token));
        }

        #[test]
        fn any_text_is_judged(text in ".*") {
            if let Ok(amount) = plain_decimal(&text) {
                prop_assert!(amount.len() <= DIGITS + 1 + PLACES);
            }
            prop_assert!(parse_token(&text).is_none_or(|token| token.attempt >= 0));
        }
    }
}

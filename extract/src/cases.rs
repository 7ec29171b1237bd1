//! Inputs that were read wrongly once, as lines of `gleaner extract … --jsonl`, and what is right about each.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::command::{self, Context, Kind, Request};
use crate::url::TrackingParameters;

/// A line of `tests/data/cases/*.jsonl`.
#[derive(Deserialize)]
struct Case<'a> {
    id: String,
    extractor: String,
    #[serde(borrow)]
    input: &'a RawValue,
    expected: Value,
}

#[test]
fn addresses() {
    let text = include_str!("../tests/data/cases/addresses.jsonl");
    let context = Context {
        open: Box::new(|_| Ok(Box::new(std::io::empty()))),
        tracking: Arc::clone(TrackingParameters::built_in()),
        pattern: None,
    };
    for line in text.lines() {
        let case: Case<'_> = serde_json::from_str(line).expect(line);
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == case.extractor)
            .expect(line);
        let request: Request<'_> = serde_json::from_str(case.input.get()).expect(line);
        let answered = match command::answer(kind, &request, &context) {
            Ok(answer) => serde_json::to_value(&answer).expect(line),
            Err(error) => serde_json::json!({"error": error.to_string()}),
        };
        assert!(
            is_part(&case.expected, &answered),
            "{}: {answered}",
            case.id
        );
    }
}

/// Whether all that is expected is there. Null is what is absent.
fn is_part(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(name, value)| is_part(value, found.get(name).unwrap_or(&Value::Null))),
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(found)
                    .all(|(one, other)| is_part(one, other))
        }
        _ => expected == found,
    }
}

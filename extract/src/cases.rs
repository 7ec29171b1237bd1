//! Inputs with known answers, one a line in `tests/data/cases`, asked as users ask: a line in, a line out.
//!
//! ```json
//! {"id": "…", "extractor": "offer", "why": "…", "input": {"html": "…"}, "expected": {"price": "19.99", "sku": null}}
//! ```
//!
//! `input` is the request of `gleaner extract EXTRACTOR --jsonl`, `expected` the part of the answer that counts: `null` is what the answer does
//! not say, a text stands for an object that holds it, `text_contains` and `text_lacks` are about the field `text`, and `error` is what a
//! refusal says. Where the answer is one of several that reasonable people would give, `decision` says why it is this one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Config;
use crate::command::{Context, InputError, Kind, Options, Stream};
use crate::price::Amount;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    extractor: String,
    why: String,
    input: Map<String, Value>,
    expected: Value,
    decision: Option<String>,
}

impl Case {
    /// The line that asks for it, with its place among all cases as the id.
    fn request(&self, place: usize) -> String {
        let mut request = self.input.clone();
        request.insert("id".to_owned(), place.into());
        Value::Object(request).to_string()
    }
}

/// All cases, of all files.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cases");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the cases")
        .map(|entry| entry.expect("a file of cases").path())
        .collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).expect("a file of cases");
        let parse = |line: &str| -> Case {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", file.display()))
        };
        text.lines().map(parse).collect::<Vec<_>>()
    };
    files.iter().flat_map(read).collect()
}

/// What `gleaner extract KIND --jsonl` prints for these lines, by their ids.
fn answers(kind: Kind, requests: String) -> BTreeMap<u64, Value> {
    let context = Context {
        open: Box::new(|name| {
            Err(InputError::Unreadable {
                path: name.into(),
                source: std::io::ErrorKind::NotFound.into(),
            })
        }),
        tracking: Config::default().tracking(),
        pattern: None,
    };
    let mut output = Vec::new();
    Stream::new(Cursor::new(requests))
        .and_then(|stream| {
            stream.answer(
                kind,
                Options::default(),
                context,
                NonZeroUsize::MIN,
                &mut output,
            )
        })
        .expect("lines in memory are read and written");
    let line = |line: &str| {
        let reply: Value = serde_json::from_str(line).expect("a line of JSON");
        (reply["id"].as_u64().expect("the id of the case"), reply)
    };
    String::from_utf8(output)
        .expect("text")
        .lines()
        .map(line)
        .collect()
}

/// Whether an answer says what is expected of it.
fn fits(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => expected
            .iter()
            .all(|(name, value)| field_fits(name, value, got)),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(a, b)| fits(a, b))
        }
        (Value::String(_), Value::Object(got)) => got.values().any(|value| value == expected),
        (Value::String(expected), Value::String(got)) => {
            expected == got || is_same_amount(expected, got)
        }
        _ => expected == got,
    }
}

fn field_fits(name: &str, expected: &Value, got: &Map<String, Value>) -> bool {
    let text = |name| got.get(name).and_then(Value::as_str).unwrap_or_default();
    if let (Some(name), Some(part)) = (name.strip_suffix("_contains"), expected.as_str()) {
        return text(name).contains(part);
    }
    if let (Some(name), Some(part)) = (name.strip_suffix("_lacks"), expected.as_str()) {
        return !text(name).contains(part);
    }
    fits(expected, got.get(name).unwrap_or(&Value::Null))
}

/// `19.9` is `19.90`; digits without a point may be a name and are compared as they are.
fn is_same_amount(a: &str, b: &str) -> bool {
    a.contains('.')
        && b.contains('.')
        && matches!((a.parse::<Amount>(), b.parse::<Amount>()), (Ok(a), Ok(b)) if a == b)
}

#[test]
fn every_case_has_its_answer() {
    let cases = cases();
    let mut wrong = Vec::new();
    for kind in Kind::ALL {
        let asked = || {
            cases
                .iter()
                .enumerate()
                .filter(|(_, case)| case.extractor == kind.as_str())
        };
        let requests: Vec<String> = asked().map(|(place, case)| case.request(place)).collect();
        let answers = answers(kind, requests.join("\n"));
        assert_eq!(
            answers.len(),
            requests.len(),
            "answers of {}",
            kind.as_str()
        );
        for (place, case) in asked() {
            let reply = &answers[&u64::try_from(place).expect("few cases")];
            let got = match &reply["output"] {
                Value::Null => reply,
                output => output,
            };
            if !fits(&case.expected, got) {
                let Case {
                    id, why, expected, ..
                } = case;
                wrong.push(format!("{id}: {why}\n  expected {expected}\n  got {reply}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_case_is_asked_once_and_says_why() {
    let cases = cases();
    let names: std::collections::HashSet<&str> =
        cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    for case in &cases {
        let is_known = Kind::ALL.iter().any(|kind| kind.as_str() == case.extractor);
        assert!(is_known, "{}: no extractor {}", case.id, case.extractor);
        let says = |text: &str| !text.trim().is_empty();
        assert!(says(&case.why), "{}", case.id);
        assert!(case.decision.as_deref().is_none_or(says), "{}", case.id);
    }
}

/// A comparison that takes everything for right would hide every fault.
#[test]
fn what_differs_is_told() {
    let got = json!({"price": "19.90", "sku": null, "phones": [{"e164": "+491"}], "text": "a b"});
    for right in [
        json!({"price": "19.9", "sku": null, "missing": null}),
        json!({"phones": ["+491"], "text_contains": "a", "text_lacks": "c"}),
    ] {
        assert!(fits(&right, &got), "{right}");
    }
    for wrong in [
        json!({"price": "19"}),
        json!({"price": null}),
        json!({"sku": "1"}),
        json!({"phones": []}),
        json!({"phones": ["+492"]}),
        json!({"text_contains": "c"}),
        json!({"text_lacks": "b"}),
    ] {
        assert!(!fits(&wrong, &got), "{wrong}");
    }
}

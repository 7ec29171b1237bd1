//! What is accepted of a handler, and what is not.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::handlers::bounds::MAX_COLUMNS;
use crate::handlers::{Answer, Failure};

fn said(line: &str) -> Result<Message, String> {
    parse(line.as_bytes()).map_err(|error| error.to_string())
}

fn outcome(line: &str) -> Result<Answer, Failure> {
    match said(line) {
        Ok(Message::Results(mut results)) => results.remove(0).result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hello_says_what_is_accepted() {
    for (line, expected) in [
        (r#"{"type":"hello","version":1}"#, (None, 1, 1)),
        (
            r#"{"type":"hello","version":1,"name":"ocr","in_flight":8,"batch":100}"#,
            (Some("ocr"), 8, 100),
        ),
    ] {
        let Ok(Message::Hello(hello)) = said(line) else {
            panic!("{line}");
        };
        let found = (hello.name.as_deref(), hello.in_flight, hello.batch);
        assert_eq!(found, expected);
    }
}

#[test]
fn results_are_told_apart() {
    let completed = outcome(
        r#"{"type":"results","results":[{"id":1,"status":"completed","columns":{"total":12345678901234567890.120}}]}"#,
    );
    let Ok(Answer::Completed(columns)) = completed else {
        panic!("{completed:?}");
    };
    // To the last digit.
    assert_eq!(columns["total"].get(), "12345678901234567890.120");
    let filtered =
        outcome(r#"{"type":"results","results":[{"id":1,"status":"filtered","reason":"empty"}]}"#);
    assert!(matches!(filtered, Ok(Answer::Filtered(reason, None)) if reason == "empty"));
    let retry = |after: Option<u64>| Failure::Retry {
        class: "handler",
        message: "no".to_owned(),
        after: after.map(Duration::from_secs),
    };
    for (fields, expected) in [
        (json!({"status": "failed", "error": "no"}), retry(None)),
        (
            json!({"status": "failed", "error": "no", "after": 30}),
            retry(Some(30)),
        ),
        (
            json!({"status": "failed", "error": "no", "retry": false}),
            Failure::Permanent {
                class: "handler",
                message: "no".to_owned(),
            },
        ),
        (
            json!({"status": "snoozed", "after": 1.5, "reason": "quota", "whole_workflow": true}),
            Failure::Snooze {
                after: Duration::from_millis(1_500),
                reason: "quota".to_owned(),
                whole_workflow: true,
            },
        ),
    ] {
        let mut fields = fields;
        fields["id"] = json!(1);
        let line = json!({"type": "results", "results": [fields]}).to_string();
        assert_eq!(outcome(&line).unwrap_err(), expected, "{line}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let deep = format!(
        r#"{{"type":"results","results":[{{"id":1,"status":"completed","columns":{{"a":{}{}}}}}]}}"#,
        "[".repeat(MAX_DEPTH),
        "]".repeat(MAX_DEPTH)
    );
    let wide: Value = (0..=MAX_COLUMNS)
        .map(|at| (at.to_string(), json!(1)))
        .collect();
    let wide =
        json!({"type": "results", "results": [{"id": 1, "status": "completed", "columns": wide}]});
    let many = vec![json!({"id": 1, "status": "completed"}); MAX_BATCH + 1];
    let many = json!({"type": "results", "results": many});
    for (line, wanted) in [
        ("hello\u{1b}[2J", "\"hello\u{fffd}[2J\""),
        ("", "no message"),
        ("[]", "no message"),
        (r#"{"type":"halo"}"#, "no message"),
        (r#"{"type":"hello"}"#, "has no version"),
        (r#"{"type":"hello","version":2}"#, "version 2"),
        (
            r#"{"type":"hello","version":1,"batch":0}"#,
            "accepts nothing",
        ),
        (r#"{"type":"results"}"#, "has no results"),
        (r#"{"type":"progress","done":1}"#, "has no id"),
        (
            r#"{"type":"results","results":[{"id":-1,"status":"completed"}]}"#,
            "no message",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"done"}]}"#,
            "no message",
        ),
        (
            r#"{"type":"results","results":[{"status":"completed"}]}"#,
            "without an id",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"columns":{}}]}"#,
            "without a status",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"completed","colums":{}}]}"#,
            "no message",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"completed","columns":{"a":1,"a":2}}]}"#,
            "no message",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"failed","error":"x","columns":{}}]}"#,
            "\"columns\"",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"failed"}]}"#,
            "without an error",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"filtered"}]}"#,
            "without a reason",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"snoozed"}]}"#,
            "without \"after\"",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"snoozed","after":-1}]}"#,
            "no number of seconds",
        ),
        (
            r#"{"type":"results","results":[{"id":1,"status":"failed","error":"x","retry":false,"after":1}]}"#,
            "nothing is tried again",
        ),
        (&deep, "levels"),
        (&wide.to_string(), "no message"),
        (&many.to_string(), "no message"),
        (&" ".repeat(MAX_LINE_BYTES + 1), "bytes"),
    ] {
        let error = said(line).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn brackets_within_texts_are_no_levels() {
    let text = "[{".repeat(MAX_DEPTH) + "\\\"";
    assert!(is_flat_enough(
        json!({"type": "progress", "step": text})
            .to_string()
            .as_bytes()
    ));
}

#[test]
fn an_item_stays_in_one_line() {
    let columns = "{\n \"a\":\r\n 1.10, \"b\": \"x\\ny\" }".to_owned();
    let item = Item {
        key: json!("k\n\"1\""),
        attempt: 2,
        columns: RawValue::from_string(columns).unwrap(),
        deadline: None,
        on_progress: None,
    };
    let mut out = Vec::new();
    write_items(&mut out, [(7, &item), (8, &item)].into_iter());
    write_cancel(&mut out, &[7, 8]);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("1.10"), "{text}");
    let items: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(items["items"][1]["id"], 8);
    assert_eq!(items["items"][0]["key"], "k\n\"1\"");
    assert_eq!(items["items"][0]["columns"]["b"], "x\ny");
    assert_eq!(lines[1], r#"{"type":"cancel","ids":[7,8]}"#);
    // What is reckoned is not less than what is written.
    let reckoned = FRAME_BYTES + 2 * (ITEM_FRAME_BYTES + item.bytes());
    assert!(lines[0].len() <= reckoned, "{}", lines[0].len());
}

//! What is made of answers.

use super::*;
use crate::handlers::bounds::MAX_COLUMNS;

fn told(body: &str, items: usize) -> Result<Vec<Option<Told>>, String> {
    results(body.as_bytes(), items).map_err(|error| chain(&error))
}

#[test]
fn the_one_item_has_a_plain_answer() {
    for body in [
        r#"{"columns":{"total":1.10}}"#,
        r#"{"id":0,"columns":{"total":1.10}}"#,
        r#" {"status":"completed","columns":{"total":1.10}} "#,
        r#"{"results":[{"id":0,"status":"completed","columns":{"total":1.10}}]}"#,
    ] {
        let told = told(body, 1).unwrap();
        let [Some(Ok(Answer::Completed(columns)))] = told.as_slice() else {
            panic!("{body}: {told:?}");
        };
        assert_eq!(columns["total"].get(), "1.10", "{body}");
    }
    let filtered = told(r#"{"status":"filtered","reason":"empty"}"#, 1).unwrap();
    assert!(matches!(&filtered[0], Some(Ok(Answer::Filtered(reason, None))) if reason == "empty"));
    let failed = told(r#"{"status":"failed","error":"no","retry":false}"#, 1).unwrap();
    assert!(matches!(
        &failed[0],
        Some(Err(Failure::Permanent {
            class: "handler",
            ..
        }))
    ));
    assert!(
        matches!(&told("{}", 1).unwrap()[0], Some(Ok(Answer::Completed(columns))) if columns.is_empty())
    );
}

#[test]
fn some_of_several_may_be_left_out() {
    let body =
        r#"{"results":[{"id":2,"status":"completed"},{"id":0,"status":"snoozed","after":5}]}"#;
    let told = told(body, 3).unwrap();
    assert!(matches!(
        told.as_slice(),
        [
            Some(Err(Failure::Snooze { .. })),
            None,
            Some(Ok(Answer::Completed(_)))
        ]
    ));
}

#[test]
fn what_is_wrong_is_named() {
    let deep = format!(
        r#"{{"columns":{{"a":{}{}}}}}"#,
        "[".repeat(MAX_DEPTH),
        "]".repeat(MAX_DEPTH)
    );
    let wide: serde_json::Value = (0..=MAX_COLUMNS)
        .map(|at| (at.to_string(), serde_json::json!(1)))
        .collect();
    let wide = serde_json::json!({ "columns": wide }).to_string();
    for (body, items, wanted) in [
        ("<html>\u{1b}[2J", 1, "\"<html>\u{fffd}[2J\" is no answer"),
        ("[]", 1, "is no answer"),
        ("[]", 2, "is no answer"),
        (r#"{"columns":{}}"#, 2, "is no answer"),
        (r#"{"colums":{}}"#, 1, "unknown field `colums`"),
        (r#"{"id":1,"columns":{}}"#, 1, "never given"),
        (
            r#"{"results":[{"id":2,"status":"completed"}]}"#,
            2,
            "never given",
        ),
        (
            r#"{"results":[{"id":1,"status":"completed"},{"id":1,"status":"completed"}]}"#,
            2,
            "answered twice",
        ),
        (
            r#"{"results":[{"status":"completed"}]}"#,
            1,
            "without an id",
        ),
        (
            r#"{"results":[{"id":0,"columns":{}}]}"#,
            1,
            "without a status",
        ),
        (r#"{"status":"filtered"}"#, 1, "without a reason"),
        (r#"{"columns":{"a":1"#, 1, "EOF"),
        (&deep, 1, "levels"),
        (&wide, 1, "columns"),
    ] {
        let error = told(body, items).unwrap_err();
        assert!(error.contains(wanted), "{body}: {error}");
    }
}

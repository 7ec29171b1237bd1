//! A row's whole life through the engine, and what one row does to the others of its batch.

use std::sync::{Arc, Mutex};

use gleaner::custom::runner::{Answer, Failure};

use super::{Stand, columns, completed, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_given_worked_stored_and_queued_for_what_comes_next() {
    let stand = Stand::new(3).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let section = r#"
        columns = ["id", "Pdf Url", "amount", "scan", "due", "note"]
        run = { pull = true }
        store = ["total", "currency", "note", "facts", "copy", "exact"]
        then = ['"Billing"."In""voice"/ship']"#;
    stand
        .work(section, move |item| {
            let (key, attempt) = (key(&item), item.attempt);
            let text = item.columns.get().to_owned();
            sees.lock().unwrap().push((key, attempt, text.clone()));
            assert!(item.deadline.is_some());
            match (key, attempt) {
                (1, 1) => Err(Failure::Retry {
                    class: "handler",
                    message: "not yet".to_owned(),
                    after: None,
                }),
                (2, _) => Ok(Answer::Filtered(
                    "no invoice".to_owned(),
                    Some(columns(&[("note", "\"ad\"")])),
                )),
                (3, _) => completed(&[]),
                _ => {
                    let row: serde_json::Value = serde_json::from_str(&text).unwrap();
                    let scan = row["scan"].to_string();
                    completed(&[
                        ("total", "99.5"),
                        ("currency", "\"EUR\""),
                        ("facts", "{\"lines\": [1, 2.50], \"nul\": \"a\\u0000b\"}"),
                        ("copy", &scan),
                        ("exact", "12345678901234567890.123456789"),
                    ])
                }
            }
        })
        .await;
    assert_eq!(
        stand
            .rows("id, ocr_status, ocr_attempts, ocr_error, ship_status")
            .await,
        [
            "1|Completed|2||Queued",
            "2|Filtered|1|no invoice|",
            "3|Completed|1||Queued"
        ]
    );
    // What an answer does not name stays.
    assert_eq!(
        stand
            .rows("total, currency, note, facts, copy = scan, exact, doubled")
            .await,
        [
            "99.50|EUR||{\"nul\": \"a\u{fffd}b\", \"lines\": [1, 2.50]}|t|12345678901234567890.123456789|199.00",
            "||ad|||||".strip_suffix('|').unwrap(),
            "||||||",
        ]
    );
    let seen = seen.lock().unwrap().clone();
    let first: Vec<_> = seen.iter().filter(|(key, ..)| *key == 1).collect();
    let bytes = "/v7+".repeat(20);
    let given = format!(
        "{{\"id\":1,\"Pdf Url\":\"https://files.example/1.pdf\",\"amount\":12345678901234567890.123456789,\
         \"scan\":\"{bytes}\",\"due\":\"2026-02-03T04:05:06.789+00:00\",\"note\":null}}"
    );
    assert_eq!(*first, [&(1, 1, given.clone()), &(1, 2, given)]);
    let history = "SELECT item_id, attempt, outcome, class FROM attempt ORDER BY item_id, attempt";
    assert_eq!(
        stand.database.rows(history).await,
        [
            "1|1|retried|handler",
            "1|2|completed|",
            "2|1|filtered|",
            "3|1|completed|"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_answer_does_not_fit_is_charged_alone() {
    let stand = Stand::new(50).await;
    let section = r#"
        columns = ["id"]
        run = { pull = true }
        store = ["total", "currency", "note"]
        max_answer_bytes = 1000
        then = ['"Billing"."In""voice"/ship']"#;
    let long = format!("\"{}\"", "x".repeat(2000));
    stand
        .work(section, move |item| match key(&item) {
            7 => completed(&[("total", "\"dear\"")]),
            17 => completed(&[("currency", "\"EURO\"")]),
            27 => completed(&[("note", "\"too long\"")]),
            37 => completed(&[("total", "1"), ("ship_status", "\"Completed\"")]),
            47 => completed(&[("currency", &long)]),
            48 => completed(&[("total", "1e9")]),
            _ => completed(&[("total", "5"), ("currency", "\"EUR\"")]),
        })
        .await;
    let count = |condition: &str| {
        let sql = format!("SELECT count(*) FROM \"Billing\".\"In\"\"voice\" WHERE {condition}");
        let database = &stand.database;
        async move { database.count(&sql).await }
    };
    assert_eq!(
        count(
            "ocr_status = 'Completed' AND total = 5 AND currency = 'EUR' AND ship_status = 'Queued'"
        )
        .await,
        44
    );
    let spoiled = stand
        .rows("id, ocr_status, ocr_attempts, ship_status, total, ocr_error")
        .await;
    let spoiled: Vec<&String> = spoiled
        .iter()
        .filter(|row| row.contains("|Error|"))
        .collect();
    let expected = [
        "7|Error|2|||store: invalid input syntax for type numeric: \"dear\"",
        "17|Error|2|||store: new row for relation \"In\"voice\" violates check constraint \"In\"voice_currency_check\"",
        "27|Error|2|||store: value for domain short violates check constraint \"short_check\"",
        "37|Error|1|||answer: the answer sets \"ship_status\", which is not among the columns of store",
        "47|Error|1|||answer: the answer has 2010 bytes, and max_answer_bytes is 1000",
        "48|Error|2|||store: numeric field overflow",
    ];
    assert_eq!(spoiled.len(), expected.len(), "{spoiled:#?}");
    for (row, expected) in spoiled.iter().zip(expected) {
        assert!(row.starts_with(expected), "{row}\n{expected}");
    }
}

/// What a failed runner says goes where any workflow's failure goes.
#[tokio::test(flavor = "multi_thread")]
async fn failures_end_as_they_say() {
    let stand = Stand::new(2).await;
    let section = "columns = [\"id\"]\nrun = { pull = true }";
    stand
        .work(section, |item| {
            Err(if key(&item) == 1 {
                Failure::Permanent {
                    class: "handler",
                    message: "no such file".to_owned(),
                }
            } else {
                Failure::Retry {
                    class: "handler",
                    message: "busy".to_owned(),
                    after: None,
                }
            })
        })
        .await;
    assert_eq!(
        stand.rows("id, ocr_status, ocr_attempts, ocr_error").await,
        ["1|Error|1|handler: no such file", "2|Error|2|handler: busy"]
    );
}

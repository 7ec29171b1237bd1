//! What a handler is sent: JSON, one request for some rows.

use std::io::Write as _;
use std::time::Duration;

use crate::handlers::Item;
use crate::handlers::bounds::VERSION;

/// What a request takes beside what its items take.
pub(super) const FRAME_BYTES: usize = 1 << 10;

/// What each item takes in it beside its key and columns, a place for its answer and what is before the token in it.
pub(super) const ITEM_FRAME_BYTES: usize = 256;

/// An item, and what is said about it.
pub(super) struct Given<'a> {
    pub(super) item: &'a Item,
    /// For how long an answer is of use.
    pub(super) lasts: Duration,
    /// Where it may be sent later.
    pub(super) callback: Option<String>,
}

/// The body of a request for these; their ids are their places from 0. None of them asks whether somebody is there.
pub(super) fn body(workflow: &str, given: &[Given<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(
        FRAME_BYTES
            + given
                .iter()
                .map(|one| ITEM_FRAME_BYTES + one.item.bytes())
                .sum::<usize>(),
    );
    // Memory takes all of it, and nothing in it has no JSON.
    write!(out, "{{\"version\":{VERSION},\"workflow\":").unwrap_or_default();
    serde_json::to_writer(&mut out, workflow).unwrap_or_default();
    out.extend_from_slice(b",\"items\":[");
    for (id, one) in given.iter().enumerate() {
        let comma = if id == 0 { "" } else { "," };
        write!(out, "{comma}{{\"id\":{id},\"key\":").unwrap_or_default();
        serde_json::to_writer(&mut out, &one.item.key).unwrap_or_default();
        let seconds = one.lasts.as_secs_f64();
        write!(
            out,
            ",\"attempt\":{},\"timeout\":{seconds:.3}",
            one.item.attempt
        )
        .unwrap_or_default();
        if let Some(callback) = &one.callback {
            out.extend_from_slice(b",\"callback\":");
            serde_json::to_writer(&mut out, callback).unwrap_or_default();
        }
        out.extend_from_slice(b",\"columns\":");
        out.extend_from_slice(one.item.columns.get().as_bytes());
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_request_is_json_with_numbers_as_they_were_written() {
        let item = |key: Value, columns: &str| Item {
            key,
            attempt: 2,
            columns: RawValue::from_string(columns.to_owned()).unwrap(),
            deadline: None,
            on_progress: None,
        };
        let items = [
            item(json!(7), r#"{"total": 1.10}"#),
            item(json!("a\"b\n"), "{}"),
        ];
        let given: Vec<Given<'_>> = items
            .iter()
            .map(|item| Given {
                item,
                lasts: Duration::from_millis(1_500),
                callback: (item.key == 7).then(|| "https://g.example/api/v1/callback/x".to_owned()),
            })
            .collect();
        let text = String::from_utf8(body("o\"cr", &given)).unwrap();
        assert!(text.contains("1.10"), "{text}");
        let read: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "version": 1,
            "workflow": "o\"cr",
            "items": [
                { "id": 0, "key": 7, "attempt": 2, "timeout": 1.5, "callback": "https://g.example/api/v1/callback/x", "columns": { "total": 1.10 } },
                { "id": 1, "key": "a\"b\n", "attempt": 2, "timeout": 1.5, "columns": {} },
            ],
        });
        assert_eq!(read, expected);
        assert_eq!(
            body("ocr", &[]),
            br#"{"version":1,"workflow":"ocr","items":[]}"#
        );
    }
}

//! Large bodies: whose they are comes first, and what is made of them is bounded.

use std::time::{Duration, Instant};

use gleaner::prices::config::Bots;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, TOKEN, good, is, refusal};
use crate::support::exchange::{Answer, exchange_body};
use crate::support::wait_until;

/// A body whose fields stand in this order, which `json!` does not keep.
fn ordered(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}: {value}", json!(name)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

async fn post(api: &Api, path: &str, lines: &[&str], body: &str) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let lines = [lines, &[length.as_str()]].concat();
    exchange_body(
        api.address,
        &format!("POST /api/crawl/{path}"),
        &lines,
        body.as_bytes(),
    )
    .await
}

/// The body in chunks, as of a client that does not know its length.
async fn post_chunked(api: &Api, path: &str, body: &str) -> Answer {
    let mut chunks: String = body
        .as_bytes()
        .chunks(10_000)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
        .collect();
    chunks.push_str("0\r\n\r\n");
    let request = format!("POST /api/crawl/{path}");
    exchange_body(
        api.address,
        &request,
        &["Transfer-Encoding: chunked"],
        chunks.as_bytes(),
    )
    .await
}

#[tokio::test]
async fn a_large_body_says_in_its_first_bytes_whose_it_is() {
    let api = Api::start(6).await;
    let jobs = api.pull("ann", json!({})).await;
    let mut jobs = jobs.iter();
    let mut submit = |login: &[(&str, Value)], is_first: bool| {
        let job = good(jobs.next().expect("a job"));
        let fields: Vec<(&str, Value)> = ["job_id", "lease_token", "success", "price", "currency"]
            .map(|name| (name, job[name].clone()))
            .into();
        let page = [("raw_html", json!("x".repeat(300_000)))];
        if is_first {
            ordered(&[login, &fields, &page].concat())
        } else {
            ordered(&[&fields, &page[..], login].concat())
        }
    };
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let login = [("bot_id", json!("ann")), ("api_token", json!(TOKEN))];
    let first = submit(&login, true);
    assert_eq!(post(&api, "submit/", &[], &first).await.status, 201);
    let chunked = submit(&login, true);
    assert_eq!(post_chunked(&api, "submit/", &chunked).await.status, 201);
    // The token in the header, and the name wherever it is.
    let named_late = submit(&login[..1], false);
    assert_eq!(
        post(&api, "submit", &[&bearer], &named_late).await.status,
        201
    );
    let both = submit(&login, false);
    assert_eq!(post(&api, "submit", &[&bearer], &both).await.status, 201);
    // Said too late: the answer says what to do, and the job stays in hand.
    let late = submit(&login, false);
    let refused = post(&api, "submit/", &[], &late).await;
    assert_eq!(refusal(&refused), is(400, "validation_error"));
    for words in [
        "bot_id and api_token",
        "first 65536",
        "Authorization: Bearer",
    ] {
        assert!(refused.body.contains(words), "{}", refused.body);
    }
    assert_eq!(api.states().await[4], "5 Processing 1 ann");
    assert_eq!(post(&api, "submit/", &[&bearer], &late).await.status, 201);
    assert_eq!(
        api.app
            .database
            .count("SELECT count(*) FROM product_page")
            .await,
        5
    );
}

#[tokio::test]
async fn strangers_are_told_before_their_bodies_are_there() {
    let api = Api::start(1).await;
    api.app
        .database
        .run(
            "UPDATE bot SET enabled = false WHERE bot_id = 'bob';
             INSERT INTO bot (bot_id, token_hash, enabled) VALUES ('eve', sha256('a secret of eve'), false)",
        )
        .await;
    let long = json!("x".repeat(200_000));
    let with = |bot: &str, token: &str| {
        ordered(&[
            ("bot_id", json!(bot)),
            ("api_token", json!(token)),
            ("x", long.clone()),
        ])
    };
    let bare = ordered(&[("x", long.clone())]);
    let named_late = ordered(&[("x", long.clone()), ("bot_id", json!("bob"))]);
    for (body, token) in [
        (with("ann", "guess"), ""),
        (with("bob", TOKEN), ""),
        (with("nobody", TOKEN), ""),
        // The body's token counts, whatever the header says.
        (with("ann", "guess"), TOKEN),
        (bare.clone(), "guess"),
        (bare, "a secret of eve"),
        // A token that somebody has opens no other's door.
        (named_late, TOKEN),
    ] {
        let bearer = format!("Authorization: Bearer {token}");
        let answer = post(&api, "submit/", &[&bearer], &body).await;
        assert_eq!(refusal(&answer), is(401, "authentication_error"), "{token}");
    }
    // Of a body of which there is more to come: the answer does not wait for it.
    let start = with("ann", "guess");
    let mut stream = TcpStream::connect(api.address).await.expect("it serves");
    let head =
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n";
    let sent = [head, start.as_str()].concat();
    stream.write_all(sent.as_bytes()).await.expect("it listens");
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(15), stream.read_exact(&mut answer))
        .await
        .expect("an answer before the body is whole")
        .expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 401");
    // A client that asks first whether to send at all is not asked for any of it.
    let asked = "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 8000000\r\n\r\n";
    let mut stream = TcpStream::connect(api.address).await.expect("it serves");
    stream
        .write_all(asked.as_bytes())
        .await
        .expect("it listens");
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn only_submits_may_be_large() {
    let api = Api::start(1).await;
    let long = json!("x".repeat(66_000));
    for path in ["pull/", "heartbeat/", "release"] {
        let answer = api.post_as("ann", path, json!({"x": long})).await;
        assert_eq!(refusal(&answer), is(413, "too_large"), "{path}");
        let body = json!({"bot_id": "ann", "api_token": TOKEN, "x": long}).to_string();
        let answer = post_chunked(&api, path, &body).await;
        assert_eq!(refusal(&answer), is(413, "too_large"), "{path}, in chunks");
    }
    let fits = json!({"x": "x".repeat(60_000)});
    assert_eq!(api.post_as("ann", "pull/", fits).await.status, 200);
}

#[tokio::test]
async fn free_form_data_is_kept_as_written_and_bounded() {
    let api = Api::start(7).await;
    let jobs = api.pull("ann", json!({})).await;
    let submit = async |job: &Value, written: &str| {
        let mut body = json!({"bot_id": "ann", "api_token": TOKEN});
        body.as_object_mut()
            .expect("an object")
            .extend(good(job).as_object().expect("an object").clone());
        let body = body.to_string();
        let body = format!(
            "{}, \"parsed_data\": {written}}}",
            &body.trim_end_matches('}')
        );
        api.post("submit/", &body).await
    };
    let many = |count: usize| format!("[0{}]", ",0".repeat(count - 1));
    for (written, words) in [
        (many(100_000), "more than 100000"),
        ("[".repeat(3_000) + &"]".repeat(3_000), "nested deeper"),
        ("{\"a\": \"\\ud800\"}".to_owned(), "surrogate"),
        ("[1e999]".to_owned(), "too large"),
        (format!("[0.{}1]", "0".repeat(20_000)), "too large"),
    ] {
        let answer = submit(&jobs[0], &written).await;
        assert_eq!(refusal(&answer), is(400, "validation_error"), "{words}");
        assert!(
            answer.body.contains("parsed_data: ") && answer.body.contains(words),
            "{}",
            answer.body
        );
    }
    let exact = "{\"n\": 12345678901234567890.123456789, \"a\\u0000\": [\"\\\\u0000\", \"\\u0000\"], \"p\": \"\\ud83d\\ude00\"}";
    for (job, written) in [
        (&jobs[0], exact.to_owned()),
        (&jobs[1], many(90_000)),
        (&jobs[2], "null".to_owned()),
    ] {
        let answer = submit(job, &written).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    assert_eq!(
        api.app
            .database
            .rows("SELECT CASE WHEN jsonb_typeof(parsed_data) = 'array' THEN jsonb_array_length(parsed_data)::text ELSE parsed_data::text END FROM crawl_result ORDER BY id")
            .await,
        [
            "{\"n\": 12345678901234567890.123456789, \"p\": \"😀\", \"a\u{fffd}\": [\"\\\\u0000\", \"\u{fffd}\"]}",
            "90000",
            "{}"
        ]
    );
    // All submits of a batch together have one budget.
    let results: Vec<Value> = jobs[3..6]
        .iter()
        .map(|job| {
            let mut own = good(job);
            own["parsed_data"] = json!(vec![0; 40_000]);
            own
        })
        .collect();
    let answer = api
        .post_as("ann", "submit-batch/", json!({"results": results}))
        .await;
    let said = answer.json()["data"]["results"].clone();
    assert_eq!(
        (&said[0]["success"], &said[1]["success"], &said[2]["error"]),
        (&json!(true), &json!(true), &json!("validation_error"))
    );
}

/// Large bodies that are on their way take room from others, until they are there.
#[tokio::test]
async fn large_bodies_have_room_in_all() {
    let api = Api::start_with(2, |config| {
        config.section_mut::<Bots>().max_body_bytes = 400_000;
        config.section_mut::<Bots>().max_bytes_in_flight = 400_000;
    })
    .await;
    let jobs = api.pull("ann", json!({})).await;
    let body = |job: &Value| {
        let mut body = good(job);
        body["bot_id"] = json!("ann");
        body["api_token"] = json!(TOKEN);
        body["raw_html"] = json!("x".repeat(300_000));
        body.to_string()
    };
    let (first, second) = (body(&jobs[0]), body(&jobs[1]));
    let head = format!(
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        first.len()
    );
    let mut stream = TcpStream::connect(api.address).await.expect("it serves");
    let (start, end) = first.split_at(200_000);
    stream.write_all(head.as_bytes()).await.expect("it listens");
    stream
        .write_all(start.as_bytes())
        .await
        .expect("it listens");
    // While the first holds the room, others wait for it, in vain; small ones need none. This one is of a job that is not there,
    // so that it may come before the first.
    let elsewhere = body(&json!({"job_id": 99}));
    let mut refused = api.post("submit/", &elsewhere).await;
    wait_until("the room is taken", async || {
        if refused.status == 404 {
            refused = api.post("submit/", &elsewhere).await;
        }
        refused.status != 404
    })
    .await;
    assert_eq!(refusal(&refused), is(503, "unavailable"));
    assert!(
        refused.header("retry-after").is_some() && refused.body.contains("large bodies"),
        "{}",
        refused.body
    );
    assert!(api.pull("bob", json!({})).await.is_empty());
    stream.write_all(end.as_bytes()).await.expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    assert_eq!(api.post("submit/", &second).await.status, 201);
}

/// However many large bodies a bot has on their way, there is room for those of another.
#[tokio::test]
async fn one_bot_leaves_room_to_others() {
    let api = Api::start_with(1, |config| {
        config.section_mut::<Bots>().max_body_bytes = 400_000;
        config.section_mut::<Bots>().max_bytes_in_flight = 1_000_000;
    })
    .await;
    // Of a job that is not there, so that a body has no effect.
    let body = |bot: &str| {
        let mut body = good(&json!({"job_id": 99}));
        body["bot_id"] = json!(bot);
        body["api_token"] = json!(TOKEN);
        body["raw_html"] = json!("x".repeat(300_000));
        body.to_string()
    };
    let own = body("ann");
    let head = format!(
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        own.len()
    );
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(api.address).await.expect("it serves");
        stream.write_all(head.as_bytes()).await.expect("it listens");
        let start = &own.as_bytes()[..200_000];
        stream.write_all(start).await.expect("it listens");
        slow.push(stream);
    }
    let mut refused = api.post("submit/", &own).await;
    wait_until("its share is taken", async || {
        if refused.status == 404 {
            refused = api.post("submit/", &own).await;
        }
        refused.status != 404
    })
    .await;
    assert_eq!(refusal(&refused), is(503, "unavailable"));
    let asked = Instant::now();
    let answer = api.post("submit/", &body("bob")).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    assert!(asked.elapsed() < Duration::from_secs(5), "it has waited");
    drop(slow);
    // What it gives up is its own again.
    wait_until("its share is free", async || {
        api.post("submit/", &own).await.status == 404
    })
    .await;
}

/// What is sent packed is not unpacked.
#[tokio::test]
async fn packed_bodies_are_no_json() {
    let api = Api::start(0).await;
    let body = "\u{1f}\u{8b}\u{8}not for us";
    let answer = post(&api, "submit/", &["Content-Encoding: gzip"], body).await;
    assert_eq!(refusal(&answer), is(400, "validation_error"));
}

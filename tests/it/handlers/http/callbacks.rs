//! Answers that come later, to one of several processes.

use std::sync::Arc;
use std::time::Duration;

use gleaner::app::App;
use gleaner::handlers::Failure;
use gleaner::handlers::http::Endpoint;
use gleaner::handlers::http::options::Options;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Server, answer, kind, pages, run};
use crate::support::app::{TestApp, test_config};
use crate::support::database::TestDatabase;
use crate::support::wait::wait_until;

async fn app() -> TestApp {
    TestApp::start_on(TestDatabase::new().await, |_| ()).await
}

/// A handler that answers later, always.
async fn later() -> Server {
    Server::start(|_| answer(202, "")).await
}

fn endpoint_of(app: &App, server: &Server, change: impl FnOnce(&mut Options)) -> Arc<Endpoint> {
    let mut options = Options::of(server.url());
    let address = app.http_address().expect("HTTP is served");
    options.callback_url = Some(format!("http://{address}"));
    change(&mut options);
    let callbacks = app.shared().callbacks.clone();
    Arc::new(Endpoint::new("ocr", options, &pages(), callbacks).expect("an endpoint"))
}

/// Has a row worked, and waits until its handler has answered that the answer comes later: the row, and where the answer goes.
#[expect(
    clippy::disallowed_methods,
    reason = "a row in hand, awaited or aborted"
)]
async fn hand_out(
    endpoint: &Arc<Endpoint>,
    server: &Server,
    key: i64,
) -> (JoinHandle<Result<Value, Failure>>, String) {
    let before = server.calls().len();
    let endpoint = Arc::clone(endpoint);
    let row = tokio::spawn(async move { run(&endpoint, key).await });
    wait_until("the row is handed out", async || {
        server.calls().len() > before
    })
    .await;
    let call = server.calls().pop().expect("a call");
    let callback = call.body["items"][0]["callback"]
        .as_str()
        .expect("a callback");
    (row, callback.to_owned())
}

/// Status, and what is said.
async fn post(url: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    gleaner::tls::install();
    let client = reqwest::Client::builder().build().expect("a client");
    let response = client.post(url).body(body).send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn post_status(url: &str, body: &str) -> u16 {
    post(url, body.to_owned()).await.0
}

#[tokio::test]
async fn an_answer_comes_later_to_this_process_or_to_another() {
    let app = app().await;
    let other = App::start(test_config(&app.database), None).await.unwrap();
    let server = later().await;
    let endpoint = endpoint_of(app.app(), &server, |_| ());
    for (key, at) in [(1, app.app().http_address()), (2, other.http_address())] {
        let (row, callback) = hand_out(&endpoint, &server, key).await;
        let token = callback.rsplit('/').next().unwrap();
        let url = format!("http://{}/api/v1/callback/{token}", at.unwrap());
        assert_eq!(post_status(&url, "<html>").await, 400);
        assert_eq!(post_status(&url, r#"{"colums":{}}"#).await, 400);
        let body = json!({ "columns": { "total": key } }).to_string();
        let (status, said) = post(&url, body.clone()).await;
        assert_eq!((status, &said["status"]), (200, &json!("taken")));
        assert_eq!(row.await.unwrap().unwrap(), json!({ "total": key }));
        // Again, to either of them; and another one.
        let (status, said) = post(&callback, body).await;
        assert_eq!((status, &said["status"]), (200, &json!("repeated")));
        assert_eq!(post_status(&url, "{}").await, 409);
    }
    // What was written down of the answers is not kept.
    wait_until("the answers are collected", async || {
        let left = "SELECT count(*) FROM callback WHERE answer IS NOT NULL";
        app.database.scalar::<i64>(left).await == 0
    })
    .await;
    other.drain(Duration::from_secs(5)).await;
    app.stop().await;
}

#[tokio::test]
async fn every_kind_of_result_may_come_later() {
    let app = app().await;
    let server = later().await;
    let endpoint = endpoint_of(app.app(), &server, |_| ());
    for (body, expected) in [
        (
            r#"{"status":"filtered","reason":"empty"}"#,
            Ok(json!({"filtered": "empty"})),
        ),
        ("", Ok(json!({}))),
        (
            r#"{"status":"failed","error":"no","retry":false}"#,
            Err("permanent handler"),
        ),
        (r#"{"status":"snoozed","after":5}"#, Err("snooze 5s false")),
    ] {
        let (row, callback) = hand_out(&endpoint, &server, 1).await;
        assert_eq!(post_status(&callback, body).await, 200);
        let found = row.await.unwrap().map_err(|failure| kind(&failure));
        assert_eq!(found, expected.map_err(str::to_owned));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_the_attempt_is_over() {
    let app = app().await;
    let server = Server::start(|call| {
        let is_later = call.keys() != [json!(3)];
        answer(if is_later { 202 } else { 200 }, "")
    })
    .await;
    // Too late.
    let soon = |options: &mut Options| options.callback_timeout = Duration::from_millis(300);
    let hasty = endpoint_of(app.app(), &server, soon);
    let (row, callback) = hand_out(&hasty, &server, 1).await;
    let failure = row.await.unwrap().unwrap_err();
    assert_eq!(kind(&failure), "retry handler_callback None");
    assert!(
        failure.to_string().contains("no callback came within"),
        "{failure}"
    );
    let is_over = async |url: &str| post_status(url, "{}").await == 410;
    wait_until("the late one is over", async || is_over(&callback).await).await;
    // Taken back by the engine.
    let endpoint = endpoint_of(app.app(), &server, |_| ());
    let (row, callback) = hand_out(&endpoint, &server, 2).await;
    row.abort();
    assert!(row.await.unwrap_err().is_cancelled());
    let gone = "SELECT count(*) FROM callback WHERE digest IS NULL";
    wait_until("it is forgotten", async || {
        app.database.scalar::<i64>(gone).await == 0
    })
    .await;
    assert!(is_over(&callback).await);
    // Answered at once.
    let (row, callback) = hand_out(&endpoint, &server, 3).await;
    assert_eq!(row.await.unwrap().unwrap(), json!({}));
    wait_until("it is forgotten", async || {
        app.database.scalar::<i64>(gone).await == 0
    })
    .await;
    assert!(is_over(&callback).await);
    app.stop().await;
}

#[tokio::test]
async fn what_a_process_had_in_hand_that_is_gone_is_over() {
    let app = app().await;
    let other = App::start(test_config(&app.database), None).await.unwrap();
    let server = later().await;
    let endpoint = endpoint_of(&other, &server, |_| ());
    let (row, callback) = hand_out(&endpoint, &server, 1).await;
    other.drain(Duration::from_secs(5)).await;
    let token = callback.rsplit('/').next().unwrap();
    let url = app.http(&format!("/api/v1/callback/{token}"));
    assert_eq!(post_status(&url, "{}").await, 410);
    row.abort();
    app.stop().await;
}

#[tokio::test]
async fn what_is_forged_or_too_large_is_refused() {
    let app = app().await;
    let server = later().await;
    let endpoint = endpoint_of(app.app(), &server, |_| ());
    let (row, callback) = hand_out(&endpoint, &server, 1).await;
    let (base, token) = callback.rsplit_once('/').unwrap();
    let mut forged = token.to_owned();
    let first = if token.starts_with('A') { "B" } else { "A" };
    forged.replace_range(0..1, first);
    for token in [&forged, "x", &"A".repeat(token.len())] {
        assert_eq!(
            post_status(&format!("{base}/{token}"), "{}").await,
            404,
            "{token}"
        );
    }
    let huge = format!("{{\"columns\":{{\"a\":\"{}\"}}}}", "a".repeat(2 << 20));
    assert_eq!(post_status(&callback, &huge).await, 413);
    assert_eq!(post_status(&callback, "{}").await, 200);
    assert_eq!(row.await.unwrap().unwrap(), json!({}));
    app.stop().await;
}

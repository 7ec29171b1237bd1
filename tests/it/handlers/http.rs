//! Handlers behind an address: a real server, and all it may answer.

mod callbacks;
mod outages;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use gleaner::callback::Callbacks;
use gleaner::db;
use gleaner::handlers::http::Endpoint;
use gleaner::handlers::http::options::{Options, Per};
use gleaner::handlers::{Answer, Failure, Runner as _};
use gleaner::secret::Secret;
use gleaner::web::fetch;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{item, told};

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Call {
    headers: HeaderMap,
    text: String,
    body: Value,
}

impl Call {
    /// The keys of its rows.
    fn keys(&self) -> Vec<Value> {
        let items = self.body["items"].as_array().expect("items");
        items.iter().map(|item| item["key"].clone()).collect()
    }
}

type Rule = dyn Fn(&Call) -> Response + Send + Sync;

/// A server that answers by a rule; stops when dropped.
struct Server {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<Mutex<BTreeSet<SocketAddr>>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Serving {
    rule: Arc<Rule>,
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

async fn serve(
    State(serving): State<Serving>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    text: String,
) -> Response {
    serving.connections.lock().expect("whole").insert(from);
    let body = serde_json::from_str(&text).expect("JSON");
    let call = Call {
        headers,
        text,
        body,
    };
    serving.calls.lock().expect("whole").push(call.clone());
    (serving.rule)(&call)
}

impl Server {
    async fn start(rule: impl Fn(&Call) -> Response + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", rule).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server's own task, ended with it"
    )]
    async fn start_at(
        address: &str,
        rule: impl Fn(&Call) -> Response + Send + Sync + 'static,
    ) -> Self {
        let serving = Serving {
            rule: Arc::new(rule),
            calls: Arc::default(),
            connections: Arc::default(),
        };
        let (calls, connections) = (Arc::clone(&serving.calls), Arc::clone(&serving.connections));
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(serve).with_state(serving);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            axum::serve(listener, service).await.expect("served");
        });
        Self {
            address,
            calls,
            connections,
            serving,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/work", self.address)
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("whole").clone()
    }
}

fn answer(status: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, body.to_owned()).into_response()
}

fn answer_with(status: u16, header: (&'static str, &str), body: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header.0, header.1.to_owned())], body.to_owned()).into_response()
}

/// Callbacks that nobody asks for: without a database.
fn no_callbacks() -> Callbacks {
    let sources = gleaner::config::Sources::default();
    let mut config = gleaner::areas::load(&sources).expect("defaults").database;
    config.url = Secret::new("postgres://nobody@127.0.0.1:1/none");
    Callbacks::new(db::pool(&config).expect("a pool"), 1)
}

fn pages() -> fetch::Client {
    fetch::Client::new(fetch::Config::for_tests()).expect("a client")
}

fn endpoint(options: Options) -> Endpoint {
    Endpoint::new("ocr", options, &pages(), no_callbacks()).expect("an endpoint")
}

/// Has one row worked.
async fn run(endpoint: &Endpoint, key: i64) -> Result<Value, Failure> {
    match endpoint.run(item(key, &json!({ "amount": key }))).await? {
        Answer::Completed(columns) => Ok(told(&columns)),
        Answer::Filtered(reason, _) => Ok(json!({ "filtered": reason })),
    }
}

/// What a failure is, in short.
fn kind(failure: &Failure) -> String {
    match failure {
        Failure::Retry { class, after, .. } => format!("retry {class} {after:?}"),
        Failure::Permanent { class, .. } => format!("permanent {class}"),
        Failure::Snooze {
            after,
            whole_workflow,
            ..
        } => format!("snooze {after:?} {whole_workflow}"),
    }
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let seconds = ("retry-after", "7");
    for (response, expected, text) in [
        (
            answer(200, r#"{"columns":{"total":2}}"#),
            Ok(json!({"total": 2})),
            "",
        ),
        (answer(200, ""), Ok(json!({})), ""),
        (answer(204, ""), Ok(json!({})), ""),
        (
            answer(200, r#"{"status":"filtered","reason":"empty"}"#),
            Ok(json!({"filtered": "empty"})),
            "",
        ),
        (
            answer(200, "<html>"),
            Err("retry handler_protocol None"),
            "<html>",
        ),
        (
            answer(202, ""),
            Err("retry handler_protocol None"),
            "callback_url",
        ),
        (
            answer(200, r#"{"results":[{"id":5,"status":"completed"}]}"#),
            Err("retry handler_protocol None"),
            "never given",
        ),
        (
            answer(200, r#"{"results":[]}"#),
            Err("retry handler_protocol None"),
            "did not answer for this row",
        ),
        (
            answer(400, "no such invoice"),
            Err("permanent handler_status"),
            "400: no such invoice",
        ),
        (answer(401, ""), Err("permanent handler_status"), "401"),
        (answer(408, ""), Err("retry handler_status None"), "408"),
        (
            answer(500, "traceback"),
            Err("retry handler_status None"),
            "traceback",
        ),
        (
            answer_with(500, seconds, ""),
            Err("retry handler_status Some(7s)"),
            "500",
        ),
        (answer_with(429, seconds, ""), Err("snooze 7s true"), "429"),
        (
            answer_with(503, seconds, "busy"),
            Err("snooze 7s true"),
            "503: busy",
        ),
        (answer(429, ""), Err("snooze 1s false"), "429"),
        (answer(502, ""), Err("snooze 1s false"), "502"),
        (answer(503, ""), Err("snooze 1s false"), "503"),
        (answer(504, ""), Err("snooze 1s false"), "504"),
        (
            answer(
                200,
                &format!("{{\"columns\":{{\"a\":\"{}\"}}}}", "a".repeat(9 << 20)),
            ),
            Err("permanent handler_protocol"),
            "larger than",
        ),
    ] {
        let response = Mutex::new(Some(response));
        let server = Server::start(move |_| {
            let taken = response.lock().unwrap().take();
            taken.expect("one request")
        })
        .await;
        let found = run(&endpoint(Options::of(server.url())), 1).await;
        match expected {
            Ok(expected) => assert_eq!(found.unwrap(), expected),
            Err(expected) => {
                let failure = found.unwrap_err();
                assert_eq!(kind(&failure), expected, "{failure}");
                assert!(failure.to_string().contains(text), "{failure}");
            }
        }
        assert_eq!(server.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(|_| answer(200, "{}")).await;
    let location = other.url();
    let server = Server::start(move |_| answer_with(307, ("location", &location), "")).await;
    let failure = run(&endpoint(Options::of(server.url())), 1)
        .await
        .unwrap_err();
    assert_eq!(kind(&failure), "snooze 1s false");
    assert!(
        failure.to_string().contains("redirects are not followed"),
        "{failure}"
    );
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn what_is_not_allowed_is_never_knocked_at() {
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let address = inside.local_addr().unwrap();
    let pages = fetch::Client::new(fetch::Config {
        allow_networks: Vec::new(),
        ..fetch::Config::for_tests()
    })
    .unwrap();
    let options = Options::of(format!("http://{address}/"));
    let endpoint = Endpoint::new("ocr", options, &pages, no_callbacks()).unwrap();
    let failure = run(&endpoint, 1).await.unwrap_err();
    assert_eq!(kind(&failure), "snooze 1s false");
    assert!(
        failure.to_string().contains("fetch.allow_networks"),
        "{failure}"
    );
    assert!(inside.accept().is_err(), "it got through");
    // What a reload allows holds for it as well.
    let server = Server::start(|_| answer(200, "{}")).await;
    let endpoint = Endpoint::new("ocr", Options::of(server.url()), &pages, no_callbacks()).unwrap();
    assert!(run(&endpoint, 1).await.is_err());
    pages.reconfigure(fetch::Config::for_tests()).unwrap();
    assert_eq!(run(&endpoint, 1).await.unwrap(), json!({}));
}

/// By the standard's own words, with other code than ours.
fn verifies(call: &Call, secret: &str) -> bool {
    let header = |name: &str| call.headers[name].to_str().expect("text").to_owned();
    let key = STANDARD
        .decode(secret.trim_start_matches("whsec_"))
        .expect("base64");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let signed = format!("{id}.{at}.{}", call.text);
    header("webhook-signature").split(' ').any(|signature| {
        let (version, tag) = signature.split_once(',').expect("v1,…");
        let tag = STANDARD.decode(tag).expect("base64");
        version == "v1" && ring::hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    })
}

#[tokio::test]
async fn requests_are_signed_and_a_repeat_has_the_same_id() {
    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh";
    let server = Server::start(|_| answer(200, "{}")).await;
    let mut options = Options::of(server.url());
    options.secret = vec![Secret::new(NEW), Secret::new(OLD)];
    options.headers = [("X-Token".to_owned(), Secret::new("t-1"))].into();
    let endpoint = endpoint(options);
    for key in [1, 1, 2] {
        run(&endpoint, key).await.unwrap();
    }
    let calls = server.calls();
    for call in &calls {
        assert!(verifies(call, OLD) && verifies(call, NEW), "{call:?}");
        assert!(!verifies(call, "whsec_YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi"));
        assert_eq!(call.headers["x-token"], "t-1");
        assert_eq!(call.headers["content-type"], "application/json");
    }
    let id = |at: usize| calls[at].headers["webhook-id"].clone();
    assert_eq!(id(0), id(1));
    assert_ne!(id(0), id(2));
    assert_eq!(calls[0].body["version"], 1);
    assert_eq!(calls[0].body["workflow"], "ocr");
    assert_eq!(calls[0].body["items"][0]["columns"], json!({ "amount": 1 }));
    assert_eq!(calls[0].body["items"][0]["attempt"], 1);
    assert_eq!(calls[0].body["items"][0].get("callback"), None);
}

/// Completes each row but those whose keys are negative, which are left out, and fails as a whole with 13 in it.
fn judge(call: &Call) -> Response {
    let keys = call.keys();
    if keys.contains(&json!(13)) {
        return answer(500, "unlucky");
    }
    let results: Vec<Value> = keys
        .iter()
        .enumerate()
        .filter(|(_, key)| key.as_i64().is_some_and(|key| key >= 0))
        .map(|(id, key)| json!({ "id": id, "status": "completed", "columns": { "seen": key } }))
        .collect();
    answer(200, &json!({ "results": results }).to_string())
}

#[tokio::test]
async fn a_batch_is_answered_row_by_row_and_one_that_fails_is_taken_apart() {
    let server = Server::start(judge).await;
    let mut options = Options::of(server.url());
    options.per = Per::Batch;
    options.batch = Some(50);
    options.in_flight = 2;
    let endpoint = endpoint(options);
    let keys: Vec<i64> = (0..40).chain([-1]).collect();
    let runs = keys.iter().map(|key| run(&endpoint, *key));
    let found = join_all(runs).await;
    for (key, found) in keys.iter().zip(found) {
        match *key {
            13 => assert_eq!(kind(&found.unwrap_err()), "retry handler_status None"),
            -1 => assert_eq!(kind(&found.unwrap_err()), "retry handler_protocol None"),
            key => assert_eq!(found.unwrap(), json!({ "seen": key })),
        }
    }
    let size_of = |call: &Call| call.keys().len();
    let sizes: Vec<usize> = server.calls().iter().map(size_of).collect();
    assert_eq!(sizes.first(), Some(&41));
    assert!(sizes.iter().skip(1).all(|size| *size == 1), "{sizes:?}");
    // One that is left out spoils nothing.
    let found = join_all([20, -2, 21].map(|key| run(&endpoint, key))).await;
    assert_eq!(server.calls().last().map(size_of), Some(3));
    let [first, left_out, last] = found.try_into().unwrap();
    assert_eq!(kind(&left_out.unwrap_err()), "retry handler_protocol None");
    assert_eq!(
        (first.unwrap(), last.unwrap()),
        (json!({ "seen": 20 }), json!({ "seen": 21 }))
    );
}

#[tokio::test]
async fn many_rows_share_few_connections() {
    let server = Server::start(|_| answer(200, "{}")).await;
    let mut options = Options::of(server.url());
    options.in_flight = 4;
    let endpoint = endpoint(options);
    let runs = (0..300).map(|key| run(&endpoint, key));
    for found in join_all(runs).await {
        assert_eq!(found.unwrap(), json!({}));
    }
    assert_eq!(server.calls().len(), 300);
    let connections = server.connections.lock().unwrap().len();
    // Four, and some that were opened in the moment in which one was given back.
    assert!(connections <= 30, "{connections}");
}

#[tokio::test]
async fn a_row_that_is_taken_back_is_not_sent() {
    let server = Server::start(|_| answer(200, "{}")).await;
    let mut options = Options::of(server.url());
    options.per = Per::Batch;
    options.in_flight = 1;
    let endpoint = endpoint(options);
    // Asked for, and dropped before anything is done.
    assert!(run(&endpoint, 1).now_or_never().is_none());
    run(&endpoint, 2).await.unwrap();
    let calls = server.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].keys(), [json!(2)]);
}

//! The places of a port: what one address may have of them, and what is left for the others, and for health.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Api, TOKEN, is, refusal};
use crate::support::exchange::exchange;
use crate::support::wait_until;

/// A program of whose places an address may have two, and a proxy any number.
async fn with_share(proxies: &[&str]) -> Api {
    let proxies = proxies
        .iter()
        .map(|text| text.parse().expect("a network"))
        .collect();
    Api::start_with(0, |config| {
        config.http.max_connections_per_peer = 2;
        config.http.trusted_proxies = proxies;
    })
    .await
}

fn pull(wait: u32) -> String {
    let body = json!({"bot_id": "ann", "api_token": TOKEN, "wait_seconds": wait}).to_string();
    format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn connect(address: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, from], 0)))
        .expect("an address of this machine");
    socket.connect(address).await.expect("it serves")
}

async fn say(address: SocketAddr, from: u8, text: &str) -> TcpStream {
    let mut stream = connect(address, from).await;
    stream.write_all(text.as_bytes()).await.expect("it listens");
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}

impl Api {
    /// Two pulls of this machine's first address that wait: it has its share, and owes nothing.
    async fn fill(&self) -> Vec<TcpStream> {
        let held = join_all([
            say(self.address, 1, &pull(30)),
            say(self.address, 1, &pull(30)),
        ])
        .await;
        wait_until("both wait", async || {
            self.app
                .database
                .count("SELECT window_pulls::bigint FROM bot WHERE bot_id = 'ann'")
                .await
                == 2
        })
        .await;
        held
    }
}

#[tokio::test]
async fn an_address_has_its_share_and_health_is_answered_beyond() {
    let api = with_share(&[]).await;
    let held = api.fill().await;
    let turned_away = api.post_as("ann", "pull/", json!({})).await;
    assert_eq!(refusal(&turned_away), is(503, "too_many_connections"));
    assert_eq!(turned_away.header("retry-after"), Some("5"));
    for path in ["/health", "/health/live"] {
        let health = exchange(api.address, &format!("GET {path}"), &[]).await;
        assert_eq!(
            (health.status, health.body.as_str()),
            (200, r#"{"status":"ok"}"#)
        );
        assert_eq!(health.header("connection"), Some("close"));
    }
    assert!([200, 503].contains(&exchange(api.address, "GET /health/ready", &[]).await.status));
    let other = exchange(api.address, "GET /api/v1/status", &[]).await;
    assert_eq!(
        (other.status, other.error_code().as_str()),
        (503, "too_many_connections")
    );
    assert_eq!(other.header("x-content-type-options"), Some("nosniff"));
    // Rules for the host hold there too.
    assert_eq!(
        exchange(api.address, "GET /health", &["Host: evil.example"])
            .await
            .status,
        421
    );
    // Others have theirs.
    let from_another = answer(say(api.address, 2, &pull(0)).await).await;
    assert!(from_another.starts_with("HTTP/1.1 200"), "{from_another}");
    drop(held);
    wait_until("there is room again", async || {
        api.post_as("ann", "pull/", json!({})).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_proxy_has_no_share() {
    let api = with_share(&["127.0.0.1/32"]).await;
    let held = api.fill().await;
    assert_eq!(api.post_as("ann", "pull/", json!({})).await.status, 200);
    drop(held);
}

/// Who has only waited makes room: half a head, a body begun, and a connection kept for later.
#[tokio::test]
async fn who_owes_something_makes_room() {
    let api = with_share(&[]).await;
    for text in [
        "",
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: loc",
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n{\"bot_id\"",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let held = join_all([say(api.address, 1, text), say(api.address, 1, text)]).await;
        wait_until("there is room", async || {
            api.post_as("ann", "pull/", json!({})).await.status == 200
        })
        .await;
        // One of them is hung up on: who has owed the longest, which neither of two at once can tell.
        let ends = held.into_iter().map(|one| Box::pin(answer_or_end(one)));
        let ended = tokio::time::timeout(Duration::from_secs(5), select_all(ends)).await;
        assert!(ended.is_ok(), "{text:?}");
    }
}

async fn answer_or_end(mut stream: TcpStream) {
    // It may be reset.
    drop(stream.read_to_end(&mut Vec::new()).await);
}

/// A body that does not come any further is given up, and its client told.
#[tokio::test]
async fn a_body_has_to_come_on() {
    let api = with_share(&[]).await;
    for (path, length) in [("pull/", 500), ("submit/", 500_000)] {
        let text = format!(
            "POST /api/crawl/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{{"
        );
        let stream = say(api.address, 1, &text).await;
        let told = tokio::time::timeout(Duration::from_secs(30), answer(stream)).await;
        let told = told.expect("in time");
        assert!(
            told.starts_with("HTTP/1.1 408") && told.contains("too_slow"),
            "{told}"
        );
    }
}

//! HTTP by hand: what goes over the wire is exactly what the test says, and what comes back is not interpreted.

#![expect(clippy::unwrap_used, reason = "a failed exchange is a failed test")]

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The header of this name, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    /// The code of an error in the API's form.
    pub(crate) fn error_code(&self) -> String {
        let json = self.json();
        assert!(json["error"]["message"].is_string(), "{json}");
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// Sends a request without a body and returns the answer. `lines` are headers beside `Host: localhost`.
pub(crate) async fn exchange(address: SocketAddr, request: &str, lines: &[&str]) -> Answer {
    exchange_body(address, request, lines, b"").await
}

/// The same with a body; its length and kind are for `lines` to say.
pub(crate) async fn exchange_body(
    address: SocketAddr,
    request: &str,
    lines: &[&str],
    body: &[u8],
) -> Answer {
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    if !lines.iter().any(|line| line.starts_with("Host:")) {
        text.push_str("Host: localhost\r\n");
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    // A server that has heard enough answers and hangs up.
    drop(stream.write_all(body).await);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head in {text:?}"));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

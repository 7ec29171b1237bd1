//! A web server on loopback that misbehaves exactly as a test tells it to: it writes raw bytes.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The server; stops when dropped.
pub(crate) struct Nasty {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Nasty {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Nasty {
    /// Serves one request per connection with `handler`, which writes what it likes.
    pub(crate) async fn start<F>(
        handler: impl Fn(Seen, TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler = Arc::new(handler);
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                    tokio::spawn(async move {
                        let Some(request) = read_head(&mut stream).await else {
                            return;
                        };
                        seen.lock().unwrap().push(request.clone());
                        handler(request, stream).await;
                    });
                }
            }
        });
        Self {
            address,
            seen,
            accepting,
        }
    }

    /// A server that gives the same bytes for every path.
    pub(crate) async fn fixed(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, mut stream| {
            let bytes = bytes.clone();
            async move { send(&mut stream, &bytes).await }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen()
            .into_iter()
            .map(|request| request.path)
            .collect()
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Seen {
        at: Instant::now(),
        path,
        headers,
    })
}

/// A whole response, with a right `Content-Length`.
pub(crate) fn response(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    [head.as_bytes(), body].concat()
}

pub(crate) fn redirect(to: &str) -> Vec<u8> {
    response("302 Found", &[("Location", to)], b"")
}

/// Writes and closes properly. The client may be gone already, which is its right.
pub(crate) async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        stream.shutdown().await.ok();
        // Closing with unread input would reset the connection.
        tokio::io::copy(stream, &mut tokio::io::sink()).await.ok();
    }
}

/// Writes the same bytes for ever, until the client goes away.
pub(crate) async fn send_for_ever(stream: &mut TcpStream, head: &[u8], piece: &[u8]) {
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        sent = stream.write_all(piece).await;
    }
}

/// Writes one byte at a time, until the client goes away.
pub(crate) async fn trickle(stream: &mut TcpStream, head: &[u8], byte: u8, every: Duration) {
    let mut pace = tokio::time::interval(every);
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        pace.tick().await;
        sent = stream.write_all(&[byte]).await;
    }
}

/// Writes, then resets the connection instead of closing it.
pub(crate) async fn send_and_reset(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    stream.set_zero_linger().unwrap();
}

/// Says nothing more, until the client goes away.
pub(crate) async fn keep_silent(stream: &mut TcpStream) {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.ok();
}

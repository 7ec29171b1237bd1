//! Clients that mean no good, and what they cost the program: its memory, the time of a health check, its leases.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::future::Future;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::database::TestDatabase;
use super::process::Process;
use super::wait::wait_until_by;

/// Longest that anything a client does here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the health.
const PACE: Duration = Duration::from_millis(20);

/// What was seen of the program while clients were at it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// By how much its memory grew at most, in MiB.
    pub(crate) grown_mib: u64,
    /// The longest that a health check took.
    pub(crate) health: Duration,
    /// Health checks that were not answered with 200, and why.
    pub(crate) unhealthy: Vec<String>,
}

/// What was sent, and how it is told.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) head: String,
    pub(crate) body: Arc<[u8]>,
}

impl Shape {
    /// A POST to the bots' API with the length that its body has.
    pub(crate) fn post(name: &'static str, path: &str, lines: &str, body: Vec<u8>) -> Self {
        let head = format!(
            "POST /api/crawl/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{lines}\r\n",
            body.len()
        );
        Self {
            name,
            head,
            body: body.into(),
        }
    }
}

/// The figures of the process, by their names in `/proc`, in KiB.
fn memory(process: &Process, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The leases of the program, by which a lost one is told.
async fn leases(database: &TestDatabase) -> Vec<String> {
    database
        .rows("SELECT workflow, id FROM lease WHERE node_id IS NOT NULL ORDER BY 1, 2")
        .await
}

/// One health check, on a connection of its own.
fn ask_health(address: SocketAddr) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(told)?;
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    if text.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(format!("{read:?} {text:?}"))
    }
}

/// The same as monitors do it: whoever is hung up on before its request is heard, because hundreds connect in that moment, tries once more.
/// Both tries together have the time of one.
fn monitor_health(address: SocketAddr) -> Result<(), String> {
    ask_health(address).or_else(|first| {
        ask_health(address).map_err(|second| format!("{first}, and again: {second}"))
    })
}

/// Asks again and again until told to stop: on a thread of its own, so that what the clients do here does not hold it up.
fn watch_health(address: SocketAddr, stop: &Receiver<()>) -> (Duration, Vec<String>) {
    let (mut longest, mut unhealthy) = (Duration::ZERO, Vec::new());
    loop {
        let start = Instant::now();
        if let Err(why) = monitor_health(address) {
            unhealthy.push(why);
        }
        longest = longest.max(start.elapsed());
        match stop.recv_timeout(PACE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return (longest, unhealthy),
        }
    }
}

/// Has clients at the program, watches it meanwhile, and fails the test if it loses a lease.
pub(crate) async fn under<T>(
    process: &Process,
    database: &TestDatabase,
    siege: impl Future<Output = T>,
) -> (Seen, T) {
    let held = leases(database).await;
    assert!(!held.is_empty(), "it holds leases");
    let before = memory(process, "VmRSS:");
    // From here on the peak is that of the siege.
    std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5").unwrap();
    let address = process.address();
    let (stop, stopped) = channel();
    let watching = std::thread::spawn(move || watch_health(address, &stopped));
    let done = siege.await;
    drop(stop);
    let (health, unhealthy) = tokio::task::spawn_blocking(move || watching.join().unwrap())
        .await
        .unwrap();
    let seen = Seen {
        grown_mib: memory(process, "VmHWM:").saturating_sub(before) / 1024,
        health,
        unhealthy,
    };
    // One that was lost is opened again under another number; some may have been opened but now, the program just having started.
    let holds = leases(database).await;
    let lost: Vec<&String> = held.iter().filter(|held| !holds.contains(held)).collect();
    assert!(lost.is_empty(), "leases were lost: {lost:?}, {seen:?}");
    (seen, done)
}

/// Connects from one of this machine's own addresses: 127.0.0.`from`.
pub(crate) async fn connect(address: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, from], 0)))
        .unwrap();
    socket.connect(address).await.unwrap()
}

/// The status of an answer; 0 if there was none.
pub(crate) async fn status(stream: &mut TcpStream) -> u16 {
    let mut text = Vec::new();
    let reading = stream.read_to_end(&mut text);
    drop(tokio::time::timeout(PATIENCE, reading).await);
    let text = String::from_utf8_lossy(&text);
    let word = text.split(' ').nth(1);
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Sends a request in full and returns the status of its answer.
pub(crate) async fn send(address: SocketAddr, from: u8, head: &str, body: &[u8]) -> u16 {
    let mut stream = connect(address, from).await;
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let sending = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await
    };
    // Who has heard enough answers and hangs up.
    drop(tokio::time::timeout(PATIENCE, sending).await);
    status(&mut stream).await
}

/// Sends the same from so many connections at once, from 16 addresses; the statuses, each with how often it came.
pub(crate) async fn flood(
    address: SocketAddr,
    connections: usize,
    shape: &Shape,
) -> Vec<(u16, usize)> {
    let mut clients = JoinSet::new();
    for at in 0..connections {
        let (head, body) = (shape.head.clone(), Arc::clone(&shape.body));
        let from = u8::try_from(2 + at % 16).unwrap();
        clients.spawn(async move { send(address, from, &head, &body).await });
    }
    let mut counts = std::collections::BTreeMap::new();
    for status in clients.join_all().await {
        *counts.entry(status).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// Connections from one address that have sent this and then say nothing more.
pub(crate) async fn hold(
    address: SocketAddr,
    from: u8,
    connections: usize,
    text: &Arc<[u8]>,
) -> Vec<TcpStream> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let text = Arc::clone(text);
        clients.spawn(async move {
            let mut stream = connect(address, from).await;
            // Not all of it may be read.
            drop(tokio::time::timeout(PACE * 100, stream.write_all(&text)).await);
            stream
        });
    }
    clients.join_all().await
}

/// Waits until the program has hung up on all of these. Nothing is read from them; a byte now and then is sent.
pub(crate) async fn wait_cut_off(streams: &mut Vec<TcpStream>, within: Duration) {
    wait_until_by("they are cut off", within, async || {
        streams.retain(|stream| match stream.try_write(b" ") {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        streams.is_empty()
    })
    .await;
}

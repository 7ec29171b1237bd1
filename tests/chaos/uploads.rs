//! Uploads under `kill -9`, and uploads larger than the memory that they may take.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use gleaner::documents::key::{self, Scope};
use gleaner::documents::tenant;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Body, Client};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::database::TestDatabase;
use crate::support::process::{ConfigFile, Process};
use crate::support::{alone, let_pass, seed};

const KILLS: usize = 50;
/// Uploads under way at each.
const AT_A_TIME: usize = 4;
/// What the process that receives two gigabytes may take of memory, in KiB: as much as it may take at all.
const MOST_MEMORY: u64 = 150 * 1_024;
const TWO_GIGABYTES: usize = 2_000_000_000;

/// A tenant's key, and the configuration that leads to the tenant's files.
async fn set_up(database: &TestDatabase, storage: &Path, quota: i64) -> (String, ConfigFile) {
    let mut conn = database.connect().await;
    let made = tenant::create(&mut conn, "a", quota)
        .await
        .unwrap()
        .unwrap();
    let secret = key::generate().unwrap();
    key::store(&mut conn, made.id, &secret, "", Scope::Write, None)
        .await
        .unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let more = format!(
        "[documents]\nstorage = {:?}\nmax_file_bytes = {}\n",
        storage.display().to_string(),
        3_u64 << 30
    );
    let config = ConfigFile::with("uploads", database.url(), nowhere, &more);
    (secret.expose().to_owned(), config)
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(600))
        .build()
        .unwrap()
}

/// Sends a file as a form; the status of the answer, if there was one.
async fn upload(
    client: &Client,
    address: SocketAddr,
    key: &str,
    name: &str,
    body: Body,
) -> Option<u16> {
    let sent = client
        .post(format!("http://{address}/api/documents/upload"))
        .bearer_auth(key)
        .header("idempotency-key", name)
        .header("content-type", "multipart/form-data; boundary=f00")
        .body(body)
        .send()
        .await;
    Some(sent.ok()?.status().as_u16())
}

/// The file in pieces, as a form.
fn form(name: &str, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let head = format!(
        "--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    let whole = std::iter::once(Bytes::from(head))
        .chain(pieces)
        .chain([Bytes::from_static(b"\r\n--f00--\r\n")]);
    Body::wrap_stream(stream::iter(whole.map(Ok::<_, std::io::Error>)))
}

/// What is sent under a name: text, so many times the name.
fn content(name: &str, times: usize) -> Vec<u8> {
    format!("{name}\n").repeat(times).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_while_receiving_lose_nothing_and_double_nothing() {
    let _alone = alone().await;
    let mut chance = StdRng::seed_from_u64(seed());
    let database = TestDatabase::new().await;
    let storage = TempDir::new().unwrap();
    let (key, config) = set_up(&database, storage.path(), 1 << 40).await;
    let client = client();
    // What was sent, and whether it was answered for.
    let mut sent: HashMap<String, (usize, bool)> = HashMap::new();
    for round in 0..KILLS {
        let process = Process::start(&config).await;
        let mut sending = JoinSet::new();
        for at in 0..AT_A_TIME {
            let (name, times) = (
                format!("file-{round}-{at}"),
                chance.random_range(1..200_000),
            );
            sent.insert(name.clone(), (times, false));
            let (client, key, address) = (client.clone(), key.clone(), process.address());
            sending.spawn(async move {
                let bytes = Bytes::from(content(&name, times));
                let pieces: Vec<Bytes> = bytes.chunks(50_000).map(Bytes::copy_from_slice).collect();
                let body = form(&name, pieces.into_iter());
                let status = upload(&client, address, &key, &name, body).await;
                (name, status)
            });
        }
        // Not a wait for anything: the moment of the kill is to be a random one.
        let_pass(Duration::from_millis(chance.random_range(1..400))).await;
        process.kill().await;
        while let Some(ended) = sending.join_next().await {
            let (name, status) = ended.unwrap();
            assert!(matches!(status, None | Some(201)), "{name}: {status:?}");
            sent.get_mut(&name).unwrap().1 = status == Some(201);
        }
    }
    let answered = sent
        .values()
        .filter(|(_, is_answered)| *is_answered)
        .count();
    let there = database.count("SELECT count(*) FROM documents").await;
    println!(
        "{answered} of {} uploads were answered for, {there} are there",
        sent.len()
    );
    assert!(answered < sent.len(), "no kill hit an upload");
    // What is set aside is told of, all of it, and what is used is there.
    let drift = "SELECT count(*) FROM tenant WHERE reserved_bytes <> (SELECT coalesce(sum(bytes), 0) FROM reservation) \
                 OR used_bytes <> (SELECT coalesce(sum(bytes), 0) FROM blob WHERE refs > 0)";
    assert_eq!(database.count(drift).await, 0);
    // Who was not answered comes again.
    let process = Process::start(&config).await;
    for (name, (times, is_answered)) in &sent {
        let body = form(name, std::iter::once(Bytes::from(content(name, *times))));
        let status = upload(&client, process.address(), &key, name, body).await;
        if *is_answered {
            assert_eq!(status, Some(200), "{name} is there");
        } else {
            assert!(matches!(status, Some(200 | 201)), "{name}: {status:?}");
        }
    }
    let rows = database
        .rows("SELECT filename, file_size, encode(sha256, 'hex'), tenant.uid FROM documents JOIN tenant ON tenant.id = tenant_id")
        .await;
    assert_eq!(rows.len(), sent.len(), "each is one document");
    for row in rows {
        let [name, bytes, sha256, tenant] = row.split('|').collect::<Vec<_>>().try_into().unwrap();
        let expected = content(name, sent[name].0);
        assert_eq!(bytes, expected.len().to_string());
        let shelf = sha256.get(..2).unwrap();
        let path = storage.path().join(tenant).join(shelf).join(sha256);
        assert!(std::fs::read(path).unwrap() == expected, "{name}");
    }
    assert_eq!(database.count(drift).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_are_received_in_little_memory() {
    let _alone = alone().await;
    let database = TestDatabase::new().await;
    let storage = TempDir::new().unwrap();
    let (key, config) = set_up(&database, storage.path(), 1 << 40).await;
    let process = Process::start(&config).await;
    let before = memory(process.pid());
    let piece = Bytes::from("a line of text, and another word\n".repeat(32_768));
    let pieces = TWO_GIGABYTES / piece.len();
    let bytes = pieces * piece.len();
    let body = form("large.txt", std::iter::repeat_n(piece, pieces));
    let status = upload(&client(), process.address(), &key, "large", body).await;
    assert_eq!(status, Some(201));
    let after = memory(process.pid());
    println!("{bytes} bytes received: at most {after} KiB of memory, {before} KiB before");
    assert!(after < MOST_MEMORY, "{after} KiB");
    let size = database.count("SELECT file_size FROM documents").await;
    assert_eq!(usize::try_from(size).unwrap(), bytes);
}

/// The most memory that a process has had, in KiB.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

//! A database that is frozen in the middle of uploads: it takes whatever is sent, and says nothing. Those who wait are told in time, nothing of
//! theirs is kept, and every byte that was set aside is given back once it answers again.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Body, Client, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::database_faults::private_server;
use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::line::{Line, State};
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::connect;
use crate::support::wait::{wait_until, wait_until_by};

/// Who waits is told within this: the database's own time, another moment for giving back, and hearing the rest of the body out.
const TOLD: Duration = Duration::from_secs(25);
/// What is set aside is given back within this of the database's being back.
const GIVEN_BACK: Duration = Duration::from_secs(60);
/// More than is set aside at once for a file of unknown length, in MiB: those behind need the database again.
const STEP: usize = 8;

/// A form with one file, whose body is sent as it is told to go on.
struct Upload {
    body: UnboundedSender<Bytes>,
    answer: JoinHandle<Response>,
}

impl Upload {
    #[expect(clippy::disallowed_methods, reason = "it ends with its answer")]
    fn begin(client: &Client, address: SocketAddr, key: &str, name: &str) -> Self {
        let (body, pieces) = unbounded_channel();
        let pieces = stream::unfold(pieces, |mut pieces| async move {
            let piece: Bytes = pieces.recv().await?;
            Some((Ok::<_, std::io::Error>(piece), pieces))
        });
        let sending = client
            .post(format!("http://{address}/api/documents/upload"))
            .bearer_auth(key)
            .header("content-type", "multipart/form-data; boundary=f00")
            .body(Body::wrap_stream(pieces))
            .send();
        let answer = tokio::spawn(async move { sending.await.unwrap() });
        let upload = Self { body, answer };
        upload.send(format!(
            "--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{name}\n"
        ));
        upload.send_mebibytes(1);
        upload
    }

    /// What the other side does not want any more is lost.
    fn send(&self, text: impl Into<Bytes>) {
        drop(self.body.send(text.into()));
    }

    fn send_mebibytes(&self, count: usize) {
        for _ in 0..count {
            self.send(
                "a line of text, of which there are many in this file of all .\n\n".repeat(16_384),
            );
        }
    }

    async fn end(self) -> (u16, Value) {
        self.send("\r\n--f00--\r\n");
        drop(self.body);
        told(self.answer.await.unwrap()).await
    }
}

async fn told(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Everything below a folder that is a file.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

/// Uploads in three phases while `freeze` has its way with the database, which the process reaches by `url` and the test by `direct`.
async fn check(url: &str, direct: &str, freeze: impl FnOnce(), thaw: impl FnOnce()) {
    let storage = TempDir::new().unwrap();
    let more = format!("[documents]\nstorage = {:?}\n", storage.path());
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let process = Process::start(&ConfigFile::with("frozen", url, nowhere, &more)).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let made = client
        .post(format!("http://{}/api/v1/tenants", process.address()))
        .json(&serde_json::json!({ "name": "a" }))
        .send();
    let (_, made) = told(made.await.unwrap()).await;
    let key = made["key"].as_str().unwrap().to_owned();
    let database = connect(direct).await;
    let number = async |sql: &str| -> i64 { database.query_one(sql, &[]).await.unwrap().get(0) };
    let begin = |name: &str| Upload::begin(&client, process.address(), &key, name);

    let (growing, ending) = (begin("growing.txt"), begin("ending.txt"));
    wait_until("both have set bytes aside", async || {
        number("SELECT count(*) FROM reservation").await == 2
    })
    .await;
    freeze();
    let frozen_at = Instant::now();
    growing.send_mebibytes(STEP);
    let newcomer = client
        .get(format!("http://{}/api/user/stats", process.address()))
        .bearer_auth(&key)
        .send();
    let newcomer = async { told(newcomer.await.unwrap()).await };
    let answers = tokio::join!(growing.end(), ending.end(), newcomer);
    for (what, (status, body)) in [
        ("needs more room", answers.0),
        ("is whole", answers.1),
        ("has just come", answers.2),
    ] {
        assert_eq!(
            (status, &body["code"]),
            (503, &"unavailable".into()),
            "{what}: {body}"
        );
    }
    let took = frozen_at.elapsed();
    println!("told {took:.1?} after the database froze");
    assert!(took < TOLD, "{took:?}");

    thaw();
    wait_until_by("all is given back", GIVEN_BACK, async || {
        number("SELECT count(*) FROM reservation").await == 0
    })
    .await;
    println!("given back {:.1?} after it froze", frozen_at.elapsed());
    let account = "SELECT used_bytes + reserved_bytes FROM tenant";
    assert_eq!(number(account).await, 0);
    assert_eq!(number("SELECT count(*) FROM documents").await, 0);
    // That of the whole one is there, for the sweeper: nothing refers to it.
    assert!(files(storage.path()) <= 1, "a draft was left");
    assert_eq!(number("SELECT count(*) FROM blob").await, 0);

    // What was refused comes again.
    for name in ["growing.txt", "ending.txt"] {
        let (status, body) = begin(name).end().await;
        assert_eq!(status, 201, "{body}");
    }
    let files = number("SELECT sum(file_size)::bigint FROM documents").await;
    assert_eq!(number(account).await, files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_all_costs_an_upload_its_answer_and_nothing_else() {
    let _alone = alone().await;
    let database = TestDatabase::new().await;
    let line = Line::to(database.url()).await;
    let url = line.url(database.url());
    check(
        &url,
        database.url(),
        || line.set(State::Silent),
        || line.set(State::Whole),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_costs_an_upload_its_answer_and_nothing_else() {
    let _alone = alone().await;
    let (_folder, postgres) = private_server().await;
    let url = postgres.url("work");
    let pid = i32::try_from(postgres.pid().unwrap()).unwrap();
    check(
        &url,
        &url,
        || signal_all(pid, Signal::SIGSTOP),
        || signal_all(pid, Signal::SIGCONT),
    )
    .await;
}

/// Signals a process and its children, itself first: it is to make no more of them.
fn signal_all(parent: i32, signal: Signal) {
    kill(Pid::from_raw(parent), signal).unwrap();
    let of = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(of).unwrap();
    for child in children.split_whitespace() {
        // One that has just ended is none any more.
        kill(Pid::from_raw(child.parse().unwrap()), signal).ok();
    }
}

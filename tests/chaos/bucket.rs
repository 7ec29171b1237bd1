//! Documents in a bucket of a real server that speaks S3, seen as tenants see them: the one that `GLEANER_TEST_S3` names, as
//! `http://KEY:SECRET@HOST:PORT/BUCKET`, or else s3s-fs, where it is installed (`GLEANER_TEST_S3S_FS`, or on the path).

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::Url;

use crate::support::database::TestDatabase;
use crate::support::line::{Line, State};
use crate::support::process::{ConfigFile, Process, command};
use crate::support::wait::wait_until;
use crate::support::{alone, tools};

/// What our own server knows its client by.
const KEY: &str = "AKEY";
const SECRET: &str = "a-secret";
const BUCKET: &str = "papers";
/// More than two parts of an upload in parts.
const LARGE: usize = 20_000_003;
/// Longer than nobody's files are left alone.
const LONG_AGO: Duration = Duration::from_secs(3 * 3_600);

/// A server, and the bucket in it.
struct Server {
    url: Url,
    /// Our own, with the folder that it keeps everything in.
    own: Option<(Child, TempDir)>,
}

#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Server {
    async fn find() -> Option<Self> {
        if let Some(url) = setting("GLEANER_TEST_S3") {
            let url = Url::parse(&url).unwrap();
            return Some(Self { url, own: None });
        }
        let program = setting("GLEANER_TEST_S3S_FS").unwrap_or_else(|| "s3s-fs".to_owned());
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = free_address();
        let child = Command::new(program)
            .args([
                "--access-key",
                KEY,
                "--secret-key",
                SECRET,
                "--host",
                "127.0.0.1",
            ])
            .args(["--port", &address.port().to_string()])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        wait_until("the store listens", async || {
            TcpStream::connect(address).is_ok()
        })
        .await;
        let url = format!("http://{KEY}:{SECRET}@{address}/{BUCKET}");
        Some(Self {
            url: Url::parse(&url).unwrap(),
            own: Some((child, folder)),
        })
    }

    fn bucket(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }

    /// What a program that comes with this key is to have in its environment, over a line.
    fn environment(&self, line: &Line, secret: &str) -> Vec<(&'static str, String)> {
        let mut endpoint = Url::parse(&line.url(self.url.as_str())).unwrap();
        endpoint.set_username("").unwrap();
        endpoint.set_password(None).unwrap();
        endpoint.set_path("");
        vec![
            (
                "AWS_ENDPOINT",
                endpoint.as_str().trim_end_matches('/').to_owned(),
            ),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.url.username().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ]
    }

    /// The stored files, where that can be seen.
    fn files(&self) -> Option<Vec<PathBuf>> {
        let (_, folder) = self.own.as_ref()?;
        let mut found = Vec::new();
        collect(&folder.path().join(BUCKET), &mut found);
        found.retain(|path| path.file_name().is_some_and(|name| name.len() == 64));
        Some(found)
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// A tenant's program.
struct Tenant {
    client: Client,
    address: SocketAddr,
    key: String,
}

impl Tenant {
    /// Of a process that runs; the tenant is made.
    async fn new(process: &Process, name: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(120))
            .build()
            .unwrap();
        let address = process.address();
        let made = client
            .post(format!("http://{address}/api/v1/tenants"))
            .json(&serde_json::json!({ "name": name }));
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let key = made["key"].as_str().unwrap().to_owned();
        Self {
            client,
            address,
            key,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/documents{path}", self.address)
    }

    async fn upload(&self, name: &str, bytes: &[u8]) -> (StatusCode, Value) {
        let head = format!(
            "--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        let sent = self
            .client
            .post(self.url("/upload"))
            .bearer_auth(&self.key)
            .header("content-type", "multipart/form-data; boundary=f00")
            .body([head.as_bytes(), bytes, b"\r\n--f00--\r\n"].concat());
        let answer = sent.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The document of a file that is taken.
    async fn uploaded(&self, name: &str, bytes: &[u8]) -> String {
        let (status, body) = self.upload(name, bytes).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["document_id"].as_str().unwrap().to_owned()
    }

    /// The file of a document, or the part of it that a range names.
    async fn file(&self, document: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
        let mut asked = self
            .client
            .get(self.url(&format!("/{document}/file")))
            .bearer_auth(&self.key);
        if let Some(range) = range {
            asked = asked.header("range", range);
        }
        let answer = asked.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap().to_vec())
    }

    async fn delete(&self, document: &str) {
        let asked = self.client.delete(self.url(&format!("/{document}")));
        let answer = asked.bearer_auth(&self.key).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

/// Documents, and bytes that are counted or set aside, of all tenants.
const KEPT: &str = "SELECT (SELECT count(*) FROM documents), sum(used_bytes), sum(reserved_bytes), \
     (SELECT count(*) FROM reservation) FROM tenant";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_bucket_keeps_what_tenants_send() {
    let _alone = alone().await;
    let Some(server) = Server::find().await else {
        tools::skip("no server that speaks S3: set GLEANER_TEST_S3, or install s3s-fs");
        return;
    };
    let database = TestDatabase::new().await;
    let line = Line::to(server.url.as_str()).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let data = TempDir::new().unwrap();
    let more = format!(
        "[documents]\nstorage = \"s3://{}/gleaner\"\n[embedded]\ndata_dir = {:?}\n",
        server.bucket(),
        data.path()
    );
    let config = ConfigFile::with("bucket", database.url(), nowhere, &more);
    // Files come and go without anybody reading them.
    let section = "[workflows.document-processing]\n";
    config.write(
        &config
            .text()
            .replace(section, &format!("{section}enabled = false\n")),
    );
    let right = server.environment(&line, server.url.password().unwrap());
    let process = Process::start_in(&config, &right).await;
    let tenant = Tenant::new(&process, "a").await;

    // What is sent is read back, whole and in parts, however large it is.
    let large: Vec<u8> = "a line of text, and another\n"
        .bytes()
        .cycle()
        .take(LARGE)
        .collect();
    let mut documents = Vec::new();
    for (name, bytes) in [
        ("small.txt", &b"Brass kettles boil."[..]),
        ("large.txt", &large),
    ] {
        let document = tenant.uploaded(name, bytes).await;
        assert!(
            tenant.file(&document, None).await == (StatusCode::OK, bytes.to_vec()),
            "{name}"
        );
        let (status, part) = tenant.file(&document, Some("bytes=6-12")).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(part, bytes[6..13]);
        let (status, end) = tenant.file(&document, Some("bytes=-5")).await;
        assert_eq!(
            (status, end.as_slice()),
            (StatusCode::PARTIAL_CONTENT, &bytes[bytes.len() - 5..])
        );
        documents.push(document);
    }
    if let Some(files) = server.files() {
        assert_eq!(files.len(), 2, "{files:?}");
    }

    // Away, and back: nothing is kept of what was refused.
    let kept = database.rows(KEPT).await;
    line.set(State::Cut);
    let (status, body) = tenant.upload("away.txt", b"The store is away.").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"unavailable".into()),
        "{body}"
    );
    assert_eq!(database.rows(KEPT).await, kept);
    line.set(State::Whole);
    let document = tenant.uploaded("away.txt", b"The store is away.").await;
    tenant.delete(&document).await;
    let kept = database.rows(KEPT).await;

    // With a secret that is wrong: the same, and it is told.
    let wrong = server.environment(&line, "not-the-secret");
    let stranger = Process::start_in(&config, &wrong).await;
    let other = Tenant::new(&stranger, "b").await;
    let (status, body) = other.upload("b.txt", b"Nobody may know.").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(
        !stranger.log_text().contains("not-the-secret"),
        "{}",
        stranger.log_text()
    );
    assert_eq!(database.rows(KEPT).await, kept);
    stranger.kill().await;

    // What is deleted goes when its time is over, and what no row names goes with it.
    tenant.delete(&documents[0]).await;
    let Some((_, folder)) = &server.own else {
        return;
    };
    let nobodys = folder
        .path()
        .join(BUCKET)
        .join("gleaner/00000000-0000-4000-8000-000000000009/ab");
    fs::create_dir_all(&nobodys).unwrap();
    fs::write(nobodys.join("ab".repeat(32)), "nobody's").unwrap();
    for file in server.files().unwrap() {
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - LONG_AGO).unwrap();
    }
    database
        .run("UPDATE blob SET released_at = released_at - interval '3 hours', created_at = created_at - interval '3 hours'")
        .await;
    let config = config.path();
    let swept = command(&["documents", "sweep", "--config", config.to_str().unwrap()])
        .envs(right)
        .output()
        .await
        .unwrap();
    assert!(swept.status.success(), "{swept:?}");
    assert_eq!(server.files().unwrap().len(), 1, "{swept:?}");
    assert!(tenant.file(&documents[1], None).await.1 == large);
}

//! The built program as a child process: its configuration file, its log, its HTTP, its signals, its end.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::wait::wait_until_by;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gleaner");

/// Longest wait for a process to come up.
const START: Duration = Duration::from_secs(30);

/// The configuration file of one process. The engine's section is left at its defaults unless a test says otherwise.
pub(crate) struct ConfigFile {
    folder: TempDir,
}

impl ConfigFile {
    /// For a process called `name` that works on `database` and sees every host at `web`.
    pub(crate) fn new(name: &str, database: &str, web: SocketAddr) -> Self {
        Self::with(name, database, web, "")
    }

    /// The same with further sections and keys.
    pub(crate) fn with(name: &str, database: &str, web: SocketAddr, more: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gleaner-chaos-")
            .tempdir_in("/tmp")
            .unwrap();
        let file = Self { folder };
        file.write(&format!("{}\n{more}", common(name, database, web)));
        file
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("gleaner.toml")
    }

    /// Its text.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    /// Replaces it, as an editor does: at once.
    pub(crate) fn write(&self, text: &str) {
        let aside = self.folder.path().join("gleaner.toml.new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, self.path()).unwrap();
    }
}

/// No politeness (one web plays all hosts), short backoffs, and enough attempts that kills alone never use them up.
fn common(name: &str, database: &str, web: SocketAddr) -> String {
    let mut text = format!(
        r#"
[database]
url = "{database}"
[http]
listen = "127.0.0.1:0"
[fetch]
user_agent = "{name}/1 (+https://gleaner.example/bot)"
proxy_hosts_to = "{web}"
per_host_delay = "0s"
per_host_concurrency = 50
robots_error_ttl = "1s"
max_crawl_delay = "0s"
[workflows.deep-scan.options]
base_url = "http://{places}"
api_key = "a-key"
advance = true
"#,
        places = gleaner::demo::PLACES_HOST,
    );
    for workflow in gleaner::areas::workflows() {
        let workflow = workflow.name;
        text.push_str(&format!(
            "[workflows.{workflow}]\nmax_attempts = 15\nbackoff = {{ base = \"100ms\", max = \"1s\" }}\n"
        ));
    }
    text
}

/// The program, without any of this process's own settings.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    bare(command)
}

/// The same, in the place of a shell that has set limits to itself before.
fn command_limited(limits: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("{limits}; exec \"$0\" \"$@\""), PROGRAM])
        .args(arguments);
    bare(command)
}

fn bare(mut command: Command) -> Command {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/tmp")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it to its end and returns how it ended and what it printed to standard error.
pub(crate) async fn run_to_end(arguments: &[&str], within: Duration) -> (ExitStatus, String) {
    let running = command(arguments).stdout(Stdio::null()).output();
    match tokio::time::timeout(within, running).await {
        Ok(output) => {
            let output = output.unwrap();
            (
                output.status,
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        }
        Err(_elapsed) => panic!("gleaner {arguments:?} did not end within {within:?}"),
    }
}

/// A line of the log, and when it came.
type Line = (Instant, String);

/// Where the processes' logs are kept, if the environment says so (`GLEANER_TEST_LOGS`).
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn logs() -> Option<PathBuf> {
    std::env::var_os("GLEANER_TEST_LOGS").map(PathBuf::from)
}

/// A running `gleaner run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pid: Option<u32>,
    log: Arc<Mutex<Vec<Line>>>,
    http: SocketAddr,
    client: reqwest::Client,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let (Some(folder), Some(pid)) = (logs(), self.pid) {
            drop(std::fs::write(
                folder.join(format!("{pid}.log")),
                self.log_text(),
            ));
        }
    }
}

impl Process {
    /// Starts `gleaner run` and waits until it serves HTTP.
    pub(crate) async fn start(config: &ConfigFile) -> Self {
        Self::start_with(&config.path(), &[]).await
    }

    /// The same with further arguments.
    pub(crate) async fn start_with(config: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["run", "--config", config.to_str().unwrap()];
        arguments.extend(more);
        Self::spawn(command(&arguments)).await
    }

    /// Starts it with something in its environment.
    #[cfg(feature = "s3")]
    pub(crate) async fn start_in(config: &ConfigFile, environment: &[(&str, String)]) -> Self {
        let path = config.path();
        let mut command = command(&["run", "--config", path.to_str().unwrap()]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::spawn(command).await
    }

    /// Starts it under limits, as the shell's `ulimit` sets them.
    pub(crate) async fn start_limited(config: &ConfigFile, limits: &str) -> Self {
        let path = config.path();
        let arguments = ["run", "--config", path.to_str().unwrap()];
        Self::spawn(command_limited(limits, &arguments)).await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the reader of the log ends with the child"
    )]
    async fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<Line>>>::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        drop(tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.lock().unwrap().push((Instant::now(), line));
            }
        }));
        let mut process = Self {
            pid: child.id(),
            child,
            log,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(10))
                .build()
                .unwrap(),
        };
        process.wait_log("serving health").await;
        let text = process.log_text();
        let (_, address) = text.split_once("address=").unwrap();
        process.http = address.split_whitespace().next().unwrap().parse().unwrap();
        process
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id().unwrap()).unwrap()
    }

    /// Where it serves HTTP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.http
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_elapsed) => panic!("it did not end within {within:?}:\n{}", self.log_text()),
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// All it has logged.
    pub(crate) fn log_text(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// How many lines of its log hold this text.
    pub(crate) fn log_count(&self, text: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|(_, line)| line.contains(text)).count()
    }

    /// Waits for a line of the log.
    pub(crate) async fn wait_log(&mut self, text: &str) {
        let deadline = Instant::now() + START;
        while self.log_count(text) == 0 {
            assert!(
                self.is_running() && Instant::now() < deadline,
                "no \"{text}\" in its log:\n{}",
                self.log_text()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks its HTTP server; the status and the answer's JSON.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let url = format!("http://{}{path}", self.http);
        let answer = self.client.get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// The status that its HTTP server answers over a connection made for that; `None` where there is no answer in five seconds.
    pub(crate) async fn get_anew(&self, path: &str) -> Option<u16> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let url = format!("http://{}{path}", self.http);
        Some(client.get(url).send().await.ok()?.status().as_u16())
    }

    /// Asks its HTTP server; the answer's text.
    pub(crate) async fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.http);
        let answer = self.client.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// POSTs to its API; the status and the answer's JSON.
    pub(crate) async fn post(&self, path: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.http);
        let request = self.client.post(url).header("X-Requested-By", "tests");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The actors' status, as its API tells.
    pub(crate) async fn workflow(&self, name: &str) -> Value {
        let (_, status) = self.get("/api/v1/status").await.unwrap();
        let workflows = status["tree"]["workflows"].as_array().unwrap();
        let own = workflows.iter().find(|workflow| workflow["name"] == name);
        own.unwrap().clone()
    }

    /// What `/health/ready` says.
    pub(crate) async fn readiness(&self) -> (u16, Value) {
        self.get("/health/ready").await.unwrap_or((0, Value::Null))
    }

    /// Waits until it is ready.
    pub(crate) async fn wait_ready(&self, within: Duration) {
        wait_until_by("it is ready", within, async || {
            self.readiness().await.0 == 200
        })
        .await;
    }
}

//! A private Redis server, and a client as bare as `redis-cli`.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::SocketAddr;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::tools::skip;
use super::wait::wait_until;

/// A server of its own for one test; killed when dropped.
pub(crate) struct TestRedis {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    arguments: Vec<String>,
}

impl TestRedis {
    /// Starts one that keeps nothing; `None`, with a word about it, where there is no server program.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with these further arguments.
    pub(crate) async fn start_with(more: &[&str]) -> Option<Self> {
        let arguments = [&["--save", "", "--appendonly", "no"], more].concat();
        Self::start_in(tempfile::tempdir().unwrap(), &arguments).await
    }

    /// Starts a Sentinel that alone decides over this master, called `main`, within a second.
    pub(crate) async fn start_sentinel(master: &Self) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let master = format!("{} {}", master.address.ip(), master.address.port());
        std::fs::write(
            &file,
            format!(
                "sentinel monitor main {master} 1\nsentinel down-after-milliseconds main 300\n\
                 sentinel failover-timeout main 2000\n"
            ),
        )
        .unwrap();
        Self::start_in(folder, &[file.to_str().unwrap(), "--sentinel"]).await
    }

    async fn start_in(folder: TempDir, arguments: &[&str]) -> Option<Self> {
        let address = free_address();
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let Some(child) = serve(address, &folder, &arguments) else {
            skip("no redis-server on this machine");
            return None;
        };
        let mut server = Self {
            child,
            address,
            folder,
            arguments,
        };
        let mut has_ended = false;
        wait_until("Redis answers, or ends", async || {
            has_ended = server.child.try_wait().unwrap().is_some();
            has_ended || TcpStream::connect(address).await.is_ok()
        })
        .await;
        if has_ended {
            let arguments = &server.arguments;
            let is_tls = arguments.iter().any(|one| one == "--tls-port");
            assert!(is_tls, "redis-server ends at once: {arguments:?}");
            skip("this redis-server knows no TLS");
            return None;
        }
        Some(server)
    }

    async fn wait_up(&self) {
        let address = self.address;
        wait_until("Redis answers", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is, for the configuration.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Runs a command as one would type it to `redis-cli`; the answer as it would be shown, lists a line per element.
    pub(crate) async fn run(&self, command: &str) -> String {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .unwrap();
        let mut lines = Vec::new();
        let mut expected = 1_i64;
        while expected > 0 {
            expected -= 1;
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let (kind, rest) = line.trim_end().split_at(1);
            match kind {
                "*" => expected += rest.parse::<i64>().unwrap(),
                "$" if rest == "-1" => lines.push("(nil)".to_owned()),
                "$" => {
                    let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                    stream.read_exact(&mut bytes).await.unwrap();
                    bytes.truncate(bytes.len() - 2);
                    lines.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                _ => lines.push(rest.to_owned()),
            }
        }
        lines.join("\n")
    }

    /// The same, when it is a number.
    pub(crate) async fn count(&self, command: &str) -> i64 {
        self.run(command).await.parse().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap())
    }

    /// Stops answering, without closing anything.
    pub(crate) fn hang(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// Answers again.
    pub(crate) fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts again after a kill, with nothing in it.
    pub(crate) async fn start_again(&mut self) {
        self.child = serve(self.address, &self.folder, &self.arguments).unwrap();
        self.wait_up().await;
    }
}

/// Free a moment ago, and nobody else's a moment later.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn serve(address: SocketAddr, folder: &TempDir, arguments: &[String]) -> Option<Child> {
    Command::new("redis-server")
        .args(arguments)
        .args(["--bind", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()
}

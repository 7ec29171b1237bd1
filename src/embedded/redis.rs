//! The private Redis (or Valkey) server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tracing::info;

use super::account::{self, Account, DataDirLock};
use super::process::{ChildSlot, Server, ServerLog, keep_running, wait_until_ready};
use super::{EmbeddedError, Options, binaries, orphans, shim};

const PROGRAM: &str = "redis-server";
/// Redis writes its append-only file out on SIGTERM and then ends.
const STOP: [(Signal, Duration); 1] = [(Signal::SIGTERM, Duration::from_secs(10))];

/// A running private Redis server. Dropping it shuts the server down without waiting; [`Redis::stop`] waits.
#[derive(Debug)]
pub struct Redis {
    options: Options,
    program: PathBuf,
    account: Account,
    home: PathBuf,
    socket: PathBuf,
    slot: ChildSlot,
    /// Held over every start and stop, so that they never overlap.
    lifecycle: Mutex<()>,
    wanted: watch::Sender<bool>,
    _lock: DataDirLock,
}

impl Redis {
    /// Starts the server of `options.data_dir`, with its append-only file flushed every second, and waits until it
    /// answers.
    ///
    /// The program is `options.redis_server`, or `redis-server` or `valkey-server` from `$PATH` or
    /// `<data_dir>/redisbin`.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError::NoRedis`] when there is none, which the caller may well live with; see there for the others.
    pub async fn start(options: Options) -> Result<Self, EmbeddedError> {
        let data_dir = account::create_data_dir(&options.data_dir)?;
        let program = binaries::find_redis(options.redis_server.as_deref(), &data_dir)?;
        let lock = DataDirLock::take(&data_dir, "redis")?;
        let home = data_dir.join("redis");
        let account = Account::choose(&home)?;
        account.check_traversable(&data_dir)?;
        account.create_private_dir(&home)?;
        let socket = account::create_socket_dir(&data_dir, &account)?.join("redis.sock");
        let slot = ChildSlot::new("embedded-redis").map_err(|source| EmbeddedError::Spawn {
            program: PROGRAM,
            source,
        })?;
        let redis = Self {
            options,
            program,
            account,
            home,
            socket,
            slot,
            lifecycle: Mutex::new(()),
            wanted: watch::channel(true).0,
            _lock: lock,
        };
        let guard = redis.lifecycle.lock().await;
        redis.launch().await?;
        drop(guard);
        Ok(redis)
    }

    /// The server's URL, as fred and redis-rs understand it: `redis+unix:///path/redis.sock`.
    #[must_use]
    pub fn url(&self) -> String {
        // The socket's path needs no quoting: create_socket_dir sees to that.
        format!("redis+unix://{}", self.socket.display())
    }

    /// The path of the server's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the server process is running.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.slot.is_running()
    }

    /// Keeps the server running, as [`super::Postgres::watch`] does.
    pub async fn watch(&self) {
        keep_running(self).await;
    }

    /// Stops the server and starts it again.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`].
    pub async fn restart(&self) -> Result<(), EmbeddedError> {
        let _guard = self.lifecycle.lock().await;
        self.slot.stop(&STOP).await;
        self.wanted.send_replace(true);
        self.launch().await
    }

    /// Shuts the server down; after 10 s by SIGKILL. [`Redis::watch`] then returns.
    pub async fn stop(&self) {
        self.wanted.send_replace(false);
        let _guard = self.lifecycle.lock().await;
        self.slot.stop(&STOP).await;
    }

    async fn launch(&self) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        let socket = self.socket.to_string_lossy().into_owned();
        orphans::stop_leftovers(PROGRAM, |line| orphans::redis_role(line, &socket)).await?;
        let appendfsync = if self.options.durable {
            "everysec"
        } else {
            "no"
        };
        let mut arguments: Vec<OsString> = Vec::new();
        arguments.extend(
            [
                "--port",
                "0",
                "--unixsocketperm",
                "700",
                "--daemonize",
                "no",
            ]
            .map(OsString::from),
        );
        arguments.extend(["--unixsocket".into(), self.socket.clone().into()]);
        arguments.extend(["--dir".into(), self.home.clone().into()]);
        arguments.extend(
            [
                "--appendonly",
                "yes",
                "--appendfsync",
                appendfsync,
                "--save",
                "",
            ]
            .map(OsString::from),
        );
        let shim_path = self.options.shim.as_ref().map(|path| path.as_os_str());
        let mut command = shim::command(
            shim_path,
            &self.account,
            self.program.as_os_str(),
            arguments,
        );
        command.current_dir(&self.home);
        let log_path = self.home.join("server.log");
        let log = ServerLog(&log_path);
        log.attach(&mut command)?;
        let pid = self
            .slot
            .spawn(command)
            .await
            .map_err(|source| EmbeddedError::Spawn {
                program: PROGRAM,
                source,
            })?;
        wait_until_ready(self, pid, &log, self.options.startup_timeout).await?;
        info!(pid, socket = %self.socket.display(), elapsed = ?started.elapsed(), "embedded Redis is ready");
        Ok(())
    }
}

impl Server for Redis {
    const PROGRAM: &'static str = PROGRAM;

    fn slot(&self) -> &ChildSlot {
        &self.slot
    }

    fn wanted(&self) -> &watch::Sender<bool> {
        &self.wanted
    }

    async fn is_ready(&self, _pid: u32) -> bool {
        answers_ping(&self.socket).await
    }

    async fn relaunch(&self) -> Result<(), EmbeddedError> {
        let _guard = self.lifecycle.lock().await;
        if *self.wanted.borrow() && !self.slot.is_running() {
            self.launch().await?;
        }
        Ok(())
    }
}

/// Whether the server on `socket` answers `PING` with `PONG`; while it loads its data it answers `-LOADING`.
async fn answers_ping(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0_u8; 5];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG")
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}

//! One child process at a time: spawned, signalled and reaped without races.
//!
//! A thread of its own does the spawning and then waits for the child. It lives as long as the [`ChildSlot`] and its
//! child do, and that is essential: the death signal of prctl(2) fires when the *thread* that spawned the child ends, so
//! a child spawned from a pool thread would be shut down when the pool shrinks.
//!
//! The thread notices the exit without reaping (`WNOWAIT`), and reaps under the lock that [`ChildSlot::signal`] takes; so
//! a signal can never reach a stranger that was given the same pid.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::{EmbeddedError, io_error, relaunch_delay};

/// A server's log is moved aside at a start when it is larger than this.
const LOG_ROTATE_BYTES: u64 = 16 * 1024 * 1024;
/// How much of a log's end goes into an error.
const LOG_TAIL_BYTES: u64 = 2_000;
/// A server that lived this long was well; its next death begins a new row of failures.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotState {
    /// Nothing was ever spawned.
    Empty,
    /// A child with this pid is running.
    Running(u32),
    /// The last child has ended.
    Ended(ExitStatus),
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<u32>>,
}

/// A place for one child process at a time. Dropping it interrupts the child (SIGINT).
#[derive(Debug)]
pub(super) struct ChildSlot {
    requests: mpsc::Sender<Request>,
    running: Arc<Mutex<Option<Pid>>>,
    state: watch::Receiver<SlotState>,
}

impl ChildSlot {
    /// Starts the thread that will spawn and reap.
    pub(super) fn new(thread_name: &str) -> io::Result<Self> {
        let (requests, received) = mpsc::channel();
        let (publish, state) = watch::channel(SlotState::Empty);
        let running = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&running);
        thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || spawn_and_reap(&received, &shared, &publish))?;
        Ok(Self {
            requests,
            running,
            state,
        })
    }

    /// Spawns `command` and returns its pid. The slot must be free: after an end, or never used.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<u32> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.requests
            .send(Request { command, reply })
            .map_err(|_closed| gone())?;
        answer.await.map_err(|_closed| gone())?
    }

    pub(super) fn state(&self) -> SlotState {
        *self.state.borrow()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state(), SlotState::Running(_))
    }

    /// Sends `signal` to the child; `false` when there is none.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.is_some_and(|pid| kill(pid, signal).is_ok())
    }

    /// Waits until no child is running. Cancel safe.
    pub(super) async fn ended(&self) {
        let mut state = self.state.clone();
        // An error means that the thread is gone, and with it the child.
        drop(
            state
                .wait_for(|state| !matches!(state, SlotState::Running(_)))
                .await,
        );
    }

    /// Sends each signal in turn and waits that long for the child to end; SIGKILL comes last by itself.
    pub(super) async fn stop(&self, steps: &[(Signal, Duration)]) {
        for (signal, patience) in steps {
            if !self.signal(*signal) || timeout(*patience, self.ended()).await.is_ok() {
                return;
            }
            warn!(%signal, ?patience, "embedded server does not stop in time");
        }
        if self.signal(Signal::SIGKILL) {
            self.ended().await;
        }
    }
}

impl Drop for ChildSlot {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

fn spawn_and_reap(
    requests: &mpsc::Receiver<Request>,
    running: &Mutex<Option<Pid>>,
    publish: &watch::Sender<SlotState>,
) {
    while let Ok(Request { mut command, reply }) = requests.recv() {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                drop(reply.send(Err(error)));
                continue;
            }
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        publish.send_replace(SlotState::Running(child.id()));
        if reply.send(Ok(child.id())).is_err() {
            // The start was cancelled: nobody would ever stop this child.
            interrupt(pid);
        }
        wait_unreaped(pid);
        let mut guard = running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = reap(&mut child);
        *guard = None;
        drop(guard);
        publish.send_replace(SlotState::Ended(status));
    }
}

fn wait_unreaped(pid: Pid) {
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
}

fn interrupt(pid: Pid) {
    if let Err(error) = kill(pid, Signal::SIGINT) {
        warn!(pid = pid.as_raw(), %error, "failed to interrupt a child nobody waits for");
    }
}

fn reap(child: &mut Child) -> ExitStatus {
    child.wait().unwrap_or_default()
}

/// A server program's output: where it goes, and its end for error texts.
#[derive(Debug)]
pub(super) struct ServerLog<'a>(pub(super) &'a Path);

impl ServerLog<'_> {
    /// Points `command`'s output at the end of the log, which is moved aside first when it has grown large.
    pub(super) fn attach(&self, command: &mut Command) -> Result<(), EmbeddedError> {
        let path = self.0;
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_ROTATE_BYTES) {
            fs::rename(path, path.with_extension("log.1")).map_err(io_error("move aside", path))?;
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open", path))?;
        let copy = log.try_clone().map_err(io_error("open", path))?;
        command.stdin(Stdio::null()).stdout(copy).stderr(log);
        Ok(())
    }

    /// The last lines; empty when the log cannot be read.
    pub(super) fn tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.0)?;
            let start = file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES);
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = String::from_utf8_lossy(&read().unwrap_or_default())
            .trim()
            .to_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// What waiting and supervision need to know of a server. A trait and not async closures: the compiler cannot yet see that
/// futures made of those are `Send`.
pub(super) trait Server: Sync {
    /// The program's name, for logs and errors.
    const PROGRAM: &'static str;

    /// Where its process is.
    fn slot(&self) -> &ChildSlot;

    /// Whether it is meant to run; false after `stop`.
    fn wanted(&self) -> &watch::Sender<bool>;

    /// Whether the process `pid` accepts work.
    fn is_ready(&self, pid: u32) -> impl Future<Output = bool> + Send;

    /// Starts it, unless it is running or no longer wanted.
    fn relaunch(&self) -> impl Future<Output = Result<(), EmbeddedError>> + Send;
}

/// Waits until the process `pid` of `server` is ready.
///
/// Fails when it ends, or when `patience` is over; it is then stopped.
pub(super) async fn wait_until_ready<S: Server>(
    server: &S,
    pid: u32,
    log: &ServerLog<'_>,
    patience: Duration,
) -> Result<(), EmbeddedError> {
    let started = Instant::now();
    let program = S::PROGRAM;
    loop {
        if server.is_ready(pid).await {
            return Ok(());
        }
        if let SlotState::Ended(status) = server.slot().state() {
            let log_path = log.0.to_path_buf();
            return Err(EmbeddedError::Exited {
                program,
                status,
                log: log_path,
                tail: log.tail(),
            });
        }
        if started.elapsed() > patience {
            let tail = log.tail();
            server
                .slot()
                .stop(&[(Signal::SIGINT, Duration::from_secs(10))])
                .await;
            let log_path = log.0.to_path_buf();
            return Err(EmbeddedError::NotReady {
                program,
                waited: patience,
                log: log_path,
                tail,
            });
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Starts `server` again whenever it ends, until it is no longer wanted.
///
/// Failures are retried for ever, with growing pauses: a full disk is mended by someone, and then we go on.
pub(super) async fn keep_running<S: Server>(server: &S) {
    let program = S::PROGRAM;
    let mut wanted = server.wanted().subscribe();
    let mut failures = 0_u32;
    loop {
        let up_since = Instant::now();
        server.slot().ended().await;
        if !*wanted.borrow_and_update() {
            return;
        }
        failures = if up_since.elapsed() >= STEADY_AFTER {
            0
        } else {
            failures
        };
        let delay = relaunch_delay(failures);
        failures = failures.saturating_add(1);
        warn!(program, state = ?server.slot().state(), ?delay, "embedded server ended unexpectedly, starting it again");
        tokio::select! {
            () = sleep(delay) => {}
            // An error means that the server's owner is gone.
            _ = wanted.wait_for(|wanted| !wanted) => return,
        }
        match server.relaunch().await {
            Ok(()) if server.slot().is_running() => {
                info!(program, "embedded server is running again");
            }
            Ok(()) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(program, %error, cause, "failed to start the embedded server again");
            }
        }
    }
}

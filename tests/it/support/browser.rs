//! The browser that this test has started, seen from outside.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gleaner::areas;
use gleaner::config::Sources;
use gleaner::web::render::{Config, find_program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{Mutex, MutexGuard};

use super::wait::wait_until;

/// The section `[render]` for tests: switched on, with limits for pages on this machine. `None`, with a word about it, where
/// there is no browser.
pub(crate) fn render_config() -> Option<Config> {
    let defaults = areas::load(&Sources::default())
        .expect("the defaults")
        .render;
    let config = Config {
        enabled: true,
        // Of busy machines: a first page takes the start of a browser.
        timeout: Duration::from_secs(30),
        ..defaults
    };
    if let Err(error) = find_program(&config) {
        eprintln!("skipped: {error}");
        return None;
    }
    Some(config)
}

/// Where the tests share a process, those that look for their browser run one after the other.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// A browser's main process, and its profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pid: i32,
    pub(crate) profile: PathBuf,
}

impl Seen {
    /// Kills it.
    pub(crate) fn kill(&self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).expect("it is there");
    }

    /// Waits until no process of it is left, not even one that only works in its profile.
    pub(crate) async fn wait_gone(&self) {
        let profile = self.profile.to_string_lossy();
        wait_until("the browser's processes are gone", async || {
            !processes().any(|(_, line)| line.contains(&*profile))
        })
        .await;
    }

    /// Waits until nothing is left of it, nor of its profile.
    pub(crate) async fn wait_nothing_left(&self) {
        self.wait_gone().await;
        wait_until("the profile is gone", async || !self.profile.exists()).await;
    }
}

/// Numbers and command lines of all processes.
fn processes() -> impl Iterator<Item = (i32, String)> {
    fs::read_dir("/proc")
        .expect("a Linux machine")
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).into_owned()))
        })
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// The browser that this process runs, if any.
pub(crate) fn browser_of(process: u32) -> Option<Seen> {
    processes()
        .filter(|(pid, _)| parent(*pid) == Some(process.cast_signed()))
        .find_map(|(pid, line)| {
            // Before it becomes the browser it is the shell that starts it.
            let is_browser =
                !line.starts_with("/bin/sh\0") && line.contains("--remote-debugging-pipe");
            let profile = line
                .split('\0')
                .find_map(|argument| argument.strip_prefix("--user-data-dir="))?;
            is_browser.then(|| Seen {
                pid,
                profile: profile.into(),
            })
        })
}

/// The browser of this test.
pub(crate) fn browser() -> Option<Seen> {
    browser_of(std::process::id())
}

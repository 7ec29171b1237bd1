//! The browser's processes: started as one group with a profile of their own, looked at, and ended without a rest.
//!
//! The pipe reaches the browser as its descriptors 3 and 4, where it expects it. A shell puts it there: doing that between
//! `fork` and `exec` would need `unsafe`, which this project forbids.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{Config, program};
use crate::child;
use crate::child::group::{Group, processes};

/// Becomes the program named after it, with its own ends of the pipe as descriptors 3 and 4.
const WITH_PIPE: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#;
/// Names of profile folders begin so.
const PROFILE_PREFIX: &str = "gleaner-browser-";
/// The file in a profile that is locked for as long as somebody uses it.
const LOCK_NAME: &str = "gleaner.lock";
/// The file in a profile that takes what the browser complains of.
const LOG_NAME: &str = "gleaner.log";
/// How much of that goes into an error.
const LOG_TAIL_BYTES: u64 = 600;
/// How long killed processes may take to be gone.
const GONE_PATIENCE: Duration = Duration::from_secs(10);

/// A running browser.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    profile: Option<Profile>,
}

impl Process {
    /// Starts one, with our ends of its pipe.
    pub(super) fn start(
        config: &Config,
        browser: &Path,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let profile = Profile::create()?;
        let log = File::create(profile.path.join(LOG_NAME))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WITH_PIPE, "gleaner-browser"])
            .arg(browser)
            .args(program::arguments(
                config,
                &profile.path,
                geteuid().is_root(),
            ))
            .env_clear()
            .envs(child::environment())
            .envs(
                ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
                    .map(|name| (name, &profile.path)),
            )
            .current_dir(&profile.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(group)) =
            (child.stdin.take(), child.stdout.take(), Group::of(&child))
        else {
            return Err(io::Error::other("the browser has no pipe"));
        };
        let process = Self {
            child,
            group,
            profile: Some(profile),
        };
        Ok((process, stdin, stdout))
    }

    /// Its number, which is also that of its group.
    pub(super) fn id(&self) -> i32 {
        self.group.id()
    }

    /// The last that it complained of.
    pub(super) fn complaint(&self) -> String {
        let tail = self
            .profile
            .as_ref()
            .and_then(|profile| tail(&profile.path.join(LOG_NAME)).ok());
        tail.unwrap_or_default()
    }

    /// Waits until its processes take more than `limit` bytes, and says how much; `look` is told each time that one looks.
    pub(super) async fn outgrows(&self, limit: u64, look: impl Fn(u64)) -> u64 {
        const INTERVAL: Duration = Duration::from_millis(500);
        let group = self.group;
        loop {
            sleep(INTERVAL).await;
            let taken = tokio::task::spawn_blocking(move || group.memory()).await;
            let taken = taken.unwrap_or_default();
            look(taken);
            if taken > limit {
                return taken;
            }
        }
    }

    /// Kills all its processes, waits until they are gone, and removes the profile: nothing of it is worth keeping.
    pub(super) async fn end(mut self) {
        self.group.kill();
        if let Err(error) = self.child.wait().await {
            warn!(%error, "cannot wait for the browser");
        }
        let deadline = Instant::now() + GONE_PATIENCE;
        let group = self.group;
        let profile = self.profile.take();
        let place = profile.as_ref().map(|profile| profile.path.clone());
        while Instant::now() < deadline {
            let place = place.clone();
            let is_gone =
                tokio::task::spawn_blocking(move || is_gone(group, place.as_deref())).await;
            if is_gone.unwrap_or(true) {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        drop(tokio::task::spawn_blocking(move || drop(profile)).await);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unless it has been ended in good order.
        if self.child.id().is_some() {
            self.group.kill();
        }
    }
}

/// A folder for one browser, removed with this value. Those of processes that were killed are removed by a later one.
#[derive(Debug)]
struct Profile {
    path: PathBuf,
    _lock: File,
}

impl Profile {
    fn create() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let name = format!("{PROFILE_PREFIX}{:016x}", rand::random::<u64>());
        let path = parent.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create(path.join(LOCK_NAME))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            // Processes that are only just dying may still write there; the next start sweeps.
            debug!(%error, path = %self.path.display(), "cannot remove the browser's profile yet");
        }
    }
}

/// Removes our own profiles that nobody uses any more.
fn sweep(parent: &Path) {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in folders {
        let name = folder.file_name();
        let path = folder.path();
        let is_profile = name.to_string_lossy().starts_with(PROFILE_PREFIX)
            && path
                .symlink_metadata()
                .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        // One that has no lock yet is being made.
        let is_left = is_profile
            && File::open(path.join(LOCK_NAME)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_left && let Err(error) = fs::remove_dir_all(&path) {
            warn!(%error, path = %path.display(), "cannot remove a browser's profile");
        }
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether no process is left of a group, nor any that works in its profile (crash handlers leave the group).
fn is_gone(group: Group, profile: Option<&Path>) -> bool {
    let profile = profile.map(|path| path.as_os_str().as_encoded_bytes());
    let ourselves = std::process::id().cast_signed();
    !processes().any(|process| {
        let mentions = |profile: &[u8]| {
            fs::read(format!("/proc/{process}/cmdline"))
                .is_ok_and(|line| memchr::memmem::find(&line, profile).is_some())
        };
        process != ourselves && (group.has(process) || profile.is_some_and(mentions))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_swept_once_nobody_uses_them() {
        let folder = tempfile::tempdir().unwrap();
        let (used, left, young) = ("used", "left", "young");
        for name in [used, left, young] {
            let path = folder.path().join(format!("{PROFILE_PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            if name != young {
                File::create(path.join(LOCK_NAME)).unwrap();
            }
        }
        let lock = File::open(
            folder
                .path()
                .join(format!("{PROFILE_PREFIX}{used}/{LOCK_NAME}")),
        )
        .unwrap();
        lock.lock().unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        sweep(folder.path());
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["gleaner-browser-used", "gleaner-browser-young", "other"]
        );
    }
}

//! What a command can be told: the table `run` of a section, where it names a command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::User;
use serde::{Deserialize, Serialize};

use crate::handlers::bounds::MAX_BATCH;
use crate::secret::Secret;
use crate::settings::{self, Problem};

/// A command that works rows, and how it is run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The program and its arguments. No shell reads it. A program without a `/` is looked for in `PATH`.
    pub command: Vec<String>,
    /// At most so many processes of it.
    #[serde(default = "one")]
    pub processes: usize,
    /// At most so many hand-outs at once for each process: an item each, or with `batch` up to that many. A handler that takes
    /// fewer says so.
    #[serde(default = "one")]
    pub in_flight: u32,
    /// At most so many items in one hand-out. More than one is for handlers that work several at once faster than one by one.
    #[serde(default = "one")]
    pub batch: u32,
    /// Variables of its environment, beside those that say where programs, libraries and homes are. Nothing of ours is in it.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Its working directory; that of Gleaner if there is none.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// The user that it runs as, with that user's groups; only where Gleaner runs as root. Gleaner's own if there is none.
    #[serde(default)]
    pub user: Option<String>,
    /// How long a hand-out may take. Then it is told to stop, and killed when it does not within `stop_timeout`.
    #[serde(default = "minutes", with = "humantime_serde")]
    pub timeout: Duration,
    /// How long it may take to stop: work on an item when that is cancelled, the process when it is to end.
    #[serde(default = "seconds", with = "humantime_serde")]
    pub stop_timeout: Duration,
    /// How long it may take from its start to its hello.
    #[serde(default = "half_a_minute", with = "humantime_serde")]
    pub start_timeout: Duration,
    /// A process ends in good order after so many items, and another one is started; 0: it lives on.
    #[serde(default)]
    pub recycle_after_items: u64,
    /// The same once it and what it has started take so many bytes of memory (RSS, looked at each second); 0: it lives on.
    #[serde(default)]
    pub recycle_above_bytes: u64,
    /// What it cannot get over.
    #[serde(default)]
    pub limits: Limits,
}

/// Limits that the system holds each of its processes to. Where one is not given, it has what Gleaner has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Address space of each process in bytes (`RLIMIT_AS`). All that a process and what it has started take together is held to it as
    /// well, by looking each second: who is above is killed.
    pub memory_bytes: Option<u64>,
    /// Descriptors of each process (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes and threads of the user, whoever started them (`RLIMIT_NPROC`); root is not held to it.
    pub processes: Option<u64>,
    /// Processor time of each process over its whole life, in seconds (`RLIMIT_CPU`).
    pub cpu_seconds: Option<u64>,
}

fn one<N: From<u8>>() -> N {
    1.into()
}

fn minutes() -> Duration {
    Duration::from_secs(300)
}

fn seconds() -> Duration {
    Duration::from_secs(5)
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

/// More processes than this are a mistake.
const MAX_PROCESSES: usize = 1_024;

/// More hand-outs at once than this are a mistake.
const MAX_IN_FLIGHT: u32 = 10_000;

impl Options {
    /// A command with everything else as it is where it is not said.
    #[must_use]
    pub fn of(command: Vec<String>) -> Self {
        Self {
            command,
            processes: one(),
            in_flight: one(),
            batch: one(),
            env: BTreeMap::new(),
            cwd: None,
            user: None,
            timeout: minutes(),
            stop_timeout: seconds(),
            start_timeout: half_a_minute(),
            recycle_after_items: 0,
            recycle_above_bytes: 0,
            limits: Limits::default(),
        }
    }
}

impl settings::Options for Options {
    fn check(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        if self.command.first().is_none_or(String::is_empty) {
            return wrong(
                "command",
                "must name a program, such as [\"python3\", \"-m\", \"billing.ocr\"]".to_owned(),
            );
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return wrong("command", "must not hold a NUL".to_owned());
        }
        if !(1..=MAX_PROCESSES).contains(&self.processes) {
            return wrong("processes", format!("must be from 1 to {MAX_PROCESSES}"));
        }
        if !(1..=MAX_IN_FLIGHT).contains(&self.in_flight) {
            return wrong("in_flight", format!("must be from 1 to {MAX_IN_FLIGHT}"));
        }
        if self.batch == 0 || usize::try_from(self.batch).is_ok_and(|batch| batch > MAX_BATCH) {
            return wrong("batch", format!("must be from 1 to {MAX_BATCH}"));
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return wrong("env", "must have names without = and NUL".to_owned());
            }
        }
        if self.env.values().any(|value| value.expose().contains('\0')) {
            return wrong("env", "must have values without NUL".to_owned());
        }
        for (key, duration) in [
            ("timeout", self.timeout),
            ("stop_timeout", self.stop_timeout),
            ("start_timeout", self.start_timeout),
        ] {
            if duration.is_zero() {
                return wrong(key, "must be longer than nothing, such as 30s".to_owned());
            }
        }
        if self.cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
            return wrong("cwd", "must be an absolute path".to_owned());
        }
        if let Some(name) = &self.user {
            match User::from_name(name) {
                Ok(Some(_)) => {}
                Ok(None) => return wrong("user", "is no user of this machine".to_owned()),
                Err(error) => return wrong("user", format!("cannot be looked up: {error}")),
            }
        }
        for (key, limit) in [
            ("limits.memory_bytes", self.limits.memory_bytes),
            ("limits.open_files", self.limits.open_files),
            ("limits.processes", self.limits.processes),
            ("limits.cpu_seconds", self.limits.cpu_seconds),
        ] {
            if limit == Some(0) {
                return wrong(
                    key,
                    "must be more than 0; leave it out for no limit".to_owned(),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Options as _;

    #[test]
    fn only_the_command_has_to_be_said() {
        let read: Options = toml::from_str("command = ['cat']").unwrap();
        assert_eq!(read, Options::of(vec!["cat".to_owned()]));
        assert!(read.check().is_ok());
        let whole = "command = ['cat', '-u']\nprocesses = 2\nin_flight = 8\nbatch = 100\nenv = { TOKEN = 'x' }\n\
            cwd = '/'\nuser = 'root'\ntimeout = '1m'\nstop_timeout = '1s'\nstart_timeout = '2s'\n\
            recycle_after_items = 1000\nrecycle_above_bytes = 500000000\n\
            limits = { memory_bytes = 1000000000, open_files = 64, processes = 32, cpu_seconds = 60 }";
        let read: Options = toml::from_str(whole).unwrap();
        assert!(read.check().is_ok());
        let printed = toml::to_string(&read).unwrap();
        assert!(printed.contains("TOKEN = \"[redacted]\""), "{printed}");
        assert!(!format!("{read:?}").contains("\"x\""));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (line, key) in [
            ("", "command"),
            ("command = ['']", "command"),
            ("command = ['a']\nprocesses = 0", "processes"),
            ("command = ['a']\nin_flight = 0", "in_flight"),
            ("command = ['a']\nbatch = 10001", "batch"),
            ("command = ['a']\nenv = { 'A=B' = '' }", "env"),
            ("command = ['a']\ntimeout = '0s'", "timeout"),
            ("command = ['a']\ncwd = 'here'", "cwd"),
            ("command = ['a']\nuser = 'no-such-user-anywhere'", "user"),
            (
                "command = ['a']\nlimits = { open_files = 0 }",
                "limits.open_files",
            ),
        ] {
            let line = if line.is_empty() {
                "command = []"
            } else {
                line
            };
            let read: Options = toml::from_str(line).unwrap();
            assert_eq!(read.check().unwrap_err().0, key, "{line}");
        }
        let unknown = toml::from_str::<Options>("command = ['a']\nworkers = 2");
        assert!(unknown.unwrap_err().to_string().contains("workers"));
    }
}

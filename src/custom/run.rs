//! How the rows of a workflow are worked: the table `run` of its section.
//!
//! Which of the four ways it is says the one key that all of them have their own of. All others go with one way or another; one table
//! holds them all, so that each mistake is told of its own key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;
use crate::settings::Problem;

/// More rows in one hand-out than this are a mistake.
const MAX_BATCH: u32 = 10_000;
/// More processes than this are a mistake.
const MAX_PROCESSES: u32 = 1_024;
/// More hand-outs at once than this are a mistake.
const MAX_IN_FLIGHT: u32 = 10_000;

/// The ways there are, in words.
const WAYS: &str = "say how its rows are worked: command = [\"python3\", \"-m\", \"billing.ocr\"], http = \"https://…\", pull = true or sql = \"…\"";

/// How rows are worked. What is not said is as the command, or whoever else works them, has it by itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// The program that works them, and its arguments. No shell reads it. A program without a `/` is looked for in `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// An address that they are sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Whether workers come for them over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<bool>,
    /// A statement that works a batch of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,

    /// Of a command: at most so many processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Of a command: at most so many hand-outs at once for each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Of a command or an address: at most so many rows in one hand-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// Of a command: variables of its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Secret>,
    /// Of a command: its working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Of a command: the user that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of a command or an address: how long a hand-out may take.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Of a command: how long it may take to stop.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<Duration>,
    /// Of a command: how long it may take to start.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Duration>,
    /// Of a command: a process ends after so many rows, and another is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recycle_after_items: Option<u64>,
    /// Of a command: the same once it takes so many bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recycle_above_bytes: Option<u64>,
    /// Of a command: what it cannot get over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// Of an address: what requests are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Of an address: further headers of requests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
}

/// Limits that the system holds each process of a command to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of its address space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Processes and threads of its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Seconds of processor time over its whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
}

/// Which of the ways it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// By processes of this command.
    Command(&'a [String]),
    /// By whoever answers at this address.
    Http(&'a str),
    /// By workers that come for them.
    Pull,
    /// By this statement.
    Sql(&'a str),
}

impl Way<'_> {
    /// The key that says so.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Http(_) => "http",
            Self::Pull => "pull",
            Self::Sql(_) => "sql",
        }
    }
}

impl Run {
    /// Which way it is, once it is [checked](Run::check).
    #[must_use]
    pub fn way(&self) -> Option<Way<'_>> {
        let mut ways = self.ways();
        (ways.len() == 1).then(|| ways.remove(0))
    }

    fn ways(&self) -> Vec<Way<'_>> {
        [
            self.command.as_deref().map(Way::Command),
            self.http.as_deref().map(Way::Http),
            self.pull.map(|_| Way::Pull),
            self.sql.as_deref().map(Way::Sql),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The keys that are said, beside that of the way, and the ways that they go with.
    fn said(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        const COMMAND: &[&str] = &["command"];
        const HTTP: &[&str] = &["http"];
        const BOTH: &[&str] = &["command", "http"];
        [
            ("processes", self.processes.is_some(), COMMAND),
            ("in_flight", self.in_flight.is_some(), COMMAND),
            ("batch", self.batch.is_some(), BOTH),
            ("env", !self.env.is_empty(), COMMAND),
            ("cwd", self.cwd.is_some(), COMMAND),
            ("user", self.user.is_some(), COMMAND),
            ("timeout", self.timeout.is_some(), BOTH),
            ("stop_timeout", self.stop_timeout.is_some(), COMMAND),
            ("start_timeout", self.start_timeout.is_some(), COMMAND),
            (
                "recycle_after_items",
                self.recycle_after_items.is_some(),
                COMMAND,
            ),
            (
                "recycle_above_bytes",
                self.recycle_above_bytes.is_some(),
                COMMAND,
            ),
            ("limits", self.limits.is_some(), COMMAND),
            ("secret", self.secret.is_some(), HTTP),
            ("headers", !self.headers.is_empty(), HTTP),
        ]
        .into_iter()
        .filter_map(|(key, is_said, ways)| is_said.then_some((key, ways)))
    }

    /// Checks what the types cannot, but that there is a way at all.
    ///
    /// # Errors
    /// The key below `run`, and what would be right.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        let ways = self.ways();
        if let [first, second, ..] = ways.as_slice() {
            let problem = format!(
                "there is {} already: rows are worked in one way",
                first.key()
            );
            return wrong(second.key(), problem);
        }
        if let Some(way) = ways.first() {
            for (key, with) in self.said() {
                if !with.contains(&way.key()) {
                    let problem = format!("goes with {} alone: take it out", with.join(" and "));
                    return wrong(key, problem);
                }
            }
        }
        match ways.first() {
            Some(Way::Command(words)) => {
                if words.first().is_none_or(String::is_empty) {
                    return wrong(
                        "command",
                        "must name a program and its arguments, such as [\"python3\", \"-m\", \"billing.ocr\"]".to_owned(),
                    );
                }
                if words.iter().any(|word| word.contains('\0')) {
                    return wrong("command", "must not hold a NUL".to_owned());
                }
            }
            Some(Way::Http(address)) => check_address(address)?,
            Some(Way::Pull) if self.pull == Some(false) => {
                return wrong("pull", format!("must be true, or left out: {WAYS}"));
            }
            Some(Way::Sql(sql)) if sql.trim().is_empty() => {
                return wrong(
                    "sql",
                    "must be a statement, such as UPDATE … WHERE id = ANY($1)".to_owned(),
                );
            }
            _ => {}
        }
        self.check_numbers()?;
        self.check_names()
    }

    fn check_numbers(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        for (key, value, most) in [
            ("processes", self.processes, MAX_PROCESSES),
            ("in_flight", self.in_flight, MAX_IN_FLIGHT),
            ("batch", self.batch, MAX_BATCH),
        ] {
            if value.is_some_and(|value| value == 0 || value > most) {
                return wrong(key, format!("must be 1 to {most}"));
            }
        }
        for (key, value) in [
            ("timeout", self.timeout),
            ("stop_timeout", self.stop_timeout),
            ("start_timeout", self.start_timeout),
        ] {
            if value.is_some_and(|value| value.is_zero()) {
                return wrong(key, "must be longer than zero".to_owned());
            }
        }
        let limits = self.limits.unwrap_or_default();
        for (key, value) in [
            ("limits.memory_bytes", limits.memory_bytes),
            ("limits.open_files", limits.open_files),
            ("limits.processes", limits.processes),
            ("limits.cpu_seconds", limits.cpu_seconds),
        ] {
            if value == Some(0) {
                return wrong(
                    key,
                    "must be more than 0; leave it out for no limit".to_owned(),
                );
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        if (self.env.keys()).any(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return wrong("env", "must have names without = and NUL");
        }
        if (self.env.values()).any(|value| value.expose().contains('\0')) {
            return wrong("env", "must have values without NUL");
        }
        if self.cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
            return wrong("cwd", "must be an absolute path");
        }
        let is_header = |name: &String| http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        if !self.headers.keys().all(is_header) {
            return wrong("headers", "must have names that HTTP knows");
        }
        let is_value = |value: &Secret| http::HeaderValue::from_str(value.expose()).is_ok();
        if !self.headers.values().all(is_value) {
            return wrong("headers", "must have values of printable ASCII");
        }
        Ok(())
    }

    /// What is said where nothing says how rows are worked.
    pub(super) fn missing() -> String {
        WAYS.to_owned()
    }
}

fn check_address(address: &str) -> Result<(), Problem> {
    let wrong = |problem: &str| Err(("http".to_owned(), problem.to_owned()));
    match Url::parse(address) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            wrong("must be an address that begins with https:// or http://")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => wrong(
            "must not hold a user or a password: put them into headers, which are never printed",
        ),
        Ok(_) => Ok(()),
        Err(error) => Err((
            "http".to_owned(),
            format!("is no address ({error}): write it as https://host/path"),
        )),
    }
}

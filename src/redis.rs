//! Redis as the processes of Gleaner share it: one connection for the auto-record queue and the hosts' timetables.
//!
//! A single server, one behind Sentinel, or a cluster, in the clear or under TLS: all of that is a matter of the URL. Nothing
//! here is the truth, so everything may fail at any time, and nobody waits for Redis longer than its timeout: after one failure
//! nobody but a probe asks it again until it answers ([`Redis::noted`]).
//!
//! In Redis Cluster a script may touch one slot only, so there `redis.prefix` has to hold a hash tag, such as `{gleaner}:`.

mod server;
mod timetables;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fred::prelude::{
    Builder, Client, ClientLike, ConnectionConfig, Error, ErrorKind, EventInterface, FredResult,
    LuaInterface, ReconnectPolicy, Server,
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tracing::{info, warn};
use url::Url;

use crate::secret::Secret;
use crate::telemetry::chain;

pub use server::Findings;
pub use timetables::Timetables;

/// Where Redis is, and how it is used.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server, as `redis://`, `rediss://` (TLS), `redis-sentinel://` or `redis-cluster://` URL; empty for none.
    pub url: Secret,
    /// PEM file with certificates of authorities to trust besides the system's; empty for none.
    pub ca: PathBuf,
    /// Put before every key.
    pub prefix: String,
    /// Limit on one command.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long an entry may stand in the processing set.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How often the list is compared with PostgreSQL, across all nodes.
    #[serde(with = "humantime_serde")]
    pub reconcile_interval: Duration,
}

/// Why Redis cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No Redis is configured.
    #[error("no Redis is configured: set redis.url")]
    Off,
    /// The URL cannot be used; it may hold a password and is not repeated.
    #[error("redis.url cannot be used: {0}")]
    BadUrl(String),
    /// A cluster would refuse every script.
    #[error(
        "redis.prefix must hold a hash tag in a cluster, such as \"{{gleaner}}:\": the keys have to lie in one slot"
    )]
    ManySlots,
    /// The authorities' certificates cannot be read.
    #[error("redis.ca: cannot read certificates from {}: {reason}", .path.display())]
    BadCa {
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nobody to trust.
    #[error("no TLS for Redis: {0}")]
    Tls(rustls::Error),
    /// It failed when it was last asked, and is not asked until it gives a sign of life.
    #[error("Redis did not answer when it was last asked")]
    Away,
    /// There is no connection, for a reason that is known.
    #[error("cannot connect to Redis: {0}")]
    Unreachable(String),
    /// A command failed or was not answered in time.
    #[error("Redis does not answer as it should")]
    Command(#[from] Error),
}

impl RedisError {
    /// The setting to look at.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::ManySlots => "redis.prefix",
            Self::BadCa { .. } => "redis.ca",
            _ => "redis.url",
        }
    }
}

/// It is said no more often than this that the server refuses something.
const REFUSALS_SAID_EVERY: Duration = Duration::from_secs(60);

/// What becomes of a value that somebody else has put under a key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// It goes: what we keep there is worth nothing a moment later.
    Dropped,
    /// It is kept under the same name with [`KEPT_AS`] behind it, for people to look at.
    Kept,
}

/// Behind the name of a key whose value was taken out of the way.
const KEPT_AS: &str = ":wrong-type";

/// What an URL that is none of Redis's is told.
const SCHEMES: &str =
    "it must begin with redis://, rediss://, redis-sentinel://, redis-cluster:// or redis+unix://";

/// What one is told that has the right scheme and cannot be read all the same. The library's reason may repeat parts of it.
const FORM: &str = "it must be like redis://user:password@host:6379/0; in user and password, @ : / ? # and % are written %40 \
    %3A %2F %3F %23 and %25";

/// Whether fred reads this scheme for what it says; it takes any other for plain TCP.
fn is_redis(scheme: &str) -> bool {
    ["redis", "valkey"].iter().any(|name| {
        let rest = scheme.strip_prefix(name);
        rest.is_some_and(|rest| {
            rest == "+unix"
                || matches!(
                    rest.strip_prefix('s').unwrap_or(rest),
                    "" | "-cluster" | "-sentinel"
                )
        })
    })
}

impl Config {
    /// Whether a Redis is configured.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    /// The URL in fred's terms.
    fn parse(&self) -> Result<fred::prelude::Config, RedisError> {
        if !self.is_on() {
            return Err(RedisError::Off);
        }
        let is_ours = Url::parse(self.url.expose()).is_ok_and(|url| is_redis(url.scheme()));
        if !is_ours {
            return Err(RedisError::BadUrl(SCHEMES.to_owned()));
        }
        let mut parsed = fred::prelude::Config::from_url(self.url.expose())
            .map_err(|_error| RedisError::BadUrl(FORM.to_owned()))?;
        let has_tag = self
            .prefix
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .is_some_and(|(tag, _)| !tag.is_empty());
        if parsed.server.is_clustered() && !has_tag {
            return Err(RedisError::ManySlots);
        }
        if parsed.tls.is_some() {
            parsed.tls = Some(tls::config(&self.ca)?);
        } else if !self.ca.as_os_str().is_empty() {
            return Err(RedisError::BadUrl(
                "redis.ca is set, but TLS takes a URL that begins with rediss".to_owned(),
            ));
        }
        Ok(parsed)
    }

    /// Checks URL, prefix and certificates, if a Redis is configured.
    ///
    /// # Errors
    /// [`RedisError::BadUrl`], [`RedisError::ManySlots`], [`RedisError::BadCa`], [`RedisError::Tls`].
    pub fn validate(&self) -> Result<(), RedisError> {
        match self.parse() {
            Ok(_) | Err(RedisError::Off) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The connection. Cheap to clone; all clones share it, and what is known of its health.
#[derive(Clone)]
pub struct Redis(Arc<Connection>);

struct Connection {
    client: Client,
    prefix: String,
    lease: Duration,
    is_up: AtomicBool,
    /// When it was last said that the server refuses something.
    refused: Mutex<Option<Instant>>,
    /// Why connections failed, which no command is told.
    failures: Mutex<Failures>,
}

/// The library's news of failed connections, and the last of them.
struct Failures {
    news: Receiver<(Error, Option<Server>)>,
    last: Option<Error>,
}

impl Redis {
    /// Connects. A server that does not answer now is connected to when it does.
    ///
    /// # Errors
    /// [`RedisError::Off`], and as [`Config::validate`].
    pub async fn connect(config: &Config) -> Result<Self, RedisError> {
        let mut parsed = config.parse()?;
        parsed.fail_fast = false;
        let timeout = config.timeout;
        let client = Builder::from_config(parsed)
            .with_connection_config(|connection: &mut ConnectionConfig| {
                connection.connection_timeout = timeout.max(Duration::from_secs(1));
                connection.internal_command_timeout = timeout;
                connection.max_command_attempts = 1;
                // A connection that hangs is given up and made anew.
                connection.unresponsive.max_timeout = Some(timeout.saturating_mul(4));
                connection.unresponsive.interval = timeout;
            })
            .with_performance_config(|performance| performance.default_command_timeout = timeout)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2))
            .build()?;
        let news = client.error_rx();
        // Its end is the end of the process, or a call of `close`.
        drop(client.connect());
        let redis = Self(Arc::new(Connection {
            client,
            prefix: config.prefix.clone(),
            lease: config.lease,
            is_up: AtomicBool::new(true),
            refused: Mutex::default(),
            failures: Mutex::new(Failures { news, last: None }),
        }));
        redis.probe().await;
        Ok(redis)
    }

    /// Whether it answered when last asked.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.is_up.load(Ordering::Relaxed)
    }

    /// Asks for a sign of life, whether or not there was one before, and takes note.
    pub async fn probe(&self) -> bool {
        let answer: FredResult<String> = self.0.client.ping(None).await;
        self.noted(answer).is_some()
    }

    /// To send commands by.
    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// How long somebody who took an entry of a queue may have it.
    pub(crate) fn lease(&self) -> Duration {
        self.0.lease
    }

    /// A key of ours.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.0.prefix)
    }

    /// Passes an answer on, and takes note of whether Redis gives any: the first failure is logged, and so is the end of it. That
    /// the server refuses a command is an answer.
    pub(crate) fn noted<T>(&self, answer: FredResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.answered();
                Some(answer)
            }
            Err(error) if is_reply(&error) => {
                self.answered();
                self.say_refused(&error);
                None
            }
            Err(error) => {
                if self.0.is_up.swap(false, Ordering::Relaxed) {
                    warn!(
                        error = %chain(&self.explained(error)),
                        "Redis does not answer; PostgreSQL alone serves the auto-record queue, and each process keeps its own pace"
                    );
                }
                None
            }
        }
    }

    fn answered(&self) {
        if !self.0.is_up.swap(true, Ordering::Relaxed) {
            info!("Redis answers again");
        }
    }

    /// The same may be refused many times a second.
    fn say_refused(&self, error: &Error) {
        let mut said = self
            .0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= REFUSALS_SAID_EVERY) {
            *said = Some(Instant::now());
            warn!(error = %chain(error), "Redis refuses a command; PostgreSQL and each process by itself serve what it is for");
        }
    }

    /// Takes values out of the way that stand under keys of ours and are not of the type that we put there. Another process may have
    /// been faster.
    pub(crate) async fn clear_strays(&self, keys: &[(String, &'static str)], stray: Stray) {
        let (names, types): (Vec<String>, Vec<&str>) = keys.iter().cloned().unzip();
        let mut arguments: Vec<String> = types.into_iter().map(str::to_owned).collect();
        arguments.push(match stray {
            Stray::Dropped => String::new(),
            Stray::Kept => KEPT_AS.to_owned(),
        });
        let script = include_str!("redis/clear_strays.lua");
        let cleared: FredResult<Vec<String>> = self.client().eval(script, names, arguments).await;
        let cleared = self.noted(cleared).unwrap_or_default();
        for key in &cleared {
            match stray {
                Stray::Dropped => {
                    warn!(
                        key,
                        "a value of another type stood under a key of ours in Redis; it was dropped"
                    );
                }
                Stray::Kept => {
                    let kept = format!("{key}{KEPT_AS}");
                    warn!(
                        key,
                        kept,
                        "a value of another type stood under a key of ours in Redis; it was moved aside"
                    );
                }
            }
        }
    }

    /// Passes an answer on, to somebody who wants to know why there is none.
    pub(crate) fn told<T>(&self, answer: FredResult<T>) -> Result<T, RedisError> {
        answer.map_err(|error| self.explained(error))
    }

    /// What is behind a failed command: that there is no connection, and why, if that is known.
    fn explained(&self, error: Error) -> RedisError {
        let mut failures = self
            .0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some((news, _server)) = failures.next() {
            failures.last = Some(news);
        }
        match &failures.last {
            Some(last) if !self.0.client.is_connected() => {
                RedisError::Unreachable(tls::explain(last))
            }
            _ => RedisError::Command(error),
        }
    }

    /// What in the server's settings may cost us what we put there.
    ///
    /// # Errors
    /// [`RedisError::Unreachable`], [`RedisError::Command`].
    pub async fn findings(&self) -> Result<Findings, RedisError> {
        self.told(server::look(self).await)
    }

    /// Ends the connection, of all clones.
    pub async fn close(&self) {
        // One that does not answer ends with the process.
        drop(self.0.client.quit().await);
    }
}

impl Failures {
    fn next(&mut self) -> Option<(Error, Option<Server>)> {
        use tokio::sync::broadcast::error::TryRecvError;
        loop {
            match self.news.try_recv() {
                Ok(news) => return Some(news),
                // Only the latest is of interest.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}

/// Whether an error is what the server has answered, and the connection and the server itself are well: the command, its key or the
/// server's settings are not. Only some answers say that nothing can be had of it at all.
fn is_reply(error: &Error) -> bool {
    const NOTHING_TO_BE_HAD: [&str; 9] = [
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "NOAUTH",
        "WRONGPASS",
        "MOVED",
        "ASK",
        "TRYAGAIN",
    ];
    match error.kind() {
        // An answer that is not of the kind that was expected.
        ErrorKind::NotFound | ErrorKind::Parse => return true,
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Protocol
        | ErrorKind::Tls
        | ErrorKind::Url
        | ErrorKind::Routing
        | ErrorKind::Sentinel
        | ErrorKind::Backpressure => return false,
        _ => {}
    }
    let details = error.details();
    let word = details.split(' ').next().unwrap_or_default();
    word.len() >= 3
        && word.bytes().all(|letter| letter.is_ascii_uppercase())
        && !NOTHING_TO_BE_HAD.contains(&word)
        && !details.contains("max number of clients")
}

/// Whether a command found a value of another type than it is for under one of its keys; in a script, too.
pub(crate) fn is_wrong_type(error: &Error) -> bool {
    is_reply(error) && error.details().contains("WRONGTYPE")
}

/// Whether the server is well, and refuses the command or the key to us.
fn is_refusal(error: &Error) -> bool {
    let details = error.details();
    let signs = [
        "NOPERM",
        // Of a command in a script, as older and newer servers say it.
        "ERR The user executing the script can't",
        "ERR ACL failure in script",
        "ERR unknown command",
    ];
    signs.iter().any(|sign| details.starts_with(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, prefix: &str, ca: &str) -> Config {
        Config {
            url: Secret::new(url),
            ca: ca.into(),
            prefix: prefix.to_owned(),
            timeout: Duration::from_millis(500),
            lease: Duration::from_secs(60),
            reconcile_interval: Duration::from_secs(15),
        }
    }

    #[test]
    fn urls_are_judged() {
        for (url, prefix, ca, expected) in [
            ("", "", "", ""),
            ("redis://localhost", "", "", ""),
            ("redis://user:secret@localhost:6380/2", "", "", ""),
            ("rediss://localhost", "", "", ""),
            (
                "redis-sentinel://a:26379?sentinelServiceName=main&node=b:26379",
                "",
                "",
                "",
            ),
            ("redis-cluster://a:1?node=b:2", "{gleaner}:", "", ""),
            ("redis-cluster://a:1?node=b:2", "", "", "hash tag"),
            ("redis-cluster://a:1?node=b:2", "{}:", "", "hash tag"),
            ("rediss-cluster://a:1?node=b:2", "{gleaner}:", "", ""),
            ("redis+unix:///run/redis.sock", "", "", ""),
            ("valkey://localhost", "", "", ""),
            ("http://x", "", "", "must begin with redis://"),
            (
                "postgres://user:secret@x",
                "",
                "",
                "must begin with redis://",
            ),
            ("redis2://x", "", "", "must begin with redis://"),
            ("localhost:6379", "", "", "must begin with redis://"),
            ("redis-sentinel://a:26379", "", "", "cannot be used"),
            ("localhost", "", "", "cannot be used"),
            ("redis://local host", "", "", "cannot be used"),
            (
                "rediss://localhost",
                "",
                "/nowhere/ca.pem",
                "/nowhere/ca.pem",
            ),
            ("rediss://localhost", "", "Cargo.toml", "no certificate"),
            ("redis://u:secret@localhost", "", "ca.pem", "rediss"),
        ] {
            let judged = config(url, prefix, ca).validate();
            let text = judged
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert_eq!(text.is_empty(), expected.is_empty(), "{url}: {text}");
            assert!(text.contains(expected), "{url}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn an_answer_is_no_outage() {
        for (kind, details, expected) in [
            (
                ErrorKind::InvalidArgument,
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                true,
            ),
            (
                ErrorKind::Unknown,
                "ERR Error running script (call to f_1): @user_script:8: WRONGTYPE Operation against a key",
                true,
            ),
            (
                ErrorKind::Unknown,
                "OOM command not allowed when used memory > 'maxmemory'.",
                true,
            ),
            (
                ErrorKind::Unknown,
                "READONLY You can't write against a read only replica.",
                true,
            ),
            (
                ErrorKind::Unknown,
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
                true,
            ),
            (ErrorKind::Unknown, "NOSCRIPT No matching script.", true),
            (ErrorKind::Parse, "Cannot convert to number.", true),
            (
                ErrorKind::Unknown,
                "LOADING Redis is loading the dataset in memory",
                false,
            ),
            (ErrorKind::Auth, "NOAUTH Authentication required.", false),
            (
                ErrorKind::Unknown,
                "ERR max number of clients reached",
                false,
            ),
            (ErrorKind::Cluster, "CLUSTERDOWN The cluster is down", false),
            (ErrorKind::Timeout, "Request timed out.", false),
            (ErrorKind::IO, "ERR looks like one", false),
            (ErrorKind::Canceled, "Canceled.", false),
            (ErrorKind::Unknown, "", false),
        ] {
            let error = Error::new(kind, details);
            assert_eq!(is_reply(&error), expected, "{details}");
            let is_wrong = details.contains("WRONGTYPE");
            assert_eq!(is_wrong_type(&error), is_wrong, "{details}");
        }
    }

    #[test]
    fn a_refusal_is_no_outage() {
        for (kind, details, expected) in [
            (
                ErrorKind::Unknown,
                "NOPERM this user has no permissions",
                true,
            ),
            (
                ErrorKind::Unknown,
                "READONLY You can't write against a read only replica.",
                false,
            ),
            (ErrorKind::Unknown, "ERR unknown command 'CONFIG'", true),
            (
                ErrorKind::Unknown,
                "ERR The user executing the script can't run this command or subcommand script: c6, on @user_script:42.",
                true,
            ),
            (ErrorKind::Timeout, "Request timed out.", false),
        ] {
            assert_eq!(is_refusal(&Error::new(kind, details)), expected);
        }
    }
}

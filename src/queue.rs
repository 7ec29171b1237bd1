//! The auto-record queue in Redis: which results to record next.
//!
//! The keys and their types are those that operators and other producers know:
//!
//! | key | type | content |
//! |---|---|---|
//! | `crawl:auto_record:queue` | LIST | keys of results that wait; RPUSH to the tail, taken from the head |
//! | `crawl:auto_record:processing` | SET | those in work |
//! | `crawl:auto_record:leases` | ZSET | the same with the second until which they may be |
//! | `crawl:auto_record:failed` | SET | those whose attempts are used up, and entries that name no result |
//! | `crawl:auto_record:failures:{id}` | STRING | attempts so far, for an hour |
//!
//! PostgreSQL holds the truth. What stands here is an order of work and something to look at: without Redis, or while it does
//! not answer, the rows are claimed in PostgreSQL alone, and after a flush the reconciler fills the list again. So everything
//! here may fail at any time, and nothing waits for it longer than its timeout: after one failure nobody but the
//! reconciler's probe asks Redis again until it answers.
//!
//! In Redis Cluster a script may touch one slot only, so there `redis.prefix` has to hold a hash tag, such as `{gleaner}:`.

mod server;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fred::prelude::{
    Builder, Client, ClientLike, ConnectionConfig, FredResult, KeysInterface, ListInterface,
    LuaInterface, ReconnectPolicy, SetsInterface,
};
use fred::types::Expiration;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use url::Url;

use crate::db::uid::Uid;
use crate::secret::Secret;
use crate::telemetry::chain;

pub use server::Findings;

/// Entries longer than this name no result: a UUID has 36 bytes.
const LONGEST_ENTRY: usize = 64;
/// How long the count of failures is kept.
const FAILURES_KEPT: Duration = Duration::from_secs(3_600);
/// Entries per RPUSH and per page of the list.
const PAGE: usize = 5_000;
/// Entries that one look for ended leases sees to.
const EXPIRE_AT_MOST: usize = 5_000;

/// Where the queue is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server, as `redis://`, `rediss://` (TLS), `redis-sentinel://` or `redis-cluster://` URL; empty for none.
    pub url: Secret,
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
pub enum QueueError {
    /// No Redis is configured.
    #[error("no Redis is configured: set redis.url")]
    Off,
    /// The URL cannot be used; it may hold a password and is not repeated.
    #[error("redis.url cannot be used: {0}")]
    BadUrl(String),
    /// A cluster would refuse every script.
    #[error(
        "redis.prefix must hold a hash tag in a cluster, such as \"{{gleaner}}:\": the queue's keys have to lie in one slot"
    )]
    ManySlots,
    /// A command failed or was not answered in time.
    #[error("Redis does not answer as it should")]
    Redis(#[from] fred::error::Error),
}

/// What an URL that is none of Redis's is told.
const SCHEMES: &str =
    "it must begin with redis://, rediss://, redis-sentinel://, redis-cluster:// or redis+unix://";

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
    ///
    /// # Errors
    /// [`QueueError::Off`], [`QueueError::BadUrl`], [`QueueError::ManySlots`].
    fn parse(&self) -> Result<fred::prelude::Config, QueueError> {
        if !self.is_on() {
            return Err(QueueError::Off);
        }
        let is_ours = Url::parse(self.url.expose()).is_ok_and(|url| is_redis(url.scheme()));
        if !is_ours {
            return Err(QueueError::BadUrl(SCHEMES.to_owned()));
        }
        let parsed = fred::prelude::Config::from_url(self.url.expose())
            .map_err(|error| QueueError::BadUrl(error.details().to_owned()))?;
        let has_tag = self
            .prefix
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .is_some_and(|(tag, _)| !tag.is_empty());
        if parsed.server.is_clustered() && !has_tag {
            return Err(QueueError::ManySlots);
        }
        Ok(parsed)
    }

    /// Checks URL and prefix, if a Redis is configured.
    ///
    /// # Errors
    /// [`QueueError::BadUrl`], [`QueueError::ManySlots`].
    pub fn validate(&self) -> Result<(), QueueError> {
        match self.parse() {
            Ok(_) | Err(QueueError::Off) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// How long the list and the sets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// Entries that wait.
    pub queue_size: u64,
    /// Entries in work.
    pub processing_size: u64,
    /// Entries that failed.
    pub failed_size: u64,
}

/// Entries that have come to an end, in whatever way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Done, or not to be done.
    pub done: Vec<i64>,
    /// Failed, and to be tried again by themselves, with the number of attempts so far.
    pub again: Vec<(i64, i16)>,
    /// Failed for good.
    pub failed: Vec<i64>,
    /// Of all of these, those that had failed before: a count of their failures stands.
    pub counted: Vec<i64>,
}

/// The queue, or that there is none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queue(Option<Arc<Redis>>);

struct Redis {
    client: Client,
    keys: Keys,
    lease: Duration,
    is_up: AtomicBool,
}

struct Keys {
    queue: String,
    processing: String,
    leases: String,
    failed: String,
    failures: String,
}

impl Keys {
    fn new(prefix: &str) -> Self {
        let key = |name: &str| format!("{prefix}crawl:auto_record:{name}");
        Self {
            queue: key("queue"),
            processing: key("processing"),
            leases: key("leases"),
            failed: key("failed"),
            failures: key("failures:"),
        }
    }

    fn all(&self) -> Vec<String> {
        [&self.queue, &self.processing, &self.leases, &self.failed]
            .map(String::clone)
            .to_vec()
    }

    fn failures(&self, id: i64) -> String {
        format!("{}{id}", self.failures)
    }
}

impl Queue {
    /// No queue: PostgreSQL alone serves.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Connects, if a Redis is configured. One that does not answer now is connected to when it does.
    ///
    /// # Errors
    /// [`QueueError::BadUrl`], [`QueueError::ManySlots`].
    pub async fn connect(config: &Config) -> Result<Self, QueueError> {
        let mut parsed = match config.parse() {
            Ok(parsed) => parsed,
            Err(QueueError::Off) => return Ok(Self::none()),
            Err(error) => return Err(error),
        };
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
        // Its end is the end of the process, or a call of `close`.
        drop(client.connect());
        let redis = Redis {
            client,
            keys: Keys::new(&config.prefix),
            lease: config.lease,
            is_up: AtomicBool::new(true),
        };
        let queue = Self(Some(Arc::new(redis)));
        queue.probe().await;
        Ok(queue)
    }

    /// Whether a Redis is configured.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether Redis answered when last asked; `None` where none is configured.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        Some(self.0.as_ref()?.is_up.load(Ordering::Relaxed))
    }

    fn redis(&self) -> Result<&Redis, QueueError> {
        self.0.as_deref().ok_or(QueueError::Off)
    }

    /// The connection, while it is worth asking.
    fn redis_if_up(&self) -> Option<&Redis> {
        self.0
            .as_deref()
            .filter(|redis| redis.is_up.load(Ordering::Relaxed))
    }

    /// Asks Redis for a sign of life, whether or not it gave one before, and takes note. How long the list and sets are.
    pub async fn probe(&self) -> Option<Lengths> {
        let redis = self.0.as_deref()?;
        redis.noted(redis.lengths().await)
    }

    /// How long the list and the sets are.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn lengths(&self) -> Result<Lengths, QueueError> {
        Ok(self.redis()?.lengths().await?)
    }

    /// Puts results at the tail of the list, after their rows are committed. Whether Redis took them: the reconciler sees to
    /// those that it did not.
    pub async fn enqueue(&self, ids: &[i64]) -> bool {
        let (Some(redis), [first, others @ ..]) = (self.redis_if_up(), ids) else {
            return false;
        };
        if redis.noted(redis.push(ids).await).is_none() {
            return false;
        }
        if others.is_empty() {
            info!("Enqueued CrawlResult {first} for auto-record processing");
        } else {
            let others = others.len();
            info!("Enqueued CrawlResult {first} and {others} more for auto-record processing");
        }
        true
    }

    /// Takes up to `limit` entries from the head of the list, each at most once. Empty where there is no Redis or it does not
    /// answer. Entries that name no result go to the failed set.
    pub async fn take(&self, limit: usize) -> Vec<i64> {
        let Some(redis) = self.redis_if_up() else {
            return Vec::new();
        };
        let entries = redis.noted(redis.claim(limit).await).unwrap_or_default();
        let mut ids = Vec::with_capacity(entries.len());
        let mut seen = HashSet::with_capacity(entries.len());
        let mut strange = Vec::new();
        for entry in entries {
            match entry.parse() {
                Ok(Uid(id)) => {
                    if seen.insert(id) {
                        ids.push(id);
                    }
                    // Known by its number from here on.
                    if entry != id.to_string() {
                        strange.push((entry, true));
                    }
                }
                Err(_not_ours) => strange.push((entry, false)),
            }
        }
        if !strange.is_empty() {
            redis.noted(redis.sort_out(&strange).await);
        }
        ids
    }

    /// Takes note of what became of entries. How many wait in the list; `None` where Redis does not tell.
    pub async fn acknowledge(&self, ended: &Ended) -> Option<u64> {
        let redis = self.redis_if_up()?;
        redis.noted(redis.acknowledge(ended).await)
    }

    /// Forgets entries of the processing set whose lease has ended. How many they were.
    pub async fn expire(&self) -> u64 {
        let Some(redis) = self.redis_if_up() else {
            return 0;
        };
        redis.noted(redis.expire().await).unwrap_or(0)
    }

    /// The results that wait in the list, unless Redis does not answer or the list is longer than `bound`.
    pub async fn waiting(&self, bound: usize) -> Option<HashSet<i64>> {
        let redis = self.redis_if_up()?;
        redis.noted(redis.waiting(bound).await).flatten()
    }

    /// The result at the head of the list, if there is one.
    pub async fn head(&self) -> Option<i64> {
        let redis = self.redis_if_up()?;
        let head: Option<String> =
            redis.noted(redis.client.lindex(redis.keys.queue.as_str(), 0).await)?;
        head?.parse().ok().map(|Uid(id)| id)
    }

    /// Up to `limit` entries of the failed set: the results they name, and how many name none.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn failed(&self, limit: u32) -> Result<(Vec<i64>, usize), QueueError> {
        let redis = self.redis()?;
        let entries: Vec<String> = redis
            .client
            .srandmember(
                redis.keys.failed.as_str(),
                Some(usize::try_from(limit).unwrap_or(usize::MAX)),
            )
            .await?;
        let all = entries.len();
        let ids: Vec<i64> = entries
            .iter()
            .filter_map(|entry| entry.parse().ok().map(|Uid(id)| id))
            .collect();
        let strange = all - ids.len();
        Ok((ids, strange))
    }

    /// Takes results out of the failed set, forgets their failures, and puts them into the list.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn revive(&self, ids: &[i64]) -> Result<(), QueueError> {
        let redis = self.redis()?;
        let ended = Ended {
            done: ids.to_vec(),
            counted: ids.to_vec(),
            ..Ended::default()
        };
        redis.acknowledge(&ended).await?;
        Ok(redis.push(ids).await?)
    }

    /// Empties the list and the sets. How long they were.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn clear(&self) -> Result<Lengths, QueueError> {
        let redis = self.redis()?;
        let lengths = redis.lengths().await?;
        let _keys: i64 = redis.client.del(redis.keys.all()).await?;
        Ok(lengths)
    }

    /// Ends the connection, of all clones.
    pub async fn close(&self) {
        if let Some(redis) = &self.0 {
            // One that does not answer ends with the process.
            drop(redis.client.quit().await);
        }
    }

    /// What in the server's settings may cost the queue its entries.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn findings(&self) -> Result<Findings, QueueError> {
        Ok(server::look(&self.redis()?.client).await?)
    }
}

impl Redis {
    /// Passes an answer on, and takes note of whether Redis gives any: the first failure is logged, and so is the end of it.
    fn noted<T>(&self, answer: FredResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if !self.is_up.swap(true, Ordering::Relaxed) {
                    info!("Redis answers again");
                }
                Some(answer)
            }
            Err(error) => {
                if self.is_up.swap(false, Ordering::Relaxed) {
                    warn!(error = %chain(&error), "Redis does not answer; PostgreSQL alone serves the auto-record queue");
                }
                None
            }
        }
    }

    async fn lengths(&self) -> FredResult<Lengths> {
        let pipeline = self.client.pipeline();
        pipeline.llen::<(), _>(self.keys.queue.as_str()).await?;
        pipeline
            .scard::<(), _>(self.keys.processing.as_str())
            .await?;
        pipeline.scard::<(), _>(self.keys.failed.as_str()).await?;
        let (queue_size, processing_size, failed_size) = pipeline.all().await?;
        Ok(Lengths {
            queue_size,
            processing_size,
            failed_size,
        })
    }

    async fn push(&self, ids: &[i64]) -> FredResult<()> {
        for page in ids.chunks(PAGE) {
            let entries: Vec<String> = page.iter().map(i64::to_string).collect();
            let _length: u64 = self.client.rpush(self.keys.queue.as_str(), entries).await?;
        }
        Ok(())
    }

    async fn claim(&self, limit: usize) -> FredResult<Vec<String>> {
        let arguments = vec![
            limit.to_string(),
            self.lease.as_secs().max(1).to_string(),
            LONGEST_ENTRY.to_string(),
        ];
        // As bytes: an entry may be anything.
        let taken: Vec<bytes::Bytes> = self
            .client
            .eval(include_str!("queue/claim.lua"), self.keys.all(), arguments)
            .await?;
        Ok(taken
            .iter()
            .map(|entry| String::from_utf8_lossy(entry).into_owned())
            .collect())
    }

    /// Entries in another form than the number, and whether they name a result: all leave the processing set, and those that
    /// name none enter the failed set.
    async fn sort_out(&self, entries: &[(String, bool)]) -> FredResult<()> {
        let strange = || entries.iter().filter(|(_, is_id)| !is_id);
        if let Some((first, _)) = strange().next() {
            let (entries, first) = (strange().count(), first.escape_debug().to_string());
            warn!(
                entries,
                first,
                "entries of the auto-record queue name no result; they are in its failed set"
            );
        }
        // The script has put those that are too long there already, whole.
        let refused: Vec<String> = strange()
            .map(|(entry, _)| entry.clone())
            .filter(|entry| entry.len() <= LONGEST_ENTRY)
            .collect();
        let mut arguments = vec![refused.len().to_string()];
        arguments.extend(refused);
        arguments.extend(
            entries
                .iter()
                .filter(|(_, is_id)| *is_id)
                .map(|(entry, _)| entry.clone()),
        );
        let _length: u64 = self
            .client
            .eval(
                include_str!("queue/acknowledge.lua"),
                self.keys.all(),
                arguments,
            )
            .await?;
        Ok(())
    }

    async fn acknowledge(&self, ended: &Ended) -> FredResult<u64> {
        let mut arguments = vec![ended.failed.len().to_string()];
        let again = ended.again.iter().map(|(id, _)| id);
        let all = ended.failed.iter().chain(&ended.done).chain(again);
        arguments.extend(all.map(i64::to_string));
        let waiting: u64 = self
            .client
            .eval(
                include_str!("queue/acknowledge.lua"),
                self.keys.all(),
                arguments,
            )
            .await?;
        if !ended.counted.is_empty() {
            let keys: Vec<String> = ended
                .counted
                .iter()
                .map(|id| self.keys.failures(*id))
                .collect();
            let _keys: i64 = self.client.del(keys).await?;
        }
        if !ended.again.is_empty() {
            let pipeline = self.client.pipeline();
            for (id, attempts) in &ended.again {
                let expires = Expiration::EX(i64::try_from(FAILURES_KEPT.as_secs()).unwrap_or(0));
                let key = self.keys.failures(*id);
                pipeline
                    .set::<(), _, _>(key, i64::from(*attempts), Some(expires), None, false)
                    .await?;
            }
            let _answers: Vec<fred::types::Value> = pipeline.all().await?;
        }
        Ok(waiting)
    }

    async fn expire(&self) -> FredResult<u64> {
        self.client
            .eval(
                include_str!("queue/expire.lua"),
                vec![self.keys.processing.clone(), self.keys.leases.clone()],
                vec![
                    self.lease.as_secs().max(1).to_string(),
                    EXPIRE_AT_MOST.to_string(),
                ],
            )
            .await
    }

    async fn waiting(&self, bound: usize) -> FredResult<Option<HashSet<i64>>> {
        let mut ids = HashSet::new();
        let mut from = 0_i64;
        loop {
            let to = from + i64::try_from(PAGE).unwrap_or(i64::MAX) - 1;
            let page: Vec<bytes::Bytes> = self
                .client
                .lrange(self.keys.queue.as_str(), from, to)
                .await?;
            ids.extend(page.iter().filter_map(|entry| {
                let text = std::str::from_utf8(entry).ok()?;
                text.parse().ok().map(|Uid(id)| id)
            }));
            if page.len() < PAGE {
                return Ok(Some(ids));
            }
            from = to + 1;
            if usize::try_from(from).unwrap_or(usize::MAX) >= bound {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, prefix: &str) -> Config {
        Config {
            url: Secret::new(url),
            prefix: prefix.to_owned(),
            timeout: Duration::from_millis(500),
            lease: Duration::from_secs(60),
            reconcile_interval: Duration::from_secs(15),
        }
    }

    #[test]
    fn urls_are_judged() {
        for (url, prefix, expected) in [
            ("", "", ""),
            ("redis://localhost", "", ""),
            ("redis://user:secret@localhost:6380/2", "", ""),
            ("rediss://localhost", "", ""),
            (
                "redis-sentinel://a:26379?sentinelServiceName=main&node=b:26379",
                "",
                "",
            ),
            ("redis-cluster://a:1?node=b:2", "{gleaner}:", ""),
            ("redis-cluster://a:1?node=b:2", "", "hash tag"),
            ("redis-cluster://a:1?node=b:2", "{}:", "hash tag"),
            ("rediss-cluster://a:1?node=b:2", "{gleaner}:", ""),
            ("redis+unix:///run/redis.sock", "", ""),
            ("valkey://localhost", "", ""),
            ("http://x", "", "must begin with redis://"),
            ("postgres://user:secret@x", "", "must begin with redis://"),
            ("redis2://x", "", "must begin with redis://"),
            ("localhost:6379", "", "must begin with redis://"),
            ("redis-sentinel://a:26379", "", "cannot be used"),
            ("localhost", "", "cannot be used"),
            ("redis://local host", "", "cannot be used"),
        ] {
            let judged = config(url, prefix).validate();
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
    fn keys_are_those_of_the_guides() {
        let keys = Keys::new("");
        assert_eq!(
            keys.all(),
            [
                "crawl:auto_record:queue",
                "crawl:auto_record:processing",
                "crawl:auto_record:leases",
                "crawl:auto_record:failed"
            ]
        );
        assert_eq!(keys.failures(7), "crawl:auto_record:failures:7");
    }
}

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
//! here may fail at any time, and nothing waits for it longer than its timeout: after one failure nobody but the watch's
//! probe asks Redis again until it answers.

pub mod tickers;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::{
    Client, FredResult, KeysInterface, ListInterface, LuaInterface, SetsInterface,
};
use fred::types::Expiration;
use serde::Serialize;
use tracing::{info, warn};

use crate::prices::uid::Uid;
use crate::redis::{Config, Redis, RedisError, Stray, is_wrong_type};

/// Entries longer than this name no result: a UUID has 36 bytes.
const LONGEST_ENTRY: usize = 64;
/// How long the count of failures is kept.
const FAILURES_KEPT: Duration = Duration::from_secs(3_600);
/// Entries per RPUSH and per page of the list.
const PAGE: usize = 5_000;
/// Entries that one look for ended leases sees to.
const EXPIRE_AT_MOST: usize = 5_000;

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
pub struct EndedEntries {
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
pub struct Queue(Option<Arc<Lists>>);

struct Lists {
    redis: Redis,
    keys: Keys,
    lease: Duration,
}

struct Keys {
    queue: String,
    processing: String,
    leases: String,
    failed: String,
    failures: String,
}

impl Keys {
    fn new(named: impl Fn(&str) -> String) -> Self {
        let key = |name: &str| named(&format!("crawl:auto_record:{name}"));
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

    /// The queue in this Redis, if there is one.
    #[must_use]
    pub fn new(redis: Option<&Redis>) -> Self {
        Self(redis.map(|redis| {
            Arc::new(Lists {
                keys: Keys::new(|name| redis.key(name)),
                lease: redis.lease(),
                redis: redis.clone(),
            })
        }))
    }

    /// Connects, if a Redis is configured. One that does not answer now is connected to when it does.
    ///
    /// # Errors
    /// As [`Config::validate`].
    pub async fn connect(config: &Config) -> Result<Self, RedisError> {
        if !config.is_on() {
            return Ok(Self::none());
        }
        Ok(Self::new(Some(&Redis::connect(config).await?)))
    }

    /// Whether a Redis is configured.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether Redis answered when last asked; `None` where none is configured.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        Some(self.0.as_ref()?.redis.is_up())
    }

    fn lists(&self) -> Result<&Lists, RedisError> {
        self.0.as_deref().ok_or(RedisError::Off)
    }

    /// The lists, while Redis is worth asking.
    fn lists_if_up(&self) -> Option<&Lists> {
        self.0.as_deref().filter(|lists| lists.redis.is_up())
    }

    /// Asks Redis for a sign of life, whether or not it gave one before, and takes note. How long the list and sets are.
    pub async fn probe(&self) -> Option<Lengths> {
        let lists = self.0.as_deref()?;
        let lengths = lists.sound(|| lists.lengths()).await;
        lists.redis.noted(lengths)
    }

    /// How long the list and the sets are.
    ///
    /// # Errors
    /// [`RedisError`]
    pub async fn lengths(&self) -> Result<Lengths, RedisError> {
        let lists = self.lists()?;
        lists.redis.told(lists.sound(|| lists.lengths()).await)
    }

    /// Puts results at the tail of the list, after their rows are committed. Whether Redis took them: the reconciler sees to
    /// those that it did not.
    pub async fn enqueue(&self, ids: &[i64]) -> bool {
        let (Some(lists), [first, others @ ..]) = (self.lists_if_up(), ids) else {
            return false;
        };
        let pushed = lists.sound(|| lists.push(ids)).await;
        if lists.redis.noted(pushed).is_none() {
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
        let Some(lists) = self.lists_if_up() else {
            return Vec::new();
        };
        let entries = lists
            .redis
            .noted(lists.sound(|| lists.claim(limit)).await)
            .unwrap_or_default();
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
            let sorted = lists.sound(|| lists.sort_out(&strange)).await;
            lists.redis.noted(sorted);
        }
        ids
    }

    /// Takes note of what became of entries. How many wait in the list; `None` where Redis does not tell.
    pub async fn acknowledge(&self, ended: &EndedEntries) -> Option<u64> {
        let lists = self.lists_if_up()?;
        let waiting = lists.sound(|| lists.acknowledge(ended)).await;
        lists.redis.noted(waiting)
    }

    /// Forgets entries of the processing set whose lease has ended. How many they were.
    pub async fn expire(&self) -> u64 {
        let Some(lists) = self.lists_if_up() else {
            return 0;
        };
        let expired = lists.sound(|| lists.expire()).await;
        lists.redis.noted(expired).unwrap_or(0)
    }

    /// The results that wait in the list, unless Redis does not answer or the list is longer than `bound`.
    pub async fn waiting(&self, bound: usize) -> Option<HashSet<i64>> {
        let lists = self.lists_if_up()?;
        let waiting = lists.sound(|| lists.waiting(bound)).await;
        lists.redis.noted(waiting).flatten()
    }

    /// The result at the head of the list, if there is one.
    pub async fn head(&self) -> Option<i64> {
        let lists = self.lists_if_up()?;
        let head = lists.sound(|| lists.head()).await;
        let head: Option<String> = lists.redis.noted(head)?;
        head?.parse().ok().map(|Uid(id)| id)
    }

    /// Up to `limit` entries of the failed set: the results they name, and how many name none.
    ///
    /// # Errors
    /// [`RedisError`]
    pub async fn failed(&self, limit: u32) -> Result<(Vec<i64>, usize), RedisError> {
        let lists = self.lists()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let answer = lists.sound(|| lists.failed(limit)).await;
        let entries: Vec<String> = lists.redis.told(answer)?;
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
    /// [`RedisError`]
    pub async fn revive(&self, ids: &[i64]) -> Result<(), RedisError> {
        let lists = self.lists()?;
        let ended = EndedEntries {
            done: ids.to_vec(),
            counted: ids.to_vec(),
            ..EndedEntries::default()
        };
        let acknowledged = lists.sound(|| lists.acknowledge(&ended)).await;
        lists.redis.told(acknowledged)?;
        lists.redis.told(lists.sound(|| lists.push(ids)).await)
    }

    /// Empties the list and the sets. How long they were.
    ///
    /// # Errors
    /// [`RedisError`]
    pub async fn clear(&self) -> Result<Lengths, RedisError> {
        let lists = self.lists()?;
        let lengths = lists.redis.told(lists.sound(|| lists.lengths()).await)?;
        let _keys: i64 = lists
            .redis
            .told(lists.client().del(lists.keys.all()).await)?;
        Ok(lengths)
    }

    /// Ends the connection, of all clones.
    pub async fn close(&self) {
        if let Some(lists) = &self.0 {
            lists.redis.close().await;
        }
    }
}

impl Lists {
    fn client(&self) -> &Client {
        self.redis.client()
    }

    /// Asks it. Where something else stands under a key of ours, that is taken out of the way, and it is asked again: one value that
    /// strayed there must not keep the whole queue from being used.
    async fn sound<T, F>(&self, ask: impl Fn() -> F) -> FredResult<T>
    where
        F: Future<Output = FredResult<T>>,
    {
        let answer = ask().await;
        if answer.as_ref().is_err_and(is_wrong_type) {
            self.clear_strays().await;
            return ask().await;
        }
        answer
    }

    async fn clear_strays(&self) {
        const TYPES: [&str; 4] = ["list", "set", "zset", "set"];
        let keys: Vec<(String, &str)> = self.keys.all().into_iter().zip(TYPES).collect();
        // Somebody's data, perhaps, who took the name for free.
        self.redis.clear_strays(&keys, Stray::Kept).await;
    }

    async fn head(&self) -> FredResult<Option<String>> {
        self.client().lindex(self.keys.queue.as_str(), 0).await
    }

    async fn failed(&self, limit: usize) -> FredResult<Vec<String>> {
        let failed = self.keys.failed.as_str();
        self.client().srandmember(failed, Some(limit)).await
    }

    async fn lengths(&self) -> FredResult<Lengths> {
        let pipeline = self.client().pipeline();
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
            let _length: u64 = self
                .client()
                .rpush(self.keys.queue.as_str(), entries)
                .await?;
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
            .client()
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
            .client()
            .eval(
                include_str!("queue/acknowledge.lua"),
                self.keys.all(),
                arguments,
            )
            .await?;
        Ok(())
    }

    async fn acknowledge(&self, ended: &EndedEntries) -> FredResult<u64> {
        let mut arguments = vec![ended.failed.len().to_string()];
        let again = ended.again.iter().map(|(id, _)| id);
        let all = ended.failed.iter().chain(&ended.done).chain(again);
        arguments.extend(all.map(i64::to_string));
        let waiting: u64 = self
            .client()
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
            let _keys: i64 = self.client().del(keys).await?;
        }
        if !ended.again.is_empty() {
            let pipeline = self.client().pipeline();
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
        self.client()
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
                .client()
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

    #[test]
    fn keys_are_those_of_the_guides() {
        let keys = Keys::new(str::to_owned);
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

//! robots.txt: fetched once per origin, remembered for a while (RFC 9309).

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout};
use url::Url;

use super::trail::Start;
use super::{Client, FetchError, Live, Purpose, RequestOptions, Response};
use crate::fault;
use gleaner_extract::robots::Robots;

/// How much of a robots.txt is read; the rest is ignored (RFC 9309, 2.5: at least 500 KiB).
const MAX_FILE_BYTES: u64 = 512 * 1024;
/// How many redirects of a robots.txt are followed (RFC 9309, 2.3.1.2).
pub(super) const MAX_REDIRECTS: u32 = 5;

/// What is known of an origin's robots.txt.
#[derive(Debug, Clone)]
pub enum RobotsAnswer {
    /// The file.
    Rules(Arc<Robots>),
    /// There is none (4xx, or too many redirects): everything is allowed.
    AllowAll,
    /// The server failed (5xx, or 429): everything is forbidden for now.
    Unreachable {
        /// When it will be asked for again.
        retry_after: Duration,
    },
    /// The server could not be spoken to at all, so that no page can be fetched from it either.
    /// The error is passed on, because it decides better than "unreachable" would: a host that
    /// does not exist must use up the item's attempts, not snooze for ever.
    Failed {
        /// When it will be asked for again.
        retry_after: Duration,
        error: FetchError,
    },
}

impl RobotsAnswer {
    /// Whether the agent may fetch the URL.
    ///
    /// # Errors
    /// [`FetchError::RobotsDisallowed`], [`FetchError::RobotsUnreachable`], or why the host could
    /// not be spoken to.
    pub fn check(&self, product_token: &str, url: &Url) -> Result<(), FetchError> {
        match self {
            Self::AllowAll => Ok(()),
            Self::Rules(rules) if rules.is_allowed(product_token, url) => Ok(()),
            Self::Rules(_) => Err(FetchError::RobotsDisallowed),
            Self::Unreachable { retry_after } => Err(FetchError::RobotsUnreachable {
                retry_after: *retry_after,
            }),
            Self::Failed { retry_after, error } => Err(FetchError::RobotsFailed {
                retry_after: *retry_after,
                source: Box::new(error.clone()),
            }),
        }
    }

    /// The `Crawl-delay` asked of this agent.
    pub fn crawl_delay(&self, product_token: &str) -> Option<Duration> {
        match self {
            Self::Rules(rules) => rules.crawl_delay(product_token),
            _ => None,
        }
    }

    /// The file's `Sitemap` lines, as written.
    pub fn sitemaps(&self) -> &[String] {
        match self {
            Self::Rules(rules) => rules.sitemaps(),
            _ => &[],
        }
    }
}

/// One origin. The async lock is held while the file is fetched: whoever else needs it waits for
/// that one fetch, and takes over if it is cancelled.
#[derive(Debug, Default)]
struct Slot {
    known: tokio::sync::Mutex<Option<Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    answer: RobotsAnswer,
    expires_at: Instant,
}

impl Entry {
    /// The answer as of now, unless it is too old.
    fn current(&self, now: Instant) -> Option<RobotsAnswer> {
        if now >= self.expires_at {
            return None;
        }
        Some(match &self.answer {
            RobotsAnswer::Unreachable { .. } => RobotsAnswer::Unreachable {
                retry_after: self.expires_at - now,
            },
            RobotsAnswer::Failed { error, .. } => RobotsAnswer::Failed {
                retry_after: self.expires_at - now,
                error: error.clone(),
            },
            answer => answer.clone(),
        })
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    origins: Mutex<Origins>,
}

#[derive(Debug)]
struct Origins {
    slots: LruCache<String, Remembered>,
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    slot: Arc<Slot>,
    bytes: usize,
}

impl Origins {
    /// Notes the size of an origin's file, then forgets the least recently used ones that do not
    /// fit any more.
    fn account(&mut self, origin: &str, bytes: usize, limits: (usize, NonZeroUsize)) {
        if let Some(remembered) = self.slots.peek_mut(origin) {
            self.bytes = self
                .bytes
                .saturating_sub(remembered.bytes)
                .saturating_add(bytes);
            remembered.bytes = bytes;
        }
        let (max_bytes, max_origins) = limits;
        while self.bytes > max_bytes || self.slots.len() > max_origins.get() {
            let Some((_, forgotten)) = self.slots.pop_lru() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(forgotten.bytes);
        }
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            origins: Mutex::new(Origins {
                slots: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    fn origins(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, origin: &str, max_origins: NonZeroUsize) -> Arc<Slot> {
        let mut origins = self.origins();
        if let Some(remembered) = origins.slots.get(origin) {
            return Arc::clone(&remembered.slot);
        }
        let slot = Arc::new(Slot::default());
        let remembered = Remembered {
            slot: Arc::clone(&slot),
            bytes: 0,
        };
        origins.slots.put(origin.to_owned(), remembered);
        if origins.slots.len() > max_origins.get()
            && let Some((_, forgotten)) = origins.slots.pop_lru()
        {
            origins.bytes = origins.bytes.saturating_sub(forgotten.bytes);
        }
        slot
    }
}

/// What is known of the robots.txt that governs a URL; fetched if need be.
///
/// # Errors
/// [`FetchError::HostBusy`] when the host's turn is too far away; that is never remembered.
pub(super) async fn answer(
    client: &Client,
    live: &Live,
    url: &Url,
) -> Result<RobotsAnswer, FetchError> {
    let config = &live.config;
    let origin = url.origin().ascii_serialization();
    let cache = &client.inner.robots;
    let slot = cache.slot(&origin, config.max_hosts_tracked);
    // Whoever holds it is bounded by the same two, but several of them may be queueing here.
    let mut known = timeout(config.max_wait + config.timeout, slot.known.lock())
        .await
        .map_err(|_elapsed| FetchError::HostBusy {
            retry_after: config.max_wait,
        })?;
    let now = Instant::now();
    if let Some(answer) = known.as_ref().and_then(|entry| entry.current(now)) {
        return Ok(answer);
    }
    let mut robots_url = url.clone();
    robots_url.set_path("/robots.txt");
    robots_url.set_query(None);
    let options = RequestOptions {
        max_body_bytes: Some(MAX_FILE_BYTES),
        truncate: true,
        ..RequestOptions::default()
    };
    let fetched = client
        .collect(live, Start::at(&robots_url), options, Purpose::Robots)
        .await;
    // Neither says anything about the host.
    match fetched {
        Err(busy @ FetchError::HostBusy { .. }) => return Err(busy),
        Err(own) if fault::shortage(&own).is_some() => return Err(own),
        _ => {}
    }
    let bytes = fetched.as_ref().map_or(0, |response| response.body.len());
    let mut judged = judge(fetched, config.robots_error_ttl);
    // "Crawlers SHOULD NOT use the cached version for more than 24 hours, unless the robots.txt
    // file is unreachable" (RFC 9309, 2.4).
    let is_failure = matches!(
        judged,
        RobotsAnswer::Unreachable { .. } | RobotsAnswer::Failed { .. }
    );
    if is_failure
        && let Some(Entry {
            answer: old @ RobotsAnswer::Rules(_),
            ..
        }) = known.as_ref()
    {
        judged = old.clone();
    }
    let ttl = match &judged {
        _ if !is_failure => config.robots_ttl,
        RobotsAnswer::Unreachable { retry_after } => *retry_after,
        _ => config.robots_error_ttl,
    };
    let kept_old = is_failure && matches!(judged, RobotsAnswer::Rules(_));
    *known = Some(Entry {
        answer: judged.clone(),
        expires_at: Instant::now() + ttl,
    });
    drop(known);
    if !kept_old {
        let limits = (config.robots_cache_bytes, config.max_hosts_tracked);
        cache.origins().account(&origin, bytes, limits);
    }
    Ok(judged)
}

/// RFC 9309, 2.3.1: what each outcome of fetching the file means.
fn judge(fetched: Result<Response, FetchError>, error_ttl: Duration) -> RobotsAnswer {
    match fetched {
        Ok(response) => match response.status {
            200..=299 => RobotsAnswer::Rules(Arc::new(Robots::parse(whole_lines(&response)))),
            // "Too many requests" is a 4xx that says nothing about the file.
            429 | 500.. => RobotsAnswer::Unreachable {
                retry_after: response
                    .retry_after
                    .map_or(error_ttl, |after| after.max(error_ttl)),
            },
            _ => RobotsAnswer::AllowAll,
        },
        // A redirect to where nothing can be fetched from leads to no file either.
        Err(FetchError::TooManyRedirects { .. } | FetchError::BadUrl { .. }) => {
            RobotsAnswer::AllowAll
        }
        Err(error) => RobotsAnswer::Failed {
            retry_after: error_ttl,
            error,
        },
    }
}

/// The body without a last line that was cut by the limit: half a path forbids more than a whole.
fn whole_lines(response: &Response) -> &[u8] {
    let body = response.body.as_ref();
    if !response.truncated {
        return body;
    }
    let end = body
        .iter()
        .rposition(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(0);
    body.get(..end).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_is_bounded_in_origins_and_in_bytes() {
        let cache = Cache::new();
        let three = NonZeroUsize::new(3).unwrap();
        for origin in ["a", "b", "c"] {
            drop(cache.slot(origin, three));
            cache.origins().account(origin, 40, (100, three));
        }
        let origins = cache.origins();
        assert_eq!((origins.slots.len(), origins.bytes), (2, 80));
        assert!(
            !origins.slots.contains("a"),
            "the least recently used one goes"
        );
        drop(origins);
        cache.origins().account("b", 10, (100, three));
        assert_eq!(cache.origins().bytes, 50);
        for origin in ["d", "e", "f", "g"] {
            drop(cache.slot(origin, three));
        }
        let origins = cache.origins();
        assert_eq!((origins.slots.len(), origins.bytes), (3, 0));
    }
}

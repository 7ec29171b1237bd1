//! The hosts' timetables for all processes: when each host may be asked next, and who is asking it now.
//!
//! | key | type | content |
//! |---|---|---|
//! | `crawl:pace:host:{host}` | HASH | `last` start and earliest `next` one |
//! | `crawl:pace:rest:{host}` | STRING | stands for as long as the host is left alone |
//! | `crawl:pace:places:{host}` | ZSET | requests in flight, each with the end of its lease |
//! | `crawl:pace:since` | STRING | since when timetables are kept here |
//!
//! Times are milliseconds of the server's own clock, and every key has an end. Nobody is promised a time to come: a request
//! whose turn has not come is told when to ask again. So what a flush or a restart takes away is at most one start per
//! host, and that one is made good for: after `since` every host is left alone for one delay. A process that dies holds its
//! places until their leases end, which is as long as such a request may take at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fred::prelude::{Error, KeysInterface, LuaInterface, SortedSetsInterface};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::warn;

use super::{Redis, RedisError, Stray, is_refusal, is_reply, is_wrong_type};
use crate::metrics;
use crate::telemetry::chain;
use crate::web::fetch::{Ask, Cause, Pace, SharedPace, Turn};

/// The script's answer when all places are taken.
const FULL: i64 = -1;
/// Places given back in one go.
const AT_ONCE: usize = 100;

/// The timetables in one Redis. Cheap to clone.
#[derive(Clone)]
pub struct Timetables(Arc<Shared>);

struct Shared {
    redis: Redis,
    /// Sets the tickets of this process apart from those of others.
    process: u64,
    tickets: AtomicU64,
    given_back: UnboundedSender<Place>,
    is_refused: AtomicBool,
}

impl Shared {
    fn places_key(&self, host: &str) -> String {
        self.redis.key(&format!("crawl:pace:places:{host}"))
    }
}

/// A place at a host, by the key it stands under and its ticket.
#[derive(Debug)]
struct Place {
    key: String,
    ticket: String,
}

/// A place that is given back when dropped.
#[derive(Debug)]
struct Held {
    place: Option<Place>,
    given_back: UnboundedSender<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            // Where nobody gives it back any more, its lease ends.
            drop(self.given_back.send(place));
        }
    }
}

impl Timetables {
    /// The timetables in this Redis.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the last place and the last clone"
    )]
    pub fn new(redis: Redis) -> Self {
        let (given_back, places) = unbounded_channel();
        drop(tokio::spawn(give_back(redis.clone(), places)));
        Self(Arc::new(Shared {
            redis,
            process: rand::random(),
            tickets: AtomicU64::new(0),
            given_back,
            is_refused: AtomicBool::new(false),
        }))
    }

    /// Asks the script for a turn.
    async fn ask(&self, ask: Ask) -> Result<Turn, RedisError> {
        let shared = &self.0;
        let place = self.new_place(&ask.host);
        let keys = self.keys(&ask.host, &place.key);
        let keys_again = || self.keys(&ask.host, &shared.places_key(&ask.host));
        let (delay, spacing) = match ask.pace {
            Pace::Request { spacing } => (None, spacing),
            Pace::Redirect { delay, spacing } => (Some(delay), spacing),
        };
        let arguments = vec![
            place.ticket.clone(),
            millis(spacing).to_string(),
            delay.map_or_else(|| "-".to_owned(), |delay| millis(delay).to_string()),
            ask.places.to_string(),
            millis(ask.lease).to_string(),
        ];
        // From here on the place may be ours, even if the answer is lost or nobody waits for it any more.
        let mut held = Held {
            place: Some(place),
            given_back: shared.given_back.clone(),
        };
        let script = include_str!("timetables/turn.lua");
        let client = shared.redis.client();
        let mut answer = client.eval(script, keys, arguments.clone()).await;
        if answer.as_ref().is_err_and(is_wrong_type) {
            self.clear_strays(keys_again()).await;
            answer = client.eval(script, keys_again(), arguments).await;
        }
        let answer: i64 = self.answer(answer)?;
        if answer == 0 {
            return Ok(Turn::Now(Box::new(held)));
        }
        held.place = None;
        Ok(match u64::try_from(answer) {
            Ok(wait) => Turn::In(Duration::from_millis(wait)),
            Err(_negative) => {
                debug_assert_eq!(answer, FULL);
                Turn::Full
            }
        })
    }

    /// What the script is about, in its order.
    fn keys(&self, host: &str, places: &str) -> Vec<String> {
        let redis = &self.0.redis;
        vec![
            redis.key(&format!("crawl:pace:host:{host}")),
            rest_key(redis, host),
            places.to_owned(),
            redis.key("crawl:pace:since"),
        ]
    }

    /// Something else stands under one of these keys: it is taken out of the way, and no other host is concerned.
    async fn clear_strays(&self, keys: Vec<String>) {
        const TYPES: [&str; 4] = ["hash", "string", "zset", "string"];
        let keys: Vec<(String, &str)> = keys.into_iter().zip(TYPES).collect();
        self.0.redis.clear_strays(&keys, Stray::Dropped).await;
    }

    fn new_place(&self, host: &str) -> Place {
        let shared = &self.0;
        let number = shared.tickets.fetch_add(1, Ordering::Relaxed);
        Place {
            key: shared.places_key(host),
            ticket: format!("{:016x}-{number}", shared.process),
        }
    }

    /// How long the host still rests.
    async fn resting(&self, host: &str) -> Result<Duration, RedisError> {
        let redis = &self.0.redis;
        let left: i64 = self.answer(redis.client().pttl(rest_key(redis, host)).await)?;
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    async fn rest(&self, host: &str, duration: Duration) -> Result<(), RedisError> {
        let redis = &self.0.redis;
        let script = include_str!("timetables/rest.lua");
        let keys = vec![rest_key(redis, host)];
        let arguments = vec![millis(duration).to_string()];
        let _set: i64 = self.answer(redis.client().eval(script, keys, arguments).await)?;
        Ok(())
    }

    /// Takes note of how Redis does. Being refused is said once, and is no outage: the queue may work all the same, and other hosts'
    /// timetables.
    fn answer<T>(&self, answer: Result<T, Error>) -> Result<T, RedisError> {
        match answer {
            Err(error) if is_refusal(&error) || is_reply(&error) => {
                if !self.0.is_refused.swap(true, Ordering::Relaxed) {
                    warn!(error = %chain(&error), "Redis refuses the hosts' timetables; this process keeps its own pace");
                }
                Err(error.into())
            }
            Err(error) => {
                self.0.redis.noted::<T>(Err(error.clone()));
                Err(error.into())
            }
            Ok(answer) => {
                self.0.is_refused.store(false, Ordering::Relaxed);
                Ok(answer)
            }
        }
    }

    /// Does it unless Redis is known to be away.
    fn if_up<T: Send + 'static>(
        &self,
        ask: impl Future<Output = Result<T, RedisError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Cause>> {
        let is_up = self.0.redis.is_up();
        Box::pin(async move {
            if !is_up {
                return Err(Arc::new(RedisError::Away) as Cause);
            }
            ask.await.map_err(|error| Arc::new(error) as Cause)
        })
    }
}

impl SharedPace for Timetables {
    fn turn(&self, ask: Ask) -> BoxFuture<'static, Result<Turn, Cause>> {
        let own = self.clone();
        let asked = self.if_up(async move { own.ask(ask).await });
        Box::pin(async move {
            let answer = asked.await;
            match &answer {
                Ok(Turn::Now(_)) => metrics::fetch_turn(metrics::Pacing::Shared),
                Ok(_) => {}
                Err(_) => metrics::fetch_turn(metrics::Pacing::Alone),
            }
            answer
        })
    }

    fn resting(&self, host: String) -> BoxFuture<'static, Result<Duration, Cause>> {
        let own = self.clone();
        self.if_up(async move { own.resting(&host).await })
    }

    fn rest(&self, host: String, duration: Duration) -> BoxFuture<'static, Result<(), Cause>> {
        let own = self.clone();
        self.if_up(async move { own.rest(&host, duration).await })
    }
}

fn rest_key(redis: &Redis, host: &str) -> String {
    redis.key(&format!("crawl:pace:rest:{host}"))
}

/// Whole milliseconds, rounded up: a delay is never cut short.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Gives places back for as long as anybody may hold one.
async fn give_back(redis: Redis, mut places: UnboundedReceiver<Place>) {
    let mut batch = Vec::new();
    while places.recv_many(&mut batch, AT_ONCE).await > 0 {
        let given_back = std::mem::take(&mut batch);
        if !redis.is_up() {
            continue;
        }
        let pipeline = redis.client().pipeline();
        for place in given_back {
            // Only put down here; sent with the others.
            drop(pipeline.zrem::<(), _, _>(place.key, place.ticket).await);
        }
        let answer = pipeline.all::<Vec<i64>>().await;
        // The next turn at that host sees to what else may stand there.
        if !answer
            .as_ref()
            .is_err_and(|error| is_refusal(error) || is_wrong_type(error))
        {
            redis.noted(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_never_cut_short() {
        for (nanos, expected) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(millis(Duration::from_nanos(nanos)), expected);
        }
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}

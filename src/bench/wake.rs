//! How long a row waits from its insert to the start of its run, under a steady load.
//!
//! One clock, this process's: from just before the INSERT is sent to the first line of `run`. So the insert's own commit, the
//! notification, the wake, the claim and the load are all in it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::engine::{Engine, Load, Starts};
use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, number, percentile, rounded};

/// How many rows are inserted in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// This many.
    PerSecond(f64),
    /// This share of what the engine sustains while the rows are being inserted on the same machine, which is measured first.
    OfCapacity(f64),
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, is_share) = match text.strip_suffix('%') {
            Some(percent) => (percent, true),
            None => (text.strip_suffix("/s").unwrap_or(text), false),
        };
        let value: f64 = number
            .trim()
            .parse()
            .map_err(|_not_a_number| format!("{text:?} is neither a number nor a percentage"))?;
        let largest = if is_share { 100.0 } else { 1e6 };
        if !(value > 0.0 && value <= largest) {
            return Err(format!("{text:?} is not between 0 and {largest}"));
        }
        Ok(if is_share {
            Self::OfCapacity(value / 100.0)
        } else {
            Self::PerSecond(value)
        })
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Wake {
    /// How many rows are inserted in a second.
    pub rate: Rate,
    /// For how long.
    pub duration: Duration,
    /// How the engine is set.
    pub load: Load,
}

/// What came out; times from insert to start, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Waked {
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Rows per second that were asked for.
    pub offered_per_second: f64,
    /// Rows per second that were inserted indeed; less, where inserting itself could not keep up.
    pub inserted_per_second: f64,
    pub rows_per_insert: u64,
    /// Rows inserted and measured.
    pub rows: usize,
    /// What the engine sustains while rows are inserted, where it was measured.
    pub capacity_per_second: Option<f64>,
    /// The smallest durable transaction on this server just before, in milliseconds. Every wait contains two commits: the
    /// insert's and the claim's.
    pub commit_ms: f64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// INSERT statements per second at most; above that rate each carries several rows.
const INSERTS_PER_SECOND: f64 = 100.0;

/// When capacity is measured: how long, how many rows per INSERT, and how far inserting may run ahead.
const CAPACITY_TIME: Duration = Duration::from_secs(5);
const CAPACITY_ROWS_PER_INSERT: u64 = 1_000;
const CAPACITY_BACKLOG: u64 = 10_000;

/// Measures.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Stuck`].
pub async fn wake(scratch: &mut Scratch, what: &Wake) -> Result<Waked, BenchError> {
    let capacity = match what.rate {
        Rate::PerSecond(_) => None,
        Rate::OfCapacity(_) => Some(capacity(scratch, &what.load).await?),
    };
    let rate = match what.rate {
        Rate::PerSecond(rate) => rate,
        Rate::OfCapacity(share) => share * capacity.unwrap_or_default(),
    };
    let commit_ms = scratch.commit_ms().await?;
    scratch.fill(0).await?;
    let starts = Starts::default();
    let mut engine = Engine::start(scratch, &what.load, Some(Arc::clone(&starts))).await?;
    let inserter = Inserter::new(scratch).await?;
    // One row through everything first: connections, prepared statements.
    inserter.insert(0, 0).await?;
    engine.until_completed(1).await?;
    starts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();

    let Inserted {
        sent,
        inserting,
        rows_per_insert,
    } = inserter.steadily(rate, what.duration).await?;
    let completed = engine
        .until_completed(number_of(sent.len()).saturating_add(1))
        .await;
    engine.stop().await;
    completed?;

    let millis = sorted_millis(waits(&starts, &sent).iter().map(|(_, waited)| *waited));
    Ok(Waked {
        p50_ms: rounded(percentile(&millis, 50)),
        p95_ms: rounded(percentile(&millis, 95)),
        p99_ms: rounded(percentile(&millis, 99)),
        max_ms: rounded(percentile(&millis, 100)),
        offered_per_second: rounded(rate),
        inserted_per_second: rounded(number(number_of(sent.len())) / inserting.as_secs_f64()),
        rows_per_insert,
        rows: millis.len(),
        capacity_per_second: capacity.map(rounded),
        commit_ms,
        server: scratch.server_settings().await?,
    })
}

/// These times in milliseconds, the shortest first.
pub(super) fn sorted_millis(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut millis: Vec<f64> = times.map(|time| time.as_secs_f64() * 1_000.0).collect();
    millis.sort_by(f64::total_cmp);
    millis
}

/// How long each row waited, with when it was sent.
pub(super) fn waits(starts: &Starts, sent: &HashMap<i64, Instant>) -> Vec<(Instant, Duration)> {
    starts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .filter_map(|(id, started)| {
            let sent = *sent.get(id)?;
            Some((sent, started.duration_since(sent)))
        })
        .collect()
}

pub(super) fn number_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Enough that there are few INSERT statements, whose cost is not what is measured.
fn rows_per_insert(rate: f64) -> u64 {
    let mut rows = 1;
    while rate / number(rows) > INSERTS_PER_SECOND {
        rows += 1;
    }
    rows
}

/// Rows per second from insert to settled, with as many inserted as the engine takes.
async fn capacity(scratch: &mut Scratch, load: &Load) -> Result<f64, BenchError> {
    scratch.fill(0).await?;
    let mut engine = Engine::start(scratch, load, Some(Starts::default())).await?;
    let inserter = Inserter::new(scratch).await?;
    let begin = Instant::now();
    let mut inserted = 0;
    while begin.elapsed() < CAPACITY_TIME {
        let first = i64::try_from(inserted).unwrap_or(0) + 1;
        let rows = i64::try_from(CAPACITY_ROWS_PER_INSERT).unwrap_or(0);
        inserter.insert(first, first + rows - 1).await?;
        inserted += CAPACITY_ROWS_PER_INSERT;
        if inserted > CAPACITY_BACKLOG {
            engine.until_completed(inserted - CAPACITY_BACKLOG).await?;
        }
    }
    let rate = number(engine.completed()) / begin.elapsed().as_secs_f64();
    let completed = engine.until_completed(inserted).await;
    engine.stop().await;
    completed?;
    Ok(rate)
}

/// Somebody else's program that queues rows.
pub(super) struct Inserter {
    client: tokio_postgres::Client,
    insert: tokio_postgres::Statement,
}

/// What it has queued.
pub(super) struct Inserted {
    /// When each row's INSERT was sent.
    pub(super) sent: HashMap<i64, Instant>,
    /// How long all of that took.
    pub(super) inserting: Duration,
    pub(super) rows_per_insert: u64,
}

impl Inserter {
    pub(super) async fn new(scratch: &Scratch) -> Result<Self, BenchError> {
        let client = scratch.connector().raw().await?;
        let insert = client
            .prepare(
                "INSERT INTO bench_item (id, url, noop_status) \
                 SELECT item, 'https://www.example.org/a/page/' || item, 'Queued' \
                 FROM generate_series($1::bigint, $2::bigint) AS item",
            )
            .await?;
        Ok(Self { client, insert })
    }

    /// Queues rows with the keys from 1 on, at this rate and for so long.
    pub(super) async fn steadily(
        &self,
        rate: f64,
        duration: Duration,
    ) -> Result<Inserted, BenchError> {
        let rows_per_insert = rows_per_insert(rate);
        let gap = number(rows_per_insert) / rate;
        let mut sent: HashMap<i64, Instant> = HashMap::new();
        let begin = Instant::now();
        let mut at = begin;
        let mut next_id = 1_i64;
        loop {
            // Arrivals of a Poisson process: independent of each other, and of how the engine is doing.
            at += Duration::from_secs_f64(-gap * (1.0 - rand::random::<f64>()).ln());
            if at >= begin + duration {
                break;
            }
            sleep_until(at).await;
            let last = next_id + i64::try_from(rows_per_insert).unwrap_or(0) - 1;
            let now = Instant::now();
            sent.extend((next_id..=last).map(|id| (id, now)));
            self.insert(next_id, last).await?;
            next_id = last + 1;
        }
        Ok(Inserted {
            sent,
            inserting: begin.elapsed().max(duration),
            rows_per_insert,
        })
    }

    /// Queues the rows with these keys.
    pub(super) async fn insert(&self, first: i64, last: i64) -> Result<(), BenchError> {
        self.client.execute(&self.insert, &[&first, &last]).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_or_shares() {
        for (text, expected) in [
            ("20", Some(Rate::PerSecond(20.0))),
            ("20/s", Some(Rate::PerSecond(20.0))),
            ("0.5", Some(Rate::PerSecond(0.5))),
            ("70%", Some(Rate::OfCapacity(0.7))),
            ("0", None),
            ("-3", None),
            ("170%", None),
            ("NaN", None),
            ("many", None),
        ] {
            assert_eq!(text.parse::<Rate>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn inserts_are_few() {
        for (rate, expected) in [(20.0, 1), (100.0, 1), (101.0, 2), (20_000.0, 200)] {
            assert_eq!(rows_per_insert(rate), expected, "{rate}");
        }
    }
}

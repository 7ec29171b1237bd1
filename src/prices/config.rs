//! The sections of the configuration that are about prices.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::prices::crawl::plan::Frequencies;
use crate::settings::{ConfigError, inconsistent};
use crate::store::schedule::Cron;

/// The bots' API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bots {
    /// An address of its own; empty for `http.listen`.
    pub listen: String,
    /// Largest body of a request.
    pub max_body_bytes: usize,
    /// Largest page in it.
    pub max_html_bytes: usize,
    /// Pulls that wait for jobs at a time, of all bots.
    pub max_waiting: usize,
    /// The same of one bot.
    pub max_waiting_per_bot: usize,
}

impl Bots {
    /// The address of its own, if any. Bots have tokens, so it may be reached from elsewhere.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] when it is not an address.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let parsed = self.listen.parse().map_err(|error| {
            let problem = format!("\"{}\" is not IP:PORT ({error})", self.listen);
            inconsistent("bots.listen", problem)
        });
        parsed.map(Some)
    }
}

/// When jobs run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Crawl {
    /// Between two rounds.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Rows per statement.
    pub batch_size: u32,
    /// How often jobs run that no policy speaks of, and by the priority of subscriptions.
    pub frequency: Frequencies,
    /// A job that waits gains one step of priority each time this passes.
    #[serde(with = "humantime_serde")]
    pub aging: Duration,
}

impl Crawl {
    /// The first key whose value cannot be meant, and why.
    ///
    /// # Errors
    /// That key and reason.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let shortest = Duration::from_secs(60);
        for (key, value, least) in [
            ("crawl.interval", self.interval, Duration::from_millis(100)),
            ("crawl.frequency.default", self.frequency.default, shortest),
            ("crawl.frequency.high", self.frequency.high, shortest),
            ("crawl.frequency.normal", self.frequency.normal, shortest),
            ("crawl.frequency.low", self.frequency.low, shortest),
            ("crawl.aging", self.aging, shortest),
        ] {
            if value < least {
                return Err((
                    key,
                    "is too short: frequencies and aging are at least a minute",
                ));
            }
        }
        if !(1..=10_000).contains(&self.batch_size) {
            return Err(("crawl.batch_size", "must be 1 to 10000"));
        }
        Ok(())
    }
}

/// The section `[pattern_health]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PatternHealth {
    /// When, in UTC.
    pub cron: Cron,
}

//! The sections of the configuration that are about prices.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::http::config::MAX_CONNECTIONS;
use crate::prices::crawl::plan::Frequencies;
use crate::prices::policy::FREQUENCIES;
use crate::prices::price_fetch::PriceFetch;
use crate::settings::{ConfigError, Options, Problem, Section, inconsistent};
use crate::store::schedule::Cron;
use crate::workflow::Workflow as _;

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

impl Section for Bots {
    const NAME: &'static str = "bots";
}

impl Options for Bots {
    fn check(&self) -> Result<(), Problem> {
        self.parse()
            .map_err(|problem| ("listen".to_owned(), problem))?;
        let refuse = |key: &str, problem: String| Err((key.to_owned(), problem));
        if !(1_024..=256 << 20).contains(&self.max_body_bytes) {
            return refuse("max_body_bytes", "must be 1 KiB to 256 MiB".to_owned());
        }
        if self.max_waiting > MAX_CONNECTIONS / 2 {
            let problem = format!(
                "must be at most {}: half of the connections are for requests that do not wait",
                MAX_CONNECTIONS / 2
            );
            return refuse("max_waiting", problem);
        }
        Ok(())
    }
}

impl Bots {
    /// The address of its own, if any. Bots have tokens, so it may be reached from elsewhere.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] when it is not an address.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        self.parse()
            .map_err(|problem| inconsistent("bots.listen", problem))
    }

    fn parse(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let address = self.listen.parse();
        address
            .map(Some)
            .map_err(|error| format!("\"{}\" is not IP:PORT ({error})", self.listen))
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

impl Section for Crawl {
    const NAME: &'static str = "crawl";
}

impl Options for Crawl {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        let shortest = Duration::from_secs(60);
        for (key, value, least) in [
            ("interval", self.interval, Duration::from_millis(100)),
            ("frequency.default", self.frequency.default, shortest),
            ("frequency.high", self.frequency.high, shortest),
            ("frequency.normal", self.frequency.normal, shortest),
            ("frequency.low", self.frequency.low, shortest),
            ("aging", self.aging, shortest),
        ] {
            if value < least {
                return refuse(
                    key,
                    "is too short: frequencies and aging are at least a minute",
                );
            }
            if value > *FREQUENCIES.end() {
                return refuse(key, "is too long: at most 10years");
            }
        }
        if !(1..=10_000).contains(&self.batch_size) {
            return refuse("batch_size", "must be 1 to 10000");
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

impl Section for PatternHealth {
    const NAME: &'static str = "pattern_health";
}

impl Options for PatternHealth {}

/// What must hold across sections.
///
/// # Errors
/// [`ConfigError::Inconsistent`] naming the key.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let item = config.workflows.of::<PriceFetch>().timeout;
    if config.render.enabled && config.render.timeout * 2 + config.fetch.timeout > item {
        return Err(inconsistent(
            "render.timeout",
            format!(
                "twice this and fetch.timeout must fit into workflows.{}.timeout: the waits for a tab, the page and its scripts",
                PriceFetch::NAME
            ),
        ));
    }
    Ok(())
}

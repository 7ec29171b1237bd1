//! How long things are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::prices::retention::Kind;
use crate::settings::{ConfigError, inconsistent};
use crate::store::schedule::Cron;

/// The section `[retention]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// When results, notifications and pages are looked through.
    pub daily: Cron,
    /// When the price history is thinned.
    pub weekly: Cron,
    /// How long good crawl results are kept.
    #[serde(with = "humantime_serde")]
    pub results: Duration,
    /// How long failed ones are.
    #[serde(with = "humantime_serde")]
    pub failed_results: Duration,
    /// How long notifications are.
    #[serde(with = "humantime_serde")]
    pub notifications: Duration,
    /// How long the stored page of a URL that is not crawled any more is.
    #[serde(with = "humantime_serde")]
    pub pages: Duration,
    /// How long every price is; older ones are thinned.
    #[serde(with = "humantime_serde")]
    pub full_history: Duration,
    /// Between two batches.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
}

impl Retention {
    /// How long things of this kind are kept.
    #[must_use]
    pub fn keep(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Results => self.results,
            Kind::FailedResults => self.failed_results,
            Kind::Notifications => self.notifications,
            Kind::Pages => self.pages,
            Kind::History => self.full_history,
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        for (key, value) in [
            ("retention.results", self.results),
            ("retention.failed_results", self.failed_results),
            ("retention.notifications", self.notifications),
            ("retention.full_history", self.full_history),
        ] {
            if value < DAY {
                return Err(inconsistent(key, "must be at least one day"));
            }
        }
        if self.pause > Duration::from_secs(60) {
            return Err(inconsistent(
                "retention.pause",
                "must be at most one minute",
            ));
        }
        Ok(())
    }
}

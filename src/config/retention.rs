//! The section `[retention]`: how long things are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use figment::Figment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{extract, nothing_but};
use crate::settings::{ConfigError, inconsistent};
use crate::store::schedule::Cron;

/// How long things are kept. What there is to keep, the pipelines say: each kind has a key of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// When most kinds are looked through.
    pub daily: Cron,
    /// When those are that take long.
    pub weekly: Cron,
    /// Between two batches.
    pub pause: Duration,
    keep: BTreeMap<&'static str, Duration>,
}

/// A span of time as people write it.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Span(#[serde(with = "humantime_serde")] Duration);

impl Retention {
    /// Reads the section. `kept` are the keys of what is kept for a time.
    pub(super) fn read(layers: &Figment, kept: &[&'static str]) -> Result<Self, ConfigError> {
        let own = ["daily", "weekly", "pause"];
        let known: Vec<&str> = own.into_iter().chain(kept.iter().copied()).collect();
        nothing_but(layers, "retention", &known)?;
        let span = |key: &str| -> Result<Duration, ConfigError> {
            let Span(span) = extract(layers, &format!("retention.{key}"))?;
            Ok(span)
        };
        Ok(Self {
            daily: extract(layers, "retention.daily")?,
            weekly: extract(layers, "retention.weekly")?,
            pause: span("pause")?,
            keep: kept
                .iter()
                .map(|key| Ok((*key, span(key)?)))
                .collect::<Result<_, ConfigError>>()?,
        })
    }

    /// How long what this key is about is kept; for ever, if there is no such key.
    #[must_use]
    pub fn keep(&self, key: &str) -> Duration {
        self.keep.get(key).copied().unwrap_or(Duration::MAX)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if let Some((key, _)) = self.keep.iter().find(|(_, keep)| **keep < DAY) {
            return Err(inconsistent(
                &format!("retention.{key}"),
                "must be at least one day",
            ));
        }
        if let Some((key, _)) = self.keep.iter().find(|(_, keep)| **keep > 36_600 * DAY) {
            return Err(inconsistent(
                &format!("retention.{key}"),
                "must be at most 100years, which is as good as for ever",
            ));
        }
        if self.pause > Duration::from_secs(60) {
            return Err(inconsistent(
                "retention.pause",
                "must be at most one minute",
            ));
        }
        Ok(())
    }

    /// As it stands in a file.
    pub(super) fn value(&self) -> serde_json::Result<Value> {
        let mut section = serde_json::Map::new();
        section.insert("daily".to_owned(), serde_json::to_value(&self.daily)?);
        section.insert("weekly".to_owned(), serde_json::to_value(&self.weekly)?);
        section.insert("pause".to_owned(), serde_json::to_value(Span(self.pause))?);
        for (key, keep) in &self.keep {
            section.insert((*key).to_owned(), serde_json::to_value(Span(*keep))?);
        }
        Ok(Value::Object(section))
    }
}

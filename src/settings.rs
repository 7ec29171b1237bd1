//! What the engine and every workflow can be told, and what can be wrong with it.
//!
//! The parts of the configuration that modules share. A leaf: sections live with the modules that they are for, and are put
//! together in `config`.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gleaner_actors as actors;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// Why a configuration cannot be used. No text of it repeats a value that was given: it may be a secret in a wrong place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file given cannot be read.
    #[error("cannot read the configuration file {path}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Layers have keys or values that do not fit.
    #[error("{}", all(.0))]
    Invalid(Vec<Misfit>),
    /// The values are each well-formed and do not go together.
    #[error("{key}: {problem}")]
    Inconsistent {
        /// The key to change.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// A key or value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The dotted key; empty where that is not known.
    pub key: String,
    /// What is wrong, and what would be right.
    pub problem: String,
    /// Where it stands: file, line and column, a variable, the command line.
    pub place: Option<String>,
    /// The same key as it was written.
    pub(crate) at: KeyPath,
}

/// The names that lead to a value. One of them may be a secret in a wrong place, so they are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub(crate) Vec<String>);

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        match &self.place {
            Some(place) => write!(f, " (in {place})"),
            None => Ok(()),
        }
    }
}

fn all(misfits: &[Misfit]) -> String {
    let told: Vec<String> = misfits.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// What is wrong with one key of a section, or of a workflow's options: the key below it, and what would be right.
pub type Problem = (String, String);

/// What a workflow, or a part of the program, can be told: read once from the file, checked there, and given to whoever it is
/// for. Every default stands in `config/gleaner.toml`.
pub trait Options:
    Clone + fmt::Debug + PartialEq + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The key below, and what is wrong with its value.
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }
}

/// A section of its own in the configuration.
pub trait Section: Options {
    /// Its name in the file.
    const NAME: &'static str;
}

/// The sections of the pipelines, for whoever is given them all and takes those that it knows.
#[derive(Clone, Default)]
pub struct Sections(BTreeMap<&'static str, Arc<dyn Any + Send + Sync>>);

impl Sections {
    /// These, by their names.
    #[must_use]
    pub fn of(all: impl Iterator<Item = (&'static str, Arc<dyn Any + Send + Sync>)>) -> Self {
        Self(all.collect())
    }

    /// A section.
    ///
    /// # Panics
    /// When no pipeline brought it, which is a mistake of the program and found by its first test.
    #[must_use]
    pub fn get<S: Section>(&self) -> &S {
        self.0
            .get(S::NAME)
            .and_then(|section| section.downcast_ref())
            .unwrap_or_else(|| unreachable!("no pipeline declares the section [{}]", S::NAME))
    }
}

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Leases, supervision, drain.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// How long a lease lasts without a heartbeat.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How often leases are renewed.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long before the end of a lease its own holder stops.
    #[serde(with = "humantime_serde")]
    pub fence_margin: Duration,
    /// How often ended leases are looked for.
    #[serde(with = "humantime_serde")]
    pub rescue_interval: Duration,
    /// Age at which rows left in Processing by other software are queued again; zero for never.
    #[serde(with = "humantime_serde")]
    pub foreign_processing_after: Duration,
    /// How long running items may take after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// More restarts than this within the window park a workflow.
    pub max_restarts: u32,
    /// The window for that count.
    #[serde(with = "humantime_serde")]
    pub restart_window: Duration,
    /// Outcomes per settled batch.
    pub settle_items: usize,
    /// Age at which a smaller batch is settled.
    #[serde(with = "humantime_serde")]
    pub settle_age: Duration,
    /// How often queues are counted.
    #[serde(with = "humantime_serde")]
    pub gauges_interval: Duration,
    /// How long the history of attempts is kept.
    #[serde(with = "humantime_serde")]
    pub keep_attempts: Duration,
    /// Whether the API may be asked to crash a workflow's actor.
    pub fault_injection: bool,
}

impl Engine {
    /// Checks what goes across keys.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.fence_margin >= self.lease {
            return Err(inconsistent(
                "engine.fence_margin",
                "must be shorter than engine.lease",
            ));
        }
        if self.heartbeat.is_zero() || self.heartbeat * 2 > self.lease - self.fence_margin {
            return Err(inconsistent(
                "engine.heartbeat",
                "must be positive and at most half of engine.lease less engine.fence_margin, so that one lost beat does not lose the lease",
            ));
        }
        for (key, value) in [
            ("engine.rescue_interval", self.rescue_interval),
            ("engine.restart_window", self.restart_window),
            ("engine.settle_age", self.settle_age),
            ("engine.gauges_interval", self.gauges_interval),
        ] {
            longer_than_zero(key, value)?;
        }
        if self.settle_items == 0 || self.settle_items > 10_000 {
            return Err(inconsistent("engine.settle_items", "must be 1 to 10000"));
        }
        if self.keep_attempts < Duration::from_secs(24 * 3600) {
            return Err(inconsistent(
                "engine.keep_attempts",
                "must be at least one day",
            ));
        }
        Ok(())
    }

    /// The same, in the engine's terms.
    #[must_use]
    pub fn tree_settings(&self) -> actors::TreeSettings {
        actors::TreeSettings {
            lease_ttl: self.lease,
            heartbeat: self.heartbeat,
            fence_margin: self.fence_margin,
            max_restarts: self.max_restarts,
            restart_window: self.restart_window,
            ..actors::TreeSettings::default()
        }
    }
}

/// What every workflow has: its section without its own options.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    pub enabled: bool,
    /// Fallback interval of claims.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Rows per claim.
    pub batch_size: NonZeroU32,
    /// Rows worked at a time.
    pub concurrency: NonZeroU32,
    /// Limit on one row.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Attempts before Error.
    pub max_attempts: NonZeroU32,
    /// Delay between attempts.
    pub backoff: Backoff,
    /// Ceiling on rows started.
    pub rate: Rate,
    /// Backlog without progress for this long is a stall.
    #[serde(with = "humantime_serde")]
    pub stall_after: Duration,
    /// Read by the workflow that they are for.
    #[serde(rename = "options", skip_serializing)]
    _options: IgnoredAny,
}

/// What a workflow of the operator's own has where its section does not say otherwise. Those of the program say all of it in
/// `config/gleaner.toml`.
impl Default for Workflow {
    fn default() -> Self {
        let rows = NonZeroU32::MIN.saturating_add(19);
        Self {
            enabled: true,
            interval: Duration::from_secs(60),
            batch_size: rows,
            concurrency: rows,
            timeout: Duration::from_secs(60),
            max_attempts: NonZeroU32::MIN.saturating_add(4),
            backoff: Backoff {
                base: Duration::from_secs(5),
                max: Duration::from_secs(3600),
            },
            rate: Rate {
                count: 0,
                per: Duration::from_secs(1),
            },
            stall_after: Duration::from_secs(300),
            _options: IgnoredAny,
        }
    }
}

/// Delay between attempts: exponential, full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// Upper bound of the first delay.
    #[serde(with = "humantime_serde")]
    pub base: Duration,
    /// Upper bound of any delay.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
}

/// A ceiling: so many per span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many; 0 for no ceiling.
    pub count: u32,
    /// In how long.
    #[serde(with = "humantime_serde")]
    pub per: Duration,
}

impl Workflow {
    /// The common keys, in the engine's terms.
    #[must_use]
    pub fn settings(&self, engine: &Engine) -> actors::Settings {
        actors::Settings {
            enabled: self.enabled,
            interval: self.interval,
            batch_size: to_usize(self.batch_size),
            concurrency: to_usize(self.concurrency),
            timeout: self.timeout,
            max_attempts: i16::try_from(self.max_attempts.get()).unwrap_or(i16::MAX),
            backoff: actors::Backoff {
                base: self.backoff.base,
                max: self.backoff.max,
            },
            rate: (self.rate.count > 0).then_some(actors::Rate {
                count: self.rate.count,
                per: self.rate.per,
            }),
            settle_items: engine.settle_items,
            settle_age: engine.settle_age,
            stall_after: self.stall_after,
        }
    }

    /// Checks what the types cannot. `section` is where it stands, such as `workflows.deep-scan`.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let key = |field: &str| format!("{section}.{field}");
        let positive = [
            ("interval", self.interval),
            ("timeout", self.timeout),
            ("stall_after", self.stall_after),
            ("backoff.base", self.backoff.base),
            ("rate.per", self.rate.per),
        ];
        for (field, value) in positive {
            longer_than_zero(&key(field), value)?;
        }
        if self.backoff.max < self.backoff.base {
            return Err(inconsistent(
                &key("backoff.max"),
                "must not be shorter than backoff.base",
            ));
        }
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("concurrency", self.concurrency),
        ] {
            if value.get() > 10_000 {
                return Err(inconsistent(&key(field), "must be at most 10000"));
            }
        }
        if self.max_attempts.get() > 1_000 {
            return Err(inconsistent(&key("max_attempts"), "must be at most 1000"));
        }
        Ok(())
    }
}

fn to_usize(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

/// A complaint about one key.
pub(crate) fn inconsistent(key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Inconsistent {
        key: key.to_owned(),
        problem: problem.into(),
    }
}

/// A complaint about a span of time that is none.
///
/// # Errors
/// [`ConfigError::Inconsistent`] naming the key, if the span is zero.
pub(crate) fn longer_than_zero(key: &str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(inconsistent(key, "must be longer than zero"));
    }
    Ok(())
}

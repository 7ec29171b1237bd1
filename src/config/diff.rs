//! What differs between two configurations, and what of it takes effect without a restart.

use std::collections::{BTreeMap, BTreeSet};

use figment::Figment;
use figment::providers::Serialized;
use serde::Serialize;
use serde_json::Value;

use super::Config;
use super::layers::Layers;
use super::restart::needs_restart;
use super::whole;
use crate::secret;
use crate::settings::{ConfigError, inconsistent};

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// The old value, as printed (secrets redacted).
    pub old: String,
    /// The new value.
    pub new: String,
    /// Whether it waits for the next start.
    pub needs_restart: bool,
}

/// What a reload comes to.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What is in force from now on: the new values, but for those that wait for the next start.
    pub in_force: Config,
    /// What differs between what was in force and the file, and waits: all of it, also what an earlier reload found.
    pub pending: Vec<Change>,
    /// What takes effect now.
    pub applied: Vec<Change>,
    /// Keys that the file no longer sets: below it, and in the end the defaults, say what holds.
    pub taken_away: Vec<String>,
}

/// What comes of putting `new` in force where `old` is.
///
/// # Errors
/// [`ConfigError`] where the file may be cut off, and where the new values do not go together with the old ones that stay until
/// the next start.
pub fn reload(old: &Config, new: &Config) -> Result<Reloaded, ConfigError> {
    let changes = diff(old, new);
    whole::check(&old.written, &new.written, |key| {
        changes.iter().any(|change| change.key == key)
    })?;
    let (pending, applied) = changes.into_iter().partition(|change| change.needs_restart);
    let mut reloaded = Reloaded {
        in_force: new.clone(),
        pending,
        applied,
        taken_away: old.written.missing_in(&new.written),
    };
    if !reloaded.pending.is_empty() {
        reloaded.in_force = with_what_waits(old, new, &reloaded.pending)?;
        reloaded.in_force.validate()?;
    }
    Ok(reloaded)
}

/// The new configuration with the old values of these keys.
fn with_what_waits(old: &Config, new: &Config, waiting: &[Change]) -> Result<Config, ConfigError> {
    // Read again from its own text, so that nobody has to list the fields.
    let (before, values) = secret::revealed(|| (old.value(), new.value()));
    // Neither can fail: both have been read from what is written here.
    let told = |_error: serde_json::Error| inconsistent("", "the configuration cannot be written");
    let (before, mut values) = (before.map_err(told)?, values.map_err(told)?);
    for change in waiting {
        let pointer = format!("/{}", change.key.replace('.', "/"));
        if let (Some(value), Some(old)) = (values.pointer_mut(&pointer), before.pointer(&pointer)) {
            *value = old.clone();
        }
    }
    let layers = Layers::of(Figment::from(Serialized::defaults(&values)));
    let read = Config::from_layers(&layers, new.schema)?;
    Ok(Config {
        written: new.written.clone(),
        workflows: read.workflows.clone().adjusted_like(&new.workflows),
        ..read
    })
}

/// The keys that differ, in order. A section that is there on one side alone differs in all its keys, which are nothing on the other.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    // Secrets print alike whatever they hold, so they are compared as they are and printed as they may be.
    let (before, after) = secret::revealed(|| (flatten(old), flatten(new)));
    let (shown_before, shown_after) = (flatten(old), flatten(new));
    let show =
        |shown: &BTreeMap<String, String>, key: &str| shown.get(key).cloned().unwrap_or_default();
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| Change {
            key: key.clone(),
            old: show(&shown_before, key),
            new: show(&shown_after, key),
            needs_restart: needs_restart(key),
        })
        .collect()
}

fn flatten(config: &Config) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    if let Ok(value) = config.value() {
        walk("", &value, &mut flat);
    }
    flat
}

fn walk(key: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let inner_key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                walk(&inner_key, inner, flat);
            }
        }
        Value::String(text) => {
            flat.insert(key.to_owned(), text.clone());
        }
        other => {
            flat.insert(key.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::areas;
    use crate::config::Sources;
    use crate::leads::deep_scan::DeepScan;
    use crate::prices::notification_delivery::NotificationDelivery;
    use crate::secret::Secret;

    fn defaults() -> Config {
        areas::load(&Sources::default()).expect("the defaults")
    }

    #[test]
    fn names_what_changed_and_what_must_wait() {
        let old = defaults();
        let mut new = old.clone();
        new.workflows.of_mut::<DeepScan>().interval = Duration::from_secs(9);
        new.http.listen = "127.0.0.1:9".to_owned();
        new.database.url = Secret::new("postgres://elsewhere/x");
        let options = new.workflows.options_mut::<NotificationDelivery>();
        options.webhook_secret = Secret::new("hunter2");
        let changes = diff(&old, &new);
        let found: Vec<(&str, bool)> = changes
            .iter()
            .map(|change| (change.key.as_str(), change.needs_restart))
            .collect();
        assert_eq!(
            found,
            [
                ("database.url", true),
                ("http.listen", true),
                ("workflows.deep-scan.interval", false),
                (
                    "workflows.notification-delivery.options.webhook_secret",
                    false
                ),
            ]
        );
        assert!(!format!("{changes:?}").contains("hunter2"), "{changes:?}");
        assert!(diff(&old, &old).is_empty());
    }

    /// One secret for another prints the same, and is a change all the same, whatever field it is in.
    #[test]
    fn every_secret_is_compared_by_what_it_holds() {
        let mut old = defaults();
        old.redis.url = Secret::new("redis://a/0");
        old.workflows.options_mut::<DeepScan>().api_key = Secret::new("a");
        let mut new = old.clone();
        new.redis.url = Secret::new("redis://b/0");
        new.workflows.options_mut::<DeepScan>().api_key = Secret::new("b");
        let changes = diff(&old, &new);
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["redis.url", "workflows.deep-scan.options.api_key"]);
        for change in &changes {
            assert_eq!((&*change.old, &*change.new), ("[redacted]", "[redacted]"));
        }
    }

    /// What waits for the next start is not in force, and is not forgotten by the next reload.
    #[test]
    fn what_waits_is_kept_apart_until_the_next_start() {
        let old = defaults();
        let mut file = old.clone();
        file.engine.rescue_interval = Duration::from_secs(60);
        file.http.admin_token = Secret::new("fresh");
        file.engine.drain_timeout = Duration::from_secs(7);
        let first = reload(&old, &file).expect("a good file");
        assert_eq!(
            first.in_force.engine.rescue_interval,
            old.engine.rescue_interval
        );
        assert!(first.in_force.http.admin_token.is_empty());
        assert_eq!(first.in_force.engine.drain_timeout, Duration::from_secs(7));
        let waits = |reloaded: &Reloaded| -> Vec<String> {
            reloaded.pending.iter().map(|one| one.key.clone()).collect()
        };
        let expected = ["engine.rescue_interval", "http.admin_token"];
        assert_eq!(waits(&first), expected);
        let again = reload(&first.in_force, &file).expect("the same file");
        assert_eq!(waits(&again), expected);
        assert!(again.applied.is_empty(), "{:?}", again.applied);
        let back = reload(&again.in_force, &old).expect("the first file");
        assert!(back.pending.is_empty(), "{:?}", back.pending);
    }

    #[test]
    fn new_values_must_go_with_the_old_ones_that_stay() {
        let mut old = defaults();
        old.engine.lease = Duration::from_secs(30);
        let restored = with_what_waits(&defaults(), &old, &diff(&defaults(), &old)).expect("read");
        assert_eq!(restored.engine.lease, defaults().engine.lease);
    }
}

//! What differs between two configurations, and whether it can take effect without a restart.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Sections that are read once, at the start.
const RESTART_SECTIONS: [&str; 5] = ["database.", "http.", "embedded.", "extract.", "redis."];

/// Keys of other sections that are read once.
const RESTART_KEYS: [&str; 11] = [
    "bots.listen",
    "bots.max_body_bytes",
    "crawl.interval",
    "engine.lease",
    "engine.heartbeat",
    "engine.fence_margin",
    "engine.rescue_interval",
    "engine.max_restarts",
    "engine.restart_window",
    "engine.gauges_interval",
    "log.format",
];

/// The keys that differ, in order.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let (before, after) = (flatten(old), flatten(new));
    let mut changes: Vec<Change> = after
        .iter()
        .filter_map(|(key, value)| {
            let previous = before.get(key).cloned().unwrap_or_default();
            (previous != *value).then(|| change(key, previous, value.clone()))
        })
        .collect();
    // Secrets print alike whatever they hold.
    for (key, same) in [
        ("database.url", old.database.url == new.database.url),
        (
            "database.direct_url",
            old.database.direct_url == new.database.direct_url,
        ),
        ("redis.url", old.redis.url == new.redis.url),
        (
            "http.admin_token",
            old.http.admin_token == new.http.admin_token,
        ),
        (
            "workflows.deep-scan.options.api_key",
            old.workflows.deep_scan.options.api_key == new.workflows.deep_scan.options.api_key,
        ),
        (
            "workflows.notification-delivery.options.webhook_secret",
            old.workflows.notification_delivery.options.webhook_secret
                == new.workflows.notification_delivery.options.webhook_secret,
        ),
        (
            "workflows.notification-delivery.options.smtp_url",
            old.workflows.notification_delivery.options.smtp_url
                == new.workflows.notification_delivery.options.smtp_url,
        ),
    ] {
        if !same && !changes.iter().any(|change| change.key == key) {
            changes.push(change(
                key,
                "[redacted]".to_owned(),
                "[redacted]".to_owned(),
            ));
        }
    }
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn change(key: &str, old: String, new: String) -> Change {
    let needs_restart = RESTART_KEYS.contains(&key)
        || RESTART_SECTIONS
            .iter()
            .any(|section| key.starts_with(section));
    Change {
        key: key.to_owned(),
        old,
        new,
        needs_restart,
    }
}

fn flatten(config: &Config) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(config) {
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
    use super::*;
    use crate::config::{Sources, load};
    use crate::secret::Secret;

    #[test]
    fn names_what_changed_and_what_must_wait() {
        let old = load(&Sources::default()).expect("the defaults");
        let mut new = old.clone();
        new.workflows.deep_scan.interval = std::time::Duration::from_secs(9);
        new.http.listen = "127.0.0.1:9".to_owned();
        new.database.url = Secret::new("postgres://elsewhere/x");
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
                ("workflows.deep-scan.interval", false)
            ]
        );
        assert!(diff(&old, &old).is_empty());
    }
}

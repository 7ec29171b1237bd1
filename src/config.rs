//! The whole configuration: sections, layers, validation, and the difference between two of them.
//!
//! Every default stands in `config/gleaner.toml`, which is compiled in; no struct here has defaults of its own. Modules get
//! their own section by value and never look anything up.

mod diff;
mod retention;

use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

pub use diff::{Change, diff};
pub use retention::Retention;

use crate::prices::config::{Bots, Crawl as CrawlConfig, PatternHealth};
use crate::settings::{self, ConfigError, inconsistent};
use crate::web::{fetch, render};
use crate::{db, redis, workflows};

/// The defaults, and the documentation of every key.
pub const DEFAULTS: &str = include_str!("../config/gleaner.toml");

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the rows are.
    pub database: db::Config,
    /// Leases, supervision, drain.
    pub engine: settings::Engine,
    /// Health, metrics and API.
    pub http: crate::http::config::Config,
    /// Logging.
    pub log: crate::telemetry::Config,
    /// The private servers.
    pub embedded: crate::embedded::Config,
    /// The Redis that the processes share.
    pub redis: redis::Config,
    /// Outbound HTTP.
    pub fetch: fetch::Config,
    /// The browser.
    pub render: render::Config,
    /// The bots' API.
    pub bots: Bots,
    /// When crawl jobs run.
    pub crawl: CrawlConfig,
    /// When shops are looked at.
    pub pattern_health: PatternHealth,
    /// How long things are kept.
    pub retention: Retention,
    /// Reading what was fetched.
    pub extract: gleaner_extract::Config,
    /// One section per workflow.
    pub workflows: workflows::Config,
}

/// Where the layers above the defaults come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file given with `--config`.
    pub file: Option<PathBuf>,
    /// What flags set, as dotted keys and values; the last layer.
    pub flags: Vec<(String, serde_json::Value)>,
}

/// Reads all layers, checks them, and returns the configuration in force.
///
/// # Errors
/// [`ConfigError`], naming key and source.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Toml::string(DEFAULTS));
    figment = figment.merge(
        Env::raw()
            .only(&["DATABASE_URL"])
            .map(|_| "database.url".into()),
    );
    if let Some(path) = &sources.file {
        figment = figment.merge(read(path)?);
    }
    // GLEANER_CONFIG is the command line's, GLEANER_TEST_… are the tests' own. Any other that is no key is a mistake.
    let environment = Env::prefixed("GLEANER_")
        .ignore(&["CONFIG"])
        .filter(|key| !key.as_str().to_ascii_lowercase().starts_with("test_"))
        .map(|key| hyphenated(key.as_str()).into());
    figment = figment.merge(environment.split("__"));
    for (key, value) in &sources.flags {
        figment = figment.merge(Serialized::default(key, value));
    }
    let config: Config = figment
        .extract()
        .map_err(|error| ConfigError::Invalid(Box::new(error)))?;
    config.validate()?;
    Ok(config)
}

/// Shells take no hyphen in the name of a variable: `workflows__deep_scan__…` stands for `workflows.deep-scan.…`.
fn hyphenated(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    for name in workflows::NAMES {
        let written = format!("workflows__{}__", name.replace('-', "_"));
        if let Some(rest) = key.strip_prefix(&written) {
            return format!("workflows__{name}__{rest}");
        }
    }
    key
}

/// The file is read here, not by figment, which takes a missing file for an empty one.
fn read(path: &Path) -> Result<figment::providers::Data<Toml>, ConfigError> {
    std::fs::metadata(path)
        .and_then(|_| std::fs::read_to_string(path))
        .map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    Ok(Toml::file_exact(path))
}

impl Config {
    /// Checks what goes across fields.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let engine = &self.engine;
        if engine.fence_margin >= engine.lease {
            return Err(inconsistent(
                "engine.fence_margin",
                "must be shorter than engine.lease",
            ));
        }
        if engine.heartbeat.is_zero() || engine.heartbeat * 2 > engine.lease - engine.fence_margin {
            return Err(inconsistent(
                "engine.heartbeat",
                "must be positive and at most half of engine.lease less engine.fence_margin, so that one lost beat does not lose the lease",
            ));
        }
        for (key, value) in [
            ("engine.rescue_interval", engine.rescue_interval),
            ("engine.restart_window", engine.restart_window),
            ("engine.settle_age", engine.settle_age),
            ("engine.gauges_interval", engine.gauges_interval),
            ("redis.timeout", self.redis.timeout),
            ("redis.lease", self.redis.lease),
            ("redis.reconcile_interval", self.redis.reconcile_interval),
            ("database.connect_timeout", self.database.connect_timeout),
            (
                "database.statement_timeout",
                self.database.statement_timeout,
            ),
        ] {
            if value.is_zero() {
                return Err(inconsistent(key, "must be longer than zero"));
            }
        }
        if engine.settle_items == 0 || engine.settle_items > 10_000 {
            return Err(inconsistent("engine.settle_items", "must be 1 to 10000"));
        }
        if engine.keep_attempts < Duration::from_secs(24 * 3600) {
            return Err(inconsistent(
                "engine.keep_attempts",
                "must be at least one day",
            ));
        }
        self.redis
            .validate()
            .map_err(|error| inconsistent(error.key(), error.to_string()))?;
        self.database
            .check_urls()
            .map_err(|(key, error)| inconsistent(key, error.to_string()))?;
        let refuse = |name: &str, key: &str, problem: &str| {
            inconsistent(&format!("workflows.{name}.options.{key}"), problem)
        };
        let workflows = &self.workflows;
        let (scan, delivery) = (&workflows.deep_scan, &workflows.notification_delivery);
        scan.options
            .check()
            .map_err(|(key, problem)| refuse("deep-scan", key, &problem))?;
        workflows
            .auto_record
            .options
            .check()
            .map_err(|(key, problem)| refuse("auto-record", &key, problem))?;
        delivery
            .options
            .check()
            .map_err(|(key, problem)| refuse("notification-delivery", key, &problem))?;
        if self.database.pool_size < 2 {
            return Err(inconsistent("database.pool_size", "must be at least 2"));
        }
        self.log
            .level
            .parse::<tracing_subscriber::EnvFilter>()
            .map_err(|error| {
                inconsistent(
                    "log.level",
                    format!("\"{}\" is no level ({error})", self.log.level),
                )
            })?;
        self.http.address()?;
        self.fetch
            .validate()
            .map_err(|error| inconsistent("fetch", error.to_string()))?;
        self.validate_render()?;
        self.bots.address()?;
        if !(1_024..=256 << 20).contains(&self.bots.max_body_bytes) {
            return Err(inconsistent(
                "bots.max_body_bytes",
                "must be 1 KiB to 256 MiB",
            ));
        }
        if self.bots.max_waiting > crate::http::MAX_CONNECTIONS / 2 {
            let problem = format!(
                "must be at most {}: half of the connections are for requests that do not wait",
                crate::http::MAX_CONNECTIONS / 2
            );
            return Err(inconsistent("bots.max_waiting", problem));
        }
        self.crawl
            .validate()
            .map_err(|(key, problem)| inconsistent(key, problem))?;
        self.retention.validate()?;
        self.workflows.validate()
    }

    fn validate_render(&self) -> Result<(), ConfigError> {
        self.render
            .validate()
            .map_err(|(key, problem)| inconsistent(key, problem))?;
        let item = self.workflows.price_fetch.timeout;
        if self.render.enabled && self.render.timeout * 2 + self.fetch.timeout > item {
            return Err(inconsistent(
                "render.timeout",
                "twice this and fetch.timeout must fit into workflows.price-fetch.timeout: the waits for a tab, the page and its scripts",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "figment::Jail's own signature")]
mod tests {
    use figment::Jail;

    use super::*;

    fn with_file(jail: &mut Jail, text: &str) -> Result<Config, String> {
        jail.create_file("mine.toml", text)
            .expect("a file in the jail");
        let sources = Sources {
            file: Some("mine.toml".into()),
            flags: Vec::new(),
        };
        load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_complete() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let config = load(&Sources::default()).expect("the defaults");
            assert_eq!(
                config.workflows.deep_scan.interval,
                Duration::from_secs(300)
            );
            Ok(())
        });
    }

    #[test]
    fn later_layers_win() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            jail.set_env("GLEANER_WORKFLOWS__DEEP_SCAN__BATCH_SIZE", "33");
            jail.set_env("DATABASE_URL", "postgres://from-env/x");
            jail.set_env("GLEANER_TEST_DATA", "/anywhere");
            let text = "[workflows.deep-scan]\nbatch_size = 22\nconcurrency = 7\n";
            let config = with_file(jail, text).expect("valid");
            assert_eq!(config.workflows.deep_scan.batch_size.get(), 33);
            assert_eq!(config.workflows.deep_scan.concurrency.get(), 7);
            assert_eq!(config.database.url.expose(), "postgres://from-env/x");
            Ok(())
        });
    }

    #[test]
    fn errors_name_key_and_file() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            for (text, wanted) in [
                ("[workflows.deep-scan]\nbatch_sise = 2\n", "batch_sise"),
                ("[workflows.deep-scam]\nbatch_size = 2\n", "deep-scam"),
                (
                    "[workflows.deep-scan]\nbatch_size = 0\n",
                    "workflows.deep-scan.batch_size",
                ),
                ("[engine]\nheartbeat = \"9s\"\n", "engine.heartbeat"),
                ("[engine]\nlease = \"soon\"\n", "engine.lease"),
                ("[http]\nlisten = \"0.0.0.0:80\"\n", "http.admin_token"),
                ("[log]\nlevel = \"in=fo=x\"\n", "log.level"),
                ("[engine\n", "mine.toml"),
                ("[retention]\ndaily = \"soon\"\n", "retention.daily"),
                ("[retention]\nresults = \"1h\"\n", "retention.results"),
                ("[render]\nwait = \"1m\"\n", "render.wait"),
                (
                    "[render]\nenabled = true\ntimeout = \"40s\"\n",
                    "render.timeout",
                ),
            ] {
                let message = with_file(jail, text).expect_err(text);
                assert!(message.contains(wanted), "{text}: {message}");
            }
            Ok(())
        });
    }

    /// A wrong address is found by `check-config`, not by the first item that needs it; and what it holds is not repeated.
    #[test]
    fn addresses_are_checked_before_they_are_needed() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            for (section, key, good, bad) in [
                (
                    "redis",
                    "url",
                    "rediss://h:1/0",
                    &["http://h", "h:1", "redis://"][..],
                ),
                (
                    "database",
                    "url",
                    "postgres://u:hunter2@h/d",
                    &["http://u:hunter2@h", "h"],
                ),
                (
                    "database",
                    "direct_url",
                    "host=h user=u",
                    &["mysql://u:hunter2@h/d"],
                ),
                (
                    "workflows.deep-scan.options",
                    "base_url",
                    "http://127.0.0.1:8099",
                    &["maps.example.com", "ftp://maps.example.com", "/maps"],
                ),
                (
                    "fetch",
                    "proxy_hosts_to",
                    "127.0.0.1:8099",
                    &["http://h", "h"],
                ),
            ] {
                let file = |value: &str| format!("[{section}]\n{key} = \"{value}\"\n");
                with_file(jail, &file(good)).expect(good);
                for value in bad {
                    let message = with_file(jail, &file(value)).expect_err(value);
                    let wanted = format!("{section}.{key}: ");
                    assert!(message.contains(&wanted), "{value}: {message}");
                    assert!(!message.contains("hunter2"), "{message}");
                }
            }
            for (url, from, wanted) in [
                (
                    "smtps://u:hunter2@mail.example.org",
                    "Prices <p@example.org>",
                    "",
                ),
                (
                    "http://u:hunter2@mail.example.org",
                    "p@example.org",
                    "options.smtp_url: ",
                ),
                ("mail.example.org", "p@example.org", "options.smtp_url: "),
                ("smtp://localhost:25", "", "options.mail_from: "),
                ("smtp://localhost:25", "prices", "options.mail_from: "),
            ] {
                let text = format!(
                    "[workflows.notification-delivery.options]\nsmtp_url = \"{url}\"\nmail_from = \"{from}\"\n"
                );
                let message = with_file(jail, &text).err().unwrap_or_default();
                assert_eq!(message.is_empty(), wanted.is_empty(), "{url}: {message}");
                assert!(message.contains(wanted), "{url}: {message}");
                assert!(!message.contains("hunter2"), "{message}");
            }
            Ok(())
        });
    }

    #[test]
    fn a_missing_file_is_an_error() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let sources = Sources {
                file: Some("absent.toml".into()),
                flags: Vec::new(),
            };
            assert!(matches!(
                load(&sources),
                Err(ConfigError::Unreadable { .. })
            ));
            Ok(())
        });
    }

    #[test]
    fn secrets_are_not_printed() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let text =
                "[database]\nurl = \"postgres://u:hunter2@h/d\"\n[http]\nadmin_token = \"tttt\"\n";
            let config = with_file(jail, text).expect("valid");
            let printed = format!(
                "{config:?} {}",
                serde_json::to_string(&config).expect("json")
            );
            assert!(
                !printed.contains("hunter2") && !printed.contains("tttt"),
                "{printed}"
            );
            Ok(())
        });
    }
}

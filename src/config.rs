//! The whole configuration: sections, layers, validation, and the difference between two of them.
//!
//! Every default stands in `config/gleaner.toml`, which is compiled in; no struct here has defaults of its own. Sections live
//! with the modules that they are for: what every program has is named here, what the pipelines bring comes in with a
//! [`Schema`]. Modules get their own section by value and never look anything up.

mod diff;
mod erased;
mod layers;
mod mistakes;
mod restart;
mod retention;
mod schedules;
mod schema;
mod whole;
mod workflows;

use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use self::erased::Erased;
use self::layers::{File, Layers};
use self::schema::extract;
use self::whole::Written;
pub use diff::{Change, Reloaded, diff, reload};
pub use retention::Retention;
pub use schedules::Schedules;
pub use schema::{Check, Declared, Schema};
pub use workflows::Workflows;

use crate::http::config as http;
use crate::settings::{self, ConfigError, Section, inconsistent, longer_than_zero};
use crate::web::{fetch, render};
use crate::{db, embedded, redis, telemetry};

/// The defaults, and the documentation of every key.
pub const DEFAULTS: &str = include_str!("../config/gleaner.toml");

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    schema: &'static Schema,
    /// Where the rows are.
    pub database: db::Config,
    /// Leases, supervision, drain.
    pub engine: settings::Engine,
    /// Health, metrics and API.
    pub http: http::Config,
    pub log: telemetry::Config,
    /// The private servers.
    pub embedded: embedded::Config,
    /// The Redis that the processes share.
    pub redis: redis::Config,
    /// Outbound HTTP.
    pub fetch: fetch::Config,
    pub render: render::Config,
    /// Reading what was fetched.
    pub extract: gleaner_extract::Config,
    /// How long things are kept.
    pub retention: Retention,
    /// What fires by itself, and when.
    pub schedules: Schedules,
    /// One section per workflow.
    pub workflows: Workflows,
    sections: std::collections::BTreeMap<&'static str, Box<dyn Erased>>,
    /// The file that it was read from.
    written: Written,
}

/// Sections that every program has. What the pipelines bring comes on top.
const OWN: [&str; 12] = [
    "database",
    "engine",
    "http",
    "log",
    "embedded",
    "redis",
    "fetch",
    "render",
    "extract",
    "retention",
    layers::SCHEDULES,
    "workflows",
];

/// Where the layers above the defaults come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file given with `--config`.
    pub file: Option<PathBuf>,
    /// What flags set, as dotted keys and values; the last layer.
    pub flags: Vec<(String, Value)>,
}

/// Reads all layers, checks them, and returns the configuration in force.
///
/// # Errors
/// [`ConfigError`], naming key and place of all that is wrong.
pub fn load(sources: &Sources, schema: &'static Schema) -> Result<Config, ConfigError> {
    mistakes::read(layers(sources, schema)?, schema)
}

fn layers(sources: &Sources, schema: &'static Schema) -> Result<Layers, ConfigError> {
    let file = sources.file.as_deref().map(File::read).transpose()?;
    let mut merged = Figment::from(Toml::string(DEFAULTS));
    let database_url = Env::raw()
        .only(&["DATABASE_URL"])
        .map(|_| "database.url".into());
    let has_database_url = database_url.iter().next().is_some();
    merged = merged.merge(database_url);
    if let Some(file) = &file {
        merged = merged.merge(file.layer());
    }
    // GLEANER_CONFIG is the command line's, GLEANER_TEST_… are the tests' own. Any other that is no key is a mistake.
    let environment = Env::prefixed("GLEANER_")
        .ignore(&["CONFIG"])
        .filter(|key| !key.as_str().to_ascii_lowercase().starts_with("test_"))
        .map(|key| hyphenated(key.as_str(), schema).into())
        .split("__");
    let variables = environment.iter().map(|(key, _)| key.to_string()).collect();
    merged = merged.merge(environment);
    for (key, value) in &sources.flags {
        merged = merged.merge(Serialized::default(key, value));
    }
    Ok(Layers {
        merged,
        has_database_url,
        file,
        variables,
        flags: sources.flags.iter().map(|(key, _)| key.clone()).collect(),
    })
}

/// Shells take no hyphen in the name of a variable: `workflows__deep_scan__…` stands for `workflows.deep-scan.…`.
fn hyphenated(key: &str, schema: &Schema) -> String {
    let key = key.to_ascii_lowercase();
    for workflow in &schema.workflows {
        let name = workflow.name;
        let written = format!("workflows__{}__", name.replace('-', "_"));
        if let Some(rest) = key.strip_prefix(&written) {
            return format!("workflows__{name}__{rest}");
        }
    }
    key
}

impl Config {
    /// Reads every section. Whatever is no section is a mistake.
    fn from_layers(layers: &Layers, schema: &'static Schema) -> Result<Self, ConfigError> {
        let sections = schema.sections.iter().map(|section| section.name);
        let known: Vec<&str> = OWN.into_iter().chain(sections).collect();
        schema::nothing_but(layers, "", &known)?;
        Ok(Self {
            schema,
            database: extract(layers, "database")?,
            engine: extract(layers, "engine")?,
            http: extract(layers, "http")?,
            log: extract(layers, "log")?,
            embedded: extract(layers, "embedded")?,
            redis: extract(layers, "redis")?,
            fetch: extract(layers, "fetch")?,
            render: extract(layers, "render")?,
            extract: extract(layers, "extract")?,
            retention: Retention::read(layers, &schema.kept)?,
            schedules: Schedules::read(layers)?,
            workflows: Workflows::read(layers, &schema.workflows)?,
            sections: schema
                .sections
                .iter()
                .map(|section| Ok((section.name, (section.read)(layers, section.name)?)))
                .collect::<Result<_, ConfigError>>()?,
            written: layers.file.as_ref().map(Written::of).unwrap_or_default(),
        })
    }

    /// A section that a pipeline brought.
    ///
    /// # Panics
    /// When no pipeline brought it, which is a mistake of the program and found by its first test.
    #[must_use]
    pub fn section<S: Section>(&self) -> &S {
        self.sections
            .get(S::NAME)
            .and_then(|section| erased::get(&**section))
            .unwrap_or_else(|| unreachable!("no pipeline declares the section [{}]", S::NAME))
    }

    /// All of these, as they are now.
    #[must_use]
    pub fn sections(&self) -> settings::Sections {
        let all = self.sections.iter();
        settings::Sections::of(all.map(|(name, section)| (*name, section.kept())))
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// As [`Config::section`].
    pub fn section_mut<S: Section>(&mut self) -> &mut S {
        self.sections
            .get_mut(S::NAME)
            .and_then(|section| erased::get_mut(&mut **section))
            .unwrap_or_else(|| unreachable!("no pipeline declares the section [{}]", S::NAME))
    }

    /// Checks what goes across fields.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.engine.validate()?;
        for (key, value) in [
            ("redis.timeout", self.redis.timeout),
            ("redis.lease", self.redis.lease),
            ("redis.reconcile_interval", self.redis.reconcile_interval),
            ("database.connect_timeout", self.database.connect_timeout),
            (
                "database.statement_timeout",
                self.database.statement_timeout,
            ),
        ] {
            longer_than_zero(key, value)?;
        }
        self.redis
            .validate()
            .map_err(|error| inconsistent(error.key(), error.to_string()))?;
        self.database
            .check_urls()
            .map_err(|(key, error)| inconsistent(key, error.to_string()))?;
        if self.database.pool_size < 2 {
            return Err(inconsistent("database.pool_size", "must be at least 2"));
        }
        self.log
            .check_level()
            .map_err(|problem| inconsistent("log.level", problem))?;
        self.http.check()?;
        self.fetch
            .validate()
            .map_err(|error| inconsistent("fetch", error.to_string()))?;
        self.render
            .validate()
            .map_err(|(key, problem)| inconsistent(key, problem))?;
        self.retention.validate()?;
        self.schedules.validate()?;
        for (name, section) in &self.sections {
            section
                .check()
                .map_err(|(key, problem)| inconsistent(&format!("{name}.{key}"), problem))?;
        }
        self.workflows.validate()?;
        self.schema.checks.iter().try_for_each(|check| check(self))
    }

    /// The whole as it stands in a file: sections by name.
    fn value(&self) -> serde_json::Result<Value> {
        let mut sections = Map::new();
        let mut put = |name: &str, value: Value| drop(sections.insert(name.to_owned(), value));
        put("database", serde_json::to_value(&self.database)?);
        put("engine", serde_json::to_value(&self.engine)?);
        put("http", serde_json::to_value(&self.http)?);
        put("log", serde_json::to_value(&self.log)?);
        put("embedded", serde_json::to_value(&self.embedded)?);
        put("redis", serde_json::to_value(&self.redis)?);
        put("fetch", serde_json::to_value(&self.fetch)?);
        put("render", serde_json::to_value(&self.render)?);
        put("extract", serde_json::to_value(&self.extract)?);
        put("retention", self.retention.value()?);
        put(layers::SCHEDULES, self.schedules.value()?);
        put("workflows", self.workflows.value()?);
        for (name, section) in &self.sections {
            put(name, section.value()?);
        }
        Ok(Value::Object(sections))
    }
}

/// As it stands in a file, without secrets.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value()
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "figment::Jail's own signature")]
mod tests {
    use figment::Jail;

    use std::time::Duration;

    use super::*;
    use crate::areas;
    use crate::leads::deep_scan::DeepScan;

    fn with_file(jail: &mut Jail, text: &str) -> Result<Config, String> {
        jail.create_file("mine.toml", text)
            .expect("a file in the jail");
        let sources = Sources {
            file: Some("mine.toml".into()),
            flags: Vec::new(),
        };
        load(&sources, areas::schema()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_complete() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let config = load(&Sources::default(), areas::schema()).expect("the defaults");
            assert_eq!(
                config.workflows.of::<DeepScan>().interval,
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
            assert_eq!(config.workflows.of::<DeepScan>().batch_size.get(), 33);
            assert_eq!(config.workflows.of::<DeepScan>().concurrency.get(), 7);
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
                (
                    "[http]\nmax_connections_per_peer = 0\n",
                    "http.max_connections_per_peer",
                ),
                (
                    "[http]\nmax_connections_per_peer = 257\n",
                    "http.max_connections_per_peer",
                ),
                (
                    "[http]\ntrusted_proxies = [\"10.0.0.1\"]\n",
                    "http.trusted_proxies",
                ),
                (
                    "[bots]\nmax_bytes_in_flight = 4096\n",
                    "bots.max_bytes_in_flight",
                ),
                ("[log]\nlevel = \"in=fo=x\"\n", "log.level"),
                ("[engine\n", "mine.toml"),
                ("[retention]\ndaily = \"soon\"\n", "retention.daily"),
                ("[retention]\nresults = \"1h\"\n", "retention.results"),
                (
                    "[retention]\nresults = \"1000years\"\n",
                    "retention.results",
                ),
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
                load(&sources, areas::schema()),
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

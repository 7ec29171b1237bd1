//! Logs, and how an error is put into one line.
//!
//! Field names, the same everywhere: `workflow`, `item`, `attempt`, `node`, `lease`, `items`, `error`, `elapsed_ms`, `url` (never
//! with credentials). `error` = somebody must act, `warn` = degraded but handled, `info` = life-cycle and one line per batch at
//! most, `debug` the rest.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A level, or directives as `tracing-subscriber` takes them.
    pub level: String,
    /// Text or JSON.
    pub format: Format,
}

impl Config {
    /// Whether the level is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_level(&self) -> Result<(), String> {
        self.level.parse::<EnvFilter>().map(drop).map_err(|_error| {
            "must be error, warn, info, debug or trace, or directives such as info,gleaner=debug"
                .to_owned()
        })
    }
}

/// Changes the level of the log while it is written.
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Puts another level in force. The configuration has checked that it parses.
    pub fn set_level(&self, level: &str) {
        if let Ok(filter) = filter(level)
            && let Err(error) = self.0.reload(filter)
        {
            tracing::warn!(%error, "cannot change the level of the log");
        }
    }
}

/// The filter for a level, without the actor library's own spans around every line unless somebody asks for them.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(format!("ractor=warn,{level}"))
}

/// Starts logging to standard error.
///
/// # Errors
/// When the process logs already.
pub fn init(log: &Config) -> anyhow::Result<LogHandle> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let is_terminal = std::io::stderr().is_terminal();
    let lines = match log.format {
        Format::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(is_terminal)
            .with_target(false)
            .boxed(),
        Format::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(LogHandle(handle))
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        // Some libraries repeat their source in their own text.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_one_line() {
        let error = Outer(std::io::Error::other("inner"));
        assert_eq!(chain(&error), "outer: inner");
    }
}

//! What all commands have in common: what they take, how they answer, and how they say that something is wrong.

pub mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use crate::config::{self, Config, Schema, Sources};
use crate::db::connect::Connector;
use crate::db::{DbError, migrations};
use crate::settings::ConfigError;
use crate::telemetry::chain;

/// All went well.
pub const OK: u8 = 0;
/// Something failed.
pub const FAILURE: u8 = 1;
/// Bad configuration or arguments: starting again will not help.
pub const MISUSE: u8 = 2;

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file; only what differs from the defaults need be in it.
    #[arg(long, global = true, env = "GLEANER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Database to work on, instead of database.url.
    #[arg(long, global = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// What the configuration may hold; set by the command line, which knows all pipelines.
    #[arg(skip)]
    pub schema: Option<&'static Schema>,
}

impl Global {
    /// The layers above the defaults, with further flags on top.
    #[must_use]
    fn sources(&self, flags: Vec<(String, Value)>) -> Sources {
        let mut all = flags;
        if let Some(url) = &self.database_url {
            all.push(("database.url".to_owned(), json!(url)));
        }
        Sources {
            file: self.config.clone(),
            flags: all,
        }
    }

    /// The configuration in force, with what further flags set.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load_with(&self, flags: Vec<(String, Value)>) -> Result<Config, ConfigError> {
        let schema = self
            .schema
            .unwrap_or_else(|| unreachable!("the command line sets the schema"));
        config::load(&self.sources(flags), schema)
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.load_with(Vec::new())
    }
}

/// Arguments that are well-formed and cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// A connection to a database with a current schema, past any pooler.
pub async fn connect(config: &Config) -> Result<AsyncPgConnection, DbError> {
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect().await?;
    migrations::require_current(&mut connection).await?;
    Ok(connection)
}

/// Prints an error with its causes, and gives the exit code.
#[must_use]
pub fn fail(code: u8, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    complain(&chain(error));
    ExitCode::from(code)
}

/// One line to standard error. A reader that went away is no error; `eprintln` would panic.
pub fn complain(line: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "gleaner: {line}"));
}

/// One line to standard output. A reader that went away (`gleaner status | head`) is no error.
pub fn print(line: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stdout(), "{line}"));
}

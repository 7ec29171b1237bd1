//! What the pipelines bring to the configuration.

use std::fmt;

use figment::error::Kind;
use figment::value::Value;
use figment::{Error, Figment};
use serde::de::DeserializeOwned;

use super::Config;
use super::erased::Erased;
use crate::settings::{ConfigError, Options, Section};
use crate::workflow::Configured;

/// Reads what stands at a key as what it is.
type Read = fn(&Figment, &str) -> Result<Box<dyn Erased>, ConfigError>;

/// A section whose type a pipeline knows, or a workflow's options.
#[derive(Clone, Copy)]
pub struct Declared {
    pub(super) name: &'static str,
    pub(super) read: Read,
}

impl Declared {
    #[must_use]
    pub fn section<S: Section>() -> Self {
        Self {
            name: S::NAME,
            read: read::<S>,
        }
    }

    /// The options of a workflow.
    #[must_use]
    pub fn workflow<W: Configured>() -> Self {
        Self {
            name: W::NAME,
            read: read::<W::Options>,
        }
    }
}

fn read<O: Options>(layers: &Figment, key: &str) -> Result<Box<dyn Erased>, ConfigError> {
    Ok(Box::new(extract::<O>(layers, key)?))
}

/// What stands at a dotted key. An error names the whole key: figment puts what leads to the value behind what leads on from it.
pub(super) fn extract<T: DeserializeOwned>(layers: &Figment, key: &str) -> Result<T, ConfigError> {
    // What a file leaves out stands in the defaults, so this is the mistake of whoever brought the section in.
    if let Err(error) = layers.find_value(key)
        && matches!(error.kind, Kind::MissingField(_))
    {
        let message =
            format!("no such section: write [{key}] with all its keys into config/gleaner.toml");
        return Err(Error::from(Kind::Message(message)).with_path(key).into());
    }
    layers.extract_inner(key).map_err(|mut error| {
        let parts = key.split('.').count().min(error.path.len());
        error.path.rotate_right(parts);
        error.into()
    })
}

/// What must hold across sections.
pub type Check = fn(&Config) -> Result<(), ConfigError>;

/// What the pipelines bring to the configuration, all together.
pub struct Schema {
    /// Their workflows, in the order in which they are shown.
    pub workflows: Vec<Declared>,
    pub sections: Vec<Declared>,
    /// What they keep for a time: keys of `[retention]`.
    pub kept: Vec<&'static str>,
    /// What must hold across sections.
    pub checks: Vec<Check>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

/// Refuses keys of the table at `path` (empty for the whole) that are none of `known`, as serde does for a struct.
pub(super) fn nothing_but(layers: &Figment, path: &str, known: &[&str]) -> Result<(), ConfigError> {
    let Value::Dict(_, table) = layers.find_value(path)? else {
        return Ok(());
    };
    let Some((key, value)) = table.iter().find(|(key, _)| !known.contains(&key.as_str())) else {
        return Ok(());
    };
    let known = known.join("`, `");
    let message = format!("unknown field: found `{key}`, expected one of `{known}`");
    let mut error = Error::from(Kind::Message(message)).with_path(path);
    error.metadata = layers.get_metadata(value.tag()).cloned();
    Err(error.into())
}

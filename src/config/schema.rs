//! What the pipelines bring to the configuration.

use std::fmt;

use figment::error::Kind;
use figment::value::Value;
use serde::de::DeserializeOwned;

use super::Config;
use super::erased::Erased;
use super::layers::Layers;
use crate::settings::{ConfigError, Options, Section, inconsistent};
use crate::workflow::Configured;

/// Reads what stands at a key as what it is.
type Read = fn(&Layers, &str) -> Result<Box<dyn Erased>, ConfigError>;

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

fn read<O: Options>(layers: &Layers, key: &str) -> Result<Box<dyn Erased>, ConfigError> {
    Ok(Box::new(extract::<O>(layers, key)?))
}

/// What stands at a dotted key. An error names the whole key.
pub(super) fn extract<T: DeserializeOwned>(layers: &Layers, key: &str) -> Result<T, ConfigError> {
    // What a file leaves out stands in the defaults, so this is the mistake of whoever brought the section in.
    if let Err(error) = layers.merged.find_value(key)
        && matches!(error.kind, Kind::MissingField(_))
    {
        let problem =
            format!("no such section: write [{key}] with all its keys into config/gleaner.toml");
        return Err(inconsistent(key, problem));
    }
    let found = layers.merged.extract_inner(key);
    found.map_err(|error| layers.explain(key, &error))
}

/// What must hold across sections.
pub type Check = Box<dyn Fn(&Config) -> Result<(), ConfigError> + Send + Sync>;

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
pub(super) fn nothing_but(layers: &Layers, path: &str, known: &[&str]) -> Result<(), ConfigError> {
    let found = layers.merged.find_value(path);
    let Value::Dict(_, table) = found.map_err(|error| layers.explain(path, &error))? else {
        return Ok(());
    };
    let path: Vec<String> = path
        .split('.')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let strangers: Vec<_> = table
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .map(|key| layers.stranger(&path, key, known))
        .collect();
    if strangers.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Invalid(strangers))
    }
}

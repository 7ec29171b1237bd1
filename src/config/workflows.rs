//! The sections `[workflows.…]`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gleaner_actors::Settings;
use serde_json::{Map, Value};

use super::erased::{self, Erased};
use super::layers::Layers;
use super::schema::{Declared, extract, nothing_but};
use crate::settings::{self, Backoff, ConfigError, inconsistent};
use crate::workflow::{Configured, Workflow};

/// What each workflow is told: what all have, and options of its own.
#[derive(Clone, Debug)]
pub struct Workflows(BTreeMap<&'static str, Own>);

#[derive(Clone, Debug)]
struct Own {
    common: settings::Workflow,
    options: Box<dyn Erased>,
}

impl Workflows {
    /// Reads the section of every workflow.
    pub(super) fn read(layers: &Layers, workflows: &[Declared]) -> Result<Self, ConfigError> {
        let known: Vec<&str> = workflows.iter().map(|workflow| workflow.name).collect();
        nothing_but(layers, "workflows", &known)?;
        let sections = workflows.iter().map(|workflow| {
            let key = format!("workflows.{}", workflow.name);
            let own = Own {
                common: extract(layers, &key)?,
                options: (workflow.read)(layers, &format!("{key}.options"))?,
            };
            Ok((workflow.name, own))
        });
        sections.collect::<Result<_, ConfigError>>().map(Self)
    }

    fn own(&self, name: &str) -> &Own {
        self.0
            .get(name)
            .unwrap_or_else(|| unreachable!("the workflow {name} is in no pipeline's list"))
    }

    fn own_mut(&mut self, name: &str) -> &mut Own {
        self.0
            .get_mut(name)
            .unwrap_or_else(|| unreachable!("the workflow {name} is in no pipeline's list"))
    }

    /// What all workflows have, of this one.
    ///
    /// # Panics
    /// For a workflow that is in no pipeline's list, which is a mistake of the program and found by its first test.
    #[must_use]
    pub fn of<W: Workflow>(&self) -> &settings::Workflow {
        &self.own(W::NAME).common
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// As [`Workflows::of`].
    pub fn of_mut<W: Workflow>(&mut self) -> &mut settings::Workflow {
        &mut self.own_mut(W::NAME).common
    }

    /// A workflow's own options.
    ///
    /// # Panics
    /// As [`Workflows::of`].
    #[must_use]
    pub fn options<W: Configured>(&self) -> &W::Options {
        erased::get(&*self.own(W::NAME).options)
            .unwrap_or_else(|| unreachable!("two workflows are called {}", W::NAME))
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// As [`Workflows::of`].
    pub fn options_mut<W: Configured>(&mut self) -> &mut W::Options {
        erased::get_mut(&mut *self.own_mut(W::NAME).options)
            .unwrap_or_else(|| unreachable!("two workflows are called {}", W::NAME))
    }

    /// Checks every section.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (name, own) in &self.0 {
            own.common.validate(&format!("workflows.{name}"))?;
            own.options.check().map_err(|(key, problem)| {
                inconsistent(&format!("workflows.{name}.options.{key}"), problem)
            })?;
        }
        Ok(())
    }

    /// Every workflow's settings, in the engine's terms.
    #[must_use]
    pub fn settings(&self, engine: &settings::Engine) -> HashMap<String, Settings> {
        let all = self.0.iter();
        all.map(|(name, own)| ((*name).to_owned(), own.common.settings(engine)))
            .collect()
    }

    /// Switches off every workflow that is not named.
    pub fn keep_only(&mut self, names: &[String]) {
        for (name, own) in &mut self.0 {
            own.common.enabled &= names.iter().any(|kept| kept == name);
        }
    }

    /// Gives every workflow the same backoff.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        for own in self.0.values_mut() {
            own.common.backoff = backoff;
        }
    }

    /// Gives every workflow the same fallback interval.
    pub fn set_interval(&mut self, interval: Duration) {
        for own in self.0.values_mut() {
            own.common.interval = interval;
        }
    }

    /// As it stands in a file.
    pub(super) fn value(&self) -> serde_json::Result<Value> {
        let sections = self.0.iter().map(|(name, own)| {
            let mut section = serde_json::to_value(&own.common)?;
            section["options"] = own.options.value()?;
            Ok(((*name).to_owned(), section))
        });
        sections
            .collect::<serde_json::Result<Map<_, _>>>()
            .map(Value::Object)
    }
}

//! The sections `[schedules.…]`: as many as people write, under names of their own.

use std::collections::BTreeMap;

use figment::value::Value as Found;
use serde_json::{Map, Value};

use super::layers::{Layers, SCHEDULES};
use super::schema::extract;
use crate::settings::{ConfigError, inconsistent};
use crate::store::schedule::Schedule;
use crate::store::schedule::definition::{Defined, is_name};

/// Schedules, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedules(BTreeMap<String, Schedule>);

impl Schedules {
    /// Reads each of them.
    pub(super) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let found = layers.merged.find_value(SCHEDULES);
        let names: Vec<String> = match found.map_err(|error| layers.explain(SCHEDULES, &error))? {
            Found::Dict(_, table) => table.into_keys().collect(),
            _ => {
                return Err(inconsistent(
                    SCHEDULES,
                    "expected a table for each schedule",
                ));
            }
        };
        let schedules = names.into_iter().map(|name| {
            if !is_name(&name) {
                return Err(inconsistent(
                    SCHEDULES,
                    "the name of a schedule has 1 to 63 letters a to z, digits, - and _, and begins with a letter or digit",
                ));
            }
            let schedule = extract(layers, &format!("{SCHEDULES}.{name}"))?;
            Ok((name, schedule))
        });
        schedules.collect::<Result<_, ConfigError>>().map(Self)
    }

    /// Those that are enabled, by name.
    #[must_use]
    pub fn defined(&self) -> Vec<Defined> {
        let enabled = self.0.iter().filter(|(_, schedule)| schedule.enabled);
        // All of them were checked before the configuration was taken.
        enabled
            .filter_map(|(name, schedule)| schedule.define(name).ok())
            .collect()
    }

    /// The schedule of this name, enabled or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Schedule> {
        self.0.get(name)
    }

    /// The names of all, enabled or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds a schedule, or replaces the one of this name.
    pub fn set(&mut self, name: &str, schedule: Schedule) {
        self.0.insert(name.to_owned(), schedule);
    }

    /// Takes a schedule away.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for (name, schedule) in &self.0 {
            schedule
                .define(name)
                .map_err(|(key, told)| inconsistent(&format!("{SCHEDULES}.{name}.{key}"), told))?;
        }
        Ok(())
    }

    /// As they stand in a file.
    pub(super) fn value(&self) -> serde_json::Result<Value> {
        let sections = self
            .0
            .iter()
            .map(|(name, schedule)| Ok((name.clone(), serde_json::to_value(schedule)?)));
        sections
            .collect::<serde_json::Result<Map<_, _>>>()
            .map(Value::Object)
    }
}

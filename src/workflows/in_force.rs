//! The workflows in force: those of the program and those that its configuration makes, in one list, which a reload replaces. Whoever
//! lists workflows, or looks for one, asks it.

use std::collections::{BTreeSet, HashMap};
use std::slice;
use std::sync::Arc;

use gleaner_actors::Settings;

use super::Known;
use crate::config::Config;
use crate::settings::{ConfigError, inconsistent};
use crate::store::stage::Stage;
use crate::workflow::made::Made;

/// A workflow in force.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: Arc<str>,
    /// Where it claims.
    pub stage: Stage,
    /// The table that takes what it finds, where a pipeline ends with it.
    pub ends_in: Option<Arc<str>>,
    /// What it is told, in the engine's terms.
    pub settings: Settings,
}

/// All of them, in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    all: Vec<Listed>,
    by_stage: HashMap<String, usize>,
}

impl InForce {
    /// The program's workflows and those that a configuration makes, as it has them.
    #[must_use]
    pub fn of(known: &[Known], made: &[Made], config: &Config) -> Self {
        let mut settings = config.workflows.settings(&config.engine);
        let known = known.iter().map(|known| Listed {
            name: known.name.into(),
            stage: known.stage.clone(),
            ends_in: known.ends_in.map(Into::into),
            settings: settings.remove(known.name).unwrap_or_default(),
        });
        let made = made.iter().map(|made| Listed {
            name: Arc::clone(&made.name),
            stage: made.stage.clone(),
            ends_in: made.ends_in.clone(),
            settings: config
                .workflows
                .adjusted(&made.name, &made.common)
                .settings(&config.engine),
        });
        let all: Vec<Listed> = known.chain(made).collect();
        let by_stage = all
            .iter()
            .enumerate()
            .map(|(place, listed)| (listed.stage.name(), place))
            .collect();
        Self { all, by_stage }
    }

    /// One after the other.
    pub fn iter(&self) -> slice::Iter<'_, Listed> {
        self.all.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.iter().find(|listed| &*listed.name == name)
    }

    /// The one that works this stage, `table/stage`.
    #[must_use]
    pub fn of_stage(&self, stage: &str) -> Option<&Listed> {
        self.all.get(*self.by_stage.get(stage)?)
    }

    /// Their names, in words.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.iter().map(|listed| &*listed.name).collect();
        names.join(", ")
    }

    /// The tables that they claim from, each once.
    #[must_use]
    pub fn tables(&self) -> Vec<&str> {
        let tables: BTreeSet<&str> = self.iter().map(|listed| listed.stage.table()).collect();
        tables.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a InForce {
    type Item = &'a Listed;
    type IntoIter = slice::Iter<'a, Listed>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Checks what a configuration makes: their settings, and that no two workflows have a name or a stage in common. `known` are the
/// names of the program's own, and their stages.
///
/// # Errors
/// [`ConfigError::Inconsistent`] naming the section, and what is wrong with it.
pub fn check(known: &[(String, String)], made: &[Made]) -> Result<(), ConfigError> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut stages: HashMap<String, &str> = HashMap::new();
    for (name, stage) in known {
        names.insert(name, name);
        stages.insert(stage.clone(), name);
    }
    for one in made {
        one.common.validate(&one.section)?;
        check_name(one)?;
        if names.insert(&one.name, &one.section).is_some() {
            let problem = format!(
                "there is a workflow called {:?} already: give it another name",
                one.name
            );
            return Err(inconsistent(&one.section, problem));
        }
        let stage = one.stage.name();
        if let Some(other) = stages.insert(stage.clone(), &one.section) {
            let problem = format!(
                "the stage {stage} is worked by {other} already: a stage has one workflow, add another stage to the table"
            );
            return Err(inconsistent(&one.section, problem));
        }
    }
    Ok(())
}

/// Longest name of a workflow.
const LONGEST_NAME: usize = 63;

/// What stands in paths, labels and dotted keys is made of few letters.
fn check_name(made: &Made) -> Result<(), ConfigError> {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let name = &*made.name;
    let is_good = name.starts_with(is_letter)
        && name.ends_with(is_letter)
        && name
            .chars()
            .all(|letter| is_letter(letter) || letter == '-')
        && name.len() <= LONGEST_NAME;
    if is_good {
        return Ok(());
    }
    let problem = format!(
        "the name of a workflow is made of a-z, 0-9 and hyphens between them, {LONGEST_NAME} at most"
    );
    Err(inconsistent(&made.section, problem))
}

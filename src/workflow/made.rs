//! Workflows that the configuration makes: known once it is read, under names of its own, and others after the next reload.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::Services;
use super::erased::Erased;
use crate::settings;
use crate::store::stage::Stage;

/// All that makes a workflow what it is, but for what every workflow can be told.
///
/// Two that are equal make the same workflow, so a reload leaves the one that runs in its place. Where they differ, it is drained and
/// made again.
pub trait Recipe: PartialEq + Send + Sync + 'static {
    /// The stage that it works.
    fn stage(&self) -> Stage;

    /// The table that takes what it finds, where a pipeline ends with it.
    fn ends_in(&self) -> Option<Arc<str>> {
        None
    }

    /// Makes it. This costs little and cannot fail: what the workflow lacks it says when it is asked whether it is
    /// [ready](super::Workflow::ready), and is idle until a reload mends it.
    fn make(&self, services: &Services) -> Box<dyn Erased>;
}

/// A workflow that the configuration makes.
#[derive(Clone)]
pub struct Made {
    /// Its name. No other workflow of the program has it.
    pub name: Arc<str>,
    /// The section of the configuration that it stands in, such as `custom.invoice-ocr`.
    pub section: String,
    /// What every workflow has.
    pub common: settings::Workflow,
    /// The stage that it works. No other workflow of the program works it.
    pub stage: Stage,
    /// As [`Recipe::ends_in`].
    pub ends_in: Option<Arc<str>>,
    recipe: Arc<dyn AnyRecipe>,
}

impl Made {
    /// From this recipe.
    pub fn new(
        name: impl Into<Arc<str>>,
        section: impl Into<String>,
        common: settings::Workflow,
        recipe: impl Recipe,
    ) -> Self {
        Self {
            name: name.into(),
            section: section.into(),
            common,
            stage: recipe.stage(),
            ends_in: recipe.ends_in(),
            recipe: Arc::new(recipe),
        }
    }

    /// Whether one that runs can go on as the other, with other settings at most.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        self.name == other.name && self.recipe.is_equal(&*other.recipe)
    }

    pub(crate) fn make(&self, services: &Services) -> Box<dyn Erased> {
        self.recipe.make(services)
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Made").field(&self.name).finish()
    }
}

trait AnyRecipe: Any + Send + Sync {
    fn is_equal(&self, other: &dyn AnyRecipe) -> bool;
    fn make(&self, services: &Services) -> Box<dyn Erased>;
}

impl<R: Recipe> AnyRecipe for R {
    fn is_equal(&self, other: &dyn AnyRecipe) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }

    fn make(&self, services: &Services) -> Box<dyn Erased> {
        Recipe::make(self, services)
    }
}

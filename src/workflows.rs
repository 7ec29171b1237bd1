//! The workflows of the program as the rest of it sees them: each in the same form, whatever it takes and yields, and whether it was
//! compiled in or made from the configuration.

mod in_force;
mod registry;

use std::fmt;
use std::sync::Arc;

use gleaner_actors::{Member, Settings};

use crate::config::{Config, Declared};
use crate::db::Pool;
use crate::live::Live;
use crate::pipeline::Pipeline;
use crate::store::stage::{Frontiers, Stage};
use crate::workflow::{Configured, Services};

pub use in_force::{InForce, Listed, check};
pub use registry::{Plan, Registry};

/// A workflow that is compiled into the program.
pub struct Known {
    pub name: &'static str,
    /// Where it claims.
    pub stage: Stage,
    /// The table that takes what it finds, where a pipeline ends with it.
    pub ends_in: Option<&'static str>,
    /// As [`Configured::SAMPLE`].
    pub sample: &'static str,
    /// As [`Configured::JOURNALS`].
    pub journals: &'static [&'static str],
    /// Its options in the configuration.
    pub declared: Declared,
    build: fn(&Config, &Surroundings<'_>) -> (Box<dyn Replace>, Member),
}

/// What a workflow is built into.
pub struct Surroundings<'a> {
    pub services: &'a Services,
    pub pool: &'a Pool,
    /// This process.
    pub node: i64,
    /// From where the rows of each stage are claimed.
    pub frontiers: &'a Frontiers,
}

impl Known {
    /// This workflow.
    #[must_use]
    pub fn of<W: Configured>() -> Self {
        Self {
            name: W::NAME,
            stage: W::stage(),
            ends_in: W::ENDS_IN,
            sample: W::SAMPLE,
            journals: W::JOURNALS,
            declared: Declared::workflow::<W>(),
            build: build::<W>,
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.name).finish()
    }
}

/// The one of this name.
#[must_use]
pub fn find<'a>(workflows: &'a [Known], name: &str) -> Option<&'a Known> {
    workflows.iter().find(|workflow| workflow.name == name)
}

/// What of a workflow a reload replaces while it runs.
trait Replace: Send + Sync {
    fn replace(&self, config: &Config);
}

struct Running<W: Configured> {
    settings: Live<Settings>,
    options: Live<W::Options>,
}

impl<W: Configured> Replace for Running<W> {
    fn replace(&self, config: &Config) {
        self.settings
            .set(config.workflows.of::<W>().settings(&config.engine));
        self.options.set(config.workflows.options::<W>().clone());
    }
}

fn build<W: Configured>(config: &Config, around: &Surroundings<'_>) -> (Box<dyn Replace>, Member) {
    let settings = config.workflows.of::<W>().settings(&config.engine);
    let running = Running::<W> {
        settings: Live::new(settings.clone()),
        options: Live::new(config.workflows.options::<W>().clone()),
    };
    let workflow = W::new(around.services, running.options.clone());
    let port = Pipeline::new(
        workflow,
        around.pool.clone(),
        around.node,
        running.settings.clone(),
    )
    .past(around.frontiers.get(&W::stage()));
    let member = Member::workflow(W::NAME, Arc::new(port), settings);
    (Box::new(running), member)
}

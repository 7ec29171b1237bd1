//! The workflows of the program as the rest of it sees them: each in the same form, whatever it takes and yields.

use std::fmt;
use std::sync::Arc;

use gleaner_actors::{Member, Settings};

use crate::config::{Config, Declared};
use crate::db::Pool;
use crate::live::Live;
use crate::pipeline::Pipeline;
use crate::store::stage::{Frontiers, Stage};
use crate::workflow::{Configured, Services};

/// A workflow of the program.
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
    build: fn(&Surroundings<'_>) -> (Box<dyn Replace>, Member),
}

/// What a workflow is built into.
struct Surroundings<'a> {
    config: &'a Config,
    services: &'a Services,
    pool: &'a Pool,
    node: i64,
    frontiers: &'a Frontiers,
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

#[must_use]
pub fn find<'a>(workflows: &'a [Known], name: &str) -> Option<&'a Known> {
    workflows.iter().find(|workflow| workflow.name == name)
}

/// Their names, in words.
#[must_use]
pub fn names(workflows: &[Known]) -> String {
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow.name).collect();
    names.join(", ")
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

fn build<W: Configured>(around: &Surroundings<'_>) -> (Box<dyn Replace>, Member) {
    let config = around.config;
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

/// The workflows that run, for reloads.
pub struct Registry(Vec<Box<dyn Replace>>);

impl Registry {
    /// Builds every workflow behind its pipeline, ready to be put into the tree.
    #[must_use]
    pub fn build(
        workflows: &[Known],
        config: &Config,
        services: &Services,
        pool: &Pool,
        node: i64,
        frontiers: &Frontiers,
    ) -> (Self, Vec<Member>) {
        let around = Surroundings {
            config,
            services,
            pool,
            node,
            frontiers,
        };
        let (running, members) = workflows
            .iter()
            .map(|workflow| (workflow.build)(&around))
            .unzip();
        (Self(running), members)
    }

    /// Replaces settings and options by those of a new configuration.
    pub fn reload(&self, config: &Config) {
        for running in &self.0 {
            running.replace(config);
        }
    }
}

//! The workflows that run, for reloads: what of each is replaced while it runs, and which of those that the configuration makes come,
//! go, and are made again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gleaner_actors::{Member, Settings};

use super::in_force::{InForce, Listed};
use super::{Known, Replace, Surroundings};
use crate::config::Config;
use crate::live::Live;
use crate::pipeline::Pipeline;
use crate::workflow::made::Made;

/// The workflows that run.
pub struct Registry {
    known: Vec<Box<dyn Replace>>,
    made: HashMap<Arc<str>, Standing>,
}

/// A workflow that was made, in the tree.
struct Standing {
    made: Made,
    settings: Live<Settings>,
}

/// What a reload comes to among those that are made.
#[derive(Default)]
pub struct Plan {
    /// New ones, and those that are made again, ready to be put into the tree.
    pub add: Vec<Member>,
    /// Those that go, and those that are made again.
    pub remove: BTreeSet<String>,
    stand: HashMap<Arc<str>, Standing>,
}

impl Plan {
    /// Whether the tree takes a workflow in, with its settings; if not, it is there and is told them.
    #[must_use]
    pub fn adds(&self, name: &str) -> bool {
        self.stand.contains_key(name)
    }

    /// The names of those that are taken in.
    pub fn added(&self) -> impl Iterator<Item = &Arc<str>> {
        self.stand.keys()
    }
}

impl Registry {
    /// Builds every workflow behind its pipeline, ready to be put into the tree.
    #[must_use]
    pub fn build(
        known: &[Known],
        made: &[Made],
        config: &Config,
        around: &Surroundings<'_>,
    ) -> (Self, Vec<Member>) {
        let (known_running, mut members): (Vec<_>, Vec<_>) = known
            .iter()
            .map(|workflow| (workflow.build)(config, around))
            .unzip();
        let mut registry = Self {
            known: known_running,
            made: HashMap::new(),
        };
        let in_force = InForce::of(known, made, config);
        let mut plan = registry.plan(made, &in_force, around);
        members.append(&mut plan.add);
        registry.commit(plan);
        (registry, members)
    }

    /// What it takes to have these and no others of those that are made.
    #[must_use]
    pub fn plan(&self, made: &[Made], in_force: &InForce, around: &Surroundings<'_>) -> Plan {
        let mut plan = Plan::default();
        let wanted: HashMap<&str, &Made> = made.iter().map(|made| (&*made.name, made)).collect();
        for (name, standing) in &self.made {
            let stays = wanted
                .get(&**name)
                .is_some_and(|made| made.is_alike(&standing.made));
            if !stays {
                plan.remove.insert(name.to_string());
            }
        }
        for made in made {
            let stays = self.made.contains_key(&made.name) && !plan.remove.contains(&*made.name);
            let Some(listed) = in_force.find(&made.name).filter(|_| !stays) else {
                continue;
            };
            let (standing, member) = build(made, listed, around);
            plan.add.push(member);
            plan.stand.insert(Arc::clone(&made.name), standing);
        }
        plan
    }

    /// Replaces settings and options by those of a new configuration.
    pub fn reload(&self, config: &Config, in_force: &InForce) {
        for running in &self.known {
            running.replace(config);
        }
        for (name, standing) in &self.made {
            if let Some(listed) = in_force.find(name) {
                standing.settings.set(listed.settings.clone());
            }
        }
    }

    /// The tree has taken a plan up.
    pub fn commit(&mut self, plan: Plan) {
        self.made.retain(|name, _| !plan.remove.contains(&**name));
        self.made.extend(plan.stand);
    }
}

fn build(made: &Made, listed: &Listed, around: &Surroundings<'_>) -> (Standing, Member) {
    let settings = Live::new(listed.settings.clone());
    // One that is made again begins at the front, as a start does.
    let frontier = around.frontiers.get(&made.stage);
    frontier.forget();
    let port = Pipeline::of(
        Arc::clone(&made.name),
        made.make(around.services),
        made.stage.clone(),
        around.pool.clone(),
        around.node,
        settings.clone(),
    )
    .past(frontier);
    let name = Arc::clone(&made.name);
    let member = Member::workflow(name, Arc::new(port), listed.settings.clone());
    let standing = Standing {
        made: made.clone(),
        settings,
    };
    (standing, member)
}

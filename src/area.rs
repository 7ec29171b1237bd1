//! What a pipeline brings to the program: an area of its own, in one folder, under one name.
//!
//! An area is a static that stands on top of its folder (`leads::AREA`) and is listed in `areas.rs`. The rest of the program
//! knows areas in this form only, so a new one changes nothing outside its folder but that list.

pub mod check;
pub mod rehearsal;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::Member;

use self::check::Check;
use self::rehearsal::{Plan, Rehearsal};
use crate::app::state::Shared;
use crate::config::{self, Config, Declared, Schema};
use crate::db::DbError;
use crate::http::{Routes, StatusPart};
use crate::settings::ConfigError;
use crate::store::prune;
use crate::workflow::made::Made;
use crate::workflows::{self, InForce, Known};

/// Looks at what `gleaner doctor` tells of an area.
pub type Examine = for<'a> fn(&'a Config, &'a mut AsyncPgConnection) -> Examined<'a>;
/// What was seen.
pub type Examined<'a> = BoxFuture<'a, Result<Vec<Check>, DbError>>;

/// What a pipeline brings.
pub struct Area {
    /// Its name, which is its folder's.
    pub name: &'static str,
    /// Its workflows, in the order in which rows pass through them.
    pub workflows: fn() -> Vec<Known>,
    /// Workflows that the configuration makes of it, beside these. Asked of configurations that its `check` has passed, and again at
    /// every reload.
    pub made: fn(&Config) -> Vec<Made>,
    /// Its sections of the configuration.
    pub sections: fn() -> Vec<Declared>,
    /// What must hold across sections.
    pub check: fn(&Config) -> Result<(), ConfigError>,
    /// Its periodic work.
    pub tickers: fn(&Arc<Shared>) -> Vec<Member>,
    /// What of its tables gets old.
    pub kept: &'static [prune::Kind],
    /// What it serves over HTTP. Called once, when the actors stand.
    pub routes: fn(&Arc<Shared>) -> Routes,
    /// An address for what it serves to outsiders, beside the common one, if there is to be one.
    pub outside: fn(&Config) -> Result<Option<SocketAddr>, ConfigError>,
    /// What it adds to the status document.
    pub status: Option<StatusPart>,
    /// Names of workflows for which something waits that PostgreSQL does not know of yet.
    pub waits_elsewhere: for<'a> fn(&'a Shared) -> BoxFuture<'a, Vec<&'static str>>,
    /// Its part in the demo, if it has one in what that is to show.
    pub rehearse: fn(&Plan) -> Option<Box<dyn Rehearsal>>,
    /// Describes its metrics, and shows its counters from the start.
    pub metrics: fn(),
    /// What `gleaner doctor` looks at for it.
    pub examine: Examine,
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Area").field(&self.name).finish()
    }
}

/// Some areas, and what they bring together: those of the program, or of a test that adds one of its own.
#[derive(Debug)]
pub struct Areas {
    each: Vec<&'static Area>,
    workflows: Vec<Known>,
    schema: Schema,
}

impl Areas {
    /// These, in the order in which they are shown.
    #[must_use]
    pub fn of(each: &[&'static Area]) -> Self {
        let workflows: Vec<Known> = each.iter().flat_map(|area| (area.workflows)()).collect();
        let kept = each.iter().flat_map(|area| area.kept);
        let known: Vec<(String, String)> = workflows
            .iter()
            .map(|known| (known.name.to_owned(), known.stage.name()))
            .collect();
        let all: Vec<&'static Area> = each.to_vec();
        let checks = each.iter().map(|area| area.check);
        let mut checks: Vec<config::Check> = checks.map(|check| Box::new(check) as _).collect();
        // Last: what is made of a section that is wrong is not looked at.
        checks.push(Box::new(move |config| {
            workflows::check(&known, &made(&all, config))
        }));
        let schema = Schema {
            workflows: workflows.iter().map(|known| known.declared).collect(),
            sections: each.iter().flat_map(|area| (area.sections)()).collect(),
            kept: kept.map(|kind| kind.key).collect(),
            checks,
        };
        Self {
            each: each.to_vec(),
            workflows,
            schema,
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'static Area> {
        self.each.iter().copied()
    }

    /// All that are compiled in, in the order of the pipelines.
    #[must_use]
    pub fn workflows(&self) -> &[Known] {
        &self.workflows
    }

    /// The workflows that a configuration makes of them.
    #[must_use]
    pub fn made(&self, config: &Config) -> Vec<Made> {
        made(&self.each, config)
    }

    /// All workflows that there are with a configuration.
    #[must_use]
    pub fn in_force(&self, config: &Config) -> InForce {
        InForce::of(&self.workflows, &self.made(config), config)
    }

    /// What of their tables gets old.
    pub fn kept(&self) -> impl Iterator<Item = &'static prune::Kind> {
        self.iter().flat_map(|area| area.kept)
    }

    /// What they bring to the configuration.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

fn made(areas: &[&Area], config: &Config) -> Vec<Made> {
    areas.iter().flat_map(|area| (area.made)(config)).collect()
}

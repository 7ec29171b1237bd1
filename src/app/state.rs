//! The state of a running program, as its parts share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use gleaner_actors::Tree;
use gleaner_actors::port::PortError;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::callback::Callbacks;
use crate::config::{Change, Config};
use crate::db::{Pool, PooledConnection};
use crate::live::Live;
use crate::redis::Redis;
use crate::store::pin::Holder;
use crate::store::stage::{Frontiers, Gauge};
use crate::workflows::Known;

/// What the tickers share with each other, with the listener and with the HTTP side.
pub struct Shared {
    /// The pool of connections.
    pub pool: Pool,
    /// Where the actors run, and where the connections of the pool live.
    pub home: Handle,
    /// This process.
    pub node: i64,
    /// The configuration in force.
    pub config: Live<Config>,
    /// What was changed in the file since the start and waits for the next one.
    pub pending: Live<Vec<Change>>,
    /// Keys that the file of the last reload no longer set.
    pub taken_away: Live<Vec<String>>,
    /// Why the last reload was refused, until one succeeds.
    pub reload_failure: Live<Option<String>>,
    /// The Redis that the processes share, if there is one.
    pub redis: Option<Redis>,
    /// All workflows of the program.
    pub workflows: &'static [Known],
    /// Answers that come later.
    pub callbacks: Callbacks,
    /// From where this process claims the rows of each stage.
    pub frontiers: Frontiers,
    /// Who pins row versions, as last seen.
    pub pins: Live<Vec<Holder>>,
    /// The tree, once it stands: its tickers are built before it.
    tree: OnceLock<Tree>,
    queues: Mutex<HashMap<&'static str, Gauge>>,
    pub(crate) controls: tokio::sync::Mutex<Applied>,
    /// Told whenever rows of a stage may have come due: whoever waits for one looks again.
    due: HashMap<String, Arc<Notify>>,
}

impl Shared {
    /// Before the tree stands. Panics outside of a runtime: it is that of the actors.
    #[must_use]
    pub fn new(
        pool: Pool,
        node: i64,
        config: Live<Config>,
        redis: Option<Redis>,
        workflows: &'static [Known],
    ) -> Arc<Self> {
        Arc::new(Self {
            callbacks: Callbacks::new(pool.clone(), node),
            pool,
            home: Handle::current(),
            node,
            config,
            pending: Live::new(Vec::new()),
            taken_away: Live::new(Vec::new()),
            reload_failure: Live::new(None),
            redis,
            workflows,
            frontiers: Frontiers::of(workflows.iter().map(|workflow| &workflow.stage)),
            pins: Live::new(Vec::new()),
            tree: OnceLock::new(),
            queues: Mutex::default(),
            controls: tokio::sync::Mutex::default(),
            due: workflows
                .iter()
                .map(|workflow| (workflow.stage.name(), Arc::default()))
                .collect(),
        })
    }

    /// To be called once, when the tree stands.
    pub fn set_tree(&self, tree: Tree) {
        // A second call would be a mistake of the wiring; the first tree stays.
        drop(self.tree.set(tree));
    }

    /// The tree, if it stands.
    #[must_use]
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.get()
    }

    /// Told whenever rows of this stage may have come due; `None` for a stage that no workflow works.
    #[must_use]
    pub fn due(&self, stage: &str) -> Option<Arc<Notify>> {
        self.due.get(stage).map(Arc::clone)
    }

    /// The queues as they were last counted.
    #[must_use]
    pub fn queues(&self) -> HashMap<&'static str, Gauge> {
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_queue(&self, workflow: &'static str, gauge: Gauge) {
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(workflow, gauge);
    }

    pub(crate) async fn connection(&self) -> Result<PooledConnection, PortError> {
        self.pool.get().await.map_err(PortError::unavailable)
    }
}

/// What operators have asked for, as far as it has been brought to the actors.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Requests made before this node started are none of its business.
    pub(crate) has_started: bool,
    pub(crate) paused: HashMap<String, bool>,
    pub(crate) run: HashMap<String, DateTime<Utc>>,
    pub(crate) unpark: HashMap<String, DateTime<Utc>>,
}

//! The state of a running program, as its parts share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gleaner_actors::Tree;
use gleaner_actors::port::PortError;

use crate::config::Config;
use crate::db::{Pool, PooledConnection};
use crate::live::Live;
use crate::prices::queue::Queue;
use crate::store::stage::Gauge;

/// What the tickers share with each other, with the listener and with the HTTP side.
pub struct Shared {
    /// The pool of connections.
    pub pool: Pool,
    /// This process.
    pub node: i64,
    /// The configuration in force.
    pub config: Live<Config>,
    /// The auto-record queue in Redis, if there is one.
    pub queue: Queue,
    /// The tree, once it stands: its tickers are built before it.
    tree: OnceLock<Tree>,
    queues: Mutex<HashMap<&'static str, Gauge>>,
    pub(crate) controls: tokio::sync::Mutex<crate::upkeep::Applied>,
    /// Told whenever crawl jobs may have come due: whoever waits for one looks again.
    pub jobs_due: tokio::sync::Notify,
}

impl Shared {
    /// Before the tree stands.
    #[must_use]
    pub fn new(pool: Pool, node: i64, config: Live<Config>, queue: Queue) -> Arc<Self> {
        Arc::new(Self {
            pool,
            node,
            config,
            queue,
            tree: OnceLock::new(),
            queues: Mutex::default(),
            controls: tokio::sync::Mutex::default(),
            jobs_due: tokio::sync::Notify::new(),
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
        self.pool.get().await.map_err(crate::upkeep::unavailable)
    }
}

//! The tickers: periodic work beside the workflows, under the same supervision, on every node.
//!
//! All of it is safe on any number of nodes at once: a statement takes what it can lock, and what must happen once in all is
//! decided by a row of `schedule`.

mod controls;
mod crawl_scheduler;
mod gauges;
mod housekeeping;
mod pattern_health;
mod queue;
mod retention;
mod timeout_checker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gleaner_actors::port::PortError;
use gleaner_actors::{Member, Tree};

pub use controls::apply_controls;
pub use crawl_scheduler::{Config as CrawlConfig, CrawlScheduler, Round};
pub use gauges::{Gauges, QUEUE_COUNT_BOUND};
pub use retention::Retention;
pub use timeout_checker::TimeoutChecker;

use crate::config::Config;
use crate::db::stage::Gauge;
use crate::db::{Pool, PooledConnection};
use crate::queue::Queue;
use crate::workflow::Live;

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
    controls: tokio::sync::Mutex<controls::Applied>,
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

    fn set_queue(&self, workflow: &'static str, gauge: Gauge) {
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(workflow, gauge);
    }

    async fn connection(&self) -> Result<PooledConnection, PortError> {
        self.pool.get().await.map_err(unavailable)
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::Unavailable(Box::new(error))
}

/// How often operators' requests are looked for where no notification tells of them.
const CONTROLS_INTERVAL: Duration = Duration::from_secs(10);
/// How often partitions and old rows are seen to.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a cron expression's time has come, which is given to the minute.
const CRON_INTERVAL: Duration = Duration::from_secs(60);

/// The tickers as members of the tree.
#[must_use]
pub fn members(shared: &Arc<Shared>) -> Vec<Member> {
    let config = shared.config.get();
    let engine = &config.engine;
    let mut members = vec![
        Member::ticker(
            "crawl-scheduler",
            config.crawl.interval,
            Arc::new(CrawlScheduler::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "timeout-checker",
            engine.rescue_interval,
            Arc::new(TimeoutChecker::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "gauges",
            engine.gauges_interval,
            Arc::new(Gauges::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "controls",
            CONTROLS_INTERVAL,
            Arc::new(controls::Controls::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "housekeeping",
            HOUSEKEEPING_INTERVAL,
            Arc::new(housekeeping::Housekeeping::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "pattern-health",
            CRON_INTERVAL,
            Arc::new(pattern_health::PatternHealth::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "retention",
            CRON_INTERVAL,
            Arc::new(Retention::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "queue-reconciler",
            config.redis.reconcile_interval,
            Arc::new(queue::Reconciler::new(Arc::clone(shared))),
        ),
    ];
    if shared.queue.is_on() {
        members.push(Member::ticker(
            "queue-watch",
            queue::WATCH_INTERVAL,
            Arc::new(queue::Watch::new(Arc::clone(shared))),
        ));
    }
    members
}

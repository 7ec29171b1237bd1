//! The tickers: periodic work beside the workflows, under the same supervision, on every node.
//!
//! All of it is safe on any number of nodes at once: a statement takes what it can lock, and what must happen once in all is
//! decided by a row of `schedule`.

mod controls;
mod gauges;
mod housekeeping;
mod retention;
mod timeout_checker;

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::Member;
use gleaner_actors::port::PortError;

pub(crate) use controls::Applied;
pub use controls::apply_controls;
pub use gauges::{Gauges, QUEUE_COUNT_BOUND};
pub use retention::Retention;
pub use timeout_checker::TimeoutChecker;

use crate::app::state::Shared;
use crate::prices::crawl_scheduler::CrawlScheduler;
use crate::prices::pattern_health;
use crate::prices::queue::tickers as queue;

pub(crate) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> PortError {
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

//! The tickers that belong to all: periodic work beside the workflows, under the same supervision, on every node; and the service
//! that fires the users' schedules.
//!
//! All of it is safe on any number of nodes at once: a statement takes what it can lock, and what must happen once in all is
//! decided by a row of `schedule`.

mod controls;
mod gauges;
mod housekeeping;
mod lookout;
mod retention;
mod schedules;
mod timeout_checker;

use std::sync::Arc;
use std::time::Duration;

use gleaner_actors::Member;

pub use controls::apply_controls;
pub use gauges::{Gauges, QUEUE_COUNT_BOUND};
pub use retention::Retention;
pub use timeout_checker::TimeoutChecker;

use crate::app::state::Shared;
use crate::db::connect::Connector;
use crate::store::prune;
use crate::store::stage::LOOK_INTERVAL;

/// How often operators' requests are looked for where no notification tells of them.
const CONTROLS_INTERVAL: Duration = Duration::from_secs(10);
/// How often partitions and old rows are seen to.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a cron expression's time has come, which is given to the minute.
pub(crate) const CRON_INTERVAL: Duration = Duration::from_secs(60);

/// The tickers that every program has, as members of the tree. `kept` is what gets old; `direct` makes connections for what may take
/// long.
#[must_use]
pub fn members(
    shared: &Arc<Shared>,
    kept: impl Iterator<Item = &'static prune::Kind>,
    direct: &Connector,
) -> Vec<Member> {
    let config = shared.config.get();
    let engine = &config.engine;
    vec![
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
            "lookout",
            LOOK_INTERVAL,
            Arc::new(lookout::Lookout::new(Arc::clone(shared))),
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
            "retention",
            CRON_INTERVAL,
            Arc::new(Retention::new(Arc::clone(shared), kept)),
        ),
        Member::service(
            "schedules",
            Arc::new(schedules::Schedules::new(
                Arc::clone(shared),
                direct.clone(),
            )),
        ),
    ]
}

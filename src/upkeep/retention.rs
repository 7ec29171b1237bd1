//! retention: drops what is old, by its two schedules, once across all nodes.
//!
//! A pass may be long. It goes on from tick to tick in small steps with a pause after each; a process that dies in the middle
//! leaves the rest to the next time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::app::state::Shared;
use crate::db;
use crate::store::prune::{self, Cursor, Kind, Schedule};
use crate::store::schedule;
use crate::telemetry::chain;

/// Longest work of one tick, well below what a tick is given.
const TICK_BUDGET: Duration = Duration::from_secs(120);

/// How far the work on one kind has come.
struct Pass {
    kind: &'static Kind,
    cursor: Cursor,
    gone: i64,
}

pub struct Retention {
    shared: Arc<Shared>,
    kinds: Vec<&'static Kind>,
    passes: Mutex<VecDeque<Pass>>,
}

impl Retention {
    /// With what it shares, and what gets old.
    #[must_use]
    pub fn new(shared: Arc<Shared>, kinds: impl Iterator<Item = &'static Kind>) -> Self {
        Self {
            shared,
            kinds: kinds.collect(),
            passes: Mutex::default(),
        }
    }

    /// Looks whether a schedule is due, and goes on with what is begun.
    ///
    /// # Errors
    /// As [`db::port_error`].
    pub async fn prune(&self) -> Result<(), PortError> {
        // Ticks do not overlap; the lock is for the compiler.
        let mut passes = self.passes.lock().await;
        passes.extend(self.due().await?);
        let until = Instant::now() + TICK_BUDGET;
        let mut refusal = None;
        while let Some(pass) = passes.front_mut() {
            let config = self.shared.config.get();
            let step = {
                let mut conn = self.shared.connection().await?;
                let keep = config.retention.keep(pass.kind.key);
                prune::step(&mut conn, pass.kind, keep, pass.cursor, false).await
            };
            let step = match step {
                Ok(step) => step,
                Err(error) if db::is_trouble(&error) => return Err(db::port_error(error)),
                Err(error) => {
                    // No waiting mends it: the next time may, and meanwhile the other kinds go on.
                    let kind = pass.kind.name;
                    let error = db::port_error(error);
                    warn!(kind, error = %chain(&error), "cannot drop what is old of one kind");
                    refusal = Some(error);
                    passes.pop_front();
                    continue;
                }
            };
            pass.gone += step.gone;
            match step.next {
                Some(cursor) => pass.cursor = cursor,
                None => {
                    info!(
                        kind = pass.kind.name,
                        rows = pass.gone,
                        "dropped what was old"
                    );
                    passes.pop_front();
                }
            }
            if Instant::now() >= until {
                break;
            }
            sleep(config.retention.pause).await;
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn due(&self) -> Result<Vec<Pass>, PortError> {
        let config = self.shared.config.get();
        let mut conn = self.shared.connection().await?;
        let mut due = Vec::new();
        for (name, cron, when) in [
            ("retention-daily", &config.retention.daily, Schedule::Daily),
            (
                "retention-weekly",
                &config.retention.weekly,
                Schedule::Weekly,
            ),
        ] {
            if schedule::is_mine_by_cron(&mut conn, name, cron, self.shared.node)
                .await
                .map_err(db::port_error)?
            {
                let kinds = self.kinds.iter().filter(|kind| kind.schedule == when);
                due.extend(kinds.map(|kind| Pass {
                    kind,
                    cursor: Cursor::default(),
                    gone: 0,
                }));
            }
        }
        Ok(due)
    }
}

impl Tick for Retention {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.prune())
    }
}

//! The timeout-checker: takes back rows whose lease has ended, of every stage and whoever held them.
//!
//! It runs on every node, also for workflows that this node has switched off. Between two regular looks it waits for the
//! very moment at which a lease of another node ends that has missed a beat, so that rescue comes right at expiry.

use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::{debug, warn};

use crate::app::state::Shared;
use crate::db;
use crate::db::locks;
use crate::metrics;
use crate::store::stage;
use crate::store::stage::{Rescued, Stage};

/// Added to a lease's end before looking, so that it has ended indeed.
const AFTER_EXPIRY: Duration = Duration::from_millis(20);

pub struct TimeoutChecker {
    shared: Arc<Shared>,
}

impl TimeoutChecker {
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// One look at every stage, and until when the next lease of another node ends.
    async fn rescue(&self) -> Result<Option<Duration>, PortError> {
        let config = self.shared.config.get();
        let workflows = self.shared.workflows.get();
        let mut conn = self.shared.connection().await?;
        let stages = workflows.iter().map(|workflow| &workflow.stage);
        let foreign_after = config.engine.foreign_processing_after;
        let need = stage::in_need(&mut conn, stages, foreign_after, self.shared.node)
            .await
            .map_err(db::port_error)?;
        let mut refusal = need.refusal.map(db::port_error);
        for workflow in workflows.iter() {
            let name = workflow.stage.name();
            if !need.stages.iter().any(|stage| stage.name() == name) {
                continue;
            }
            let max_attempts = workflow.settings.max_attempts;
            let rescued = rescue(&mut conn, &workflow.stage, max_attempts, foreign_after).await;
            let rescued = match rescued {
                Ok(rescued) => rescued,
                // The next look comes soon, and other tables are not to wait for this one.
                Err(error) if locks::is_locked(&error) => {
                    debug!(workflow = &*workflow.name, "its table is locked, no rescue");
                    continue;
                }
                Err(error) if db::is_trouble(&error) => return Err(db::port_error(error)),
                // One stage's own: the others are seen to.
                Err(error) => {
                    refusal = Some(db::port_error(error));
                    continue;
                }
            };
            if rescued.freed > 0 {
                self.shared.frontiers.get(&workflow.stage).forget();
                warn!(
                    workflow = &*workflow.name,
                    items = rescued.freed,
                    quarantined = rescued.quarantined,
                    "rescued items whose worker is gone"
                );
                metrics::rescued(
                    &workflow.name,
                    rescued.freed.unsigned_abs(),
                    rescued.quarantined.unsigned_abs(),
                );
            }
        }
        refusal.map_or(Ok(need.next_expiry), Err)
    }

    async fn look(&self) -> Result<(), PortError> {
        let interval = self.shared.config.get().engine.rescue_interval;
        let mut waited = Duration::ZERO;
        // A lease that is renewed in time never ends before the next regular look: whoever holds it has missed a beat.
        while let Some(ends_in) = self.rescue().await? {
            waited += ends_in + AFTER_EXPIRY;
            if waited >= interval {
                break;
            }
            tokio::time::sleep(ends_in + AFTER_EXPIRY).await;
        }
        Ok(())
    }
}

/// Takes back what a stage has lost.
async fn rescue(
    conn: &mut AsyncPgConnection,
    stage: &Stage,
    max_attempts: i16,
    foreign_after: Duration,
) -> QueryResult<Rescued> {
    let mut rescued = stage.rescue(conn, max_attempts).await?;
    if !foreign_after.is_zero() {
        rescued.freed += stage.rescue_foreign(conn, foreign_after).await?.freed;
    }
    Ok(rescued)
}

impl Tick for TimeoutChecker {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.look())
    }
}

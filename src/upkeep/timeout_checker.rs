//! The timeout-checker: takes back rows whose lease has ended, of every stage and whoever held them.
//!
//! It runs on every node, also for workflows that this node has switched off. Between two regular looks it waits for the
//! very moment at which a lease of another node ends that has missed a beat, so that rescue comes right at expiry.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::warn;

use super::{Shared, unavailable};
use crate::db::lease;
use crate::db::stage::{self, Rescued};
use crate::{metrics, workflows};

/// Added to a lease's end before looking, so that it has ended indeed.
const AFTER_EXPIRY: Duration = Duration::from_millis(20);

/// The ticker.
pub struct TimeoutChecker {
    shared: Arc<Shared>,
    workflows: Vec<workflows::Known>,
}

impl TimeoutChecker {
    /// Over all known workflows.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            workflows: workflows::known(),
        }
    }

    /// One look at every stage.
    ///
    /// # Errors
    /// [`PortError::Unavailable`].
    pub async fn rescue(&self) -> Result<Rescued, PortError> {
        let config = self.shared.config.get();
        let settings = config.workflows.settings(&config.engine);
        let mut total = Rescued::default();
        let mut conn = self.shared.connection().await?;
        let stages = self.workflows.iter().map(|workflow| &workflow.stage);
        let in_need = stage::in_need(&mut conn, stages, config.engine.foreign_processing_after)
            .await
            .map_err(unavailable)?;
        for workflow in &self.workflows {
            let name = workflow.stage.name();
            if !in_need.iter().any(|stage| stage.name() == name) {
                continue;
            }
            let max_attempts = settings
                .get(workflow.name)
                .map_or(i16::MAX, |own| own.max_attempts);
            let mut rescued = workflow
                .stage
                .rescue(&mut conn, max_attempts)
                .await
                .map_err(unavailable)?;
            let age = config.engine.foreign_processing_after;
            if !age.is_zero() {
                let foreign = workflow
                    .stage
                    .rescue_foreign(&mut conn, age)
                    .await
                    .map_err(unavailable)?;
                rescued.freed += foreign.freed;
            }
            if rescued.freed > 0 {
                warn!(
                    workflow = workflow.name,
                    items = rescued.freed,
                    quarantined = rescued.quarantined,
                    "rescued items whose worker is gone"
                );
                metrics::rescued(
                    workflow.name,
                    rescued.freed.unsigned_abs(),
                    rescued.quarantined.unsigned_abs(),
                );
            }
            total.freed += rescued.freed;
            total.quarantined += rescued.quarantined;
        }
        Ok(total)
    }

    async fn look(&self) -> Result<(), PortError> {
        self.rescue().await?;
        let interval = self.shared.config.get().engine.rescue_interval;
        let mut waited = Duration::ZERO;
        loop {
            let next = {
                let mut conn = self.shared.connection().await?;
                lease::next_expiry(&mut conn, self.shared.node)
                    .await
                    .map_err(unavailable)?
            };
            // A lease that is renewed in time never ends this soon: whoever holds it has missed a beat.
            let Some(ends_in) = next.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            else {
                return Ok(());
            };
            waited += ends_in + AFTER_EXPIRY;
            if waited >= interval {
                return Ok(());
            }
            tokio::time::sleep(ends_in + AFTER_EXPIRY).await;
            self.rescue().await?;
        }
    }
}

impl Tick for TimeoutChecker {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.look())
    }
}

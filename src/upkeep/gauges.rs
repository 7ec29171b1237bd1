//! Counts the queues for metrics and readiness, wakes workflows that have rows due, and stores this node's status for
//! everybody to see.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;

use crate::app::state::Shared;
use crate::db;
use crate::metrics;
use crate::store::{node, stage};

/// Queues are counted no further than this.
pub const QUEUE_COUNT_BOUND: i64 = 100_000;

pub struct Gauges {
    shared: Arc<Shared>,
}

impl Gauges {
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Counts once.
    ///
    /// # Errors
    /// As [`db::port_error`].
    pub async fn count(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let stages = self.shared.workflows.iter().map(|workflow| &workflow.stage);
        let gauges = stage::gauges(&mut conn, stages, QUEUE_COUNT_BOUND)
            .await
            .map_err(db::port_error)?;
        for (workflow, gauge) in self.shared.workflows.iter().zip(gauges) {
            metrics::queue(
                workflow.name,
                gauge.queued,
                gauge.due,
                gauge.held,
                gauge.oldest_seconds,
            );
            // A retry, or a row queued for later, comes due without a notification: not to be left to the interval.
            if gauge.due > 0
                && let Some(tree) = self.shared.tree()
            {
                tree.wake(workflow.name);
            }
            self.shared.set_queue(workflow.name, gauge);
        }
        if let Some(tree) = self.shared.tree()
            && let Ok(status) = tree.status().await
        {
            for workflow in &status.workflows {
                metrics::in_flight(&workflow.name, workflow.in_flight);
            }
            let mut value = serde_json::to_value(&status).unwrap_or_default();
            let pending = self.shared.pending.get();
            let keys: Vec<&str> = pending.iter().map(|change| change.key.as_str()).collect();
            if let Some(report) = value.as_object_mut().filter(|_| !keys.is_empty()) {
                report.insert("pending_restart".to_owned(), keys.into());
            }
            node::report(&mut conn, self.shared.node, &value)
                .await
                .map_err(db::port_error)?;
        }
        let pool = self.shared.pool.status();
        metrics::pool(pool.size, pool.available, pool.waiting);
        Ok(())
    }
}

impl Tick for Gauges {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.count())
    }
}

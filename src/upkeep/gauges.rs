//! Counts the queues for metrics and readiness, wakes workflows that have rows due, and stores this node's status for
//! everybody to see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::{Tick, TreeStatus};

use crate::app::state::Shared;
use crate::db;
use crate::metrics;
use crate::store::{node, stage};
use crate::workflows::InForce;

/// Queues are counted no further than this.
pub const QUEUE_COUNT_BOUND: i64 = 100_000;

pub struct Gauges {
    shared: Arc<Shared>,
    /// Whose figures are told. Those who go are told to be nothing, once.
    told: Mutex<BTreeSet<Arc<str>>>,
}

impl Gauges {
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            told: Mutex::default(),
        }
    }

    /// Counts once.
    ///
    /// # Errors
    /// As [`db::port_error`].
    pub async fn count(&self) -> Result<(), PortError> {
        let mut conn = self.shared.connection().await?;
        let workflows = self.shared.workflows.get();
        let stages = workflows.iter().map(|workflow| &workflow.stage);
        let gauges = stage::gauges(&mut conn, stages, QUEUE_COUNT_BOUND)
            .await
            .map_err(db::port_error)?;
        for (workflow, gauge) in workflows.iter().zip(gauges.each) {
            // What cannot be counted now stands as it was counted last.
            let Some(gauge) = gauge else { continue };
            metrics::queue(
                &workflow.name,
                gauge.queued,
                gauge.due,
                gauge.held,
                gauge.oldest_seconds,
            );
            // A retry, or a row queued for later, comes due without a notification: not to be left to the interval.
            if gauge.due > 0
                && let Some(tree) = self.shared.tree()
            {
                tree.wake(&workflow.name);
            }
            self.shared.set_queue(&workflow.name, gauge);
        }
        if let Some(tree) = self.shared.tree()
            && let Ok(status) = tree.status().await
        {
            self.forget_others(&workflows, &status);
            for workflow in &status.workflows {
                metrics::in_flight(&workflow.name, workflow.in_flight);
                metrics::set_aside(&workflow.name, workflow.set_aside);
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
        // Of one stage alone: all others are counted.
        gauges
            .refusal
            .map_or(Ok(()), |error| Err(db::port_error(error)))
    }

    /// Takes back what was told of workflows that are neither in force nor on their way out any more.
    fn forget_others(&self, workflows: &InForce, status: &TreeStatus) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|name| {
            let is_here = workflows.find(name).is_some() || status.workflow(name).is_some();
            if !is_here {
                metrics::forget(name);
            }
            is_here
        });
        told.extend(workflows.iter().map(|workflow| Arc::clone(&workflow.name)));
    }
}

impl Tick for Gauges {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.count())
    }
}

//! The lookout: sees who pins row versions, and finds the rows that claims would pass by because of that.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::Tick;
use gleaner_actors::port::PortError;
use tracing::{info, warn};

use crate::app::state::Shared;
use crate::db;
use crate::store::pin::Holder;
use crate::store::stage;

pub(super) struct Lookout {
    shared: Arc<Shared>,
}

impl Lookout {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn look(&self) -> Result<(), PortError> {
        let shared = &self.shared;
        let workflows = shared.workflows.get();
        let places: Vec<_> = workflows
            .iter()
            .map(|workflow| (&workflow.stage, shared.frontiers.get(&workflow.stage)))
            .collect();
        if !stage::are_in_use(&places) {
            return Ok(());
        }
        let mut conn = shared.connection().await?;
        let patrol = stage::patrol(&mut conn, &places)
            .await
            .map_err(PortError::unavailable)?;
        if let Some(tree) = shared.tree() {
            for workflow in patrol
                .waiting
                .iter()
                .filter_map(|place| workflows.iter().nth(*place))
            {
                tree.wake(&workflow.name);
            }
        }
        let told: Vec<Holder> = patrol.holders.into_iter().filter(Holder::is_told).collect();
        self.tell(&told);
        shared.pins.set(told);
        patrol
            .refusal
            .map_or(Ok(()), |error| Err(db::port_error(error)))
    }

    /// Logs it once when somebody begins to be in the way, and once when nobody is any more.
    fn tell(&self, told: &[Holder]) {
        let known = self.shared.pins.get();
        let is_known = |holder: &Holder| {
            known.iter().any(|old| {
                (&old.kind, old.pid, &old.name) == (&holder.kind, holder.pid, &holder.name)
            })
        };
        for holder in told.iter().filter(|holder| !is_known(holder)) {
            warn!(
                holder = holder.describe(),
                "dead row versions are kept for somebody: tables and indexes grow"
            );
        }
        if told.is_empty() && !known.is_empty() {
            info!("dead row versions are no longer kept for anybody");
        }
    }
}

impl Tick for Lookout {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(self.look())
    }
}

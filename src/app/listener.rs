//! LISTEN: what the database says wakes workflows, at once.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::Member;
use tracing::warn;

use super::state::Shared;
use crate::db::connect::Connector;
use crate::db::notify::{Heard, Listener};
use crate::telemetry::chain;
use crate::upkeep;

/// LISTEN as a member of the tree: notifications wake workflows.
pub(super) fn member(direct: Connector, shared: &Arc<Shared>) -> Member {
    let shared = Arc::clone(shared);
    let hear = move |heard: Heard| -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let Some(tree) = shared.tree() else { return };
            match heard {
                Heard::Connected => tree.wake_all(),
                Heard::Stage(stage) => {
                    shared.tell_due(&stage);
                    if let Some(workflow) = shared.workflows.get().of_stage(&stage) {
                        tree.wake(&workflow.name);
                    }
                }
                Heard::Control(_workflow) => {
                    if let Err(error) = upkeep::apply_controls(&shared).await {
                        warn!(error = %chain(&error), "cannot read operators' requests");
                    }
                }
            }
        })
    };
    Member::service("listener", Arc::new(Listener::new(direct, Arc::new(hear))))
}

//! LISTEN: what the database says wakes workflows, at once.

use std::collections::HashMap;
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
    let by_stage: HashMap<String, &'static str> = shared
        .workflows
        .iter()
        .map(|workflow| (workflow.stage.name(), workflow.name))
        .collect();
    let by_stage = Arc::new(by_stage);
    let hear = move |heard: Heard| -> BoxFuture<'static, ()> {
        let (shared, by_stage) = (Arc::clone(&shared), Arc::clone(&by_stage));
        Box::pin(async move {
            let Some(tree) = shared.tree() else { return };
            match heard {
                Heard::Connected => tree.wake_all(),
                Heard::Stage(stage) => {
                    if let Some(due) = shared.due(&stage) {
                        due.notify_waiters();
                    }
                    if let Some(name) = by_stage.get(&stage) {
                        tree.wake(name);
                    }
                }
                Heard::Callback(node) => shared.callbacks.heard(&node),
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

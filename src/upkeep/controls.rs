//! Brings what operators have asked for, in `workflow_control`, to this node's actors.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::{Tick, TreeError};
use tracing::{info, warn};

use crate::app::state::{Applied, Shared};
use crate::db;
use crate::store::control;
use crate::store::control::Control;
use crate::telemetry::chain;

/// What is to be told to the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Pause(String),
    Resume(String),
    RunNow(String),
    Unpark(String),
}

/// Takes note of the rows, and says what of them is new.
fn changes(applied: &mut Applied, rows: Vec<Control>) -> Vec<Action> {
    let mut actions = Vec::new();
    for row in rows {
        let was_paused = applied
            .paused
            .insert(row.workflow.clone(), row.paused)
            .unwrap_or(false);
        match (was_paused, row.paused) {
            (false, true) => actions.push(Action::Pause(row.workflow.clone())),
            (true, false) => actions.push(Action::Resume(row.workflow.clone())),
            _ => {}
        }
        if let Some(at) = row.unpark_requested_at
            && applied.unpark.insert(row.workflow.clone(), at) != Some(at)
            && applied.has_started
        {
            actions.push(Action::Unpark(row.workflow.clone()));
        }
        if let Some(at) = row.run_requested_at
            && applied.run.insert(row.workflow.clone(), at) != Some(at)
            && applied.has_started
        {
            actions.push(Action::RunNow(row.workflow));
        }
    }
    applied.has_started = true;
    actions
}

/// Applies what is new in `workflow_control`.
///
/// # Errors
/// As [`db::port_error`].
pub async fn apply_controls(shared: &Shared) -> Result<(), PortError> {
    let Some(tree) = shared.tree() else {
        return Ok(());
    };
    // Held across the read, so that an older answer cannot overtake a newer one.
    let mut applied = shared.controls.lock().await;
    let rows = {
        let mut conn = shared.connection().await?;
        control::all(&mut conn).await.map_err(db::port_error)?
    };
    for action in changes(&mut applied, rows) {
        let done = match &action {
            Action::Pause(name) => tree.pause(name).await,
            Action::Resume(name) => tree.resume(name).await,
            Action::RunNow(name) => tree.run_now(name).await,
            Action::Unpark(name) => tree.unpark(name).await,
        };
        match done {
            Ok(()) => info!(?action, "applied an operator's request"),
            // A workflow of another version of the program, or one that is switched off here.
            Err(TreeError::Unknown { .. } | TreeError::NotRunning { .. }) => {}
            Err(error) => warn!(?action, error = %chain(&error), "cannot apply a request"),
        }
    }
    Ok(())
}

/// The ticker: the fallback where no notification comes.
pub(super) struct Controls {
    shared: Arc<Shared>,
}

impl Controls {
    #[must_use]
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Tick for Controls {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(apply_controls(&self.shared))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn row(paused: bool, run: Option<i64>) -> Control {
        Control {
            workflow: "deep-scan".to_owned(),
            paused,
            run_requested_at: run.and_then(|at| DateTime::from_timestamp(at, 0)),
            unpark_requested_at: None,
        }
    }

    #[test]
    fn only_what_is_new_is_applied() {
        let name = || "deep-scan".to_owned();
        let mut applied = Applied::default();
        // A pause holds from the start; a request to run from before this node's time does not.
        assert_eq!(
            changes(&mut applied, vec![row(true, Some(1))]),
            [Action::Pause(name())]
        );
        assert_eq!(changes(&mut applied, vec![row(true, Some(1))]), []);
        assert_eq!(
            changes(&mut applied, vec![row(true, Some(2))]),
            [Action::RunNow(name())]
        );
        assert_eq!(
            changes(&mut applied, vec![row(false, Some(2))]),
            [Action::Resume(name())]
        );
    }
}

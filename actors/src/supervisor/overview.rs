//! The status of the whole tree: all actors asked at once, in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::slot::Slot;
use super::state::RootState;
use crate::control::{ChildStatus, Control, answer};
use crate::status::{HelperStatus, State, TreeStatus, WorkflowStatus, millis};
use crate::ticker::absent_status;
use crate::workflow::counted;

/// How long a status waits for all actors together.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);

impl RootState {
    /// Asks all actors at once, in the background.
    pub(super) fn status(&mut self, reply: oneshot::Sender<TreeStatus>) {
        let asked: Vec<_> = self.slots.iter().map(ask).collect();
        let draining = self.drain.is_some();
        let leases = Arc::clone(&self.leases);
        self.spawn(async move {
            let deadline = Instant::now() + STATUS_PATIENCE;
            let mut workflows = Vec::new();
            let mut helpers = Vec::new();
            for (fallback, status) in asked {
                let status = match status {
                    None => fallback,
                    Some(status) => match timeout_at(deadline, status).await {
                        Ok(Ok(status)) => explained(status, fallback),
                        // Died while asked, or does not answer.
                        Ok(Err(_)) => fallback,
                        Err(_) => stalled(fallback),
                    },
                };
                match status {
                    ChildStatus::Workflow(status) => workflows.push(*status),
                    ChildStatus::Helper(status) => helpers.push(*status),
                }
            }
            let pulse = leases.pulse();
            let status = TreeStatus {
                workflows,
                helpers,
                draining,
                heartbeat_age_ms: pulse.renewed.map(|sent| millis(sent.elapsed())),
                heartbeat_ok: pulse.ok,
                leases: leases.len(),
            };
            answer(reply, status);
        });
    }
}

/// Asks a member's actor for its status, if it has one; and what to show if it does not answer.
fn ask(slot: &Slot) -> (ChildStatus, Option<oneshot::Receiver<ChildStatus>>) {
    let fallback = match &slot.settings {
        Some(settings) => ChildStatus::Workflow(Box::new(WorkflowStatus {
            state: slot.state(),
            reason: slot.reason(),
            incarnation: slot.incarnation,
            lease: slot.continuity.lease().map(|lease| lease.0),
            restarts: slot.restarts,
            ..counted(&slot.name, &slot.continuity.counts, settings.clone())
        })),
        None => ChildStatus::Helper(Box::new(HelperStatus {
            state: slot.state(),
            reason: slot.reason(),
            incarnation: slot.incarnation,
            restarts: slot.restarts,
            ..absent_status(&slot.name, slot.kind)
        })),
    };
    let (reply, status) = oneshot::channel();
    let asked = slot.send(Control::Status(reply));
    (fallback, asked.then_some(status))
}

/// An actor on its way down does not know why.
fn explained(mut status: ChildStatus, fallback: ChildStatus) -> ChildStatus {
    match (&mut status, fallback) {
        (ChildStatus::Workflow(status), ChildStatus::Workflow(fallback)) => {
            status.reason = status.reason.take().or(fallback.reason);
        }
        (ChildStatus::Helper(status), ChildStatus::Helper(fallback)) => {
            status.reason = status.reason.take().or(fallback.reason);
        }
        (ChildStatus::Workflow(_), ChildStatus::Helper(_))
        | (ChildStatus::Helper(_), ChildStatus::Workflow(_)) => {}
    }
    status
}

fn stalled(mut status: ChildStatus) -> ChildStatus {
    let reason = Some(format!("no answer within {STATUS_PATIENCE:?}"));
    match &mut status {
        ChildStatus::Workflow(status) => {
            status.state = State::Stalled;
            status.reason = reason;
        }
        ChildStatus::Helper(status) => {
            status.state = State::Stalled;
            status.reason = reason;
        }
    }
    status
}

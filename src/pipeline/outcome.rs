//! What a workflow says of a row, in the words of the engine's port, and back.

use std::collections::HashSet;

use gleaner_actors::port::{Failure, Outcome, SettleReport, Settlement, SnoozeScope, Verdict};

use crate::telemetry::chain;
use crate::workflow::{Ended, ItemId, Settled, WorkflowError};

pub(super) fn ended<O>(settlement: &Settlement<O>) -> Settled<'_, O> {
    let ended = match settlement.verdict {
        Verdict::Complete(_) => Ended::Completed,
        Verdict::Filter { .. } => Ended::Filtered,
        Verdict::Retry { .. } => Ended::Again,
        Verdict::Snooze { .. } | Verdict::Release => Ended::Returned,
        Verdict::Fail { .. } => Ended::Failed,
    };
    Settled {
        item: settlement.item,
        attempt: settlement.attempt,
        ended,
        output: output_of(&settlement.verdict),
    }
}

pub(super) fn failed<O>(error: WorkflowError, output: Option<O>) -> Outcome<O> {
    match error {
        WorkflowError::Retry {
            class,
            after,
            source,
        } => Outcome::Retry {
            failure: Failure::new(class, chain(source.as_ref())),
            after,
            output,
        },
        WorkflowError::Snooze {
            after,
            reason,
            whole_workflow,
        } => {
            let scope = if whole_workflow {
                SnoozeScope::Workflow
            } else {
                SnoozeScope::Item
            };
            Outcome::Snooze {
                after,
                reason,
                scope,
            }
        }
        WorkflowError::Permanent { class, source } => Outcome::Permanent {
            failure: Failure::new(class, chain(source.as_ref())),
            output,
        },
    }
}

pub(super) fn output_of<O>(verdict: &Verdict<O>) -> Option<&O> {
    match verdict {
        Verdict::Complete(output) => Some(output),
        Verdict::Filter { output, .. }
        | Verdict::Retry { output, .. }
        | Verdict::Fail { output, .. } => output.as_ref(),
        Verdict::Snooze { .. } | Verdict::Release => None,
    }
}

pub(super) fn count<O>(
    batch: &[Settlement<O>],
    settled: &HashSet<ItemId>,
    locked: Vec<ItemId>,
) -> SettleReport {
    let mut report = SettleReport::default();
    for settlement in batch {
        if locked.contains(&settlement.item) {
            continue;
        }
        let counter = if settled.contains(&settlement.item) {
            match settlement.verdict {
                Verdict::Complete(_) => &mut report.completed,
                Verdict::Filter { .. } => &mut report.filtered,
                Verdict::Retry { .. } => &mut report.retried,
                Verdict::Snooze { .. } => &mut report.snoozed,
                Verdict::Fail { .. } => &mut report.failed,
                Verdict::Release => &mut report.released,
            }
        } else {
            &mut report.stale
        };
        *counter += 1;
    }
    report.blocked.items = locked;
    report
}

pub(super) fn add(total: &mut SettleReport, part: SettleReport) {
    total.completed += part.completed;
    total.filtered += part.filtered;
    total.retried += part.retried;
    total.snoozed += part.snoozed;
    total.failed += part.failed;
    total.released += part.released;
    total.stale += part.stale;
    total.blocked.items.extend(part.blocked.items);
}

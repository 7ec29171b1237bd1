//! One item's run: its timeout, its panic, its cancellation.
//!
//! The task is on its own from the claim to its outcome. It stops by itself when its lease's fence does, whatever the
//! actor and the heartbeat are doing at that time.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};

use crate::lease::Fence;
use crate::port::{Claim, Failure, Outcome, Port};

/// How an item ended.
pub(super) struct Ended<O> {
    pub(super) outcome: Outcome<O>,
    /// For the metrics: unlike the outcome itself it tells a timeout and a panic from other retries.
    pub(super) label: &'static str,
}

/// Runs an item to its end, or to none if it was cancelled or its lease ran out.
pub(super) async fn run_item<P: Port>(
    port: &P,
    claim: Claim<P::Input>,
    fence: &Fence,
    started: Instant,
    timeout: Duration,
) -> Option<Ended<P::Output>> {
    let item_deadline = started + timeout;
    // An async block, so that a panic before the first await is caught as well.
    let mut run = pin!(AssertUnwindSafe(async { port.run(claim).await }).catch_unwind());
    let finished = loop {
        tokio::select! {
            biased;
            finished = &mut run => break finished,
            () = fence.cancelled() => return None,
            () = sleep_until(item_deadline.min(fence.deadline())) => {
                let now = Instant::now();
                if !fence.holds(now) {
                    return None;
                }
                if now >= item_deadline {
                    let message = format!("no result within {timeout:?}");
                    return Some(Ended {
                        outcome: Outcome::Retry { failure: Failure::new("timeout", message), after: None, output: None },
                        label: "timeout",
                    });
                }
                // Renewed in the meantime: wait for the new deadline.
            }
        }
    };
    // A process that was stopped and continued may find its item done and its lease long gone.
    if !fence.holds(Instant::now()) {
        return None;
    }
    Some(match finished {
        Ok(outcome) => Ended {
            label: label(&outcome),
            outcome,
        },
        Err(panic) => panicked(&*panic),
    })
}

/// What a panic comes to: charged to the item, tried again like any other failure.
pub(super) fn panicked<O>(panic: &(dyn Any + Send)) -> Ended<O> {
    Ended {
        outcome: Outcome::Retry {
            failure: Failure::new("panic", crate::panic_message(panic)),
            after: None,
            output: None,
        },
        label: "panic",
    }
}

fn label<O>(outcome: &Outcome<O>) -> &'static str {
    match outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Filtered { .. } => "filtered",
        Outcome::Retry { .. } => "retry",
        Outcome::Snooze { .. } => "snooze",
        Outcome::Permanent { .. } => "permanent",
    }
}

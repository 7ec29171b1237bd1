//! Bringing the tree down: no more claims, finish, hand back, close the leases, stop.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::state::{Drain, RootMsg, RootState};
use crate::control::{Control, answer};
use crate::status::DrainReport;

/// How long a drain may go on past its deadline, to hand items back and close leases. Whoever sends the signal to stop has set
/// a deadline of its own, and kills soon after ours.
const CLOSING_TIME: Duration = Duration::from_millis(700);

impl RootState {
    fn released(&self) -> u64 {
        let counts = self.slots.iter().map(|slot| &slot.continuity.counts);
        counts
            .map(|counts| counts.released.load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn drain(&mut self, within: Duration, reply: oneshot::Sender<DrainReport>) {
        if let Some(drain) = &mut self.drain {
            drain.replies.push(reply);
        } else {
            tracing::info!(?within, "draining");
            self.drain = Some(Drain {
                started: Instant::now(),
                released_before: self.released(),
                aborted: false,
                replies: vec![reply],
            });
            for index in 0..self.slots.len() {
                self.retire(index);
            }
        }
        if within.is_zero() {
            self.abort_drain();
        } else {
            self.later(within, RootMsg::DrainDeadline);
        }
        self.end_drain_if_done();
    }

    pub(super) fn abort_drain(&mut self) {
        let Some(drain) = &mut self.drain else {
            return;
        };
        if std::mem::replace(&mut drain.aborted, true) {
            return;
        }
        for slot in &self.slots {
            slot.send(Control::Abort);
        }
        self.later(CLOSING_TIME, RootMsg::ClosingTime);
    }

    pub(super) fn end_drain_if_done(&mut self) {
        let done = self
            .slots
            .iter()
            .all(|slot| slot.child.is_none() && slot.closing == 0);
        if done {
            self.end_drain();
        }
    }

    pub(super) fn end_drain(&mut self) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        let unclosed: Vec<String> = self
            .slots
            .iter()
            .filter(|slot| slot.child.is_some() || slot.closing > 0)
            .map(|slot| slot.name.to_string())
            .collect();
        let report = DrainReport {
            finished: !drain.aborted && unclosed.is_empty(),
            released: self.released().saturating_sub(drain.released_before),
            unclosed,
            elapsed: drain.started.elapsed(),
        };
        tracing::info!(?report, "drained");
        for reply in drain.replies {
            answer(reply, report.clone());
        }
        // Children that are still there are killed with their parent.
        self.myself.stop(None);
    }
}

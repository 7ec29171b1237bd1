//! A workflow's status, as its actor sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::aside;
use super::incarnation::{Incarnation, Lease};
use crate::continuity::Counts;
use crate::port::Port;
use crate::settings::Settings;
use crate::status::{State, WorkflowStatus, millis};

impl<P: Port> Incarnation<P> {
    pub(super) fn snapshot(&self, now: Instant) -> WorkflowStatus {
        let age = |at: Instant| millis(now.saturating_duration_since(at));
        let held_back: usize = self.held_back.iter().map(Vec::len).sum();
        let lease = match &self.lease {
            Lease::Held(fence) => Some(fence.lease().0),
            Lease::None { .. } | Lease::Opening | Lease::Closing(_) | Lease::Unclosed(_) => None,
        };
        let (state, reason) = self.state_and_reason(now);
        WorkflowStatus {
            state,
            reason,
            incarnation: self.seed.incarnation,
            lease,
            in_flight: self.in_flight.len(),
            unsettled: self.pending.len() + self.settling_items + held_back + self.aside.len(),
            set_aside: self.aside.len(),
            set_aside_ms: self.aside.since().map(age),
            set_aside_by: self.aside.by().map(str::to_owned),
            set_aside_full: self.aside.len() >= aside::bound(&self.settings),
            restarts: self.seed.restarts,
            last_claim_ms_ago: self.last_claim.map(age),
            last_progress_ms_ago: self.last_progress.map(age),
            oldest_in_flight_ms: self.in_flight.values().min().copied().map(age),
            snoozed_for_ms: self
                .snoozed_until(now)
                .map(|until| millis(until.saturating_duration_since(now))),
            rate_limited: self.allowance(now) == Some(0),
            store_trouble_ms: self.trouble.outage().map(|(since, _)| age(since)),
            store_silent_ms: self.unanswered.iter().map(|(_, sent)| age(*sent)).max(),
            ..counted(
                self.seed.name(),
                &self.seed.continuity.counts,
                self.settings.clone(),
            )
        }
    }

    fn state_and_reason(&self, now: Instant) -> (State, Option<String>) {
        let outage = self
            .trouble
            .outage()
            .map(|(_, error)| format!("store unavailable: {error}"));
        let held = matches!(self.lease, Lease::Held(_));
        let busy = !self.in_flight.is_empty() || self.settling > 0 || self.claiming.is_some();
        let limit = if self.aside.len() >= aside::bound(&self.settings) {
            Some(set_aside(self.aside.len(), self.aside.by()))
        } else if let Some(until) = self.snoozed_until(now) {
            let seconds = until.saturating_duration_since(now).as_secs();
            Some(format!("snoozed for {seconds} s"))
        } else if self.allowance(now) == Some(0) {
            Some("rate limit reached".to_owned())
        } else {
            None
        };
        if self.draining {
            (State::Draining, outage)
        } else if self.paused {
            (State::Paused, outage)
        } else if outage.is_some() {
            (State::Waiting, outage)
        } else if !held {
            (State::Starting, None)
        } else if busy {
            (State::Running, limit)
        } else {
            (State::Waiting, limit)
        }
    }
}

/// Why no more is claimed: so many outcomes wait for a lock of somebody else's.
fn set_aside(outcomes: usize, by: Option<&str>) -> String {
    let by = by.unwrap_or("somebody else");
    format!("{outcomes} results set aside, locked by {by}")
}

/// A status with nothing in it but the counts.
pub(crate) fn counted(name: &str, counts: &Counts, settings: Settings) -> WorkflowStatus {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    WorkflowStatus {
        name: name.to_owned(),
        state: State::Starting,
        reason: None,
        incarnation: 0,
        lease: None,
        in_flight: 0,
        unsettled: 0,
        set_aside: 0,
        set_aside_ms: None,
        set_aside_by: None,
        set_aside_full: false,
        claimed: read(&counts.claimed),
        completed: read(&counts.completed),
        filtered: read(&counts.filtered),
        retried: read(&counts.retried),
        snoozed: read(&counts.snoozed),
        failed: read(&counts.failed),
        released: read(&counts.released),
        stale: read(&counts.stale),
        dropped: read(&counts.dropped),
        restarts: 0,
        last_claim_ms_ago: None,
        last_progress_ms_ago: None,
        oldest_in_flight_ms: None,
        snoozed_for_ms: None,
        rate_limited: false,
        store_trouble_ms: None,
        store_silent_ms: None,
        settings,
    }
}

//! What an incarnation does of its own accord after every message, in this order: check the fence, settle, try what was set
//! aside, renew a doubtful lease, open one, claim, end a drain, set the alarm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Msg;
use super::aside;
use super::decide::{Room, Waiting, demand, patience};
use super::incarnation::{Incarnation, Lease};
use super::trouble::Operation;
use crate::control::notify;
use crate::port::{LeaseId, Port, PortError, Settlement};

/// Two, so that one batch can be sent while the other's commit is on its way to the disk.
const SETTLES_IN_THE_AIR: usize = 2;

/// The part of an interval that chance may take off.
const INTERVAL_JITTER: f64 = 0.1;

/// An interval of zero must not become a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// How often a workflow that waits for the heart looks whether it beats.
const HEART_LOOK: Duration = Duration::from_millis(250);

/// Why a lease was not renewed in time.
#[derive(Debug, thiserror::Error)]
#[error("the heartbeat is not answered")]
struct HeartSilent;

impl<P: Port> Incarnation<P> {
    /// Does whatever has become possible, and sets the alarm for whatever comes next. Constant time.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        self.check_fence(now);
        self.start_settles(now);
        self.try_aside(now);
        self.renew_doubtful_lease(now);
        self.open_lease(now);
        self.start_claim(now);
        self.finish_drain(now);
        self.set_alarm(now);
    }

    fn check_fence(&mut self, now: Instant) {
        let Lease::Held(fence) = &self.lease else {
            return;
        };
        if fence.holds(now) {
            return;
        }
        let renewed = fence.renewed(self.seed.tree.fence_after());
        self.lose_lease("not renewed in time", Some(renewed), now);
        if !self.seed.leases.pulse().ok {
            let error = PortError::unavailable(HeartSilent);
            self.call_failed(Operation::OpenLease, error, now);
        }
    }

    /// Whether the heart has yet to beat before a lease may be opened.
    fn awaits_beat(&self) -> bool {
        match self.lease {
            Lease::None { after_beat, .. } => {
                after_beat.is_some() && self.seed.leases.pulse().renewed <= after_beat
            }
            Lease::Opening | Lease::Held(_) | Lease::Closing(_) | Lease::Unclosed(_) => false,
        }
    }

    fn start_settles(&mut self, now: Instant) {
        let Lease::Held(fence) = &self.lease else {
            return;
        };
        let lease = fence.lease();
        let slots = if self.trouble.is_failing(Operation::Settle) {
            1
        } else {
            SETTLES_IN_THE_AIR
        };
        while self.settling < slots && self.trouble.allows(Operation::Settle, now) {
            let batch = if let Some(batch) = self.held_back.pop_front() {
                batch
            } else if self.settle_at().is_some_and(|at| at <= now) {
                let items = self.settings.settle_items.max(1).min(self.pending.len());
                self.pending_since = now;
                self.pending.drain(..items).collect()
            } else {
                return;
            };
            self.settling += 1;
            self.settling_items += batch.len();
            self.settle(lease, batch, false, now);
        }
    }

    /// Tries again what was set aside, beside the other settles: it takes none of their places, nor they its.
    fn try_aside(&mut self, now: Instant) {
        let Lease::Held(fence) = &self.lease else {
            return;
        };
        let lease = fence.lease();
        if !self.trouble.allows(Operation::Settle, now) {
            return;
        }
        if let Some(batch) = self.aside.take_due(now, self.settings.settle_items) {
            self.settle(lease, batch, true, now);
        }
    }

    fn settle(
        &mut self,
        lease: LeaseId,
        batch: Vec<Settlement<P::Output>>,
        aside: bool,
        sent: Instant,
    ) {
        let (port, session) = (Arc::clone(&self.port), self.session);
        self.call(Operation::Settle, sent, async move {
            let result = port.settle(lease, &batch).await;
            Msg::Settled {
                session,
                aside,
                batch,
                sent,
                result,
            }
        });
    }

    /// When the outcomes that wait are to be settled, if any do.
    fn settle_at(&self) -> Option<Instant> {
        if self.pending.is_empty() {
            return None;
        }
        if self.draining {
            return Some(self.pending_since);
        }
        let waiting = Waiting {
            outcomes: self.pending.len(),
            in_flight: self.in_flight.len(),
            starving: self.hungry
                && self.claiming.is_none()
                && self.in_flight.len() + self.pending.len() >= self.settings.concurrency,
        };
        Some(self.pending_since + patience(waiting, &self.settings))
    }

    /// Everything claimed under the lease is recorded, as far as this actor knows, or given up at the end of a drain.
    fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
            && self.pending.is_empty()
            && self.settling == 0
            && self.held_back.is_empty()
            && (self.aside.is_empty() || self.aborting)
            && self.claiming.is_none()
    }

    /// A claim's answer was lost, and nothing else stands in the way of another lease.
    fn is_to_renew(&self) -> bool {
        self.doubtful_since.is_some() && !self.draining && self.is_idle()
    }

    /// After a claim whose answer was lost, opens a new lease that takes back what the old one may hold unknown to us. Not while
    /// the heart is silent: the store would not open one, and the old one is as good as any.
    fn renew_doubtful_lease(&mut self, now: Instant) {
        if !self.is_to_renew() || !self.seed.leases.pulse().ok {
            return;
        }
        if let Lease::Held(fence) = &self.lease {
            let lease = fence.lease();
            self.seed.leases.remove(lease);
            let continuity = &self.seed.continuity;
            continuity.lease_lost(self.seed.incarnation, lease);
            self.lease = Lease::None {
                not_before: now,
                after_beat: None,
            };
            self.session += 1;
            self.doubtful_since = None;
        }
    }

    fn open_lease(&mut self, now: Instant) {
        let Lease::None { not_before, .. } = self.lease else {
            return;
        };
        if self.misconfigured
            || self.draining
            || now < not_before
            || self.awaits_beat()
            || !self.trouble.allows(Operation::OpenLease, now)
        {
            return;
        }
        self.lease = Lease::Opening;
        let (port, session) = (Arc::clone(&self.port), self.session);
        let (ttl, previous) = (self.seed.tree.lease_ttl, self.seed.continuity.previous());
        let sent = now;
        self.call(Operation::OpenLease, sent, async move {
            let result = port.open_lease(ttl, previous).await;
            Msg::LeaseOpened {
                session,
                sent,
                result,
            }
        });
    }

    fn start_claim(&mut self, now: Instant) {
        if self.reminders.take_due(now) {
            self.claim_soon();
        }
        if now >= self.next_interval {
            self.hungry = true;
            self.next_interval = now + self.interval();
        }
        if !self.hungry || self.claiming.is_some() {
            return;
        }
        let Lease::Held(fence) = &self.lease else {
            return;
        };
        let lease = fence.lease();
        let limit = demand(self.room(now));
        if limit == 0 {
            return;
        }
        self.hungry = false;
        let (port, session) = (Arc::clone(&self.port), self.session);
        let sent = now;
        let claiming = self.call(Operation::Claim, sent, async move {
            let result = port.claim(lease, limit).await;
            Msg::Claimed {
                session,
                limit,
                sent,
                result,
            }
        });
        self.claiming = Some(claiming);
    }

    fn room(&self, now: Instant) -> Room {
        // While something is set aside the actor does not come to rest, however long it waits.
        let too_doubtful = self.aside.is_empty()
            && self
                .doubtful_since
                .is_some_and(|since| now >= since + self.seed.tree.lease_ttl);
        Room {
            batch_size: self.settings.batch_size,
            concurrency: self.settings.concurrency,
            in_flight: self.in_flight.len(),
            unsettled: self.pending.len(),
            allowance: self.allowance(now),
            barred: self.paused
                || self.misconfigured
                || self.draining
                || too_doubtful
                || self.snoozed_until(now).is_some()
                // More work that cannot be recorded helps nobody.
                || self.trouble.is_failing(Operation::Settle)
                || self.aside.len() >= aside::bound(&self.settings)
                || !self.trouble.allows(Operation::Claim, now),
        }
    }

    pub(super) fn allowance(&self, now: Instant) -> Option<usize> {
        self.settings.rate.map(|rate| {
            self.seed
                .continuity
                .with_window(|window| window.available(rate, now))
        })
    }

    pub(super) fn snoozed_until(&self, now: Instant) -> Option<Instant> {
        self.seed
            .continuity
            .snoozed_until()
            .filter(|&until| until > now)
    }

    /// Ends the drain when nothing is left in hand: gives the lease back, then stops.
    fn finish_drain(&mut self, now: Instant) {
        if !self.draining {
            return;
        }
        let lease = match &self.lease {
            // The answer tells which lease to close, unless there is no time left for it.
            Lease::Opening if !self.aborting => return,
            Lease::Opening | Lease::None { .. } => {
                self.myself.stop(None);
                return;
            }
            Lease::Closing(_) => return,
            Lease::Unclosed(lease) => *lease,
            Lease::Held(fence) => {
                let lease = fence.lease();
                if !self.is_idle() {
                    return;
                }
                self.seed.leases.remove(lease);
                lease
            }
        };
        if !self.trouble.allows(Operation::CloseLease, now) {
            self.lease = Lease::Unclosed(lease);
            return;
        }
        self.lease = Lease::Closing(lease);
        let port = Arc::clone(&self.port);
        self.call(Operation::CloseLease, now, async move {
            Msg::LeaseClosed(port.close_lease(lease).await)
        });
    }

    fn set_alarm(&mut self, now: Instant) {
        let Some(next) = self.next_due(now) else {
            return;
        };
        if let Some((at, alarm)) = &self.alarm {
            // Ringing early is harmless: it is then set again. Most messages change nothing here.
            if *at <= next {
                return;
            }
            alarm.abort();
        }
        while self.tasks.try_join_next().is_some() {}
        let myself = self.myself.clone();
        let alarm = self.tasks.spawn(async move {
            sleep_until(next).await;
            notify(&myself, Msg::Alarm);
        });
        self.alarm = Some((next, alarm));
    }

    /// The next instant at which time alone makes something possible. What is possible already has been done, or waits
    /// for a message.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let lease = match &self.lease {
            Lease::None { not_before, .. } => {
                let look = self.awaits_beat().then(|| now + HEART_LOOK);
                let allowed = self.trouble.not_before(Operation::OpenLease);
                allowed.max(Some(*not_before)).max(look)
            }
            Lease::Held(fence) => {
                let look = self.is_to_renew().then(|| now + HEART_LOOK);
                Some(look.map_or(fence.deadline(), |look| look.min(fence.deadline())))
            }
            Lease::Unclosed(_) => self.trouble.not_before(Operation::CloseLease),
            Lease::Opening | Lease::Closing(_) => None,
        };
        let rate_free = self.settings.rate.and_then(|rate| {
            self.seed
                .continuity
                .with_window(|window| window.next_free(rate))
        });
        let claiming = self.claiming.is_none() && !self.paused && !self.draining;
        let claim = claiming.then_some([
            Some(self.next_interval),
            self.reminders.next(),
            self.trouble.not_before(Operation::Claim),
            self.snoozed_until(now),
            rate_free,
        ]);
        [
            lease,
            self.settle_at(),
            self.trouble.not_before(Operation::Settle),
            self.aside.next(),
        ]
        .into_iter()
        .chain(claim.into_iter().flatten())
        .flatten()
        .filter(|&at| at > now)
        .min()
    }

    /// Until the next claim that nothing asks for. Never quite the same: workflows that were started together would else ask
    /// the store in the same instant for ever, each on a connection of its own.
    pub(super) fn interval(&self) -> Duration {
        let longest = self.settings.interval.max(SHORTEST_INTERVAL);
        longest.mul_f64(1.0 - INTERVAL_JITTER * rand::random::<f64>())
    }
}

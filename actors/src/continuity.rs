//! What outlives an incarnation of a workflow's actor: its lease, counts, rate and snooze.
//!
//! The live incarnation writes it as it goes, because an actor that panics or hangs has no last words. The next one reads
//! it when it starts; the supervisor reads it where there is no actor to ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::lease::{Fence, lock};
use crate::port::{Ending, LeaseId, Previous, SettleReport};
use crate::rate::Window;

#[derive(Default)]
pub(crate) struct Continuity {
    pub(crate) counts: Counts,
    /// A wake is on its way to the actor: another would say nothing new.
    rung: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    incarnation: u64,
    lease: Option<LeaseId>,
    /// That lease was lost while its actor lived.
    is_lost: bool,
    fence: Option<Arc<Fence>>,
    window: Window,
    snoozed_until: Option<Instant>,
}

/// Items since the process started.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) claimed: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) snoozed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) released: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

impl Counts {
    pub(crate) fn settled(&self, report: &SettleReport) {
        for (count, items) in [
            (&self.completed, report.completed),
            (&self.filtered, report.filtered),
            (&self.retried, report.retried),
            (&self.snoozed, report.snoozed),
            (&self.failed, report.failed),
            (&self.released, report.released),
            (&self.stale, report.stale),
        ] {
            count.fetch_add(items, Ordering::Relaxed);
        }
    }
}

/// Adds a number of items to a count.
pub(crate) fn add(count: &AtomicU64, items: usize) {
    count.fetch_add(u64::try_from(items).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl Continuity {
    /// A new incarnation takes over: what the one before it still does is no longer recorded, and its items stop.
    pub(crate) fn take_over(&self, incarnation: u64) {
        let fence = {
            let mut kept = lock(&self.kept);
            kept.incarnation = incarnation;
            kept.fence.take()
        };
        if let Some(fence) = fence {
            fence.break_now();
        }
        self.rung.store(false, Ordering::Release);
    }

    /// Stops the items of an incarnation that is dead or as good as dead; its lease stays known, for the next one.
    pub(crate) fn stop_items(&self) -> Option<LeaseId> {
        let (fence, lease) = {
            let mut kept = lock(&self.kept);
            (kept.fence.take(), kept.lease)
        };
        if let Some(fence) = fence {
            fence.break_now();
        }
        lease
    }

    pub(crate) fn lease(&self) -> Option<LeaseId> {
        lock(&self.kept).lease
    }

    /// The lease that is to be taken over, and how it ended.
    pub(crate) fn previous(&self) -> Option<Previous> {
        let kept = lock(&self.kept);
        let ending = if kept.is_lost {
            Ending::Lost
        } else {
            Ending::Died
        };
        kept.lease.map(|lease| Previous { lease, ending })
    }

    /// Notes that this incarnation lives and has lost its lease: should it die before it has another, its items had stopped
    /// by then. Without effect for one that has been superseded, whose items are its successor's to judge.
    pub(crate) fn lease_lost(&self, incarnation: u64, lease: LeaseId) {
        let mut kept = lock(&self.kept);
        if kept.incarnation == incarnation && kept.lease == Some(lease) {
            kept.is_lost = true;
        }
    }

    /// Records the lease of this incarnation; refused if it has been superseded.
    pub(crate) fn lease_opened(&self, incarnation: u64, fence: Arc<Fence>) -> bool {
        let mut kept = lock(&self.kept);
        let current = kept.incarnation == incarnation;
        if current {
            kept.lease = Some(fence.lease());
            kept.is_lost = false;
            kept.fence = Some(fence);
        }
        current
    }

    /// Forgets a lease that has been closed.
    pub(crate) fn lease_closed(&self, lease: LeaseId) {
        let mut kept = lock(&self.kept);
        if kept.lease == Some(lease) {
            kept.lease = None;
            kept.fence = None;
        }
    }

    pub(crate) fn with_window<T>(&self, f: impl FnOnce(&mut Window) -> T) -> T {
        f(&mut lock(&self.kept).window)
    }

    pub(crate) fn snoozed_until(&self) -> Option<Instant> {
        lock(&self.kept).snoozed_until
    }

    /// Snoozes the workflow until then, or longer if it already is.
    pub(crate) fn snooze(&self, until: Instant) {
        let mut kept = lock(&self.kept);
        kept.snoozed_until = kept.snoozed_until.max(Some(until));
    }

    pub(crate) fn end_snooze(&self) {
        lock(&self.kept).snoozed_until = None;
    }

    /// Whether the bell was silent before.
    pub(crate) fn ring(&self) -> bool {
        !self.rung.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn answer_bell(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

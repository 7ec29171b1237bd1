//! The node's heartbeat and its self-fencing.
//!
//! All leases of the process are renewed by one call every few seconds, from an operating system thread with a runtime of
//! its own, so that a parser hogging the workers cannot let them expire. Each lease has a [`Fence`]: a local deadline on
//! the monotonic clock, the instant *before* the last successful beat was sent plus the lease's life minus a margin. Past
//! it, the items running under the lease cancel themselves by their own timers; that depends on neither the thread nor
//! the actor's mailbox, and comes before any other node may take the items.
//!
//! Invariants:
//! - A fence that has been passed or lifted never holds again; its actor opens another lease.
//! - A deadline is never later than the store's own expiry minus the margin, as far as the two clocks run alike.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::observer::{Event, Observer};
use crate::port::{Heart, LeaseId, PortError};
use crate::settings::TreeSettings;

/// After a beat that failed, the next one comes this soon.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// A heartbeat of zero must not become a busy loop.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(10);

/// The right to work items under one lease, until a deadline on this process' own clock.
pub(crate) struct Fence {
    lease: LeaseId,
    origin: Instant,
    /// Nanoseconds from `origin`; 0 once the lease is lost.
    deadline: AtomicU64,
    /// Items are to stop, though the lease may still be good for settling.
    cancelled: AtomicBool,
    cancel: Notify,
}

impl Fence {
    /// A fence for a lease whose opening was asked for at `sent`.
    pub(crate) fn new(lease: LeaseId, sent: Instant, holds_for: Duration) -> Arc<Self> {
        Arc::new(Self {
            lease,
            origin: sent,
            // One nanosecond at least: 0 means lost.
            deadline: AtomicU64::new(nanos(holds_for).max(1)),
            cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
        })
    }

    pub(crate) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// The instant up to which the lease may be worked under.
    pub(crate) fn deadline(&self) -> Instant {
        self.origin + Duration::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    /// Whether the lease may be worked under now.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        now < self.deadline()
    }

    /// When the beat that last moved the deadline was sent, if each adds `holds_for`.
    pub(crate) fn renewed(&self, holds_for: Duration) -> Instant {
        let deadline = self.deadline();
        deadline.checked_sub(holds_for).unwrap_or(self.origin)
    }

    /// Moves the deadline after a successful beat; without effect once it has been passed.
    fn renew(&self, sent: Instant, holds_for: Duration) {
        let now = Instant::now();
        let renewed = nanos((sent + holds_for).saturating_duration_since(self.origin));
        // An error means that the fence no longer holds, which is then the answer.
        let _renewed = self
            .deadline
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |current| {
                let holds = now < self.origin + Duration::from_nanos(current);
                holds.then_some(renewed.max(current))
            });
    }

    /// Gives the lease up and cancels its items.
    pub(crate) fn break_now(&self) {
        self.deadline.store(0, Ordering::Release);
        self.cancel_items();
    }

    /// Cancels the items without giving the lease up.
    pub(crate) fn cancel_items(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.cancel.notify_waiters();
    }

    /// Resolves when the items are to stop; deadlines are for the caller's own timer.
    pub(crate) async fn cancelled(&self) {
        let mut notified = std::pin::pin!(self.cancel.notified());
        notified.as_mut().enable();
        if !self.cancelled.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    // Three centuries are enough, and must not overflow an `Instant`.
    u64::try_from(duration.as_nanos()).map_or(u64::MAX / 2, |nanos| nanos.min(u64::MAX / 2))
}

struct Held {
    fence: Arc<Fence>,
    /// Tells the lease's actor that it is lost.
    lost: Box<dyn Fn() + Send>,
}

/// The leases of this process, between the actors that open them and the heart that renews them.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<LeaseId, Held>>,
    pulse: Mutex<Pulse>,
}

/// How the heart is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) ok: bool,
    /// When the last answered beat was sent.
    pub(crate) renewed: Option<Instant>,
}

impl Leases {
    pub(crate) fn insert(&self, fence: Arc<Fence>, lost: Box<dyn Fn() + Send>) {
        lock(&self.held).insert(fence.lease(), Held { fence, lost });
    }

    pub(crate) fn remove(&self, lease: LeaseId) {
        lock(&self.held).remove(&lease);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.held).len()
    }

    pub(crate) fn pulse(&self) -> Pulse {
        *lock(&self.pulse)
    }

    fn ids(&self) -> Vec<LeaseId> {
        lock(&self.held).keys().copied().collect()
    }

    /// Takes in the answer to a beat sent at `sent`, when `asked` were the leases held. A lease opened since is not
    /// expected in it.
    fn renewed(&self, asked: &[LeaseId], kept: &[LeaseId], sent: Instant, holds_for: Duration) {
        let mut held = lock(&self.held);
        for lease in asked {
            if kept.contains(lease) {
                if let Some(one) = held.get(lease) {
                    one.fence.renew(sent, holds_for);
                }
            } else if let Some(one) = held.remove(lease) {
                one.fence.break_now();
                (one.lost)();
            }
        }
        *lock(&self.pulse) = Pulse {
            ok: true,
            renewed: Some(sent),
        };
    }

    fn missed(&self) {
        lock(&self.pulse).ok = false;
    }
}

/// A panic while one of these is held leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Renews the leases until `stop` is dropped. The same loop runs on its own thread in production and as a task in tests.
pub(crate) async fn beat_until_stopped(
    mut heart: impl Heart,
    leases: Arc<Leases>,
    settings: TreeSettings,
    observer: Arc<dyn Observer>,
    mut stop: watch::Receiver<()>,
) {
    let mut outage: Option<Instant> = None;
    loop {
        let asked = leases.ids();
        let sent = Instant::now();
        // A beat that hangs is cut off while there is still time for another.
        let patience = settings
            .heartbeat
            .min(settings.fence_after() / 2)
            .max(RETRY_AFTER);
        let beat = async { heart.beat(settings.lease_ttl).await };
        let answer = tokio::select! {
            answer = timeout(patience, AssertUnwindSafe(beat).catch_unwind()) => answer,
            _ = stop.changed() => return,
        };
        let failure = match answer {
            Ok(Ok(Ok(kept))) => {
                leases.renewed(&asked, &kept, sent, settings.fence_after());
                None
            }
            Ok(Ok(Err(error))) => Some(crate::chain(&error)),
            Ok(Err(panic)) => Some(format!("panicked: {}", crate::panic_message(&*panic))),
            Err(_elapsed) => Some(format!("no answer within {patience:?}")),
        };
        observer.observe(Event::Heartbeat {
            ok: failure.is_none(),
            leases: leases.len(),
            elapsed: sent.elapsed(),
        });
        let next = match failure {
            None => {
                if let Some(since) = outage.take() {
                    tracing::info!(after = ?since.elapsed(), "heartbeat recovered");
                }
                sent + settings.heartbeat.max(SHORTEST_HEARTBEAT)
            }
            Some(error) => {
                leases.missed();
                if outage.is_none() {
                    tracing::warn!(error, leases = asked.len(), "heartbeat failed, retrying");
                    outage = Some(sent);
                }
                Instant::now() + RETRY_AFTER
            }
        };
        tokio::select! {
            () = sleep_until(next) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Runs [`beat_until_stopped`] on a thread with a runtime of its own.
///
/// # Errors
/// The thread or its runtime could not be made.
pub(crate) fn spawn_heart_thread(
    heart: impl Heart,
    leases: Arc<Leases>,
    settings: TreeSettings,
    observer: Arc<dyn Observer>,
    stop: watch::Receiver<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || {
            runtime.block_on(beat_until_stopped(heart, leases, settings, observer, stop));
            // A look-up or connection attempt still under way on a blocking thread must not delay the exit.
            runtime.shutdown_background();
        })?;
    Ok(())
}

/// Whether an error means that the lease is gone.
pub(crate) fn is_lost(error: &PortError) -> bool {
    matches!(error, PortError::LeaseLost(_))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const HOLDS: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn a_fence_counts_from_the_instant_before_the_beat() {
        let sent = Instant::now();
        let fence = Fence::new(LeaseId(1), sent, HOLDS);
        tokio::time::advance(Duration::from_secs(3)).await;
        fence.renew(sent + Duration::from_secs(2), HOLDS);
        assert_eq!(fence.deadline(), sent + Duration::from_secs(10));
        assert!(fence.holds(sent + Duration::from_millis(9_999)));
        assert!(!fence.holds(sent + Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fence_once_passed_is_not_renewed() {
        let sent = Instant::now();
        let fence = Fence::new(LeaseId(1), sent, HOLDS);
        tokio::time::advance(Duration::from_secs(9)).await;
        fence.renew(Instant::now(), HOLDS);
        assert!(!fence.holds(Instant::now()));
        let broken = Fence::new(LeaseId(2), Instant::now(), HOLDS);
        broken.break_now();
        broken.renew(Instant::now(), HOLDS);
        assert!(!broken.holds(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_the_answer_omits_is_lost_unless_it_is_newer_than_the_question() {
        let leases = Leases::default();
        let told = Arc::new(AtomicUsize::new(0));
        let sent = Instant::now();
        for id in 1..=3 {
            let told = Arc::clone(&told);
            leases.insert(
                Fence::new(LeaseId(id), sent, HOLDS),
                Box::new(move || {
                    told.fetch_add(1, Ordering::Relaxed);
                }),
            );
        }
        leases.renewed(&[LeaseId(1), LeaseId(2)], &[LeaseId(1)], sent, HOLDS);
        assert_eq!(told.load(Ordering::Relaxed), 1);
        let mut left = leases.ids();
        left.sort();
        assert_eq!(left, [LeaseId(1), LeaseId(3)]);
        assert!(leases.pulse().ok);
    }
}

//! What the engine tells whoever wants to count: one call per thing that happened.
//!
//! Called from actors, item tasks and the heartbeat's thread, so an observer returns quickly and never blocks.

use std::time::Duration;

use crate::port::{LeaseId, SettleReport};

/// Receives the engine's events. The application turns them into metrics.
pub trait Observer: Send + Sync + 'static {
    /// Something happened. Must not block.
    fn observe(&self, event: Event<'_>);
}

/// An observer that looks away.
impl Observer for () {
    fn observe(&self, _event: Event<'_>) {}
}

/// Something that happened in the engine.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A claim was answered.
    Claimed {
        /// Which workflow.
        workflow: &'a str,
        /// How many items it brought; may be none.
        items: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// An item ran to an end of its own, or into its timeout.
    ItemRun {
        /// Which workflow.
        workflow: &'a str,
        /// `completed`, `filtered`, `retry`, `snooze`, `permanent`, `timeout` or `panic`.
        outcome: &'static str,
        /// How long it ran.
        elapsed: Duration,
    },
    /// A batch was settled.
    Settled {
        /// Which workflow.
        workflow: &'a str,
        /// What became of the batch.
        report: &'a SettleReport,
        /// How long it took.
        elapsed: Duration,
    },
    /// The store began to fail; reported once per outage.
    StoreTrouble {
        /// Which workflow noticed.
        workflow: &'a str,
        /// `open_lease`, `claim`, `settle` or `close_lease`.
        operation: &'static str,
        /// The error chain in one line.
        error: &'a str,
    },
    /// The store answers again.
    StoreRecovered {
        /// Which workflow noticed.
        workflow: &'a str,
        /// How long it was away.
        after: Duration,
    },
    /// A lease was opened.
    LeaseOpened {
        /// Which workflow.
        workflow: &'a str,
        /// Its lease.
        lease: LeaseId,
        /// How many items of the incarnation before it were taken back.
        taken_back: u64,
    },
    /// A lease was lost; its items were cancelled and their outcomes dropped.
    LeaseLost {
        /// Which workflow.
        workflow: &'a str,
        /// The lease that is no more.
        lease: LeaseId,
        /// How many items in hand were dropped.
        dropped: usize,
        /// How it came to light.
        reason: &'static str,
    },
    /// An actor died and is to be started again.
    ActorRestarted {
        /// Which workflow, ticker or service.
        workflow: &'a str,
        /// What it died of.
        reason: &'a str,
    },
    /// An actor is not started again until someone says so.
    Parked {
        /// Which workflow, ticker or service.
        workflow: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A parked actor is started again, or taken out.
    Unparked {
        /// Which workflow, ticker or service.
        workflow: &'a str,
    },
    /// An actor made no progress, or no longer answers, and is being restarted.
    Stalled {
        /// Which workflow.
        workflow: &'a str,
        /// What was seen.
        reason: &'a str,
    },
    /// A beat of the heart.
    Heartbeat {
        /// Whether the store answered.
        ok: bool,
        /// How many leases this process holds.
        leases: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// A periodic job ended, or a service did.
    HelperRun {
        /// Its name.
        name: &'a str,
        /// Whether it succeeded.
        ok: bool,
        /// How long it ran.
        elapsed: Duration,
    },
}

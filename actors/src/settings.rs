//! What can be set: per workflow, and for the tree as a whole. Plain data; whoever fills it validates it.

use std::time::Duration;

use serde::Serialize;

pub use crate::backoff::Backoff;
pub use crate::rate::Rate;

/// The settings of one workflow. All of them can change while it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Whether the workflow runs at all. Disabling drains it.
    pub enabled: bool,
    /// The longest time between two claims while nothing wakes the workflow.
    pub interval: Duration,
    /// The most items taken by one claim.
    pub batch_size: usize,
    /// The most items held at once: running, or finished and waiting for a settle to start.
    pub concurrency: usize,
    /// The longest one item may run.
    pub timeout: Duration,
    /// A retryable failure of this attempt, or a later one, is final.
    pub max_attempts: i16,
    /// The delay before an item's next attempt.
    pub backoff: Backoff,
    /// A ceiling on the items claimed, or none.
    pub rate: Option<Rate>,
    /// A settle starts when this many outcomes wait; no settle carries more.
    pub settle_items: usize,
    /// A settle starts when the oldest outcome has waited this long.
    pub settle_age: Duration,
    /// Backlog and no progress for this long: the workflow's actor is restarted, and that is reported.
    pub stall_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(60),
            batch_size: 10,
            concurrency: 10,
            timeout: Duration::from_secs(30),
            max_attempts: 5,
            backoff: Backoff::new(Duration::from_secs(5), Duration::from_secs(3_600)),
            rate: None,
            settle_items: 50,
            settle_age: Duration::from_millis(200),
            stall_after: Duration::from_secs(60),
        }
    }
}

/// The settings of the tree, fixed for its life.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TreeSettings {
    /// How long a lease lasts after it was opened or renewed.
    pub lease_ttl: Duration,
    /// How often all leases of this process are renewed.
    pub heartbeat: Duration,
    /// A process that could not renew stops its own items this long before the lease's end.
    pub fence_margin: Duration,
    /// More than this many deaths of one actor within `restart_window` park it.
    pub max_restarts: u32,
    /// The window over which deaths are counted.
    pub restart_window: Duration,
    /// The delay before an actor is started again, growing with its deaths in the window.
    pub restart_backoff: Backoff,
    /// How often every actor is asked for its status, to find one that hangs.
    pub watch_interval: Duration,
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(10),
            heartbeat: Duration::from_secs(3),
            fence_margin: Duration::from_secs(2),
            max_restarts: 5,
            restart_window: Duration::from_secs(60),
            restart_backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            watch_interval: Duration::from_secs(5),
        }
    }
}

impl TreeSettings {
    /// How long after the instant before a successful beat its leases may be worked under: the lease's life minus the
    /// margin.
    #[must_use]
    pub fn fence_after(&self) -> Duration {
        self.lease_ttl.saturating_sub(self.fence_margin)
    }
}

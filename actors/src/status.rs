//! What the tree looks like at one moment: for the dashboard, the command line and tests. All times are ages in
//! milliseconds, so that a reader needs no clock in common with this process.

use std::time::Duration;

use serde::Serialize;

use crate::settings::Settings;

/// A snapshot of the whole tree.
#[derive(Clone, Debug, Serialize)]
pub struct TreeStatus {
    /// Every workflow, in the order they were given.
    pub workflows: Vec<WorkflowStatus>,
    /// Every ticker and service, in the order they were given.
    pub helpers: Vec<HelperStatus>,
    /// Whether the tree is on its way down.
    pub draining: bool,
    /// How long ago the leases were last renewed; none before the first time.
    pub heartbeat_age_ms: Option<u64>,
    /// Whether the last beat was answered.
    pub heartbeat_ok: bool,
    /// How many leases this process holds.
    pub leases: usize,
}

impl TreeStatus {
    /// The workflow of this name.
    #[must_use]
    pub fn workflow(&self, name: &str) -> Option<&WorkflowStatus> {
        self.workflows.iter().find(|workflow| workflow.name == name)
    }

    /// The ticker or service of this name.
    #[must_use]
    pub fn helper(&self, name: &str) -> Option<&HelperStatus> {
        self.helpers.iter().find(|helper| helper.name == name)
    }
}

/// What an actor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Opening its lease.
    Starting,
    /// Claiming, working or settling.
    Running,
    /// Nothing to do, or not allowed to do it just now; the reason says which.
    Waiting,
    /// Not claiming, because someone said so.
    Paused,
    /// Given up until someone says otherwise.
    Parked,
    /// Cannot start until its configuration changes; the reason says what is missing. No trouble while it has no items.
    Idle,
    /// Switched off in the settings.
    Disabled,
    /// Finishing what it has, on its way down.
    Draining,
    /// It does not answer.
    Stalled,
    /// Dead, and about to be started again.
    Restarting,
}

impl State {
    /// The word that stands for it in JSON, metrics and on the screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Parked => "parked",
            Self::Idle => "idle",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
            Self::Restarting => "restarting",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A snapshot of one workflow. The counts are since the process started, over all incarnations of its actor.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// How many times its actor was started.
    pub incarnation: u64,
    /// The lease it works under.
    pub lease: Option<i64>,
    /// Items being run.
    pub in_flight: usize,
    /// Items that ran and whose outcome is not recorded yet.
    pub unsettled: usize,
    /// Of these, the ones that somebody else's lock keeps from being recorded. They are recorded as soon as it goes.
    pub set_aside: usize,
    /// For how long there have been any.
    pub set_aside_ms: Option<u64>,
    /// Who has the lock, as far as is known.
    pub set_aside_by: Option<String>,
    /// Whether there are so many that no more items are claimed.
    pub set_aside_full: bool,
    /// Items claimed.
    pub claimed: u64,
    /// Items recorded as `Completed`.
    pub completed: u64,
    /// Items recorded as `Filtered`.
    pub filtered: u64,
    /// Items queued again after a failure.
    pub retried: u64,
    /// Items queued again without one.
    pub snoozed: u64,
    /// Items recorded as `Error`.
    pub failed: u64,
    /// Items handed back.
    pub released: u64,
    /// Outcomes dropped by the store, because the item was no longer ours.
    pub stale: u64,
    /// Outcomes and running items dropped here, because the lease was lost.
    pub dropped: u64,
    /// How many times its actor was started again after a death.
    pub restarts: u64,
    /// How long ago a claim was last answered.
    pub last_claim_ms_ago: Option<u64>,
    /// How long ago items were last claimed, finished or settled.
    pub last_progress_ms_ago: Option<u64>,
    /// How long the longest running item has been running.
    pub oldest_in_flight_ms: Option<u64>,
    /// How long the workflow, snoozed as a whole, will not claim.
    pub snoozed_for_ms: Option<u64>,
    /// Whether claims wait for the rate's ceiling.
    pub rate_limited: bool,
    /// For how long the store has not answered this workflow.
    pub store_trouble_ms: Option<u64>,
    /// For how long the oldest call to the store has been without an answer.
    pub store_silent_ms: Option<u64>,
    /// The settings in force.
    pub settings: Settings,
}

/// A snapshot of a ticker or service.
#[derive(Clone, Debug, Serialize)]
pub struct HelperStatus {
    /// Its name.
    pub name: String,
    /// `ticker` or `service`.
    pub kind: &'static str,
    /// What it is doing.
    pub state: State,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// How many times its actor was started.
    pub incarnation: u64,
    /// Runs that ended well.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Failures since the last success.
    pub failures_in_a_row: u64,
    /// The last failure, until the next success.
    pub last_error: Option<String>,
    /// How long ago a run last ended well.
    pub last_success_ms_ago: Option<u64>,
    /// For how long the present run has been going on.
    pub running_ms: Option<u64>,
    /// How many times its actor was started again after a death.
    pub restarts: u64,
}

/// What became of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// Whether every workflow finished what it had before the deadline.
    pub finished: bool,
    /// Items handed back unfinished.
    pub released: u64,
    /// Workflows whose lease could not be closed; their items are taken back when it expires.
    pub unclosed: Vec<String>,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

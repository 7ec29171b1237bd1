//! What the engine asks of the application: the port through which it claims, runs and settles.
//!
//! The engine decides *when* and *how many*; the application behind the port knows *what* and *where*. Nothing here knows
//! PostgreSQL: an implementation may keep its items in memory (see the `testing` feature), in a table, anywhere that can
//! honour the contract below.
//!
//! The contract, in the order of an item's life:
//!
//! 1. [`Port::open_lease`] gives one incarnation of a workflow's actor the right to claim, until it expires.
//! 2. [`Port::claim`] takes up to `limit` due items under that lease, each with its attempt number already counted.
//! 3. [`Port::run`] works one item. It may be dropped at any await, and may panic; both are the engine's to handle.
//! 4. [`Port::settle`] records what became of a batch, together with its results, and drops what the lease no longer owns.
//! 5. [`Port::close_lease`] hands back, unharmed, whatever is still held.

use std::future::Future;
use std::time::Duration;

/// The key of an item: one row at one stage.
pub type ItemId = i64;

/// The identity of a lease, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct LeaseId(pub i64);

/// The lease that a workflow had before, and how that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Which.
    pub lease: LeaseId,
    /// How.
    pub ending: Ending,
}

/// How a lease ended that was not closed: whom its attempts are charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its actor died under it, perhaps of what it worked: the attempts stay counted.
    Died,
    /// Its actor lives, and could not keep it: the store was away, or the process stood still. No item is to blame, so the
    /// attempts are given back.
    Lost,
}

/// A lease just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedLease {
    /// The new lease.
    pub id: LeaseId,
    /// How many items of the previous incarnation were taken back for it.
    pub taken_back: u64,
}

/// An item in hand.
#[derive(Debug)]
pub struct Claim<I> {
    /// Which item.
    pub item: ItemId,
    /// Which attempt this is, counted from 1 by the claim itself; with the lease, the fence of every later write.
    pub attempt: i16,
    /// How many attempts up to this one do not count against it: they were others' fault, and could not be given back. The store has to
    /// know it only of an item that would otherwise be at its last attempt; 0 for any other.
    pub excused: i16,
    /// What [`Port::run`] needs, loaded for the whole batch at once.
    pub input: I,
}

impl<I> Claim<I> {
    /// How many attempts count against it, this one among them.
    #[must_use]
    pub fn counted(&self) -> i16 {
        self.attempt.saturating_sub(self.excused)
    }
}

/// Why an attempt failed: a short class from a closed set for grouping, and the message for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short word such as `timeout`, `panic`, `http`; bounded in number, so that it may label a metric.
    pub class: &'static str,
    /// The whole error chain in one line.
    pub message: String,
}

impl Failure {
    /// A failure of this class with this message.
    pub fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }
}

/// Whom a snooze concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnoozeScope {
    /// Only this item comes later.
    Item,
    /// The whole workflow stops claiming for that time, as when a quota is used up; the item comes later too.
    Workflow,
}

/// What [`Port::run`] made of an item.
#[derive(Debug)]
pub enum Outcome<O> {
    /// Done, with this result to store.
    Completed(O),
    /// Rightly nothing to do, for this reason ("no website"). Not a failure, never retried.
    Filtered {
        /// Why, as it is to be stored.
        reason: String,
        /// A result to store all the same, where there is one.
        output: Option<O>,
    },
    /// May succeed later. The engine picks the delay (exponential, full jitter), unless the other side named one.
    Retry {
        /// What happened.
        failure: Failure,
        /// Not before this long from now (a Retry-After), instead of the engine's own backoff when longer.
        after: Option<Duration>,
        /// A result to store all the same, where the failure itself is worth keeping.
        output: Option<O>,
    },
    /// Not now, and nobody's fault: the attempt is given back.
    Snooze {
        /// How long from now.
        after: Duration,
        /// Why, for the log and the history.
        reason: String,
        /// The item alone, or the workflow.
        scope: SnoozeScope,
    },
    /// Cannot succeed by trying again.
    Permanent {
        /// What happened.
        failure: Failure,
        /// A result to store all the same, where the failure itself is worth keeping.
        output: Option<O>,
    },
}

/// What is to be recorded for an item: an [`Outcome`] after the engine's decisions (backoff, attempts used up, drain).
#[derive(Debug)]
pub enum Verdict<O> {
    /// Store the result; the item is `Completed`.
    Complete(O),
    /// The item is `Filtered`, for this reason.
    Filter {
        /// Why.
        reason: String,
        /// A result to store all the same, where there is one.
        output: Option<O>,
    },
    /// Due again after this delay; the attempt stays counted.
    Retry {
        /// From the database's now.
        after: Duration,
        /// What happened.
        failure: Failure,
        /// A result to store all the same, where there is one.
        output: Option<O>,
    },
    /// Due again after this delay; the attempt is given back.
    Snooze {
        /// From the database's now.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// The item is `Error`: not retryable, or out of attempts.
    Fail {
        /// What happened.
        failure: Failure,
        /// A result to store all the same, where there is one.
        output: Option<O>,
    },
    /// Given back unharmed (drain): due at once, the attempt given back.
    Release,
}

/// One item's verdict on its way to the store.
#[derive(Debug)]
pub struct Settlement<O> {
    /// Which item.
    pub item: ItemId,
    /// The attempt it was claimed with.
    pub attempt: i16,
    /// How long `run` took.
    pub elapsed: Duration,
    /// What is to be recorded.
    pub verdict: Verdict<O>,
}

/// Items whose outcome cannot be recorded just now: somebody else has a lock on what would be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// These items. They are still ours, and are to be settled again.
    pub items: Vec<ItemId>,
    /// Who has the lock, in words for a person, where that is known.
    pub by: Option<String>,
}

/// What one settle did, in items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Now `Completed`.
    pub completed: u64,
    /// Now `Filtered`.
    pub filtered: u64,
    /// Queued again after a failure.
    pub retried: u64,
    /// Queued again without one.
    pub snoozed: u64,
    /// Now `Error`.
    pub failed: u64,
    /// Handed back.
    pub released: u64,
    /// Dropped, because the item is no longer ours under this lease and attempt.
    pub stale: u64,
    /// Not recorded, and nobody's failure.
    pub blocked: Blocked,
}

impl SettleReport {
    /// How many items it is about.
    #[must_use]
    pub fn items(&self) -> u64 {
        let Self {
            completed,
            filtered,
            retried,
            snoozed,
            failed,
            released,
            stale,
            blocked,
        } = self;
        let blocked = u64::try_from(blocked.items.len()).unwrap_or(u64::MAX);
        completed + filtered + retried + snoozed + failed + released + stale + blocked
    }
}

/// A settle that trouble has stopped. What it had recorded by then stays recorded.
#[derive(Debug, thiserror::Error)]
#[error("a settle came to a stop after {} items", .recorded.items())]
pub struct Unsettled {
    /// What became of as many items, from the front of the batch, as the report is about. They are not to be settled again,
    /// but for those that it calls blocked.
    pub recorded: SettleReport,
    /// What stopped it. Nothing is known to be recorded of the items behind these.
    #[source]
    pub error: PortError,
}

impl From<PortError> for Unsettled {
    /// Nothing was recorded.
    fn from(error: PortError) -> Self {
        Self {
            recorded: SettleReport::default(),
            error,
        }
    }
}

/// Trouble between the engine and its store. Never an item's failure and never a crash.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The store cannot be reached or cannot answer now; the same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store is there and answers, but refuses what it was asked: something stored, or the store's make-up, is at fault.
    /// Waiting does not mend it; other calls may well succeed.
    #[error("the store answers, but refuses what it was asked")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The lease has expired or is gone: what was claimed under it belongs to nobody or to another by now.
    #[error("lease {} is lost", .0.0)]
    LeaseLost(LeaseId),
    /// This workflow cannot work until someone changes something (a missing key, a missing migration).
    #[error("{0}")]
    Misconfigured(String),
}

impl PortError {
    /// The store cannot be reached or cannot answer now, for this reason.
    pub fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// One workflow's items, for the engine. All methods may be called concurrently.
pub trait Port: Send + Sync + 'static {
    /// What an item is worked from.
    type Input: Send + 'static;
    /// What working it yields.
    type Output: Send + Sync + 'static;

    /// Opens a lease of `ttl` for this workflow's actor. Items still held under `previous`, the lease before it in this process,
    /// are taken back in the same step: they are due at once. Where that lease was [`Ending::Lost`], their attempts are given back,
    /// and so are those that others have charged meanwhile for want of a sign of life, as far as nobody has gone on since.
    ///
    /// # Errors
    /// [`PortError::Unavailable`], [`PortError::Misconfigured`].
    fn open_lease(
        &self,
        ttl: Duration,
        previous: Option<Previous>,
    ) -> impl Future<Output = Result<OpenedLease, PortError>> + Send;

    /// Claims up to `limit` due items and loads their inputs. Fewer than `limit` means that no more are due now.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: nothing was claimed, or it will be found under this lease and handed back when the
    /// lease ends. [`PortError::LeaseLost`]: open another.
    fn claim(
        &self,
        lease: LeaseId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Claim<Self::Input>>, PortError>> + Send;

    /// Works one item. Holds no connection to the store. Dropping the future cancels it.
    fn run(&self, claim: Claim<Self::Input>) -> impl Future<Output = Outcome<Self::Output>> + Send;

    /// Records a batch: results and verdicts together, each item only if it is still ours under this lease and its attempt. In
    /// one transaction, or in several from the front of the batch to its end. Repeating a call whose answer was lost is safe:
    /// what was recorded counts as stale. An item that somebody else's lock keeps from being recorded holds no other up: after a
    /// short wait it is reported as blocked, and the others are recorded.
    ///
    /// # Errors
    /// [`Unsettled`], with [`PortError::Unavailable`]: call again with those items that its report is not about.
    fn settle(
        &self,
        lease: LeaseId,
        batch: &[Settlement<Self::Output>],
    ) -> impl Future<Output = Result<SettleReport, Unsettled>> + Send;

    /// Ends a lease: whatever is still held under it is released (due at once, attempt given back). Returns how many were.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: the lease ends by expiring.
    fn close_lease(&self, lease: LeaseId) -> impl Future<Output = Result<u64, PortError>> + Send;

    /// Whether at least one item is due now and unclaimed; asked only of a workflow that shows no progress.
    ///
    /// # Errors
    /// [`PortError::Unavailable`].
    fn has_backlog(&self) -> impl Future<Output = Result<bool, PortError>> + Send;
}

/// Renews all leases of this process at once. Runs on a thread of its own with its own connection, so that neither a
/// parser hogging the runtime nor an exhausted pool can starve it.
pub trait Heart: Send + 'static {
    /// Extends every lease of this process that has not expired by `ttl` from now, and returns those still held.
    ///
    /// # Errors
    /// [`PortError::Unavailable`]: nothing is known to be renewed.
    fn beat(
        &mut self,
        ttl: Duration,
    ) -> impl Future<Output = Result<Vec<LeaseId>, PortError>> + Send;
}

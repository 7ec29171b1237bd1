//! What the supervisor says to its children, and what it gives them to start with. The same for workflows, tickers and
//! services, so that it can treat them alike.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorRef, SpawnErr};
use tokio::sync::oneshot;

use crate::continuity::Continuity;
use crate::lease::Leases;
use crate::observer::{Event, Observer};
use crate::port::{LeaseId, PortError};
use crate::settings::{Settings, TreeSettings};
use crate::status::{HelperStatus, WorkflowStatus};

/// From the supervisor to a child.
pub(crate) enum Control {
    /// There may be something to do: claim now. Of no meaning to a service.
    Wake,
    /// Start nothing new.
    Pause,
    /// Start new work again.
    Resume,
    /// Do it now: ends a snooze, does not wait for the interval.
    RunNow,
    /// New settings.
    Reload(Box<Settings>),
    /// Start nothing new, finish what is in hand, give the lease back, then stop.
    Drain,
    /// The time for that is over: cancel what is in hand, give the lease back, then stop.
    Abort,
    /// A snapshot, please.
    Status(oneshot::Sender<ChildStatus>),
    /// Panic, for fault injection.
    Crash,
    /// Never come back from this message, for fault injection.
    #[cfg(feature = "testing")]
    Hang,
}

/// A child's answer to [`Control::Status`].
pub(crate) enum ChildStatus {
    Workflow(Box<WorkflowStatus>),
    Helper(Box<HelperStatus>),
}

/// A member's name, and who is told what happens to it. Shared by all its tasks, so that one of an item holds both by a single
/// reference.
pub(crate) struct Reporter {
    pub(crate) name: Arc<str>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// What one incarnation starts from.
pub(crate) struct Seed {
    pub(crate) reporter: Arc<Reporter>,
    /// Counted from 1.
    pub(crate) incarnation: u64,
    pub(crate) restarts: u64,
    pub(crate) paused: bool,
    /// None for tickers and services.
    pub(crate) settings: Option<Settings>,
    pub(crate) tree: Arc<TreeSettings>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) continuity: Arc<Continuity>,
    /// Tells the supervisor that this child cannot work until its configuration changes, and why.
    pub(crate) misconfigured: Box<dyn Fn(String) + Send + Sync>,
}

impl Seed {
    pub(crate) fn name(&self) -> &str {
        &self.reporter.name
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        self.reporter.observer.observe(event);
    }
}

/// A running child.
pub(crate) struct Child {
    pub(crate) cell: ActorCell,
    /// Whether the message was taken.
    pub(crate) send: Box<dyn Fn(Control) -> bool + Send + Sync>,
}

impl Child {
    pub(crate) fn new<M: ractor::Message>(
        actor: ActorRef<M>,
        wrap: impl Fn(Control) -> M + Send + Sync + 'static,
    ) -> Self {
        Self {
            cell: actor.get_cell(),
            send: Box::new(move |control| actor.send_message(wrap(control)).is_ok()),
        }
    }
}

/// Something the supervisor can start, whatever its types.
pub(crate) trait Launch: Send + Sync + 'static {
    /// Starts an incarnation linked to the supervisor.
    fn launch(
        &self,
        seed: Seed,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<Child, SpawnErr>>;

    /// See [`crate::port::Port::has_backlog`].
    fn has_backlog(&self) -> BoxFuture<'static, Result<bool, PortError>>;

    /// See [`crate::port::Port::close_lease`].
    fn close_lease(&self, lease: LeaseId) -> BoxFuture<'static, Result<u64, PortError>>;
}

/// Sends a message to an actor that may be gone, in which case nobody misses it.
pub(crate) fn notify<M: ractor::Message>(actor: &ActorRef<M>, message: M) {
    if actor.send_message(message).is_err() {
        tracing::debug!("a message found its actor gone");
    }
}

/// Answers someone who may have given up waiting.
pub(crate) fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!("nobody waits for this answer any more");
    }
}

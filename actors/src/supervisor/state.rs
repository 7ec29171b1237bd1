//! What the root actor hears and what it knows, and what all parts of it do with that.
//!
//! The parts stand beside this file and name it, not each other: `root.rs` brings members up and answers for them, `members.rs`
//! lets others in and out, `drain.rs` brings all of them down, `overview.rs` tells how they are.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::{oneshot, watch as channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::bells::Bells;
use super::slot::{MemberId, Phase, Slot};
use super::watch::Finding;
use super::{Change, Member, TreeError};
use crate::backoff::Backoff;
use crate::control::{Control, notify};
use crate::lease::Leases;
use crate::observer::Observer;
use crate::port::{LeaseId, PortError};
use crate::settings::TreeSettings;
use crate::status::{DrainReport, TreeStatus};

/// Between two tries to close the lease of an actor that is gone.
const CLOSE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Pause,
    Resume,
    RunNow,
    Unpark,
}

/// What the root actor hears.
pub(super) enum RootMsg {
    /// From the application: this workflow may have something to claim.
    Wake(MemberId),
    /// From the application: do this with that member.
    Command {
        name: String,
        command: Command,
        reply: oneshot::Sender<Result<(), TreeError>>,
    },
    /// From the application: new settings, members to take in and others to let go.
    Reload {
        change: Change,
        reply: oneshot::Sender<Result<(), TreeError>>,
    },
    /// From the application: a snapshot, please.
    Status(oneshot::Sender<TreeStatus>),
    /// From the application: come down within this time.
    Drain {
        within: Duration,
        reply: oneshot::Sender<DrainReport>,
    },
    /// From a timer: what is not finished by now is handed back.
    DrainDeadline,
    /// From a timer: what is not handed back by now is left to the leases' expiry.
    ClosingTime,
    /// From a timer: this member, which was taken out, has had its time.
    LeaveDeadline(MemberId),
    /// From a timer: start this member again, if this is still what it waits for.
    Restart { member: MemberId, incarnation: u64 },
    /// From a workflow's actor: its configuration does not let it start.
    Idle {
        member: MemberId,
        incarnation: u64,
        reason: String,
    },
    /// From a timer: look at every actor.
    Watch,
    /// From a look at a workflow's actor.
    Looked {
        member: MemberId,
        incarnation: u64,
        finding: Finding,
    },
    /// From the task that gave back a dead actor's lease, with what it released.
    LeaseClosed {
        member: MemberId,
        lease: LeaseId,
        released: u64,
    },
    /// From the application, for fault injection.
    Crash(String),
    /// From the application, for fault injection.
    #[cfg(feature = "testing")]
    Hang(String),
}

pub(super) struct RootState {
    pub(super) myself: ActorRef<RootMsg>,
    pub(super) settings: Arc<TreeSettings>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) leases: Arc<Leases>,
    pub(super) slots: Vec<Slot>,
    /// Of the member that comes next.
    pub(super) next_id: MemberId,
    pub(super) bells: Arc<Bells>,
    pub(super) drain: Option<Drain>,
    /// Timers, looks, snapshots, leases being closed. Dropped, and so aborted, with the actor.
    pub(super) tasks: JoinSet<()>,
    pub(super) _stop: channel::Sender<()>,
}

/// A drain under way.
pub(super) struct Drain {
    pub(super) started: Instant,
    pub(super) released_before: u64,
    pub(super) aborted: bool,
    pub(super) replies: Vec<oneshot::Sender<DrainReport>>,
}

impl RootState {
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }

    pub(super) fn later(&mut self, delay: Duration, message: RootMsg) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        let myself = self.myself.clone();
        self.tasks.spawn(async move {
            sleep(delay).await;
            notify(&myself, message);
        })
    }

    pub(super) fn find(&self, member: MemberId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.id == member)
    }

    /// Takes a member in, without an actor.
    pub(super) fn admit(&mut self, member: Member) -> MemberId {
        let slot = Slot::new(self.next_id, member);
        let id = slot.id;
        self.next_id = id.next();
        self.bells.hang(&slot.name, id, &slot.continuity);
        self.slots.push(slot);
        id
    }

    /// Has a member come down: it starts nothing new, finishes what it has, and gives its lease back.
    pub(super) fn retire(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        match &slot.phase {
            Phase::Running | Phase::Retiring => {
                slot.phase = Phase::Retiring;
                slot.send(Control::Drain);
            }
            Phase::Restarting { .. } => {
                slot.phase = Phase::Disabled;
                self.close_lease(index);
            }
            Phase::Parked { .. } | Phase::Idle { .. } | Phase::Disabled => {}
        }
    }

    /// Gives back the lease of a member without an actor, in the background, for as long as it takes.
    pub(super) fn close_lease(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(lease) = slot.continuity.lease() else {
            return;
        };
        slot.closing += 1;
        let (member, name) = (slot.id, Arc::clone(&slot.name));
        let (launch, myself) = (Arc::clone(&slot.launch), self.myself.clone());
        self.spawn(async move {
            let mut failures = 0;
            let released = loop {
                match launch.close_lease(lease).await {
                    Ok(released) => break released,
                    Err(PortError::LeaseLost(_)) => break 0,
                    Err(error) => {
                        if failures == 0 {
                            let error = crate::chain(&error);
                            tracing::warn!(workflow = &*name, error, "failed to close the lease");
                        }
                        failures += 1;
                        sleep(CLOSE_BACKOFF.equal_jitter(failures, rand::random())).await;
                    }
                }
            };
            let message = RootMsg::LeaseClosed {
                member,
                lease,
                released,
            };
            notify(&myself, message);
        });
    }
}

//! The actor of one workflow: claim by demand, run, settle in batches.
//!
//! Started by the supervisor, linked to it, and told by it what to do ([`Control`]). It owns what it has claimed. Its
//! claims, runs and settles are tasks whose results come back as messages, so that no handler waits for anything. After
//! every message [`Incarnation::advance`] does whatever has become possible and sets one alarm for whatever comes next.
//!
//! Its death, whatever the cause, cancels its items (on drop); the next incarnation takes their rows back by naming this
//! one's lease. A panic in a call to the store is a bug and kills the actor; a store that does not answer never does.

mod advance;
mod aside;
mod decide;
mod incarnation;
mod item;
mod reminders;
mod snapshot;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::time::Instant;

use crate::control::{Child, Control, Launch, Seed};
use crate::port::{Claim, ItemId, LeaseId, OpenedLease, Outcome, Port, PortError};
use crate::port::{SettleReport, Settlement, Unsettled};
use incarnation::Incarnation;
use trouble::Operation;

pub use decide::judge;
pub(crate) use snapshot::counted;

/// What a workflow's actor hears. `session` counts its leases: an answer from an earlier one is out of date.
enum Msg<I, O> {
    /// From the supervisor.
    Control(Control),
    /// From the task that opened a lease: start claiming, or try again.
    LeaseOpened {
        session: u64,
        /// When it was asked for: the fence counts from here.
        sent: Instant,
        result: Result<OpenedLease, PortError>,
    },
    /// From the heart: this lease is no longer ours.
    LeaseLost(LeaseId),
    /// From the claim in the air: run these.
    Claimed {
        session: u64,
        limit: usize,
        sent: Instant,
        result: Result<Vec<Claim<I>>, PortError>,
    },
    /// From an item's task: it came to an end of its own.
    ItemEnded {
        session: u64,
        item: ItemId,
        attempt: i16,
        /// How many attempts count against it.
        counted: i16,
        elapsed: Duration,
        outcome: Outcome<O>,
    },
    /// From a settle: recorded, or to be tried again.
    Settled {
        session: u64,
        /// Whether these had been set aside.
        aside: bool,
        batch: Vec<Settlement<O>>,
        sent: Instant,
        result: Result<SettleReport, Unsettled>,
    },
    /// From the task that closed the lease, at the end of a drain.
    LeaseClosed(Result<u64, PortError>),
    /// A call to the store panicked, which is a bug: die of it.
    CallPanicked {
        operation: Operation,
        message: String,
    },
    /// From the alarm: something is due.
    Alarm,
}

type MsgOf<P> = Msg<<P as Port>::Input, <P as Port>::Output>;

struct WorkflowActor<P> {
    port: Arc<P>,
}

impl<P: Port> Actor for WorkflowActor<P> {
    type Msg = MsgOf<P>;
    type State = Incarnation<P>;
    type Arguments = Seed;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        seed: Seed,
    ) -> Result<Self::State, ActorProcessingErr> {
        Incarnation::new(myself, Arc::clone(&self.port), seed)
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.advance();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            #[cfg(feature = "testing")]
            Msg::Control(Control::Hang) => std::future::pending::<()>().await,
            Msg::Control(control) => state.control(control),
            Msg::LeaseOpened {
                session,
                sent,
                result,
            } => {
                state.answer_came(Operation::OpenLease, sent);
                state.lease_opened(session, sent, result);
            }
            Msg::LeaseLost(lease) => state.lease_lost(lease),
            Msg::Claimed {
                session,
                limit,
                sent,
                result,
            } => {
                state.answer_came(Operation::Claim, sent);
                state.claimed(session, limit, sent, result);
            }
            Msg::ItemEnded {
                session,
                item,
                attempt,
                counted,
                elapsed,
                outcome,
            } => state.item_ended(session, (item, attempt), counted, elapsed, outcome),
            Msg::Settled {
                session,
                aside,
                batch,
                sent,
                result,
            } => {
                state.answer_came(Operation::Settle, sent);
                if aside {
                    state.tried_again(session, batch, sent, result);
                } else {
                    state.settled(session, batch, sent, result);
                }
            }
            Msg::LeaseClosed(result) => state.lease_closed(result),
            Msg::CallPanicked { operation, message } => {
                return Err(format!("{} panicked: {message}", operation.as_str()).into());
            }
            Msg::Alarm => state.alarm_rang(),
        }
        state.advance();
        Ok(())
    }
}

/// Starts the actors of one workflow, one after the other.
pub(crate) struct LaunchWorkflow<P> {
    pub(crate) port: Arc<P>,
}

impl<P: Port> Launch for LaunchWorkflow<P> {
    fn launch(
        &self,
        seed: Seed,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<Child, SpawnErr>> {
        let actor = WorkflowActor {
            port: Arc::clone(&self.port),
        };
        async move {
            // Without a name: ractor's registry is global to the process, and several trees may run in it.
            let (actor, _done) = Actor::spawn_linked(None, actor, seed, supervisor).await?;
            Ok(Child::new(actor, Msg::Control))
        }
        .boxed()
    }

    fn has_backlog(&self) -> BoxFuture<'static, Result<bool, PortError>> {
        let port = Arc::clone(&self.port);
        async move { port.has_backlog().await }.boxed()
    }

    fn close_lease(&self, lease: LeaseId) -> BoxFuture<'static, Result<u64, PortError>> {
        let port = Arc::clone(&self.port);
        async move { port.close_lease(lease).await }.boxed()
    }
}

//! The root actor: starts the members' actors, starts them again when they die, parks those that keep dying.
//!
//! It has no supervisor. Its handlers await nothing but the start of an actor, which does no I/O; whatever takes time is
//! a task that answers with a message. Its death, which only a bug could cause, takes the whole tree down: items are
//! cancelled, leases expire, [`super::Tree::stopped`] resolves, and the process is to exit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{oneshot, watch as channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bells::Bells;
use super::restart::Decision;
use super::slot::{MemberId, Phase};
use super::state::{Command, RootMsg, RootState};
use super::watch::{Finding, Verdict, judge_backlog, look};
use super::{Change, Member, TreeError};
use crate::control::{Control, Reporter, Seed, answer, notify};
use crate::lease::Leases;
use crate::observer::{Event, Observer};
use crate::port::LeaseId;
use crate::settings::{Settings, TreeSettings};

pub(super) struct RootArgs {
    pub(super) settings: TreeSettings,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) leases: Arc<Leases>,
    pub(super) members: Vec<Member>,
    pub(super) bells: Arc<Bells>,
    /// Dropped with the root actor: stops the heart, and tells who waits for the end.
    pub(super) stop: channel::Sender<()>,
}

pub(super) struct Root;

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = RootArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        args: RootArgs,
    ) -> Result<RootState, ActorProcessingErr> {
        let mut state = RootState {
            myself,
            settings: Arc::new(args.settings),
            observer: args.observer,
            leases: args.leases,
            slots: Vec::new(),
            next_id: MemberId::FIRST,
            bells: args.bells,
            drain: None,
            tasks: JoinSet::new(),
            _stop: args.stop,
        };
        for member in args.members {
            state.admit(member);
        }
        Ok(state)
    }

    async fn post_start(
        &self,
        _myself: ActorRef<RootMsg>,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        for index in 0..state.slots.len() {
            if state.slots[index].is_enabled() {
                state.start(index).await;
            }
        }
        state.watch_later();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<RootMsg>,
        message: RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMsg::Wake(member) => state.wake(member),
            RootMsg::Command {
                name,
                command,
                reply,
            } => {
                let result = state.command(&name, command).await;
                answer(reply, result);
            }
            RootMsg::Reload { change, reply } => {
                let result = state.reload(change).await;
                answer(reply, result);
            }
            RootMsg::Status(reply) => state.status(reply),
            RootMsg::Drain { within, reply } => state.drain(within, reply),
            RootMsg::DrainDeadline => state.abort_drain(),
            RootMsg::ClosingTime => state.end_drain(),
            RootMsg::LeaveDeadline(member) => state.has_to_leave(member),
            RootMsg::Restart {
                member,
                incarnation,
            } => state.restart(member, incarnation).await,
            RootMsg::Idle {
                member,
                incarnation,
                reason,
            } => state.idle(member, incarnation, reason),
            RootMsg::Watch => state.watch(),
            RootMsg::Looked {
                member,
                incarnation,
                finding,
            } => state.looked(member, incarnation, &finding),
            RootMsg::LeaseClosed {
                member,
                lease,
                released,
            } => state.lease_closed(member, lease, released),
            RootMsg::Crash(name) => state.tell(&name, Control::Crash),
            #[cfg(feature = "testing")]
            RootMsg::Hang(name) => state.tell(&name, Control::Hang),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
            SupervisionEvent::ActorTerminated(cell, _state, reason) => {
                let reason = reason.unwrap_or_else(|| "stopped".to_owned());
                state.actor_gone(cell.get_id(), &reason);
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.actor_gone(cell.get_id(), &error.to_string());
            }
        }
        Ok(())
    }
}

impl RootState {
    fn named(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| &*slot.name == name)
    }

    fn known(&self, name: &str) -> Result<usize, TreeError> {
        self.named(name).ok_or_else(|| TreeError::Unknown {
            name: name.to_owned(),
            known: self
                .slots
                .iter()
                .map(|slot| slot.name.to_string())
                .collect(),
        })
    }

    /// Starts the next incarnation of a member.
    async fn start(&mut self, index: usize) {
        if self.drain.is_some() {
            return;
        }
        let slot = &mut self.slots[index];
        slot.incarnation += 1;
        slot.backlog_since = None;
        slot.looking = false;
        slot.phase = Phase::Running;
        let (member, incarnation, myself) = (slot.id, slot.incarnation, self.myself.clone());
        let seed = Seed {
            reporter: Arc::new(Reporter {
                name: Arc::clone(&slot.name),
                observer: Arc::clone(&self.observer),
            }),
            incarnation,
            restarts: slot.restarts,
            paused: slot.paused,
            settings: slot.settings.clone(),
            tree: Arc::clone(&self.settings),
            leases: Arc::clone(&self.leases),
            continuity: Arc::clone(&slot.continuity),
            misconfigured: Box::new(move |reason| {
                let message = RootMsg::Idle {
                    member,
                    incarnation,
                    reason,
                };
                notify(&myself, message);
            }),
        };
        let launch = Arc::clone(&slot.launch);
        match launch.launch(seed, self.myself.get_cell()).await {
            Ok(child) => self.slots[index].child = Some(child),
            Err(error) => self.died(index, &crate::chain(&error)),
        }
    }

    fn actor_gone(&mut self, id: ActorId, reason: &str) {
        let index = self.slots.iter().position(|slot| {
            let child = slot.child.as_ref();
            child.is_some_and(|child| child.cell.get_id() == id)
        });
        // Otherwise it was given up before, as hung or misconfigured.
        let Some(index) = index else {
            return;
        };
        if self.slots[index].phase == Phase::Retiring {
            self.retired(index);
        } else {
            self.died(index, reason);
        }
    }

    /// A member's actor came down as it was told to.
    fn retired(&mut self, index: usize) {
        self.let_go(index);
        self.slots[index].phase = Phase::Disabled;
        self.close_lease(index);
        let slot = &mut self.slots[index];
        let id = slot.id;
        // Enabled again on its way down.
        if slot.is_enabled() && slot.leaving.is_none() && self.drain.is_none() {
            slot.phase = Phase::Restarting {
                reason: "enabled again".to_owned(),
            };
            let (member, incarnation) = (id, slot.incarnation);
            self.later(
                Duration::ZERO,
                RootMsg::Restart {
                    member,
                    incarnation,
                },
            );
        }
        self.leave_if_done(id);
        self.end_drain_if_done();
    }

    /// The time of a member that was taken out is over.
    fn has_to_leave(&mut self, member: MemberId) {
        if !self.leave_deadline(member) {
            return;
        }
        let Some(index) = self.find(member) else {
            return;
        };
        let slot = &self.slots[index];
        let workflow = &*slot.name;
        tracing::error!(
            workflow,
            "does not come down, killed; its lease is closed for it"
        );
        if let Some(child) = &slot.child {
            child.cell.kill();
        }
        self.retired(index);
    }

    /// Stops what is left of a member's actor.
    fn let_go(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.child = None;
        if let Some(lease) = slot.continuity.stop_items() {
            self.leases.remove(lease);
        }
        // A wake on its way to the dead actor has been lost; the next one claims when it starts.
        slot.continuity.answer_bell();
    }

    /// A member's actor died, or could not be started: starts it again later, or parks it.
    fn died(&mut self, index: usize, reason: &str) {
        self.let_go(index);
        let random = rand::random();
        let settings = Arc::clone(&self.settings);
        let slot = &mut self.slots[index];
        let decision = slot.log.died(
            Instant::now(),
            settings.max_restarts,
            settings.restart_window,
        );
        let (member, incarnation) = (slot.id, slot.incarnation);
        match decision {
            Decision::Restart { deaths } => {
                let delay = settings.restart_backoff.full_jitter(deaths, random);
                slot.restarts += 1;
                slot.phase = Phase::Restarting {
                    reason: reason.to_owned(),
                };
                let workflow = &*slot.name;
                tracing::error!(workflow, reason, ?delay, "actor died, restarting");
                self.observer
                    .observe(Event::ActorRestarted { workflow, reason });
                self.later(
                    delay,
                    RootMsg::Restart {
                        member,
                        incarnation,
                    },
                );
            }
            Decision::Park => {
                let reason = format!(
                    "died more than {} times within {:?}, at last of: {reason}",
                    settings.max_restarts, settings.restart_window
                );
                self.park(index, reason);
            }
        }
    }

    async fn restart(&mut self, member: MemberId, incarnation: u64) {
        let Some(index) = self.find(member) else {
            return;
        };
        let slot = &self.slots[index];
        let waits = matches!(slot.phase, Phase::Restarting { .. });
        if waits && slot.incarnation == incarnation {
            self.start(index).await;
        }
    }

    fn park(&mut self, index: usize, reason: String) {
        let workflow = &*self.slots[index].name;
        tracing::error!(workflow, reason, "parked");
        self.observer.observe(Event::Parked {
            workflow,
            reason: &reason,
        });
        self.slots[index].phase = Phase::Parked { reason };
        // The heartbeat renews all leases of this process: one without an actor would hold its rows for ever.
        self.close_lease(index);
    }

    /// A workflow that lacks a key is no trouble to those who do not want it: whether anything waits for it is for others to
    /// judge.
    fn idle(&mut self, member: MemberId, incarnation: u64, reason: String) {
        let Some(index) = self.find(member) else {
            return;
        };
        let slot = &self.slots[index];
        if slot.incarnation != incarnation || slot.phase != Phase::Running {
            return;
        }
        if let Some(child) = &slot.child {
            child.cell.stop(None);
        }
        self.let_go(index);
        let workflow = &*self.slots[index].name;
        tracing::warn!(workflow, reason, "idle: cannot start");
        self.slots[index].phase = Phase::Idle { reason };
        self.close_lease(index);
    }

    fn lease_closed(&mut self, member: MemberId, lease: LeaseId, released: u64) {
        if let Some(index) = self.find(member) {
            let slot = &mut self.slots[index];
            slot.closing = slot.closing.saturating_sub(1);
            slot.continuity.lease_closed(lease);
            let counts = &slot.continuity.counts;
            counts.released.fetch_add(released, Ordering::Relaxed);
        }
        self.leave_if_done(member);
        self.end_drain_if_done();
    }

    fn wake(&mut self, member: MemberId) {
        if let Some(index) = self.find(member)
            && !self.slots[index].send(Control::Wake)
        {
            self.slots[index].continuity.answer_bell();
        }
    }

    fn tell(&mut self, name: &str, control: Control) {
        let taken = self
            .named(name)
            .is_some_and(|index| self.slots[index].send(control));
        if !taken {
            tracing::debug!(workflow = name, "no actor to tell");
        }
    }

    async fn command(&mut self, name: &str, command: Command) -> Result<(), TreeError> {
        let index = self.known(name)?;
        let slot = &mut self.slots[index];
        match command {
            Command::Pause => {
                slot.paused = true;
                slot.send(Control::Pause);
            }
            Command::Resume => {
                slot.paused = false;
                slot.send(Control::Resume);
            }
            Command::RunNow => {
                let runs = slot.phase == Phase::Running && !slot.paused;
                if !runs || !slot.send(Control::RunNow) {
                    return Err(TreeError::NotRunning {
                        name: name.to_owned(),
                        state: slot.state(),
                    });
                }
            }
            Command::Unpark => {
                if matches!(slot.phase, Phase::Parked { .. } | Phase::Idle { .. }) {
                    self.unpark(index).await;
                }
            }
        }
        Ok(())
    }

    async fn unpark(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.log.clear();
        let workflow = &*slot.name;
        tracing::info!(workflow, "unparked");
        self.observer.observe(Event::Unparked { workflow });
        if self.slots[index].is_enabled() {
            self.start(index).await;
        } else {
            self.slots[index].phase = Phase::Disabled;
        }
    }

    /// All of it or nothing: what can be wrong with it is found before anything is done.
    async fn reload(&mut self, change: Change) -> Result<(), TreeError> {
        self.check(&change)?;
        let Change {
            settings,
            mut add,
            remove,
            within,
        } = change;
        for (name, settings) in settings {
            if let Some(index) = self.named(&name) {
                self.apply(index, settings).await;
            }
        }
        for name in remove {
            let place = add.iter().position(|member| *member.name == *name);
            let successor = place.map(|place| add.remove(place));
            self.let_leave(&name, within, successor);
        }
        for member in add {
            let Some(id) = self.take_in(member) else {
                continue;
            };
            if let Some(index) = self.find(id)
                && self.slots[index].is_enabled()
            {
                self.start(index).await;
            }
        }
        Ok(())
    }

    async fn apply(&mut self, index: usize, settings: Settings) {
        let enabled = settings.enabled;
        let slot = &mut self.slots[index];
        if let Some(leaving) = &mut slot.leaving {
            if let Some(successor) = &mut leaving.successor {
                successor.settings = Some(settings);
            }
            return;
        }
        slot.settings = Some(settings.clone());
        match &slot.phase {
            Phase::Running if enabled => {
                slot.send(Control::Reload(Box::new(settings)));
            }
            Phase::Running => {
                slot.phase = Phase::Retiring;
                slot.send(Control::Drain);
            }
            Phase::Restarting { .. } if !enabled => {
                slot.phase = Phase::Disabled;
                self.close_lease(index);
            }
            Phase::Disabled if enabled => self.start(index).await,
            Phase::Parked { .. } | Phase::Idle { .. } if !enabled => {
                slot.phase = Phase::Disabled;
            }
            Phase::Idle { .. } => self.unpark(index).await,
            // One that is retiring starts again, if it is to, when it has come down.
            Phase::Restarting { .. } | Phase::Disabled | Phase::Retiring | Phase::Parked { .. } => {
            }
        }
    }

    fn watch(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let Some(settings) = &slot.settings else {
                continue;
            };
            if slot.looking {
                continue;
            }
            let (reply, status) = oneshot::channel();
            let stall_after = settings.stall_after;
            slot.looking = slot.send(Control::Status(reply));
            let (member, incarnation) = (slot.id, slot.incarnation);
            let (launch, myself) = (Arc::clone(&slot.launch), self.myself.clone());
            let now = Instant::now();
            let grace = if slot.may_ask(now, stall_after) {
                slot.asked = Some(now);
                self.settings.watch_interval.min(stall_after)
            } else {
                Duration::MAX
            };
            self.spawn(async move {
                let finding = look(status, launch, stall_after, grace).await;
                let message = RootMsg::Looked {
                    member,
                    incarnation,
                    finding,
                };
                notify(&myself, message);
            });
        }
        self.watch_later();
    }

    fn watch_later(&mut self) {
        // An interval of zero must not become a busy loop.
        let interval = self.settings.watch_interval.max(Duration::from_millis(10));
        self.later(interval, RootMsg::Watch);
    }

    fn looked(&mut self, member: MemberId, incarnation: u64, finding: &Finding) {
        let Some(index) = self.find(member) else {
            return;
        };
        let slot = &mut self.slots[index];
        if slot.incarnation != incarnation {
            return;
        }
        slot.looking = false;
        if slot.child.is_none() {
            return;
        }
        let stall_after = slot
            .settings
            .as_ref()
            .map_or(Duration::MAX, |settings| settings.stall_after);
        let reason = match *finding {
            Finding::Fine => {
                slot.backlog_since = None;
                return;
            }
            Finding::Backlog { idle } => {
                let now = Instant::now();
                let since = *slot.backlog_since.get_or_insert(now);
                match judge_backlog(since, idle, now, stall_after) {
                    Verdict::Wake => {
                        slot.send(Control::Wake);
                        return;
                    }
                    Verdict::Restart => {
                        format!("no progress for {stall_after:?} with items due")
                    }
                }
            }
            Finding::Unresponsive { waited } => format!("no answer within {waited:?}"),
        };
        let workflow = &*slot.name;
        tracing::error!(workflow, reason, "stalled, restarting");
        self.observer.observe(Event::Stalled {
            workflow,
            reason: &reason,
        });
        // A handler blocked outside an await cannot be killed: its successor does not wait for its end.
        if let Some(child) = &self.slots[index].child {
            child.cell.kill();
        }
        if self.slots[index].phase == Phase::Retiring {
            self.retired(index);
        } else {
            self.died(index, &reason);
        }
    }
}

//! The root actor: starts the members' actors, starts them again when they die, parks those that keep dying.
//!
//! It has no supervisor. Its handlers await nothing but the start of an actor, which does no I/O; whatever takes time is
//! a task that answers with a message. Its death, which only a bug could cause, takes the whole tree down: items are
//! cancelled, leases expire, [`super::Tree::stopped`] resolves, and the process is to exit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{oneshot, watch as channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::TreeError;
use super::restart::Decision;
use super::slot::{Phase, Slot};
use super::state::{Command, RootMsg, RootState};
use super::watch::{Finding, Verdict, judge_backlog, look};
use crate::control::{Control, Seed, answer, notify};
use crate::lease::Leases;
use crate::observer::{Event, Observer};
use crate::port::LeaseId;
use crate::settings::{Settings, TreeSettings};

pub(super) struct RootArgs {
    pub(super) settings: TreeSettings,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) leases: Arc<Leases>,
    pub(super) slots: Vec<Slot>,
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
        Ok(RootState {
            myself,
            settings: Arc::new(args.settings),
            observer: args.observer,
            leases: args.leases,
            slots: args.slots,
            drain: None,
            tasks: JoinSet::new(),
            _stop: args.stop,
        })
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
            RootMsg::Wake(name) => state.wake(name),
            RootMsg::Command {
                name,
                command,
                reply,
            } => {
                let result = state.command(&name, command).await;
                answer(reply, result);
            }
            RootMsg::Reload { workflows, reply } => {
                let result = state.reload(workflows).await;
                answer(reply, result);
            }
            RootMsg::Status(reply) => state.status(reply),
            RootMsg::Drain { within, reply } => state.drain(within, reply),
            RootMsg::DrainDeadline => state.abort_drain(),
            RootMsg::ClosingTime => state.end_drain(),
            RootMsg::Restart { name, incarnation } => state.restart(name, incarnation).await,
            RootMsg::Idle {
                name,
                incarnation,
                reason,
            } => state.idle(name, incarnation, reason),
            RootMsg::Watch => state.watch(),
            RootMsg::Looked {
                name,
                incarnation,
                finding,
            } => state.looked(name, incarnation, &finding),
            RootMsg::LeaseClosed {
                name,
                lease,
                released,
            } => state.lease_closed(name, lease, released),
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
    fn find(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.name == name)
    }

    fn known(&self, name: &str) -> Result<usize, TreeError> {
        self.find(name).ok_or_else(|| TreeError::Unknown {
            name: name.to_owned(),
            known: self.slots.iter().map(|slot| slot.name.to_owned()).collect(),
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
        let (name, incarnation, myself) = (slot.name, slot.incarnation, self.myself.clone());
        let seed = Seed {
            name,
            incarnation,
            restarts: slot.restarts,
            paused: slot.paused,
            settings: slot.settings.clone(),
            tree: Arc::clone(&self.settings),
            leases: Arc::clone(&self.leases),
            observer: Arc::clone(&self.observer),
            continuity: Arc::clone(&slot.continuity),
            misconfigured: Box::new(move |reason| {
                let message = RootMsg::Idle {
                    name,
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
        // Enabled again on its way down.
        if self.slots[index].is_enabled() && self.drain.is_none() {
            let slot = &mut self.slots[index];
            slot.phase = Phase::Restarting {
                reason: "enabled again".to_owned(),
            };
            let (name, incarnation) = (slot.name, slot.incarnation);
            self.later(Duration::ZERO, RootMsg::Restart { name, incarnation });
        }
        self.end_drain_if_done();
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
        let (name, incarnation) = (slot.name, slot.incarnation);
        match decision {
            Decision::Restart { deaths } => {
                let delay = settings.restart_backoff.full_jitter(deaths, random);
                slot.restarts += 1;
                slot.phase = Phase::Restarting {
                    reason: reason.to_owned(),
                };
                tracing::error!(workflow = name, reason, ?delay, "actor died, restarting");
                self.observer.observe(Event::ActorRestarted {
                    workflow: name,
                    reason,
                });
                self.later(delay, RootMsg::Restart { name, incarnation });
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

    async fn restart(&mut self, name: &'static str, incarnation: u64) {
        let Some(index) = self.find(name) else {
            return;
        };
        let slot = &self.slots[index];
        let waits = matches!(slot.phase, Phase::Restarting { .. });
        if waits && slot.incarnation == incarnation {
            self.start(index).await;
        }
    }

    fn park(&mut self, index: usize, reason: String) {
        let workflow = self.slots[index].name;
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
    fn idle(&mut self, name: &'static str, incarnation: u64, reason: String) {
        let Some(index) = self.find(name) else {
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
        tracing::warn!(workflow = name, reason, "idle: cannot start");
        self.slots[index].phase = Phase::Idle { reason };
        self.close_lease(index);
    }

    fn lease_closed(&mut self, name: &'static str, lease: LeaseId, released: u64) {
        if let Some(index) = self.find(name) {
            let slot = &mut self.slots[index];
            slot.closing = slot.closing.saturating_sub(1);
            slot.continuity.lease_closed(lease);
            let counts = &slot.continuity.counts;
            counts.released.fetch_add(released, Ordering::Relaxed);
        }
        self.end_drain_if_done();
    }

    fn wake(&mut self, name: &'static str) {
        if let Some(index) = self.find(name)
            && !self.slots[index].send(Control::Wake)
        {
            self.slots[index].continuity.answer_bell();
        }
    }

    fn tell(&mut self, name: &str, control: Control) {
        let taken = self
            .find(name)
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
        let workflow = slot.name;
        tracing::info!(workflow, "unparked");
        self.observer.observe(Event::Unparked { workflow });
        if self.slots[index].is_enabled() {
            self.start(index).await;
        } else {
            self.slots[index].phase = Phase::Disabled;
        }
    }

    async fn reload(&mut self, workflows: HashMap<String, Settings>) -> Result<(), TreeError> {
        for name in workflows.keys() {
            let index = self.known(name)?;
            if self.slots[index].settings.is_none() {
                return Err(TreeError::Unknown {
                    name: name.clone(),
                    known: self
                        .slots
                        .iter()
                        .filter(|slot| slot.settings.is_some())
                        .map(|slot| slot.name.to_owned())
                        .collect(),
                });
            }
        }
        for (name, settings) in workflows {
            let Some(index) = self.find(&name) else {
                continue;
            };
            self.slots[index].settings = Some(settings.clone());
            self.apply(index, settings).await;
        }
        Ok(())
    }

    async fn apply(&mut self, index: usize, settings: Settings) {
        let enabled = settings.enabled;
        let slot = &mut self.slots[index];
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
            let (name, incarnation) = (slot.name, slot.incarnation);
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
                    name,
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

    fn looked(&mut self, name: &'static str, incarnation: u64, finding: &Finding) {
        let Some(index) = self.find(name) else {
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
        tracing::error!(workflow = name, reason, "stalled, restarting");
        self.observer.observe(Event::Stalled {
            workflow: name,
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

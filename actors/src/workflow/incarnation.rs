//! The state of one incarnation of a workflow's actor, and what each message does to it.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::Instrument;

use super::aside::{self, Aside};
use super::decide::judge;
use super::item::run_item;
use super::reminders::Reminders;
use super::trouble::{Operation, Trouble, reopen_delay};
use super::{Msg, MsgOf};
use crate::continuity::add;
use crate::control::{ChildStatus, Control, Seed, answer, notify};
use crate::lease::{Fence, is_lost};
use crate::observer::Event;
use crate::port::{
    Claim, ItemId, LeaseId, OpenedLease, Outcome, Port, PortError, SettleReport, Settlement,
    Unsettled, Verdict,
};
use crate::settings::Settings;

/// Where the lease stands.
pub(super) enum Lease {
    /// None; another is opened from this instant on.
    None {
        not_before: Instant,
        /// And not before a beat is answered that was sent after this instant: a lease that cannot be renewed would only have
        /// items started in vain.
        after_beat: Option<Instant>,
    },
    /// Asked for.
    Opening,
    /// Ours, while the fence holds.
    Held(Arc<Fence>),
    /// Being given back at the end of a drain.
    Closing(LeaseId),
    /// To be given back again, since the store did not answer.
    Unclosed(LeaseId),
}

pub(super) struct Incarnation<P: Port> {
    pub(super) seed: Seed,
    pub(super) settings: Settings,
    pub(super) paused: bool,
    pub(super) draining: bool,
    pub(super) aborting: bool,
    /// Told the supervisor that it cannot start: nothing more is to be tried.
    pub(super) misconfigured: bool,
    pub(super) lease: Lease,
    pub(super) trouble: Trouble,
    /// The claim in the air, if one is.
    pub(super) claiming: Option<AbortHandle>,
    pub(super) in_flight: HashMap<(ItemId, i16), Instant>,
    /// Finished, oldest first, waiting for a settle to start.
    pub(super) pending: VecDeque<Settlement<P::Output>>,
    pub(super) pending_since: Instant,
    /// Settles in the air, and the items they carry.
    pub(super) settling: usize,
    pub(super) settling_items: usize,
    /// Batches whose settle was not answered.
    pub(super) held_back: VecDeque<Vec<Settlement<P::Output>>>,
    /// Outcomes that somebody else's lock keeps from being recorded.
    pub(super) aside: Aside<P::Output>,
    /// Calls to the store that are not answered yet, and when they were made.
    pub(super) unanswered: Vec<(Operation, Instant)>,
    pub(super) last_claim: Option<Instant>,
    pub(super) last_progress: Option<Instant>,
    pub(super) port: Arc<P>,
    pub(super) myself: ActorRef<MsgOf<P>>,
    pub(super) session: u64,
    /// Leases lost since a claim was last answered.
    pub(super) losses: u32,
    /// A claim's answer was lost since then: rows may be held that nobody here knows of.
    pub(super) doubtful_since: Option<Instant>,
    /// More is to be had: claim as soon as there is room.
    pub(super) hungry: bool,
    /// Woken while a claim was in the air, which may have looked before the row was there.
    pub(super) rung: bool,
    pub(super) next_interval: Instant,
    /// When rows that were put back become due again.
    pub(super) reminders: Reminders,
    pub(super) alarm: Option<(Instant, AbortHandle)>,
    /// The calls to the store and the alarm. Dropped, and so aborted, with the actor.
    pub(super) tasks: JoinSet<()>,
}

impl<P: Port> Drop for Incarnation<P> {
    fn drop(&mut self) {
        if let Lease::Held(fence) = &self.lease {
            self.seed.leases.remove(fence.lease());
            fence.break_now();
        }
    }
}

impl<P: Port> Incarnation<P> {
    pub(super) fn new(
        myself: ActorRef<MsgOf<P>>,
        port: Arc<P>,
        mut seed: Seed,
    ) -> Result<Self, ActorProcessingErr> {
        let settings = seed
            .settings
            .take()
            .ok_or("a workflow was started without settings")?;
        seed.continuity.take_over(seed.incarnation);
        let now = Instant::now();
        Ok(Self {
            settings,
            paused: seed.paused,
            draining: false,
            aborting: false,
            misconfigured: false,
            lease: Lease::None {
                not_before: now,
                after_beat: None,
            },
            trouble: Trouble::default(),
            claiming: None,
            in_flight: HashMap::new(),
            pending: VecDeque::new(),
            pending_since: now,
            settling: 0,
            settling_items: 0,
            held_back: VecDeque::new(),
            aside: Aside::default(),
            unanswered: Vec::new(),
            last_claim: None,
            last_progress: None,
            port,
            myself,
            session: 0,
            losses: 0,
            doubtful_since: None,
            hungry: true,
            rung: false,
            next_interval: now,
            reminders: Reminders::default(),
            alarm: None,
            tasks: JoinSet::new(),
            seed,
        })
    }

    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Wake => {
                self.seed.continuity.answer_bell();
                self.claim_soon();
            }
            Control::Pause => self.paused = true,
            Control::Resume => {
                self.paused = false;
                self.claim_soon();
            }
            Control::RunNow => {
                self.seed.continuity.end_snooze();
                self.claim_soon();
            }
            Control::Reload(settings) => {
                self.settings = *settings;
                self.claim_soon();
            }
            Control::Drain => self.draining = true,
            Control::Abort => self.abort_items(),
            Control::Status(reply) => {
                let status = ChildStatus::Workflow(Box::new(self.snapshot(Instant::now())));
                answer(reply, status);
            }
            #[expect(clippy::panic, reason = "fault injection: see Tree::crash")]
            Control::Crash => panic!("crash requested"),
            #[cfg(feature = "testing")]
            Control::Hang => {}
        }
    }

    pub(super) fn lease_opened(
        &mut self,
        session: u64,
        sent: Instant,
        result: Result<OpenedLease, PortError>,
    ) {
        if session != self.session || !matches!(self.lease, Lease::Opening) {
            return;
        }
        let now = Instant::now();
        match result {
            Ok(opened) => {
                self.answered(Operation::OpenLease, now);
                let fence = Fence::new(opened.id, sent, self.seed.tree.fence_after());
                let current = self
                    .seed
                    .continuity
                    .lease_opened(self.seed.incarnation, Arc::clone(&fence));
                if !current {
                    // Given up as hung, then woken up after all: its successor is at work.
                    self.myself.stop(Some("superseded".to_owned()));
                    return;
                }
                let (myself, lease) = (self.myself.clone(), opened.id);
                self.seed.leases.insert(
                    Arc::clone(&fence),
                    Box::new(move || notify(&myself, Msg::LeaseLost(lease))),
                );
                self.lease = Lease::Held(fence);
                self.last_progress = Some(now);
                self.claim_soon();
                tracing::info!(
                    workflow = self.seed.name(),
                    lease = opened.id.0,
                    taken_back = opened.taken_back,
                    "lease opened"
                );
                self.observe(Event::LeaseOpened {
                    workflow: self.seed.name(),
                    lease: opened.id,
                    taken_back: opened.taken_back,
                });
            }
            Err(error) => {
                self.lease = Lease::None {
                    not_before: now,
                    after_beat: None,
                };
                self.call_failed(Operation::OpenLease, error, now);
            }
        }
    }

    pub(super) fn lease_lost(&mut self, lease: LeaseId) {
        if matches!(&self.lease, Lease::Held(fence) if fence.lease() == lease) {
            self.lose_lease("not renewed by the store", None, Instant::now());
        }
    }

    pub(super) fn claimed(
        &mut self,
        session: u64,
        limit: usize,
        sent: Instant,
        result: Result<Vec<Claim<P::Input>>, PortError>,
    ) {
        if session != self.session {
            return;
        }
        self.claiming = None;
        let now = Instant::now();
        let claims = match result {
            Ok(claims) => claims,
            Err(error) => {
                // Rows may have been claimed all the same. They are found when the lease ends.
                self.doubtful_since.get_or_insert(now);
                self.hungry = true;
                self.call_failed(Operation::Claim, error, now);
                return;
            }
        };
        self.answered(Operation::Claim, now);
        self.losses = 0;
        self.last_claim = Some(now);
        self.next_interval = now + self.interval();
        self.hungry = claims.len() >= limit || self.rung;
        self.rung = false;
        self.observe(Event::Claimed {
            workflow: self.seed.name(),
            items: claims.len(),
            elapsed: now.saturating_duration_since(sent),
        });
        if claims.is_empty() {
            return;
        }
        self.last_progress = Some(now);
        add(&self.seed.continuity.counts.claimed, claims.len());
        if let Some(rate) = self.settings.rate {
            self.seed
                .continuity
                .with_window(|window| window.take(rate, now, claims.len()));
        }
        let Lease::Held(fence) = &self.lease else {
            return;
        };
        if self.draining {
            for claim in claims {
                self.pending.push_back(Settlement {
                    item: claim.item,
                    attempt: claim.attempt,
                    elapsed: Duration::ZERO,
                    verdict: Verdict::Release,
                });
            }
            return;
        }
        let fence = Arc::clone(fence);
        for claim in claims {
            self.start_item(claim, &fence, now);
        }
    }

    fn start_item(&mut self, claim: Claim<P::Input>, fence: &Arc<Fence>, started: Instant) {
        let (item, attempt, counted) = (claim.item, claim.attempt, claim.counted());
        self.in_flight.insert((item, attempt), started);
        let (port, fence) = (Arc::clone(&self.port), Arc::clone(fence));
        let (myself, reporter) = (self.myself.clone(), Arc::clone(&self.seed.reporter));
        let (session, timeout) = (self.session, self.settings.timeout);
        // No parent: an item's story must not hang below an actor that lives for months.
        let workflow = &*reporter.name;
        let span = tracing::info_span!(parent: None, "item", workflow, item, attempt);
        let work = async move {
            let run = run_item(&*port, claim, &fence, started, timeout);
            // Even an item whose destructor panics must come to an end here.
            let ended = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(None) => return,
                Ok(Some(ended)) => ended,
                Err(panic) => super::item::panicked(&*panic),
            };
            let elapsed = started.elapsed();
            reporter.observer.observe(Event::ItemRun {
                workflow: &reporter.name,
                outcome: ended.label,
                elapsed,
            });
            let message = Msg::ItemEnded {
                session,
                item,
                attempt,
                counted,
                elapsed,
                outcome: ended.outcome,
            };
            notify(&myself, message);
        };
        // Not in the JoinSet, whose bookkeeping costs more than a small item: the fence ends it, also when the actor dies.
        #[expect(
            clippy::disallowed_methods,
            reason = "an item's task, ended by the fence"
        )]
        drop(tokio::spawn(work.instrument(span)));
    }

    pub(super) fn item_ended(
        &mut self,
        session: u64,
        (item, attempt): (ItemId, i16),
        counted: i16,
        elapsed: Duration,
        outcome: Outcome<P::Output>,
    ) {
        if session != self.session || self.in_flight.remove(&(item, attempt)).is_none() {
            return;
        }
        let now = Instant::now();
        self.last_progress = Some(now);
        let (verdict, snooze) = judge(outcome, counted, &self.settings, rand::random());
        if let Some(after) = snooze {
            self.seed.continuity.snooze(now + after);
            tracing::info!(workflow = self.seed.name(), ?after, "workflow snoozed");
        }
        if self.pending.is_empty() {
            self.pending_since = now;
        }
        self.pending.push_back(Settlement {
            item,
            attempt,
            elapsed,
            verdict,
        });
    }

    pub(super) fn settled(
        &mut self,
        session: u64,
        mut batch: Vec<Settlement<P::Output>>,
        sent: Instant,
        result: Result<SettleReport, Unsettled>,
    ) {
        let now = Instant::now();
        let (report, error) = parts(result);
        self.count_settled(&report, error.is_none(), now, sent);
        if session != self.session {
            return;
        }
        self.settling = self.settling.saturating_sub(1);
        self.settling_items = self.settling_items.saturating_sub(batch.len());
        self.take_note(&mut batch, report, error.is_none(), now);
        match error {
            Some(error) if !batch.is_empty() => {
                self.held_back.push_back(batch);
                self.call_failed(Operation::Settle, error, now);
            }
            _ => self.answered(Operation::Settle, now),
        }
    }

    /// What had been set aside was tried again.
    pub(super) fn tried_again(
        &mut self,
        session: u64,
        mut batch: Vec<Settlement<P::Output>>,
        sent: Instant,
        result: Result<SettleReport, Unsettled>,
    ) {
        let now = Instant::now();
        let (report, error) = parts(result);
        self.count_settled(&report, error.is_none(), now, sent);
        if session != self.session {
            return;
        }
        self.aside.tried(recorded(&report) > 0);
        self.take_note(&mut batch, report, error.is_none(), now);
        self.aside.put(batch, None, now, rand::random());
        match error {
            Some(error) => self.call_failed(Operation::Settle, error, now),
            None => self.answered(Operation::Settle, now),
        }
    }

    /// Recorded is recorded, though the lease has been lost since, or the rest could not be.
    fn count_settled(&self, report: &SettleReport, whole: bool, now: Instant, sent: Instant) {
        if whole || report.items() > 0 {
            self.seed.continuity.counts.settled(report);
            self.observe(Event::Settled {
                workflow: self.seed.name(),
                report,
                elapsed: now.saturating_duration_since(sent),
            });
        }
    }

    /// Takes out of a batch what its report is about: `whole`, or as many outcomes from its front as the report says.
    fn take_note(
        &mut self,
        batch: &mut Vec<Settlement<P::Output>>,
        report: SettleReport,
        whole: bool,
        now: Instant,
    ) {
        if recorded(&report) > 0 {
            self.last_progress = Some(now);
        }
        let about = match usize::try_from(report.items()) {
            Ok(items) if !whole => items.min(batch.len()),
            _ => batch.len(),
        };
        let (blocked, done) = aside::split(batch.drain(..about), &report.blocked);
        for settlement in done {
            if let Verdict::Retry { after, .. } | Verdict::Snooze { after, .. } = settlement.verdict
            {
                self.reminders.add(now, after);
            }
        }
        if blocked.is_empty() {
            return;
        }
        let by = report.blocked.by;
        if self.aside.since().is_none() {
            let (workflow, items) = (self.seed.name(), blocked.len());
            let by = by.as_deref().unwrap_or("somebody");
            tracing::warn!(
                workflow,
                items,
                by,
                "rows are locked: their results are set aside"
            );
        }
        self.aside.put(blocked, by, now, rand::random());
    }

    /// An answer of the store has come, in time or not.
    pub(super) fn answer_came(&mut self, operation: Operation, sent: Instant) {
        let call = (operation, sent);
        if let Some(at) = self.unanswered.iter().position(|one| *one == call) {
            self.unanswered.swap_remove(at);
        }
    }

    /// A call whose answer will not come any more.
    fn give_up_claim(&mut self) {
        if let Some(claiming) = self.claiming.take() {
            claiming.abort();
            self.unanswered
                .retain(|(operation, _)| *operation != Operation::Claim);
        }
    }

    pub(super) fn lease_closed(&mut self, result: Result<u64, PortError>) {
        self.unanswered
            .retain(|(operation, _)| *operation != Operation::CloseLease);
        let Lease::Closing(lease) = self.lease else {
            return;
        };
        match result {
            Ok(released) => {
                let counts = &self.seed.continuity.counts;
                counts.released.fetch_add(released, Ordering::Relaxed);
                self.seed.continuity.lease_closed(lease);
                self.myself.stop(None);
            }
            Err(error) => {
                self.lease = Lease::Unclosed(lease);
                self.call_failed(Operation::CloseLease, error, Instant::now());
            }
        }
    }

    pub(super) fn alarm_rang(&mut self) {
        self.alarm = None;
    }

    /// Cancels what runs. Closing the lease hands it back; what has finished is still settled first.
    fn abort_items(&mut self) {
        self.draining = true;
        self.aborting = true;
        self.give_up_claim();
        if let Lease::Held(fence) = &self.lease {
            fence.cancel_items();
        }
        self.in_flight.clear();
    }

    /// Gives a lease up whose items nobody may work any more. `after_beat` as in [`Lease::None`].
    pub(super) fn lose_lease(
        &mut self,
        reason: &'static str,
        after_beat: Option<Instant>,
        now: Instant,
    ) {
        let delay = reopen_delay(self.losses.saturating_add(1), rand::random());
        let next = Lease::None {
            not_before: now + delay,
            after_beat,
        };
        let Lease::Held(fence) = std::mem::replace(&mut self.lease, next) else {
            return;
        };
        self.losses = self.losses.saturating_add(1);
        self.seed.leases.remove(fence.lease());
        fence.break_now();
        let continuity = &self.seed.continuity;
        continuity.lease_lost(self.seed.incarnation, fence.lease());
        self.give_up_claim();
        let held_back: usize = self.held_back.iter().map(Vec::len).sum();
        let dropped = self.in_flight.len() + self.pending.len() + held_back + self.aside.clear();
        self.in_flight.clear();
        self.pending.clear();
        self.held_back.clear();
        // Settles in the air go on: the store decides, and their answers still count.
        self.settling = 0;
        self.settling_items = 0;
        self.session += 1;
        self.doubtful_since = None;
        self.trouble.forget(Operation::Claim);
        self.trouble.forget(Operation::Settle);
        add(&self.seed.continuity.counts.dropped, dropped);
        let (workflow, lease) = (self.seed.name(), fence.lease());
        tracing::warn!(workflow, lease = lease.0, dropped, reason, "lease lost");
        self.observe(Event::LeaseLost {
            workflow,
            lease,
            dropped,
            reason,
        });
    }

    pub(super) fn call_failed(&mut self, operation: Operation, error: PortError, now: Instant) {
        if is_lost(&error) && operation != Operation::OpenLease {
            self.lose_lease("refused by the store", None, now);
            return;
        }
        if let PortError::Misconfigured(reason) = error {
            (self.seed.misconfigured)(reason);
            self.misconfigured = true;
            return;
        }
        let is_refusal = matches!(error, PortError::Refused(_));
        let error = crate::chain(&error);
        if self.trouble.failed(operation, &error, now, rand::random()) {
            let (workflow, operation) = (self.seed.name(), operation.as_str());
            let message = if is_refusal {
                "the store answers, but refuses a call; trying again"
            } else {
                "store unavailable, waiting for it"
            };
            tracing::warn!(workflow, operation, error, "{message}");
            self.observe(Event::StoreTrouble {
                workflow,
                operation,
                error: &error,
            });
        }
    }

    fn answered(&mut self, operation: Operation, now: Instant) {
        if let Some(after) = self.trouble.answered(operation, now) {
            let workflow = self.seed.name();
            tracing::info!(workflow, ?after, "store available again");
            self.observe(Event::StoreRecovered { workflow, after });
        }
    }

    pub(super) fn claim_soon(&mut self) {
        if self.claiming.is_some() {
            self.rung = true;
        } else {
            self.hungry = true;
        }
    }

    fn observe(&self, event: Event<'_>) {
        self.seed.observe(event);
    }

    /// Makes a call to the store, as a task whose result comes back as a message.
    pub(super) fn call(
        &mut self,
        operation: Operation,
        sent: Instant,
        call: impl Future<Output = MsgOf<P>> + Send + 'static,
    ) -> AbortHandle {
        self.unanswered.push((operation, sent));
        while self.tasks.try_join_next().is_some() {}
        let myself = self.myself.clone();
        self.tasks.spawn(async move {
            let message = match AssertUnwindSafe(call).catch_unwind().await {
                Ok(message) => message,
                Err(panic) => Msg::CallPanicked {
                    operation,
                    message: crate::panic_message(&*panic),
                },
            };
            notify(&myself, message);
        })
    }
}

/// The report of a settle, whole or not, and what has stopped it.
fn parts(result: Result<SettleReport, Unsettled>) -> (SettleReport, Option<PortError>) {
    match result {
        Ok(report) => (report, None),
        Err(unsettled) => (unsettled.recorded, Some(unsettled.error)),
    }
}

/// How many items a settle has seen to.
fn recorded(report: &SettleReport) -> u64 {
    let blocked = u64::try_from(report.blocked.items.len()).unwrap_or(u64::MAX);
    report.items().saturating_sub(blocked)
}

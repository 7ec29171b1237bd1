//! What the supervisor knows of one member, with or without an actor.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Member;
use super::restart::RestartLog;
use crate::continuity::Continuity;
use crate::control::{Child, Control, Launch};
use crate::settings::Settings;
use crate::status::State;

/// Which member a message is about. Names are given to others once a member is gone, these never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MemberId(u64);

impl MemberId {
    pub(super) const FIRST: Self = Self(1);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a member is up to, as far as the supervisor decides it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// On its way down, because it was disabled or taken out, or the tree is draining.
    Retiring,
    Restarting {
        reason: String,
    },
    Parked {
        reason: String,
    },
    /// Misconfigured: to be tried again when the configuration changes.
    Idle {
        reason: String,
    },
    Disabled,
}

/// A member's way out.
pub(super) struct Leaving {
    /// By when it has to have finished; later, by when it has to have handed back.
    pub(super) deadline: Instant,
    /// Tells of the deadline.
    pub(super) timer: AbortHandle,
    /// What it has not finished was cancelled.
    pub(super) aborted: bool,
    /// Who is to have its place and its name.
    pub(super) successor: Option<Member>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// One member and its present actor.
pub(super) struct Slot {
    pub(super) id: MemberId,
    pub(super) name: Arc<str>,
    pub(super) continuity: Arc<Continuity>,
    pub(super) kind: &'static str,
    pub(super) launch: Arc<dyn Launch>,
    /// None for tickers and services.
    pub(super) settings: Option<Settings>,
    pub(super) paused: bool,
    pub(super) phase: Phase,
    pub(super) child: Option<Child>,
    pub(super) incarnation: u64,
    pub(super) restarts: u64,
    pub(super) log: RestartLog,
    pub(super) looking: bool,
    /// When the store was last asked for a backlog.
    pub(super) asked: Option<Instant>,
    pub(super) backlog_since: Option<Instant>,
    /// Leases of dead actors on their way back.
    pub(super) closing: usize,
    /// Taken out by a reload, and not gone yet.
    pub(super) leaving: Option<Leaving>,
}

impl Slot {
    pub(super) fn new(id: MemberId, member: Member) -> Self {
        let Member {
            name,
            settings,
            kind,
            paused,
            launch,
        } = member;
        Self {
            id,
            name,
            continuity: Arc::new(Continuity::default()),
            kind,
            launch,
            settings,
            paused,
            phase: Phase::Disabled,
            child: None,
            incarnation: 0,
            restarts: 0,
            log: RestartLog::default(),
            looking: false,
            asked: None,
            backlog_since: None,
            closing: 0,
            leaving: None,
        }
    }

    /// Another member takes the place: its counts go on, a pause holds, and nothing else is left of the one before.
    pub(super) fn become_successor(&mut self, member: Member) {
        self.kind = member.kind;
        self.launch = member.launch;
        self.settings = member.settings;
        self.log = RestartLog::default();
        self.asked = None;
        self.backlog_since = None;
        self.continuity.end_snooze();
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.settings
            .as_ref()
            .is_none_or(|settings| settings.enabled)
    }

    /// Whether the store may be asked for a backlog now. A workflow may be idle for days: its queue is looked at six times in
    /// the time after which it would have stalled, and at every opportunity once there is something in it.
    pub(super) fn may_ask(&self, now: Instant, stall_after: Duration) -> bool {
        self.backlog_since.is_some()
            || self
                .asked
                .is_none_or(|asked| now.saturating_duration_since(asked) >= stall_after / 6)
    }

    pub(super) fn send(&self, control: Control) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| (child.send)(control))
    }

    /// The state to show where the actor cannot be asked.
    pub(super) fn state(&self) -> State {
        if self.leaving.is_some() {
            return State::Draining;
        }
        match &self.phase {
            Phase::Running if self.paused => State::Paused,
            Phase::Running => State::Running,
            Phase::Retiring => State::Draining,
            Phase::Restarting { .. } => State::Restarting,
            Phase::Parked { .. } => State::Parked,
            Phase::Idle { .. } => State::Idle,
            Phase::Disabled => State::Disabled,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        if let Some(leaving) = &self.leaving {
            let why = match leaving.successor {
                None => "taken out by a reload",
                Some(_) => "makes room for what a reload puts in its place",
            };
            return Some(why.to_owned());
        }
        match &self.phase {
            Phase::Restarting { reason } | Phase::Parked { reason } | Phase::Idle { reason } => {
                Some(reason.clone())
            }
            Phase::Running | Phase::Retiring | Phase::Disabled => None,
        }
    }
}

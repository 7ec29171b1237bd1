//! What the supervisor knows of one member, with or without an actor.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::restart::RestartLog;
use crate::continuity::Continuity;
use crate::control::{Child, Control, Launch};
use crate::settings::Settings;
use crate::status::State;

/// What a member is up to, as far as the supervisor decides it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// On its way down, because it was disabled or the tree is draining.
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

/// One member and its present actor.
pub(super) struct Slot {
    pub(super) name: &'static str,
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
}

impl Slot {
    pub(super) fn new(
        name: &'static str,
        kind: &'static str,
        settings: Option<Settings>,
        launch: Arc<dyn Launch>,
    ) -> Self {
        Self {
            name,
            continuity: Arc::new(Continuity::default()),
            kind,
            launch,
            settings,
            paused: false,
            phase: Phase::Disabled,
            child: None,
            incarnation: 0,
            restarts: 0,
            log: RestartLog::default(),
            looking: false,
            asked: None,
            backlog_since: None,
            closing: 0,
        }
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
        match &self.phase {
            Phase::Restarting { reason } | Phase::Parked { reason } | Phase::Idle { reason } => {
                Some(reason.clone())
            }
            Phase::Running | Phase::Retiring | Phase::Disabled => None,
        }
    }
}

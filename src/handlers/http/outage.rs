//! Whose fault it is that no answer comes: the handler's, which is nobody's failure, or the row's, which is charged.
//!
//! A handler that is not reached at all has not seen the row. Where it was reached and gave no answer (502, a broken connection, no word in
//! time) it may be either. Nothing is charged for the first such failure of a row. It is charged for the next one if the handler
//! has answered since: it works, and not for this row. So that there is something to go by where this row is all there is, a
//! request without any row goes before it (a **probe**), which asks no more than whether somebody is there.
//!
//! After [`LIMIT`] failures with no answer between them the handler is taken to be down: the whole workflow waits, longer each time, and a
//! probe goes before anything else. All of it is of this process: others see for themselves.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::handlers::Failure;

/// So many failures in a row, and the handler is down.
const LIMIT: u32 = 3;
/// The wait after the first of these, and before a row is tried again that failed alone.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Rows that are remembered for having failed.
const SUSPECTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// What is known of a handler.
pub(super) struct Outage {
    workflow: String,
    state: Mutex<State>,
    /// Held by who probes.
    probing: tokio::sync::Mutex<()>,
}

struct State {
    /// How often it has answered.
    answers: u64,
    /// How often it has not, since then.
    failures: u32,
    closed: Option<Closed>,
    /// Rows that got no answer, and how often the handler had answered by then.
    suspects: LruCache<String, u64>,
}

struct Closed {
    until: Instant,
    reason: String,
    /// Whether it is only to be left alone for a while, and would answer.
    is_rest: bool,
}

impl State {
    fn snooze(&self, now: Instant) -> Option<Failure> {
        let closed = self.closed.as_ref()?;
        let after = closed.until.checked_duration_since(now)?;
        (!after.is_zero()).then(|| Failure::Snooze {
            after,
            reason: closed.reason.clone(),
            whole_workflow: true,
        })
    }

    /// The wait that this failure is to be followed by.
    fn failed(&mut self, reason: &str, now: Instant) -> (Failure, bool) {
        if let Some(waiting) = self.snooze(now) {
            // Others have seen the same, and it is one outage.
            return (waiting, false);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < LIMIT {
            let waiting = Failure::Snooze {
                after: FIRST_WAIT,
                reason: reason.to_owned(),
                whole_workflow: false,
            };
            return (waiting, false);
        }
        let doublings = (self.failures - LIMIT).min(16);
        let after = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        self.closed = Some(Closed {
            until: now + after,
            reason: reason.to_owned(),
            is_rest: false,
        });
        let waiting = Failure::Snooze {
            after,
            reason: reason.to_owned(),
            whole_workflow: true,
        };
        (waiting, self.failures == LIMIT)
    }
}

/// What may be done with rows.
#[derive(Debug)]
pub(super) enum Entry {
    /// Send them.
    Open,
    /// Ask first whether somebody is there.
    Probe,
    /// Not now.
    Closed(Failure),
}

impl Outage {
    pub(super) fn new(workflow: &str) -> Self {
        Self {
            workflow: workflow.to_owned(),
            state: Mutex::new(State {
                answers: 0,
                failures: 0,
                closed: None,
                suspects: LruCache::new(SUSPECTS),
            }),
            probing: tokio::sync::Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether rows may be sent. `keys` are theirs.
    pub(super) fn entry<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Entry {
        let now = Instant::now();
        let state = self.state();
        if let Some(waiting) = state.snooze(now) {
            return Entry::Closed(waiting);
        }
        let is_down = state.closed.as_ref().is_some_and(|closed| !closed.is_rest);
        let has_suspect = keys
            .into_iter()
            .any(|key| state.suspects.peek(key) == Some(&state.answers));
        if is_down || has_suspect {
            Entry::Probe
        } else {
            Entry::Open
        }
    }

    /// One at a time: whoever waited looks at [`Self::entry`] again.
    pub(super) async fn probing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.probing.lock().await
    }

    /// Whether this row has failed without an answer, and not been answered since.
    pub(super) fn is_suspect(&self, key: &str) -> bool {
        let state = self.state();
        !state.suspects.is_empty() && state.suspects.contains(key)
    }

    /// How often it has answered, for [`Self::doubtful`].
    pub(super) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// It has answered, whatever it said, for these rows or for a probe.
    pub(super) fn answered<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        let mut state = self.state();
        state.answers += 1;
        state.failures = 0;
        if !state.suspects.is_empty() {
            for key in keys {
                state.suspects.pop(key);
            }
        }
        let was_down = state.closed.as_ref().is_some_and(|closed| !closed.is_rest);
        if was_down {
            state.closed = None;
            drop(state);
            info!(workflow = self.workflow, "the handler answers again");
        }
    }

    /// It was not reached, for this reason.
    pub(super) fn unreachable(&self, reason: &str) -> Failure {
        let (failure, has_begun) = self.state().failed(reason, Instant::now());
        self.tell(has_begun, reason);
        failure
    }

    /// A row got no answer, alone. `since`: how often others had been answered when it was handed over, if that is of interest. `None`: it
    /// is to be charged.
    pub(super) fn doubtful(&self, key: &str, since: Option<u64>, reason: &str) -> Option<Failure> {
        let mut state = self.state();
        let answers = state.answers;
        let before = state.suspects.put(key.to_owned(), answers);
        let has_answered = |then: u64| answers > then;
        if before.is_some_and(has_answered) || since.is_some_and(has_answered) {
            return None;
        }
        let (failure, has_begun) = state.failed(reason, Instant::now());
        drop(state);
        self.tell(has_begun, reason);
        Some(failure)
    }

    /// It is to be left alone for so long.
    pub(super) fn rest(&self, after: Duration, reason: &str) -> Failure {
        let now = Instant::now();
        let mut state = self.state();
        state.answers += 1;
        state.failures = 0;
        let until = now + after;
        let is_longest = state
            .closed
            .as_ref()
            .is_none_or(|closed| closed.until < until);
        if is_longest {
            state.closed = Some(Closed {
                until,
                reason: reason.to_owned(),
                is_rest: true,
            });
        }
        Failure::Snooze {
            after,
            reason: reason.to_owned(),
            whole_workflow: true,
        }
    }

    fn tell(&self, has_begun: bool, reason: &str) {
        if has_begun {
            warn!(
                workflow = self.workflow,
                reason, "the handler is down; its rows wait, uncharged"
            );
        }
    }
}

#[cfg(test)]
mod tests;

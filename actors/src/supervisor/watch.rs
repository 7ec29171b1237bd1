//! Finding actors that live but do not work.
//!
//! Progress is what counts, not the existence of a task. An actor is asked for its status; one that does not answer hangs.
//! One that answers but has made no progress, while its store says that items are due, stalls. Since an item may have
//! become due a moment ago, the time without progress counts only from when the backlog was first seen; at that moment
//! the actor is woken, which also repairs a notification that was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::control::{ChildStatus, Launch};
use crate::status::{State, WorkflowStatus};

/// What a look at an actor showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It works, or has no reason to.
    Fine,
    /// Items are due, and it made no progress for this long.
    Backlog { idle: Duration },
    /// It did not answer within this time.
    Unresponsive { waited: Duration },
}

/// What to do about a backlog that is not being worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Seen for the first time, or not for long enough.
    Wake,
    /// It had its chance.
    Restart,
}

/// Looks at one workflow's actor.
pub(super) async fn look(
    answer: oneshot::Receiver<ChildStatus>,
    launch: Arc<dyn Launch>,
    stall_after: Duration,
    grace: Duration,
) -> Finding {
    let status = match timeout(stall_after, answer).await {
        Ok(Ok(ChildStatus::Workflow(status))) => status,
        Ok(Ok(ChildStatus::Helper(_))) => return Finding::Fine,
        // It died in the meantime, which the supervisor learns by itself.
        Ok(Err(_gone)) => return Finding::Fine,
        Err(_elapsed) => {
            return Finding::Unresponsive {
                waited: stall_after,
            };
        }
    };
    let Some(idle) = idle_for(&status, grace) else {
        return Finding::Fine;
    };
    match timeout(stall_after, launch.has_backlog()).await {
        Ok(Ok(true)) => Finding::Backlog { idle },
        // A store that cannot be asked is no reason to blame the actor.
        Ok(Ok(false) | Err(_)) | Err(_) => Finding::Fine,
    }
}

/// For how long an actor has made no progress without a good reason, if longer than `grace`.
fn idle_for(status: &WorkflowStatus, grace: Duration) -> Option<Duration> {
    let excused = match status.state {
        State::Starting | State::Running | State::Waiting => {
            status.snoozed_for_ms.is_some()
                || status.rate_limited
                || status.set_aside_full
                || status.store_trouble_ms.is_some()
        }
        State::Paused
        | State::Parked
        | State::Idle
        | State::Disabled
        | State::Draining
        | State::Stalled
        | State::Restarting => true,
    };
    // An item within its timeout is progress, however long that is; one beyond it cannot be interrupted.
    let timeout = status.settings.timeout.saturating_add(grace);
    let working = status
        .oldest_in_flight_ms
        .is_some_and(|age| Duration::from_millis(age) <= timeout);
    if excused || working {
        return None;
    }
    let idle = status
        .last_progress_ms_ago
        .map_or(Duration::MAX, Duration::from_millis);
    (idle >= grace).then_some(idle)
}

/// Whether an actor that is idle despite a backlog, first seen at `since`, has stalled.
pub(super) fn judge_backlog(
    since: Instant,
    idle: Duration,
    now: Instant,
    stall_after: Duration,
) -> Verdict {
    if idle.min(now.saturating_duration_since(since)) >= stall_after {
        Verdict::Restart
    } else {
        Verdict::Wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continuity::Counts;
    use crate::settings::Settings;
    use crate::workflow::counted;

    const GRACE: Duration = Duration::from_secs(5);

    fn idle_status() -> WorkflowStatus {
        let settings = Settings {
            timeout: Duration::from_secs(30),
            ..Settings::default()
        };
        WorkflowStatus {
            state: State::Waiting,
            last_progress_ms_ago: Some(60_000),
            ..counted("test", &Counts::default(), settings)
        }
    }

    #[test]
    fn only_idleness_without_a_reason_counts() {
        let idle = Some(Duration::from_secs(60));
        let base = idle_status();
        for (case, status, expected) in [
            ("idle", base.clone(), idle),
            (
                "progress a moment ago",
                WorkflowStatus {
                    last_progress_ms_ago: Some(4_999),
                    ..base.clone()
                },
                None,
            ),
            (
                "never any progress",
                WorkflowStatus {
                    last_progress_ms_ago: None,
                    ..base.clone()
                },
                Some(Duration::MAX),
            ),
            (
                "paused",
                WorkflowStatus {
                    state: State::Paused,
                    ..base.clone()
                },
                None,
            ),
            (
                "snoozed",
                WorkflowStatus {
                    snoozed_for_ms: Some(1),
                    ..base.clone()
                },
                None,
            ),
            (
                "rate limited",
                WorkflowStatus {
                    rate_limited: true,
                    ..base.clone()
                },
                None,
            ),
            (
                "results set aside up to the bound",
                WorkflowStatus {
                    set_aside: 100,
                    set_aside_full: true,
                    ..base.clone()
                },
                None,
            ),
            (
                "a few results set aside",
                WorkflowStatus {
                    set_aside: 1,
                    ..base.clone()
                },
                idle,
            ),
            (
                "store trouble",
                WorkflowStatus {
                    store_trouble_ms: Some(9),
                    ..base.clone()
                },
                None,
            ),
            (
                "a long item within its timeout",
                WorkflowStatus {
                    oldest_in_flight_ms: Some(30_000),
                    ..base.clone()
                },
                None,
            ),
            (
                "an item that cannot be interrupted",
                WorkflowStatus {
                    oldest_in_flight_ms: Some(35_001),
                    ..base.clone()
                },
                idle,
            ),
        ] {
            assert_eq!(idle_for(&status, GRACE), expected, "{case}");
        }
    }

    #[test]
    fn a_backlog_just_seen_is_no_stall() {
        let since = Instant::now();
        let stall_after = Duration::from_secs(60);
        for (seconds_later, idle_seconds, expected) in [
            (0, 9_999, Verdict::Wake),
            (59, 9_999, Verdict::Wake),
            (60, 9_999, Verdict::Restart),
            (90, 59, Verdict::Wake),
        ] {
            let now = since + Duration::from_secs(seconds_later);
            let idle = Duration::from_secs(idle_seconds);
            assert_eq!(judge_backlog(since, idle, now, stall_after), expected);
        }
    }
}

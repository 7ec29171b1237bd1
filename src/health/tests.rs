//! Readiness and liveness, judged over tables of what can be seen.

use std::collections::HashMap;
use std::time::Duration;

use gleaner_actors::{HelperStatus, Settings, State, TreeStatus, WorkflowStatus};

// Not everything: diesel's traits, there for the probe, give every Vec a `first` of their own.
use super::{Readiness, judge};
use crate::store::stage::Gauge;

const STALL: Duration = Duration::from_secs(300);

fn workflow() -> WorkflowStatus {
    WorkflowStatus {
        name: "deep-scan".to_owned(),
        state: State::Waiting,
        reason: None,
        incarnation: 1,
        lease: Some(1),
        in_flight: 0,
        unsettled: 0,
        set_aside: 0,
        set_aside_ms: None,
        set_aside_by: None,
        set_aside_full: false,
        claimed: 0,
        completed: 0,
        filtered: 0,
        retried: 0,
        snoozed: 0,
        failed: 0,
        released: 0,
        stale: 0,
        dropped: 0,
        restarts: 0,
        last_claim_ms_ago: Some(1_000),
        last_progress_ms_ago: Some(1_000),
        oldest_in_flight_ms: None,
        snoozed_for_ms: None,
        rate_limited: false,
        store_trouble_ms: None,
        store_silent_ms: None,
        settings: Settings {
            stall_after: STALL,
            timeout: Duration::from_secs(40),
            ..Settings::default()
        },
    }
}

fn helper() -> HelperStatus {
    HelperStatus {
        name: "gauges".to_owned(),
        kind: "ticker",
        state: State::Waiting,
        reason: None,
        incarnation: 1,
        runs: 7,
        failures: 2,
        failures_in_a_row: 0,
        last_error: None,
        last_success_ms_ago: Some(1),
        running_ms: None,
        restarts: 0,
    }
}

fn tree() -> TreeStatus {
    TreeStatus {
        workflows: vec![workflow()],
        helpers: vec![helper()],
        draining: false,
        heartbeat_age_ms: Some(1_000),
        heartbeat_ok: true,
        leases: 1,
    }
}

fn due(seconds: f64) -> Gauge {
    Gauge {
        queued: 9,
        due: 9,
        oldest_seconds: Some(seconds),
        held: 0,
    }
}

fn judged(tree: &TreeStatus, queue: Option<Gauge>) -> Readiness {
    let queues = queue
        .into_iter()
        .map(|queue| ("deep-scan".into(), queue))
        .collect();
    judge(Some(tree), &queues, None, None)
}

#[test]
fn a_workflow_is_judged_by_what_it_gets_done() {
    let idle = WorkflowStatus {
        last_progress_ms_ago: Some(301_000),
        ..workflow()
    };
    let state = |state, reason: Option<&str>| WorkflowStatus {
        state,
        reason: reason.map(str::to_owned),
        ..workflow()
    };
    let late = Some(due(301.0));
    for (case, status, queue, expected) in [
        ("fresh", workflow(), None, "ok"),
        ("busy with an old backlog", workflow(), Some(due(9e6)), "ok"),
        ("idle without a backlog", idle.clone(), None, "ok"),
        (
            "idle, the queue empty",
            idle.clone(),
            Some(Gauge::default()),
            "ok",
        ),
        (
            "idle, rows queued for later only",
            idle.clone(),
            Some(Gauge {
                queued: 5,
                ..Gauge::default()
            }),
            "ok",
        ),
        (
            "idle, rows due a moment ago",
            idle.clone(),
            Some(due(299.0)),
            "ok",
        ),
        (
            "idle, rows due for long",
            idle.clone(),
            late,
            "no progress, and rows due for 301s",
        ),
        (
            "never any progress",
            WorkflowStatus {
                last_progress_ms_ago: None,
                ..workflow()
            },
            late,
            "no progress, and rows due for 301s",
        ),
        (
            "an age that is no number",
            idle.clone(),
            Some(due(f64::NAN)),
            "ok",
        ),
        (
            "an age before its time",
            idle.clone(),
            Some(due(-3.0)),
            "ok",
        ),
        (
            "held back by its rate",
            WorkflowStatus {
                rate_limited: true,
                ..idle.clone()
            },
            late,
            "ok",
        ),
        (
            "snoozed",
            WorkflowStatus {
                snoozed_for_ms: Some(1),
                ..idle.clone()
            },
            late,
            "ok",
        ),
        (
            "a long item within its timeout",
            WorkflowStatus {
                oldest_in_flight_ms: Some(45_000),
                ..idle.clone()
            },
            late,
            "ok",
        ),
        (
            "an item that cannot be interrupted",
            WorkflowStatus {
                oldest_in_flight_ms: Some(45_001),
                ..idle.clone()
            },
            late,
            "no progress, and rows due for 301s",
        ),
        (
            "its database away",
            WorkflowStatus {
                store_trouble_ms: Some(1),
                ..workflow()
            },
            None,
            "cannot reach its rows",
        ),
        (
            "parked",
            state(State::Parked, Some("6 deaths")),
            None,
            "parked (6 deaths)",
        ),
        (
            "parked, no reason",
            state(State::Parked, None),
            None,
            "parked",
        ),
        (
            "without its key, not counted yet",
            state(State::Idle, Some("no key")),
            None,
            "ok",
        ),
        (
            "without its key, nothing queued",
            state(State::Idle, Some("no key")),
            Some(Gauge::default()),
            "ok",
        ),
        (
            "without its key, rows queued for later",
            state(State::Idle, Some("no key")),
            Some(Gauge {
                queued: 2,
                ..Gauge::default()
            }),
            "cannot start, and rows queued: 2 (no key)",
        ),
        (
            "stalled",
            state(State::Stalled, Some("no answer")),
            None,
            "stalled (no answer)",
        ),
        (
            "restarting",
            state(State::Restarting, Some("panic")),
            None,
            "restarting (panic)",
        ),
        (
            "paused with a backlog",
            WorkflowStatus {
                state: State::Paused,
                ..idle.clone()
            },
            late,
            "ok",
        ),
        (
            "switched off with a backlog",
            WorkflowStatus {
                state: State::Disabled,
                ..idle
            },
            late,
            "ok",
        ),
    ] {
        let readiness = judged(
            &TreeStatus {
                workflows: vec![status],
                ..tree()
            },
            queue,
        );
        assert_eq!(readiness.workflows[0].health, expected, "{case}");
        assert_eq!(readiness.ready, expected == "ok", "{case}");
        assert_eq!(
            readiness.workflows[0].is_healthy(),
            expected == "ok",
            "{case}"
        );
        assert_eq!(
            readiness.problems.len(),
            usize::from(expected != "ok"),
            "{case}"
        );
    }
}

#[test]
fn a_ticker_counts_when_it_is_given_up_or_keeps_failing() {
    for (case, status, expected) in [
        ("well", helper(), None),
        (
            "failed twice",
            HelperStatus {
                failures_in_a_row: 2,
                ..helper()
            },
            None,
        ),
        (
            "failed thrice",
            HelperStatus {
                failures_in_a_row: 3,
                ..helper()
            },
            Some("gauges: failed 3 times in a row"),
        ),
        (
            "a service that connects once more",
            HelperStatus {
                kind: "service",
                failures_in_a_row: 3,
                running_ms: Some(499),
                ..helper()
            },
            Some("gauges: failed 3 times in a row"),
        ),
        (
            "a service that is back",
            HelperStatus {
                kind: "service",
                failures_in_a_row: 3,
                running_ms: Some(500),
                ..helper()
            },
            None,
        ),
        (
            "starting again",
            HelperStatus {
                state: State::Restarting,
                ..helper()
            },
            None,
        ),
        (
            "parked",
            HelperStatus {
                state: State::Parked,
                reason: Some("panic".to_owned()),
                ..helper()
            },
            Some("gauges: parked (panic)"),
        ),
        (
            "silent",
            HelperStatus {
                state: State::Stalled,
                ..helper()
            },
            Some("gauges: stalled"),
        ),
    ] {
        let readiness = judged(
            &TreeStatus {
                helpers: vec![status],
                ..tree()
            },
            None,
        );
        assert_eq!(
            readiness.problems.first().map(String::as_str),
            expected,
            "{case}"
        );
        assert_eq!(readiness.ready, expected.is_none(), "{case}");
    }
}

#[test]
fn the_whole_is_judged_too() {
    for (case, status, database, expected) in [
        ("well", Some(tree()), None, vec![]),
        (
            "no actors",
            None,
            None,
            vec!["the actors are not up, or do not answer"],
        ),
        (
            "draining",
            Some(TreeStatus {
                draining: true,
                ..tree()
            }),
            None,
            vec!["draining"],
        ),
        (
            "no heartbeat",
            Some(TreeStatus {
                heartbeat_ok: false,
                ..tree()
            }),
            None,
            vec!["the last heartbeat was not answered"],
        ),
        ("no database", Some(tree()), Some("away"), vec!["away"]),
        (
            "nothing",
            None,
            Some("away"),
            vec!["away", "the actors are not up, or do not answer"],
        ),
    ] {
        let readiness = judge(status.as_ref(), &HashMap::new(), database, None);
        assert_eq!(readiness.problems, expected, "{case}");
        assert_eq!(readiness.ready, expected.is_empty(), "{case}");
        assert_eq!(readiness.database, database.is_none(), "{case}");
    }
}

#[test]
fn a_refused_reload_is_told_and_harms_nothing() {
    let failure = Some("engine.lease: …".to_owned());
    let readiness = judge(Some(&tree()), &HashMap::new(), None, failure.clone());
    assert!(readiness.ready);
    assert_eq!(readiness.reload_failure, failure);
}

#[test]
fn results_that_locks_keep_back_show_when_nothing_else_moves() {
    let due = |due| Gauge {
        queued: due,
        due,
        oldest_seconds: Some(20.0),
        held: 2,
    };
    let stuck = WorkflowStatus {
        unsettled: 2,
        set_aside: 2,
        set_aside_ms: Some(10_000),
        last_progress_ms_ago: Some(10_000),
        ..workflow()
    };
    let fine = None;
    let recorded = Some("nothing can be recorded: 2 results wait for locked rows since 10s");
    for (case, workflow, due_rows, expected) in [
        ("nothing moves", stuck.clone(), 5, recorded),
        ("nothing more is due", stuck.clone(), 0, fine),
        (
            "as many as there may be",
            WorkflowStatus {
                set_aside_full: true,
                ..stuck.clone()
            },
            0,
            recorded,
        ),
        (
            "others move",
            WorkflowStatus {
                last_progress_ms_ago: Some(9_999),
                ..stuck.clone()
            },
            5,
            fine,
        ),
        (
            "since a moment ago",
            WorkflowStatus {
                set_aside_ms: Some(9_999),
                ..stuck.clone()
            },
            5,
            fine,
        ),
        (
            "an answer that takes its time",
            WorkflowStatus {
                store_silent_ms: Some(9_999),
                ..workflow()
            },
            5,
            fine,
        ),
        (
            "no answer",
            WorkflowStatus {
                store_silent_ms: Some(12_345),
                oldest_in_flight_ms: Some(1),
                ..workflow()
            },
            0,
            Some("no answer from the database for 12s"),
        ),
    ] {
        let mut tree = tree();
        tree.workflows[0] = workflow;
        let readiness = judged(&tree, Some(due(due_rows)));
        assert_eq!(readiness.ready, expected.is_none(), "{case}");
        let health = expected.unwrap_or("ok");
        assert_eq!(readiness.workflows[0].health, health, "{case}");
    }
}

#[test]
fn who_is_in_the_way_is_named_and_no_trouble_by_itself() {
    let by = || Some("pid 7 (user app)".to_owned());
    let well = super::blame(judged(&tree(), None), by());
    assert!(well.ready && well.problems.is_empty());
    assert_eq!(well.locked_by, by());
    let mut tree = tree();
    tree.workflows[0].store_trouble_ms = Some(1);
    let ill = super::blame(judged(&tree, None), by());
    assert_eq!(
        ill.problems,
        [
            "deep-scan: cannot reach its rows",
            "locked by pid 7 (user app)"
        ]
    );
}

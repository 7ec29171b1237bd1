//! One row of the engine's own work that the database refuses, or cannot reckon with, among good ones.

use std::time::Duration;

use gleaner::app::state::Shared;
use gleaner::areas;
use gleaner::leads::deep_scan::DeepScan;
use gleaner::live::Live;
use gleaner::store::schedule::Cron;
use gleaner::store::{attempt, lease, overview, schedule, stage as stages};
use gleaner::upkeep::Gauges;
use gleaner::workflow::Workflow as _;
use gleaner_actors::State;

use crate::support::app::test_config;
use crate::support::refuse::{SET_ASIDE, refuse, unbound};
use crate::support::toy::{self, open_lease, stage};
use crate::support::{TestApp, TestDatabase, wait_until};

const LONG: Duration = Duration::from_secs(300);

const STATES: &str = "SELECT concat_ws(' ', id, toy_status, toy_attempts, toy_lease IS NOT NULL) FROM work ORDER BY id";

/// Times that nothing can be taken from: in queues, leases, the history, schedules.
#[tokio::test(flavor = "multi_thread")]
async fn times_without_end_are_counted_as_very_old() {
    let database = TestDatabase::new().await;
    unbound(&database, "schedule").await;
    database
        .run(
            "INSERT INTO place (place_id, deep_scan_status, deep_scan_due_at)
                 SELECT n::text, 'Queued', due::timestamptz FROM unnest('{-infinity,infinity,4714-11-24 00:00:00+00 BC,294276-12-31 23:59:59+00,now}'::text[])
                 WITH ORDINALITY AS given(due, n);
             INSERT INTO schedule (name, next_at, fired_at) VALUES ('one', 'infinity', '-infinity'), ('two', '-infinity', 'infinity');
             INSERT INTO attempt (item_id, attempt, stage, outcome, settled_at)
                 VALUES (1, 1, 'place/deep_scan', 'failed', 'infinity'), (1, 1, 'place/deep_scan', 'completed', 'infinity')",
        )
        .await;
    let config = test_config(&database);
    let workflows = areas::in_force(&config);
    let shared = Shared::new(database.pool(), 1, Live::new(config), None, workflows);
    Gauges::new(std::sync::Arc::clone(&shared))
        .count()
        .await
        .unwrap();
    let gauge = shared.queues()[&std::sync::Arc::<str>::from(DeepScan::NAME)];
    assert_eq!((gauge.queued, gauge.due), (5, 3));
    let mut conn = database.connect().await;
    let place = DeepScan::stage();
    let counts = overview::counts(&mut conn, &place).await.unwrap();
    assert_eq!(counts[0].due, 3);
    assert_eq!(schedule::all(&mut conn).await.unwrap().len(), 2);
    attempt::recent_failures(&mut conn).await.unwrap();
    overview::last_completions(&mut conn).await.unwrap();
    // A lease that never ends is nobody's reason to wait.
    open_lease(&mut conn, LONG).await;
    database
        .run("UPDATE lease SET expires_at = 'infinity'")
        .await;
    stages::in_need(&mut conn, [&place], LONG, 0).await.unwrap();
}

/// What is told of the actors may quote anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_quotes_nul_is_stored() {
    let database = TestDatabase::new().await;
    let mut conn = database.connect().await;
    let node = gleaner::store::node::register(&mut conn).await.unwrap();
    let status = serde_json::json!({"helpers": [{"last_error": "the page said \0"}]});
    gleaner::store::node::report(&mut conn, node, &status)
        .await
        .unwrap();
    assert_eq!(
        database
            .rows("SELECT status #>> '{helpers,0,last_error}' FROM node")
            .await,
        ["the page said \u{fffd}"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_reckoned_with_begins_anew() {
    let database = TestDatabase::new().await;
    unbound(&database, "schedule").await;
    let mut conn = database.connect().await;
    let nightly = Cron::try_from("0 2 * * *".to_owned()).unwrap();
    for bad in [
        "infinity",
        "-infinity",
        "294276-12-31 23:59:59+00",
        "4714-11-24 00:00:00+00 BC",
    ] {
        database
            .run(&format!(
                "INSERT INTO schedule (name, next_at) VALUES ('nightly', '{bad}')
                 ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at"
            ))
            .await;
        let fires = schedule::is_mine_by_cron(&mut conn, "nightly", &nightly, 1).await;
        assert!(!fires.unwrap(), "{bad}");
        assert_eq!(
            database
                .rows("SELECT next_at BETWEEN now() AND now() + interval '1 day' FROM schedule")
                .await,
            ["t"],
            "{bad}"
        );
    }
}

/// A request made at no time is none; those of others are applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_time_keeps_no_other_from_being_heard() {
    let app = TestApp::start_on(TestDatabase::new().await, |_| ()).await;
    app.database
        .run(
            "INSERT INTO workflow_control (workflow, run_requested_at, unpark_requested_at)
                 VALUES ('page-curation', 'infinity', '294276-12-31 23:59:59+00'), ('no such', '-infinity', NULL);
             INSERT INTO workflow_control (workflow, paused) VALUES ('deep-scan', true)",
        )
        .await;
    wait_until("the pause is applied", async || {
        app.status().await.workflow("deep-scan").unwrap().state == State::Paused
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_rescued_is_left_out() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 9)")
        .await;
    let mut conn = database.connect().await;
    let dead = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, dead, 9).await.unwrap();
    lease::end(&mut conn, dead).await.unwrap();
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'); UPDATE work SET toy_due_at = '4714-11-24 00:00:00+00 BC' WHERE id = 10")
        .await;
    refuse(
        &database,
        "work",
        "UPDATE",
        "NEW.id IN (4, 7) AND NEW.toy_lease IS NULL",
    )
    .await;
    let rescued = stage().rescue(&mut conn, 5).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (7, 0));
    assert_eq!(
        database.rows(SET_ASIDE).await,
        [
            "timeout-checker work/toy work 4 1",
            "timeout-checker work/toy work 7 1"
        ]
    );
    // Nothing to do, until they are tried again.
    let stage = stage();
    let need = stages::in_need(&mut conn, [&stage], LONG, 0).await.unwrap();
    assert_eq!(need.stages.len(), 0);
    assert_eq!(stage.rescue(&mut conn, 5).await.unwrap().freed, 0);
    database
        .run("DROP TRIGGER zz_refuse ON work; UPDATE set_aside SET until = now()")
        .await;
    let need = stages::in_need(&mut conn, [&stage], LONG, 0).await.unwrap();
    assert_eq!(need.stages.len(), 1);
    assert_eq!(stage.rescue(&mut conn, 5).await.unwrap().freed, 2);
    assert_eq!(
        database.rows(STATES).await,
        (1..=9)
            .map(|id| format!("{id} Queued 1 f"))
            .chain(["10 Queued 0 f".to_owned()])
            .collect::<Vec<_>>()
    );
}

/// Other software's rows, likewise.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_row_that_cannot_be_queued_is_left_out() {
    let database = toy::database().await;
    database
        .run(
            "INSERT INTO work (toy_status) SELECT 'Processing' FROM generate_series(1, 5);
             UPDATE work SET toy_due_at = now() - interval '1 day'",
        )
        .await;
    refuse(
        &database,
        "work",
        "UPDATE",
        "NEW.id = 2 AND NEW.toy_status = 'Queued'",
    )
    .await;
    let mut conn = database.connect().await;
    for freed in [4, 0] {
        let rescued = stage().rescue_foreign(&mut conn, LONG).await.unwrap();
        assert_eq!(rescued.freed, freed);
    }
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["timeout-checker work/toy work 2 1"]
    );
}

//! Statements: in one transaction with the record of their firing, whatever they are.

use gleaner::store::prune::{self, Cursor};
use gleaner::store::schedule::firing::{self, Outcome, Step};
use gleaner::store::schedule::{state, view};

use super::{define, due, fire};
use crate::support::TestDatabase;

const WITNESS: &str = "CREATE TABLE witness (due_at timestamptz, zone text)";
const WITNESSED: &str = "INSERT INTO witness VALUES (current_setting('gleaner.due_at')::timestamptz, current_setting('TimeZone'))";

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_fires_once_for_its_time_and_knows_it() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let keys = format!("every = \"1h\"\ntime_zone = \"Europe/Berlin\"\nsql = \"{WITNESSED}\"");
    let own = define("nightly", &keys);
    let mut conn = due(&database, &own, 5).await;
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(
        (fired.outcome, fired.rows, fired.missed),
        (Outcome::Completed, Some(1), 0)
    );
    assert_eq!(
        database
            .rows("SELECT due_at = last_due_at, zone, last_outcome, last_rows, fired_by, next_at = due_at + interval '1 hour', succeeded_at IS NOT NULL FROM witness, schedule WHERE name = 'schedules.nightly'")
            .await,
        ["t|Europe/Berlin|completed|1|7|t|t"]
    );
    assert_eq!(
        database
            .rows("SELECT cause, outcome, rows, missed, error IS NULL, fired_by, ended_at >= started_at FROM schedule_firing")
            .await,
        ["due|completed|1|0|t|7|t"]
    );
    assert_eq!(
        firing::step(&mut conn, &own, 7).await.unwrap(),
        Step::NotDue
    );
    // And what it set is nobody else's.
    assert_eq!(database.count("SELECT count(*) FROM witness").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_leaves_nothing_but_its_error_and_the_next_time_comes() {
    let database = TestDatabase::new().await;
    database
        .run(
            "CREATE TABLE witness (n integer CONSTRAINT positive CHECK (n > 0));
             CREATE TABLE parent (id integer PRIMARY KEY);
             CREATE TABLE child (id integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
             CREATE PROCEDURE breaks_off() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'",
        )
        .await;
    for (name, sql, timeout, told) in [
        (
            "check",
            "WITH one AS (INSERT INTO witness VALUES (1)) INSERT INTO witness VALUES (-1)",
            "5m",
            "constraint positive) [23514]",
        ),
        ("absent", "DELETE FROM nowhere", "5m", "[42P01]"),
        // Would be found at the commit only.
        ("deferred", "INSERT INTO child VALUES (1)", "5m", "[23503]"),
        (
            "slow",
            "SELECT pg_sleep(600)",
            "200ms",
            "its timeout is 200ms",
        ),
        ("commits", "CALL breaks_off()", "5m", "[2D000]"),
        ("vacuums", "VACUUM witness", "5m", "[25001]"),
        ("two", "SELECT 1; SELECT 2", "5m", "[42601]"),
    ] {
        let own = define(
            name,
            &format!("every = \"1h\"\ntimeout = \"{timeout}\"\nsql = \"{sql}\""),
        );
        let mut conn = due(&database, &own, 1).await;
        let (fired, _) = fire(&mut conn, &own).await;
        assert_eq!(fired.outcome, Outcome::Failed, "{name}");
        let error = fired.error.unwrap();
        assert!(error.contains(told), "{name}: {error}");
        assert_eq!(
            firing::step(&mut conn, &own, 7).await.unwrap(),
            Step::NotDue
        );
    }
    assert_eq!(
        database
            .rows("SELECT (SELECT count(*) FROM witness), (SELECT count(*) FROM child), count(*), bool_and(outcome = 'failed' AND error IS NOT NULL) FROM schedule_firing")
            .await,
        ["0|0|7|t"]
    );
    assert_eq!(
        database
            .count("SELECT count(*) FROM schedule WHERE name LIKE 'schedules.%' AND last_outcome = 'failed' AND succeeded_at IS NULL AND next_at > now()")
            .await,
        7
    );
}

/// A statement may change its session. What is recorded afterwards is recorded as us, in our tables.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_sets_does_not_outlast_it() {
    let database = TestDatabase::new().await;
    database
        .run(
            "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.schedule_firing (id integer);
             CREATE FUNCTION meddle() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM set_config('search_path', 'elsewhere', true), set_config('statement_timeout', '1', true);
             END $$",
        )
        .await;
    let own = define("meddler", "every = \"1h\"\nsql = \"SELECT meddle()\"");
    let mut conn = due(&database, &own, 1).await;
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(fired.outcome, Outcome::Completed, "{fired:?}");
    assert_eq!(
        database.count("SELECT count(*) FROM schedule_firing").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_finds_it_in_hand_or_done() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let own = define("nightly", &format!("every = \"1h\"\nsql = \"{WITNESSED}\""));
    let mut conn = due(&database, &own, 1).await;
    // Somebody has it in hand, and is in no hurry.
    let holder = database.client().await;
    holder
        .batch_execute(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({}, hashtext('schedules.nightly'))",
            state::LOCK_CLASS
        ))
        .await
        .unwrap();
    assert_eq!(firing::step(&mut conn, &own, 7).await.unwrap(), Step::Busy);
    let views = view::views(&mut conn, &[&own]).await.unwrap();
    assert!(views[0].running_since.is_some(), "{views:?}");
    holder.batch_execute("ROLLBACK").await.unwrap();

    let (mut one, mut other) = (database.connect().await, database.connect().await);
    let (first, second) = tokio::join!(
        firing::step(&mut one, &own, 1),
        firing::step(&mut other, &own, 2)
    );
    let steps = [first.unwrap(), second.unwrap()];
    let done = steps.iter().filter(|step| matches!(step, Step::Done(_)));
    assert_eq!(done.count(), 1, "{steps:?}");
    assert_eq!(database.count("SELECT count(*) FROM witness").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_times_are_skipped_fired_for_once_or_each() {
    let database = TestDatabase::new().await;
    database
        .run("CREATE TABLE witness (name text, due_at timestamptz)")
        .await;
    let witnessed = "INSERT INTO witness SELECT current_setting('gleaner.schedule'), current_setting('gleaner.due_at')::timestamptz";
    for (name, missed, expected) in [
        ("skip", "\"skip\"", "0|missed|5"),
        ("once", "\"once\"", "1|completed|4"),
        ("each", "{ each = 3 }", "3|completed|2"),
    ] {
        let own = define(
            name,
            &format!("every = \"1h\"\nmissed = {missed}\nsql = \"{witnessed}\""),
        );
        // Four hours and a half: five of its times have come.
        let mut conn = due(&database, &own, 4 * 3600 + 1800).await;
        while let Step::Done(_) = firing::step(&mut conn, &own, 7).await.unwrap() {}
        assert_eq!(
            database
                .rows(&format!(
                    "SELECT (SELECT count(DISTINCT due_at) FROM witness WHERE name = '{name}'), last_outcome, missed
                     FROM schedule WHERE name = 'schedules.{name}' AND next_at > now() AND next_at <= now() + interval '1 hour'"
                ))
                .await,
            [expected],
            "{name}"
        );
    }
    // In order, the oldest first, without one twice.
    assert_eq!(
        database
            .count("SELECT count(*) FROM (SELECT due_at - lag(due_at) OVER (ORDER BY id) AS step FROM schedule_firing WHERE schedule = 'schedules.each') AS steps WHERE step = interval '1 hour'")
            .await,
        2
    );
}

/// The database's clock is set back, and a time comes for the second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_comes_again_is_not_fired_for_again() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let own = define("nightly", &format!("every = \"1h\"\nsql = \"{WITNESSED}\""));
    let mut conn = due(&database, &own, 5).await;
    fire(&mut conn, &own).await;
    database
        .run("UPDATE schedule SET next_at = last_due_at WHERE name = 'schedules.nightly'")
        .await;
    assert_eq!(
        firing::step(&mut conn, &own, 7).await.unwrap(),
        Step::NotDue
    );
    assert_eq!(
        database
            .rows("SELECT (SELECT count(*) FROM witness), next_at > now() FROM schedule WHERE name = 'schedules.nightly'")
            .await,
        ["1|t"]
    );
}

/// Rows may hold anything: somebody's hand, another version's, a bad restore.
#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_keep_no_schedule_from_firing() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let own = define("nightly", &format!("every = \"1h\"\nsql = \"{WITNESSED}\""));
    let mut conn = due(&database, &own, 5).await;
    database
        .run("UPDATE schedule SET progress = '{\"odd\": 1}', run_answered_at = 'infinity' WHERE name = 'schedules.nightly';
              INSERT INTO schedule_control (schedule, run_requested_at) VALUES ('schedules.nightly', 'infinity')")
        .await;
    assert_eq!(
        firing::step(&mut conn, &own, 7).await.unwrap(),
        Step::NotDue
    );
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(fired.outcome, Outcome::Completed);
    database
        .run("ALTER TABLE schedule DROP CONSTRAINT schedule_next_at_check; UPDATE schedule SET next_at = '-infinity'")
        .await;
    let (fired, _) = fire(&mut conn, &own).await;
    assert_eq!(fired.outcome, Outcome::Completed);
    assert_eq!(view::views(&mut conn, &[&own]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_kept_for_a_time() {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO schedule_firing (schedule, due_at, cause, started_at, ended_at, outcome)
             SELECT 'schedules.x', at, 'due', at, at, 'completed' FROM generate_series(now() - interval '12000 hours', now(), interval '1 hour') AS at",
        )
        .await;
    let mut conn = database.connect().await;
    let keep = std::time::Duration::from_secs(100 * 3600);
    let (mut next, mut gone) = (Some(Cursor::default()), 0);
    while let Some(cursor) = next {
        let step = prune::step(&mut conn, &state::KEPT, keep, cursor, false)
            .await
            .unwrap();
        gone += step.gone;
        next = step.next;
    }
    assert!((11_899..=11_901).contains(&gone), "{gone}");
    assert_eq!(
        database
            .count("SELECT count(*) FROM schedule_firing WHERE started_at < now() - interval '101 hours'")
            .await,
        0
    );
    assert_eq!(view::firings(&mut conn, "x", 3).await.unwrap().len(), 3);
}

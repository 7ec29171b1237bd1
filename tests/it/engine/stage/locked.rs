//! Rows and tables that somebody else has locked, on a real database.

use std::time::{Duration, Instant};

use gleaner::db::locks;
use gleaner::store::stage::{self, Stage};
use gleaner_actors::port::Port as _;

use super::pipeline::Bench;
use super::{LONG, STATES, died};
use crate::support::toy::{self, Toy};
use crate::support::wait_until;

/// Twenty rows.
const ROWS: &str = "a b c d e f g h i j k l m n o p q r s t";

/// A settle that meets locks takes no longer than this, whatever they are; on a busy machine, too.
const BOUND: Duration = Duration::from_secs(5);

async fn effects(bench: &Bench) -> i64 {
    bench.database.count("SELECT count(*) FROM effect").await
}

/// Settles all twenty rows, some of which are blocked by what `lock` does in a transaction of its own; then again, when it is over.
async fn assert_only_blocked(prepare: &str, lock: &str, blocked: &[i64]) {
    let bench = Bench::new(ROWS, Toy::new()).await;
    bench.database.run(prepare).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    let mut other = bench.database.client().await;
    other
        .batch_execute("SET application_name = 'back-office'")
        .await
        .unwrap();
    let pid: i32 = other
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let open = other.transaction().await.unwrap();
    open.batch_execute(lock).await.expect(lock);

    // Each look ends after a while, so telling them apart may take several.
    let mut rest = batch;
    let mut completed = 0;
    let started = Instant::now();
    loop {
        let one = Instant::now();
        let mut report = port.settle(lease, &rest).await.unwrap();
        report.blocked.items.sort_unstable();
        assert!(one.elapsed() < BOUND, "{lock}: {:?}", one.elapsed());
        assert_eq!((report.stale, report.retried), (0, 0), "{lock}");
        completed += report.completed;
        rest.retain(|one| report.blocked.items.contains(&one.item));
        if report.blocked.items == blocked {
            break;
        }
        assert!(started.elapsed() < 3 * BOUND, "{lock}: {report:?}");
    }
    let free = 20 - i64::try_from(blocked.len()).unwrap();
    assert_eq!(completed, free.unsigned_abs(), "{lock}");
    assert_eq!(effects(&bench).await, free, "{lock}");
    // What is in a stranger's hands is neither lost nor charged.
    for id in blocked {
        let row = format!("SELECT toy_status || toy_attempts FROM work WHERE id = {id}");
        let state: String = bench.database.scalar(&row).await;
        assert_eq!(state, "Processing1", "{lock}");
    }

    // Who it is is asked while one row is waited for, for less than a busy machine may take to answer.
    wait_until("the holder is named", async || {
        let started = Instant::now();
        let mut report = port.settle(lease, &rest).await.unwrap();
        report.blocked.items.sort_unstable();
        assert!(started.elapsed() < BOUND, "{lock}: {:?}", started.elapsed());
        assert_eq!(report.blocked.items, blocked, "{lock}");
        let by = report.blocked.by.unwrap_or_default();
        by.contains(&format!("pid {pid} ")) && by.contains("application back-office")
    })
    .await;
    open.rollback().await.unwrap();
    let report = port.settle(lease, &rest).await.unwrap();
    assert_eq!(report.completed, 20 - free.unsigned_abs(), "{lock}");
    assert_eq!(effects(&bench).await, 20);
    let done = "SELECT count(*) FROM work WHERE toy_status = 'Completed' AND toy_attempts = 1 AND toy_error IS NULL";
    assert_eq!(bench.database.count(done).await, 20);
    let told = bench.toy.committed.lock().unwrap().len();
    assert_eq!(told, 20, "each is told once: {lock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_rows_are_passed_over() {
    assert_only_blocked(
        "",
        "SELECT 1 FROM work WHERE id IN (3, 4, 20) FOR UPDATE",
        &[3, 4, 20],
    )
    .await;
    assert_only_blocked("", "UPDATE work SET payload = 'new' WHERE id = 11", &[11]).await;
    assert_only_blocked("", "SELECT 1 FROM work WHERE id = 7 FOR SHARE", &[7]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_only_referred_to_are_not_in_the_way() {
    assert_only_refers().await;
}

/// Somebody inserts rows that refer to ours.
async fn assert_only_refers() {
    let bench = Bench::new(ROWS, Toy::new()).await;
    let refer = "CREATE TABLE note (item bigint REFERENCES work)";
    bench.database.run(refer).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    let mut other = bench.database.client().await;
    let open = other.transaction().await.unwrap();
    open.batch_execute("INSERT INTO note SELECT generate_series(1, 20)")
        .await
        .unwrap();
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.blocked.items.len()), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_wait_for_others_rows_are_told_from_those_that_do_not() {
    // The same value in a unique index, from a transaction that may yet be rolled back.
    assert_only_blocked(
        "CREATE UNIQUE INDEX ON effect (value)",
        "INSERT INTO effect VALUES (900, 'c'), (901, 'r')",
        &[3, 18],
    )
    .await;
    // What the result refers to.
    assert_only_blocked(
        "CREATE TABLE letter (value text PRIMARY KEY);
         INSERT INTO letter SELECT unnest(string_to_array('a b c d e f g h i j k l m n o p q r s t', ' '));
         ALTER TABLE effect ADD FOREIGN KEY (value) REFERENCES letter",
        "DELETE FROM letter WHERE value IN ('a', 'k')",
        &[1, 11],
    )
    .await;
    // Both kinds at once.
    assert_only_blocked(
        "CREATE UNIQUE INDEX ON effect (value)",
        "INSERT INTO effect VALUES (900, 'b'); SELECT 1 FROM work WHERE id IN (9, 10) FOR UPDATE",
        &[2, 9, 10],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_nothing_blocks_all_within_the_bound() {
    let all: Vec<i64> = (1..=20).collect();
    for lock in ["LOCK TABLE effect IN SHARE MODE", "LOCK TABLE work"] {
        let bench = Bench::new(ROWS, Toy::new()).await;
        let port = bench.port();
        let lease = port.open_lease(LONG, None).await.unwrap().id;
        let batch = bench.run(&port, lease).await;
        let mut other = bench.database.client().await;
        let open = other.transaction().await.unwrap();
        open.batch_execute(lock).await.unwrap();
        let started = Instant::now();
        let report = port.settle(lease, &batch).await.unwrap();
        assert!(started.elapsed() < BOUND, "{lock}: {:?}", started.elapsed());
        let mut blocked = report.blocked.items;
        blocked.sort_unstable();
        assert_eq!(blocked, all, "{lock}");
        open.rollback().await.unwrap();
        let report = port.settle(lease, &batch).await.unwrap();
        assert_eq!(report.completed, 20, "{lock}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_somebody_else_is_nobody_s_failure() {
    let bench = Bench::new("a outage", Toy::new()).await;
    bench
        .database
        .run(
            "CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN IF NEW.value = 'outage' THEN RAISE deadlock_detected; END IF; RETURN NEW; END $$;
             CREATE TRIGGER strike BEFORE INSERT ON effect FOR EACH ROW EXECUTE FUNCTION strike()",
        )
        .await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.blocked.items), (1, vec![2]));
    assert_eq!(
        bench.database.rows(STATES).await,
        ["1 Completed 1", "2 Processing 1 held"]
    );
    bench.database.run("DROP TRIGGER strike ON effect").await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.stale), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn handing_back_waits_for_nobody() {
    let bench = Bench::new(ROWS, Toy::new()).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    bench.run(&port, lease).await;
    let mut other = bench.database.client().await;
    let open = other.transaction().await.unwrap();
    open.batch_execute("SELECT 1 FROM work WHERE id IN (2, 3) FOR UPDATE")
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(port.close_lease(lease).await.unwrap(), 18);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    // A new incarnation takes back what it can get, too.
    let again = port.open_lease(LONG, None).await.unwrap().id;
    bench.run(&port, again).await;
    let open_again = Instant::now();
    let next = port.open_lease(LONG, died(again)).await.unwrap();
    assert!(open_again.elapsed() < BOUND);
    assert_eq!(next.taken_back, 18);
    open.rollback().await.unwrap();
    let mut conn = bench.pool.get().await.unwrap();
    let rescued = toy::stage().rescue(&mut conn, 9).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_keeps_no_other_from_being_looked_at() {
    let bench = Bench::new(ROWS, Toy::new()).await;
    bench
        .database
        .run("INSERT INTO domain (domain, registrable_domain, metadata_status, metadata_lease) VALUES ('a.com', 'a.com', 'Queued', NULL);
              UPDATE domain SET metadata_status = 'Processing', metadata_lease = 999")
        .await;
    let stages = [toy::stage(), Stage::new("domain", "metadata", true)];
    let mut other = bench.database.client().await;
    let open = other.transaction().await.unwrap();
    open.batch_execute("LOCK TABLE work").await.unwrap();
    let mut conn = bench.pool.get().await.unwrap();
    let started = Instant::now();
    let need = stage::in_need(&mut conn, &stages, Duration::ZERO, 1).await;
    let need = need.unwrap();
    let names: Vec<String> = need.stages.iter().map(|stage| stage.name()).collect();
    assert_eq!(names, ["domain/metadata"]);
    let gauges = stage::gauges(&mut conn, &stages, 100).await.unwrap().each;
    assert_eq!(gauges[0], None);
    assert_eq!(gauges[1].map(|gauge| gauge.held), Some(1));
    assert!(started.elapsed() < Duration::from_secs(15));
    let holders = locks::holders(&mut conn, &["work", "domain"])
        .await
        .unwrap();
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert_eq!(holders[0].state.as_deref(), Some("idle in transaction"));
    open.rollback().await.unwrap();
    let gauges = stage::gauges(&mut conn, &stages, 100).await.unwrap().each;
    assert_eq!(gauges[0].map(|gauge| gauge.queued), Some(20));
    assert_eq!(locks::holders(&mut conn, &["work"]).await.unwrap(), []);
}

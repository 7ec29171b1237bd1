//! Rows whose worker is gone.

use std::time::Duration;

use diesel_async::{AsyncConnection as _, RunQueryDsl as _};
use gleaner::store::stage::{Rescued, Stage};
use gleaner::store::{lease, node};

use super::{HISTORY, LONG, STATES, complete, ids};
use crate::support::toy::{self, open_lease, stage};

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_expired_lease_are_worked_by_another_node() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 3)")
        .await;
    let (mut dead, mut alive) = (database.connect().await, database.connect().await);
    let lease = open_lease(&mut dead, LONG).await;
    let other = open_lease(&mut alive, LONG).await;
    stage().claim(&mut dead, lease, 2).await.unwrap();
    stage().claim(&mut alive, other, 1).await.unwrap();
    // Nothing to rescue while it stands.
    assert_eq!(
        stage().rescue(&mut alive, 5).await.unwrap(),
        Rescued::default()
    );
    database
        .run(&format!(
            "UPDATE lease SET expires_at = now() WHERE id = {}",
            lease.0
        ))
        .await;
    let rescued = stage().rescue(&mut alive, 5).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (2, 0));
    assert_eq!(
        database.rows(STATES).await,
        ["1 Queued 1", "2 Queued 1", "3 Processing 1 held"]
    );
    let claimed = stage().claim(&mut alive, other, 10).await.unwrap();
    assert_eq!(ids(&claimed), [1, 2]);
    assert!(claimed.iter().all(|row| row.attempt == 2));
    // The dead one was only slow: too late.
    let settled = stage()
        .settle(&mut dead, lease, &complete(1, 1))
        .await
        .unwrap();
    assert!(settled.is_empty());
    assert_eq!(database.rows(HISTORY).await, ["1 1 rescued", "2 1 rescued"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_kills_its_workers_ends_as_an_error() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued')")
        .await;
    let mut conn = database.connect().await;
    for attempt in 1..=3 {
        let lease = open_lease(&mut conn, LONG).await;
        let claimed = stage().claim(&mut conn, lease, 1).await.unwrap();
        assert_eq!(claimed[0].attempt, attempt);
        lease::end(&mut conn, lease).await.unwrap();
        let rescued = stage().rescue(&mut conn, 3).await.unwrap();
        assert_eq!(
            (rescued.freed, rescued.quarantined),
            (1, i64::from(attempt == 3))
        );
    }
    let state = database.rows(STATES).await.concat();
    assert!(state.starts_with("1 Error 3 quarantined: "), "{state}");
    assert_eq!(
        database.rows(HISTORY).await,
        ["1 1 rescued", "1 2 rescued", "1 3 quarantined"]
    );
    // An operator may try it again all the same.
    database.run("UPDATE work SET toy_status = 'Queued'").await;
    assert_eq!(database.rows(STATES).await, ["1 Queued 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_made_meanwhile_survives_the_worker() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, lease, 2).await.unwrap();
    database
        .run("UPDATE work SET toy_status = CASE id WHEN 1 THEN 'Queued' ELSE 'Cancelled' END")
        .await;
    lease::end(&mut conn, lease).await.unwrap();
    // Out of attempts, but asked for afresh; and a cancelled row stays cancelled.
    stage().rescue(&mut conn, 1).await.unwrap();
    assert_eq!(database.rows(STATES).await, ["1 Queued 0", "2 Cancelled 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_withdrawn_meanwhile_stays_withdrawn() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let (ended, crashed) = (
        open_lease(&mut conn, LONG).await,
        open_lease(&mut conn, LONG).await,
    );
    stage().claim(&mut conn, ended, 1).await.unwrap();
    stage().claim(&mut conn, crashed, 1).await.unwrap();
    database.run("UPDATE work SET toy_status = NULL").await;
    lease::end(&mut conn, ended).await.unwrap();
    stage().rescue(&mut conn, 5).await.unwrap();
    stage().take_back(&mut conn, crashed, 5).await.unwrap();
    assert_eq!(
        database
            .count("SELECT count(*) FROM work WHERE toy_status IS NULL AND toy_lease IS NULL")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_rescue_at_once_free_each_row_once() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 2500)")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, lease, 2_500).await.unwrap();
    lease::end(&mut conn, lease).await.unwrap();
    let rescuers = (0..4).map(|_| async {
        let mut conn = database.connect().await;
        stage().rescue(&mut conn, 5).await.unwrap().freed
    });
    let freed: i64 = futures_util::future::join_all(rescuers).await.iter().sum();
    assert_eq!(freed, 2_500);
    assert_eq!(
        database
            .count("SELECT count(*) FROM attempt WHERE outcome = 'rescued'")
            .await,
        2_500
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_actor_s_next_incarnation_takes_its_rows_back() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, lease, 1).await.unwrap();
    let taken = stage().take_back(&mut conn, lease, 5).await.unwrap();
    assert_eq!((taken.freed, taken.quarantined), (1, 0));
    assert_eq!(database.rows(STATES).await, ["1 Queued 1", "2 Queued 0"]);
    let next = open_lease(&mut conn, LONG).await;
    // What was being worked goes before what has waited.
    let claimed = stage().claim(&mut conn, next, 1).await.unwrap();
    assert_eq!((claimed[0].id, claimed[0].attempt), (1, 2));
    let taken = stage().take_back(&mut conn, next, 2).await.unwrap();
    assert_eq!((taken.freed, taken.quarantined), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_other_software_left_in_processing_are_queued_again_in_time() {
    let hour = Duration::from_secs(3600);
    let database = toy::database().await;
    let mut conn = database.connect().await;
    // One set by UPDATE, one by INSERT, one before there was a trigger, one that a lease holds.
    database
        .run(
            "INSERT INTO work (toy_status) VALUES (NULL), ('Processing'), (NULL), ('Queued');
             UPDATE work SET toy_status = 'Processing' WHERE id = 1;
             ALTER TABLE work DISABLE TRIGGER ALL;
             UPDATE work SET toy_status = 'Processing' WHERE id = 3;
             ALTER TABLE work ENABLE TRIGGER ALL",
        )
        .await;
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, lease, 1).await.unwrap();
    let rescued = stage().rescue_foreign(&mut conn, hour).await.unwrap();
    assert_eq!(rescued.freed, 0, "too early");
    database
        .run("UPDATE work SET toy_due_at = toy_due_at - interval '61 minutes' WHERE id <> 4")
        .await;
    let rescued = stage().rescue_foreign(&mut conn, hour).await.unwrap();
    assert_eq!(rescued.freed, 3);
    assert_eq!(
        database.rows(STATES).await,
        [
            "1 Queued 0",
            "2 Queued 0",
            "3 Queued 0",
            "4 Processing 1 held"
        ]
    );
    assert_eq!(
        database.rows(HISTORY).await[0],
        "1 0 rescued left in Processing by other software"
    );
}

/// Two holders lose their leases; the first lives. What the rescue did to its rows is undone where nobody has touched them since.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_lives_has_its_charges_taken_back() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 8)")
        .await;
    let mut conn = database.connect().await;
    let alive = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, alive, 7).await.unwrap();
    let dead = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, dead, 1).await.unwrap();
    // Rows 6 and 7 are still held by the first when it comes back; of the others, an even one is at its last attempt.
    database
        .run("UPDATE work SET toy_attempts = 3 WHERE id IN (2, 4, 8)")
        .await;
    lease::end(&mut conn, dead).await.unwrap();
    lease::end(&mut conn, alive).await.unwrap();
    let locked = database.client().await;
    locked
        .batch_execute("BEGIN; SELECT 1 FROM work WHERE id IN (6, 7) FOR UPDATE")
        .await
        .unwrap();
    let rescued = stage().rescue(&mut conn, 3).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (6, 3));
    locked.batch_execute("COMMIT").await.unwrap();
    // Row 3 is taken by another, 4 asked for by a person for later, 5 withdrawn.
    database
        .run(
            "UPDATE work SET toy_status = NULL WHERE id = 5;
             UPDATE work SET toy_status = 'Queued', toy_due_at = now() + interval '1 hour' WHERE id = 4",
        )
        .await;
    let other = open_lease(&mut conn, LONG).await;
    let claimed = stage().claim_these(&mut conn, other, &[3]).await.unwrap();
    assert_eq!((claimed[0].id, claimed[0].attempt), (3, 2));

    let taken = stage().release_lost(&mut conn, alive).await.unwrap();
    // Rows 6 and 7, then 1 and 2.
    assert_eq!((taken.freed, taken.quarantined), (4, 0));
    let expected = [
        "1 Queued 0",
        "2 Queued 2",
        "3 Processing 2 held",
        "4 Queued 0",
        "5 - 1",
        "6 Queued 0",
        "7 Queued 0",
        "8 Error 3 quarantined: its worker died at attempt 3, the last",
    ];
    assert_eq!(database.rows(STATES).await, expected);
    // Whoever has lost the answer says it again.
    let taken = stage().release_lost(&mut conn, alive).await.unwrap();
    assert_eq!(taken.freed, 0);
    assert_eq!(database.rows(STATES).await, expected);
    let excused =
        "SELECT item_id || ' ' || attempt FROM attempt WHERE outcome = 'excused' ORDER BY item_id";
    assert_eq!(database.rows(excused).await, ["3 1", "4 3", "5 1"]);

    // The other dies at attempt 2, and the next at 3: with the excused one, two deaths. Only the next is the third.
    for (attempt, quarantined) in [(2, 0), (3, 0), (4, 1)] {
        let lease = match attempt {
            2 => other,
            _ => {
                let lease = open_lease(&mut conn, LONG).await;
                let claimed = stage().claim_these(&mut conn, lease, &[3]).await.unwrap();
                assert_eq!(claimed[0].attempt, attempt);
                lease
            }
        };
        lease::end(&mut conn, lease).await.unwrap();
        let rescued = stage().rescue(&mut conn, 3).await.unwrap();
        assert_eq!((rescued.freed, rescued.quarantined), (1, quarantined));
    }
    // Asked for afresh, what was excused before is past.
    database
        .run("UPDATE work SET toy_status = 'Queued' WHERE id = 3")
        .await;
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim_these(&mut conn, lease, &[3]).await.unwrap();
    lease::end(&mut conn, lease).await.unwrap();
    let rescued = stage().rescue(&mut conn, 1).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (1, 1));
}

/// The rescue comes between the moment at which the holder's transaction begins and the one at which it looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_that_begins_later_than_the_holder_s_transaction_is_undone_too() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued')")
        .await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let lease = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, lease, 2).await.unwrap();
    database
        .run("UPDATE work SET toy_attempts = 2 WHERE id = 2")
        .await;
    lease::end(&mut conn, lease).await.unwrap();
    let taken = conn
        .transaction::<_, diesel::result::Error, _>(async |conn| {
            diesel::sql_query("SELECT now()").execute(conn).await?;
            let rescued = stage().rescue(&mut other, 2).await?;
            assert_eq!((rescued.freed, rescued.quarantined), (2, 1));
            stage().release_lost(conn, lease).await
        })
        .await
        .unwrap();
    assert_eq!(taken.freed, 2);
    assert_eq!(database.rows(STATES).await, ["1 Queued 0", "2 Queued 1"]);
}

/// A process that has said that it stops in good order leaves nothing behind that died.
#[tokio::test(flavor = "multi_thread")]
async fn rows_left_behind_by_a_process_that_stopped_in_good_order_are_not_charged() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued'), ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let (polite, dead) = (
        open_lease(&mut conn, LONG).await,
        open_lease(&mut conn, LONG).await,
    );
    stage().claim(&mut conn, polite, 2).await.unwrap();
    stage().claim(&mut conn, dead, 1).await.unwrap();
    // Asked for again meanwhile, which counts from anew.
    database
        .run("UPDATE work SET toy_status = 'Queued' WHERE id = 2")
        .await;
    let node = format!("SELECT node_id FROM lease WHERE id = {}", polite.0);
    let node: i64 = database.scalar(&node).await;
    node::stopping(&mut conn, node).await.unwrap();
    // Longer ago than leases are kept that tell nothing.
    database
        .run("UPDATE lease SET expires_at = now() - interval '2 hours'")
        .await;
    assert_eq!(lease::prune(&mut conn).await.unwrap(), 1);
    let rescued = stage().rescue(&mut conn, 1).await.unwrap();
    assert_eq!((rescued.freed, rescued.quarantined), (3, 1));
    assert_eq!(
        database.rows(STATES).await,
        [
            "1 Queued 0",
            "2 Queued 0",
            "3 Error 1 quarantined: its worker died at attempt 1, the last"
        ]
    );
    assert_eq!(
        database.rows(HISTORY).await,
        ["1 1 released", "2 1 released", "3 1 quarantined"]
    );
    let leases = "SELECT count(lease) FROM attempt WHERE outcome = 'released'";
    assert_eq!(database.count(leases).await, 0);
    database
        .run("UPDATE lease SET expires_at = now() - interval '31 days'")
        .await;
    assert_eq!(lease::prune(&mut conn).await.unwrap(), 1);
}

/// Attempts that do not count are looked up at the last one that a row has, by its own limit where it has one.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_do_not_count_are_found_at_the_last() {
    let database = toy::database().await;
    database
        .run(
            "ALTER TABLE work ADD COLUMN tries smallint NOT NULL DEFAULT 9;
             INSERT INTO work (toy_status, tries) VALUES ('Queued', 2), ('Queued', 9), ('Queued', 2);
             UPDATE work SET toy_attempts = 1;
             INSERT INTO attempt (item_id, attempt, stage, outcome) VALUES
                (1, 1, 'work/toy', 'excused'), (2, 1, 'work/toy', 'excused'), (3, 1, 'work/toy', 'rescued')",
        )
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let claimed = stage().claim(&mut conn, lease, 3).await.unwrap();
    assert!(claimed.iter().all(|row| row.attempt == 2));
    let own = Stage::limited("work", "toy", true, Some("tries"));
    for (stage, most, expected) in [
        (stage(), 3, vec![]),
        (stage(), 2, vec![1, 2]),
        (own.clone(), 9, vec![1]),
        (own, 2, vec![1, 2]),
    ] {
        let mut excused = stage.excused(&mut conn, &claimed, most).await.unwrap();
        excused.sort_by_key(|row| row.id);
        assert!(excused.iter().all(|row| row.excused == 1));
        let excused: Vec<i64> = excused.iter().map(|row| row.id).collect();
        assert_eq!(excused, expected, "of {most}");
    }
}

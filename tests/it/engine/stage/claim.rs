//! Who gets which rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use gleaner::live::Live;
use gleaner::pipeline::Pipeline;
use gleaner::store::lease;
use gleaner::store::lease::LeaseHeart;
use gleaner::store::node;
use gleaner_actors::port::LeaseId;
use gleaner_actors::{Member, Settings, Tree, TreeSettings};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{LONG, STATES, ids};
use crate::support::toy::{self, Toy, open_lease, stage};
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_by_priority_then_due_time_then_key() {
    let database = toy::database().await;
    database
        .run(
            "INSERT INTO work (toy_status, toy_priority, toy_due_at) VALUES
            ('Queued', 0, now() - interval '1 minute'), ('Queued', 0, now() - interval '1 minute'),
            ('Queued', 0, now() - interval '2 minutes'), ('Queued', 5, now() - interval '1 second'),
            ('Queued', -1, now() - interval '1 day'), ('Queued', 9, now() + interval '1 minute'),
            ('Completed', 9, NULL), ('Cancelled', 9, NULL), ('Error', 9, NULL), ('Filtered', 9, NULL), (NULL, 9, NULL)",
        )
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let mut order = Vec::new();
    loop {
        let claimed = stage().claim(&mut conn, lease, 1).await.unwrap();
        assert!(claimed.len() <= 1);
        let Some(row) = claimed.first() else { break };
        assert_eq!(row.attempt, 1);
        order.push(row.id);
    }
    assert_eq!(order, [4, 3, 1, 2, 5]);
    assert_eq!(database.rows(STATES).await[5], "6 Queued 0");
}

/// Rows that are named are claimed under the same conditions as all others.
#[tokio::test(flavor = "multi_thread")]
async fn named_rows_are_claimed_only_when_due_free_and_under_a_lease_that_stands() {
    let database = toy::database().await;
    database
        .run(
            "INSERT INTO work (toy_status, toy_due_at) VALUES ('Queued', now()), ('Queued', now()),
            ('Queued', now() + interval '1 hour'), ('Completed', NULL), (NULL, NULL), ('Queued', now())",
        )
        .await;
    let mut conn = database.connect().await;
    let other = open_lease(&mut conn, LONG).await;
    stage().claim(&mut conn, other, 1).await.unwrap();
    let ended = open_lease(&mut conn, Duration::ZERO).await;
    let all = [1, 2, 3, 4, 5, 77];
    let claimed = stage().claim_these(&mut conn, ended, &all).await.unwrap();
    assert_eq!(ids(&claimed), Vec::<i64>::new());
    let lease = open_lease(&mut conn, LONG).await;
    let claimed = stage().claim_these(&mut conn, lease, &all).await.unwrap();
    assert_eq!(ids(&claimed), [2]);
    assert_eq!(claimed[0].attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_steps_over_rows_that_another_has_locked() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 10)")
        .await;
    let (mut first, mut second) = (database.connect().await, database.connect().await);
    let lease = open_lease(&mut first, LONG).await;
    let other = open_lease(&mut second, LONG).await;
    first.batch_execute("BEGIN").await.unwrap();
    let held = stage().claim(&mut first, lease, 4).await.unwrap();
    assert_eq!(ids(&held), [1, 2, 3, 4]);
    // The first has not committed: the second neither waits for it nor gets its rows.
    let got = tokio::time::timeout(
        Duration::from_secs(10),
        stage().claim(&mut second, other, 100),
    )
    .await
    .expect("the claim waits for a lock")
    .unwrap();
    assert_eq!(ids(&got), [5, 6, 7, 8, 9, 10]);
    first.batch_execute("ROLLBACK").await.unwrap();
    let got = stage().claim(&mut second, other, 100).await.unwrap();
    assert_eq!(ids(&got), [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claimers_at_the_same_moment_get_disjoint_rows() {
    const CLAIMERS: usize = 6;
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 600)")
        .await;
    let barrier = Arc::new(Barrier::new(CLAIMERS));
    let mut claimers = JoinSet::new();
    for _ in 0..CLAIMERS {
        let mut conn = database.connect().await;
        let barrier = Arc::clone(&barrier);
        claimers.spawn(async move {
            let lease = open_lease(&mut conn, LONG).await;
            let mut mine = Vec::new();
            for _ in 0..20 {
                barrier.wait().await;
                let claimed = stage().claim(&mut conn, lease, 10).await.unwrap();
                assert!(claimed.len() <= 10);
                mine.extend(ids(&claimed));
            }
            mine
        });
    }
    let mut all: Vec<i64> = claimers.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=600).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_under_a_lease_that_has_ended() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let expired = open_lease(&mut conn, Duration::ZERO).await;
    let closed = open_lease(&mut conn, LONG).await;
    lease::end(&mut conn, closed).await.unwrap();
    for lease in [expired, closed, LeaseId(4_711)] {
        let claimed = stage().claim(&mut conn, lease, 10).await.unwrap();
        assert!(claimed.is_empty(), "{lease:?}");
    }
    // And a lease that has ended is not renewed.
    let node = database
        .scalar::<i64>("SELECT node_id FROM lease WHERE expires_at <= now()")
        .await;
    assert!(
        lease::renew(&mut conn, node, LONG)
            .await
            .unwrap()
            .is_empty()
    );
}

/// F3: eight nodes and 1,000 rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_nodes_execute_each_of_a_thousand_rows_once() {
    let database = toy::database().await;
    let pool = database.pool();
    let connector =
        gleaner::db::connect::Connector::new(&database.config().url, &database.config()).unwrap();
    let toy = Toy::new();
    let settings = Settings {
        interval: Duration::from_millis(20),
        batch_size: 7,
        concurrency: 20,
        settle_items: 5,
        settle_age: Duration::from_millis(2),
        ..Settings::default()
    };
    let mut trees = Vec::new();
    for _ in 0..8 {
        let node = node::register(&mut pool.get().await.unwrap())
            .await
            .unwrap();
        let port = Pipeline::new(toy.clone(), pool.clone(), node, Live::new(settings.clone()));
        let member = Member::workflow("toy", Arc::new(port), settings.clone());
        let heart = LeaseHeart::new(connector.clone(), node);
        let tree = Tree::start(TreeSettings::default(), heart, vec![member], Arc::new(()));
        trees.push(tree.await.unwrap());
    }
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 1000)")
        .await;
    for tree in &trees {
        tree.wake_all();
    }
    wait_until("all rows are done", async || {
        database
            .count("SELECT count(*) FROM work WHERE toy_status = 'Completed'")
            .await
            == 1_000
    })
    .await;
    let mut workers = 0;
    for tree in &trees {
        let status = tree.status().await.unwrap();
        workers += u32::from(status.workflow("toy").unwrap().completed > 0);
        tree.drain(Duration::from_secs(5)).await;
    }
    assert!(workers > 1, "one node did it all");
    let runs = toy.runs.lock().unwrap().count.clone();
    let once: HashMap<i64, u32> = (1..=1_000).map(|id| (id, 1)).collect();
    assert_eq!(runs, once);
    for (sql, expected) in [
        ("SELECT count(*) FROM effect", 1_000),
        ("SELECT count(DISTINCT item) FROM effect", 1_000),
        (
            "SELECT count(*) FROM attempt WHERE outcome = 'completed'",
            1_000,
        ),
        ("SELECT count(*) FROM attempt", 1_000),
        ("SELECT count(*) FROM work WHERE toy_lease IS NOT NULL", 0),
    ] {
        assert_eq!(database.count(sql).await, expected, "{sql}");
    }
}

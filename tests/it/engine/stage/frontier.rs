//! Claims while somebody's open transaction pins row versions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use gleaner::store::pin;
use gleaner::store::stage::{Claimed, Frontier, Records, patrol};
use gleaner::store::{lease, node};
use gleaner_actors::port::{LeaseId, Settlement, Verdict};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::{LONG, failure, ids, settlement};
use crate::support::database::TestDatabase;
use crate::support::pages::pages_read;
use crate::support::toy::{self, open_lease, stage};

/// Rows of a claim.
const BATCH: usize = 100;

/// What a claim yields, and how many pages it reads; it is kept or taken back.
async fn measured(
    conn: &mut AsyncPgConnection,
    lease: LeaseId,
    frontier: &Frontier,
    keep: bool,
) -> (Vec<Claimed>, i64) {
    conn.batch_execute("BEGIN").await.unwrap();
    let before = pages_read(conn, "work").await.unwrap();
    let claimed = stage()
        .claim_past(conn, lease, BATCH, frontier)
        .await
        .unwrap();
    let pages = pages_read(conn, "work").await.unwrap() - before;
    let end = if keep { "COMMIT" } else { "ROLLBACK" };
    conn.batch_execute(end).await.unwrap();
    (claimed, pages)
}

fn completed(claimed: &[Claimed]) -> Records {
    let settled: Vec<Settlement<String>> = claimed
        .iter()
        .map(|row| settlement(row.id, row.attempt, Verdict::Complete(String::new())))
        .collect();
    Records::of(&settled)
}

/// With 20,000 rows claimed and settled since somebody's transaction began, a claim reads no more than three times what one read at first.
async fn claims_stay_cheap(queue: &str) {
    let database = toy::database().await;
    database.run(queue).await;
    database.run("ANALYZE work").await;
    let report = database.client().await;
    report
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .unwrap();
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let frontier: Arc<Frontier> = Arc::default();
    let places = [(&stage(), Arc::clone(&frontier))];
    let mut fresh = Vec::new();
    for round in 0..200 {
        let (claimed, pages) = measured(&mut conn, lease, &frontier, true).await;
        assert_eq!(claimed.len(), BATCH);
        if round < 5 {
            fresh.push(pages);
        }
        let records = completed(&claimed);
        stage().settle(&mut conn, lease, &records).await.unwrap();
        if round % 20 == 0 {
            patrol(&mut conn, &places).await.unwrap();
        }
    }
    fresh.sort_unstable();
    let fresh = fresh[fresh.len() / 2];
    let (claimed, pages) = measured(&mut conn, lease, &frontier, false).await;
    let (all, pages_of_all) = measured(&mut conn, lease, &Frontier::default(), false).await;
    assert_eq!(ids(&claimed), ids(&all), "the same rows are next");
    assert!(pages <= 3 * fresh, "{pages} pages, {fresh} at first");
    // Or the transaction would have pinned nothing.
    assert!(pages_of_all > 3 * fresh, "{pages_of_all}, {fresh} at first");
    report.batch_execute("COMMIT").await.unwrap();
    patrol(&mut conn, &places).await.unwrap();
    assert_eq!(pin::holders(&mut conn).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_under_a_pin_reads_no_more_than_three_times_what_a_fresh_one_does() {
    claims_stay_cheap(
        "INSERT INTO work (toy_status, toy_due_at) \
         SELECT 'Queued', now() - make_interval(secs => 60 + n * 7919 % 30000) FROM generate_series(1, 30000) AS n",
    )
    .await;
}

/// One INSERT gives all its rows the same due time.
#[tokio::test(flavor = "multi_thread")]
async fn rows_queued_all_at_once_are_claimed_under_a_pin_as_cheaply() {
    claims_stay_cheap(
        "INSERT INTO work (payload, toy_status, toy_priority, toy_due_at) \
         SELECT repeat('x', 700), 'Queued', n % 3, '2026-01-01' FROM generate_series(1, 30000) AS n",
    )
    .await;
}

/// One of several processes: its frontier, its lease, and what it has in hand.
struct Worker {
    frontier: Frontier,
    lease: LeaseId,
    in_hand: Vec<Claimed>,
}

/// The rows that are due and free, as the queue has them.
async fn due(database: &TestDatabase) -> Vec<i64> {
    database
        .client()
        .await
        .query(
            "SELECT id FROM work WHERE toy_status = 'Queued' AND toy_due_at <= now() \
             ORDER BY toy_priority DESC, toy_due_at, id",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

fn sorted(ids: &[i64]) -> Vec<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// Three processes, and everything that brings a row before a frontier: after a look, a claim takes exactly what is next in the
/// queue; without one it takes what is due; and in the end nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_look_a_claim_takes_what_is_next_whatever_happened_meanwhile() {
    const STEPS: usize = 400;
    const CHANGES: &[&str] = &[
        "INSERT INTO work (toy_status, toy_priority) SELECT 'Queued', n % 4 FROM generate_series(1, 20) AS n",
        "INSERT INTO work (toy_status, toy_priority, toy_due_at) \
         SELECT 'Queued', (random() * 3)::int, now() - make_interval(secs => random() * 5000) FROM generate_series(1, 20)",
        "INSERT INTO work (toy_status, toy_priority, toy_due_at) \
         SELECT 'Queued', (random() * 60000)::int - 30000, now() - interval '1 hour' FROM generate_series(1, 3)",
        "INSERT INTO work (toy_status, toy_due_at) SELECT 'Queued', clock_timestamp() + interval '700 ms' FROM generate_series(1, 5)",
        "INSERT INTO work (toy_status, toy_priority, toy_due_at) VALUES ('Queued', 1, '-infinity'), ('Queued', 1, '1969-01-01')",
        "UPDATE work SET toy_priority = 9 - toy_priority % 10 WHERE id % 7 = 3 AND toy_status = 'Queued'",
        "UPDATE work SET toy_due_at = toy_due_at - interval '2 hours' WHERE id % 11 = 5 AND toy_status = 'Queued'",
        "UPDATE work SET toy_status = 'Queued', toy_due_at = now() - interval '1 day' WHERE id % 5 = 2 AND toy_status = 'Completed'",
        "UPDATE work SET toy_status = 'Queued' WHERE id % 6 = 1 AND toy_status = 'Processing'",
        "UPDATE work SET toy_status = 'Cancelled' WHERE id % 29 = 1 AND toy_status = 'Processing'",
    ];
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let database = toy::database().await;
    let mut conn = database.connect().await;
    let slow = database.client().await;
    let mut is_slow_open = false;
    let mut workers = Vec::new();
    for _ in 0..3 {
        let frontier = Frontier::default();
        frontier.set_pinned(true);
        workers.push(Worker {
            frontier,
            lease: open_lease(&mut conn, LONG).await,
            in_hand: Vec::new(),
        });
    }
    let (mut claims, mut looks, mut found) = (0, 0, 0);
    for step in 0..STEPS {
        let place = chance.random_range(0..workers.len());
        match chance.random_range(0..12) {
            0..=2 => {
                let sql = CHANGES.choose(&mut chance).unwrap();
                database.run(sql).await;
            }
            3 if is_slow_open => {
                slow.batch_execute("COMMIT").await.unwrap();
                is_slow_open = false;
            }
            3 => {
                // Due from now on, and to be seen only when it is committed.
                slow.batch_execute(
                    "BEGIN; INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 7)",
                )
                .await
                .unwrap();
                is_slow_open = true;
            }
            4 => {
                let worker = &mut workers[place];
                let ended = std::mem::take(&mut worker.in_hand);
                let verdicts: Vec<Settlement<String>> = ended
                    .iter()
                    .map(|row| {
                        let verdict = match chance.random_range(0..4) {
                            0 => Verdict::Retry {
                                after: Duration::from_millis(chance.random_range(0..300)),
                                failure: failure("503"),
                                output: None,
                            },
                            1 => Verdict::Release,
                            _ => Verdict::Complete(String::new()),
                        };
                        settlement(row.id, row.attempt, verdict)
                    })
                    .collect();
                let records = Records::of(&verdicts);
                stage()
                    .settle(&mut conn, worker.lease, &records)
                    .await
                    .unwrap();
                let dropped: Vec<(i64, i16)> =
                    ended.iter().map(|row| (row.id, row.attempt)).collect();
                stage()
                    .disown(&mut conn, worker.lease, &dropped)
                    .await
                    .unwrap();
            }
            5 if step % 3 == 0 => {
                // It dies; somebody takes its rows back, and only that one knows.
                let lost = workers[place].lease;
                lease::end(&mut conn, lost).await.unwrap();
                let rescued = stage().rescue(&mut conn, 1_000).await.unwrap();
                workers[place].in_hand.clear();
                workers[place].lease = open_lease(&mut conn, LONG).await;
                if rescued.freed > 0 {
                    workers[(place + 1) % 3].frontier.forget();
                }
            }
            6..=8 => {
                let worker = &mut workers[place];
                let limit = chance.random_range(1..30);
                let before = due(&database).await;
                found += stage().look(&mut conn, &worker.frontier).await.unwrap();
                looks += 1;
                let claimed = stage()
                    .claim_past(&mut conn, worker.lease, limit, &worker.frontier)
                    .await
                    .unwrap();
                // What has come due in between may come first.
                let after = due(&database).await;
                let mut now: Vec<i64> = after.iter().copied().chain(ids(&claimed)).collect();
                now.sort_unstable();
                if now == sorted(&before) {
                    let next = &before[..limit.min(before.len())];
                    assert_eq!(ids(&claimed), sorted(next), "step {step}");
                }
                worker.in_hand.extend(claimed);
            }
            _ => {
                let worker = &mut workers[place];
                let limit = chance.random_range(1..60);
                let claimed = stage()
                    .claim_past(&mut conn, worker.lease, limit, &worker.frontier)
                    .await
                    .unwrap();
                claims += claimed.len();
                worker.in_hand.extend(claimed);
            }
        }
    }
    if is_slow_open {
        slow.batch_execute("COMMIT").await.unwrap();
    }
    println!("{claims} rows claimed without a look; {looks} looks found {found} rows");
    assert!(claims > 0 && found > 0);
    // In the end one worker alone looks, and gets all.
    let worker = &workers[0];
    stage().look(&mut conn, &worker.frontier).await.unwrap();
    loop {
        let claimed = stage()
            .claim_past(&mut conn, worker.lease, 50, &worker.frontier)
            .await
            .unwrap();
        if claimed.is_empty() {
            break;
        }
    }
    stage().look(&mut conn, &worker.frontier).await.unwrap();
    stage()
        .claim_past(&mut conn, worker.lease, 1_000, &worker.frontier)
        .await
        .unwrap();
    let left = "SELECT count(*) FROM work WHERE toy_status = 'Queued' AND toy_due_at < now() - interval '10 seconds'";
    assert_eq!(database.count(left).await, 0);
}

/// More rows than can be kept by their keys come before the frontier: it goes back, and the order is kept.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_put_before_the_frontier_come_in_their_order() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status, toy_due_at) SELECT 'Queued', now() - interval '1 hour' FROM generate_series(1, 3010)")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let frontier = Frontier::default();
    frontier.set_pinned(true);
    let first = stage().claim_past(&mut conn, lease, 10, &frontier).await;
    assert_eq!(ids(&first.unwrap()), (1..=10).collect::<Vec<i64>>());
    // Older than what has just been claimed; the highest keys first.
    database
        .run("UPDATE work SET toy_due_at = now() - interval '9 days' - make_interval(secs => id) WHERE toy_status = 'Queued'")
        .await;
    let found = stage().look(&mut conn, &frontier).await.unwrap();
    assert_eq!(found, 1_000);
    for round in 0..6 {
        let claimed = stage().claim_past(&mut conn, lease, 500, &frontier).await;
        let last = 3_010 - round * 500;
        assert_eq!(
            ids(&claimed.unwrap()),
            (last - 499..=last).collect::<Vec<i64>>(),
            "round {round}"
        );
    }
    let none = stage().claim_past(&mut conn, lease, 500, &frontier).await;
    assert_eq!(none.unwrap(), []);
}

/// A row that somebody has locked for long costs a claim nothing and is taken in its place as soon as it is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_locked_is_found_by_the_next_look() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status, toy_due_at) SELECT 'Queued', now() - interval '1 hour' FROM generate_series(1, 30)")
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let frontier = Frontier::default();
    frontier.set_pinned(true);
    let holder = database.client().await;
    holder
        .batch_execute("BEGIN; SELECT 1 FROM work WHERE id = 3 FOR UPDATE")
        .await
        .unwrap();
    let first = stage().claim_past(&mut conn, lease, 10, &frontier).await;
    assert_eq!(ids(&first.unwrap()), [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]);
    for _ in 0..2 {
        assert_eq!(stage().look(&mut conn, &frontier).await.unwrap(), 1);
    }
    let second = stage().claim_past(&mut conn, lease, 2, &frontier).await;
    assert_eq!(ids(&second.unwrap()), [12, 13]);
    holder.batch_execute("ROLLBACK").await.unwrap();
    let third = stage().claim_past(&mut conn, lease, 2, &frontier).await;
    assert_eq!(ids(&third.unwrap()), [3, 14]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_claimed_past_a_frontier_under_a_lease_that_has_ended() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued'), ('Queued')")
        .await;
    let mut conn = database.connect().await;
    let frontier = Frontier::default();
    frontier.set_pinned(true);
    let lease = open_lease(&mut conn, LONG).await;
    let first = stage().claim_past(&mut conn, lease, 1, &frontier).await;
    assert_eq!(ids(&first.unwrap()), [1]);
    let ended = open_lease(&mut conn, Duration::ZERO).await;
    let none = stage().claim_past(&mut conn, ended, 9, &frontier).await;
    assert_eq!(none.unwrap(), []);
    // And that has taught it nothing about what is left.
    let second = stage().claim_past(&mut conn, lease, 9, &frontier).await;
    assert_eq!(ids(&second.unwrap()), [2]);
}

/// A row is claimed once, however many claim past frontiers of their own at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claimers_past_their_frontiers_get_disjoint_rows() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status, toy_priority) SELECT 'Queued', n % 3 FROM generate_series(1, 900) AS n")
        .await;
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut conn = database.connect().await;
        claimers.spawn(async move {
            let lease = open_lease(&mut conn, LONG).await;
            let frontier = Frontier::default();
            frontier.set_pinned(true);
            let mut mine = Vec::new();
            let mut empty = 0;
            while empty < 3 {
                let claimed = stage().claim_past(&mut conn, lease, 13, &frontier).await;
                let claimed = ids(&claimed.unwrap());
                if claimed.is_empty() {
                    empty += 1;
                    stage().look(&mut conn, &frontier).await.unwrap();
                }
                mine.extend(claimed);
            }
            mine
        });
    }
    let mut all: Vec<i64> = claimers.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=900).collect::<Vec<i64>>());
}

/// Who pins is named: the server's process, its user and application, and since when.
#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_pin_is_named_once_it_counts() {
    let database = toy::database().await;
    let mut conn = database.connect().await;
    let report = database.client().await;
    report
        .batch_execute(
            "SET application_name = 'the monthly report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1",
        )
        .await
        .unwrap();
    let pid: i32 = report
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    for _ in 0..=pin::COUNTS_AFTER {
        node::register(&mut conn).await.unwrap();
    }
    let holders = pin::holders(&mut conn).await.unwrap();
    let [holder] = holders.as_slice() else {
        panic!("{holders:?}");
    };
    assert_eq!(holder.pid, Some(pid));
    assert!(holder.pins_rows());
    let text = holder.describe();
    for part in [
        &format!("session {pid} ("),
        "the monthly report",
        "idle in transaction for",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    report.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(pin::holders(&mut conn).await.unwrap(), []);
}

/// While row versions are pinned, looking for rows to rescue reads what lost its lease, not what was ever claimed.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_rows_to_rescue_stays_cheap_under_a_pin() {
    let database = toy::database().await;
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 20000); ANALYZE work")
        .await;
    let report = database.client().await;
    report
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .unwrap();
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, LONG).await;
    let lost = open_lease(&mut conn, LONG).await;
    let last = open_lease(&mut conn, LONG).await;
    for _ in 0..20 {
        let claimed = stage().claim(&mut conn, lease, 1_000).await.unwrap();
        let records = completed(&claimed);
        stage().settle(&mut conn, lease, &records).await.unwrap();
    }
    database
        .run("INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, 3)")
        .await;
    for holder in [lease, lost, last] {
        assert_eq!(stage().claim(&mut conn, holder, 1).await.unwrap().len(), 1);
    }
    let own = [stage()];
    let mut needed = HashMap::new();
    for is_lost in [false, true] {
        if is_lost {
            lease::end(&mut conn, lost).await.unwrap();
        }
        conn.batch_execute("BEGIN").await.unwrap();
        let before = pages_read(&mut conn, "work").await.unwrap();
        let need = gleaner::store::stage::in_need(&mut conn, &own, Duration::ZERO, 0)
            .await
            .unwrap();
        let pages = pages_read(&mut conn, "work").await.unwrap() - before;
        conn.batch_execute("COMMIT").await.unwrap();
        println!("{pages} pages read; lost: {is_lost}");
        assert!(pages < 60, "{pages} pages");
        needed.insert(is_lost, need.stages.len());
    }
    assert_eq!(needed, HashMap::from([(false, 0), (true, 1)]));
    assert_eq!(stage().rescue(&mut conn, 9).await.unwrap().freed, 1);
}

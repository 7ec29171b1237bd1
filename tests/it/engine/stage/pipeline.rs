//! The pipeline on a real database: bisection, lost answers, panics.

use std::sync::Arc;
use std::time::Duration;

use gleaner::db::{Pool, connect};
use gleaner::live::Live;
use gleaner::pipeline::Pipeline;
use gleaner::store::lease::LeaseHeart;
use gleaner::store::node;
use gleaner::workflow::Ended;
use gleaner::workflow::Workflow;
use gleaner::workflow::erased::Output;
use gleaner_actors::port::{Ending, LeaseId, Port as _, Previous, Settlement, Verdict};
use gleaner_actors::{Backoff, Member, Settings, Tree, TreeSettings};
use rand::{Rng as _, SeedableRng as _};

use super::{HISTORY, LONG, STATES, settlement};
use crate::support::toy::{self, Toy};
use crate::support::{PATIENCE, TestDatabase, wait_until, wait_until_by};

fn settings() -> Settings {
    Settings {
        interval: Duration::from_millis(50),
        concurrency: 50,
        batch_size: 50,
        max_attempts: 2,
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_millis(2)),
        ..Settings::default()
    }
}

/// With attempts for any test.
pub(super) fn patient() -> Settings {
    Settings {
        max_attempts: 100,
        ..settings()
    }
}

pub(super) struct Bench {
    pub(super) database: TestDatabase,
    pub(super) pool: Pool,
    node: i64,
    pub(super) toy: Toy,
}

impl Bench {
    pub(super) async fn new(rows: &str, toy: Toy) -> Self {
        let database = toy::database().await;
        database
            .run(&format!(
                "INSERT INTO work (toy_status, payload) SELECT 'Queued', unnest(string_to_array('{rows}', ' '))"
            ))
            .await;
        let pool = database.pool();
        let node = node::register(&mut pool.get().await.unwrap())
            .await
            .unwrap();
        Self {
            database,
            pool,
            node,
            toy,
        }
    }

    pub(super) fn port(&self) -> Pipeline {
        self.port_with(settings())
    }

    pub(super) fn port_with(&self, settings: Settings) -> Pipeline {
        Pipeline::new(
            self.toy.clone(),
            self.pool.clone(),
            self.node,
            Live::new(settings),
        )
    }

    /// The whole engine around it.
    async fn tree(&self, change: impl FnOnce(&mut Settings)) -> Tree {
        let mut settings = settings();
        change(&mut settings);
        let config = self.database.config();
        let connector = connect::Connector::new(&config.url, &config).unwrap();
        // The same settings for both, as in the program: the port counts attempts too, of rows it takes back.
        let port = Arc::new(self.port_with(settings.clone()));
        let member = Member::workflow("toy", port, settings);
        let heart = LeaseHeart::new(connector, self.node);
        Tree::start(TreeSettings::default(), heart, vec![member], Arc::new(()))
            .await
            .unwrap()
    }

    /// Claims everything and runs it.
    pub(super) async fn run(&self, port: &Pipeline, lease: LeaseId) -> Vec<Settlement<Output>> {
        let mut batch = Vec::new();
        for claim in port.claim(lease, 100).await.unwrap() {
            let (_, payload) = match &claim.input {
                gleaner::pipeline::Loaded::Input(input) => input
                    .downcast_ref::<<Toy as Workflow>::Input>()
                    .unwrap()
                    .clone(),
                _ => panic!("not loaded"),
            };
            batch.push(settlement(
                claim.item,
                claim.attempt,
                Verdict::Complete(Box::new(payload) as Output),
            ));
        }
        batch
    }

    async fn wait_no_work(&self) {
        wait_until("nothing is left", async || {
            self.database
                .count("SELECT count(*) FROM work WHERE toy_status IN ('Queued', 'Processing')")
                .await
                == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_whose_result_is_refused_is_charged_alone() {
    let bench = Bench::new("a b poison c d e f g h", Toy::new()).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.retried, report.stale), (8, 1, 0));
    assert_eq!(
        bench
            .database
            .rows("SELECT string_agg(value, ' ' ORDER BY item) FROM effect")
            .await,
        ["a b c d e f g h"]
    );
    let state = &bench.database.rows(STATES).await[2];
    assert!(state.starts_with("3 Queued 1 store: "), "{state}");
    // At its last attempt it is an Error.
    wait_until("it is due", async || {
        bench
            .database
            .scalar("SELECT toy_due_at <= now() FROM work WHERE id = 3")
            .await
    })
    .await;
    let batch = bench.run(&port, lease).await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.failed), (0, 1));
    let state = &bench.database.rows(STATES).await[2];
    assert!(
        state.starts_with("3 Error 2 store: ") && state.contains("effect_value_check"),
        "{state}"
    );
    assert_eq!(bench.database.count("SELECT count(*) FROM effect").await, 8);
}

/// What a workflow wants comes first, the rest in the database's order; it hears what it did not get, and what is committed.
#[tokio::test(flavor = "multi_thread")]
async fn wanted_rows_come_first_and_their_ends_are_told_after_the_commit() {
    let toy = Toy::new();
    *toy.wanted.lock().unwrap() = vec![4, 99, 5, 6];
    let bench = Bench::new("a b c d poison f", toy).await;
    bench
        .database
        .run("UPDATE work SET toy_due_at = now() + interval '1 hour' WHERE id = 6")
        .await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let claimed: Vec<i64> = port
        .claim(lease, 4)
        .await
        .unwrap()
        .iter()
        .map(|claim| claim.item)
        .collect();
    assert_eq!(claimed, [4, 5, 1, 2]);
    assert_eq!(*bench.toy.unclaimed.lock().unwrap(), [99, 6]);
    let batch = [(4, "d"), (5, "poison"), (1, "a"), (2, "b")].map(|(id, value)| {
        settlement(
            id,
            1,
            Verdict::Complete(Box::new(value.to_owned()) as Output),
        )
    });
    bench
        .database
        .run("UPDATE work SET toy_status = 'Cancelled' WHERE id = 2")
        .await;
    port.settle(lease, &batch).await.unwrap();
    let mut told = bench.toy.committed.lock().unwrap().clone();
    told.sort_by_key(|(id, _)| *id);
    assert_eq!(
        told,
        [
            (1, Ended::Completed),
            (4, Ended::Completed),
            (5, Ended::Again)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_result_is_dropped_and_counted_and_leaves_no_effect() {
    let bench = Bench::new("a b c", Toy::new()).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    // While it was worked: one row cancelled, one taken away by a rescue that thought us dead.
    bench
        .database
        .run("UPDATE work SET toy_status = 'Cancelled' WHERE id = 1; UPDATE work SET toy_lease = NULL, toy_status = 'Queued' WHERE id = 2")
        .await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.stale), (1, 2));
    assert_eq!(
        bench
            .database
            .rows("SELECT string_agg(value, ' ') FROM effect")
            .await,
        ["c"]
    );
    assert_eq!(
        bench.database.rows(STATES).await,
        ["1 Cancelled 1", "2 Queued 1", "3 Completed 1"]
    );
    // The whole batch again, as after a lost answer: nothing twice.
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.stale), (0, 3));
    assert_eq!(bench.database.count("SELECT count(*) FROM effect").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lost_between_run_and_store_stores_nothing() {
    let bench = Bench::new("a b", Toy::new()).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let batch = bench.run(&port, lease).await;
    bench
        .database
        .run("UPDATE lease SET expires_at = now()")
        .await;
    let report = port.settle(lease, &batch).await.unwrap();
    assert_eq!((report.completed, report.stale), (0, 2));
    assert_eq!(bench.database.count("SELECT count(*) FROM effect").await, 0);
    assert_eq!(bench.database.rows(HISTORY).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_end_as_they_should_and_a_panic_is_charged_to_its_item() {
    let bench = Bench::new(
        "ok filter retry permanent panic poison snooze ok",
        Toy::new(),
    )
    .await;
    let tree = bench.tree(|_| ()).await;
    wait_until("all but the snoozed row have ended", async || {
        bench
            .database
            .count("SELECT count(*) FROM work WHERE toy_status IN ('Queued', 'Processing') AND id <> 7")
            .await
            == 0
    })
    .await;
    let states = bench.database.rows(STATES).await;
    assert_eq!(
        states[..5],
        [
            "1 Completed 1",
            "2 Filtered 1 not wanted",
            "3 Error 2 http: 503",
            "4 Error 1 http: 404",
            "5 Error 2 panic: row 5 is a bad one",
        ]
    );
    assert!(states[5].starts_with("6 Error 2 store: "), "{}", states[5]);
    assert_eq!(states[6..], ["7 Queued 0 not now", "8 Completed 1"]);
    let status = tree.status().await.unwrap();
    assert_eq!(status.workflow("toy").unwrap().restarts, 0);
    assert_eq!(
        bench.toy.runs.lock().unwrap().overlapping,
        Vec::<i64>::new()
    );
    tree.drain(Duration::from_secs(5)).await;
}

/// Rows have as many tries of their own as `max_attempts`, whatever the number of the attempt is.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_do_not_count_are_made_up_for() {
    let bench = Bench::new("retry poison panic retry", Toy::new()).await;
    bench
        .database
        .run(
            "UPDATE work SET toy_attempts = 1;
             INSERT INTO attempt (item_id, attempt, stage, outcome)
             SELECT id, 1, 'work/toy', CASE WHEN id < 4 THEN 'excused' ELSE 'retried' END FROM work",
        )
        .await;
    let tree = bench.tree(|_| ()).await;
    bench.wait_no_work().await;
    tree.drain(Duration::from_secs(5)).await;
    let states = bench.database.rows(STATES).await;
    assert_eq!(
        (&states[0], &states[2], &states[3]),
        (
            &"1 Error 3 http: 503".to_owned(),
            &"3 Error 3 panic: row 3 is a bad one".to_owned(),
            &"4 Error 2 http: 503".to_owned()
        )
    );
    assert!(states[1].starts_with("2 Error 3 store: "), "{}", states[1]);
}

/// Somebody else has them locked when their holder hands all back: nobody has died over them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_locked_when_a_lease_ends_get_their_attempt_back_later() {
    for ending in [None, Some(Ending::Lost)] {
        let bench = Bench::new("a b c", Toy::new()).await;
        let port = bench.port();
        let lease = port.open_lease(LONG, None).await.unwrap().id;
        bench.run(&port, lease).await;
        let mut other = bench.database.client().await;
        let lock = other.transaction().await.unwrap();
        lock.batch_execute("SELECT 1 FROM work WHERE id = 2 FOR UPDATE")
            .await
            .unwrap();
        let released = match ending {
            None => port.close_lease(lease).await.unwrap(),
            Some(ending) => {
                let previous = Some(Previous { lease, ending });
                port.open_lease(LONG, previous).await.unwrap().taken_back
            }
        };
        assert_eq!(released, 2);
        let mut conn = bench.database.connect().await;
        let rescued = toy::stage().rescue(&mut conn, 1).await.unwrap();
        assert_eq!(rescued.freed, 0, "while it is locked");
        lock.rollback().await.unwrap();
        let rescued = toy::stage().rescue(&mut conn, 1).await.unwrap();
        assert_eq!((rescued.freed, rescued.quarantined), (1, 0));
        assert_eq!(
            bench.database.rows(STATES).await,
            ["1 Queued 0", "2 Queued 0", "3 Queued 0"]
        );
        assert_eq!(
            bench.database.rows(HISTORY).await,
            ["1 1 released", "2 1 released", "3 1 released"]
        );
    }
}

/// F15, with a worker at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_queued_by_hand_while_it_runs_is_never_run_twice_at_once() {
    let bench = Bench::new("ok", Toy::gated()).await;
    let gate = Arc::clone(bench.toy.gate.as_ref().unwrap());
    let tree = bench.tree(|_| ()).await;
    wait_until("it runs", async || bench.toy.started() == 1).await;
    for status in ["Queued", "Cancelled", "Queued"] {
        bench
            .database
            .run(&format!("UPDATE work SET toy_status = '{status}'"))
            .await;
    }
    // The workflow looks again, and leaves it alone.
    tree.run_now("toy").await.unwrap();
    gate.add_permits(1);
    wait_until("it runs again", async || bench.toy.started() == 2).await;
    gate.add_permits(1);
    bench.wait_no_work().await;
    tree.drain(Duration::from_secs(5)).await;
    assert_eq!(bench.toy.started(), 2);
    assert_eq!(
        bench.toy.runs.lock().unwrap().overlapping,
        Vec::<i64>::new()
    );
    assert_eq!(bench.database.count("SELECT count(*) FROM effect").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_hands_back_what_runs_with_its_attempt() {
    let bench = Bench::new("a b c", Toy::gated()).await;
    let tree = bench.tree(|_| ()).await;
    wait_until("all run", async || bench.toy.started() == 3).await;
    let report = tree.drain(Duration::from_millis(50)).await;
    assert_eq!((report.finished, report.released), (false, 3));
    assert_eq!(
        bench.database.rows(STATES).await,
        ["1 Queued 0", "2 Queued 0", "3 Queued 0"]
    );
    assert_eq!(bench.database.count("SELECT count(*) FROM lease").await, 0);
}

/// The statement is on its way when its caller gives up: the rows it takes are not stranded.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_given_up_in_the_middle_strands_no_row() {
    let bench = Bench::new("a b c d e", Toy::new()).await;
    let port = bench.port();
    let lease = port.open_lease(LONG, None).await.unwrap().id;
    let mut locker = bench.database.client().await;
    let lock = locker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE work IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(300), port.claim(lease, 3)).await;
    assert!(given_up.is_err());
    lock.commit().await.unwrap();
    // Whether the server has finished that statement or not by now.
    let mut done = 0;
    wait_until("all rows are done", async || {
        let batch = bench.run(&port, lease).await;
        done += port.settle(lease, &batch).await.unwrap().completed;
        done == 5
    })
    .await;
    assert_eq!(bench.database.count("SELECT count(*) FROM effect").await, 5);
}

/// The server dies on us in the middle of a claim, again and again, under the whole engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_strand_no_row_and_repeat_no_effect() {
    let bench = Bench::new(&vec!["ok"; 400].join(" "), Toy::new()).await;
    let tree = bench
        .tree(|settings| {
            settings.batch_size = 5;
            settings.concurrency = 10;
            settings.max_attempts = 100;
        })
        .await;
    let client = bench.database.client().await;
    let (mut killed, mut looks) = (0, 0_u32);
    // Twenty times, and then in peace: on a busy machine a look takes long, and calls that keep failing wait for seconds.
    wait_until_by("all rows are done", 3 * PATIENCE, async || {
        // Not at every look: a server that nobody can stay connected to for a statement is one that is down.
        looks += 1;
        if looks <= 200 && looks.is_multiple_of(10) {
            let row = client
                .query_one(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                     AND pid <> pg_backend_pid() AND application_name = 'gleaner'",
                    &[],
                )
                .await
                .unwrap();
            killed += row.get::<_, i64>(0);
        }
        if looks > 200 && looks.is_multiple_of(10) {
            // The timeout-checker's part: a claim whose connection was cut while it was carried out is stamped with a lease
            // that its actor has closed meanwhile.
            let mut conn = bench.database.connect().await;
            toy::stage().rescue(&mut conn, i16::MAX).await.unwrap();
        }
        let left: i64 = client
            .query_one("SELECT count(*) FROM work WHERE toy_status <> 'Completed'", &[])
            .await
            .unwrap()
            .get(0);
        left == 0
    })
    .await;
    assert!(killed > 0);
    tree.drain(Duration::from_secs(5)).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM effect", 400),
        ("SELECT count(DISTINCT item) FROM effect", 400),
        ("SELECT count(*) FROM work WHERE toy_lease IS NOT NULL", 0),
    ] {
        assert_eq!(bench.database.count(sql).await, expected, "{sql}");
    }
}

/// Everybody writes what they like while three nodes work: no row is ever run twice at once, and each comes to rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_written_by_others_no_row_is_run_twice_at_once() {
    let toy = Toy {
        takes: Duration::from_millis(10),
        ..Toy::new()
    };
    let mut bench = Bench::new(&vec!["ok"; 40].join(" "), toy).await;
    let mut trees = Vec::new();
    for _ in 0..3 {
        let mut conn = bench.pool.get().await.unwrap();
        bench.node = node::register(&mut conn).await.unwrap();
        drop(conn);
        trees.push(bench.tree(|_| ()).await);
    }
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let client = bench.database.client().await;
    let mut gave_way = 0;
    for step in 0..600 {
        let what = match random.random_range(0..9) {
            0 => "toy_status = 'Cancelled'",
            1 => "toy_status = NULL",
            2 => "toy_status = 'Completed'",
            3 => "toy_status = 'Error', toy_error = 'by hand'",
            4 => "status = 'Selected'",
            5 => "status = 'Archived'",
            6 => "toy_priority = toy_priority + 1",
            _ => "toy_status = 'Queued'",
        };
        let (first, many) = (random.random_range(1..=40), random.random_range(0..8));
        let sql = format!(
            "UPDATE work SET {what} WHERE id IN (SELECT id FROM work WHERE id BETWEEN {first} AND {first} + {many} ORDER BY id FOR UPDATE)"
        );
        // As with any software's bulk updates, one may have to give way.
        if let Err(error) = client.batch_execute(&sql).await {
            let deadlock = tokio_postgres::error::SqlState::T_R_DEADLOCK_DETECTED;
            assert_eq!(error.code(), Some(&deadlock), "{error:?}");
            gave_way += 1;
        }
        if step % 100 == 0 {
            // And now and then one of the actors dies.
            trees[step / 100 % 3].crash("toy");
        }
    }
    println!("{gave_way} deadlocks");
    for id in 1..=40 {
        bench
            .database
            .run(&format!(
                "UPDATE work SET toy_status = 'Queued' WHERE id = {id}"
            ))
            .await;
    }
    let mut conn = bench.database.connect().await;
    wait_until_by("nothing is left", 3 * PATIENCE, async || {
        // The timeout-checker's part: a claim that was on its way when its actor died is stamped with a lease that is gone.
        toy::stage().rescue(&mut conn, i16::MAX).await.unwrap();
        bench
            .database
            .count("SELECT count(*) FROM work WHERE toy_status IN ('Queued', 'Processing')")
            .await
            == 0
    })
    .await;
    for tree in &trees {
        tree.drain(Duration::from_secs(5)).await;
    }
    assert_eq!(
        bench.toy.runs.lock().unwrap().overlapping,
        Vec::<i64>::new()
    );
    assert!(bench.toy.started() > 100, "{}", bench.toy.started());
    for (sql, expected) in [
        (
            "SELECT count(*) FROM work WHERE toy_status = 'Completed' AND toy_lease IS NULL",
            40,
        ),
        // Every effect has its line in the history, and the other way round.
        (
            "SELECT (SELECT count(*) FROM effect) - (SELECT count(*) FROM attempt WHERE outcome = 'completed')",
            0,
        ),
    ] {
        assert_eq!(bench.database.count(sql).await, expected, "{sql}");
    }
}

/// A failure is retried and given up as ever, and what was seen at each attempt is kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_attempts_have_seen_is_stored_with_their_verdicts() {
    let bench = Bench::new("kept-retry kept-permanent retry", Toy::new()).await;
    let tree = bench.tree(|_| ()).await;
    bench.wait_no_work().await;
    tree.drain(LONG).await;
    assert_eq!(
        bench.database.rows(STATES).await,
        [
            "1 Error 2 http: 503",
            "2 Error 1 http: 404",
            "3 Error 2 http: 503"
        ]
    );
    assert_eq!(
        bench
            .database
            .rows("SELECT item, value, count(*) FROM effect GROUP BY 1, 2 ORDER BY 1")
            .await,
        ["1|kept-retry|2", "2|kept-permanent|1"]
    );
}

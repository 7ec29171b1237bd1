//! `kill -9` of one of two processes, twenty times over, under the load of all workflows.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use gleaner::demo::Web;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::load::others_load;
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{
    add_places, assert_each_once, assert_truth, over_stages, texts, wait_all_done,
};
use crate::support::{alone, let_pass, seed};

const KILLS: usize = 20;
const PLACES: usize = 240;
/// How often the orphans of a kill are looked at; oftener, and the looking would be a load of its own.
const LOOK: Duration = Duration::from_millis(100);
/// So many looks at a process that has nothing in hand, before it is killed all the same.
const PATIENCE: usize = 20;
/// Work orphaned by a crash is running again within this, at the default lease.
const RESCUE: Duration = Duration::from_secs(15);

/// Rows that a dead process had in hand.
struct Orphans {
    killed_at: Instant,
    leases: Vec<i64>,
    /// `table/stage`, id, attempt.
    rows: Vec<(String, i64, i16)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let _alone = alone().await;
    let busy = others_load();
    println!("the machine is {busy:.1} times as busy as it can be before this starts");
    let seed = seed();
    let mut chance = StdRng::seed_from_u64(seed);
    let web = Web::generate(seed, PLACES);
    let server = web.serve().await.unwrap();
    let journal = Journal::before(server.address).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let start = async |name: &str| {
        let config = ConfigFile::new(name, database.url(), journal.address);
        Process::start(&config).await
    };
    let mut processes = vec![start("first").await, start("second").await];

    let mut watches = JoinSet::new();
    let mut with_work = 0;
    for (round, places) in web.places().chunks(PLACES / KILLS).enumerate() {
        add_places(&client, places).await;
        // Not a wait for anything: the moment of the kill is to be a random one.
        let_pass(Duration::from_millis(chance.random_range(200..1_500))).await;
        let victim = processes.remove(chance.random_range(0..processes.len()));
        let pid = victim.pid();
        wait_at_work(&client, pid).await;
        let killed_at = Instant::now();
        victim.kill().await;
        let orphans = orphans_of(&client, pid, killed_at).await;
        with_work += usize::from(!orphans.rows.is_empty());
        println!(
            "kill {} of {pid}: {} rows in hand",
            round + 1,
            orphans.rows.len()
        );
        let watcher = database.client().await;
        watches.spawn(async move { until_running_again(&watcher, &orphans).await });
        processes.push(start(&format!("after-{}", round + 1)).await);
    }
    let mut worst = (Duration::ZERO, Duration::ZERO);
    while let Some(watched) = watches.join_next().await {
        let (freed, running) = watched.unwrap();
        println!("freed after {freed:.1?}, running again after {running:.1?}");
        worst = (worst.0.max(freed), worst.1.max(running));
    }
    println!(
        "{with_work} of {KILLS} kills left rows; worst: freed after {:.1?}, running again after {:.1?}",
        worst.0, worst.1
    );
    assert!(
        with_work >= KILLS / 2,
        "too few kills hit work ({with_work}) for this to prove anything"
    );
    let limit = RESCUE.mul_f64(busy);
    assert!(
        worst.1 <= limit,
        "rescue took {:?}, more than {limit:?}",
        worst.1
    );

    wait_all_done(&client, Duration::from_secs(120)).await;
    assert_each_once(&client).await;
    assert_truth(&client, web.truth()).await;
    assert_the_journal_agrees(&client, &journal).await;
}

/// Kills are to hit work: until the process has rows in hand, but not for ever, as all may have been done.
async fn wait_at_work(client: &Client, pid: i32) {
    for _ in 0..PATIENCE {
        if !rows_held_by(client, &leases_of(client, pid).await)
            .await
            .is_empty()
        {
            return;
        }
        let_pass(LOOK).await;
    }
}

async fn leases_of(client: &Client, pid: i32) -> Vec<i64> {
    let leases = client
        .query(
            "SELECT l.id FROM lease l JOIN node n ON n.id = l.node_id WHERE n.pid = $1",
            &[&pid],
        )
        .await
        .unwrap();
    leases.iter().map(|row| row.get(0)).collect()
}

/// `table/stage`, id, attempt of what is stamped with these leases.
async fn rows_held_by(client: &Client, leases: &[i64]) -> Vec<(String, i64, i16)> {
    let sql = over_stages(
        "SELECT '{table}/{stage}', id, {stage}_attempts FROM {table} WHERE {stage}_lease = ANY ($1)",
    );
    let rows = client.query(&sql, &[&leases]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

/// What the dead process left: its leases, and the rows stamped with them.
async fn orphans_of(client: &Client, pid: i32, killed_at: Instant) -> Orphans {
    let leases = leases_of(client, pid).await;
    Orphans {
        killed_at,
        rows: rows_held_by(client, &leases).await,
        leases,
    }
}

/// How long it took until no row carried the dead leases, and until each of them was being worked again (or was finished).
async fn until_running_again(client: &Client, orphans: &Orphans) -> (Duration, Duration) {
    let give_up = orphans.killed_at + RESCUE * 8;
    let held = format!(
        "SELECT count(*) FROM ({}) AS rows",
        over_stages("SELECT 1 FROM {table} WHERE {stage}_lease = ANY ($1)")
    );
    let freed = loop {
        let count: i64 = client
            .query_one(&held, &[&orphans.leases])
            .await
            .unwrap()
            .get(0);
        if count == 0 {
            break orphans.killed_at.elapsed();
        }
        assert!(
            Instant::now() < give_up,
            "{count} rows are still held by the dead"
        );
        let_pass(LOOK).await;
    };
    // Claimed again: another attempt, or the same number after it was given back; or its end is in the history.
    let waiting = format!(
        "SELECT count(*) FROM ({}) AS rows JOIN unnest($1::text[], $2::bigint[], $3::smallint[]) AS o(stage, id, attempt) \
         USING (stage, id) WHERE rows.status = 'Queued' AND rows.attempts = o.attempt \
         AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.stage = o.stage AND a.item_id = o.id AND a.outcome <> 'rescued' \
                         AND a.settled_at > (SELECT max(settled_at) FROM attempt r WHERE r.stage = o.stage AND r.item_id = o.id AND r.outcome = 'rescued'))",
        over_stages(
            "SELECT '{table}/{stage}' AS stage, id, {stage}_status AS status, {stage}_attempts AS attempts FROM {table}"
        )
    );
    let stages: Vec<&str> = orphans.rows.iter().map(|row| row.0.as_str()).collect();
    let ids: Vec<i64> = orphans.rows.iter().map(|row| row.1).collect();
    let attempts: Vec<i16> = orphans.rows.iter().map(|row| row.2).collect();
    loop {
        let count: i64 = client
            .query_one(&waiting, &[&stages, &ids, &attempts])
            .await
            .unwrap()
            .get(0);
        if count == 0 {
            return (freed, orphans.killed_at.elapsed());
        }
        assert!(
            Instant::now() < give_up,
            "{count} rescued rows are not worked again"
        );
        let_pass(LOOK).await;
    }
}

/// Every page whose contacts are stored was really asked for, and no page oftener than there were attempts at it.
async fn assert_the_journal_agrees(client: &Client, journal: &Journal) {
    let sql = "SELECT url || ' ' || (SELECT count(*) FROM attempt a WHERE a.stage = 'page/curation' AND a.item_id = page.id) \
               FROM page WHERE curation_status = 'Completed'";
    let asked = journal.entries(|_| true);
    let mut times = std::collections::HashMap::<String, usize>::new();
    for entry in asked {
        *times
            .entry(format!("{}{}", entry.host, entry.path))
            .or_default() += 1;
    }
    let pages = texts(client, sql).await;
    assert!(
        pages.len() > PLACES / 2,
        "only {} pages were read",
        pages.len()
    );
    for page in pages {
        let (url, attempts) = page.rsplit_once(' ').unwrap();
        let (_scheme, key) = url.split_once("://").unwrap();
        let seen = times.get(key).copied().unwrap_or(0);
        let attempts: usize = attempts.parse().unwrap();
        // The fetcher itself may ask once more on another scheme; redirects are other URLs.
        assert!(seen >= 1, "{url} was never asked for");
        assert!(
            seen <= attempts * 2,
            "{url} was asked for {seen} times in {attempts} attempts"
        );
    }
}

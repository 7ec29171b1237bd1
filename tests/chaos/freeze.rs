//! A process that is frozen longer than its lease and then wakes up: nothing it still holds is accepted, and it recovers.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::support::database::TestDatabase;
use crate::support::held::is_page;
use crate::support::journal::{Entry, Journal};
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, assert_each_once, wait_all_done};
use crate::support::wait::{wait_until, wait_until_by};
use crate::support::{alone, let_pass, seed};

/// Shorter than the defaults, so that the test is; the proportions are the same.
const LEASES: &str = "[engine]\nlease = \"3s\"\nheartbeat = \"900ms\"\nfence_margin = \"600ms\"\n";
const LEASE: Duration = Duration::from_secs(3);

fn is_of(entry: &Entry, process: &str) -> bool {
    is_page(entry) && entry.agent.starts_with(process)
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_writes_nothing_and_recovers_by_itself() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    // The zombie's pages wait for their answers, the other's do not.
    journal.hold(|entry| is_of(entry, "zombie"));
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let zombie_file = ConfigFile::with("zombie", database.url(), journal.address, LEASES);
    let zombie = Process::start(&zombie_file).await;
    add_pages(&client, 1, 40).await;
    wait_until("the zombie has them in hand", async || {
        journal.count(|entry| is_of(entry, "zombie")) == 40
    })
    .await;
    zombie.signal(Signal::SIGSTOP);
    let frozen_at = Instant::now();
    let other_file = ConfigFile::with("other", database.url(), journal.address, LEASES);
    let other = Process::start(&other_file).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    println!(
        "all rescued and done {:.1?} after the freeze (lease {LEASE:?})",
        frozen_at.elapsed()
    );
    assert_each_once(&client).await;
    let written = "SELECT count(*) FROM attempt WHERE outcome NOT IN ('rescued', 'excused')";
    assert_eq!(number(&client, written).await, 40);

    // The zombie's answers lie in its sockets when it wakes.
    journal.open();
    wait_until_by("two leases have passed", LEASE * 3, async || {
        frozen_at.elapsed() >= LEASE * 2
    })
    .await;
    zombie.signal(Signal::SIGCONT);
    wait_until(
        "it knows that its items are not its own any more",
        async || {
            let status = zombie.workflow("page-curation").await;
            status["in_flight"] == 0 && status["unsettled"] == 0
        },
    )
    .await;
    let status = zombie.workflow("page-curation").await;
    println!(
        "after waking: stale {}, dropped {}",
        status["stale"], status["dropped"]
    );
    assert_eq!(status["completed"], 0, "{status}");
    assert_eq!(number(&client, written).await, 40, "a zombie wrote");
    assert_each_once(&client).await;

    // Alone now, it works again without anybody's help.
    other.kill().await;
    add_pages(&client, 41, 80).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    zombie.wait_ready(Duration::from_secs(10)).await;
    assert_eq!(number(&client, "SELECT count(*) FROM contact").await, 80);
    assert_each_once(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freezing_at_random_moments_under_load_repeats_nothing() {
    let _alone = alone().await;
    let mut chance = StdRng::seed_from_u64(seed());
    let journal = Journal::sites(Duration::from_millis(5)).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let start = async |name: &str| {
        let file = ConfigFile::with(name, database.url(), journal.address, LEASES);
        Process::start(&file).await
    };
    let processes = [start("left").await, start("right").await];
    for round in 0..4_i32 {
        add_pages(&client, round * 1_000 + 1, round * 1_000 + 1_000).await;
        // Not a wait for anything: the moment of the freeze is to be a random one.
        let_pass(Duration::from_millis(chance.random_range(50..700))).await;
        let process = &processes[chance.random_range(0..2)];
        process.signal(Signal::SIGSTOP);
        let frozen_at = Instant::now();
        wait_until_by("its lease is long over", LEASE * 2, async || {
            frozen_at.elapsed() > LEASE + Duration::from_millis(500)
        })
        .await;
        process.signal(Signal::SIGCONT);
    }
    wait_all_done(&client, Duration::from_secs(60)).await;
    assert_each_once(&client).await;
    assert_eq!(number(&client, "SELECT count(*) FROM contact").await, 4_000);
    for process in &processes {
        process.wait_ready(Duration::from_secs(10)).await;
    }
}

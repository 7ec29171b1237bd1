//! A panic injected into one workflow's actor: its rows are back at work in under a second, and nobody else notices.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::held::{is_page, wait_asked};
use crate::support::journal::{Entry, Journal};
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_homes, add_pages, assert_each_once, wait_all_done};
use crate::support::wait::{wait_until, wait_until_by};

fn is_home(entry: &Entry) -> bool {
    entry.path == "/" && entry.host.starts_with("home-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_are_injected_only_where_the_configuration_asks_for_rehearsals() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let config = ConfigFile::new("guarded", database.url(), journal.address);
    let process = Process::start(&config).await;
    let (status, answer) = process.post("/api/v1/workflows/page-curation/crash").await;
    assert_eq!(status, 403, "{answer}");
    assert_eq!(answer["error"]["code"], "fault_injection_off");
    assert_eq!(
        process.workflow("page-curation").await["restarts"],
        json!(0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashed_actor_is_back_at_work_in_under_a_second() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::from_millis(20)).await;
    journal.hold(is_page);
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::with(
        "crashed",
        database.url(),
        journal.address,
        "[engine]\nfault_injection = true\n",
    );
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 40).await;
    wait_asked(&journal, 40).await;
    // The other workflow has work for the whole time.
    add_homes(&client, 1, 6_000).await;
    wait_until("homes are asked for", async || {
        journal.count(is_home) >= 100
    })
    .await;

    let crashed_at = Instant::now();
    let (status, _) = process.post("/api/v1/workflows/page-curation/crash").await;
    assert_eq!(status, 202);
    wait_until("all forty are asked for again", async || {
        journal.count(|entry| is_page(entry) && entry.at > crashed_at) == 40
    })
    .await;
    let again = journal.entries(|entry| is_page(entry) && entry.at > crashed_at);
    let first = again.iter().map(|entry| entry.at).min().unwrap() - crashed_at;
    let last = again.iter().map(|entry| entry.at).max().unwrap() - crashed_at;
    println!(
        "after the panic: first row at work again after {first:.0?}, all forty after {last:.0?}"
    );
    assert!(last < Duration::from_secs(1), "took {last:?}");

    wait_until_by(
        "homes were asked for long after",
        Duration::from_secs(30),
        async || {
            journal.count(|entry| is_home(entry) && entry.at > crashed_at + Duration::from_secs(2))
                > 0
        },
    )
    .await;
    let pause = longest_pause(
        &journal,
        crashed_at - Duration::from_millis(200),
        crashed_at + Duration::from_secs(2),
    );
    println!("longest pause of the other workflow: {pause:.0?}");
    assert!(
        pause < Duration::from_secs(1),
        "another workflow paused for {pause:?}"
    );

    journal.open();
    wait_all_done(&client, Duration::from_secs(60)).await;
    assert_each_once(&client).await;
    let status = process.workflow("page-curation").await;
    assert_eq!(status["restarts"], json!(1), "{status}");
    assert_eq!(
        process.workflow("domain-metadata").await["restarts"],
        json!(0)
    );
    assert!(process.is_running());
}

/// The longest time without a request for a home page in that span.
fn longest_pause(journal: &Journal, from: Instant, to: Instant) -> Duration {
    let mut times: Vec<Instant> = journal
        .entries(|entry| is_home(entry) && entry.at > from && entry.at < to)
        .iter()
        .map(|entry| entry.at)
        .collect();
    times.sort();
    times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_keeps_crashing_is_parked_and_can_be_unparked() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::with(
        "parked",
        database.url(),
        journal.address,
        "[engine]\nfault_injection = true\nmax_restarts = 3\n",
    );
    let process = Process::start(&config).await;
    process.wait_ready(Duration::from_secs(10)).await;
    wait_until("it is parked", async || {
        let state = process.workflow("page-curation").await["state"].clone();
        if state != "parked" && state != "restarting" {
            process.post("/api/v1/workflows/page-curation/crash").await;
        }
        state == "parked"
    })
    .await;
    let (status, detail) = process.readiness().await;
    assert_eq!(status, 503);
    assert!(
        detail["problems"]
            .to_string()
            .contains("page-curation: parked"),
        "{detail}"
    );
    // The others live on.
    add_homes(&client, 1, 50).await;
    add_pages(&client, 1, 10).await;
    wait_until("the homes are done", async || {
        let sql = "SELECT count(*) FROM domain WHERE metadata_status = 'Completed'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 50
    })
    .await;
    assert_eq!(journal.count(is_page), 0);

    assert_eq!(
        process
            .post("/api/v1/workflows/page-curation/unpark")
            .await
            .0,
        202
    );
    wait_all_done(&client, Duration::from_secs(30)).await;
    process.wait_ready(Duration::from_secs(10)).await;
    assert_each_once(&client).await;
}

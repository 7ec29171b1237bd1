//! SIGTERM in mid-batch: what can finish does, the rest is handed back, nothing is lost or charged.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio_postgres::Client;

use crate::support::alone;
use crate::support::held::{held, is_page, wait_asked};
use crate::support::journal::Entry;
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, assert_each_once, over_stages, texts, wait_all_done};

/// `chaos-2.com`, `chaos-4.com`, …
fn is_even(entry: &Entry) -> bool {
    let number = entry
        .host
        .trim_start_matches("chaos-")
        .trim_end_matches(".com");
    number
        .parse::<u32>()
        .is_ok_and(|number| number.is_multiple_of(2))
}

/// Nothing is in anybody's hands, and no attempt was burnt on what was handed back.
async fn assert_handed_back(client: &Client, rows: i64) {
    let held = over_stages(
        "SELECT id FROM {table} WHERE {stage}_status = 'Processing' OR {stage}_lease IS NOT NULL",
    );
    assert!(client.query(&held, &[]).await.unwrap().is_empty());
    let queued: i64 = client
        .query_one(
            "SELECT count(*) FROM page WHERE curation_status = 'Queued' AND curation_attempts = 0 AND curation_error IS NULL",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(queued, rows);
    let leases: i64 = client
        .query_one("SELECT count(*) FROM lease", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(leases, 0, "leases were left open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_it_can_and_hands_back_the_rest() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let drain = "[engine]\ndrain_timeout = \"3s\"\n";
    let config = ConfigFile::with("drained", database.url(), journal.address, drain);
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 40).await;
    wait_asked(&journal, 40).await;

    let asked_at = Instant::now();
    process.signal(Signal::SIGTERM);
    process.wait_log("draining").await;
    assert_eq!(
        process.readiness().await.0,
        503,
        "a draining process is not ready"
    );
    // Rows that become due now are for others.
    add_pages(&client, 41, 50).await;
    // Half of the sites answer at last; the others never do.
    journal.hold(|entry| is_page(entry) && !is_even(entry));
    let status = process.ended(Duration::from_secs(10)).await;
    let took = asked_at.elapsed();
    println!("drained in {took:.1?} of 3 s");
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
    assert!(took < Duration::from_secs(5), "drained in {took:?}");

    let finished = texts(
        &client,
        "SELECT domain FROM page JOIN domain d ON d.id = domain_id WHERE curation_status = 'Completed'",
    )
    .await;
    assert_eq!(finished.len(), 20, "what could finish has: {finished:?}");
    assert_handed_back(&client, 30).await;
    assert_eq!(
        journal.count(is_page),
        40,
        "a draining process claims nothing"
    );

    // And the next process does the rest.
    journal.open();
    let _next = Process::start(&config).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_each_once(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_hands_back_at_once() {
    let _alone = alone().await;
    let (journal, database, client) = held().await;
    let config = ConfigFile::new("hurried", database.url(), journal.address);
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 40).await;
    wait_asked(&journal, 40).await;

    process.signal(Signal::SIGTERM);
    process.wait_log("draining").await;
    // It waits for the pages, as it should.
    assert!(process.is_running());
    let asked_at = Instant::now();
    process.signal(Signal::SIGINT);
    let status = process.ended(Duration::from_secs(10)).await;
    let took = asked_at.elapsed();
    println!("handed back {took:.1?} after the second request");
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
    assert!(took < Duration::from_secs(2), "took {took:?}");
    assert_handed_back(&client, 40).await;
    let released: i64 = client
        .query_one(
            "SELECT count(*) FROM attempt WHERE outcome = 'released'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(released, 40);
}

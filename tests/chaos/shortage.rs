//! Our own process runs short of something: work waits for it, no row is charged, and health says so.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio_postgres::Client;

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::held::is_page;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process};
use crate::support::rows::{add_pages, assert_each_once, over_stages, texts, wait_all_done};
use crate::support::tools::skip;
use crate::support::wait::wait_until;

/// Rows that were charged for anything.
async fn charged(client: &Client) -> Vec<String> {
    let sql = over_stages(
        "SELECT concat_ws(' ', '{table}/{stage}', id, {stage}_status, {stage}_attempts, {stage}_error) FROM {table} \
         WHERE {stage}_status IS NOT NULL AND ({stage}_status <> 'Completed' OR {stage}_attempts > 1)",
    );
    texts(client, &format!("{sql} LIMIT 5")).await
}

/// The limit of open files in force in a process: soft and hard.
fn open_files_limit(pid: i32) -> (usize, usize) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let mut numbers = line
        .split_whitespace()
        .skip(3)
        .map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn open_files(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

/// Many more sites than descriptors, each of which would keep its connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_few_descriptors_and_many_sites_no_row_is_charged_and_health_answers() {
    const LIMIT: usize = 256;
    let _alone = alone().await;
    let journal = Journal::sites(Duration::from_millis(20)).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let file = ConfigFile::new("narrow", database.url(), journal.address);
    let process = Process::start_limited(&file, &format!("ulimit -n {LIMIT}")).await;
    assert_eq!(open_files_limit(process.pid()), (LIMIT, LIMIT));
    process.wait_ready(Duration::from_secs(20)).await;
    add_pages(&client, 1, 1_500).await;
    let left = "SELECT count(*) FROM page WHERE curation_status IN ('Queued', 'Processing')";
    let (mut slowest, mut most_open) = (Duration::ZERO, 0);
    let deadline = Instant::now() + Duration::from_secs(150);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    while client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        ticks.tick().await;
        assert!(
            Instant::now() < deadline,
            "not done in time: {:?}",
            charged(&client).await
        );
        let asked_at = Instant::now();
        let answer = process.get_anew("/health/live").await;
        slowest = slowest.max(asked_at.elapsed());
        assert_eq!(
            answer,
            Some(200),
            "health is dark; {:?}",
            charged(&client).await
        );
        most_open = most_open.max(open_files(process.pid()));
    }
    println!(
        "slowest answer of health {slowest:.1?}; at most {most_open} of {LIMIT} descriptors seen open"
    );
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_eq!(charged(&client).await, Vec::<String>::new());
    assert_each_once(&client).await;
    assert_eq!(journal.count(is_page), 1_500);
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

/// Nothing can be opened any more, whoever has taken it all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_descriptors_work_waits_uncharged_and_readiness_says_why() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let file = ConfigFile::new("drained", database.url(), journal.address);
    let mut process = Process::start(&file).await;
    // What is asked of it from now on comes over the connection that this one opens.
    process.wait_ready(Duration::from_secs(20)).await;
    let pid = process.pid();
    let (soft, hard) = open_files_limit(pid);
    let set = async |limit: usize| {
        let pid = pid.to_string();
        let limit = format!("--nofile={limit}:{hard}");
        let done = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status()
            .await;
        done.is_ok_and(|status| status.success())
    };
    if !set(soft).await {
        skip("prlimit (util-linux) is not there");
        return;
    }
    // A page has been asked for once, so that the connections to the database are there.
    add_pages(&client, 1, 1).await;
    wait_all_done(&client, Duration::from_secs(20)).await;
    assert!(set(open_files(pid)).await);
    add_pages(&client, 2, 61).await;
    wait_until("readiness says what is lacking", async || {
        let (status, detail) = process.readiness().await;
        status == 503
            && detail["problems"]
                .to_string()
                .contains("out of file descriptors")
    })
    .await;
    assert!(process.is_running());
    let done = journal.count(is_page);
    assert!(set(soft).await);
    wait_all_done(&client, Duration::from_secs(60)).await;
    println!("{done} of 61 pages were asked for before descriptors were to be had again");
    assert!(done < 61);
    assert_eq!(charged(&client).await, Vec::<String>::new());
    assert_each_once(&client).await;
    process.wait_ready(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soft_limit_of_descriptors_is_raised_at_the_start() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let file = ConfigFile::new("soft", database.url(), journal.address);
    let process = Process::start_limited(&file, "ulimit -Sn 200; ulimit -Hn 900").await;
    assert_eq!(open_files_limit(process.pid()), (900, 900));
}

//! Other software writes something else under our keys in Redis: that key is concerned, and nothing else.

use std::time::{Duration, Instant};

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process};
use crate::support::redis::TestRedis;
use crate::support::rows::{add_pages, wait_all_done};
use crate::support::wait::{wait_until, wait_until_by};

/// A counter of its metrics.
async fn counted(process: &Process, name: &str, label: &str) -> f64 {
    let text = process.text("/metrics").await;
    let lines = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_another_type_concerns_its_key_alone() {
    let _alone = alone().await;
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    // The keys of hosts that are to be asked, of all hosts, and of the queue.
    for command in [
        "SET crawl:pace:host:chaos-1.com nonsense",
        "SET crawl:pace:host:chaos-2.com nonsense",
        "LPUSH crawl:pace:places:chaos-3.com nonsense",
        "HSET crawl:pace:rest:chaos-4.com a b",
        "HSET crawl:pace:host:chaos-5.com last nonsense next nonsense",
        "HSET crawl:pace:host:chaos-6.com last inf next nan",
        "LPUSH crawl:pace:since nonsense",
        "SET crawl:auto_record:queue nonsense",
        "LPUSH crawl:auto_record:processing nonsense",
        "SET crawl:auto_record:leases nonsense",
        "HSET crawl:auto_record:failed a b",
    ] {
        redis.run(command).await;
    }
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("strayed", database.url(), journal.address);
    let more = format!("[redis]\nurl = \"{}\"\n", redis.url());
    config.write(&format!("{}\n{more}", config.text()));
    let process = Process::start(&config).await;
    add_pages(&client, 1, 60).await;
    let started = Instant::now();
    wait_all_done(&client, Duration::from_secs(40)).await;
    // As long as it takes the watch to look at the queue a few times.
    wait_until_by(
        "some time has passed",
        Duration::from_secs(20),
        async || {
            let (_, readiness) = process.readiness().await;
            assert_eq!(
                readiness["redis"],
                true,
                "{readiness}\n{}",
                process.log_text()
            );
            started.elapsed() > Duration::from_secs(4)
        },
    )
    .await;
    let is_page = |entry: &crate::support::journal::Entry| entry.path == "/contact";
    assert_eq!(journal.count(is_page), 60);
    assert_eq!(process.log_count("Redis does not answer"), 0);
    let turns = "gleaner_fetch_turns_total";
    let alone = counted(&process, turns, "alone").await;
    let shared = counted(&process, turns, "shared").await;
    assert_eq!(alone, 0.0, "{}", process.log_text());
    assert!(shared >= 60.0, "{shared}");
    for key in [
        "key=\"crawl:pace:host:chaos-1.com\"",
        "key=\"crawl:pace:places:chaos-3.com\"",
        "key=\"crawl:pace:since\"",
        "key=\"crawl:auto_record:queue\"",
    ] {
        assert_eq!(process.log_count(key), 1, "{key}\n{}", process.log_text());
    }
    // What stood under the names of the queue is kept for people to look at, and the queue is in use.
    assert_eq!(
        redis.run("GET crawl:auto_record:queue:wrong-type").await,
        "nonsense"
    );
    assert_eq!(redis.run("TYPE crawl:auto_record:failed").await, "none");

    // Such a value may come at any time.
    redis.run("DEL crawl:auto_record:queue").await;
    redis.run("SET crawl:auto_record:queue again").await;
    wait_until("it is taken out of the way again", async || {
        redis.run("TYPE crawl:auto_record:queue").await == "none"
    })
    .await;
    assert_eq!(process.readiness().await.1["redis"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_to_write_is_not_away() {
    let _alone = alone().await;
    let Some(redis) =
        TestRedis::start_with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await
    else {
        return;
    };
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("refused", database.url(), journal.address);
    let more = format!("[redis]\nurl = \"{}\"\n", redis.url());
    config.write(&format!("{}\n{more}", config.text()));
    let process = Process::start(&config).await;
    add_pages(&client, 1, 40).await;
    wait_all_done(&client, Duration::from_secs(40)).await;
    assert_eq!(
        process.readiness().await.1["redis"],
        true,
        "{}",
        process.log_text()
    );
    assert_eq!(process.log_count("Redis does not answer"), 0);
    assert!(process.log_count("OOM") >= 1, "{}", process.log_text());
    // Said, and not sixty times.
    assert!(process.log_count("OOM") <= 4, "{}", process.log_text());
}

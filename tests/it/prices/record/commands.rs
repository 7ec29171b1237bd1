//! `queue`, `explain`, `record` and `run --once`, through the binary.

use super::{HISTORY, RESULTS, result, results, site, start};
use crate::cli::gleaner;
use crate::support::{TestDatabase, TestRedis};

fn run(database: &TestDatabase, redis: Option<&TestRedis>, arguments: &[&str]) -> crate::cli::Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gleaner.toml");
    let url = redis.map(TestRedis::url).unwrap_or_default();
    std::fs::write(
        &file,
        format!("[redis]\nurl = \"{url}\"\n[http]\nlisten = \"\"\n"),
    )
    .unwrap();
    let mut all = vec!["--config", file.to_str().unwrap()];
    all.extend(arguments);
    gleaner(Some(database), &all)
}

/// W-46: an outage is told from an empty queue.
#[tokio::test(flavor = "multi_thread")]
async fn w46_queue_status_tells_what_is_known_and_no_more() {
    let database = site(3).await;
    results(&database, 3).await;
    let ran = run(&database, None, &["queue", "status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = ran.json();
    assert_eq!(answer["redis"], "off");
    assert_eq!(answer["postgresql"]["queued"], 3);
    assert_eq!(answer["queue_size"], serde_json::Value::Null);
    let Some(mut redis) = TestRedis::start().await else {
        return;
    };
    redis.run("RPUSH crawl:auto_record:queue 1 2").await;
    redis.run("SADD crawl:auto_record:failed 9").await;
    let answer = run(&database, Some(&redis), &["queue", "status", "--json"]).json();
    assert_eq!(answer["redis"], "up");
    assert_eq!(
        (&answer["queue_size"], &answer["failed_size"]),
        (&2.into(), &1.into())
    );
    // Cleared only when it is meant.
    let ran = run(&database, Some(&redis), &["queue", "clear"]);
    assert!(ran.stdout.contains("nothing cleared: 2 waiting"), "{ran:?}");
    assert_eq!(redis.count("LLEN crawl:auto_record:queue").await, 2);
    let ran = run(&database, Some(&redis), &["queue", "clear", "--yes"]);
    assert!(
        ran.stdout
            .contains("cleared: 2 waiting, 0 in work, 1 failed"),
        "{ran:?}"
    );
    assert_eq!(
        redis
            .run("EXISTS crawl:auto_record:queue crawl:auto_record:failed")
            .await,
        "0"
    );
    redis.kill().await;
    let answer = run(&database, Some(&redis), &["queue", "status", "--json"]).json();
    assert_eq!(answer["redis"], "down");
    assert_eq!(answer["queue_size"], serde_json::Value::Null);
    let ran = run(&database, Some(&redis), &["doctor"]);
    assert!(ran.stdout.contains("PostgreSQL alone serves"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_failed_queues_again_what_failed() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(4).await;
    results(&database, 4).await;
    database
        .run("UPDATE crawl_result SET auto_record_status = 'Error', auto_record_error = 'store: x', auto_record_attempts = 3 WHERE id < 4")
        .await;
    redis
        .run("SADD crawl:auto_record:failed 1 2 3 nonsense")
        .await;
    redis.run("SET crawl:auto_record:failures:1 3").await;
    let ran = run(
        &database,
        Some(&redis),
        &["queue", "retry-failed", "--limit", "2"],
    );
    assert!(
        ran.stdout.contains("2 failed results are queued again"),
        "{ran:?}"
    );
    assert_eq!(
        redis.run("LRANGE crawl:auto_record:queue 0 -1").await,
        "1\n2"
    );
    assert_eq!(redis.count("SCARD crawl:auto_record:failed").await, 2);
    assert_eq!(redis.run("EXISTS crawl:auto_record:failures:1").await, "0");
    assert_eq!(
        database.rows(RESULTS).await[..3],
        [
            "1 Queued none f",
            "2 Queued none f",
            "3 Error none f store: x"
        ]
    );
}

/// W-15, W-37, W-38: rule by rule, with what was compared, and what other rules would change.
#[tokio::test(flavor = "multi_thread")]
async fn w37_w38_explain_says_why_and_what_other_rules_would_change() {
    let app = start(site(1).await, None).await;
    for (second, seen) in [
        (10, "100 EUR -"),
        (20, "100 EUR -"),
        (30, "10 EUR -"),
        (40, "- EUR -"),
    ] {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    let (_, database) = app.stop().await;
    let explain = |id: &str| run(&database, None, &["explain", id, "--json"]).json();
    let first = explain("1");
    assert_eq!(first["verdict"], "recorded");
    assert_eq!(
        first["because"],
        "100 EUR is the first price of its page at that time"
    );
    assert_eq!(first["rules"][0]["outcome"], "passes");
    assert_eq!(
        explain(&::gleaner::prices::uid::Uid(2).to_string())["verdict"],
        "duplicate"
    );
    let held = explain("3");
    assert_eq!(held["verdict"], "held");
    assert_eq!(
        held["because"],
        "10 EUR differs from 100 EUR by more than 50 %: a later result has to confirm it"
    );
    let refused = explain("4");
    assert_eq!(refused["because"], "price is None");
    assert_eq!(refused["state"]["auto_record_status"], "Filtered");
    let ran = run(&database, None, &["explain", "4"]);
    assert!(ran.stdout.contains("REFUSES"), "{ran:?}");
    assert_eq!(run(&database, None, &["explain", "99"]).code, 2);

    // Other rules, over a range.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    std::fs::write(
        &file,
        "[workflows.auto-record.options]\nallowed_sources = [\"og\"]\n",
    )
    .unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let compare = |config: &[&str], more: &[&str]| {
        let arguments = [config, &["explain", "--since", "1h", "--json"], more].concat();
        gleaner(Some(&database), &arguments).json()
    };
    let changes = compare(&config, &["--dry-run"]);
    assert_eq!(
        [
            &changes["judged"],
            &changes["refused"],
            &changes["other_reason"],
            &changes["unchanged"]
        ],
        [&4.into(), &3.into(), &1.into(), &serde_json::Value::from(0)]
    );
    database
        .run("UPDATE site SET currency = 'EUR'; UPDATE crawl_result SET price = 101 WHERE id = 4")
        .await;
    assert_eq!(compare(&[], &["--dry-run"])["admitted"], 1);
    assert_eq!(
        database
            .count("SELECT count(*) FROM crawl_result WHERE auto_record_status = 'Queued'")
            .await,
        0
    );
    assert_eq!(compare(&[], &["--requeue"])["requeued"], 1);
    assert_eq!(database.rows(RESULTS).await[3], "4 Queued none f");
}

/// W-36: by hand past the rules, but never without a price and a currency.
#[tokio::test(flavor = "multi_thread")]
async fn w36_a_person_may_record_what_has_a_price() {
    let app = start(site(1).await, None).await;
    for (second, seen) in [
        (10, "100 EUR -"),
        (20, "10 EUR -"),
        (30, "- EUR -"),
        (40, "0 EUR -"),
        (50, "90 - -"),
    ] {
        result(&app.database, 1, second, seen).await;
    }
    app.wait_settled("crawl_result", "auto_record").await;
    let (_, database) = app.stop().await;
    let ran = run(&database, None, &["record", "2", "--manual"]);
    assert!(ran.stdout.contains("recorded by hand: 10 EUR"), "{ran:?}");
    assert_eq!(
        database
            .rows("SELECT price, source FROM price_history ORDER BY scraped_at")
            .await,
        ["100|AUTO", "10|MANUAL"]
    );
    for refused in ["1", "2", "3", "4", "5", "99"] {
        assert_eq!(
            run(&database, None, &["record", refused, "--manual"]).code,
            2,
            "{refused}"
        );
    }
    assert_eq!(run(&database, None, &["record", "1"]).code, 2);
    assert_eq!(
        database.count("SELECT count(*) FROM price_history").await,
        2
    );
}

/// The guides' own way: once, with their flags, and the line that they look for.
#[tokio::test(flavor = "multi_thread")]
async fn run_once_records_what_is_due_and_says_so() {
    let database = site(5).await;
    results(&database, 5).await;
    result(&database, 1, 10, "- EUR -").await;
    let ran = run(
        &database,
        None,
        &[
            "run",
            "--once",
            "--only",
            "auto-record",
            "--interval=60",
            "--timeout-check-interval=30",
        ],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = "Auto-record: processed=6 recorded=5 duplicates=0 failed=0 queue_remaining=0";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("auto-record: 5 completed, 1 filtered"),
        "{}",
        ran.stdout
    );
    assert_eq!(database.rows(HISTORY).await.len(), 5);
}

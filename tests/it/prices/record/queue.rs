//! The queue in Redis, as its operators and other producers use it.

use super::{RESULTS, result, results, site, start, start_with};
use crate::support::{TestRedis, wait_until};
use gleaner::prices::auto_record::AutoRecord;

/// The guide's commands, as they are written there.
const DEPTH: &str = r#"LLEN "crawl:auto_record:queue""#;
const PROCESSING: &str = r#"SCARD "crawl:auto_record:processing""#;
const FAILED: &str = r#"SCARD "crawl:auto_record:failed""#;

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_commands_tell_and_steer() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    // Nothing claims: what is queued stands in the list.
    let app = start_with(site(3).await, Some(&redis), |config| {
        config.workflows.keep_only(&[]);
    })
    .await;
    results(&app.database, 3).await;
    wait_until("the results stand in the list", async || {
        redis.count(DEPTH).await == 3
    })
    .await;
    assert_eq!(redis.run("TYPE crawl:auto_record:queue").await, "list");
    assert_eq!(
        redis.run("LRANGE crawl:auto_record:queue 0 -1").await,
        "1\n2\n3"
    );
    let (_, database) = app.stop().await;

    let app = start(database, Some(&redis)).await;
    app.wait_settled("crawl_result", "auto_record").await;
    wait_until("the list is empty", async || redis.count(DEPTH).await == 0).await;
    wait_until("nothing is in work", async || {
        redis.count(PROCESSING).await == 0
    })
    .await;
    assert_eq!(redis.count(FAILED).await, 0);
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        3
    );
    app.stop().await;
}

/// W-3: what stands in the processing set does not keep a result from being recorded, and is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn w3_entries_stranded_in_the_processing_set_harm_nobody() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    redis
        .run("SADD crawl:auto_record:processing 1 17 gone")
        .await;
    let database = site(1).await;
    results(&database, 1).await;
    redis.run("RPUSH crawl:auto_record:queue 1 1").await;
    let app = start_with(database, Some(&redis), |config| {
        config.redis.lease = std::time::Duration::from_secs(1);
    })
    .await;
    app.wait_settled("crawl_result", "auto_record").await;
    wait_until("the processing set is empty", async || {
        redis.count(PROCESSING).await == 0
    })
    .await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        1
    );
    assert_eq!(redis.count("ZCARD crawl:auto_record:leases").await, 0);
    app.stop().await;
}

/// W-4: pushed many times over, recorded once; by two nodes at once.
#[tokio::test(flavor = "multi_thread")]
async fn w4_duplicated_pushes_record_each_result_once_on_two_nodes() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(300).await;
    results(&database, 300).await;
    let once: Vec<String> = (1..=300).map(|id| id.to_string()).collect();
    let push = format!("RPUSH crawl:auto_record:queue {}", once.join(" "));
    for _ in 0..4 {
        redis.run(&push).await;
    }
    let second = database.config();
    let url = redis.url();
    let small = move |config: &mut gleaner::config::Config| {
        config.workflows.of_mut::<AutoRecord>().batch_size = std::num::NonZeroU32::new(20).unwrap();
    };
    let app = start_with(database, Some(&redis), small).await;
    let mut config = crate::support::app::test_config(&app.database);
    config.database = second;
    super::configure(&mut config, &url);
    small(&mut config);
    let other = gleaner::app::App::start(config, None).await.unwrap();
    redis.run(&push).await;
    app.wait_settled("crawl_result", "auto_record").await;
    wait_until("the list is empty", async || redis.count(DEPTH).await == 0).await;
    assert_eq!(
        app.database
            .rows("SELECT count(*), count(DISTINCT crawl_result_id) FROM price_history")
            .await,
        ["300|300"]
    );
    let recorded = "SELECT count(*) FROM crawl_result WHERE history_record_status = 'recorded' AND history_recorded";
    assert_eq!(app.database.count(recorded).await, 300);
    other.drain(std::time::Duration::from_secs(5)).await;
    app.stop().await;
}

/// What is no result goes where it can be looked at, and holds nobody up; what names one is recorded in whatever form.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_entries_go_to_the_failed_set_and_block_nothing() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(2).await;
    results(&database, 2).await;
    let uid = gleaner::prices::uid::Uid(2).to_string();
    redis
        .run(&format!(
            r#"RPUSH crawl:auto_record:queue nonsense "" -5 99999999999999999999 424242 "a b\x00c" {} 1 {uid}"#,
            "x".repeat(5_000)
        ))
        .await;
    let app = start(database, Some(&redis)).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        2
    );
    wait_until("the failed set has them", async || {
        redis.count(FAILED).await == 7
    })
    .await;
    assert_eq!(redis.count(PROCESSING).await, 0);
    assert_eq!(redis.count(DEPTH).await, 0);
    app.stop().await;
}

/// W-20, W-21: three attempts with a pause between them, then the failed set; back only when asked for.
#[tokio::test(flavor = "multi_thread")]
async fn w21_a_failed_result_rests_until_somebody_asks_for_it() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(2).await;
    // The database refuses this page's history for as long as this stands.
    database
        .run("ALTER TABLE price_history ADD CONSTRAINT poison CHECK (product_url_id <> 1)")
        .await;
    results(&database, 2).await;
    let app = start(database, Some(&redis)).await;
    app.wait_settled("crawl_result", "auto_record").await;
    let rows = app.database.rows(RESULTS).await;
    assert!(rows[0].starts_with("1 Error none f store: "), "{}", rows[0]);
    assert_eq!(rows[1], "2 Completed recorded t");
    let attempts =
        "SELECT count(*) FROM attempt WHERE stage = 'crawl_result/auto_record' AND item_id = 1";
    assert_eq!(app.database.count(attempts).await, 3);
    wait_until("it is in the failed set", async || {
        redis.run(r#"SMEMBERS "crawl:auto_record:failed""#).await == "1"
    })
    .await;
    assert_eq!(redis.run("EXISTS crawl:auto_record:failures:1").await, "0");
    // The reconciler has come by meanwhile, and left it alone.
    let ticks = async || {
        let status = app.status().await;
        status.helper("queue-reconciler").unwrap().runs
    };
    let seen = ticks().await;
    wait_until("the reconciler has come by", async || {
        ticks().await > seen + 2
    })
    .await;
    assert_eq!(app.database.count(attempts).await, 3);
    // By hand, as the guide says.
    app.database
        .run("ALTER TABLE price_history DROP CONSTRAINT poison")
        .await;
    redis.run(r#"RPUSH "crawl:auto_record:queue" "1""#).await;
    wait_until("it is recorded", async || {
        app.database.rows(RESULTS).await[0] == "1 Completed recorded t"
    })
    .await;
    wait_until("it has left the failed set", async || {
        redis.count(FAILED).await == 0
    })
    .await;
    app.stop().await;
}

/// W-21: on a schedule, later each time, and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn w21_the_schedule_revives_only_so_often() {
    let database = site(1).await;
    database
        .run("ALTER TABLE price_history ADD CONSTRAINT poison CHECK (product_url_id <> 1)")
        .await;
    results(&database, 1).await;
    let app = start_with(database, None, |config| {
        config.workflows.of_mut::<AutoRecord>().max_attempts = std::num::NonZeroU32::MIN;
        let options = config.workflows.options_mut::<AutoRecord>();
        options.revive_after = std::time::Duration::from_millis(1);
        options.revive_times = 2;
    })
    .await;
    let failed = "SELECT count(*) FROM attempt WHERE outcome = 'failed'";
    wait_until("it was revived twice", async || {
        app.database.count(failed).await == 3
    })
    .await;
    let ticks = async || {
        let status = app.status().await;
        status.helper("queue-reconciler").unwrap().runs
    };
    let seen = ticks().await;
    wait_until("the reconciler has come by", async || {
        ticks().await > seen + 2
    })
    .await;
    assert_eq!(app.database.count(failed).await, 3);
    app.stop().await;
}

/// W-1: an entry that comes before its row is committed loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn w1_an_entry_pushed_before_the_commit_is_recorded_after_it() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let app = start(site(1).await, Some(&redis)).await;
    let mut client = app.database.client().await;
    let transaction = client.transaction().await.unwrap();
    let id: i64 = transaction
        .query_one(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, price_sources)
             VALUES (1, 1, true, 5, 'EUR', '{og}') RETURNING id",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    redis
        .run(&format!("RPUSH crawl:auto_record:queue {id}"))
        .await;
    wait_until("the entry was taken", async || {
        redis.count(DEPTH).await == 0
    })
    .await;
    wait_until("it is in the failed set", async || {
        redis.count(FAILED).await == 1
    })
    .await;
    transaction.commit().await.unwrap();
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        1
    );
    wait_until("it has left the failed set", async || {
        redis.count(FAILED).await == 0
    })
    .await;
    app.stop().await;
}

/// A program that knows nothing but `RPUSH`, on rows that our own table did not queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_push_is_heard_within_a_second() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let app = start_with(site(1).await, Some(&redis), |config| {
        config.workflows.of_mut::<AutoRecord>().interval = std::time::Duration::from_secs(3_600);
        config.database.listen = false;
        config.engine.gauges_interval = std::time::Duration::from_secs(3_600);
    })
    .await;
    wait_until("it has looked once", async || {
        let status = app.status().await;
        status
            .workflow("auto-record")
            .unwrap()
            .last_claim_ms_ago
            .is_some()
    })
    .await;
    let id = result(&app.database, 1, 10, "100 EUR -").await;
    app.database
        .run("UPDATE crawl_result SET auto_record_status = NULL")
        .await;
    let pushed = std::time::Instant::now();
    redis
        .run(&format!("RPUSH crawl:auto_record:queue {id}"))
        .await;
    wait_until("it is recorded", async || {
        app.database
            .count("SELECT count(*) FROM price_history")
            .await
            == 1
    })
    .await;
    // A second of ours, and what a busy machine adds.
    assert!(pushed.elapsed().as_secs() < 5, "{:?}", pushed.elapsed());
    app.stop().await;
}

//! Redis flushed, hung, killed, absent.

use super::{results, site, start, start_with};
use gleaner::prices::queue::Queue;

use crate::support::{TestRedis, wait_until};

/// W-10, W-30: what is due stands in PostgreSQL, and comes back into the list after a flush.
#[tokio::test(flavor = "multi_thread")]
async fn w10_a_flush_loses_nothing() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(50).await;
    results(&database, 50).await;
    let app = start_with(database, Some(&redis), |config| {
        config.workflows.keep_only(&[]);
    })
    .await;
    let full = async || redis.count("LLEN crawl:auto_record:queue").await == 50;
    wait_until("the list is full", full).await;
    redis.run("FLUSHALL").await;
    wait_until("the list is full again", full).await;
    let (_, database) = app.stop().await;
    redis.run("FLUSHALL").await;
    let app = start(database, Some(&redis)).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        50
    );
    app.stop().await;
}

/// W-2, W-10, W-43, W-46: a Redis that hangs or dies holds nothing up, is not taken for an empty queue, and is used again.
#[tokio::test(flavor = "multi_thread")]
async fn w10_w43_w46_an_outage_is_seen_and_holds_nothing_up() {
    let Some(mut redis) = TestRedis::start().await else {
        return;
    };
    let app = start(site(4).await, Some(&redis)).await;
    let queue = &Queue::new(app.app().shared().redis.as_ref());
    assert_eq!(queue.is_up(), Some(true));
    let one_more = async |id: i32| {
        app.database
            .run(&format!(
                "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, price_sources)
                 VALUES ({id}, 1, true, 5, 'EUR', '{{og}}')"
            ))
            .await;
        wait_until("it is recorded", async || {
            let sql = "SELECT count(*) FROM price_history";
            app.database.count(sql).await == i64::from(id)
        })
        .await;
    };
    one_more(1).await;
    redis.hang();
    one_more(2).await;
    wait_until("the outage is seen", async || queue.is_up() == Some(false)).await;
    assert!(queue.lengths().await.is_err());
    redis.go_on();
    wait_until("it is over", async || queue.is_up() == Some(true)).await;
    redis.kill().await;
    wait_until("the outage is seen", async || queue.is_up() == Some(false)).await;
    one_more(3).await;
    redis.start_again().await;
    wait_until("it is over", async || queue.is_up() == Some(true)).await;
    redis.run("RPUSH crawl:auto_record:queue 4").await;
    one_more(4).await;
    wait_until("the list is empty", async || {
        redis.count("LLEN crawl:auto_record:queue").await == 0
    })
    .await;
    app.stop().await;
}

/// A Redis that is away at the start is no reason not to start.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_later_is_used_later() {
    let Some(mut redis) = TestRedis::start().await else {
        return;
    };
    redis.kill().await;
    let database = site(1).await;
    results(&database, 1).await;
    let app = start(database, Some(&redis)).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.app()
            .shared()
            .redis
            .as_ref()
            .map(gleaner::redis::Redis::is_up),
        Some(false)
    );
    redis.start_again().await;
    wait_until("it is used", async || {
        app.app()
            .shared()
            .redis
            .as_ref()
            .map(gleaner::redis::Redis::is_up)
            == Some(true)
    })
    .await;
    app.stop().await;
}

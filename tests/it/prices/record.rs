//! auto-record end to end: real PostgreSQL, real Redis, results as bots and other software write them.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod commands;
mod history;
mod notifications;
mod outage;
mod producer;
mod queue;
mod topology;

use std::time::Duration;

use gleaner::config::Config;
use gleaner::secret::Secret;

use crate::support::{TestApp, TestDatabase, TestRedis};

/// A site without a currency of its own, and `pages` product pages of it, keys from 1.
async fn site(pages: i32) -> TestDatabase {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "INSERT INTO site (domain) VALUES ('shop.example');
             INSERT INTO product_url (site_id, raw_url, url, url_hash, title)
             SELECT 1, 'https://shop.example/' || n, 'https://shop.example/' || n, md5(n::text), 'Kettle ' || n
             FROM generate_series(1, {pages}) AS n"
        ))
        .await;
    database
}

/// A result: page, second of its crawl, price, currency, availability (`-` for none of these). Its key.
async fn result(database: &TestDatabase, page: i64, second: i64, seen: &str) -> i64 {
    let words: Vec<Option<&str>> = seen
        .split(' ')
        .map(|word| (word != "-").then_some(word))
        .collect();
    let client = database.client().await;
    let sql = "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources, crawled_at)
               VALUES ($1, 1, true, $2::text::numeric, $3, $4, '{jsonld}', '2026-01-01Z'::timestamptz + $5 * interval '1 second')
               RETURNING id";
    let word = |at: usize| words.get(at).copied().flatten();
    let second = f64::from(i32::try_from(second).unwrap());
    client
        .query_one(sql, &[&page, &word(0), &word(1), &word(2), &second])
        .await
        .unwrap()
        .get(0)
}

/// So many plain results, one per page, in one statement; keys from 1.
async fn results(database: &TestDatabase, pages: i32) {
    database
        .run(&format!(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources)
             SELECT n, 1, true, 100 + n, 'EUR', 'InStock', '{{jsonld}}' FROM generate_series(1, {pages}) AS n"
        ))
        .await;
}

/// Nothing but auto-record, on this database and Redis.
async fn start(database: TestDatabase, redis: Option<&TestRedis>) -> TestApp {
    start_with(database, redis, |_| ()).await
}

async fn start_with(
    database: TestDatabase,
    redis: Option<&TestRedis>,
    change: impl FnOnce(&mut Config),
) -> TestApp {
    let url = redis.map(TestRedis::url).unwrap_or_default();
    TestApp::start_on(database, |config| {
        configure(config, &url);
        change(config);
    })
    .await
}

fn configure(config: &mut Config, url: &str) {
    config.workflows.keep_only(&["auto-record".to_owned()]);
    config.redis.url = Secret::new(url);
    config.redis.reconcile_interval = Duration::from_millis(300);
}

/// The history: page, price, currency, availability, first and last seen as seconds, in the order of time.
const HISTORY: &str = "SELECT concat_ws(' ', product_url_id, price, currency, availability,
        extract(epoch FROM scraped_at - '2026-01-01Z')::int || '-' || extract(epoch FROM last_confirmed_at - '2026-01-01Z')::int)
    FROM price_history ORDER BY product_url_id, scraped_at, id";

/// Results: key, status, flags, reason.
const RESULTS: &str = "SELECT concat_ws(' ', id, auto_record_status, history_record_status, history_recorded, auto_record_error)
    FROM crawl_result ORDER BY id";

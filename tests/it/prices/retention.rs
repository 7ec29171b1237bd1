//! What is old goes, and nothing else.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use gleaner::app::state::Shared;
use gleaner::areas;
use gleaner::live::Live;
use gleaner::store::prune::{self, Cursor};
use gleaner::upkeep::Retention;

use crate::cli::gleaner;
use crate::support::TestDatabase;
use crate::support::app::test_config;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two pages of a site, the second one not crawled any more.
const SETTING: &str = "
    INSERT INTO site (domain) VALUES ('shop-example.com');
    INSERT INTO product_url (site_id, raw_url, url, url_hash, is_active)
        SELECT 1, 'https://shop-example.com/' || n, 'https://shop-example.com/' || n, n::text, n = 1 FROM generate_series(1, 2) AS n;";

async fn setting(sql: &str) -> TestDatabase {
    let database = TestDatabase::new().await;
    database.run(&format!("{SETTING}{sql}")).await;
    database
}

/// Drops what is older than this of one kind, and says how many rows went.
async fn prune(database: &TestDatabase, key: &str, keep: Duration) -> i64 {
    let mut conn = database.connect().await;
    let kind = areas::kept().find(|kind| kind.key == key).unwrap();
    let mut gone = 0;
    let mut next = Some(Cursor::default());
    while let Some(cursor) = next {
        let step = prune::step(&mut conn, kind, keep, cursor, false)
            .await
            .unwrap();
        gone += step.gone;
        next = step.next;
    }
    gone
}

#[tokio::test(flavor = "multi_thread")]
async fn results_go_by_age_but_those_that_are_needed() {
    // 1 and 2 are recorded and 2 is the latest; 3 still waits; 4 failed; 5 is young.
    let database = setting(
        "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, created_at)
             SELECT 1, 1, n <> 4, 10 + n, 'EUR', now() - CASE n WHEN 5 THEN interval '1 hour' ELSE interval '100 days' END
             FROM generate_series(1, 5) AS n;
         UPDATE crawl_result SET auto_record_status = 'Completed' WHERE id IN (1, 2, 5);
         INSERT INTO price_history (product_url_id, crawl_result_id, price, currency, source, scraped_at)
             SELECT 1, n, 10 + n, 'EUR', 'AUTO', now() - interval '101 days' + n * interval '1 hour' FROM generate_series(1, 2) AS n;",
    )
    .await;
    let left = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM crawl_result";
    assert_eq!(prune(&database, "results", DAY * 90).await, 1);
    assert_eq!(database.rows(left).await, ["2 3 4 5"]);
    assert_eq!(prune(&database, "failed_results", DAY * 30).await, 1);
    assert_eq!(database.rows(left).await, ["2 3 5"]);
    // The history is whole.
    assert_eq!(
        database
            .rows("SELECT price, crawl_result_id FROM price_history ORDER BY id")
            .await,
        ["11|", "12|2"]
    );
}

/// A pass goes over more rows than one batch holds, of which many share a time.
#[tokio::test(flavor = "multi_thread")]
async fn passes_are_made_of_batches() {
    let database = setting(
        "INSERT INTO crawl_result (product_url_id, site_id, success, created_at)
             SELECT 1, 1, false, now() - interval '40 days' - (n % 3) * interval '1 day' FROM generate_series(1, 12000) AS n",
    )
    .await;
    assert_eq!(prune(&database, "failed_results", DAY * 30).await, 12_000);
    assert_eq!(database.count("SELECT count(*) FROM crawl_result").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_pages_go_by_age() {
    let database = setting(
        "INSERT INTO subscription (subscriber, product_url_id) VALUES ('kari', 1);
         INSERT INTO notification (subscription_id, product_url_id, kind, message, created_at, delivery_status)
             VALUES (1, 1, 'restock', 'old', now() - interval '91 days', NULL),
                    (1, 1, 'restock', 'on its way', now() - interval '91 days', 'Queued'),
                    (1, 1, 'restock', 'young', now(), NULL);
         INSERT INTO product_page (product_url_id, url, body, fetched_at)
             SELECT n, 'u', 'x', now() - interval '10 days' FROM generate_series(1, 2) AS n;",
    )
    .await;
    assert_eq!(prune(&database, "notifications", DAY * 90).await, 1);
    assert_eq!(
        database
            .rows("SELECT message FROM notification ORDER BY id")
            .await,
        ["on its way", "young"]
    );
    assert_eq!(prune(&database, "pages", DAY * 7).await, 1);
    assert_eq!(
        database
            .rows("SELECT product_url_id FROM product_page")
            .await,
        ["1"]
    );
}

/// PT-8: history is pruned, and what happened can still be told: every change, and each day's lowest and highest.
#[tokio::test(flavor = "multi_thread")]
async fn history_is_thinned_to_changes_and_daily_extremes() {
    // One row every six hours from a day 200 days back: price and source.
    let database = setting(
        "INSERT INTO price_history (product_url_id, price, currency, source, scraped_at, last_confirmed_at)
             SELECT 1, price, 'EUR', source, at, at FROM (
                 SELECT price, source, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '200 days'
                     + (n - 1) * interval '6 hours' AS at
                 FROM unnest('{10,10,10,10, 10,10,12,12, 12,12,12,12, 9,9,9,9}'::numeric[],
                     '{AUTO,AUTO,MANUAL,AUTO, AUTO,AUTO,AUTO,AUTO, AUTO,AUTO,AUTO,AUTO, AUTO,AUTO,AUTO,AUTO}'::text[])
                     WITH ORDINALITY AS seen(price, source, n)) AS seen;
         INSERT INTO price_history (product_url_id, price, currency, source)
             SELECT 1, 9, 'EUR', 'AUTO' FROM generate_series(1, 3);",
    )
    .await;
    assert_eq!(prune(&database, "full_history", DAY * 90).await, 9);
    // Confirmed as late as those that went; the last old one and all young ones stay.
    assert_eq!(
        database
            .rows(
                "SELECT id, price, source, extract(epoch FROM last_confirmed_at - scraped_at)::int / 3600 AS hours
                 FROM price_history ORDER BY id"
            )
            .await,
        [
            "1|10|AUTO|6",
            "3|10|MANUAL|6",
            "5|10|AUTO|6",
            "7|12|AUTO|6",
            "9|12|AUTO|18",
            "13|9|AUTO|12",
            "16|9|AUTO|0",
            "17|9|AUTO|0",
            "18|9|AUTO|0",
            "19|9|AUTO|0",
        ]
    );
    // What is thin stays as it is.
    assert_eq!(prune(&database, "full_history", DAY * 90).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ticker_works_when_its_schedule_is_due() {
    let database = setting(
        "INSERT INTO crawl_result (product_url_id, site_id, success, created_at) VALUES (1, 1, false, now() - interval '40 days')",
    )
    .await;
    let left = "SELECT count(*) FROM crawl_result";
    let config = test_config(&database);
    let workflows = areas::in_force(&config);
    let shared = Shared::new(database.pool(), 1, Live::new(config), None, workflows);
    let ticker = Retention::new(shared, areas::kept());
    ticker.prune().await.unwrap();
    assert_eq!(database.count(left).await, 1);
    database
        .run("UPDATE schedule SET next_at = now() WHERE name = 'retention-daily'")
        .await;
    ticker.prune().await.unwrap();
    assert_eq!(database.count(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_and_drops_nothing() {
    let database = setting(
        "INSERT INTO crawl_result (product_url_id, site_id, success, created_at) VALUES (1, 1, false, now() - interval '40 days')",
    )
    .await;
    for (arguments, left) in [
        (&["retention", "--dry-run", "--json"][..], 1),
        (&["retention", "--json"], 0),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["rows"]["crawl_result (failed)"], 1);
        assert_eq!(
            database.count("SELECT count(*) FROM crawl_result").await,
            left
        );
    }
}

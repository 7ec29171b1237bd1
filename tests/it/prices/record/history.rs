//! What becomes of results in the history.

use super::{HISTORY, RESULTS, result, site, start, start_with};
use crate::support::TestApp;
use gleaner::prices::auto_record::AutoRecord;

/// W-34, W-35, W-36: one page's observations, in and out of order, each in a batch of its own.
#[tokio::test(flavor = "multi_thread")]
async fn w34_observations_are_compared_with_their_own_neighbours() {
    let mut app = start(site(1).await, None).await;
    for (second, seen) in [
        (10, "1299.00 NOK InStock"),
        (20, "1299.00 NOK InStock"),
        (30, "1299.00 SEK InStock"),
        (40, "1299.00 SEK OutOfStock"),
        (35, "1299.0 SEK InStock"),
        (15, "1299 NOK InStock"),
        (5, "1100.50 NOK InStock"),
    ] {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    assert_eq!(
        app.database.rows(HISTORY).await,
        [
            "1 1100.50 NOK InStock 5-5",
            "1 1299.00 NOK InStock 10-20",
            "1 1299.00 SEK InStock 30-35",
            "1 1299.00 SEK OutOfStock 40-40",
        ]
    );
    assert_eq!(
        app.database.rows(RESULTS).await,
        [
            "1 Completed recorded t",
            "2 Completed duplicate t",
            "3 Completed recorded t",
            "4 Completed recorded t",
            "5 Completed duplicate t",
            "6 Completed duplicate t",
            "7 Completed recorded t",
        ]
    );
    assert_eq!(
        app.database
            .rows("SELECT current_price, current_currency, current_availability, extract(epoch FROM current_at - '2026-01-01Z')::int FROM product_url")
            .await,
        ["1299.00|SEK|OutOfStock|40"]
    );
    let rows: i64 = app
        .database
        .count("SELECT count(*) FROM price_history WHERE source = 'AUTO' AND crawl_result_id IS NOT NULL AND extraction_method = 'jsonld'")
        .await;
    assert_eq!(rows, 4);
    app = start(app.stop().await.1, None).await;
    app.stop().await;
}

/// The same in one batch: what one result makes counts for the next.
#[tokio::test(flavor = "multi_thread")]
async fn results_of_one_page_in_one_batch_see_each_other() {
    let database = site(2).await;
    for (page, second, seen) in [
        (1, 30, "110 EUR -"),
        (1, 10, "100 EUR -"),
        (2, 10, "50 EUR -"),
        (1, 20, "100 EUR -"),
        (1, 40, "110 EUR -"),
    ] {
        result(&database, page, second, seen).await;
    }
    let app = start(database, None).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-20", "1 110 EUR 30-40", "2 50 EUR 10-10"]
    );
    app.stop().await;
}

/// W-34: what comes in between takes nothing away from what was seen before and after it, and each row has its own result.
#[tokio::test(flavor = "multi_thread")]
async fn w34_a_price_goes_on_after_a_late_one_in_between() {
    let app = start(site(1).await, None).await;
    for (second, seen) in [(10, "100 EUR -"), (30, "100 EUR -"), (20, "110 EUR -")] {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-10", "1 110 EUR 20-20", "1 100 EUR 30-30"]
    );
    let rows = app
        .database
        .rows("SELECT crawl_result_id, history_record_status FROM price_history JOIN crawl_result r ON r.id = crawl_result_id ORDER BY scraped_at")
        .await;
    assert_eq!(rows, ["1|recorded", "3|recorded", "2|recorded"]);
    assert_eq!(
        app.database
            .rows("SELECT current_price FROM product_url")
            .await,
        ["100"]
    );
    app.stop().await;
}

/// A row that began earlier than its own result saw, and then is cut.
const CUT: [(i64, &str); 3] = [(30, "100 EUR -"), (10, "100 EUR -"), (20, "110 EUR -")];

/// That result has the row that goes on; the one that was taken for a duplicate has the first.
async fn assert_cut(app: TestApp) {
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-10", "1 110 EUR 20-20", "1 100 EUR 30-30"]
    );
    let rows = app
        .database
        .rows("SELECT crawl_result_id, history_record_status FROM price_history LEFT JOIN crawl_result r ON r.id = crawl_result_id ORDER BY scraped_at")
        .await;
    assert_eq!(rows, ["2|recorded", "3|recorded", "1|recorded"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w34_a_row_that_began_earlier_and_is_cut_keeps_its_results() {
    let app = start(site(1).await, None).await;
    for (second, seen) in CUT {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    assert_cut(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w34_the_same_results_in_one_batch_leave_the_same_rows() {
    let database = site(1).await;
    for (second, seen) in CUT {
        result(&database, 1, second, seen).await;
    }
    let app = start(database, None).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_cut(app).await;
}

/// W-37, PT-2: a jump waits for a second look, which is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn w37_a_jump_is_held_and_confirmed_or_dropped() {
    let database = site(2).await;
    database
        .run("UPDATE crawl_job SET crawl_status = NULL, next_run_at = now() + interval '1 day', plan = 1000")
        .await;
    let app = start(database, None).await;
    let see = async |page, second, seen| {
        result(&app.database, page, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    };
    let flags = async || {
        app.database
            .rows("SELECT product_url_id, status, message FROM flag ORDER BY id")
            .await
    };
    for page in [1, 2] {
        see(page, 10, "100 EUR -").await;
        see(page, 20, "10 EUR -").await;
    }
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-10", "2 100 EUR 10-10"]
    );
    assert_eq!(
        app.database
            .rows("SELECT held_price, held_currency, current_price FROM product_url ORDER BY id")
            .await,
        ["10|EUR|100", "10|EUR|100"]
    );
    let soon = "SELECT count(*) FROM crawl_job WHERE next_run_at < now() + interval '11 minutes'";
    assert_eq!(app.database.count(soon).await, 2);
    let message = "the price went from 100 EUR to 10 EUR; a second look is to confirm it";
    assert_eq!(
        flags().await,
        [
            format!("1|pending|{message}"),
            format!("2|pending|{message}")
        ]
    );
    see(1, 30, "10 EUR -").await;
    see(2, 30, "100 EUR -").await;
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-10", "1 10 EUR 20-30", "2 100 EUR 10-30"]
    );
    assert_eq!(
        app.database.rows(RESULTS).await,
        [
            "1 Completed recorded t",
            "2 Completed duplicate t",
            "3 Completed recorded t",
            "4 Completed none f",
            "5 Completed recorded t",
            "6 Completed duplicate t",
        ]
    );
    assert_eq!(
        app.database
            .rows("SELECT held_price, held_at, current_price FROM product_url ORDER BY id")
            .await,
        ["||10", "||100"]
    );
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM flag WHERE status = 'resolved'")
            .await,
        2
    );
    app.stop().await;
}

/// W-7, W-11, W-38: a failed crawl is no price; a refusal is judged once and says why, and only trouble is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn w7_w38_refusals_say_why_and_touch_no_price() {
    let database = site(1).await;
    let app = start_with(database, None, |config| {
        config
            .workflows
            .options_mut::<AutoRecord>()
            .currency_whitelist = vec!["EUR".to_owned()];
    })
    .await;
    for (second, seen) in [
        (10, "100 EUR InStock"),
        (20, "-10.00 EUR InStock"),
        (30, "0 EUR InStock"),
        (40, "- EUR InStock"),
        (50, "100 USD InStock"),
        (60, "100 - InStock"),
    ] {
        result(&app.database, 1, second, seen).await;
    }
    app.database
        .run(
            "INSERT INTO crawl_result (product_url_id, site_id, success, error) VALUES (1, 1, false, 'HTTP 503');
             UPDATE site SET currency = 'EUR';
             INSERT INTO crawl_result (product_url_id, site_id, success, price, price_sources) VALUES (1, 1, true, 120, '{og}')",
        )
        .await;
    app.wait_settled("crawl_result", "auto_record").await;
    let rows = app.database.rows(RESULTS).await;
    let refused = [
        "1 Completed recorded t",
        "2 Filtered none f price -10.00 <= 0",
        "3 Filtered none f price 0 <= 0",
        "4 Filtered none f price is None",
        "5 Filtered none f currency USD not in whitelist",
    ];
    assert_eq!(rows[..5], refused);
    assert_eq!(rows[6], "7 Filtered none f crawl failed: HTTP 503");
    assert_eq!(rows[7], "8 Completed recorded t");
    let eligibility = app
        .database
        .rows("SELECT auto_record_eligibility_status FROM crawl_result WHERE id IN (1, 2, 7) ORDER BY id")
        .await;
    assert_eq!(eligibility, ["completed", "ineligible", "ineligible"]);
    let attempts: i64 = app
        .database
        .count("SELECT max(auto_record_attempts)::bigint FROM crawl_result")
        .await;
    assert_eq!(attempts, 1);
    app.stop().await;
}

/// W-5, W-6, W-9: rows and flags are one transaction, and a result queued again is not recorded again.
#[tokio::test(flavor = "multi_thread")]
async fn w5_w6_a_result_is_recorded_once_however_often_it_is_queued() {
    let database = site(1).await;
    result(&database, 1, 10, "100 EUR -").await;
    result(&database, 1, 20, "110 EUR -").await;
    let app = start(database, None).await;
    app.wait_settled("crawl_result", "auto_record").await;
    for _ in 0..3 {
        app.database
            .run("UPDATE crawl_result SET auto_record_status = 'Queued'")
            .await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 100 EUR 10-10", "1 110 EUR 20-20"]
    );
    app.stop().await;
}

/// A price in the history that cannot be read is no price of nothing: what would be compared with it fails, and is recorded once
/// the row has been put right. The others of its batch are recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_not_taken_for_zero() {
    let database = site(4).await;
    database
        .run(
            "ALTER TABLE price_history DROP CONSTRAINT price_history_price_check;
             INSERT INTO price_history (product_url_id, price, currency, source, scraped_at, last_confirmed_at)
                 VALUES (2, 'NaN', 'NOK', 'IMPORT', '2025-12-31Z', '2025-12-31Z');
             UPDATE product_url SET held_price = 1e18, held_currency = 'NOK', held_at = '2025-12-31Z' WHERE id = 3;
             INSERT INTO subscription (subscriber, product_url_id, target_price)
                 VALUES ('a', 4, 1e30), ('b', 4, 'NaN'), ('c', 4, 12.123456789), ('d', 4, 11.99999999)",
        )
        .await;
    for page in 1..=4 {
        result(&database, page, 10, "12.00 NOK InStock").await;
    }
    let app = start_with(database, None, |config| {
        config.workflows.of_mut::<AutoRecord>().max_attempts = std::num::NonZeroU32::MIN;
    })
    .await;
    app.wait_settled("crawl_result", "auto_record").await;
    let results = app.database.rows(RESULTS).await;
    assert_eq!(results[0], "1 Completed recorded t");
    assert!(
        results[1].starts_with("2 Error")
            && results[1].contains("store: ")
            && results[1].contains("the price of price_history 1 is \"NaN\", which cannot be read"),
        "{}",
        results[1]
    );
    assert!(
        results[2].starts_with("3 Error")
            && results[2].contains("held_price of product_url 3 is \"1000000000000000000\""),
        "{}",
        results[2]
    );
    // A target is anybody's to set, and says something whatever the number: these three have been reached, the last has not.
    assert_eq!(results[3], "4 Completed recorded t");
    assert_eq!(
        app.database
            .rows(
                "SELECT subscription_id FROM notification WHERE kind = 'target_reached' ORDER BY 1"
            )
            .await,
        ["1", "2", "3"]
    );
    assert_eq!(
        app.database.rows(HISTORY).await,
        [
            "1 12.00 NOK InStock 10-10",
            "2 NaN NOK -86400--86400",
            "4 12.00 NOK InStock 10-10"
        ]
    );
    app.stop().await;
}

/// Rows that name no result, because other software wrote them or their result is long pruned, are what a price is compared with
/// like any others.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_no_result_are_neighbours_too() {
    let database = site(2).await;
    database
        .run(
            "INSERT INTO price_history (product_url_id, price, currency, availability, source, scraped_at, last_confirmed_at)
                 VALUES (1, 12, 'NOK', 'InStock', 'IMPORT', '2026-01-01Z', '2026-01-01Z'),
                     (2, 12, 'NOK', 'InStock', 'IMPORT', '2026-01-01Z', '2026-01-01Z')",
        )
        .await;
    result(&database, 1, 10, "12.00 NOK InStock").await;
    result(&database, 2, 10, "90.00 NOK InStock").await;
    let app = start(database, None).await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database.rows(RESULTS).await,
        ["1 Completed duplicate t", "2 Completed held f"]
    );
    assert_eq!(
        app.database.rows(HISTORY).await,
        ["1 12 NOK InStock 0-10", "2 12 NOK InStock 0-0"]
    );
    app.stop().await;
}

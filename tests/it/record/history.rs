//! What becomes of results in the history.

use super::{HISTORY, RESULTS, result, shop, start, start_with};
use crate::support::TestApp;
use gleaner::prices::auto_record::AutoRecord;

/// W-34, W-35, W-36: one page's observations, in and out of order, each in a batch of its own.
#[tokio::test(flavor = "multi_thread")]
async fn w34_observations_are_compared_with_their_own_neighbours() {
    let mut app = start(shop(1).await, None).await;
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
    let database = shop(2).await;
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
    let app = start(shop(1).await, None).await;
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
    let app = start(shop(1).await, None).await;
    for (second, seen) in CUT {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    }
    assert_cut(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w34_the_same_results_in_one_batch_leave_the_same_rows() {
    let database = shop(1).await;
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
    let database = shop(2).await;
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
    let database = shop(1).await;
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
    let database = shop(1).await;
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

//! One row that the database refuses, or cannot reckon with, among good ones: these get done, that one is told of, once.

use std::time::Duration;

use gleaner::app::state::Shared;
use gleaner::areas;
use gleaner::live::Live;
use gleaner::prices::auto_record::AutoRecord;
use gleaner::prices::crawl_scheduler::CrawlScheduler;
use gleaner::prices::flag;
use gleaner::store::prune::{self, Cursor};

use crate::support::app::test_config;
use crate::support::refuse::{SET_ASIDE, refuse, unbound};
use crate::support::{TestDatabase, wait_until};

const NOTHING: [&str; 0] = [];

/// What is told of rows, and about which page.
const FLAGS: &str =
    "SELECT coalesce(product_url_id, 0), status FROM flag WHERE kind = 'unusable_row' ORDER BY id";

/// Six pages of three sites, jobs 1 to 6.
async fn shops() -> TestDatabase {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO site (domain) SELECT 'shop-' || n || '.example' FROM generate_series(1, 3) AS n;
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
                 SELECT site.id, url, url, md5(url) FROM generate_series(1, 6) AS n JOIN site ON site.id = 1 + (n - 1) / 2
                 CROSS JOIN LATERAL (SELECT 'https://' || domain || '/' || n AS url) AS page",
        )
        .await;
    database
}

fn scheduler(database: &TestDatabase) -> CrawlScheduler {
    let mut config = test_config(database);
    config.fetch.per_host_delay = Duration::from_millis(500);
    let workflows = areas::in_force(&config);
    CrawlScheduler::new(Shared::new(
        database.pool(),
        1,
        Live::new(config),
        None,
        workflows,
    ))
}

/// The row of one policy with a number that no time can be reckoned with, and jobs with such numbers of their own.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_all_bounds_plan_as_the_bound() {
    let database = shops().await;
    for table in ["crawl_policy", "crawl_job"] {
        unbound(&database, table).await;
    }
    database
        .run(
            "INSERT INTO crawl_policy (name, selection, target, frequency, retry_backoff, timeout)
                 VALUES ('odd', 'domain', 'shop-1.example', '170000000 years', '170000000 years', '-170000000 years');
             UPDATE crawl_job SET frequency = '170000000 years', last_result_at = '294276-12-31 23:59:59+00' WHERE id = 1;
             UPDATE crawl_job SET frequency = '-170000000 years', last_result_at = 'infinity' WHERE id = 2;
             UPDATE crawl_job SET frequency = '170000000 years', last_result_at = '-infinity' WHERE id = 3;
             UPDATE crawl_job SET frequency = '170000000 years', next_run_at = '-infinity' WHERE id = 4",
        )
        .await;
    let round = scheduler(&database).round().await.unwrap();
    assert_eq!(round.planned, 6);
    assert_eq!(
        database
            .rows("SELECT id FROM crawl_job WHERE frequency BETWEEN '1 minute' AND '3660 days' AND timeout BETWEEN '1 second' AND '1 day' ORDER BY id")
            .await,
        ["1", "2", "3", "4", "5", "6"]
    );
    assert_eq!(database.rows(SET_ASIDE).await, NOTHING);
}

/// An expression that got past the table's own look at it, as rows of a backup do: the policy is switched off, not every page.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_read_is_switched_off() {
    let database = shops().await;
    database
        .run(
            "ALTER TABLE crawl_policy DISABLE TRIGGER crawl_policy_check;
             INSERT INTO crawl_policy (name, selection, target, priority) VALUES
                 ('broken', 'url_regex', '(', 9), ('also broken', 'domain_regex', 'x{5,2}', 9), ('good', 'url_regex', '/[12]$', 7);
             ALTER TABLE crawl_policy ENABLE TRIGGER crawl_policy_check",
        )
        .await;
    let scheduler = scheduler(&database);
    let mut planned = 0;
    for _ in 0..3 {
        planned += scheduler.round().await.unwrap().planned;
    }
    assert!(planned >= 6, "{planned}");
    assert_eq!(
        database
            .rows("SELECT name, enabled FROM crawl_policy ORDER BY id")
            .await,
        ["broken|f", "also broken|f", "good|t"]
    );
    assert_eq!(
        database
            .rows("SELECT id, priority, plan > 0 FROM crawl_job ORDER BY id")
            .await,
        ["1|7|t", "2|7|t", "3|5|t", "4|5|t", "5|5|t", "6|5|t"]
    );
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["crawl-plan crawl_policy 1 1", "crawl-plan crawl_policy 2 1"]
    );
    assert_eq!(
        database
            .count("SELECT count(*) FROM flag WHERE kind = 'unusable_row' AND product_url_id IS NULL AND status = 'pending'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_planned_is_left_out() {
    let database = shops().await;
    refuse(
        &database,
        "crawl_job",
        "UPDATE",
        "NEW.id IN (2, 5) AND NEW.plan > 0 AND OLD.plan = 0",
    )
    .await;
    let scheduler = scheduler(&database);
    assert_eq!(scheduler.round().await.unwrap().planned, 4);
    for _ in 0..2 {
        assert_eq!(scheduler.round().await.unwrap().planned, 0);
    }
    assert_eq!(
        database
            .rows("SELECT id FROM crawl_job WHERE plan > 0 ORDER BY id")
            .await,
        ["1", "3", "4", "6"]
    );
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["crawl-plan crawl_job 2 1", "crawl-plan crawl_job 5 1"]
    );
    assert_eq!(database.rows(FLAGS).await, ["2|pending", "5|pending"]);
    assert_eq!(
        database
            .count(
                "SELECT count(*) FROM flag WHERE message LIKE '%crawl_job%the books are closed%'"
            )
            .await,
        2
    );
    // When its time comes it is tried again, and what is mended is done.
    database
        .run("DROP TRIGGER zz_refuse ON crawl_job; UPDATE set_aside SET until = now()")
        .await;
    assert_eq!(scheduler.round().await.unwrap().planned, 2);
    database
        .run("UPDATE set_aside SET until = now() - interval '2 days'")
        .await;
    flag::judge(&mut database.connect().await).await.unwrap();
    assert_eq!(database.rows(FLAGS).await, ["2|resolved", "5|resolved"]);
}

/// Paces and dates that cannot be added to anything, and a row that nobody may write.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_queued_is_left_out() {
    let database = shops().await;
    unbound(&database, "site").await;
    unbound(&database, "crawl_job").await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database
        .run(
            "UPDATE site SET delay_seconds = 'Infinity' WHERE id = 1;
             UPDATE site SET delay_seconds = 'NaN', rate_per_minute = 1 WHERE id = 2;
             UPDATE crawl_job SET crawl_due_at = '294276-12-31 23:59:59+00' WHERE id = 5;
             UPDATE crawl_job SET crawl_due_at = 'infinity' WHERE id = 1;
             UPDATE crawl_job SET crawl_status = 'Completed', next_run_at = now(), frequency = '170000000 years' WHERE id IN (2, 3, 4, 6)",
        )
        .await;
    refuse(
        &database,
        "crawl_job",
        "UPDATE",
        "NEW.id = 3 AND NEW.crawl_status = 'Queued'",
    )
    .await;
    let round = scheduler.round().await.unwrap();
    assert_eq!(round.queued, 3);
    assert_eq!(scheduler.round().await.unwrap().queued, 0);
    assert_eq!(
        database
            .rows("SELECT id, crawl_status, crawl_due_at < now() + interval '10 years' FROM crawl_job ORDER BY id")
            .await,
        ["1|Queued|f", "2|Queued|t", "3|Completed|t", "4|Queued|t", "5|Queued|f", "6|Queued|t"]
    );
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["crawl-queue crawl_job 3 1"]
    );
    assert_eq!(database.rows(FLAGS).await, ["3|pending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_raised_is_left_out() {
    let database = shops().await;
    unbound(&database, "crawl_job").await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database
        .run(
            "UPDATE crawl_job SET crawl_due_at = '-infinity' WHERE id = 1;
             UPDATE crawl_job SET crawl_due_at = '4714-11-24 00:00:00+00 BC' WHERE id = 2;
             UPDATE crawl_job SET crawl_due_at = now() - interval '5 hours 1 minute' WHERE id IN (3, 4)",
        )
        .await;
    refuse(
        &database,
        "crawl_job",
        "UPDATE",
        "NEW.id = 3 AND NEW.crawl_priority > OLD.crawl_priority",
    )
    .await;
    assert_eq!(scheduler.round().await.unwrap().raised, 3);
    assert_eq!(scheduler.round().await.unwrap().raised, 0);
    assert_eq!(
        database
            .rows("SELECT crawl_priority FROM crawl_job ORDER BY id")
            .await,
        ["100", "100", "5", "15", "5", "5"]
    );
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["crawl-aging crawl_job 3 1"]
    );
    assert_eq!(database.rows(FLAGS).await, ["3|pending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_admitted_is_rejected_with_the_reason() {
    let database = TestDatabase::new().await;
    database
        .run(
            "ALTER TABLE product_url ADD CONSTRAINT no_sale CHECK (url !~ '/sale/');
             INSERT INTO product_url (raw_url) SELECT 'https://shop.example/' || name FROM unnest('{a,b,sale/c,d,stuck,e}'::text[]) AS name",
        )
        .await;
    refuse(&database, "product_url", "UPDATE", "OLD.raw_url ~ 'stuck'").await;
    let scheduler = scheduler(&database);
    assert_eq!(scheduler.round().await.unwrap().admitted, 5);
    assert_eq!(scheduler.round().await.unwrap().admitted, 0);
    assert_eq!(
        database
            .rows("SELECT id, url IS NOT NULL, coalesce(rejected, '') ~ 'no_sale' FROM product_url ORDER BY id")
            .await,
        ["1|t|f", "2|t|f", "3|f|t", "4|t|f", "5|f|f", "6|t|f"]
    );
    assert_eq!(database.count("SELECT count(*) FROM crawl_job").await, 4);
    assert_eq!(
        database.rows(SET_ASIDE).await,
        ["crawl-admission product_url 5 1"]
    );
    assert_eq!(database.rows(FLAGS).await, ["5|pending"]);
}

/// The one row that counts decisions is gone, or at the end of its numbers.
#[tokio::test(flavor = "multi_thread")]
async fn planning_goes_on_without_its_counter() {
    let database = shops().await;
    let scheduler = scheduler(&database);
    scheduler.round().await.unwrap();
    database.run("DELETE FROM crawl_plan").await;
    assert_eq!(scheduler.round().await.unwrap().planned, 6);
    assert_eq!(scheduler.round().await.unwrap().planned, 0);
}

/// A site whose flag cannot be written, and one whose pattern may not be asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_cannot_be_judged_is_left_out() {
    let database = shops().await;
    database
        .run(
            "UPDATE crawl_job SET failure_count = 3;
             UPDATE product_url SET crawl_error = repeat('x', 1000000) WHERE id = 6;
             UPDATE product_url SET canonical_url = 'https://same.example/', held_price = 'NaN', held_at = '-infinity' WHERE site_id = 3",
        )
        .await;
    refuse(&database, "flag", "INSERT", "NEW.site_id = 2").await;
    let mut conn = database.connect().await;
    let judged = flag::judge(&mut conn).await.unwrap();
    assert!(judged.opened >= 5, "{judged:?}");
    assert_eq!(
        database
            .rows("SELECT kind, site_id, count(*) FROM flag WHERE kind <> 'unusable_row' GROUP BY kind, site_id ORDER BY kind, site_id")
            .await,
        ["duplicate_products|3|1", "fetch_failing_repeatedly|1|1", "fetch_failing_repeatedly|3|1", "price_jump|3|2"]
    );
    assert_eq!(database.rows(SET_ASIDE).await, ["flags site 2 1"]);
    let again = flag::judge(&mut conn).await.unwrap();
    assert_eq!(again.opened, 0, "{again:?}");
    assert_eq!(database.rows(SET_ASIDE).await, ["flags site 2 1"]);
}

/// Each kind that gets old, with rows that somebody's own table holds on to.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_somebody_holds_on_to_stay_and_all_others_go() {
    let database = shops().await;
    database
        .run(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, created_at, auto_record_status)
                 SELECT 1, 1, n % 2 = 0, 10, 'EUR', now() - interval '200 days', NULL FROM generate_series(1, 40) AS n;
             UPDATE crawl_result SET auto_record_status = 'Completed' WHERE success;
             INSERT INTO subscription (subscriber, product_url_id) VALUES ('ann', 1);
             INSERT INTO notification (subscription_id, product_url_id, kind, message, created_at)
                 SELECT 1, 1, 'restock', 'm', now() - interval '200 days' FROM generate_series(1, 20) AS n;
             UPDATE product_url SET is_active = false WHERE id > 1;
             INSERT INTO product_page (product_url_id, url, body, fetched_at)
                 SELECT n, 'u', 'x', now() - interval '200 days' FROM generate_series(2, 6) AS n;
             INSERT INTO price_history (product_url_id, price, currency, source, scraped_at)
                 SELECT 1 + n % 3, 10, 'EUR', 'AUTO', now() - interval '300 days' + n * interval '1 hour' FROM generate_series(1, 30) AS n;
             CREATE TABLE receipt (result bigint REFERENCES crawl_result, notice bigint REFERENCES notification,
                 page bigint REFERENCES product_page, price bigint REFERENCES price_history);
             INSERT INTO receipt VALUES (10, 11, 4, 16), (NULL, NULL, NULL, 19);
             INSERT INTO receipt (result) VALUES (21)",
        )
        .await;
    let mut conn = database.connect().await;
    let keep = Duration::from_secs(90 * 24 * 3600);
    for (key, gone, kept) in [
        (
            "results",
            19,
            "SELECT count(*) FROM crawl_result WHERE success",
        ),
        (
            "failed_results",
            19,
            "SELECT count(*) FROM crawl_result WHERE NOT success",
        ),
        ("notifications", 19, "SELECT count(*) FROM notification"),
        ("pages", 4, "SELECT count(*) FROM product_page"),
    ] {
        let kind = areas::kept().find(|kind| kind.key == key).unwrap();
        for expected in [gone, 0] {
            let (mut next, mut sum) = (Some(Cursor::default()), 0);
            while let Some(cursor) = next {
                let step = prune::step(&mut conn, kind, keep, cursor, false).await;
                let step = step.unwrap_or_else(|error| panic!("{key}: {error}"));
                sum += step.gone;
                next = step.next;
            }
            assert_eq!(sum, expected, "{key}");
        }
        assert_eq!(database.count(kept).await, 1, "{key}");
    }
    let history = areas::kept()
        .find(|kind| kind.key == "full_history")
        .unwrap();
    let (mut next, mut sum) = (Some(Cursor::default()), 0);
    while let Some(cursor) = next {
        let step = prune::step(&mut conn, history, keep, cursor, false)
            .await
            .unwrap();
        sum += step.gone;
        next = step.next;
    }
    assert!(sum > 10, "{sum}");
    assert_eq!(
        database
            .count("SELECT count(*) FROM price_history WHERE product_url_id = 2")
            .await,
        10
    );
    assert_eq!(
        database.rows(SET_ASIDE).await,
        [
            "retention failed_results crawl_result 21 1",
            "retention full_history product_url 2 1",
            "retention notifications notification 11 1",
            "retention pages product_page 4 1",
            "retention results crawl_result 10 1",
        ]
    );
}

/// The reconciler: a result that may not be queued, and one that has failed so often that its delay is no time any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_revived_is_left_out() {
    let database = shops().await;
    database
        .run(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources)
                 SELECT n, 1, true, 100 + n, 'EUR', 'InStock', '{jsonld}' FROM generate_series(1, 4) AS n;
             UPDATE crawl_result SET auto_record_status = 'Error';
             INSERT INTO attempt (item_id, attempt, stage, outcome, settled_at)
                 SELECT id, 1, 'crawl_result/auto_record', 'failed', now() - interval '1 hour' FROM crawl_result;
             INSERT INTO attempt (item_id, attempt, stage, outcome, settled_at)
                 SELECT 4, 1, 'crawl_result/auto_record', 'failed', now() - interval '1 hour' FROM generate_series(1, 249)",
        )
        .await;
    refuse(
        &database,
        "crawl_result",
        "UPDATE",
        "NEW.id = 2 AND NEW.auto_record_status = 'Queued'",
    )
    .await;
    let app = crate::support::TestApp::start_on(database, |config| {
        config.workflows.keep_only(&["auto-record".to_owned()]);
        config.redis.reconcile_interval = Duration::from_millis(300);
        let options = config.workflows.options_mut::<AutoRecord>();
        options.revive_after = Duration::from_millis(1);
        options.revive_times = 250;
    })
    .await;
    wait_until("the good ones are recorded", async || {
        app.database
            .count("SELECT count(*) FROM crawl_result WHERE auto_record_status = 'Completed'")
            .await
            >= 2
    })
    .await;
    wait_until("the bad one is told of", async || {
        app.database.rows(SET_ASIDE).await == ["queue-reconciler crawl_result 2 1"]
    })
    .await;
    assert_eq!(
        app.database
            .rows("SELECT id, auto_record_status FROM crawl_result ORDER BY id")
            .await,
        ["1|Completed", "2|Error", "3|Completed", "4|Error"]
    );
    let status = app.status().await;
    let reconciler = status.helper("queue-reconciler").unwrap();
    assert_eq!(reconciler.failures, 0, "{reconciler:?}");
    app.stop().await;
}

/// A row that cannot be read fails alone: those that are claimed with it are worked as if it were not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_read_is_charged_alone() {
    let database = shops().await;
    database
        .run(
            "INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources, crawled_at)
                 SELECT n, 1, true, 100 + n, 'EUR', 'InStock', '{jsonld}', CASE n WHEN 2 THEN 'infinity' ELSE now() END
                 FROM generate_series(1, 5) AS n",
        )
        .await;
    let app = crate::support::TestApp::start_on(database, |config| {
        config.workflows.keep_only(&["auto-record".to_owned()]);
        config.workflows.of_mut::<AutoRecord>().max_attempts = std::num::NonZeroU32::MIN;
    })
    .await;
    wait_until("all are settled", async || {
        app.database
            .count("SELECT count(*) FROM crawl_result WHERE auto_record_status IN ('Completed', 'Error')")
            .await
            == 5
    })
    .await;
    assert_eq!(
        app.database
            .rows("SELECT id, auto_record_status, coalesce(left(auto_record_error, 5), '') FROM crawl_result ORDER BY id")
            .await,
        ["1|Completed|", "2|Error|load:", "3|Completed|", "4|Completed|", "5|Completed|"]
    );
    app.stop().await;
}

/// What is wrong with the tables themselves is told as that, and not as an outage.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_is_no_outage_is_not_told_as_one() {
    let database = shops().await;
    database
        .run("ALTER TABLE crawl_policy RENAME COLUMN frequency TO pace")
        .await;
    let error = scheduler(&database).round().await.unwrap_err();
    let told = gleaner::telemetry::chain(&error);
    assert!(!told.contains("unavailable"), "{told}");
    assert!(told.contains("frequency"), "{told}");
    assert_eq!(database.rows(SET_ASIDE).await, NOTHING);
}

/// A part of a round that is refused for every row is told of, row by row at first and then as a whole, and stops no other part.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_refuses_every_page_stops_no_plan() {
    let database = shops().await;
    database
        .run("INSERT INTO product_url (raw_url) SELECT 'https://shop.example/' || n FROM generate_series(1, 300) AS n")
        .await;
    refuse(&database, "product_url", "UPDATE", "OLD.url IS NULL").await;
    let scheduler = scheduler(&database);
    let error = scheduler.round().await.unwrap_err();
    let told = gleaner::telemetry::chain(&error);
    assert!(
        told.contains("a row is at fault: the books are closed"),
        "{told}"
    );
    assert_eq!(
        database
            .rows("SELECT count(*) FILTER (WHERE plan > 0), count(*) FILTER (WHERE crawl_status = 'Queued') FROM crawl_job")
            .await,
        ["6|6"]
    );
}

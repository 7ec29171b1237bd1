//! `crawl_job/crawl`: product pages of a site on loopback, to rows of `crawl_result`.

use gleaner::secret::Secret;

use crate::support::app::start;
use crate::support::site::{Answer, Site};
use crate::support::{TestApp, TestRedis, wait_until};

/// A site, and a job for each of these paths; retries come at once.
fn jobs(paths: &[&str], sql: &str) -> String {
    let paths = paths.join(",");
    format!(
        "INSERT INTO crawl_policy (name, selection, max_retries, retry_backoff) VALUES ('at once', 'all', 2, '1 millisecond');
         INSERT INTO site (domain) VALUES ('shop-example.no');
         INSERT INTO product_url (site_id, raw_url, url, url_hash)
             SELECT 1, 'https://shop-example.no/' || path, 'https://shop-example.no/' || path, path FROM unnest('{{{paths}}}'::text[]) AS path;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff)
             SELECT id, 1, 2, '1 millisecond' FROM product_url ORDER BY id;
         {sql}
         UPDATE crawl_job SET crawl_status = 'Queued';"
    )
}

async fn crawl(site: &Site, paths: &[&str], sql: &str) -> TestApp {
    let app = start(site, &["price-fetch"], &jobs(paths, sql), |_| ()).await;
    app.wait_settled("crawl_job", "crawl").await;
    app
}

/// A page as sites make them, with the price in words for people only.
fn shown(price: &str, availability: &str) -> Answer {
    Answer::html(&format!(
        "<html lang=nb><head><title>Messingkjele 1,7 l</title></head><body><main><h1>Messingkjele 1,7 l</h1>
         <div class=product><span class=price>{price}</span> <p class=stock>{availability}</p>
         <button class=add-to-cart>Legg i handlekurv</button></div></main></body></html>"
    ))
}

/// A page with data for machines.
fn told(price: &str, currency: &str, availability: &str) -> Answer {
    Answer::html(&format!(
        r#"<html><head><title>Brass kettle</title><script type="application/ld+json">{{"@type": "Product", "name": "Brass kettle",
        "brand": "Acme", "gtin13": "4006381333931", "image": "https://shop-example.no/k.jpg",
        "offers": {{"@type": "Offer", "price": "{price}", "priceCurrency": "{currency}", "availability": "{availability}"}}}}</script>
        </head><body><h1>Brass kettle</h1></body></html>"#
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_page_is_recorded_with_all_it_tells() {
    let site = Site::start().await;
    site.put(
        "shop-example.no/kettle",
        told("1299.00", "NOK", "https://schema.org/OutOfStock"),
    );
    let app = crawl(
        &site,
        &["kettle"],
        "INSERT INTO product (brand) VALUES ('Known'); UPDATE product_url SET product_id = 1;",
    )
    .await;
    assert_eq!(
        app.database
            .rows(
                "SELECT success, price, currency, availability, in_stock, title, price_sources, confidence > 0.8, auto_record_status,
                     attempt, duration_ms IS NOT NULL, parsed_data->'validation'->>'valid', parsed_data->'offer'->>'gtin'
                 FROM crawl_result"
            )
            .await,
        ["t|1299.00|NOK|OutOfStock|f|Brass kettle|{jsonld}|t|Queued|1|t|true|4006381333931"]
    );
    assert_eq!(
        app.database
            .rows(
                "SELECT crawl_status, failure_count, next_run_at BETWEEN now() + interval '21 hours' AND now() + interval '27 hours',
                     title, u.crawl_error, last_crawled_at IS NOT NULL
                 FROM crawl_job JOIN product_url u ON u.id = product_url_id"
            )
            .await,
        ["Completed|0|t|Brass kettle||t"]
    );
    // The product has its name; what was known of it stays. The page is kept for patterns.
    assert_eq!(
        app.database
            .rows("SELECT name, brand, gtin, image_url FROM product")
            .await,
        ["Brass kettle|Known|4006381333931|https://shop-example.no/k.jpg"]
    );
    assert_eq!(
        app.database
            .rows("SELECT url, get_byte(body, 0) = 31 FROM product_page")
            .await,
        ["https://shop-example.no/kettle|t"]
    );
    // Crawled again by the same process, it is a result of its own.
    app.database
        .run("UPDATE crawl_job SET crawl_status = 'Queued'")
        .await;
    app.wait_settled("crawl_job", "crawl").await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM crawl_result WHERE success AND attempt = 1")
            .await,
        2
    );
    app.stop().await;
}

/// What our own fetcher finds stands in the list like what bots find; what it does not find does not.
#[tokio::test(flavor = "multi_thread")]
async fn good_results_are_put_into_the_queue() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let site = Site::start().await;
    let page = || told("1299.00", "NOK", "https://schema.org/InStock");
    site.put("shop-example.no/a", page());
    site.put("shop-example.no/b", page());
    site.put("shop-example.no/gone", Answer::status(404));
    let sql = jobs(&["a", "b", "gone"], "");
    let app = start(&site, &["price-fetch"], &sql, |config| {
        config.redis.url = Secret::new(&redis.url());
        // Not by the reconciler.
        config.redis.reconcile_interval = std::time::Duration::from_secs(3_600);
    })
    .await;
    app.wait_settled("crawl_job", "crawl").await;
    let good = app
        .database
        .rows("SELECT id FROM crawl_result WHERE success ORDER BY id")
        .await;
    assert_eq!(good.len(), 2);
    wait_until("both stand in the list", async || {
        let list = redis.run("LRANGE crawl:auto_record:queue 0 -1").await;
        let mut found: Vec<&str> = list.lines().collect();
        found.sort_by_key(|id| id.parse::<i64>().unwrap_or(0));
        found == good
    })
    .await;
    app.stop().await;
}

/// The address by which the site knows a page is kept, for finding out which pages are the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_canonical_address_is_kept() {
    let site = Site::start().await;
    let page = |declared: &str| {
        Answer::html(&format!(
            r#"<html><head><title>Brass kettle</title><link rel=canonical href="{declared}"><script type="application/ld+json">
            {{"@type": "Product", "name": "Brass kettle", "offers": {{"@type": "Offer", "price": "12.50", "priceCurrency": "NOK"}}}}</script>
            </head><body><h1>Brass kettle</h1></body></html>"#
        ))
    };
    site.put("shop-example.no/a", page("/kettle"));
    site.put(
        "shop-example.no/b",
        page("https://other-example.com/kettle"),
    );
    let app = crawl(&site, &["a", "b"], "").await;
    assert_eq!(
        app.database
            .rows("SELECT url_hash, canonical_url FROM product_url ORDER BY id")
            .await,
        [
            "a|https://shop-example.no/kettle",
            "b|https://shop-example.no/b"
        ]
    );
    app.stop().await;
}

/// PT-1, PT-3: prices and availability in words come out right, through the database.
#[tokio::test(flavor = "multi_thread")]
async fn prices_and_availability_are_read_as_people_read_them() {
    let cases = [
        ("a", "1 299,00 kr", "På lager", "1299.00|InStock"),
        ("b", "kr 19 990,-", "Ikke på lager", "19990|OutOfStock"),
        ("c", "NOK 1.299,00", "Utsolgt", "1299.00|OutOfStock"),
        ("d", "NOK 1,299.00", "0 stk på lager", "1299.00|OutOfStock"),
        ("e", "kr 249,50", "Ikke tilgjengelig", "249.50|OutOfStock"),
    ];
    let site = Site::start().await;
    for (path, price, availability, _) in cases {
        site.put(
            &format!("shop-example.no/{path}"),
            shown(price, availability),
        );
    }
    let paths = cases.map(|(path, ..)| path);
    let app = crawl(&site, &paths, "").await;
    let found = app
        .database
        .rows(
            "SELECT regexp_replace(url, '.*/', ''), price, r.availability FROM crawl_result r JOIN product_url u ON u.id = product_url_id
             WHERE success ORDER BY url",
        )
        .await;
    let expected = cases.map(|(path, _, _, expected)| format!("{path}|{expected}"));
    assert_eq!(found, expected);
    app.stop().await;
}

/// PT-1: a negative price is none, and a price below zero is never recorded as one above it.
#[tokio::test(flavor = "multi_thread")]
async fn a_negative_price_is_a_failed_crawl() {
    let site = Site::start().await;
    site.put("shop-example.no/a", shown("-10.00 kr", "På lager"));
    let app = crawl(&site, &["a"], "").await;
    assert_eq!(
        app.database
            .rows("SELECT success, price, error_class FROM crawl_result ORDER BY attempt")
            .await,
        ["f||extraction", "f||extraction"]
    );
    app.stop().await;
}

/// PT-16, PT-22: every failed attempt is a result with the class of its failure; it is tried again by the job's policy, and
/// only failures to read the page are charged to the site.
#[tokio::test(flavor = "multi_thread")]
async fn failures_are_recorded_retried_and_charged_to_whom_they_belong() {
    let site = Site::start().await;
    site.put(
        "shop-example.no/robots.txt",
        Answer::of("text/plain", "User-agent: *\nDisallow: /private\n"),
    );
    site.put("shop-example.no/down", Answer::status(503));
    site.put("shop-example.no/gone", Answer::status(404));
    site.script(
        "shop-example.no/shaky",
        vec![Answer::status(500), told("10.00", "EUR", "InStock")],
    );
    site.put(
        "shop-example.no/away",
        Answer::redirect("https://other-example.com/"),
    );
    site.put("other-example.com/", told("1.00", "EUR", "InStock"));
    site.put(
        "shop-example.no/picture",
        Answer::of("image/png", "\u{89}PNG"),
    );
    site.put(
        "shop-example.no/blog",
        Answer::html("<title>Blog</title><p>Hi"),
    );
    let app = crawl(
        &site,
        &[
            "down", "gone", "shaky", "away", "picture", "private", "blog",
        ],
        "",
    )
    .await;
    assert_eq!(
        app.database
            .rows(
                "SELECT regexp_replace(url, '.*/', ''), string_agg(concat_ws(' ', attempt, CASE WHEN success THEN 'ok' END, error_class, error), ', ' ORDER BY r.id)
                 FROM crawl_result r JOIN product_url u ON u.id = product_url_id GROUP BY u.id ORDER BY u.id"
            )
            .await,
        [
            "down|1 http server answered 503, 2 http server answered 503",
            "gone|1 http server answered 404",
            "shaky|1 http server answered 500, 2 ok",
            "away|1 http leads to another site (other-example.com)",
            "picture|1 http not HTML (image/png)",
            "private|1 robots disallowed by robots.txt",
            "blog|1 extraction no price was found, 2 extraction no price was found",
        ]
    );
    // Given up for now, coming again at its time; the URL says why.
    assert_eq!(
        app.database
            .rows(
                "SELECT regexp_replace(url, '.*/', ''), crawl_status, failure_count, next_run_at > now() + interval '20 hours', coalesce(u.crawl_error, '-')
                 FROM crawl_job JOIN product_url u ON u.id = product_url_id WHERE url ~ 'down|shaky' ORDER BY u.id"
            )
            .await,
        [
            "down|Error|1|t|server answered 503",
            "shaky|Completed|0|t|-",
        ]
    );
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM price_history")
            .await,
        0
    );
    app.stop().await;
}

/// A switch turned while a job waited holds for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_not_fetched() {
    let site = Site::start().await;
    site.put("shop-example.no/a", told("10.00", "EUR", "InStock"));
    site.put("shop-example.no/b", told("10.00", "EUR", "InStock"));
    let app = crawl(
        &site,
        &["a", "b"],
        "UPDATE product_url SET is_active = false WHERE id = 2;",
    )
    .await;
    assert_eq!(
        app.database
            .rows("SELECT id, crawl_status, coalesce(crawl_error, '') FROM crawl_job ORDER BY id")
            .await,
        [
            "1|Completed|",
            "2|Filtered|its page or site is switched off"
        ]
    );
    assert!(site.hits("shop-example.no/b").is_empty());
    app.stop().await;
}

/// A result that the database refuses is a failure of its job like any other: by the policy's backoff and its attempts, not by
/// the workflow's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_result_is_charged_by_the_job_s_policy() {
    let site = Site::start().await;
    for path in ["a", "b", "c"] {
        let price = if path == "c" { "12.50" } else { "13.13" };
        site.put(
            &format!("shop-example.no/{path}"),
            told(price, "NOK", "https://schema.org/InStock"),
        );
    }
    let sql = jobs(
        &["a", "b", "c"],
        "ALTER TABLE crawl_result ADD CONSTRAINT superstition CHECK (price <> 13.13);
         INSERT INTO crawl_policy (name, selection, target, max_retries, retry_backoff)
             VALUES ('once', 'url_regex', '/a$', 1, '1 millisecond'), ('slowly', 'url_regex', '/b$', 3, '2 hours');
         UPDATE crawl_job SET max_retries = 1 WHERE id = 1;
         UPDATE crawl_job SET max_retries = 3, retry_backoff = '2 hours' WHERE id = 2;",
    );
    let app = start(&site, &["price-fetch"], &sql, |_| ()).await;
    wait_until("each has been worked", async || {
        let sql = "SELECT count(*) FROM crawl_job WHERE crawl_attempts = 1 AND crawl_lease IS NULL";
        app.database.count(sql).await == 3
    })
    .await;
    assert_eq!(
        app.database
            .rows(
                "SELECT id, crawl_status, crawl_attempts, crawl_due_at BETWEEN now() + interval '119 minutes' AND now() + interval '121 minutes',
                     crawl_error LIKE 'store: %superstition%'
                 FROM crawl_job ORDER BY id"
            )
            .await,
        ["1|Error|1||t", "2|Queued|1|t|t", "3|Completed|1||"]
    );
    app.stop().await;
}

//! Patterns: learnt, tried, versioned, repaired; and the flags that tell of them.

use crate::cli::gleaner;
use crate::support::TestApp;
use crate::support::app::start;
use crate::support::site::{Answer, Site};

/// A site whose pages show prices in a way that is its own, with these jobs; retries come at once.
fn jobs(count: usize) -> String {
    format!(
        "INSERT INTO crawl_policy (name, selection, max_retries) VALUES ('once', 'all', 1);
         INSERT INTO site (domain, currency) VALUES ('shop-example.no', 'NOK');
         INSERT INTO product_url (site_id, raw_url, url, url_hash)
             SELECT 1, 'https://shop-example.no/' || n, 'https://shop-example.no/' || n, n::text FROM generate_series(1, {count}) AS n;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff)
             SELECT id, 1, 1, '1 millisecond' FROM product_url ORDER BY id;"
    )
}

/// A page that says its price only in an attribute with a name of the site's own.
fn odd(price: &str) -> Answer {
    Answer::html(&format!(
        "<html lang=nb><title>Messingkjele</title><h1>Messingkjele</h1>
         <div class=kalkyle data-varenr=47><em class=belop-inkl data-belop='{price}'>Se pris i kassen</em></div></html>"
    ))
}

/// A page that everybody can read.
fn plain(price: &str) -> Answer {
    Answer::html(&format!(
        r#"<html lang=nb><title>Messingkjele</title><script type="application/ld+json">{{"@type": "Product", "name": "Messingkjele",
        "offers": {{"price": "{price}", "priceCurrency": "NOK"}}}}</script><h1>Messingkjele</h1><p class=belop-inkl>{price} kr</p>"#
    ))
}

async fn work(app: &TestApp) {
    app.wait_settled("crawl_job", "crawl").await;
    app.wait_settled("site", "pattern").await;
}

async fn crawl_all(app: &TestApp) {
    app.database
        .run("UPDATE crawl_job SET crawl_status = 'Queued'")
        .await;
    work(app).await;
}

const VERSIONS: &str =
    "SELECT version, status, source, reason FROM extraction_pattern ORDER BY version";

/// PT-19, PT-23: three failures in a row start a repair; it is tried on several pages before it is used; the pages are read
/// by it from then on, and the flag closes.
#[tokio::test(flavor = "multi_thread")]
async fn three_failures_in_a_row_start_a_repair() {
    let site = Site::start().await;
    for (page, price) in [("1", "100.00"), ("2", "250.50"), ("3", "75.00")] {
        site.put(&format!("shop-example.no/{page}"), plain(price));
    }
    let app = start(
        &site,
        &["price-fetch", "pattern-generation"],
        &jobs(3),
        |_| (),
    )
    .await;
    crawl_all(&app).await;
    // As the recording would have it.
    app.database
        .run("UPDATE product_url u SET current_price = r.price, current_currency = r.currency FROM crawl_result r WHERE r.product_url_id = u.id")
        .await;
    assert_eq!(
        app.database
            .rows("SELECT coalesce(pattern_status, 'none'), extraction_failures FROM site")
            .await,
        ["none|0"]
    );
    // The site has a new face.
    for (page, price) in [("1", "100.00"), ("2", "250.50"), ("3", "75.00")] {
        site.put(&format!("shop-example.no/{page}"), odd(price));
    }
    crawl_all(&app).await;
    assert_eq!(
        app.database.rows(VERSIONS).await,
        ["1|active|generated|the price was found on 3 of 3 pages"]
    );
    assert_eq!(
        app.database
            .rows("SELECT pattern_status, extraction_failures FROM site")
            .await,
        ["Completed|0"]
    );
    crawl_all(&app).await;
    assert_eq!(
        app.database
            .rows("SELECT price, currency, price_sources, pattern_id IS NOT NULL FROM crawl_result WHERE success AND attempt = 1 AND id > 6 ORDER BY price")
            .await,
        [
            "75.00|NOK|{pattern}|t",
            "100.00|NOK|{pattern}|t",
            "250.50|NOK|{pattern}|t",
        ]
    );
    app.stop().await;
}

/// PT-19, PT-23: a site that cannot be learnt gets a flag, not a pattern; the flag closes itself when it is read well again.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_learnt_is_flagged_until_it_is_read_again() {
    let site = Site::start().await;
    site.fallback(
        "shop-example.no",
        Answer::html("<title>Shop</title><p>Soon"),
    );
    let app = start(
        &site,
        &["price-fetch", "pattern-generation"],
        &jobs(3),
        |_| (),
    )
    .await;
    crawl_all(&app).await;
    let flags = "SELECT kind, status, message, coalesce(resolved_by, '') FROM flag ORDER BY id";
    assert_eq!(
        app.database.rows(flags).await,
        ["pattern_generation_failed|pending|no selector finds the price on the 3 stored pages|"]
    );
    assert!(app.database.rows(VERSIONS).await.is_empty());
    site.fallback("shop-example.no", plain("10.00"));
    crawl_all(&app).await;
    let ran = gleaner(Some(&app.database), &["flags", "--check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "no flags\n"));
    assert_eq!(
        app.database.rows(flags).await,
        [
            "pattern_generation_failed|resolved|no selector finds the price on the 3 stored pages|gleaner"
        ]
    );
    app.stop().await;
}

const PATTERN: &str = r#"{"store_domain": "shop-example.no", "patterns":
    {"price": {"primary": {"type": "css", "selector": ".belop-inkl", "confidence": 0.9}, "fallbacks": []}}}"#;

/// A site with an active pattern, and so many results of these kinds, the newest last.
fn results(kinds: &[(&str, usize)]) -> String {
    let mut sql = format!(
        "{}INSERT INTO extraction_pattern (site_id, version, status, pattern) VALUES (1, 1, 'active', '{PATTERN}');",
        jobs(1)
    );
    for (kind, count) in kinds {
        let (success, sources, class) = match *kind {
            "read" => ("true", "'{pattern,jsonld}'", "NULL"),
            "missed" => ("true", "'{jsonld}'", "NULL"),
            "failed" => ("false", "'{}'", "'extraction'"),
            "offline" => ("false", "'{}'", "'network'"),
            "limited" => ("false", "'{}'", "'http'"),
            other => panic!("{other}"),
        };
        sql.push_str(&format!(
            "INSERT INTO crawl_result (product_url_id, site_id, pattern_id, success, price_sources, error_class, error)
                 SELECT 1, 1, 1, {success}, {sources}, {class}, 'server answered 429' FROM generate_series(1, {count});"
        ));
    }
    sql
}

/// PT-22: health is judged by what is recent, and by what is the pattern's own fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_is_judged_by_its_own_recent_results() {
    for (what, kinds, expected) in [
        ("too few", &[("failed", 9)][..], &[][..]),
        (
            "bad",
            &[("read", 3), ("failed", 7)],
            &["pattern_low_confidence"],
        ),
        (
            "passed over",
            &[("read", 3), ("missed", 7)],
            &["pattern_low_confidence"],
        ),
        ("just good enough", &[("read", 6), ("failed", 4)], &[]),
        ("offline", &[("read", 5), ("offline", 50)], &[]),
        ("limited", &[("limited", 3)], &["store_rate_limited"]),
    ] {
        let database = crate::support::TestDatabase::new().await;
        database.run(&results(kinds)).await;
        let ran = gleaner(Some(&database), &["flags", "--check", "--json"]);
        let flags = ran.json();
        let kinds: Vec<&str> = flags
            .as_array()
            .unwrap()
            .iter()
            .map(|flag| flag["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, expected, "{what}");
    }
}

/// PT-22: ten thousand good results of old do not hide what is broken now. PT-23: flags are opened once, and close themselves.
#[tokio::test(flavor = "multi_thread")]
async fn what_broke_lately_is_seen_once_and_repaired() {
    let database = crate::support::TestDatabase::new().await;
    database
        .run(&format!(
            "{} UPDATE crawl_result SET crawled_at = now() - interval '1 day';
             INSERT INTO crawl_result (product_url_id, site_id, pattern_id, success, error_class) SELECT 1, 1, 1, false, 'validation' FROM generate_series(1, 60);
             UPDATE crawl_job SET failure_count = 3; UPDATE product_url SET crawl_error = 'no price was found',
                 current_price = 100, held_price = 1, held_currency = 'NOK', held_at = now() - interval '2 hours';",
            results(&[("read", 10_000)])
        ))
        .await;
    for _ in 0..2 {
        gleaner(Some(&database), &["flags", "--check"]);
        assert_eq!(
            database
                .rows("SELECT kind, status, message FROM flag ORDER BY kind")
                .await,
            [
                "fetch_failing_repeatedly|pending|1 pages fail again and again, for example: no price was found",
                "pattern_low_confidence|pending|the pattern found the price on 0 of the last 50 pages",
                "price_jump|pending|the price jumped from 100 to 1 NOK and is held",
            ]
        );
    }
    assert_eq!(
        database.rows("SELECT pattern_status FROM site").await,
        ["Queued"]
    );
    // It recovers.
    database
        .run(
            "INSERT INTO crawl_result (product_url_id, site_id, pattern_id, success, price_sources, crawled_at)
                 SELECT 1, 1, 1, true, '{pattern}', now() + interval '1 second' FROM generate_series(1, 40);
             UPDATE crawl_job SET failure_count = 0; UPDATE product_url SET held_price = NULL",
        )
        .await;
    gleaner(Some(&database), &["flags", "--check"]);
    assert_eq!(
        database
            .rows("SELECT DISTINCT status, resolved_by FROM flag")
            .await,
        ["resolved|gleaner"]
    );
}

/// Versions are kept, shown and taken back.
#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_set_and_rolled_back() {
    let database = crate::support::TestDatabase::new().await;
    database.run(&jobs(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let first = file("first.json", PATTERN);
    let second = file("second.json", &PATTERN.replace(".belop-inkl", ".pris"));
    let broken = file(
        "broken.json",
        r#"{"store_domain": "x", "patterns": {"price": {}}}"#,
    );
    let site = "shop-example.no";
    for path in [&first, &second] {
        let ran = gleaner(Some(&database), &["pattern", "set", site, path]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = gleaner(Some(&database), &["pattern", "set", site, &broken]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("price"), "{ran:?}");
    let shown = gleaner(Some(&database), &["pattern", "show", site]).stdout;
    assert!(shown.contains(".pris"), "{shown}");

    for expected in [".belop-inkl", ".pris"] {
        let ran = gleaner(Some(&database), &["pattern", "rollback", site]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let shown = gleaner(Some(&database), &["pattern", "show", site]).stdout;
        assert!(shown.contains(expected), "{shown}");
    }
    assert_eq!(
        database
            .rows("SELECT version, status, source FROM extraction_pattern ORDER BY version")
            .await,
        [
            "1|retired|manual",
            "2|retired|manual",
            "3|retired|rollback",
            "4|active|rollback",
        ]
    );
    let ran = gleaner(Some(&database), &["pattern", "list", site]);
    assert!(ran.stdout.contains("back to version 1"), "{ran:?}");
    for arguments in [
        &["pattern", "show", "elsewhere.no"][..],
        &["pattern", "show", site, "9"],
    ] {
        assert_eq!(gleaner(Some(&database), arguments).code, 2);
    }
}

//! `crawl_job/crawl` of sites whose pages need a browser, with the whole program around it.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::app::start;
use crate::support::browser::{alone, browser, browser_of, render_config};
use crate::support::site::{Answer, Site};
use crate::support::wait::wait_until_by;
use crate::support::{TestApp, TestDatabase};

/// A page whose price is written by a script.
const WRITTEN: &str = r#"<html lang=nb><head><title>Messingkjele</title></head><body><h1>Messingkjele</h1><div id=offer></div>
    <script>fetch('/price.json').then((answer) => answer.json()).then((found) => {
        const data = document.createElement('script');
        data.type = 'application/ld+json';
        data.textContent = JSON.stringify({'@type': 'Product', name: 'Messingkjele',
            offers: {'@type': 'Offer', price: found.price, priceCurrency: 'NOK', availability: 'https://schema.org/InStock'}});
        document.head.append(data);
    })</script></body></html>"#;

/// A site whose pages need a browser, with one of them queued.
const SITE: &str =
    "INSERT INTO crawl_policy (name, selection, max_retries, retry_backoff) VALUES ('at once', 'all', 2, '1 millisecond');
     INSERT INTO site (domain, render) VALUES ('shop-example.no', true);
     INSERT INTO product_url (site_id, raw_url, url, url_hash)
         VALUES (1, 'https://shop-example.no/kettle', 'https://shop-example.no/kettle', 'kettle');
     INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff) VALUES (1, 1, 2, '1 millisecond');
     UPDATE crawl_job SET crawl_status = 'Queued';";

/// A secret of the operator's, which no child is given.
const PLANTED: &str = "planted-hunter2";

async fn site() -> Site {
    let site = Site::start().await;
    site.put("shop-example.no/kettle", Answer::html(WRITTEN));
    site.put(
        "shop-example.no/price.json",
        Answer::json(r#"{"price": "1299.00"}"#),
    );
    site
}

async fn results(app: &TestApp) -> Vec<String> {
    app.database
        .rows("SELECT attempt, success, price, currency, error_class, error FROM crawl_result ORDER BY id")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_a_script_writes_is_recorded() {
    let Some(render) = render_config() else {
        return;
    };
    let _alone = alone().await;
    let site = site().await;
    let app = start(&site, &["price-fetch", "auto-record"], SITE, |config| {
        config.render = render;
    })
    .await;
    app.wait_settled("crawl_job", "crawl").await;
    assert_eq!(results(&app).await, ["1|t|1299.00|NOK||"]);
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(
        app.database
            .rows("SELECT price, currency FROM price_history")
            .await,
        ["1299.00|NOK"]
    );
    // The page is kept as it was read, for patterns.
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM product_page WHERE length(body) > 100")
            .await,
        1
    );
    let seen = browser().unwrap();
    let (_, _database) = app.stop().await;
    assert_eq!(browser(), None);
    seen.wait_nothing_left().await;
}

/// Killed with the page in hand: the attempt is a result that says so, and the next one succeeds in another browser.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_browser_is_killed_is_tried_again() {
    let Some(render) = render_config() else {
        return;
    };
    let _alone = alone().await;
    let site = site().await;
    site.script(
        "shop-example.no/kettle",
        vec![
            Answer::html("<html><script src=/begun></script><script>for (;;) {}</script></html>"),
            Answer::html(WRITTEN),
        ],
    );
    let app = start(&site, &["price-fetch"], SITE, |config| {
        config.render = render;
    })
    .await;
    wait_until_by(
        "the page is in the browser",
        Duration::from_secs(40),
        async || !site.hits("shop-example.no/begun").is_empty(),
    )
    .await;
    browser().unwrap().kill();
    app.wait_settled("crawl_job", "crawl").await;
    assert_eq!(
        results(&app).await,
        [
            "1|f|||render|the browser ended (crashed)",
            "2|t|1299.00|NOK||"
        ]
    );
    app.stop().await;
}

/// With rendering switched off a page that needs it is never read as if it did not, and the result says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn with_rendering_off_such_pages_fail_and_say_so() {
    let _alone = alone().await;
    let site = site().await;
    let app = start(&site, &["price-fetch"], SITE, |_| ()).await;
    app.wait_settled("crawl_job", "crawl").await;
    let found = results(&app).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("1|f|||render|its pages need a browser")
            && found[0].contains("set render.enabled = true"),
        "{found:?}"
    );
    assert!(site.hits("shop-example.no/kettle").is_empty());
    app.stop().await;
}

/// A program that is killed cannot clean up: its browser ends by itself, and the next one removes what is left.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_program_that_is_killed() {
    if render_config().is_none() {
        return;
    }
    let _alone = alone().await;
    let site = site().await;
    let database = TestDatabase::new().await;
    database.run(SITE).await;
    let mut first = program(&database, &site);
    wait_until_by("there is a price", Duration::from_secs(40), async || {
        database
            .count("SELECT count(*) FROM crawl_result WHERE success")
            .await
            > 0
    })
    .await;
    let seen = browser_of(first.id()).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", seen.pid)).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("HOME="), "{environment}");
    assert!(!environment.contains(PLANTED), "{environment}");
    first.kill().unwrap();
    first.wait().unwrap();
    seen.wait_gone().await;

    database
        .run("UPDATE crawl_job SET crawl_status = 'Queued'")
        .await;
    let mut second = program(&database, &site);
    wait_until_by(
        "the profile is swept",
        Duration::from_secs(40),
        async || !seen.profile.exists(),
    )
    .await;
    second.kill().unwrap();
    second.wait().unwrap();
}

fn program(database: &TestDatabase, site: &Site) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GLEANER_") {
            command.env_remove(name);
        }
    }
    command
        .args([
            "run",
            "--only",
            "price-fetch",
            "--database-url",
            database.url(),
        ])
        .env("GLEANER_HTTP__LISTEN", "")
        .env("GLEANER_HTTP__ADMIN_TOKEN", PLANTED)
        .env("SHOP_API_KEY", PLANTED)
        .env("GLEANER_RENDER__ENABLED", "true")
        .env("GLEANER_FETCH__PROXY_HOSTS_TO", site.address.to_string())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Shops whose price comes from their API by GET, from a script of a CDN, from an API that is sent to, or that has a domain of its
/// own: the first two as they are, the others with the leave that an operator gives them.
#[tokio::test(flavor = "multi_thread")]
async fn prices_from_apis_and_cdns_are_recorded() {
    /// A page that shows the price which this expression comes to.
    fn page(price: &str) -> Answer {
        Answer::html(&format!(
            "<html><head><title>Kettle</title></head><body><h1>Kettle</h1><script>{price}.then((found) => {{
                 const data = document.createElement('script');
                 data.type = 'application/ld+json';
                 data.textContent = JSON.stringify({{'@type': 'Product', name: 'Kettle',
                     offers: {{'@type': 'Offer', price: found.price, priceCurrency: 'EUR'}}}});
                 document.head.append(data);
             }})</script></body></html>"
        ))
    }
    let Some(render) = render_config() else {
        return;
    };
    let _alone = alone().await;
    let site = Site::start().await;
    let price = Answer::json(r#"{"price": "19.90"}"#).with("access-control-allow-origin", "*");
    let json = ".then((answer) => answer.json())";
    let post =
        "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{\"sku\": 7}'}";
    for (shop, script) in [
        (
            "get-example.no",
            format!("fetch('https://api.get-example.no/price'){json}"),
        ),
        (
            "cdn-example.no",
            "import('https://static-example.net/price.js')".to_owned(),
        ),
        (
            "post-example.no",
            format!("fetch('https://api.post-example.no/price', {post}){json}"),
        ),
        (
            "sent-example.no",
            format!("fetch('https://api.sent-example.no/price', {post}){json}"),
        ),
        (
            "named-example.no",
            format!("fetch('https://api-example.net/price', {post}){json}"),
        ),
    ] {
        site.put(&format!("{shop}/kettle"), page(&script));
        site.put(&format!("api.{shop}/price"), price.clone());
    }
    site.put("api-example.net/price", price.clone());
    site.put(
        "static-example.net/price.js",
        Answer::of("text/javascript", "export const price = '19.90'")
            .with("access-control-allow-origin", "*"),
    );
    let set = "INSERT INTO site (domain, render, render_post, render_hosts) VALUES
             ('get-example.no', true, false, '{}'), ('cdn-example.no', true, false, '{}'), ('post-example.no', true, true, '{}'),
             ('sent-example.no', true, false, '{}'), ('named-example.no', true, true, '{api-example.net}');
         INSERT INTO crawl_policy (name, selection, max_retries, retry_backoff) VALUES ('once', 'all', 1, '1 millisecond');
         INSERT INTO product_url (site_id, raw_url, url, url_hash)
             SELECT id, 'https://' || domain || '/kettle', 'https://' || domain || '/kettle', domain FROM site;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff)
             SELECT id, site_id, 1, '1 millisecond' FROM product_url;
         UPDATE crawl_job SET crawl_status = 'Queued'";
    let app = start(&site, &["price-fetch"], set, |config| {
        config.render = render;
    })
    .await;
    app.wait_settled("crawl_job", "crawl").await;
    assert_eq!(
        app.database
            .rows(
                "SELECT domain, success, crawl_result.price FROM crawl_result
                 JOIN product_url ON product_url.id = product_url_id JOIN site ON site.id = product_url.site_id ORDER BY site.id"
            )
            .await,
        [
            "get-example.no|t|19.90",
            "cdn-example.no|t|19.90",
            "post-example.no|t|19.90",
            "sent-example.no|f|",
            "named-example.no|t|19.90",
        ]
    );
    assert!(site.hits("api.sent-example.no").is_empty());
    app.stop().await;
}

//! Where a request for a page leads, and in which encoding it is: the same answer for leads and for prices.

use crate::support::app::start;
use crate::support::site::{Answer, Site};

/// Pages at these addresses, queued for leads and for prices.
fn pages(urls: &[String]) -> String {
    format!(
        "CREATE TEMP TABLE asked AS SELECT url, n, regexp_replace(url, '^https://([^/]+)/.*', '\\1') AS host
             FROM unnest('{{{}}}'::text[]) WITH ORDINALITY AS listed(url, n);
         INSERT INTO domain (domain, registrable_domain) SELECT DISTINCT host, host FROM asked;
         INSERT INTO page (domain_id, url, status) SELECT id, url, 'Selected' FROM asked JOIN domain ON domain = host ORDER BY n;
         INSERT INTO crawl_policy (name, selection, max_retries, retry_backoff) VALUES ('once', 'all', 1, '1 millisecond');
         INSERT INTO site (domain) SELECT DISTINCT host FROM asked;
         INSERT INTO product_url (site_id, raw_url, url, url_hash) SELECT id, url, url, url FROM asked JOIN site ON domain = host ORDER BY n;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff)
             SELECT id, site_id, 1, '1 millisecond' FROM product_url ORDER BY id;
         UPDATE crawl_job SET crawl_status = 'Queued';",
        urls.join(",")
    )
}

/// A page that sells something, without a word on its encoding.
fn product(name: &str) -> String {
    format!(
        r#"<html><head><title>{name}</title><script type="application/ld+json">{{"@type": "Product", "name": "{name}",
        "offers": {{"@type": "Offer", "price": "12.50", "priceCurrency": "EUR"}}}}</script></head><body><h1>{name}</h1></body></html>"#
    )
}

/// What stands on the site that a domain was forwarded to is not the domain's.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_page_on_another_site_tells_nothing_about_the_domain() {
    let home = || {
        Answer::html("<title>Home</title><a href='mailto:hello@kettle-example.com'>Write to us</a>")
    };
    let market = Answer::html(
        "<title>This domain is for sale</title><meta name=generator content='WordPress 6.4.2'>
         <a href='mailto:sales@market-example.net'>Buy</a> <a href='tel:+442079460018'>Call</a>
         <a href='https://www.instagram.com/market/'>Instagram</a>",
    );
    let site = Site::start().await;
    site.put("www.market-example.net/for-sale", market);
    site.put(
        "www.market-example.net/paper",
        Answer::of("application/pdf", "%PDF-1.7"),
    );
    site.put(
        "www.market-example.net/back",
        Answer::redirect("https://back-example.com/home"),
    );
    let elsewhere = "Filtered|1|leads to another site";
    let cases = [
        (
            "abroad-example.com",
            "https://abroad-example.de/",
            format!("{elsewhere} (abroad-example.de)||||https://abroad-example.de/"),
        ),
        (
            "back-example.com",
            "https://www.market-example.net/back",
            "Completed|1||Home|{hello@kettle-example.com}|f|https://back-example.com/home"
                .to_owned(),
        ),
        (
            "paper-example.com",
            "https://www.market-example.net/paper",
            format!("{elsewhere} (www.market-example.net)||||https://www.market-example.net/paper"),
        ),
        (
            "path-example.com",
            "/en/home",
            "Completed|1||Home|{hello@kettle-example.com}|f|https://path-example.com/en/home"
                .to_owned(),
        ),
        (
            "plain-example.com",
            "http://plain-example.com/start",
            "Completed|1||Home|{hello@kettle-example.com}|f|http://plain-example.com/start"
                .to_owned(),
        ),
        (
            "sold-example.com",
            "http://www.market-example.net/for-sale?domain=sold-example.com",
            format!(
                "{elsewhere} (www.market-example.net)||||http://www.market-example.net/for-sale?domain=sold-example.com"
            ),
        ),
        (
            "sub-example.com",
            "https://shop.sub-example.com/",
            "Completed|1||Home|{hello@kettle-example.com}|f|https://shop.sub-example.com/"
                .to_owned(),
        ),
        (
            "with-example.com",
            "https://www.with-example.com/",
            "Completed|1||Home|{hello@kettle-example.com}|f|https://www.with-example.com/"
                .to_owned(),
        ),
    ];
    for (host, to, _) in &cases {
        site.put(&format!("{host}/"), Answer::redirect(to));
    }
    for place in [
        "abroad-example.de/",
        "back-example.com/home",
        "path-example.com/en/home",
        "plain-example.com/start",
        "shop.sub-example.com/",
        "www.with-example.com/",
    ] {
        site.put(place, home());
    }
    let hosts = cases.each_ref().map(|(host, ..)| *host).join(",");
    let app = start(
        &site,
        &["domain-metadata"],
        // The one that was sold had a home page of its own when it was last looked at.
        &format!(
            "INSERT INTO domain (domain, registrable_domain, title, email_addresses, phone_numbers, instagram_url, is_wordpress, metadata_status)
             SELECT d, d, 'Old', '{{old@example.com}}', '{{+442079460999}}', 'https://www.instagram.com/old', true, 'Queued'
             FROM unnest('{{{hosts}}}'::text[]) AS d"
        ),
        |_| (),
    )
    .await;
    app.wait_settled("domain", "metadata").await;
    let found = app
        .database
        .rows(
            "SELECT metadata_status, metadata_attempts, metadata_error, title, email_addresses, is_wordpress, home_url
             FROM domain ORDER BY domain",
        )
        .await;
    assert_eq!(found, cases.map(|(.., expected)| expected));
    assert_eq!(
        app.database
            .count(
                "SELECT count(*) FROM domain WHERE metadata_status = 'Filtered'
                 AND coalesce(description, language, tech_stack::text, phone_numbers::text, instagram_url) IS NOT NULL"
            )
            .await,
        0
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_judged_alike_for_leads_and_for_prices() {
    let site = Site::start().await;
    for (path, to) in [
        ("path", "/kettle"),
        ("www", "https://www.kettle-example.com/kettle"),
        ("sub", "https://shop.kettle-example.com/kettle"),
        ("abroad", "https://kettle-example.de/kettle"),
        ("away", "https://pot-example.com/kettle"),
        ("file", "/kettle.pdf"),
    ] {
        site.put(&format!("kettle-example.com/{path}"), Answer::redirect(to));
    }
    for host in [
        "kettle-example.com",
        "www.kettle-example.com",
        "shop.kettle-example.com",
        "kettle-example.de",
        "pot-example.com",
    ] {
        site.put(&format!("{host}/kettle"), Answer::html(&product("Kettle")));
    }
    site.put(
        "kettle-example.com/kettle.pdf",
        Answer::of("application/pdf", "%PDF-1.7"),
    );
    let urls = ["path", "www", "sub", "abroad", "away", "file"]
        .map(|path| format!("https://kettle-example.com/{path}"));
    let app = start(
        &site,
        &["page-curation", "price-fetch"],
        &pages(&urls),
        |_| (),
    )
    .await;
    app.wait_settled("page", "curation").await;
    app.wait_settled("crawl_job", "crawl").await;
    let expected = [
        "",
        "",
        "",
        "leads to another site (kettle-example.de)",
        "leads to another site (pot-example.com)",
        "not HTML (application/pdf)",
    ];
    let leads = "SELECT coalesce(curation_error, '') FROM page ORDER BY id";
    assert_eq!(app.database.rows(leads).await, expected);
    let prices = "SELECT coalesce(error, '') FROM crawl_result ORDER BY product_url_id";
    assert_eq!(app.database.rows(prices).await, expected);
    app.stop().await;
}

/// What nothing declares is guessed, and the country of the host is the best hint there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_encoding_is_guessed_alike_for_leads_and_for_prices() {
    let cases = [
        ("kettle-example.cn", encoding_rs::GBK, "茶壶"),
        ("kettle-example.cz", encoding_rs::ISO_8859_2, "Čaj"),
        ("kettle-example.jp", encoding_rs::SHIFT_JIS, "やかん"),
        ("kettle-example.ru", encoding_rs::WINDOWS_1251, "Чайник"),
    ];
    let site = Site::start().await;
    for (host, encoding, name) in cases {
        let text = product(name);
        let (bytes, _, is_lossy) = encoding.encode(&text);
        assert!(!is_lossy, "{name}");
        let page = Answer::of("text/html", bytes);
        site.put(&format!("{host}/"), page.clone());
        site.put(&format!("{host}/kettle"), page);
    }
    let urls = cases.map(|(host, ..)| format!("https://{host}/kettle"));
    let app = start(
        &site,
        &["domain-metadata", "page-curation", "price-fetch"],
        &format!(
            "{} UPDATE domain SET metadata_status = 'Queued';",
            pages(&urls)
        ),
        |_| (),
    )
    .await;
    app.wait_settled("domain", "metadata").await;
    app.wait_settled("page", "curation").await;
    app.wait_settled("crawl_job", "crawl").await;
    let expected = cases.map(|(.., name)| name);
    for sql in [
        "SELECT title FROM domain ORDER BY domain",
        "SELECT title FROM page ORDER BY url",
        "SELECT r.title FROM crawl_result r JOIN product_url u ON u.id = r.product_url_id ORDER BY u.url",
    ] {
        assert_eq!(app.database.rows(sql).await, expected, "{sql}");
    }
    app.stop().await;
}

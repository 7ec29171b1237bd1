//! Pages whose values the database could not take as they are, and servers that ask for odd waits: never a loop, nothing lost.

use crate::support::app::start;
use crate::support::site::{Answer, Site};

/// NUL in every text of the data, and texts far longer than anything that is indexed may be.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_row_could_hold_poison_none() {
    let long = |length: usize| -> String {
        // Random enough that it does not shrink when it is packed.
        let signs = (0..length).map(|n| n.wrapping_mul(2_654_435_761) >> 7);
        signs
            .map(|sign| char::from(b'a' + u8::try_from(sign % 26).unwrap_or(0)))
            .collect()
    };
    let page = |name: &str, brand: &str, sku: &str| {
        Answer::html(&format!(
            r#"<html lang=en><head><title>{name}</title><meta name=description content="{brand}"><script type="application/ld+json">[
            {{"@type": "Product", "name": "{name}", "brand": "{brand}", "sku": "{sku}", "description": "{name}", "image": "https://kettle-example.com/{sku}",
            "offers": {{"@type": "Offer", "price": "19.99", "priceCurrency": "EUR"}}}},
            {{"@type": "LocalBusiness", "name": "{name}", "telephone": "+44 20 7946 0018\u0000",
            "address": {{"@type": "PostalAddress", "streetAddress": "{name}"}}}}]</script></head><body><h1>{name}</h1></body></html>"#
        ))
    };
    let site = Site::start().await;
    let (name, brand) = (long(200_000), long(9_000));
    for (path, answer) in [
        ("", page("Kettle", "Acme", "1")),
        ("nul", page(r"Kettle\u0000", r"\u0000Acme", r"a\u0000b")),
        ("raw", page("Kettle\0", "A\0cme", "a\0b")),
        ("long", page(&name, &brand, &brand)),
    ] {
        site.put(&format!("kettle-example.com/{path}"), answer);
    }
    let urls = ["nul", "raw", "long"]
        .map(|path| format!("https://kettle-example.com/{path}"))
        .join(",");
    let sql = format!(
        "INSERT INTO domain (domain, registrable_domain, metadata_status) VALUES ('kettle-example.com', 'kettle-example.com', 'Queued');
         INSERT INTO page (domain_id, url, curation_status) SELECT 1, url, 'Queued' FROM unnest('{{{urls}}}'::text[]) AS url;
         INSERT INTO site (domain) VALUES ('kettle-example.com');
         INSERT INTO product DEFAULT VALUES;
         INSERT INTO product_url (site_id, raw_url, url, url_hash, product_id) SELECT 1, url, url, url, 1 FROM unnest('{{{urls}}}'::text[]) AS url;
         INSERT INTO crawl_job (product_url_id, site_id) SELECT id, 1 FROM product_url ORDER BY id;
         UPDATE crawl_job SET crawl_status = 'Queued'"
    );
    let names = ["domain-metadata", "page-curation", "price-fetch"];
    let app = start(&site, &names, &sql, |_| ()).await;
    app.wait_settled("domain", "metadata").await;
    app.wait_settled("page", "curation").await;
    app.wait_settled("crawl_job", "crawl").await;
    let rows = async |sql| app.database.rows(sql).await;
    let once = |count: usize| vec!["Completed|1".to_owned(); count];
    assert_eq!(
        rows("SELECT metadata_status, metadata_attempts FROM domain").await,
        once(1)
    );
    assert_eq!(
        rows("SELECT curation_status, curation_attempts FROM page ORDER BY id").await,
        once(3)
    );
    assert_eq!(
        rows("SELECT success, price, attempt FROM crawl_result ORDER BY id").await,
        vec!["t|19.99|1"; 3]
    );
    app.stop().await;
}

/// What `Retry-After` says that is none is as if it said nothing.
#[tokio::test(flavor = "multi_thread")]
async fn odd_waits_are_none() {
    let site = Site::start().await;
    let waits = [
        "-5",
        "1.5",
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "soon",
        "",
        "1e3",
    ];
    let hosts: Vec<String> = (0..waits.len())
        .map(|n| format!("wait{n}-example.com"))
        .collect();
    for (host, wait) in hosts.iter().zip(waits) {
        site.script(
            &format!("{host}/"),
            vec![
                Answer::status(429).with("retry-after", wait),
                Answer::html("<title>Kettles</title>"),
            ],
        );
    }
    let listed = hosts.join(",");
    let sql = format!(
        "INSERT INTO domain (domain, registrable_domain, metadata_status) SELECT d, d, 'Queued' FROM unnest('{{{listed}}}'::text[]) AS d"
    );
    let app = start(&site, &["domain-metadata"], &sql, |_| ()).await;
    app.wait_settled("domain", "metadata").await;
    assert_eq!(
        app.database
            .rows("SELECT metadata_status, metadata_attempts, title FROM domain ORDER BY id")
            .await,
        vec!["Completed|2|Kettles"; waits.len()]
    );
    app.stop().await;
}

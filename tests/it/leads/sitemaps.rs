//! `domain/sitemap` and `sitemap_file/import`.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fmt::Write as _;
use std::io::Write as _;

use gleaner::config::Config;
use gleaner::leads::sitemap_import::SitemapImport;

use crate::support::TestApp;
use crate::support::app::start;
use crate::support::site::{Answer, Site};

const HOST: &str = "kettle-example.com";
const NAMESPACE: &str = "http://www.sitemaps.org/schemas/sitemap/0.9";
const DOMAIN: &str = "INSERT INTO domain (domain, registrable_domain, sitemap_status) VALUES ('kettle-example.com', 'kettle-example.com', 'Queued')";
const SITEMAPS: &str = "SELECT regexp_replace(url, '^https://kettle-example.com', ''), sitemap_type, discovery_method, depth, url_count, import_status \
    FROM sitemap_file ORDER BY url";

/// Both stages, nothing fetched beyond.
async fn scan(site: &Site, change: impl FnOnce(&mut Config)) -> TestApp {
    let app = start(
        site,
        &["sitemap-discovery", "sitemap-import"],
        DOMAIN,
        change,
    )
    .await;
    app.wait_settled("domain", "sitemap").await;
    app.wait_settled("sitemap_file", "import").await;
    app
}

fn urlset(paths: impl IntoIterator<Item = String>) -> String {
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"{NAMESPACE}\">");
    for path in paths {
        write!(text, "<url><loc>https://{HOST}{path}</loc></url>").unwrap();
    }
    text + "</urlset>"
}

fn index(paths: &[&str]) -> String {
    let mut text = format!("<?xml version=\"1.0\"?><sm:sitemapindex xmlns:sm=\"{NAMESPACE}\">");
    for path in paths {
        write!(
            text,
            "<sm:sitemap><sm:loc>https://{HOST}{path}</sm:loc></sm:sitemap>"
        )
        .unwrap();
    }
    text + "</sm:sitemapindex>"
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn site_with(files: &[(&str, Answer)], site: &Site) {
    site.put(
        &format!("{HOST}/"),
        Answer::html("<title>Brass Kettle</title>"),
    );
    for (path, answer) in files {
        site.put(&format!("{HOST}{path}"), answer.clone());
    }
}

fn robots(path: &str) -> Answer {
    Answer::of(
        "text/plain",
        format!("User-agent: *\nDisallow: /admin\nSitemap: https://{HOST}{path}\n"),
    )
}

/// F4, and F9: a second scan adds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespaced_index_of_two_gives_three_sitemaps_and_ten_pages() {
    let site = Site::start().await;
    site_with(
        &[
            ("/robots.txt", robots("/index.xml")),
            ("/index.xml", Answer::xml(index(&["/a.xml", "/b.xml"]))),
            (
                "/a.xml",
                Answer::xml(urlset((1..=5).map(|n| format!("/a/{n}")))),
            ),
            (
                "/b.xml",
                Answer::xml(urlset((1..=5).map(|n| format!("/b/{n}")))),
            ),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    let expected = [
        "/a.xml|urlset|sitemap_index|1|5|Completed",
        "/b.xml|urlset|sitemap_index|1|5|Completed",
        "/index.xml|sitemapindex|robots_txt|0|2|Completed",
    ];
    assert_eq!(app.database.rows(SITEMAPS).await, expected);
    let pages = "SELECT id, url, status, curation_status, created_at FROM page ORDER BY id";
    let first = app.database.rows(pages).await;
    assert_eq!(first.len(), 10);
    // Found in robots.txt: no well-known path was tried.
    assert_eq!(site.hits(&format!("{HOST}/sitemap.xml")).len(), 0);
    for _ in 0..2 {
        app.database
            .run("UPDATE domain SET sitemap_status = 'Queued'; UPDATE sitemap_file SET import_status = 'Queued'")
            .await;
        app.wait_settled("domain", "sitemap").await;
        app.wait_settled("sitemap_file", "import").await;
        assert_eq!(app.database.rows(SITEMAPS).await, expected);
        assert_eq!(app.database.rows(pages).await, first);
    }
    assert_eq!(
        app.database
            .rows("SELECT sitemap_status, total_sitemaps, last_scan IS NOT NULL FROM domain")
            .await,
        ["Completed|3|t"]
    );
    app.stop().await;
}

/// F5.
#[tokio::test(flavor = "multi_thread")]
async fn nested_and_circular_indexes_come_to_an_end() {
    let site = Site::start().await;
    site_with(
        &[
            ("/robots.txt", robots("/top.xml")),
            // Names itself, its child names it, and a chain goes deeper than allowed.
            (
                "/top.xml",
                Answer::xml(index(&["/top.xml", "/middle.xml", "/chain1.xml"])),
            ),
            (
                "/middle.xml",
                Answer::xml(index(&["/top.xml", "/leaf.xml"])),
            ),
            ("/leaf.xml", Answer::xml(urlset(["/contact".to_owned()]))),
            ("/chain1.xml", Answer::xml(index(&["/chain2.xml"]))),
            ("/chain2.xml", Answer::xml(index(&["/chain3.xml"]))),
            ("/chain3.xml", Answer::xml(index(&["/chain4.xml"]))),
            ("/chain4.xml", Answer::xml(index(&["/chain5.xml"]))),
            ("/chain5.xml", Answer::xml(index(&["/chain6.xml"]))),
        ],
        &site,
    );
    let app = scan(&site, |config| {
        config.workflows.options_mut::<SitemapImport>().max_depth = 3;
    })
    .await;
    let found: Vec<String> = app
        .database
        .rows("SELECT regexp_replace(url, '.*/', '') || ' ' || depth || ' ' || import_status FROM sitemap_file ORDER BY url")
        .await;
    assert_eq!(
        found,
        [
            "chain1.xml 1 Completed",
            "chain2.xml 2 Completed",
            "chain3.xml 3 Filtered",
            "leaf.xml 2 Completed",
            "middle.xml 1 Completed",
            "top.xml 0 Completed",
        ]
    );
    assert_eq!(app.database.count("SELECT count(*) FROM page").await, 1);
    // One for the discovery, one for the import.
    assert_eq!(site.hits(&format!("{HOST}/top.xml")).len(), 2);
    app.stop().await;
}

/// F6.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_answers_everything_with_a_page_has_no_sitemap() {
    let site = Site::start().await;
    site.fallback(
        HOST,
        Answer::html("<title>Brass Kettle</title><p>Welcome.</p>"),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM sitemap_file")
            .await,
        0
    );
    assert_eq!(
        app.database
            .rows("SELECT sitemap_status, sitemap_error, total_sitemaps FROM domain")
            .await,
        ["Filtered|no sitemap|0"]
    );
    let requests = site.hits("");
    assert!(requests.len() <= 8, "{requests:?}");
    app.stop().await;
}

/// F7.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_pages_are_all_stored_gzipped_or_not() {
    let site = Site::start().await;
    let plain = urlset((0..50_000).map(|n| format!("/plain/{n}")));
    let packed = urlset((0..50_000).map(|n| format!("/packed/{n}")));
    site_with(
        &[
            ("/robots.txt", robots("/index.xml")),
            (
                "/index.xml",
                Answer::xml(index(&["/plain.xml", "/packed.xml.gz"])),
            ),
            ("/plain.xml", Answer::xml(plain)),
            (
                "/packed.xml.gz",
                Answer::of("application/x-gzip", gzip(packed.as_bytes())),
            ),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database
            .rows("SELECT regexp_replace(url, '.*/', ''), url_count, is_gzipped, is_truncated, import_status FROM sitemap_file ORDER BY url")
            .await,
        [
            "index.xml|2|f|f|Completed",
            "packed.xml.gz|50000|t|f|Completed",
            "plain.xml|50000|f|f|Completed",
        ]
    );
    assert_eq!(
        app.database
            .rows("SELECT count(*), count(DISTINCT url), count(*) FILTER (WHERE url LIKE '%/packed/%') FROM page")
            .await,
        ["100000|100000|50000"]
    );
    app.stop().await;
}

/// F8, and what else a sitemap may say or leave out.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_stored_with_whatever_it_says() {
    let site = Site::start().await;
    let entry =
        |path: &str, more: &str| format!("<url><loc>https://{HOST}{path}</loc>{more}</url>");
    let text = [
        format!("<urlset xmlns=\"{NAMESPACE}\">"),
        entry("/a", "<lastmod>2024-02-29T12:00:00+02:00</lastmod>"),
        entry("/b", ""),
        entry(
            "/c",
            "<lastmod>2024-02-29</lastmod><changefreq>weekly</changefreq><priority>0.8</priority>",
        ),
        entry(
            "/d",
            "<lastmod>soon</lastmod><changefreq>now and then</changefreq><priority>11</priority>",
        ),
        entry("/a", ""),
        "</urlset>".to_owned(),
    ]
    .concat();
    site_with(
        &[
            ("/robots.txt", robots("/s.xml")),
            ("/s.xml", Answer::xml(text)),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database
            .rows("SELECT regexp_replace(url, '.*/', ''), last_modified AT TIME ZONE 'UTC', changefreq, round(sitemap_priority::numeric, 1) FROM page ORDER BY url")
            .await,
        [
            "a|2024-02-29 10:00:00||",
            "b|||",
            "c|2024-02-29 00:00:00|weekly|0.8",
            "d|||",
        ]
    );
    app.stop().await;
}

/// Pages and sitemaps are fetched as they are listed, and stored once whatever their spelling.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_fetched_as_listed_and_stored_once() {
    let site = Site::start().await;
    let line = format!("https://{HOST}/one.xml?p&2, https://{HOST}/index.xml?z=1&a=2");
    site_with(
        &[
            (
                "/robots.txt",
                Answer::of("text/plain", format!("Sitemap: {line}\n")),
            ),
            (
                "/one.xml",
                Answer::xml(urlset(
                    ["/list?news&123", "/s?b=1&a=2", "/caf%c3%a9", "/s?a=2&b=1"]
                        .map(|path| path.replace('&', "&amp;")),
                )),
            ),
            (
                "/index.xml",
                Answer::xml(index(&["/two.xml?y=%7e&amp;x=1", "/two.xml?x=1&amp;y=~"])),
            ),
            (
                "/two.xml",
                Answer::xml(urlset(
                    ["/s?a=2&b=1&utm_source=x", "/café", "/list?123&news"]
                        .map(|path| path.replace('&', "&amp;")),
                )),
            ),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database.rows(SITEMAPS).await,
        [
            "/index.xml?z=1&a=2|sitemapindex|robots_txt|0|2|Completed",
            "/one.xml?p&2|urlset|robots_txt|0|4|Completed",
            "/two.xml?y=%7e&x=1|urlset|sitemap_index|1|3|Completed",
        ]
    );
    let pages =
        "SELECT regexp_replace(url, '^https://kettle-example.com', '') FROM page ORDER BY 1";
    // Whichever of the two was imported first.
    let expected = app.database.rows(pages).await;
    let spellings = [["/s?a=2&b=1"], ["/s?b=1&a=2"]];
    assert!(
        spellings.iter().any(|own| expected
            == [
                &["/caf%C3%A9", "/list?123&news", "/list?news&123"],
                &own[..]
            ]
            .concat()),
        "{expected:?}"
    );
    app.database
        .run("UPDATE domain SET sitemap_status = 'Queued'; UPDATE sitemap_file SET import_status = 'Queued'")
        .await;
    app.wait_settled("domain", "sitemap").await;
    app.wait_settled("sitemap_file", "import").await;
    assert_eq!(app.database.rows(pages).await, expected);
    assert_eq!(app.database.rows(SITEMAPS).await.len(), 3);
    for place in ["/one.xml?p&2", "/index.xml?z=1&a=2", "/two.xml?y=%7e&x=1"] {
        let path = place.split('?').next().unwrap();
        let hits = site.hits(&format!("{HOST}{path}"));
        assert!(!hits.is_empty(), "{place}");
        assert!(
            hits.iter().all(|hit| hit.place.ends_with(place)),
            "{hits:?}"
        );
    }
    app.stop().await;
}

/// F13.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_told_apart_by_their_address() {
    let cases = [
        ("/contact", "contact_root", "Selected"),
        ("/contact-us/", "contact_root", "Selected"),
        ("/contact.php", "contact_root", "Selected"),
        ("/en/contact", "contact_root", "Selected"),
        ("/about-us/team", "", ""),
        ("/privacy-policy", "legal_root", "Selected"),
        ("/blog/x", "", "Filtered"),
        ("/x.pdf", "", "Filtered"),
        ("/?p=12", "wp_prospect", ""),
        ("/x?amp=1", "not wp_prospect", ""),
    ];
    let site = Site::start().await;
    site_with(
        &[
            ("/robots.txt", robots("/s.xml")),
            (
                "/s.xml",
                Answer::xml(urlset(cases.iter().map(|(path, ..)| (*path).to_owned()))),
            ),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    let client = app.database.client().await;
    for (path, page_type, state) in cases {
        let row = client
            .query_one(
                "SELECT page_type, status, coalesce(curation_status, '') FROM page WHERE url = $1",
                &[&format!("https://{HOST}{path}")],
            )
            .await
            .unwrap();
        let found: (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        match page_type.strip_prefix("not ") {
            Some(other) => assert_ne!(found.0, other, "{path}"),
            None if page_type.is_empty() => {}
            None => assert_eq!(found.0, page_type, "{path}"),
        }
        match state {
            "Selected" => assert_eq!((found.1, found.2), ("Selected", "Queued"), "{path}"),
            "Filtered" => assert_eq!(found.2, "Filtered", "{path}"),
            _ => assert_ne!(found.2, "Filtered", "{path}"),
        }
    }
    let team: String = app
        .database
        .scalar("SELECT page_type FROM page WHERE url LIKE '%/about-us/team'")
        .await;
    assert!(team.contains("team") || team.contains("about"), "{team}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sitemaps_are_found_by_path_and_by_link_and_only_if_they_are_some() {
    // A well-known path, after robots.txt named a page that is none.
    let site = Site::start().await;
    site_with(
        &[
            ("/robots.txt", robots("/not-a-sitemap")),
            ("/not-a-sitemap", Answer::html("<p>404, really</p>")),
            ("/sitemap_index.xml", Answer::xml(urlset(["/x".to_owned()]))),
        ],
        &site,
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database.rows(SITEMAPS).await,
        ["/sitemap_index.xml|urlset|common_path|0|1|Completed"]
    );
    app.stop().await;
    // A link of the home page.
    let site = Site::start().await;
    site_with(
        &[("/map/all.xml", Answer::xml(urlset(["/x".to_owned()])))],
        &site,
    );
    site.put(
        &format!("{HOST}/"),
        Answer::html("<link rel=\"sitemap\" type=\"application/xml\" href=\"/map/all.xml\">"),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        app.database.rows(SITEMAPS).await,
        ["/map/all.xml|urlset|html_link|0|1|Completed"]
    );
    app.stop().await;
}

/// A failing home page stops neither: the two stages of a domain know nothing of each other.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_fails_does_not_stop_discovery() {
    let site = Site::start().await;
    site.put(&format!("{HOST}/"), Answer::status(404));
    site.put(
        &format!("{HOST}/sitemap.xml"),
        Answer::xml(urlset(["/x".to_owned()])),
    );
    let app = start(
        &site,
        &["domain-metadata", "sitemap-discovery", "sitemap-import"],
        "INSERT INTO domain (domain, registrable_domain, status) VALUES ('kettle-example.com', 'kettle-example.com', 'Selected')",
        |_| (),
    )
    .await;
    app.wait_settled("domain", "metadata").await;
    app.wait_settled("domain", "sitemap").await;
    app.wait_settled("sitemap_file", "import").await;
    assert_eq!(
        app.database
            .rows("SELECT metadata_status, sitemap_status, total_sitemaps FROM domain")
            .await,
        ["Error|Completed|1"]
    );
    assert_eq!(app.database.count("SELECT count(*) FROM page").await, 1);
    app.stop().await;
}

//! Sites that would fill the tables: sitemaps without end, sitemaps of others, and files that cost more than they hold.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use gleaner::app::App;
use gleaner::config::Config;
use gleaner::leads::sitemap_import::{Options, SitemapImport};

use crate::support::TestApp;
use crate::support::app::{start, test_config};
use crate::support::site::{Answer, Site};
use crate::support::wait::wait_until_by;

const HOST: &str = "kettle-example.com";
const DOMAIN: &str = "INSERT INTO domain (domain, registrable_domain, sitemap_status) VALUES ('kettle-example.com', 'kettle-example.com', 'Queued')";
const BUDGETS: &str = "SELECT concat_ws(' ', scope, files, pages, array_length(hosts, 1), ended_by) FROM sitemap_budget ORDER BY scope";
const FILES: &str = "SELECT count(*) FROM sitemap_file";
const PAGES: &str = "SELECT count(*) FROM page";

/// Both stages, to their end.
async fn scan(site: &Site, change: impl FnOnce(&mut Config)) -> TestApp {
    let names = ["sitemap-discovery", "sitemap-import"];
    let app = start(site, &names, DOMAIN, |config| {
        // A large file is parsed without optimisation here, and its fetch lasts as long.
        config.fetch.timeout = Duration::from_secs(90);
        change(config);
    })
    .await;
    settle(&app).await;
    app
}

async fn settle(app: &TestApp) {
    app.wait_settled("domain", "sitemap").await;
    // Some have a thousand sitemaps, or fifty thousand entries to parse without optimisation.
    let left = "SELECT count(*) FROM sitemap_file WHERE import_status IN ('Queued', 'Processing')";
    let patience = Duration::from_secs(100);
    wait_until_by("all sitemaps are imported", patience, async || {
        app.database.count(left).await == 0
    })
    .await;
}

fn options(config: &mut Config) -> &mut Options {
    config.workflows.options_mut::<SitemapImport>()
}

fn list(root: &str, entry: &str, urls: impl IntoIterator<Item = String>) -> Answer {
    let mut text = format!("<{root}>");
    for url in urls {
        write!(text, "<{entry}><loc>{url}</loc></{entry}>").unwrap();
    }
    Answer::xml(format!("{text}</{root}>"))
}

fn index(urls: impl IntoIterator<Item = String>) -> Answer {
    list("sitemapindex", "sitemap", urls)
}

fn urlset(urls: impl IntoIterator<Item = String>) -> Answer {
    list("urlset", "url", urls)
}

fn robots(sitemaps: &[&str]) -> Answer {
    let lines: String = sitemaps
        .iter()
        .map(|url| format!("Sitemap: {url}\n"))
        .collect();
    Answer::of("text/plain", format!("User-agent: *\nAllow: /\n{lines}"))
}

/// A home page, and a robots.txt that names these sitemaps.
fn home(site: &Site, sitemaps: &[&str]) {
    site.put(&format!("{HOST}/"), Answer::html("<title>Kettles</title>"));
    site.put(&format!("{HOST}/robots.txt"), robots(sitemaps));
}

fn on(host: &str, path: &str) -> String {
    format!("https://{host}{path}")
}

async fn rows(app: &TestApp, sql: &str) -> Vec<String> {
    app.database.rows(sql).await
}

/// Every name below the domain is there, and each lists eight more, each on a name of its own.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_on_names_without_end_come_to_an_end() {
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/top.xml")]);
    site.make(|place| {
        let (_, path) = place.split_once('/')?;
        let path = path.strip_suffix(".xml")?.to_owned();
        Some(index((0..8).map(move |child| {
            on(
                &format!("h{path}{child}.{HOST}"),
                &format!("/{path}{child}.xml"),
            )
        })))
    });
    let app = scan(&site, |config| options(config).max_root_hosts = 5).await;
    let files = app.database.count(FILES).await;
    assert!(files <= 5, "{files} sitemaps");
    assert_eq!(
        rows(
            &app,
            "SELECT scope, array_length(hosts, 1), ended_by FROM sitemap_budget ORDER BY 1"
        )
        .await,
        ["domain|5|", "root|5|hosts"]
    );
    app.stop().await;
}

/// Thousands of children, each of which has one page; and as many whose queries only differ.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_imported_as_far_as_its_budget_goes() {
    let site = Site::start().await;
    home(
        &site,
        &[&on(HOST, "/a/index.xml"), &on(HOST, "/b/index.xml")],
    );
    site.put(
        &format!("{HOST}/a/index.xml"),
        index((0..5_000).map(|n| on(HOST, &format!("/a/{n:05}.xml")))),
    );
    // The index again, under every query.
    site.put(
        &format!("{HOST}/b/index.xml"),
        index((0..5_000).map(|n| on(HOST, &format!("/b/index.xml?n={n:05}")))),
    );
    site.make(|place| {
        let name = place.split('/').next_back()?.strip_suffix(".xml")?;
        Some(urlset([on(HOST, &format!("/kettle/{name}"))]))
    });
    let app = scan(&site, |config| {
        options(config).max_root_files = 6;
        options(config).max_domain_files = 9;
    })
    .await;
    assert_eq!(app.database.count(FILES).await, 9);
    let told = "SELECT count(*), bool_and(is_truncated), min(stopped_by), max(stopped_by) FROM sitemap_file \
        WHERE stopped_by IS NOT NULL AND depth = 0";
    assert_eq!(rows(&app, told).await, ["2|t|domain_files|root_files"]);
    let ended = "SELECT scope, files, ended_by FROM sitemap_budget ORDER BY scope, files DESC";
    let ended = rows(&app, ended).await;
    assert_eq!(ended[0], "domain|9|files");
    assert_eq!(ended[1], "root|6|files");
    assert_eq!(ended[2], "root|3|");
    // Asked again, the same rows.
    app.database
        .run("UPDATE sitemap_file SET import_status = 'Queued' WHERE depth = 0")
        .await;
    settle(&app).await;
    assert_eq!(app.database.count(FILES).await, 9);
    app.stop().await;
}

/// A larger budget, and the same index goes on where it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_larger_budget_goes_on_where_the_smaller_ended() {
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/index.xml")]);
    site.put(
        &format!("{HOST}/index.xml"),
        index((0..12).map(|n| on(HOST, &format!("/{n:02}.xml")))),
    );
    site.make(|place| {
        let name = place
            .split('/')
            .next_back()?
            .strip_suffix(".xml")?
            .to_owned();
        Some(urlset(
            (0..10).map(move |n| on(HOST, &format!("/{name}/{n}"))),
        ))
    });
    let app = scan(&site, |config| options(config).max_root_files = 5).await;
    assert_eq!(app.database.count(PAGES).await, 40);
    let (_, database) = app.stop().await;
    database
        .run("UPDATE sitemap_file SET import_status = 'Queued' WHERE stopped_by IS NOT NULL")
        .await;
    let web = site.address;
    let app = TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(web);
        config.workflows.keep_only(&["sitemap-import".to_owned()]);
    })
    .await;
    settle(&app).await;
    assert_eq!(app.database.count(PAGES).await, 120);
    assert_eq!(
        rows(&app, BUDGETS).await,
        ["domain 13 120 1", "root 13 120 1"]
    );
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM sitemap_file WHERE stopped_by IS NOT NULL")
            .await,
        0
    );
    app.stop().await;
}

/// Two processes import the children of one index at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn siblings_that_are_imported_at_once_share_one_budget() {
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/index.xml")]);
    site.put(
        &format!("{HOST}/index.xml"),
        index((0..60).map(|n| on(HOST, &format!("/{n:02}.xml")))),
    );
    site.make(|place| {
        let name = place
            .split('/')
            .next_back()?
            .strip_suffix(".xml")?
            .to_owned();
        Some(urlset(
            (0..100).map(move |n| on(HOST, &format!("/{name}/{n}"))),
        ))
    });
    let set = |config: &mut Config| {
        options(config).max_root_pages = 1_950;
        config.engine.settle_items = 3;
    };
    let app = start(&site, &["sitemap-discovery", "sitemap-import"], "", set).await;
    let mut config = test_config(&app.database);
    config.fetch.proxy_hosts_to = Some(site.address);
    config.workflows.keep_only(&["sitemap-import".to_owned()]);
    set(&mut config);
    let other = Box::pin(App::start(config, None)).await.unwrap();
    app.database.run(DOMAIN).await;
    settle(&app).await;
    assert_eq!(app.database.count(FILES).await, 61);
    assert_eq!(app.database.count(PAGES).await, 1_950);
    assert_eq!(
        rows(&app, BUDGETS).await,
        ["domain 61 1950 1", "root 61 1950 1 pages"]
    );
    let stopped = "SELECT count(*) FILTER (WHERE stopped_by = 'root_pages') BETWEEN 40 AND 41 FROM sitemap_file";
    assert_eq!(rows(&app, stopped).await, ["t"]);
    other.drain(Duration::from_secs(5)).await;
    // Where operators look: the status document, and the doctor.
    let mut conn = app.database.connect().await;
    let area = &gleaner::leads::AREA;
    let shown = (area.status.unwrap().look)(&mut conn).await.unwrap();
    assert_eq!(shown[1], 1);
    assert_eq!(shown[0][0]["ended_by"], "pages");
    assert_eq!(shown[0][0]["pages"], 1_950);
    assert_eq!(shown[0][0]["root"], on(HOST, "/index.xml"));
    let config = test_config(&app.database);
    let checks = (area.examine)(&config, &mut conn).await.unwrap();
    let told = checks.iter().find(|own| own.name == "sitemap budgets");
    assert_eq!(
        told.unwrap().found,
        "1 have ended, the newest of kettle-example.com: pages of its root"
    );
    app.stop().await;
}

/// A shop of real size, as configured by default: more sitemaps than a thousand, none of them is left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_shop_goes_through_whole() {
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/index.xml")]);
    site.put(
        &format!("{HOST}/index.xml"),
        index((0..1_010).map(|n| on(&format!("shop.{HOST}"), &format!("/{n}.xml.gz")))),
    );
    site.make(|place| {
        let name = place.split('/').next_back()?.strip_suffix(".xml.gz")?;
        let entries: String = (0..3).fold(String::new(), |mut text, n| {
            write!(
                text,
                "<url><loc>{}</loc></url>",
                on(HOST, &format!("/p/{name}-{n}"))
            )
            .unwrap();
            text
        });
        Some(Answer::of(
            "application/gzip",
            gzip(format!("<urlset>{entries}</urlset>").as_bytes()),
        ))
    });
    let app = scan(&site, |_| ()).await;
    assert_eq!(app.database.count(FILES).await, 1_011);
    assert_eq!(app.database.count(PAGES).await, 3_030);
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM sitemap_file WHERE is_truncated")
            .await,
        0
    );
    app.stop().await;
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

const STORED: &str = "SELECT regexp_replace(url, '^https://', '') || ' ' || discovery_method FROM sitemap_file ORDER BY url COLLATE \"C\"";

/// What an index may list, and what it may not: sitemaps of its own site, and of others only what the site's robots.txt names.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_lists_its_own_site_alone() {
    let site = Site::start().await;
    home(
        &site,
        &[
            &on(HOST, "/index.xml"),
            "https://maps.cdn-example.net/kettle/index.xml",
        ],
    );
    site.put(
        &format!("{HOST}/index.xml"),
        index([
            on(HOST, "/own.xml"),
            on(&format!("www.{HOST}"), "/www.xml"),
            on(&format!("shop.{HOST}"), "/shop.xml"),
            // Others': a name that begins alike, one that ends alike, another suffix, an address.
            "https://kettle-example.com.pot-example.net/s.xml".to_owned(),
            "https://brass-kettle-example.com/s.xml".to_owned(),
            "https://kettle-example.de/s.xml".to_owned(),
            "http://203.0.113.7/s.xml".to_owned(),
            "https://other.cdn-example.net/s.xml".to_owned(),
        ]),
    );
    // Vouched for by robots.txt; what it lists beside itself is on its own host, not on the others of the network.
    site.put(
        "maps.cdn-example.net/kettle/index.xml",
        index([
            "https://maps.cdn-example.net/kettle/1.xml".to_owned(),
            "https://other.cdn-example.net/pot/1.xml".to_owned(),
            on(HOST, "/own.xml"),
        ]),
    );
    site.put(
        "maps.cdn-example.net/kettle/1.xml",
        urlset([
            on(HOST, "/on-cdn"),
            on(&format!("www.{HOST}"), "/on-cdn-www"),
            on(&format!("shop.{HOST}"), "/contact"),
            "https://pot-example.net/contact".to_owned(),
        ]),
    );
    site.make(|place| {
        let (host, path) = place.split_once('/')?;
        let path = path.strip_suffix(".xml")?;
        Some(urlset([on(host, &format!("/in-{path}"))]))
    });
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        rows(&app, STORED).await,
        [
            "kettle-example.com/index.xml robots_txt",
            "kettle-example.com/own.xml sitemap_index",
            "maps.cdn-example.net/kettle/1.xml sitemap_index",
            "maps.cdn-example.net/kettle/index.xml robots_txt",
            "shop.kettle-example.com/shop.xml sitemap_index",
            "www.kettle-example.com/www.xml sitemap_index",
        ]
    );
    assert_eq!(
        rows(
            &app,
            "SELECT regexp_replace(url, '^https://', '') FROM page WHERE page_rule IS DISTINCT FROM 'other_site' ORDER BY url COLLATE \"C\""
        )
        .await,
        [
            "kettle-example.com/in-own",
            "kettle-example.com/on-cdn",
            "shop.kettle-example.com/in-shop",
            "www.kettle-example.com/in-www",
            "www.kettle-example.com/on-cdn-www",
        ]
    );
    // How many were not taken stands on the row.
    assert_eq!(
        rows(&app, "SELECT foreign_count FROM sitemap_file WHERE sitemap_type = 'sitemapindex' ORDER BY url COLLATE \"C\"").await,
        ["5", "1"]
    );
    app.stop().await;
}

/// A sitemap that leads away is another site's, unless robots.txt names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sitemap_that_leads_away_is_not_the_site_s() {
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/index.xml"), &on(HOST, "/moved.xml")]);
    site.put(&format!("{HOST}/index.xml"), index([on(HOST, "/away.xml")]));
    site.put(
        &format!("{HOST}/away.xml"),
        Answer::redirect("https://pot-example.net/index.xml"),
    );
    site.put(
        "pot-example.net/index.xml",
        index(["https://pot-example.net/1.xml".to_owned()]),
    );
    site.put(
        &format!("{HOST}/moved.xml"),
        Answer::redirect("https://maps.cdn-example.net/m.xml"),
    );
    site.put(
        "maps.cdn-example.net/m.xml",
        urlset([on(HOST, "/a"), "https://pot-example.net/b".to_owned()]),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        rows(&app, "SELECT regexp_replace(url, '.*/', ''), import_status, import_error FROM sitemap_file ORDER BY url").await,
        [
            "away.xml|Filtered|leads to another site (pot-example.net)",
            "index.xml|Completed|",
            "moved.xml|Completed|",
        ]
    );
    assert_eq!(
        rows(&app, "SELECT regexp_replace(url, '^https://', ''), page_rule = 'other_site' FROM page ORDER BY url").await,
        ["kettle-example.com/a|f", "pot-example.net/b|t"]
    );
    app.stop().await;
}

/// What was stored of others before it was asked whose they are stays, and brings nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_others_stays_and_yields_nothing() {
    let site = Site::start().await;
    let app = start(&site, &["sitemap-import"], "", |_| ()).await;
    site.put(
        "pot-example.net/s.xml",
        urlset([
            "https://pot-example.net/contact".to_owned(),
            on(HOST, "/contact"),
        ]),
    );
    site.put("pot-example.net/manual.xml", urlset([on(HOST, "/by-hand")]));
    app.database
        .run(
            "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
             INSERT INTO sitemap_file (domain_id, url, sitemap_type) SELECT id, 'https://kettle-example.com/i.xml', 'sitemapindex' FROM domain;
             UPDATE sitemap_file SET discovery_method = 'common_path';
             INSERT INTO sitemap_file (domain_id, url, discovery_method, parent_id, depth, import_status)
             SELECT domain_id, 'https://pot-example.net/s.xml', 'sitemap_index', id, 1, 'Queued' FROM sitemap_file;
             INSERT INTO sitemap_file (domain_id, url, import_status) SELECT id, 'https://pot-example.net/manual.xml', 'Queued' FROM domain",
        )
        .await;
    settle(&app).await;
    assert_eq!(
        rows(&app, "SELECT regexp_replace(url, '.*/', ''), import_status, import_error FROM sitemap_file WHERE url LIKE '%pot%' ORDER BY url").await,
        ["manual.xml|Completed|", "s.xml|Filtered|on another site (pot-example.net)"]
    );
    assert_eq!(
        rows(&app, "SELECT url FROM page").await,
        [on(HOST, "/by-hand")]
    );
    app.stop().await;
}

/// A domain that forwards to another site has no sitemaps, however they would be found.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_forwards_to_another_site_has_no_sitemaps() {
    let site = Site::start().await;
    site.put(
        &format!("{HOST}/"),
        Answer::redirect("https://www.pot-example.net/"),
    );
    site.put(
        "www.pot-example.net/",
        Answer::html("<link rel=sitemap href=/s.xml>"),
    );
    site.put(
        "www.pot-example.net/robots.txt",
        robots(&["https://www.pot-example.net/s.xml"]),
    );
    site.put(
        "www.pot-example.net/s.xml",
        urlset(["https://www.pot-example.net/contact".to_owned()]),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(app.database.count(FILES).await, 0);
    assert_eq!(
        rows(
            &app,
            "SELECT sitemap_status, sitemap_error, total_sitemaps FROM domain"
        )
        .await,
        ["Filtered|leads to another site (www.pot-example.net)|0"]
    );
    assert_eq!(site.hits("www.pot-example.net/s.xml").len(), 0);
    app.stop().await;
}

/// Nor are another site's taken that a path leads to, or that a page links; within one site a domain may forward as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn sitemaps_of_others_are_not_found_by_path_or_by_link() {
    let site = Site::start().await;
    site.put(
        &format!("{HOST}/"),
        Answer::html("<link rel=sitemap href=https://pot-example.net/s.xml>"),
    );
    site.put(
        &format!("{HOST}/sitemap.xml"),
        Answer::redirect("https://pot-example.net/s.xml"),
    );
    site.put(
        "pot-example.net/s.xml",
        urlset(["https://pot-example.net/contact".to_owned()]),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(app.database.count(FILES).await, 0);
    app.stop().await;

    let site = Site::start().await;
    site.put(
        &format!("{HOST}/"),
        Answer::redirect(&on(&format!("shop.{HOST}"), "/")),
    );
    site.put(
        &format!("shop.{HOST}/"),
        Answer::html("<title>Kettles</title>"),
    );
    let cdn = "https://maps.cdn-example.net/s.xml";
    site.put(&format!("shop.{HOST}/robots.txt"), robots(&[cdn]));
    site.put(
        "maps.cdn-example.net/s.xml",
        urlset([on(&format!("shop.{HOST}"), "/a"), on(HOST, "/b")]),
    );
    let app = scan(&site, |_| ()).await;
    assert_eq!(
        rows(&app, "SELECT url, vouched_by FROM sitemap_file").await,
        [format!("{cdn}|shop.{HOST}")]
    );
    // The pages of the host whose robots.txt names it, and of no other.
    assert_eq!(
        rows(
            &app,
            "SELECT url FROM page WHERE page_rule IS DISTINCT FROM 'other_site'"
        )
        .await,
        [on(&format!("shop.{HOST}"), "/a")]
    );
    app.stop().await;
}

/// A million gzip members of nothing, an entry beside two million that are none: an end, and what ended it.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_cost_more_than_they_hold_are_given_up() {
    let site = Site::start().await;
    let names = ["/members.xml.gz", "/nothing.xml", "/lines.txt"];
    let urls: Vec<String> = names.iter().map(|path| on(HOST, path)).collect();
    home(&site, &urls.iter().map(String::as_str).collect::<Vec<_>>());
    let head = gzip(b"<urlset><url><loc>https://kettle-example.com/a</loc></url>");
    let members = [head, gzip(b"").repeat(1_000_000)].concat();
    site.put(
        &format!("{HOST}/members.xml.gz"),
        Answer::of("application/gzip", members),
    );
    let nothing = "<url><loc>ftp:</loc></url>".repeat(300_000);
    site.put(
        &format!("{HOST}/nothing.xml"),
        Answer::xml(format!("<urlset>{nothing}</urlset>")),
    );
    let lines = format!("https://{HOST}/b\n{}", "x\n".repeat(2_000_000));
    site.put(
        &format!("{HOST}/lines.txt"),
        Answer::of("text/plain", lines),
    );
    let started = Instant::now();
    let app = scan(&site, |_| ()).await;
    let took = started.elapsed();
    assert_eq!(
        rows(&app, "SELECT regexp_replace(url, '.*/', ''), import_status, import_error, stopped_by FROM sitemap_file ORDER BY url").await,
        [
            "lines.txt|Completed||max_invalid",
            "members.xml.gz|Error|sitemap: the sitemap has more than 4096 gzip members|gzip_members",
            "nothing.xml|Filtered|empty|max_invalid",
        ]
    );
    assert!(took < Duration::from_secs(60), "{took:?}");
    app.stop().await;
}

/// More addresses than there is memory for: of each sitemap so many, and of all together no more at once.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_in_memory_are_bounded() {
    const MEMORY: u64 = 16 * 1024 * 1024;
    let site = Site::start().await;
    home(&site, &[&on(HOST, "/index.xml")]);
    site.put(
        &format!("{HOST}/index.xml"),
        index((0..5).map(|n| on(HOST, &format!("/{n}.xml")))),
    );
    site.make(|place| {
        let name = place.split('/').next_back()?.strip_suffix(".xml")?;
        let long = "kettle/".repeat(260);
        Some(urlset(
            (0..2_600).map(|n| on(HOST, &format!("/{name}/{n:05}/{long}"))),
        ))
    });
    let app = scan(&site, |config| options(config).max_memory = MEMORY).await;
    let told = "SELECT count(*), min(stopped_by), max(stopped_by), bool_and(import_status = 'Completed') \
        FROM sitemap_file WHERE depth = 1";
    assert_eq!(rows(&app, told).await, ["5|max_memory|max_memory|t"]);
    let length = app
        .database
        .scalar::<i32>("SELECT min(octet_length(url)) FROM page")
        .await;
    let each = MEMORY / 4 / u64::try_from(length + 160).unwrap();
    let pages = app.database.count(PAGES).await;
    let expected = 5 * i64::try_from(each).unwrap();
    assert!(
        (expected - 6..=expected + 6).contains(&pages),
        "{pages} {expected}"
    );
    app.stop().await;
}

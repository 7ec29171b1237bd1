//! How a page is come to, through the real workflows: what leads on, cookies, both names of a host, codings, missing ends, notices.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::io::Write as _;
use std::net::SocketAddr;

use crate::support::TestApp;
use crate::support::app::start;
use crate::support::database::TestDatabase;
use crate::support::nasty::{Nasty, response, send};
use crate::support::site::{Answer, Site};

const OK: &str = "200 OK";

/// A page that can be told from any other, with a way to write to it.
fn page(title: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=en><head><title>{title}</title></head><body><h1>{title}</h1>
         <p>Brass and copper since 1899. <a href='mailto:hello@kettle-example.com'>Write to us</a></p></body></html>"
    )
}

/// A page that leads on, as it is written.
fn leading(content: &str) -> String {
    format!(
        "<html><head><meta http-equiv=refresh content=\"{content}\"></head><body></body></html>"
    )
}

/// The same, as these workflows see a web at this address.
async fn run(web: SocketAddr, names: &[&str], sql: &str) -> TestApp {
    let database = TestDatabase::new().await;
    database.run(sql).await;
    TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(web);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        config.workflows.keep_only(&names);
    })
    .await
}

/// What domain-metadata makes of these domains, in their order: status, error, title, whether it has an address to write to, and
/// where it was found.
async fn homes(web: SocketAddr, domains: &[&str]) -> Vec<String> {
    let listed = domains.join(",");
    let sql = format!(
        "INSERT INTO domain (domain, registrable_domain, metadata_status)
         SELECT d, d, 'Queued' FROM unnest('{{{listed}}}'::text[]) WITH ORDINALITY AS listed(d, n) ORDER BY n"
    );
    let app = run(web, &["domain-metadata"], &sql).await;
    app.wait_settled("domain", "metadata").await;
    let found = app
        .database
        .rows(
            "SELECT metadata_status, metadata_error, title, cardinality(email_addresses) > 0, home_url FROM domain ORDER BY id",
        )
        .await;
    app.stop().await;
    found
}

/// A web of raw answers, by place (host and path) and cookies.
async fn raw(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Nasty {
    Nasty::start(move |seen, mut stream| {
        let place = format!("{}{}", seen.header("host").unwrap_or_default(), seen.path);
        let bytes = answer(&place, seen.header("cookie").unwrap_or_default());
        async move { send(&mut stream, &bytes).await }
    })
    .await
}

fn html(body: &str) -> Vec<u8> {
    response(
        OK,
        &[("Content-Type", "text/html; charset=utf-8")],
        body.as_bytes(),
    )
}

fn missing() -> Vec<u8> {
    response("404 Not Found", &[], b"")
}

/// Each is a home page that only sends on, and what is to come of it.
#[tokio::test(flavor = "multi_thread")]
async fn home_pages_that_lead_on_are_followed() {
    let done = |path: &str| format!("Completed||Home|t|{path}");
    let elsewhere =
        |host: &str| format!("Filtered|leads to another site ({host})|||https://{host}/");
    let circle = "Error|too_many_redirects: gave up after ".to_owned();
    let cases = [
        (
            "plain-example.com",
            leading("0; url=/en/"),
            done("https://plain-example.com/en/"),
        ),
        (
            "upper-example.com",
            "<html><head><META HTTP-EQUIV=REFRESH CONTENT='0;URL=/en/'></head></html>".to_owned(),
            done("https://upper-example.com/en/"),
        ),
        (
            "quoted-example.com",
            leading("2;URL='/en/'"),
            done("https://quoted-example.com/en/"),
        ),
        (
            "nameless-example.com",
            leading("0;/en/"),
            done("https://nameless-example.com/en/"),
        ),
        (
            "comma-example.com",
            leading(" 5 , url = en/ "),
            done("https://comma-example.com/en/"),
        ),
        (
            "www-example.com",
            leading("0;url=https://www.www-example.com/en/"),
            done("https://www.www-example.com/en/"),
        ),
        (
            "body-example.com",
            format!("<p>One moment, please.{}", leading("0;url=/en/")),
            done("https://body-example.com/en/"),
        ),
        (
            "twice-example.com",
            leading("0;url=/second"),
            done("https://twice-example.com/en/"),
        ),
        (
            "mixed-example.com",
            leading("0;url=/moved"),
            done("https://mixed-example.com/en/"),
        ),
        (
            "sold-example.com",
            leading("0;url=https://market-example.net/"),
            elsewhere("market-example.net"),
        ),
        (
            "abroad-example.com",
            leading("3;url=https://abroad-example.de/"),
            elsewhere("abroad-example.de"),
        ),
        ("self-example.com", leading("0;url=/"), circle.clone()),
        ("ring-example.com", leading("0;url=/ring"), circle.clone()),
        ("long-example.com", leading("0;url=/long/1"), circle),
        (
            "gone-example.com",
            leading("0;url=/nowhere"),
            "Error|status_4xx: server answered 404".to_owned(),
        ),
        // Loaded anew, shown for long, and what is for others: the page itself.
        (
            "news-example.com",
            format!("{}{}", leading("20"), page("Home")),
            done("https://news-example.com/"),
        ),
        (
            "later-example.com",
            format!("{}{}", leading("600;url=/en/"), page("Home")),
            done("https://later-example.com/"),
        ),
        (
            "slides-example.com",
            format!("{}{}", leading("10;url=/slide"), page("Home")),
            "Completed||Slide|".to_owned(),
        ),
        (
            "others-example.com",
            format!(
                "<noscript>{}</noscript>{}",
                leading("0;url=/nojs"),
                page("Home")
            ),
            done("https://others-example.com/"),
        ),
        (
            "script-example.com",
            format!("{}{}", leading("0;url=javascript:go()"), page("Home")),
            done("https://script-example.com/"),
        ),
    ];
    let site = Site::start().await;
    for (host, start, _) in &cases {
        site.put(&format!("{host}/"), Answer::html(start));
        site.put(&format!("{host}/en/"), Answer::html(&page("Home")));
    }
    site.put("www.www-example.com/en/", Answer::html(&page("Home")));
    site.put(
        "twice-example.com/second",
        Answer::html(&leading("0;url=en/")),
    );
    site.put("mixed-example.com/moved", Answer::redirect("/en/"));
    site.put("ring-example.com/ring", Answer::html(&leading("0;url=/")));
    site.put(
        "slides-example.com/slide",
        Answer::html(&format!("{}<title>Slide</title>", leading("10;url=/"))),
    );
    site.make(|place| {
        let number: u32 = place.strip_prefix("long-example.com/long/")?.parse().ok()?;
        Some(Answer::html(&leading(&format!(
            "0;url=/long/{}",
            number + 1
        ))))
    });
    // By the header, in its spellings.
    let headers = [
        ("0;url=/en/", "one"),
        ("1; URL=\"/en/\"", "two"),
        ("0;/en/", "three"),
    ];
    for (value, name) in headers {
        site.put(
            &format!("{name}-example.com/"),
            Answer::html("").with("refresh", value),
        );
        site.put(
            &format!("{name}-example.com/en/"),
            Answer::html(&page("Home")),
        );
    }
    let names = headers.map(|(_, name)| format!("{name}-example.com"));
    let hosts: Vec<&str> = cases
        .iter()
        .map(|(host, ..)| *host)
        .chain(names.iter().map(String::as_str))
        .collect();
    let found = homes(site.address, &hosts).await;
    let by_header = names
        .iter()
        .map(|host| done(&format!("https://{host}/en/")));
    let expected = cases
        .iter()
        .map(|(.., expected)| expected.clone())
        .chain(by_header);
    for ((host, expected), found) in hosts.iter().zip(expected).zip(&found) {
        assert!(
            found.starts_with(&expected),
            "{host}: {found}, not {expected}"
        );
    }
    // What another site has is not asked for; nobody goes on without end.
    assert!(site.hits("market-example.net").is_empty());
    assert!(site.hits("long-example.com/long/").len() <= 8);
    assert!(site.hits("others-example.com/nojs").is_empty());
}

/// The same for a page of leads, for a product, and for the way to sitemaps.
#[tokio::test(flavor = "multi_thread")]
async fn every_workflow_follows_what_leads_on() {
    let product = r#"<title>Kettle</title><h1>Kettle</h1><script type="application/ld+json">{"@type": "Product", "name": "Kettle",
        "offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "EUR"}}</script><a href="mailto:hello@kettle-example.com">Write</a>"#;
    let site = Site::start().await;
    site.put(
        "kettle-example.com/",
        Answer::html(&leading("0;url=https://www.kettle-example.com/de/")),
    );
    site.put(
        "www.kettle-example.com/de/",
        Answer::html("<link rel=sitemap href=/karte.xml>"),
    );
    site.put(
        "www.kettle-example.com/karte.xml",
        Answer::xml("<urlset></urlset>"),
    );
    let paths = ["meta", "header", "away"];
    site.put(
        "kettle-example.com/meta",
        Answer::html(&leading("0;url=/kettle")),
    );
    site.put(
        "kettle-example.com/header",
        Answer::html("").with("refresh", "0;url=/kettle"),
    );
    site.put(
        "kettle-example.com/away",
        Answer::html(&leading("0;url=https://pot-example.com/kettle")),
    );
    site.put("kettle-example.com/kettle", Answer::html(product));
    site.put("pot-example.com/kettle", Answer::html(product));
    let urls = paths
        .map(|path| format!("https://kettle-example.com/{path}"))
        .join(",");
    let sql = format!(
        "INSERT INTO domain (domain, registrable_domain, sitemap_status) VALUES ('kettle-example.com', 'kettle-example.com', 'Queued');
         INSERT INTO page (domain_id, url, curation_status) SELECT 1, url, 'Queued' FROM unnest('{{{urls}}}'::text[]) AS url;
         INSERT INTO site (domain) VALUES ('kettle-example.com');
         INSERT INTO product_url (site_id, raw_url, url, url_hash) SELECT 1, url, url, url FROM unnest('{{{urls}}}'::text[]) AS url;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff) SELECT id, 1, 1, '1 millisecond' FROM product_url ORDER BY id;
         UPDATE crawl_job SET crawl_status = 'Queued'"
    );
    let names = ["sitemap-discovery", "page-curation", "price-fetch"];
    let app = start(&site, &names, &sql, |_| ()).await;
    app.wait_settled("domain", "sitemap").await;
    app.wait_settled("page", "curation").await;
    app.wait_settled("crawl_job", "crawl").await;
    let rows = async |sql| app.database.rows(sql).await;
    assert_eq!(
        rows("SELECT url, discovery_method FROM sitemap_file").await,
        ["https://www.kettle-example.com/karte.xml|html_link"]
    );
    let away = "leads to another site (pot-example.com)";
    assert_eq!(
        rows("SELECT curation_status, curation_error, title FROM page ORDER BY id").await,
        [
            "Completed||Kettle",
            "Completed||Kettle",
            &format!("Filtered|{away}|")
        ]
    );
    assert_eq!(
        rows("SELECT success, price, error FROM crawl_result ORDER BY product_url_id").await,
        ["t|12.50|", "t|12.50|", &format!("f||{away}")]
    );
    assert!(site.hits("pot-example.com").is_empty());
    app.stop().await;
}

/// A site that sends round whoever has no cookie, by redirects and by pages.
#[tokio::test(flavor = "multi_thread")]
async fn sites_that_set_a_cookie_on_the_way_are_read() {
    fn answer(place: &str, cookies: &str) -> Vec<u8> {
        let moved = |to: &str, cookie: &str| {
            response(
                "302 Found",
                &[("Location", to), ("Set-Cookie", cookie)],
                b"",
            )
        };
        match (place, cookies) {
            ("self-example.com/", "") => moved("/", "seen=1; Path=/; HttpOnly"),
            ("check-example.com/", "") => moved("/check", "sid=7; Path=/"),
            ("check-example.com/check", "sid=7") => {
                response("302 Found", &[("Location", "/")], b"")
            }
            ("check-example.com/check", _) => {
                response("302 Found", &[("Location", "/enable-cookies")], b"")
            }
            ("check-example.com/enable-cookies", _) => {
                html("<title>Please enable cookies</title><h1>Please enable cookies</h1>")
            }
            ("page-example.com/", "") => response(
                OK,
                &[
                    ("Content-Type", "text/html"),
                    ("Set-Cookie", "age=18; Domain=.page-example.com"),
                ],
                leading("0").as_bytes(),
            ),
            ("lang-example.com/", "") => moved(
                "https://www.lang-example.com/",
                "lang=de; Domain=lang-example.com",
            ),
            ("www.lang-example.com/", "lang=de") => html(&page("Home")),
            ("self-example.com/", "seen=1")
            | ("check-example.com/", "sid=7")
            | ("page-example.com/", "age=18") => html(&page("Home")),
            _ => missing(),
        }
    }
    let web = raw(answer).await;
    let hosts = [
        "self-example.com",
        "check-example.com",
        "page-example.com",
        "lang-example.com",
    ];
    for (host, found) in hosts.iter().zip(homes(web.address, &hosts).await) {
        assert!(found.starts_with("Completed||Home|t|"), "{host}: {found}");
    }
}

/// The name that has the site is found, whichever the row has and whatever the other says.
#[tokio::test(flavor = "multi_thread")]
async fn both_names_of_a_host_are_asked_before_anything_is_final() {
    let default = "<title>Welcome to nginx!</title><h1>Welcome to nginx!</h1><p>If you see this page, the web server is installed.</p>";
    let site = Site::start().await;
    let www = |host: &str| site.put(&format!("www.{host}/"), Answer::html(&page("Home")));
    let found_at = |host: &str| format!("Completed||Home|t|https://{host}/");
    let mut cases = Vec::new();
    for (host, answer) in [
        ("gone-example.com", Answer::status(404)),
        ("closed-example.com", Answer::status(403)),
        ("broken-example.com", Answer::status(500)),
        ("default-example.com", Answer::html(default)),
        (
            "apache-example.com",
            Answer::html(
                "<title>Apache2 Debian Default Page: It works</title><p>This is the default welcome page.</p>",
            ),
        ),
        (
            "index-example.com",
            Answer::html(
                "<title>Index of /</title><h1>Index of /</h1><pre><a href=cgi-bin/>cgi-bin/</a></pre>",
            ),
        ),
        (
            "parked-example.com",
            Answer::redirect("https://market-example.net/?d=parked"),
        ),
        (
            "file-example.com",
            Answer::of("application/pdf", "%PDF-1.7"),
        ),
        (
            "looping-example.com",
            Answer::redirect("https://looping-example.com/"),
        ),
    ] {
        site.put(&format!("{host}/"), answer);
        www(host);
        cases.push((host, found_at(&format!("www.{host}"))));
    }
    site.put("market-example.net/", Answer::html(&page("For sale")));
    // All of the bare name answers with trouble, robots.txt too; or that one is for nobody.
    site.fallback("down-example.com", Answer::status(500));
    www("down-example.com");
    cases.push(("down-example.com", found_at("www.down-example.com")));
    site.put(
        "private-example.com/robots.txt",
        Answer::of("text/plain", "User-agent: *\nDisallow: /"),
    );
    www("private-example.com");
    cases.push(("private-example.com", found_at("www.private-example.com")));
    // The other way round, and where neither has anything.
    site.put("bare-example.com/", Answer::html(&page("Home")));
    cases.push(("bare-example.com", found_at("bare-example.com")));
    cases.push((
        "nowhere-example.com",
        "Error|status_4xx: server answered 404".to_owned(),
    ));
    site.put("new-example.com/", Answer::html(default));
    site.put("www.new-example.com/", Answer::html(default));
    cases.push((
        "new-example.com",
        "Filtered|only a web server's default page is shown|||https://new-example.com/".to_owned(),
    ));
    site.put("www.retry-example.com/", Answer::status(502));
    cases.push((
        "retry-example.com",
        "Error|status_5xx: server answered 502".to_owned(),
    ));
    let hosts: Vec<&str> = cases.iter().map(|(host, _)| *host).collect();
    let found = homes(site.address, &hosts).await;
    for ((host, expected), found) in cases.iter().zip(&found) {
        assert!(
            found.starts_with(expected),
            "{host}: {found}, not {expected}"
        );
    }
    // A host that has answered is asked no more than once a try.
    assert_eq!(
        site.hits("gone-example.com/")
            .iter()
            .filter(|hit| hit.place.ends_with("com/"))
            .count(),
        1
    );
}

/// The business typed its address: that one is asked first, for the home page and for sitemaps.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_the_business_gave_comes_first() {
    let site = Site::start().await;
    let websites = [
        ("given-example.com", "http://www.given-example.com/"),
        ("upper-example.com", "WWW.Upper-Example.com/about"),
        ("bare-example.com", "https://bare-example.com"),
    ];
    for (host, _) in websites {
        for www in ["", "www."] {
            site.put(&format!("{www}{host}/"), Answer::html(&page("Home")));
            site.put(
                &format!("{www}{host}/sitemap.xml"),
                Answer::xml("<urlset></urlset>"),
            );
        }
    }
    let values: Vec<String> = websites
        .iter()
        .map(|(_, website)| format!("('b', '{website}', 'Selected')"))
        .collect();
    let sql = format!(
        "INSERT INTO local_business (name, website, status) VALUES {}",
        values.join(", ")
    );
    let names = ["domain-extraction", "domain-metadata", "sitemap-discovery"];
    let app = start(&site, &names, &sql, |config| {
        config
            .workflows
            .options_mut::<gleaner::leads::domain_extraction::DomainExtraction>()
            .advance = true;
    })
    .await;
    app.wait_settled("local_business", "domain_extraction")
        .await;
    app.wait_settled("domain", "metadata").await;
    app.wait_settled("domain", "sitemap").await;
    assert_eq!(
        app.database
            .rows("SELECT home_url, url FROM domain JOIN sitemap_file ON domain_id = domain.id ORDER BY domain")
            .await,
        [
            "https://bare-example.com/|https://bare-example.com/sitemap.xml",
            "https://www.given-example.com/|https://www.given-example.com/sitemap.xml",
            "https://www.upper-example.com/|https://www.upper-example.com/sitemap.xml",
        ]
    );
    assert!(site.hits("given-example.com").is_empty());
    app.stop().await;
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// What the header says of the coding, and what the body is.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_whatever_their_coding_is_called() {
    fn answer(place: &str, _: &str) -> Vec<u8> {
        let plain = page("Home").into_bytes();
        let packed = gzip(&plain);
        let (coding, body) = match place {
            "none-example.com/" => ("none", plain),
            "charset-example.com/" => ("utf-8", plain),
            "type-example.com/" => ("text/html", plain),
            "upper-example.com/" => ("GZIP", packed),
            "older-example.com/" => ("X-Gzip", packed),
            "listed-example.com/" => ("identity, gzip", packed),
            "claimed-example.com/" => ("gzip", plain),
            "brotli-example.com/" => ("br", plain),
            "newer-example.com/" => ("zstd", plain),
            "trailing-example.com/" => ("gzip", [packed, b"<!-- cached -->".to_vec()].concat()),
            _ => return missing(),
        };
        response(
            OK,
            &[("Content-Type", "text/html"), ("Content-Encoding", coding)],
            &body,
        )
    }
    let web = raw(answer).await;
    let hosts = [
        "none", "charset", "type", "upper", "older", "listed", "claimed", "brotli", "newer",
        "trailing",
    ]
    .map(|name| format!("{name}-example.com"));
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    for (host, found) in hosts.iter().zip(homes(web.address, &hosts).await) {
        assert_eq!(found, format!("Completed||Home|t|https://{host}/"));
    }
}

/// What of a page has come, by how its end is missing.
fn cut_page(path: &str, whole: &str) -> Vec<u8> {
    let half = whole.split("since").next().unwrap();
    let head = |declared: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{declared}\r\n\r\n")
    };
    let length = |body: &str| head(&format!("Content-Length: {}", body.len() + 20));
    match path {
        "length" => [&length(whole), whole].concat().into_bytes(),
        "chunk" => format!(
            "{}{:x}\r\n{whole}\r\n",
            head("Transfer-Encoding: chunked"),
            whole.len()
        )
        .into_bytes(),
        "packed" => {
            let packed = gzip(whole.as_bytes());
            let packed = &packed[..packed.len() - 6];
            [
                head(&format!(
                    "Content-Encoding: gzip\r\nContent-Length: {}",
                    packed.len()
                ))
                .as_bytes(),
                packed,
            ]
            .concat()
        }
        "half" => [&length(whole), half].concat().into_bytes(),
        "nothing" => length(whole).into_bytes(),
        _ => missing(),
    }
}

/// Leads keep what has come and say so; a price is read where the document has come to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_ends_early_is_kept_where_that_is_safe() {
    let web = raw(|place, _| {
        let (host, path) = place.split_once('/').unwrap();
        let offer = r#"<div itemscope itemtype="https://schema.org/Product"><b itemprop=name>Kettle</b><p itemprop=offers itemscope
            itemtype="https://schema.org/Offer"><meta itemprop=price content=12.50><meta itemprop=priceCurrency content=EUR></div>"#;
        let offer = if host == "shop-example.com" { offer } else { "" };
        cut_page(path, &page("Home").replace("</h1>", &format!("</h1>{offer}")))
    })
    .await;
    let leads = ["length", "chunk", "packed", "half", "nothing"]
        .map(|path| format!("https://kettle-example.com/{path}"))
        .join(",");
    let products = ["length", "half"]
        .map(|path| format!("https://shop-example.com/{path}"))
        .join(",");
    let sql = format!(
        "INSERT INTO domain (domain, registrable_domain) VALUES ('kettle-example.com', 'kettle-example.com');
         INSERT INTO page (domain_id, url, curation_status) SELECT 1, url, 'Queued' FROM unnest('{{{leads}}}'::text[]) WITH ORDINALITY AS l(url, n) ORDER BY n;
         INSERT INTO crawl_policy (name, selection, max_retries, retry_backoff) VALUES ('once', 'all', 1, '1 millisecond');
         INSERT INTO site (domain) VALUES ('shop-example.com');
         INSERT INTO product_url (site_id, raw_url, url, url_hash) SELECT 1, url, url, url FROM unnest('{{{products}}}'::text[]) WITH ORDINALITY AS l(url, n) ORDER BY n;
         INSERT INTO crawl_job (product_url_id, site_id, max_retries, retry_backoff) SELECT id, 1, 1, '1 millisecond' FROM product_url ORDER BY id;
         UPDATE crawl_job SET crawl_status = 'Queued'"
    );
    let app = run(web.address, &["page-curation", "price-fetch"], &sql).await;
    app.wait_settled("page", "curation").await;
    app.wait_settled("crawl_job", "crawl").await;
    let told = "SELECT curation_status, split_part(curation_error, ':', 1), title, h1, contact_scrape_status, is_partial FROM page ORDER BY id";
    assert_eq!(
        app.database.rows(told).await,
        [
            "Completed||Home|Home|ContactFound|t",
            "Completed||Home|Home|ContactFound|t",
            "Completed||Home|Home|ContactFound|t",
            "Completed||Home|Home|NoContactFound|t",
            "Error|body|||New|",
        ]
    );
    let told = "SELECT success, price, error_class, parsed_data->'validation'->'warnings' @> '\"the page ended before its declared end\"' \
         FROM crawl_result ORDER BY product_url_id, id";
    assert_eq!(app.database.rows(told).await, ["t|12.50||t", "f||network|"]);
    app.stop().await;
}

/// A notice is no home page: it is said what it is, and what may help.
#[tokio::test(flavor = "multi_thread")]
async fn notices_are_not_taken_for_the_site() {
    let script = "Filtered|nothing is shown before its scripts have run; with render.enabled = true a browser is asked|";
    let consent = "Filtered|only a notice about cookies or consent is shown; with render.enabled = true a browser is asked||";
    let banner = "<div>We use cookies. <button>Accept all</button></div>";
    let cases = [
        ("app-example.com", "<title>Kettles</title><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><script src=/a.js></script>".to_owned(), format!("{script}Kettles|f|")),
        ("frame-example.com", "<title>Чайники</title><div id=app></div><script type=module src=/a.js></script>".to_owned(), format!("{script}Чайники|f|")),
        ("stern-example.com", "<h1>Bitte aktivieren Sie JavaScript</h1><p>Diese Seite benötigt JavaScript.</p>".to_owned(), script.to_owned()),
        ("cookie-example.com", "<title>Please enable cookies</title><h1>Please enable cookies</h1>".to_owned(), consent.to_owned()),
        ("wall-example.com", "<title>Avant de continuer</title><p>Nous et nos partenaires utilisons des cookies. Acceptez-vous les cookies ?</p><button>Tout accepter</button><button>Tout refuser</button>".to_owned(), consent.to_owned()),
        ("asia-example.com", "<p>クッキーを有効にしてください。</p>".to_owned(), consent.to_owned()),
        ("banner-example.com", format!("{banner}{}{}", page("Home"), "<p>Kettles of brass and copper, and all that belongs to them.</p>".repeat(5)), "Completed||Home|t|".to_owned()),
        // However little it is, it tells how to reach somebody.
        ("short-example.com", format!("{banner}<a href='mailto:hello@short-example.com'>Write</a>"), "Completed|||t|".to_owned()),
        ("bare-example.com", "<p>Nothing here.</p><script src=/count.js></script>".to_owned(), "Completed|||f|".to_owned()),
    ];
    let site = Site::start().await;
    for (host, body, _) in &cases {
        site.put(&format!("{host}/"), Answer::html(body));
    }
    let hosts: Vec<&str> = cases.iter().map(|(host, ..)| *host).collect();
    for ((host, _, expected), found) in cases.iter().zip(homes(site.address, &hosts).await) {
        assert!(
            found.starts_with(expected),
            "{host}: {found}, not {expected}"
        );
    }
}

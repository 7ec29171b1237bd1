//! The web over real HTTP, with a client whose resolver sends every name to the server.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::*;
use crate::demo::model::{ContactKind, Form, PageKind, SitemapBody};
use crate::demo::{PlantedContact, Web};

struct EveryName(SocketAddr);

impl Resolve for EveryName {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn client(address: SocketAddr, redirects: reqwest::redirect::Policy) -> reqwest::Client {
    // Another test may have installed it already.
    let _installed = rustls::crypto::ring::default_provider()
        .install_default()
        .is_ok();
    reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(Arc::new(EveryName(address)))
        .redirect(redirects)
        .timeout(Duration::from_secs(20))
        // As whoever has been to a site that checks for it.
        .default_headers(std::iter::once((COOKIE, HeaderValue::from_static("visited=1"))).collect())
        .build()
        .expect("client")
}

fn following(address: SocketAddr) -> reqwest::Client {
    client(address, reqwest::redirect::Policy::limited(5))
}

fn standing(address: SocketAddr) -> reqwest::Client {
    client(address, reqwest::redirect::Policy::none())
}

/// Asks until the host no longer answers with a server error, as a patient crawler would but without its pauses; goes on where a page
/// leads on by itself.
async fn fetch(client: &reqwest::Client, url: &str) -> (u16, String) {
    let mut url = url.to_owned();
    for _ in 0..4 {
        let response = client
            .get(&url)
            .send()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = response.status().as_u16();
        if status >= 500 {
            continue;
        }
        let bytes = response.bytes().await.expect("body");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match led_on(&text) {
            Some(target) => {
                let base = reqwest::Url::parse(&url).expect("url");
                url = base.join(target).expect("url").into();
            }
            None => return (status, text),
        }
    }
    panic!("{url} never answers");
}

/// Where a page leads on by itself: the last word of its element's content.
fn led_on(html: &str) -> Option<&str> {
    let (element, _) = html.split_once("</head><body></body>")?;
    let from = element
        .find("http://")
        .or_else(|| element.find("/index.html"))?;
    element.get(from..)?.split(['"', '\'']).next()
}

fn site(web: &Web, wanted: impl Fn(&Site) -> bool) -> &Site {
    let Sites::Generated(sites) = &web.content.sites else {
        panic!("generated web")
    };
    sites.iter().find(|site| wanted(site)).expect("such a site")
}

/// Decodes numeric entities, which is all the pages use for contact details.
fn decode_entities(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        decoded.push_str(before);
        let (code, tail) = after.split_once(';').expect("closed entity");
        let code = match code.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => code.parse(),
        };
        decoded.push(char::from_u32(code.expect("number")).expect("character"));
        rest = tail;
    }
    decoded + rest
}

fn decode_cloudflare(html: &str) -> Vec<String> {
    html.split("data-cfemail=\"")
        .skip(1)
        .map(|tail| {
            let digits = tail.split('"').next().expect("value");
            let bytes: Vec<u8> = (0..digits.len() / 2)
                .map(|at| {
                    u8::from_str_radix(digits.get(2 * at..2 * at + 2).expect("pair"), 16)
                        .expect("hex")
                })
                .collect();
            let decoded = bytes[1..].iter().map(|byte| byte ^ bytes[0]).collect();
            String::from_utf8(decoded).expect("text")
        })
        .collect()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether the page says it, in the form the truth names.
fn says(html: &str, contact: &PlantedContact) -> bool {
    let value = contact.value.as_str();
    let lower = html.to_lowercase();
    match (contact.kind, contact.form) {
        (ContactKind::Email, Form::Cloudflare) => {
            decode_cloudflare(html).iter().any(|found| found == value)
        }
        (ContactKind::Email, Form::Obfuscated) => {
            !lower.contains(value)
                && lower
                    .replace("(at)", "@")
                    .replace("[at]", "@")
                    .replace("[dot]", ".")
                    .replace("(dot)", ".")
                    .replace(' ', "")
                    .contains(value)
        }
        (ContactKind::Email, Form::Entities) => {
            !lower.contains(value) && decode_entities(html).contains(value)
        }
        (ContactKind::Email, Form::Mailto) => lower.contains(&format!("mailto:{value}\"")),
        (ContactKind::Email, Form::MailtoSubject) => {
            lower.contains(&format!("mailto:{value}?subject="))
        }
        (ContactKind::Email, Form::JsonLd) => lower.contains(&format!("\"email\":\"{value}\"")),
        (ContactKind::Email, _) => lower.contains(value),
        (ContactKind::Phone, Form::Tel) => html.contains(&format!("tel:{value}")),
        (ContactKind::Phone, _) => {
            // National forms lack the country's number; nine digits are enough to tell one page's numbers apart.
            let wanted = digits(value);
            let tail = wanted.get(wanted.len() - 7..).expect("seven digits");
            digits(html).contains(tail)
        }
        (ContactKind::Social, _) => html.contains(value),
    }
}

/// Fetches every URL once, many at a time, because slow hosts are slow.
async fn fetch_all(
    client: &reqwest::Client,
    urls: HashSet<String>,
) -> HashMap<String, (u16, String)> {
    futures_util::stream::iter(urls)
        .map(|url| async move {
            let answer = fetch(client, &url).await;
            (url, answer)
        })
        .buffer_unordered(64)
        .collect()
        .await
}

#[tokio::test]
async fn every_planted_item_is_there() {
    let web = Web::generate(7, 60);
    let truth = web.truth();
    let server = web.serve().await.expect("server");
    let contacts = || truth.contacts.iter().chain(&truth.optional_contacts);
    let pages = fetch_all(
        &following(server.address),
        contacts().map(|contact| contact.page_url.clone()).collect(),
    )
    .await;
    assert!(truth.contacts.len() > 60, "{}", truth.contacts.len());
    for contact in contacts() {
        let (status, html) = &pages[&contact.page_url];
        assert_eq!(*status, 200, "{contact:?}");
        assert!(says(html, contact), "{contact:?}\n{html}");
    }
    let refusing = "contact on a page that robots.txt disallows";
    for decoy in truth.decoys.iter().filter(|decoy| decoy.what != refusing) {
        let escaped = render::escape(&decoy.value);
        let mut of_host = contacts().filter(|contact| contact.host == decoy.host);
        assert!(
            of_host.any(|contact| pages[&contact.page_url].1.contains(&escaped)),
            "{decoy:?}"
        );
    }
    assert_eq!(server.stats().unknown_host_requests, 0);
    server.stop().await;
}

#[tokio::test]
async fn every_listed_page_and_sitemap_is_there() {
    let web = Web::generate(7, 60);
    let truth = web.truth();
    let server = web.serve().await.expect("server");
    let answers = fetch_all(
        &standing(server.address),
        truth
            .sitemaps
            .iter()
            .chain(&truth.pages)
            .chain(&truth.optional_pages)
            // The large site's products are all alike.
            .filter(|(_, url)| !url.contains("/shop/item-1"))
            .map(|(_, url)| url.clone())
            .collect(),
    )
    .await;
    let moved: Vec<u16> = answers
        .values()
        .map(|(status, _)| *status)
        .filter(|status| *status != 200)
        .collect();
    assert_eq!(
        moved.iter().filter(|status| **status == 301).count(),
        1,
        "{moved:?}"
    );
    assert_eq!(
        moved.iter().filter(|status| **status == 302).count(),
        2,
        "{moved:?}"
    );
    assert_eq!(moved.len(), 3, "{moved:?}");
    for (_, url) in &truth.sitemaps {
        assert!(!answers[url].1.contains("<html"), "{url}");
    }
}

#[tokio::test]
async fn same_seed_gives_the_same_bytes() {
    let (one, two) = (Web::generate(42, 45), Web::generate(42, 45));
    assert_eq!(one.truth(), two.truth());
    assert_eq!(one.places(), two.places());
    assert_ne!(one.truth(), Web::generate(43, 45).truth());
    let (Sites::Generated(first), Sites::Generated(second)) =
        (&one.content.sites, &two.content.sites)
    else {
        panic!("generated webs");
    };
    for (first, second) in first.iter().zip(second) {
        for (path, page) in &first.pages {
            let again = second.pages.get(path).expect("same pages");
            assert_eq!(
                render::page(first, path, page),
                render::page(second, path, again)
            );
        }
        for (path, sitemap) in &first.sitemaps {
            let again = second.sitemaps.get(path).expect("same sitemaps");
            let bytes = sitemaps::write(first, sitemap).expect("bytes");
            assert_eq!(bytes, sitemaps::write(second, again).expect("bytes"));
        }
        assert_eq!(first.robots, second.robots);
    }
}

#[tokio::test]
async fn hosts_behave_as_planned() {
    let web = Web::generate(1, 60);
    let server = web.serve().await.expect("server");
    let client = standing(server.address);
    let of = |behaviour| site(&web, move |site| site.behaviour == behaviour);
    let get = |url: String| {
        let client = client.clone();
        async move { client.get(url).send().await }
    };

    let dead = of(Behaviour::Dead);
    assert!(get(format!("http://{}/", dead.host)).await.is_err());

    let soft = of(Behaviour::SoftNotFound);
    for path in ["/robots.txt", "/sitemap.xml", "/no/such/page"] {
        let response = get(soft.url(path)).await.expect("answer");
        assert_eq!(response.status(), 200);
        assert!(
            response
                .text()
                .await
                .expect("text")
                .starts_with("<!DOCTYPE html>")
        );
    }

    let flaky = of(Behaviour::Flaky);
    let statuses = {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let response = get(flaky.url("/")).await.expect("answer");
            let has_date = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(has_date, response.status() == 503);
            statuses.push(response.status().as_u16());
        }
        statuses
    };
    assert!(statuses[0] >= 500 && statuses[3] == 200, "{statuses:?}");

    let www = of(Behaviour::ApexToWww);
    let response = get(format!("http://{}/x?y=1", www.host))
        .await
        .expect("answer");
    assert_eq!(
        response.headers()[LOCATION],
        format!("http://www.{}/x?y=1", www.host)
    );
    let apex = of(Behaviour::WwwToApex);
    let response = get(format!("http://www.{}/", apex.host))
        .await
        .expect("answer");
    assert_eq!(
        response.headers()[LOCATION],
        format!("http://{}/", apex.host)
    );

    let bare = of(Behaviour::WwwOnly);
    for (www, status) in [("", 404), ("www.", 200)] {
        let response = get(format!("http://{www}{}/", bare.host)).await;
        assert_eq!(response.expect("answer").status(), status, "{www}");
    }
    let leading = of(Behaviour::LeadsOn);
    let stub = get(leading.url("/")).await.expect("answer").text().await;
    assert_eq!(led_on(&stub.expect("text")), Some("/index.html"));
    let checking = of(Behaviour::CookieCheck);
    let mut asked = client.get(checking.url("/")).build().expect("request");
    for has_cookie in [true, false] {
        let response = client.execute(asked.try_clone().expect("a copy")).await;
        let response = response.expect("answer");
        assert_eq!(response.status() == 200, has_cookie);
        assert_eq!(response.headers().contains_key(SET_COOKIE), !has_cookie);
        // Sent as it is, an empty one counts as none.
        asked
            .headers_mut()
            .insert(COOKIE, HeaderValue::from_static(""));
    }

    let private = of(Behaviour::PrivateRedirect);
    let response = get(private.url("/terms")).await.expect("answer");
    assert_eq!(response.headers()[LOCATION], "http://10.0.0.1/login");

    let gone = site(&web, |site| site.sitemap_form == SitemapForm::WellKnown);
    assert_eq!(
        get(gone.url("/robots.txt")).await.expect("answer").status(),
        404
    );

    let gzip = site(&web, |site| site.sitemap_form == SitemapForm::Gzip);
    let bytes = get(gzip.url("/sitemap.xml.gz"))
        .await
        .expect("answer")
        .bytes()
        .await
        .expect("body");
    assert_eq!(bytes.get(..2), Some([0x1f, 0x8b].as_slice()));

    let unknown = get("http://nobody.example.org/".to_owned())
        .await
        .expect("answer");
    assert_eq!(unknown.status(), 421);
    assert_eq!(server.stats().unknown_host_requests, 1);
}

#[tokio::test]
async fn requests_are_accounted_by_host() {
    let web = Web::generate(1, 60);
    let server = web.serve().await.expect("server");
    let client = standing(server.address);
    let polite = site(&web, |site| site.behaviour == Behaviour::RobotsDisallow);
    let forbidden = polite.disallowed.first().expect("a rule").clone();
    for path in ["/robots.txt", "/", forbidden.as_str()] {
        client.get(polite.url(path)).send().await.expect("answer");
    }
    let slow = site(&web, |site| site.behaviour == Behaviour::Slow);
    let slow_requests = (0..3).map(|_| client.get(slow.url("/")).send());
    for response in futures_util::future::join_all(slow_requests).await {
        assert_eq!(response.expect("answer").status(), 200);
    }
    let stats = server.stats();
    let of_host = &stats.hosts[&polite.host];
    assert_eq!(
        (of_host.requests, of_host.max_concurrent, of_host.violations),
        (3, 1, 1)
    );
    assert!(of_host.shortest_gap.is_some());
    assert_eq!(
        stats.violations,
        [Violation {
            host: polite.host.clone(),
            path: forbidden
        }]
    );
    assert_eq!(stats.hosts[&slow.host].max_concurrent, 3);
    assert_eq!(stats.requests, 6);
    assert!(
        server
            .state
            .account()
            .open
            .values()
            .all(|open| open.requests == 0)
    );
}

#[tokio::test]
async fn places_api_answers_over_http() {
    let web = Web::generate(1, 60);
    let server = web.serve().await.expect("server");
    let client = standing(server.address);
    let mut statuses = BTreeMap::<String, u32>::new();
    for place in web.places() {
        let url = format!(
            "http://{PLACES_HOST}{PLACES_PATH}?placeid={}&fields=place_id,website,opening_hours&key=demo",
            place.place_id
        );
        let answer: serde_json::Value = client
            .get(url)
            .send()
            .await
            .expect("answer")
            .json()
            .await
            .expect("json");
        let status = answer["status"].as_str().expect("status").to_owned();
        if status == "OK" {
            let planted = web
                .truth()
                .businesses
                .iter()
                .find(|business| business.place_id == place.place_id);
            assert_eq!(
                answer["result"]["website"].as_str(),
                planted.expect("planted").website.as_deref()
            );
        }
        *statuses.entry(status).or_default() += 1;
    }
    assert_eq!(statuses["OVER_QUERY_LIMIT"], 1, "{statuses:?}");
    assert!(
        statuses["OK"] >= 57 && statuses["NOT_FOUND"] >= 1,
        "{statuses:?}"
    );
    assert_eq!(server.stats().places_requests, 60);
    // Also without a resolver, by address.
    let direct = format!("http://{}{PLACES_PATH}?placeid=x&key=k", server.address);
    assert_eq!(
        client.get(direct).send().await.expect("answer").status(),
        200
    );
}

#[tokio::test]
async fn saved_sites_are_served_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let host = folder.path().join("Saved.com");
    std::fs::create_dir_all(host.join("contact")).expect("folder");
    std::fs::write(host.join("index.html"), "<title>home</title>").expect("file");
    std::fs::write(host.join("contact/index.html"), "<p>contact").expect("file");
    std::fs::write(host.join("sitemap.xml.gz"), [0x1f, 0x8b]).expect("file");
    std::fs::write(folder.path().join("secret.txt"), "secret").expect("file");

    let web = Web::from_folder(folder.path()).expect("web");
    assert_eq!(web.places().len(), 1);
    assert!(web.truth().is_empty());
    let server = web.serve().await.expect("server");
    let client = standing(server.address);
    for (url, status, content_type) in [
        ("http://saved.com/", 200, "text/html"),
        ("http://www.saved.com/contact", 200, "text/html"),
        ("http://saved.com/sitemap.xml.gz", 200, "application/gzip"),
        ("http://saved.com/missing", 404, "text/plain; charset=utf-8"),
        (
            "http://saved.com/%2e%2e%2fsecret.txt",
            404,
            "text/plain; charset=utf-8",
        ),
        ("http://other.com/", 421, "text/plain; charset=utf-8"),
    ] {
        let response = client.get(url).send().await.expect("answer");
        assert_eq!(response.status().as_u16(), status, "{url}");
        assert_eq!(response.headers()[CONTENT_TYPE], content_type, "{url}");
    }
    assert_eq!(server.stats().hosts["saved.com"].requests, 4);

    std::fs::write(
        folder.path().join("places.json"),
        r#"[{"place_id": "p1", "name": "Saved", "extra": 1}]"#,
    )
    .expect("file");
    let web = Web::from_folder(folder.path()).expect("web");
    assert_eq!(web.places()[0].place_id, "p1");
    std::fs::write(folder.path().join("places.json"), "{}").expect("file");
    assert!(matches!(
        Web::from_folder(folder.path()),
        Err(DemoError::ParsePlaces { .. })
    ));
    let empty = tempfile::tempdir().expect("folder");
    assert!(matches!(
        Web::from_folder(empty.path()),
        Err(DemoError::NoHosts(_))
    ));
    assert!(matches!(
        Web::from_folder(&empty.path().join("none")),
        Err(DemoError::Read { .. })
    ));
}

#[tokio::test]
async fn dropping_the_server_closes_the_port() {
    let web = Web::generate(1, 3);
    let server = web.serve().await.expect("server");
    let address = server.address;
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[test]
fn listed_spellings_lead_to_their_page() {
    let web = Web::generate(9, 60);
    let Sites::Generated(sites) = &web.content.sites else {
        panic!("generated web")
    };
    let mut spellings = HashSet::new();
    for site in sites {
        for listing in site.listings() {
            assert!(site.pages.contains_key(&listing.page), "{listing:?}");
            let listed = listing.listed.split('#').next().expect("path");
            if listed != listing.page {
                spellings.insert(listed.contains("utm_source") || listed.contains("gclid"));
            }
        }
        for sitemap in site.sitemaps.values() {
            if let SitemapBody::Index(children) = &sitemap.body {
                assert!(
                    children
                        .iter()
                        .all(|child| site.sitemaps.contains_key(child))
                );
            }
        }
        if site.sitemap_form == SitemapForm::Large {
            assert_eq!(
                site.listings().count(),
                2_000 - usize::from(has_html_sitemap(site))
            );
        }
    }
    assert_eq!(spellings.len(), 2);
}

fn has_html_sitemap(site: &Site) -> bool {
    site.pages
        .values()
        .any(|page| page.kind == PageKind::HtmlSitemap)
}

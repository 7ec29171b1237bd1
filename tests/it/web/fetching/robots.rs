//! robots.txt in every state it can be in.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use gleaner::web::fetch::{Client, Config, Decision, FetchError, RequestOptions, RobotsAnswer};

use super::reach::Script;
use super::{OK, class, client, gzip, millis, url};
use crate::support::nasty::{Nasty, keep_silent, redirect, response, send};

fn obedient(server: &Nasty) -> Client {
    client(|config| {
        config.robots = true;
        config.proxy_hosts_to = Some(server.address);
    })
}

/// A server with this answer for robots.txt and a page at every other path.
async fn site(robots: Vec<u8>) -> Nasty {
    Nasty::start(move |request, mut stream| {
        let answer = match request.path.as_str() {
            "/robots.txt" => robots.clone(),
            _ => response(OK, &[], b"page"),
        };
        async move { send(&mut stream, &answer).await }
    })
    .await
}

#[tokio::test]
async fn robots_txt_is_obeyed_in_every_state_it_can_be_in() {
    let rules = b"User-agent: *\nDisallow: /private\nSitemap: https://x.example/s.xml\n";
    let html = b"<!doctype html><title>Not found</title>";
    let mut huge = b"User-agent: *\n".to_vec();
    while huge.len() < 600 * 1024 {
        huge.extend_from_slice(b"Disallow: /private\n");
    }
    huge.extend_from_slice(b"Disallow: /public\n");
    for (name, robots, public, private) in [
        ("rules", response(OK, &[], rules), "ok", "robots_disallowed"),
        (
            "gzip",
            {
                let coded = gzip(rules);
                response(OK, &[("Content-Encoding", "gzip")], &coded)
            },
            "ok",
            "robots_disallowed",
        ),
        ("huge", response(OK, &[], &huge), "ok", "robots_disallowed"),
        ("missing", response("404 Not Found", &[], html), "ok", "ok"),
        (
            "forbidden",
            response("403 Forbidden", &[], html),
            "ok",
            "ok",
        ),
        ("html", response(OK, &[], html), "ok", "ok"),
        ("empty", response(OK, &[], b""), "ok", "ok"),
        ("circle", redirect("/robots.txt"), "ok", "ok"),
        (
            "error",
            response("500 Oops", &[], rules),
            "robots_unreachable",
            "robots_unreachable",
        ),
        (
            "busy",
            response("503 Busy", &[], b""),
            "robots_unreachable",
            "robots_unreachable",
        ),
        (
            "limited",
            response("429 Slow", &[], b""),
            "robots_unreachable",
            "robots_unreachable",
        ),
        ("broken", b"garbage".to_vec(), "transport", "transport"),
    ] {
        let server = site(robots).await;
        let client = obedient(&server);
        for (path, expected) in [("/public", public), ("/private/x", private)] {
            let page = url(&format!("http://site.example{path}"));
            let answer = client.get(&page).await;
            let found = answer.as_ref().map_or_else(FetchError::class, |_| "ok");
            assert_eq!(found, expected, "{name} {path}");
        }
        let asked = server
            .paths()
            .iter()
            .filter(|path| *path == "/robots.txt")
            .count();
        assert_eq!(asked, 1, "{name}: asked once, good or bad");
    }
}

#[tokio::test]
async fn unreachable_robots_txt_snoozes_the_item() {
    let server = site(response("502 Bad Gateway", &[("Retry-After", "300")], b"")).await;
    let error = obedient(&server)
        .get(&url("http://site.example/"))
        .await
        .unwrap_err();
    let Decision::Snooze { after } = error.decision() else {
        panic!("{error:?}")
    };
    assert!(
        after > Duration::from_secs(290) && after <= Duration::from_secs(300),
        "{after:?}"
    );
}

#[tokio::test]
async fn known_rules_outlive_an_outage() {
    let is_down = Arc::new(AtomicUsize::new(0));
    let server = Nasty::start({
        let is_down = Arc::clone(&is_down);
        move |request, mut stream| {
            let answer = match (request.path.as_str(), is_down.load(Ordering::SeqCst)) {
                ("/robots.txt", 0) => response(OK, &[], b"User-agent: *\nDisallow: /private"),
                ("/robots.txt", _) => response("500 Oops", &[], b""),
                _ => response(OK, &[], b"page"),
            };
            async move { send(&mut stream, &answer).await }
        }
    })
    .await;
    let client = client(|config| {
        config.robots = true;
        config.robots_ttl = Duration::from_nanos(1);
        config.robots_error_ttl = Duration::from_nanos(1);
        config.proxy_hosts_to = Some(server.address);
    });
    for down in [0, 1, 1] {
        is_down.store(down, Ordering::SeqCst);
        assert!(client.get(&url("http://site.example/public")).await.is_ok());
        assert_eq!(
            class(&client, &url("http://site.example/private")).await,
            "robots_disallowed"
        );
    }
    assert!(
        server
            .paths()
            .iter()
            .filter(|path| *path == "/robots.txt")
            .count()
            >= 3
    );
}

#[tokio::test]
async fn robots_txt_is_fetched_once_for_many() {
    let server = site(response(
        OK,
        &[],
        b"User-agent: GleanerTest\nDisallow: /no\n",
    ))
    .await;
    let client = obedient(&server);
    let pages: Vec<_> = (0..20)
        .map(|n| url(&format!("http://site.example/{n}")))
        .collect();
    let answers = join_all(pages.iter().map(|page| client.get(page))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let asked = server
        .paths()
        .iter()
        .filter(|path| *path == "/robots.txt")
        .count();
    assert_eq!((asked, server.paths().len()), (1, 21));
    assert_eq!(
        class(&client, &url("http://site.example/no")).await,
        "robots_disallowed"
    );
    // Another origin of the same host has a file of its own.
    client.get(&url("https://site.example/1")).await.unwrap();
    let asked = server
        .paths()
        .iter()
        .filter(|path| *path == "/robots.txt")
        .count();
    assert_eq!(asked, 2);
    let RobotsAnswer::Rules(_) = client.robots(&pages[0]).await else {
        panic!("no rules")
    };
    let api = RequestOptions {
        ignore_robots: true,
        ..RequestOptions::default()
    };
    assert!(
        client
            .get_with(&url("http://site.example/no"), api)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn redirected_page_needs_the_permission_of_where_it_lands() {
    let server = Nasty::start(async |request, mut stream| {
        let answer = match (request.header("host").unwrap(), request.path.as_str()) {
            ("strict.example", "/robots.txt") => {
                response(OK, &[], b"User-agent: *\nDisallow: /\nCrawl-delay: 7")
            }
            ("moved.example", "/robots.txt") => redirect("http://strict.example/robots.txt"),
            (_, "/robots.txt") => response("404 Not Found", &[], b""),
            ("open.example", _) => redirect("http://strict.example/page"),
            _ => response(OK, &[], b"page"),
        };
        send(&mut stream, &answer).await;
    })
    .await;
    let client = obedient(&server);
    assert_eq!(
        class(&client, &url("http://open.example/")).await,
        "robots_disallowed"
    );
    assert_eq!(
        class(&client, &url("http://moved.example/")).await,
        "robots_disallowed"
    );
    assert!(!server.paths().contains(&"/page".to_owned()));
    let answer = client.robots(&url("http://strict.example/")).await;
    assert_eq!(
        answer.crawl_delay("GleanerTest"),
        Some(Duration::from_secs(7))
    );
}

#[tokio::test]
async fn crawl_delay_is_kept_and_does_not_forbid_redirects() {
    let server = Nasty::start(async |request, mut stream| {
        let answer = match request.path.as_str() {
            "/robots.txt" => response(OK, &[], b"User-agent: *\nCrawl-delay: 20"),
            "/old" => redirect("/new"),
            _ => response(OK, &[], b"page"),
        };
        send(&mut stream, &answer).await;
    })
    .await;
    let client = obedient(&server);
    let answer = client.get(&url("http://site.example/old")).await.unwrap();
    assert_eq!(answer.url.path(), "/new");
    let busy = client.get(&url("http://site.example/")).await.unwrap_err();
    let Decision::Snooze { after } = busy.decision() else {
        panic!("{busy:?}")
    };
    assert!(
        after > Duration::from_secs(15) && after <= Duration::from_secs(20),
        "{after:?}"
    );
}

#[tokio::test]
async fn host_that_does_not_exist_is_not_snoozed_for_ever() {
    let config = Config {
        robots: true,
        ..Config::for_tests()
    };
    let client = Client::with_lookup(config, Script::new(&[])).unwrap();
    let error = client
        .get(&url("http://nowhere.example/"))
        .await
        .unwrap_err();
    let second = client
        .get(&url("http://nowhere.example/"))
        .await
        .unwrap_err();
    for error in [error, second] {
        // Charged, but only for tries that were made.
        let Decision::Retry { after: Some(after) } = error.decision() else {
            panic!("{error:?}")
        };
        assert_eq!(error.class(), "dns");
        assert!(
            after > Duration::from_secs(50) && after <= Duration::from_secs(60),
            "{after:?}"
        );
    }
    let blocked = client.get(&url("http://10.0.0.1/")).await.unwrap_err();
    assert_eq!(blocked.class(), "blocked");
}

#[tokio::test]
async fn dropped_fetch_gives_its_turn_back() {
    let server = Nasty::start(async |request, mut stream| match request.path.as_str() {
        "/silent" => keep_silent(&mut stream).await,
        _ => send(&mut stream, &response(OK, &[], b"page")).await,
    })
    .await;
    let client = client(|config| config.per_host_concurrency = NonZeroUsize::MIN);
    let silent = server.url("/silent");
    tokio::time::timeout(millis(100), client.get(&silent))
        .await
        .unwrap_err();
    let (_head, body) = client
        .stream(&server.url("/"), RequestOptions::default())
        .await
        .unwrap();
    drop(body);
    assert!(client.get(&server.url("/")).await.is_ok());
}

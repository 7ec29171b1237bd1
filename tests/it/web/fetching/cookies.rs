//! Cookies: kept for one fetch, for the site that set them, and bounded.

use gleaner::web::fetch::FetchError;

use super::{OK, client, url};
use crate::support::nasty::{Nasty, response, send};

fn sending(to: &str, cookies: &[&str]) -> Vec<u8> {
    let mut headers = vec![("Location", to)];
    headers.extend(cookies.iter().map(|line| ("Set-Cookie", *line)));
    response("302 Found", &headers, b"")
}

/// What a place answers, with the cookies that came along.
fn answer(place: &str, cookies: &str) -> Vec<u8> {
    match (place, cookies) {
        // To itself, until the cookie comes back.
        ("kettle.com/self", "") => sending("/self", &["seen=1"]),
        // By way of a check, for the whole domain.
        ("kettle.com/checked", "") => sending(
            "https://www.kettle.com/check",
            &["sid=7; Domain=kettle.com; Path=/"],
        ),
        ("www.kettle.com/check", "sid=7") => sending("https://kettle.com/checked", &[]),
        // Another one each time, for ever.
        ("kettle.com/more", known) => sending(
            "/more",
            &[
                &format!("n={}", known.len()),
                &format!("c{}=1", known.len()),
            ],
        ),
        // The same one each time.
        ("kettle.com/stuck", _) => sending("/stuck", &["seen=1"]),
        // By way of somebody else.
        ("kettle.com/away", "") => sending(
            "https://pot.com/there",
            &["own=1", "all=1; Domain=com", "his=1; Domain=pot.com"],
        ),
        ("pot.com/there", "") => sending(
            "https://kettle.com/back",
            &["foreign=1", "theirs=1; Domain=kettle.com"],
        ),
        ("kettle.com/back", "own=1") => response(OK, &[], b"back"),
        ("kettle.com/self", "seen=1") | ("kettle.com/checked", "sid=7") => {
            response(OK, &[("Set-Cookie", "late=1")], b"in")
        }
        _ => response("403 Forbidden", &[], b"no cookies"),
    }
}

async fn web() -> Nasty {
    Nasty::start(async |seen, mut stream| {
        let place = format!("{}{}", seen.header("host").unwrap_or_default(), seen.path);
        let cookies = seen.header("cookie").unwrap_or_default();
        send(&mut stream, &answer(&place, cookies)).await;
    })
    .await
}

#[tokio::test]
async fn what_is_set_on_the_way_goes_back_and_is_forgotten() {
    let server = web().await;
    let client = client(|config| config.proxy_hosts_to = Some(server.address));
    for (target, redirects) in [
        ("https://kettle.com/self", 1),
        ("https://kettle.com/checked", 2),
        ("https://kettle.com/away", 2),
    ] {
        // Twice: nothing of the first time is known the second.
        for _ in 0..2 {
            let answer = client.get(&url(target)).await.unwrap();
            assert_eq!(
                (answer.status, answer.redirects),
                (200, redirects),
                "{target}"
            );
        }
    }
    let to_others = server.seen();
    let to_others = to_others
        .iter()
        .filter(|seen| seen.header("host") == Some("pot.com"));
    assert!(
        to_others
            .clone()
            .all(|seen| seen.header("cookie").is_none())
    );
    assert_eq!(to_others.count(), 2);
}

#[tokio::test]
async fn a_circle_stays_one_whatever_is_set() {
    let server = web().await;
    let client = client(|config| config.proxy_hosts_to = Some(server.address));
    for (target, requests) in [
        ("https://kettle.com/stuck", 2),
        ("https://kettle.com/more", 9),
    ] {
        let before = server.seen().len();
        let error = client.get(&url(target)).await.unwrap_err();
        assert!(
            matches!(error, FetchError::TooManyRedirects { .. }),
            "{error}"
        );
        assert_eq!(server.seen().len() - before, requests, "{target}");
    }
}

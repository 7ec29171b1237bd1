//! The cookie that carries a session.
//!
//! Over TLS its name begins with `__Host-`, so that neither a page of a neighbouring host nor one without TLS can plant another.
//! Without TLS there are sessions on this machine alone: elsewhere, browsers keep no cookie that is `Secure`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::documents::session::LIFETIME;
use crate::http::guard;

const SECURE_NAME: &str = "__Host-gleaner_session";
const PLAIN_NAME: &str = "gleaner_session";
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The host that a request is for, as its browser has it.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Whether its browser is to be taken to have come by TLS: a proxy says so, or the host is not this machine.
pub(super) fn is_secure(headers: &HeaderMap) -> bool {
    let forwarded = headers.get(FORWARDED_PROTO);
    let is_https = forwarded
        .and_then(|value| value.to_str().ok())
        .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
    is_https || !host(headers).is_some_and(guard::is_loopback_host)
}

fn name(headers: &HeaderMap) -> &'static str {
    if is_secure(headers) {
        SECURE_NAME
    } else {
        PLAIN_NAME
    }
}

/// What the cookies of this request say; of two of the name, both.
pub(super) fn values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let wanted = name(headers);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(move |(name, value)| (name == wanted).then_some(value))
}

/// What has the browser keep it.
pub(super) fn set(headers: &HeaderMap, value: &str) -> Option<HeaderValue> {
    line(headers, value, LIFETIME)
}

/// What has the browser forget it.
pub(super) fn clear(headers: &HeaderMap) -> Option<HeaderValue> {
    line(headers, "", 0)
}

fn line(headers: &HeaderMap, value: &str, seconds: i64) -> Option<HeaderValue> {
    let secure = if is_secure(headers) { "; Secure" } else { "" };
    let name = name(headers);
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn away_from_this_machine_it_goes_over_tls_alone() {
        for (lines, expected) in [
            (vec![(header::HOST, "localhost:8080")], false),
            (vec![(header::HOST, "127.0.0.1:8080")], false),
            (vec![(header::HOST, "docs.example")], true),
            (vec![(header::HOST, "localhost.docs.example")], true),
            (vec![], true),
            (
                vec![(header::HOST, "localhost"), (FORWARDED_PROTO, "https")],
                true,
            ),
            (
                vec![(header::HOST, "docs.example"), (FORWARDED_PROTO, "http")],
                true,
            ),
        ] {
            let headers = headers(&lines);
            let line = set(&headers, "x").unwrap();
            let line = line.to_str().unwrap();
            assert_eq!(line.ends_with("; Secure"), expected, "{line}");
            assert_eq!(line.starts_with("__Host-"), expected, "{line}");
            assert!(
                line.contains("; HttpOnly; SameSite=Lax; Max-Age=604800"),
                "{line}"
            );
        }
        let gone = clear(&headers(&[(header::HOST, "localhost")])).unwrap();
        assert_eq!(
            gone,
            "gleaner_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn it_is_found_among_others_and_under_its_own_name_only() {
        let cookies =
            "a=b; gleaner_session=one;gleaner_session=two; x; __Host-gleaner_session=three";
        let found = |host| {
            let headers = headers(&[
                (header::HOST, host),
                (header::COOKIE, cookies),
                (header::COOKIE, "gleaner_session=four"),
            ]);
            values(&headers).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found("localhost"), ["one", "two", "four"]);
        assert_eq!(found("docs.example"), ["three"]);
    }
}

//! What every request goes through before it is answered: its host, where it comes from, its token, its time.
//!
//! A browser on the operator's machine can be made to send requests here by any page it has open. Three things stop that:
//! the host must be ours (a page that has its name resolve to 127.0.0.1 carries its own name in `Host`), what changes
//! something must come from a page of ours or from no page at all, and no answer allows another origin to read it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::extract::{Request, State as Held};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{State, problem};

/// Longest time one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest body of a request, in bytes. What is sent here is small.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// Says "a program, not a page": a page of another origin cannot set it without being asked for permission first, which is
/// never given.
const REQUESTED_BY: HeaderName = HeaderName::from_static("x-requested-by");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers within the time, whatever happens.
pub(crate) async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            "no answer could be had in time",
        ),
    }
}

/// Refuses a body that says it is larger than any we take. One that does not say is cut off where it is read.
pub(crate) async fn small_body(request: Request, next: Next) -> Response {
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            &format!("the body may have {MAX_BODY} bytes"),
        );
    }
    next.run(request).await
}

/// Headers that hold for every answer. A handler that set one itself knows better.
pub(crate) async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The name in a `Host`, which is a name or an address in brackets, and maybe a port, and nothing else: what it would be taken for
/// by somebody who reads it otherwise is not for us to guess.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    // It is of no interest: a forwarded one differs from ours.
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.len() <= 5 && digits.bytes().all(|digit| digit.is_ascii_digit())
        });
    is_port.then_some(name)
}

/// Whether a `Host` names this machine's loopback.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let Some(name) = host_name(host) else {
        return false;
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether the request is meant for a server on loopback. Without a `Host` it comes from no browser, and none sends two.
fn is_meant_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_other = |authority: &Authority| !is_loopback_host(authority.as_str());
    if uri.authority().is_some_and(is_other) || is_repeated(headers, &header::HOST) {
        return false;
    }
    headers
        .get(header::HOST)
        .is_none_or(|host| host.to_str().is_ok_and(is_loopback_host))
}

/// Whether a header is there more than once.
fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Against DNS rebinding, where nothing but the address protects us: on loopback without a token.
pub(crate) async fn loopback_host_only(request: Request, next: Next) -> Response {
    if is_meant_for_loopback(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    problem(
        StatusCode::MISDIRECTED_REQUEST,
        "wrong_host",
        "without an admin token only localhost is answered; behind a proxy, set http.admin_token",
    )
}

/// Why a request that would change something is refused, if it may come from a page that is not ours.
///
/// Source of the rules: <https://www.w3.org/TR/fetch-metadata/> for `Sec-Fetch-Site`, which browsers set and pages cannot;
/// the CORS-safelisted request headers of <https://fetch.spec.whatwg.org/> for what a page may send without asking.
pub(crate) fn foreign(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // Of two of these, whoever else reads them may take the other.
    let judged = [
        FETCH_SITE,
        header::ORIGIN,
        header::HOST,
        header::CONTENT_TYPE,
    ];
    if judged.iter().any(|name| is_repeated(headers, name)) {
        return Some("a header stands there twice of which there can only be one");
    }
    if let Some(site) = headers.get(FETCH_SITE) {
        // "none" is the user's own doing (an address typed in), which is never a POST.
        return (site != "same-origin").then_some("it comes from a page of another origin");
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .map(|(_scheme, authority)| authority);
        if authority.is_none() || authority != text(header::HOST) {
            return Some("it comes from a page of another origin");
        }
    }
    let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    let is_marked = headers.contains_key(REQUESTED_BY) || text(header::AUTHORIZATION).is_some();
    (!is_json && !is_marked)
        .then_some("send the header X-Requested-By, or Content-Type: application/json")
}

/// Lets through what only reads, and what no foreign page can have sent.
pub(crate) async fn own_pages_only(request: Request, next: Next) -> Response {
    let is_reading = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    match foreign(request.headers()).filter(|_| !is_reading) {
        None => next.run(request).await,
        Some(reason) => problem(
            StatusCode::FORBIDDEN,
            "cross_site",
            &format!("the request is refused: {reason}"),
        ),
    }
}

/// Compares in a time that does not depend on where the two differ.
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// The token that these headers carry. The scheme's name is case-insensitive (RFC 9110, 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
}

/// Whether these headers carry the token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    is_same(
        bearer(headers).unwrap_or_default().as_bytes(),
        token.as_bytes(),
    )
}

/// Whether the sender may see and do everything: it has the token, or there is none.
pub(crate) fn is_trusted(state: &State, headers: &HeaderMap) -> bool {
    state.admin_token.is_empty() || has_token(headers, state.admin_token.expose())
}

/// Asks for the admin token where there is one.
pub(crate) async fn require_token(
    Held(state): Held<State>,
    request: Request,
    next: Next,
) -> Response {
    if is_trusted(&state, request.headers()) {
        return next.run(request).await;
    }
    let refused = problem(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "the admin token is needed, as Authorization: Bearer TOKEN",
    );
    ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_names_of_loopback_are_answered() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.:8080", true),
            ("127.0.0.1:8080", true),
            ("127.8.9.1", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("evil.example", false),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.0.2:8080", false),
            ("0.0.0.0:8080", false),
            ("[2001:db8::1]:8080", false),
            ("[::1]:", true),
            ("[::1", false),
            ("", false),
            ("[::1]evil.example", false),
            ("[::1].evil.example:80", false),
            ("[localhost]", false),
            ("[127.0.0.1]", false),
            ("::1", false),
            ("localhost:evil.example", false),
            ("localhost:80@evil.example", false),
            ("localhost@evil.example", false),
            ("me@localhost", false),
            ("localhost:123456", false),
            ("localhost:+80", false),
            ("localhost:80:80", false),
            ("localhost/.evil.example", false),
            ("localhost, evil.example", false),
            ("127.0.0.1#evil.example", false),
        ] {
            assert_eq!(is_loopback_host(host), expected, "{host}");
        }
        let uri = |text: &'static str| Uri::from_static(text);
        let good = headers(&[("host", "localhost")]);
        assert!(is_meant_for_loopback(&uri("/"), &HeaderMap::new()));
        assert!(is_meant_for_loopback(&uri("/"), &good));
        assert!(!is_meant_for_loopback(&uri("http://evil.example/"), &good));
        assert!(!is_meant_for_loopback(&uri("http://me@localhost/"), &good));
        for other in ["evil.example", "localhost"] {
            let mut twice = good.clone();
            twice.append(header::HOST, HeaderValue::from_static(other));
            assert!(!is_meant_for_loopback(&uri("/"), &twice), "{other}");
        }
    }

    #[test]
    fn no_foreign_page_changes_anything() {
        for (what, lines, is_refused) in [
            (
                "a form of another site",
                vec![
                    ("sec-fetch-site", "cross-site"),
                    ("content-type", "text/plain"),
                ],
                true,
            ),
            (
                "another port of this machine",
                vec![("sec-fetch-site", "same-site"), ("x-requested-by", "x")],
                true,
            ),
            ("our page", vec![("sec-fetch-site", "same-origin")], false),
            (
                "a browser claiming JSON from elsewhere",
                vec![
                    ("sec-fetch-site", "cross-site"),
                    ("content-type", "application/json"),
                ],
                true,
            ),
            (
                "an old browser's form",
                vec![
                    ("origin", "http://evil.example"),
                    ("host", "localhost:8080"),
                    ("x-requested-by", "x"),
                ],
                true,
            ),
            (
                "an opaque origin",
                vec![
                    ("origin", "null"),
                    ("host", "localhost:8080"),
                    ("x-requested-by", "x"),
                ],
                true,
            ),
            (
                "an old browser's form, origin hidden",
                vec![("content-type", "application/x-www-form-urlencoded")],
                true,
            ),
            (
                "our page in an old browser",
                vec![
                    ("origin", "http://localhost:8080"),
                    ("host", "localhost:8080"),
                    ("content-type", "application/json"),
                ],
                false,
            ),
            ("curl as it is", vec![("host", "localhost:8080")], true),
            (
                "curl with the header",
                vec![("x-requested-by", "me")],
                false,
            ),
            (
                "curl with JSON",
                vec![("content-type", "application/json; charset=utf-8")],
                false,
            ),
            (
                "curl with text that mentions JSON",
                vec![("content-type", "text/plain; application/json")],
                true,
            ),
            (
                "curl with a token",
                vec![("authorization", "Bearer x")],
                false,
            ),
        ] {
            assert_eq!(foreign(&headers(&lines)).is_some(), is_refused, "{what}");
        }
    }

    #[test]
    fn of_two_headers_neither_counts() {
        let ours = [
            ("origin", "http://localhost:8080"),
            ("host", "localhost:8080"),
            ("content-type", "application/json"),
        ];
        assert_eq!(foreign(&headers(&ours)), None);
        for (name, other) in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:8080"),
            ("host", "evil.example"),
            ("content-type", "text/plain"),
        ] {
            let mut twice = headers(&ours);
            twice.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(other),
            );
            assert!(foreign(&twice).is_some(), "{name}: {other}");
        }
        let mut unreadable = headers(&ours);
        let value = HeaderValue::from_bytes(b"same-origin\xff").expect("a value");
        unreadable.insert(FETCH_SITE, value);
        assert!(foreign(&unreadable).is_some());
    }

    #[test]
    fn the_token_must_be_exact() {
        for (value, expected) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer  secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("Bearer Secret", false),
            ("Bearer", false),
            ("Basic secret", false),
            ("secret", false),
            ("", false),
        ] {
            let given = headers(&[("authorization", value)]);
            assert_eq!(has_token(&given, "secret"), expected, "{value}");
        }
        assert!(!has_token(&HeaderMap::new(), "secret"));
    }
}

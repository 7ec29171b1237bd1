//! URLs as they are stored and fetched, and the keys by which they are told apart.
//!
//! Parsing is the WHATWG URL standard's (the `url` crate): percent-encoding, IDNA, dot segments and the default port are its
//! business. On top of it this module refuses what a crawler cannot fetch, and removes what does not choose the page: user
//! name and password, fragment, tracking parameters, a trailing dot of the host, other spellings of a path's escapes. The case of
//! a path and its trailing slash stay, because they do choose the page; and so do the order and the spelling of the parameters,
//! because servers tell some by their place and sign others. Where they choose the same page all the same, [`key()`] is equal.

mod key;
mod spelling;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use percent_encoding::percent_decode_str;
pub use url::Url;

pub use self::key::key;
use self::key::order_matters;
use self::spelling::spelled;

/// The longest text taken for a URL, in bytes: four times what browsers and the sitemap protocol (2,048) allow.
pub const MAX_URL_BYTES: usize = 8 * 1024;

/// Why a text is not a URL that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing but white space.
    #[error("the url is empty")]
    Empty,
    /// Longer than [`MAX_URL_BYTES`].
    #[error("the url has {bytes} bytes, more than {MAX_URL_BYTES}")]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
    /// Another scheme than http or https.
    #[error("the scheme {scheme:?} is not http or https")]
    Scheme {
        /// The scheme found, in lower case, at most 32 characters of it.
        scheme: String,
    },
    /// A path, query or fragment without a host.
    #[error("the url has no host")]
    NoHost,
    /// The WHATWG parser refuses it.
    #[error("the url cannot be parsed")]
    Syntax(#[source] url::ParseError),
}

/// Names of query parameters that are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingParameters {
    exact: HashSet<String>,
    prefixes: Vec<String>,
    /// Names that stay, whatever prefix covers them.
    kept: HashSet<String>,
}

static DEFAULT_TRACKING: LazyLock<Arc<TrackingParameters>> = LazyLock::new(|| {
    Arc::new(TrackingParameters::parse(include_str!(
        "data/tracking_parameters.txt"
    )))
});

impl TrackingParameters {
    /// Returns the list that is built in.
    #[must_use]
    pub fn built_in() -> &'static Arc<Self> {
        &DEFAULT_TRACKING
    }

    /// Reads one name per line; `name*` is a prefix, `#` starts a comment line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::from_names(text.lines())
    }

    /// Collects names, each exact or with a trailing `*` for a prefix; blank ones and comments are passed over.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        for name in names {
            let name = name.trim().to_ascii_lowercase();
            if name.is_empty() || name.starts_with('#') {
                continue;
            }
            match name.strip_suffix('*') {
                Some(prefix) => list.prefixes.push(prefix.to_owned()),
                None => {
                    list.exact.insert(name);
                }
            }
        }
        list
    }

    /// The built-in list with further names, and without those in `keep`.
    ///
    /// A name in `keep` is kept even where a prefix of the list covers it; `utm_*` in `keep` takes that prefix off the list.
    #[must_use]
    pub fn adjusted<'a>(
        extra: impl IntoIterator<Item = &'a str>,
        keep: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut list = Self::clone(Self::built_in());
        let extra = Self::from_names(extra);
        list.exact.extend(extra.exact);
        list.prefixes.extend(extra.prefixes);
        let keep = Self::from_names(keep);
        list.exact.retain(|name| !keep.contains(name));
        list.prefixes
            .retain(|prefix| !keep.prefixes.contains(prefix));
        list.kept = keep.exact;
        list
    }

    /// Says whether a parameter of this name is dropped.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let lower: Cow<'_, str> = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        self.exact.contains(lower.as_ref())
            || self
                .prefixes
                .iter()
                .any(|prefix| lower.starts_with(prefix.as_str()))
                && !self.kept.contains(lower.as_ref())
    }
}

/// Parses and normalises a URL, with the built-in list of tracking parameters.
///
/// A text without a scheme (`example.com/x`, `//example.com`) is taken as https. What is returned fetches the page that was given;
/// whether two addresses are one is told by [`key()`].
///
/// # Errors
///
/// See [`UrlError`].
pub fn normalize(raw: &str) -> Result<Url, UrlError> {
    normalize_with(TrackingParameters::built_in(), raw)
}

/// As [`normalize`], dropping the parameters in `tracking`.
///
/// # Errors
///
/// See [`UrlError`].
pub fn normalize_with(tracking: &TrackingParameters, raw: &str) -> Result<Url, UrlError> {
    let text = trim(raw);
    if text.is_empty() {
        return Err(UrlError::Empty);
    }
    if text.len() > MAX_URL_BYTES {
        return Err(UrlError::TooLong { bytes: text.len() });
    }
    let text = without_line_breaks(text);
    let text = with_scheme(&text)?;
    let url = Url::parse(&text).map_err(UrlError::Syntax)?;
    tidy(tracking, url)
}

/// Resolves a link found on the page at `base`, and normalises it.
///
/// Returns `None` for what cannot be fetched: `mailto:`, `javascript:`, `data:` and whatever is no URL.
#[must_use]
pub fn resolve(base: &Url, href: &str) -> Option<Url> {
    resolve_with(TrackingParameters::built_in(), base, href)
}

/// As [`resolve`], dropping the parameters in `tracking`.
#[must_use]
pub fn resolve_with(tracking: &TrackingParameters, base: &Url, href: &str) -> Option<Url> {
    let text = trim(href);
    if text.len() > MAX_URL_BYTES {
        return None;
    }
    let url = base.join(text).ok()?;
    tidy(tracking, url).ok()
}

/// Trims white space, control characters and the invisible marks that copying from a page leaves behind.
fn trim(raw: &str) -> &str {
    raw.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}')
    })
}

/// Removes tabs and line breaks as the WHATWG parser would, so that the scheme is recognised first.
fn without_line_breaks(text: &str) -> Cow<'_, str> {
    if text.contains(['\t', '\n', '\r']) {
        Cow::Owned(text.replace(['\t', '\n', '\r'], ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Puts `https` before a text without a scheme, and refuses other schemes.
fn with_scheme(text: &str) -> Result<Cow<'_, str>, UrlError> {
    if text.starts_with("//") {
        return Ok(Cow::Owned(format!("https:{text}")));
    }
    let Some((before, rest)) = text.split_once([':', '/', '?', '#']) else {
        return Ok(Cow::Owned(format!("https://{text}")));
    };
    if before.eq_ignore_ascii_case("http") || before.eq_ignore_ascii_case("https") {
        // `http/x` and `https?` have no scheme; they fall through as hosts.
        if text.as_bytes().get(before.len()) == Some(&b':') {
            return Ok(Cow::Borrowed(text));
        }
    }
    let delimiter = text.as_bytes().get(before.len()).copied();
    if before.is_empty() {
        return Err(UrlError::NoHost);
    }
    if delimiter == Some(b':') && is_scheme(before) && !is_host_and_port(before, rest) {
        let scheme = before
            .chars()
            .take(32)
            .collect::<String>()
            .to_ascii_lowercase();
        return Err(UrlError::Scheme { scheme });
    }
    Ok(Cow::Owned(format!("https://{text}")))
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Tells `example.com:8080/x` from `tel:12345`: a host has a dot (or is localhost), and only digits follow.
fn is_host_and_port(before: &str, rest: &str) -> bool {
    let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (before.contains('.') || before.eq_ignore_ascii_case("localhost"))
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Removes from a parsed URL what does not choose the page.
fn tidy(tracking: &TrackingParameters, mut url: Url) -> Result<Url, UrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme().chars().take(32).collect();
        return Err(UrlError::Scheme { scheme });
    }
    let bare_host = match url.host_str() {
        None | Some("") => return Err(UrlError::NoHost),
        Some(host) => host
            .ends_with('.')
            .then(|| host.trim_end_matches('.').to_owned()),
    };
    if let Some(host) = bare_host {
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        url.set_host(Some(&host)).map_err(UrlError::Syntax)?;
    }
    if url.fragment().is_some() {
        url.set_fragment(None);
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for a URL without a host, which was refused above.
        url.set_username("")
            .and_then(|()| url.set_password(None))
            .map_err(|()| UrlError::NoHost)?;
    }
    if let Cow::Owned(path) = spelled(url.path()) {
        url.set_path(&path);
    }
    match url.query().map(|query| tidy_query(tracking, query)) {
        None | Some(Query::Unchanged) => {}
        Some(Query::Removed) => url.set_query(None),
        Some(Query::Changed(query)) => url.set_query(Some(&query)),
    }
    Ok(url)
}

enum Query {
    Unchanged,
    Changed(String),
    Removed,
}

/// A name as the server reads it.
fn decoded(name: &str) -> Cow<'_, str> {
    if name.contains('%') {
        percent_decode_str(name).decode_utf8_lossy()
    } else {
        Cow::Borrowed(name)
    }
}

/// Drops tracking parameters, and empty ones where all others have names. The rest stays as it was given.
fn tidy_query(tracking: &TrackingParameters, query: &str) -> Query {
    let is_tracking = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        tracking.contains(&decoded(name))
    };
    if query
        .split('&')
        .all(|own| !own.is_empty() && !is_tracking(own))
    {
        return Query::Unchanged;
    }
    let mut kept: Vec<&str> = query.split('&').filter(|own| !is_tracking(own)).collect();
    // An empty parameter holds a place where others are told by theirs.
    if !order_matters(&kept) {
        kept.retain(|own| !own.is_empty());
    }
    if kept.iter().all(|own| own.is_empty()) {
        Query::Removed
    } else {
        Query::Changed(kept.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        let found = normalize(raw).map_or_else(|err| format!("{err}"), String::from);
        assert_eq!(found, expected, "for {raw:?}");
    }

    #[test]
    fn the_list_can_be_adjusted() {
        let list = TrackingParameters::adjusted(["Shop_Ref", "aff_*"], ["gclid", "utm_id", "_hs*"]);
        for (name, dropped) in [
            ("shop_ref", true),
            ("AFF_1", true),
            ("utm_source", true),
            ("gclid", false),
            ("utm_id", false),
            ("_hsenc", false),
            ("id", false),
        ] {
            assert_eq!(list.contains(name), dropped, "{name}");
        }
    }

    #[test]
    fn one_text_for_one_page() {
        for (raw, expected) in [
            ("example.com", "https://example.com/"),
            ("example.com/x", "https://example.com/x"),
            ("  http://Example.COM/Path/ \n", "http://example.com/Path/"),
            ("//cdn.example.com/a", "https://cdn.example.com/a"),
            ("http://example.com:80/", "http://example.com/"),
            ("https://example.com:443/a", "https://example.com/a"),
            ("https://example.com:8443/a", "https://example.com:8443/a"),
            ("example.com:8080/a", "https://example.com:8080/a"),
            ("localhost:3000", "https://localhost:3000/"),
            ("http://user:secret@example.com/a", "http://example.com/a"),
            ("https://example.com/a#part", "https://example.com/a"),
            ("https://example.com./a", "https://example.com/a"),
            ("https://bücher.de/ä", "https://xn--bcher-kva.de/%C3%A4"),
            ("https://example.com/a/../b/./c", "https://example.com/b/c"),
            ("https://example.com/a?", "https://example.com/a"),
            (
                "https://example.com/a?b=2&a=1&b=1",
                "https://example.com/a?b=2&a=1&b=1",
            ),
            (
                "https://example.com/list?news&123&utm_source=x",
                "https://example.com/list?news&123",
            ),
            (
                "https://example.com/list?news&&123&",
                "https://example.com/list?news&&123&",
            ),
            (
                "https://example.com/f?z=%7e&Signature=a%2bb%3D&Expires=1",
                "https://example.com/f?z=%7e&Signature=a%2bb%3D&Expires=1",
            ),
            (
                "https://shop.example.com/products/kettle?_pos=1&_sid=abc&_ss=r&variant=1",
                "https://shop.example.com/products/kettle?variant=1",
            ),
            (
                "https://shop.example.com/products/kettle?pr_prod_strat=copurchase&pr_rec_id=1&pr_seq=uniform&pos=2",
                "https://shop.example.com/products/kettle?pos=2",
            ),
            ("https://example.com/a?&&", "https://example.com/a"),
            (
                "https://example.com/r%c3%b3%7Ea%2d%2f%25%4",
                "https://example.com/r%C3%B3~a-%2F%25%4",
            ),
            ("https://example.com/%%34%31", "https://example.com/%%341"),
            (
                "https://example.com/a?utm_source=x&UTM_Medium=y&id=7",
                "https://example.com/a?id=7",
            ),
            (
                "https://example.com/a?utm%5Fsource=x&i%64=7",
                "https://example.com/a?i%64=7",
            ),
            (
                "https://example.com/a?gclid=1&fbclid=2",
                "https://example.com/a",
            ),
            (
                "https://example.com/a?ref=home&source=x",
                "https://example.com/a?ref=home&source=x",
            ),
            (
                "https://example.com/a?&&q=%20x&",
                "https://example.com/a?q=%20x",
            ),
            (
                "https://example.com/?gclidx=1",
                "https://example.com/?gclidx=1",
            ),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http:example.com", "http://example.com/"),
            ("ht\ntp://example.com", "http://example.com/"),
            ("\u{200b}example.com\u{feff}", "https://example.com/"),
            ("http/x", "https://http/x"),
        ] {
            check(raw, expected);
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_refused() {
        for (raw, expected) in [
            ("", "the url is empty"),
            (" \u{feff}\t", "the url is empty"),
            (
                "mailto:a@example.com",
                "the scheme \"mailto\" is not http or https",
            ),
            (
                "JavaScript:alert(1)",
                "the scheme \"javascript\" is not http or https",
            ),
            ("tel:12345", "the scheme \"tel\" is not http or https"),
            (
                "file:///etc/passwd",
                "the scheme \"file\" is not http or https",
            ),
            (
                "ftp://example.com/",
                "the scheme \"ftp\" is not http or https",
            ),
            ("/path", "the url has no host"),
            ("?q", "the url has no host"),
            ("#top", "the url has no host"),
            ("http://", "the url cannot be parsed"),
            ("http://a b/", "the url cannot be parsed"),
            ("http://[::1", "the url cannot be parsed"),
            ("https://./", "the url has no host"),
        ] {
            check(raw, expected);
        }
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        assert!(matches!(normalize(&long), Err(UrlError::TooLong { .. })));
    }

    #[test]
    fn the_list_of_tracking_parameters_can_be_replaced() {
        let own = TrackingParameters::from_names(["session", "x_*", "", "# note"]);
        let url = normalize_with(
            &own,
            "https://example.com/?x_a=1&utm_source=2&Session=3&b=4",
        );
        assert_eq!(
            url.unwrap().as_str(),
            "https://example.com/?utm_source=2&b=4"
        );
    }

    #[test]
    fn links_are_resolved_against_their_page() {
        let base = Url::parse("https://example.com/shop/list?page=2").unwrap();
        for (href, expected) in [
            ("item", Some("https://example.com/shop/item")),
            ("../x", Some("https://example.com/x")),
            ("//other.org/y", Some("https://other.org/y")),
            ("http://other.org/y#z", Some("http://other.org/y")),
            (
                "?page=3&utm_campaign=x",
                Some("https://example.com/shop/list?page=3"),
            ),
            ("", Some("https://example.com/shop/list?page=2")),
            ("#top", Some("https://example.com/shop/list?page=2")),
            ("mailto:a@example.com", None),
            ("javascript:void(0)", None),
            ("data:text/html,x", None),
            ("http://exa mple/", None),
        ] {
            assert_eq!(
                resolve(&base, href).as_ref().map(Url::as_str),
                expected,
                "for {href:?}"
            );
        }
    }

    #[test]
    fn addresses_of_one_page_have_one_key() {
        for (one, other) in [
            (
                "https://example.com/a?b=2&a=1",
                "https://example.com/a?a=1&b=2",
            ),
            (
                "https://example.com/a?a=2&b&c=1",
                "https://example.com/a?a=2&b&c=1&utm_source=x",
            ),
            ("https://example.com/r%c3%b3za", "https://example.com/róza"),
            ("https://example.com/%7eann", "https://example.com/~ann"),
            (
                "https://example.com/s?q=%c3%a9&l=%7E",
                "https://example.com/s?l=~&q=é",
            ),
            ("https://example.com/s?%71=x", "https://example.com/s?q=x"),
            (
                "https://example.com/s?z=1&i[]=1&i[]=2",
                "https://example.com/s?i[]=1&z=1&i[]=2",
            ),
        ] {
            let (one, other) = (normalize(one).unwrap(), normalize(other).unwrap());
            assert_eq!(key(&one), key(&other), "{one} {other}");
        }
        for (one, other) in [
            (
                "https://example.com/list?news&123",
                "https://example.com/list?123&news",
            ),
            (
                "https://example.com/a?a=1&a=2",
                "https://example.com/a?a=2&a=1",
            ),
            (
                "https://example.com/q?i[][id]=1&i[][n]=2&i[][id]=3&i[][n]=4",
                "https://example.com/q?i[][id]=1&i[][id]=3&i[][n]=2&i[][n]=4",
            ),
            (
                "https://example.com/q?i%5b%5D[a]=1&i%5B%5D[b]=2",
                "https://example.com/q?i%5B%5D[b]=2&i%5b%5D[a]=1",
            ),
            ("https://example.com/a%2Fb", "https://example.com/a/b"),
            ("https://example.com/s?q=%26", "https://example.com/s?q=&"),
            ("https://example.com/a", "https://example.com/a?b=1"),
        ] {
            let (one, other) = (normalize(one).unwrap(), normalize(other).unwrap());
            assert_ne!(key(&one), key(&other), "{one} {other}");
        }
    }

    /// From the test data of the WHATWG's parser (`urltestdata.json`), without what is dropped here.
    #[test]
    fn urls_are_parsed_as_browsers_do() {
        for (raw, expected) in [
            ("http://example\t.\norg", "http://example.org/"),
            (
                "http://user:pass@foo:21/bar;par?b#c",
                "http://foo:21/bar;par?b",
            ),
            ("http://f:00000000000000000000080/c", "http://f/c"),
            ("http://f:0/c", "http://f:0/c"),
            ("http://f:b/c", "the url cannot be parsed"),
            ("http://f:999999/c", "the url cannot be parsed"),
            ("http://::@c@d:2", "http://d:2/"),
            ("http://foo.com/\\@", "http://foo.com//@"),
            ("http://example.com/foo/%2e%2", "http://example.com/foo/.%2"),
            (
                "http://example.com/foo/%2e./%2e%2e/.%2e/%2e.bar",
                "http://example.com/..bar",
            ),
            ("http://example.com////../..", "http://example.com//"),
            ("http://example.com/foo%41%7a", "http://example.com/fooAz"),
            ("http://www/foo%2Ehtml", "http://www/foo.html"),
            ("http://%25", "the url cannot be parsed"),
            ("http://Ｇｏ.com", "http://go.com/"),
            ("http://你好你好", "http://xn--6qqa088eba/"),
            ("http://0Xc0.0250.01", "http://192.168.0.1/"),
            ("http://192.168.0.257", "the url cannot be parsed"),
            ("http://[2001::1]:80", "http://[2001::1]/"),
            ("http://[::127.0.0.1]", "http://[::7f00:1]/"),
            ("http://[google.com]", "the url cannot be parsed"),
            ("http://a<b", "the url cannot be parsed"),
            ("http://ho%20st/", "the url cannot be parsed"),
            ("http://1e2", "http://1e2/"),
            (
                "https://x/\u{ffff}y?q=\u{ffff}",
                "https://x/%EF%BF%BFy?q=%EF%BF%BF",
            ),
        ] {
            check(raw, expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_second_pass_changes_nothing(raw in ".{0,200}") {
            if let Ok(url) = normalize(&raw) {
                let key = key(&url).into_owned();
                let again = Url::parse(&key).unwrap();
                prop_assert_eq!(super::key(&again), key);
                prop_assert_eq!(normalize(url.as_str()), Ok(url));
            }
        }

        #[test]
        fn likely_texts_are_stable(raw in "(http://|https://|//)?[a-zA-Z0-9.@:ü-]{1,20}(/[a-f2-7E.%#?&=+ ]{0,20})?") {
            if let Ok(url) = normalize(&raw) {
                prop_assert_eq!(normalize(url.as_str()), Ok(url.clone()));
                prop_assert!(url.fragment().is_none() && url.username().is_empty());
            }
        }
    }
}

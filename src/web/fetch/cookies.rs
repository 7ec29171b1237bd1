//! The cookies of one fetch: kept from hop to hop, and gone with it.
//!
//! Sites set a cookie and send their visitor on, and whoever comes without it is sent round in circles or to a page about cookies.
//! So what is set on the way goes back to whom it is for (RFC 6265, in short), for as long as that one fetch lasts. Nothing is kept
//! beyond it, and nobody is known again: the next fetch begins without any.

use std::time::SystemTime;

use gleaner_extract::domain::registrable;
use http::HeaderMap;
use http::header::{self, HeaderValue};
use url::{Host, Url};

/// Most cookies of one fetch, and most bytes of each, name and value together (RFC 6265, 6.1: at least 50, and 4,096).
const MAX_COOKIES: usize = 50;
const MAX_COOKIE_BYTES: usize = 4_096;
/// Most bytes that are sent back at once; servers refuse heads that are much larger.
const MAX_SENT_BYTES: usize = 8 * 1_024;

/// The cookies that have been set so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The host that it is for, and whether also for those below.
    host: String,
    is_for_subdomains: bool,
    path: String,
    is_secure: bool,
}

impl Jar {
    /// Takes what the answer from `url` sets, and drops what it takes back.
    pub(super) fn take(&mut self, url: &Url, headers: &HeaderMap, now: SystemTime) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Some((cookie, is_over)) = Cookie::read(line.as_bytes(), url, now) else {
                continue;
            };
            self.cookies.retain(|known| !known.is_replaced_by(&cookie));
            if !is_over && self.cookies.len() < MAX_COOKIES {
                self.cookies.push(cookie);
            }
        }
    }

    /// What is sent along to `url`, if anything.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let mut meant: Vec<&Cookie> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.is_for(url))
            .collect();
        // Those of longer paths first (RFC 6265, 5.4).
        meant.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut line = Vec::new();
        for cookie in meant {
            if line.len() + cookie.size() > MAX_SENT_BYTES {
                break;
            }
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(&cookie.name);
            line.push(b'=');
            line.extend_from_slice(&cookie.value);
        }
        (!line.is_empty())
            .then(|| HeaderValue::from_bytes(&line).ok())
            .flatten()
    }
}

impl Cookie {
    /// Reads a `Set-Cookie` (RFC 6265, 5.2 and 5.3), and whether its time is over already. `None` for what is none, or is for
    /// another site.
    fn read(line: &[u8], url: &Url, now: SystemTime) -> Option<(Self, bool)> {
        let mut parts = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let (name, value) = halves(parts.next()?)?;
        let host = url.host_str()?;
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            host: host.to_owned(),
            is_for_subdomains: false,
            path: default_path(url).to_owned(),
            is_secure: false,
        };
        let (mut max_age, mut expires) = (None, None);
        for part in parts {
            let (key, value) = halves(part).unwrap_or((part, b""));
            let Ok(value) = std::str::from_utf8(value) else {
                continue;
            };
            if key.eq_ignore_ascii_case(b"domain") {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if !domain.is_empty() {
                    cookie.is_for_subdomains = is_own_domain(&domain, url)?;
                    cookie.host = domain;
                }
            } else if key.eq_ignore_ascii_case(b"path") && value.starts_with('/') {
                value.clone_into(&mut cookie.path);
            } else if key.eq_ignore_ascii_case(b"secure") {
                cookie.is_secure = true;
            } else if key.eq_ignore_ascii_case(b"max-age") {
                max_age = value.parse::<i64>().ok();
            } else if key.eq_ignore_ascii_case(b"expires") {
                expires = httpdate::parse_http_date(value).ok();
            }
        }
        let is_over = match max_age {
            Some(seconds) => seconds <= 0,
            None => expires.is_some_and(|until| until <= now),
        };
        (!cookie.name.is_empty() && cookie.size() <= MAX_COOKIE_BYTES).then_some((cookie, is_over))
    }

    fn size(&self) -> usize {
        self.name.len() + self.value.len()
    }

    fn is_replaced_by(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
    }

    fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let is_host = host == self.host || self.is_for_subdomains && is_below(host, &self.host);
        let path = url.path();
        let is_path = path.strip_prefix(self.path.as_str()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/')
        });
        is_host && is_path && (!self.is_secure || url.scheme() == "https")
    }
}

/// The two sides of the first `=`.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = text.split_at_checked(at)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// Whether a cookie for this domain, set by a host that may do so, is also for what is below it. `None` where the host may not:
/// the domain is another's, or a suffix that many have.
fn is_own_domain(domain: &str, url: &Url) -> Option<bool> {
    let host = url.host_str()?;
    let is_name = matches!(url.host(), Some(Host::Domain(_)));
    if is_name && registrable(domain).is_some() {
        return (host == domain || is_below(host, domain)).then_some(true);
    }
    (host == domain).then_some(false)
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// The folder of the page (RFC 6265, 5.1.4).
fn default_path(url: &Url) -> &str {
    match url.path().rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder,
        _ => "/",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// What is sent to `to` after `from` has set these.
    fn sent(from: &str, lines: &[&str], to: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(header::SET_COOKIE, value);
        }
        let mut jar = Jar::default();
        jar.take(&url(from), &headers, now());
        let header = jar.header(&url(to));
        header.map_or_else(String::new, |line| {
            String::from_utf8_lossy(line.as_bytes()).into_owned()
        })
    }

    #[test]
    fn a_cookie_goes_back_to_whom_it_is_for() {
        let home = "https://www.kettle.com/";
        for (line, to, expected) in [
            ("a=1", home, "a=1"),
            ("a=1; Path=/; HttpOnly; SameSite=Strict", home, "a=1"),
            (" a = \"1 2\" ;x", home, "a=\"1 2\""),
            ("a=b=c", home, "a=b=c"),
            ("a=", home, "a="),
            ("a=ä", home, "a=ä"),
            // Its host alone, unless it says otherwise.
            ("a=1", "https://kettle.com/", ""),
            ("a=1; Domain=kettle.com", "https://kettle.com/", "a=1"),
            ("a=1; domain=.KETTLE.com", "https://shop.kettle.com/", "a=1"),
            ("a=1; Domain=www.kettle.com", "https://kettle.com/", ""),
            ("a=1; Domain=", home, "a=1"),
            ("a=1; Domain=kettle.com", "https://brass-kettle.com/", ""),
            // Another's, and everybody's.
            ("a=1; Domain=pot.com", home, ""),
            ("a=1; Domain=pot.com", "https://pot.com/", ""),
            ("a=1; Domain=com", "https://pot.com/", ""),
            ("a=1; Domain=com", home, ""),
            // Paths.
            ("a=1; Path=/shop", "https://www.kettle.com/shop", "a=1"),
            ("a=1; Path=/shop", "https://www.kettle.com/shop/1", "a=1"),
            ("a=1; Path=/shop", "https://www.kettle.com/shopping", ""),
            ("a=1; Path=shop", home, "a=1"),
            // In clear to nobody.
            ("a=1; Secure", home, "a=1"),
            ("a=1; secure", "http://www.kettle.com/", ""),
            // Over.
            ("a=1; Max-Age=60", home, "a=1"),
            ("a=1; Max-Age=0", home, ""),
            ("a=1; Max-Age=-1", home, ""),
            ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", home, ""),
            (
                "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60",
                home,
                "a=1",
            ),
            ("a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT", home, "a=1"),
            // None at all.
            ("", home, ""),
            ("=1", home, ""),
            ("a", home, ""),
        ] {
            assert_eq!(sent(home, &[line], to), expected, "{line} {to}");
        }
        // Of the folder that set it.
        assert_eq!(
            sent("https://kettle.com/a/b", &["a=1"], "https://kettle.com/a/c"),
            "a=1"
        );
        assert_eq!(
            sent("https://kettle.com/a/b", &["a=1"], "https://kettle.com/d"),
            ""
        );
        // Nobody registered these.
        for host in ["http://203.0.113.7/", "http://localhost/"] {
            assert_eq!(sent(host, &["a=1"], host), "a=1");
        }
        let joe = "https://joe.github.io/";
        assert_eq!(
            sent(joe, &["a=1; Domain=github.io"], "https://ann.github.io/"),
            ""
        );
    }

    #[test]
    fn what_is_set_again_or_taken_back_is_not_kept_twice() {
        let home = "https://kettle.com/";
        let lines = [
            "a=1",
            "b=1",
            "a=2",
            "b=; Max-Age=0",
            "c=1; Path=/deep",
            "a=3; Path=/deep",
        ];
        assert_eq!(sent(home, &lines, home), "a=2");
        assert_eq!(
            sent(home, &lines, "https://kettle.com/deep"),
            "c=1; a=3; a=2"
        );
    }

    #[test]
    fn what_is_kept_and_sent_is_bounded() {
        let home = "https://kettle.com/";
        let many: Vec<String> = (0..1_000).map(|n| format!("c{n}=1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(sent(home, &many, home).split("; ").count(), MAX_COOKIES);
        let long = format!("a={}", "x".repeat(MAX_COOKIE_BYTES));
        assert_eq!(sent(home, &[&long, "b=1"], home), "b=1");
        let large: Vec<String> = (0..40)
            .map(|n| format!("c{n}={}", "x".repeat(4_000)))
            .collect();
        let large: Vec<&str> = large.iter().map(String::as_str).collect();
        assert!(sent(home, &large, home).len() <= MAX_SENT_BYTES + 80);
    }
}

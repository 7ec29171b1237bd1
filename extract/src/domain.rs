//! From the text in a "website" field to the site it names.
//!
//! The text was typed by people or copied by machines: it may hold a path, a user name, a port, two addresses, an e-mail
//! address, or a page on a platform that many businesses share. The result is a host that can be crawled, with its registrable
//! domain by the public suffix list, or a reason why there is none.

mod shared;
mod suffix;

use url::{Host, Url};

use self::shared::shared_list;
pub(crate) use self::suffix::{below_suffix, suffix};
use self::suffix::{icann_suffix, label_before, public_suffix};
use super::url::{MAX_URL_BYTES, UrlError, normalize};

/// The site a business's website text names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The host in ASCII (IDNA) and lower case, without one leading `www` label.
    pub host: String,
    /// The registrable domain: the public suffix and one label more.
    pub registrable: String,
    pub suffix: String,
    /// The suffix is in the list's private section: a platform gives out names below it (`github.io`).
    pub is_private_suffix: bool,
}

/// The registrable part of a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registrable {
    /// The public suffix and one label more.
    pub domain: String,
    pub suffix: String,
    /// The suffix is in the list's private section.
    pub is_private_suffix: bool,
}

/// What the public suffix list says of the host in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parts {
    /// The host in ASCII (IDNA) and lower case, without one leading `www` label; an IP address as it is. `None` when there is none.
    pub host: Option<String>,
    /// The public suffix and one label more; `None` for an address, a local name, a suffix itself, an unknown top level.
    pub registrable: Option<String>,
    /// The public suffix, where the list has one.
    pub suffix: Option<String>,
    /// The list of shared hosts it is in, as by [`is_excluded`].
    pub shared: Option<&'static str>,
}

/// Which part of the public suffix list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suffixes {
    /// Only what registries give out names below: `example.github.io` belongs to `github.io`.
    Icann,
    /// Also what platforms give out names below: `example.github.io` stands for itself.
    WithPrivate,
}

/// Why a text names no site that can be crawled as the business's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing but white space and punctuation.
    #[error("the website is empty")]
    Empty,
    /// It cannot be read as an http or https URL.
    #[error("the website is not a url")]
    NotAUrl(#[source] UrlError),
    /// It is an e-mail address.
    #[error("the website is an e-mail address")]
    EmailAddress,
    /// The host breaks the rules for host names (RFC 1035, section 2.3.4; RFC 1123, section 2.1).
    #[error("{host:?} is not a host name")]
    NotAHostName {
        /// The host, cut to 255 characters.
        host: String,
    },
    /// The host is an IPv4 or IPv6 address.
    #[error("the host is an ip address")]
    IpAddress,
    /// A name without a dot, or one reserved for local and special use.
    #[error("{host:?} is a local or reserved name")]
    LocalName { host: String },
    /// The top level domain does not exist.
    #[error("{host:?} has no known public suffix")]
    NoPublicSuffix { host: String },
    /// The host is a public suffix, so nobody's site.
    #[error("{host:?} is itself a public suffix")]
    PublicSuffix { host: String },
    /// The host belongs to a platform that serves many businesses.
    #[error("{host:?} is in the list {list:?} of shared hosts")]
    Excluded {
        host: String,
        /// The name of the list: `social`, `directory` …
        list: &'static str,
    },
}

/// Top levels that never lead to a public site: RFC 6761, 6762 (with appendix G), 7686, 8375, 9476, and ICANN's `internal`.
const RESERVED_SUFFIXES: [&str; 17] = [
    "localhost",
    "local",
    "localdomain",
    "test",
    "invalid",
    "example",
    "onion",
    "alt",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
];

/// Reads the website text of a business.
///
/// User name, password, port, path, query and fragment are dropped; the host is lowered and put in IDNA form; one leading `www`
/// label is removed, if a registrable name remains. Of several addresses separated by white space, comma, semicolon or bar, the
/// first counts.
///
/// # Errors
///
/// See [`DomainError`].
pub fn site(raw: &str) -> Result<Site, DomainError> {
    let url = address(raw)?;
    let host = match url.host() {
        Some(Host::Domain(host)) => host.to_owned(),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(DomainError::IpAddress),
        None => return Err(DomainError::NotAUrl(UrlError::NoHost)),
    };
    if !is_host_name(&host) {
        return Err(DomainError::NotAHostName {
            host: host.chars().take(255).collect(),
        });
    }
    if is_reserved(&host) {
        return Err(DomainError::LocalName { host });
    }
    if let Some(list) = is_excluded(&host) {
        return Err(DomainError::Excluded { host, list });
    }
    let bare = without_www(&host).to_owned();
    let found = registrable(&bare);
    let host = bare;
    match found {
        Some(Registrable {
            domain,
            suffix,
            is_private_suffix,
        }) => Ok(Site {
            host,
            registrable: domain,
            suffix,
            is_private_suffix,
        }),
        None if public_suffix(&host).is_some() => Err(DomainError::PublicSuffix { host }),
        None => Err(DomainError::NoPublicSuffix { host }),
    }
}

/// The host that the website text of a business names, in ASCII (IDNA) and lower case, with `www.` where it was given with it.
#[must_use]
pub fn host(raw: &str) -> Option<String> {
    address(raw).ok()?.host_str().map(str::to_owned)
}

/// Takes a text apart by the public suffix list, whatever it names: a shared platform, an address, a local name.
///
/// # Errors
///
/// When the text is empty, an e-mail address or no URL.
pub fn parts(raw: &str, suffixes: Suffixes) -> Result<Parts, DomainError> {
    if let Some(host) = plain_host(raw) {
        return Ok(parts_of(host, true, suffixes));
    }
    let url = address(raw)?;
    match url.host() {
        Some(Host::Domain(host)) => Ok(parts_of(host, is_host_name(host), suffixes)),
        Some(address) => Ok(Parts {
            host: Some(address.to_string()),
            ..Parts::default()
        }),
        None => Err(DomainError::NotAUrl(UrlError::NoHost)),
    }
}

/// Takes a host in ASCII and lower case apart, of which it is known whether it is a name.
fn parts_of(host: &str, is_name: bool, suffixes: Suffixes) -> Parts {
    let listed = |host| public_suffix(host).filter(|_| is_name);
    let bare = host.strip_prefix("www.").and_then(|bare| {
        let suffix = listed(bare).filter(|suffix| suffix.start > 0)?;
        Some((bare, Some(suffix)))
    });
    let (host, suffix) = bare.unwrap_or_else(|| (host, listed(host)));
    let start = suffix.and_then(|suffix| match suffixes {
        Suffixes::Icann if suffix.is_private => icann_suffix(host, suffix.start),
        Suffixes::Icann | Suffixes::WithPrivate => Some(suffix.start),
    });
    let from = |start: usize| host.get(start..).map(str::to_owned);
    Parts {
        host: Some(host.to_owned()),
        registrable: start
            .and_then(|start| label_before(host, start))
            .and_then(from),
        suffix: start.and_then(from),
        shared: shared_list(host, suffix),
    }
}

/// The host of a plain web address, which needs no parser: `None` for whatever is not certain to come out of [`address`] as it is.
///
/// Such a host has letters of ASCII in lower case, no Punycode, and a last label that makes it no IP address. What follows it
/// cannot change it (WHATWG URL, "path state"), nor be taken for an e-mail address.
fn plain_host(raw: &str) -> Option<&str> {
    let without_scheme = raw
        .strip_prefix("https://")
        .or_else(|| raw.strip_prefix("http://"));
    let rest = without_scheme.unwrap_or(raw);
    let end = rest
        .bytes()
        .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        .unwrap_or(rest.len());
    let (host, after) = rest.split_at_checked(end)?;
    let ends_here = match after.as_bytes() {
        [] | [b'/', ..] => true,
        [b'?' | b'#', ..] => without_scheme.is_some(),
        [b':', port @ ..] => without_scheme.is_some() && is_port(port),
        _ => false,
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_plain = raw.len() <= MAX_URL_BYTES
        && ends_here
        && last.starts_with(|first: char| first.is_ascii_lowercase())
        && !host.as_bytes().windows(2).any(|pair| pair == b"--")
        && is_host_name(host);
    is_plain.then_some(host)
}

/// Whether a port stands here, and then the path, the query, the fragment or nothing.
fn is_port(text: &[u8]) -> bool {
    let end = text
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(text.len());
    text.get(..end)
        .filter(|port| (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit))
        .and_then(|port| std::str::from_utf8(port).ok())
        .is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Returns the registrable part of a host name, or `None` for a public suffix, an unknown top level or no name at all.
///
/// The host is taken in ASCII (IDNA) form, as [`site`] and [`normalize`] return it; case and a final dot do not matter.
#[must_use]
pub fn registrable(host: &str) -> Option<Registrable> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if !is_host_name(&host) {
        return None;
    }
    let suffix = public_suffix(&host)?;
    let domain = label_before(&host, suffix.start)?;
    Some(Registrable {
        domain: host.get(domain..)?.to_owned(),
        suffix: host.get(suffix.start..)?.to_owned(),
        is_private_suffix: suffix.is_private,
    })
}

/// Names the list of shared hosts that `host` is in, if any.
///
/// A platform's name covers everything below it. The lists and the reasons for them stand in `extract/data/shared_hosts.txt`.
#[must_use]
pub fn is_excluded(host: &str) -> Option<&'static str> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let suffix = public_suffix(&host).filter(|_| is_host_name(&host));
    shared_list(&host, suffix)
}

/// Reads the first address in a text as a URL.
fn address(raw: &str) -> Result<Url, DomainError> {
    let text = first_address(raw);
    if text.is_empty() {
        return Err(DomainError::Empty);
    }
    if is_email_address(text) {
        return Err(DomainError::EmailAddress);
    }
    normalize(text).map_err(|err| match err {
        UrlError::Empty => DomainError::Empty,
        other => DomainError::NotAUrl(other),
    })
}

/// Removes one leading `www` label, if a registrable name remains.
fn without_www(host: &str) -> &str {
    host.strip_prefix("www.")
        .filter(|bare| registrable(bare).is_some())
        .unwrap_or(host)
}

/// Takes the first of several addresses, without the quotes and brackets around it.
fn first_address(raw: &str) -> &str {
    let is_wrapping = |c: char| {
        c.is_whitespace() || c.is_control() || "\"'`<>()[]{},;|\u{feff}\u{200b}“”„«»".contains(c)
    };
    // An IPv6 host begins and ends in brackets of its own, but is refused all the same.
    let text = raw.trim_matches(is_wrapping);
    text.split(|c: char| c.is_whitespace() || ",;|".contains(c))
        .next()
        .unwrap_or_default()
        .trim_matches(is_wrapping)
}

/// Tells `info@example.com` from `http://user@example.com/`.
fn is_email_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !local.contains([':', '/']) && !domain.contains(['/', ':', '@'])
    })
}

/// Checks lengths and characters of a host in ASCII form. Underscores occur in real names and are let through.
fn is_host_name(host: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_label = |label: &[u8]| match label {
        [one] => is_end(*one),
        [first, within @ .., last] => {
            label.len() <= 63
                && is_end(*first)
                && is_end(*last)
                && within.iter().all(|byte| is_end(*byte) || *byte == b'-')
        }
        [] => false,
    };
    host.len() <= 253 && host.as_bytes().split(|byte| *byte == b'.').all(is_label)
}

fn is_reserved(host: &str) -> bool {
    !host.contains('.')
        || RESERVED_SUFFIXES.iter().any(|suffix| {
            host.strip_suffix(suffix)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &str, host: &str, registrable: &str, suffix: &str) {
        let found = site(raw).unwrap_or_else(|err| panic!("{raw:?}: {err}"));
        assert_eq!(
            (
                found.host.as_str(),
                found.registrable.as_str(),
                found.suffix.as_str()
            ),
            (host, registrable, suffix),
            "for {raw:?}"
        );
    }

    #[test]
    fn the_host_is_found_in_what_people_type() {
        for (raw, host, registrable, suffix) in [
            ("http://User@Ex.com:8080/x", "ex.com", "ex.com", "com"),
            (
                "https://WWW.Example.COM/?x=1",
                "example.com",
                "example.com",
                "com",
            ),
            (
                "https://Example.COM?x=1",
                "example.com",
                "example.com",
                "com",
            ),
            (
                "https://bücher.de",
                "xn--bcher-kva.de",
                "xn--bcher-kva.de",
                "de",
            ),
            (
                "XN--Bcher-KVA.de",
                "xn--bcher-kva.de",
                "xn--bcher-kva.de",
                "de",
            ),
            ("mywww.site.com", "mywww.site.com", "site.com", "com"),
            ("www.www.site.com", "www.site.com", "site.com", "com"),
            ("www.com", "www.com", "www.com", "com"),
            ("www.co.uk", "www.co.uk", "www.co.uk", "co.uk"),
            (
                "shop.example.co.uk/path",
                "shop.example.co.uk",
                "example.co.uk",
                "co.uk",
            ),
            ("example.com.", "example.com", "example.com", "com"),
            ("example.com:443", "example.com", "example.com", "com"),
            (
                "  <https://example.com>  ",
                "example.com",
                "example.com",
                "com",
            ),
            ("\"example.com\"", "example.com", "example.com", "com"),
            (
                "example.com, example.org",
                "example.com",
                "example.com",
                "com",
            ),
            (
                "https://example.com | https://x.example.org",
                "example.com",
                "example.com",
                "com",
            ),
            (
                "http:\\\\example.com\\x",
                "example.com",
                "example.com",
                "com",
            ),
            (
                "joe.github.io",
                "joe.github.io",
                "joe.github.io",
                "github.io",
            ),
            (
                "joe.wixsite.com/cafe",
                "joe.wixsite.com",
                "joe.wixsite.com",
                "wixsite.com",
            ),
            (
                "食狮.公司.cn",
                "xn--85x722f.xn--55qx5d.cn",
                "xn--85x722f.xn--55qx5d.cn",
                "xn--55qx5d.cn",
            ),
            (
                "пример.рф",
                "xn--e1afmkfd.xn--p1ai",
                "xn--e1afmkfd.xn--p1ai",
                "xn--p1ai",
            ),
            ("a.b.kobe.jp", "a.b.kobe.jp", "a.b.kobe.jp", "b.kobe.jp"),
            ("city.kobe.jp", "city.kobe.jp", "city.kobe.jp", "kobe.jp"),
            (
                "my_shop.example.com",
                "my_shop.example.com",
                "example.com",
                "com",
            ),
        ] {
            check(raw, host, registrable, suffix);
        }
        assert!(site("joe.github.io").unwrap().is_private_suffix);
        assert!(!site("example.co.uk").unwrap().is_private_suffix);
    }

    #[test]
    fn a_host_is_taken_apart_by_either_part_of_the_list() {
        use Suffixes::{Icann, WithPrivate};
        let github = Some("github.io");
        for (raw, suffixes, host, registrable, suffix) in [
            (
                "http://forums.example.co.uk/x",
                Icann,
                "forums.example.co.uk",
                Some("example.co.uk"),
                Some("co.uk"),
            ),
            (
                "https://joe.github.io",
                Icann,
                "joe.github.io",
                github,
                Some("io"),
            ),
            (
                "https://joe.github.io",
                WithPrivate,
                "joe.github.io",
                Some("joe.github.io"),
                github,
            ),
            ("github.io", WithPrivate, "github.io", None, github),
            (
                "a.s3.dualstack.us-east-1.amazonaws.com",
                Icann,
                "a.s3.dualstack.us-east-1.amazonaws.com",
                Some("amazonaws.com"),
                Some("com"),
            ),
            (
                "www.example.com",
                Icann,
                "example.com",
                Some("example.com"),
                Some("com"),
            ),
            ("co.uk", Icann, "co.uk", None, Some("co.uk")),
            (
                "www.facebook.com/joe",
                Icann,
                "facebook.com",
                Some("facebook.com"),
                Some("com"),
            ),
            ("http://10.0.0.1:80", Icann, "10.0.0.1", None, None),
            ("http://[::1]/", Icann, "[::1]", None, None),
            ("localhost:8000", Icann, "localhost", None, None),
            ("foo.notatld", Icann, "foo.notatld", None, None),
        ] {
            let expected = Parts {
                host: Some(host.to_owned()),
                registrable: registrable.map(str::to_owned),
                suffix: suffix.map(str::to_owned),
                shared: is_excluded(host),
            };
            assert_eq!(parts(raw, suffixes), Ok(expected), "{raw}");
        }
        assert_eq!(parts(" ", Icann), Err(DomainError::Empty));
    }

    /// After the test vectors of publicsuffix.org, to both parts of whose list every host belongs.
    #[test]
    fn registrable_domains_are_those_of_the_public_suffix_list() {
        for (host, expected) in [
            ("COM", None),
            ("example.COM", Some("example.com")),
            ("WwW.example.COM", Some("example.com")),
            ("biz", None),
            ("a.b.domain.biz", Some("domain.biz")),
            ("uk.com", None),
            ("example.uk.com", Some("example.uk.com")),
            ("a.b.example.uk.com", Some("example.uk.com")),
            ("test.ac", Some("test.ac")),
            ("mm", None),
            ("c.mm", None),
            ("b.c.mm", Some("b.c.mm")),
            ("a.b.c.mm", Some("b.c.mm")),
            ("www.test.jp", Some("test.jp")),
            ("ac.jp", None),
            ("www.test.ac.jp", Some("test.ac.jp")),
            ("ide.kyoto.jp", None),
            ("a.b.ide.kyoto.jp", Some("b.ide.kyoto.jp")),
            ("c.kobe.jp", None),
            ("a.b.c.kobe.jp", Some("b.c.kobe.jp")),
            ("www.city.kobe.jp", Some("city.kobe.jp")),
            ("test.ck", None),
            ("b.test.ck", Some("b.test.ck")),
            ("www.ck", Some("www.ck")),
            ("www.www.ck", Some("www.ck")),
            ("k12.ak.us", None),
            ("www.test.k12.ak.us", Some("test.k12.ak.us")),
            ("食狮.com.cn", Some("xn--85x722f.com.cn")),
            ("www.食狮.公司.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("shishi.公司.cn", Some("shishi.xn--55qx5d.cn")),
            ("公司.cn", None),
            ("www.xn--85x722f.xn--fiqs8s", Some("xn--85x722f.xn--fiqs8s")),
            ("xn--fiqs8s", None),
            (".com", None),
            (".example.com", None),
        ] {
            let found = parts(host, Suffixes::WithPrivate).unwrap_or_default();
            assert_eq!(found.registrable.as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn what_is_no_site_says_why() {
        let local = |host: &str| DomainError::LocalName {
            host: host.to_owned(),
        };
        let excluded = |host: &str, list| DomainError::Excluded {
            host: host.to_owned(),
            list,
        };
        for (raw, expected) in [
            ("", DomainError::Empty),
            (" \t\"\" ", DomainError::Empty),
            ("http://127.0.0.1:80/", DomainError::IpAddress),
            ("169.254.169.254", DomainError::IpAddress),
            ("http://0x7f.1/", DomainError::IpAddress),
            ("http://[::1]/", DomainError::IpAddress),
            ("localhost", local("localhost")),
            ("http://localhost:8000/", local("localhost")),
            ("intranet/page", local("intranet")),
            ("none", local("none")),
            ("printer.local", local("printer.local")),
            ("db.internal", local("db.internal")),
            ("router.home.arpa", local("router.home.arpa")),
            ("com", local("com")),
            ("info@example.com", DomainError::EmailAddress),
            (
                "co.uk",
                DomainError::PublicSuffix {
                    host: "co.uk".to_owned(),
                },
            ),
            (
                "github.io",
                DomainError::PublicSuffix {
                    host: "github.io".to_owned(),
                },
            ),
            (
                "shop.notatld",
                DomainError::NoPublicSuffix {
                    host: "shop.notatld".to_owned(),
                },
            ),
            (
                "a..com",
                DomainError::NotAHostName {
                    host: "a..com".to_owned(),
                },
            ),
            (
                "-a.com",
                DomainError::NotAHostName {
                    host: "-a.com".to_owned(),
                },
            ),
            (
                "https://www.facebook.com/joes",
                excluded("www.facebook.com", "social"),
            ),
            ("m.facebook.com", excluded("m.facebook.com", "social")),
            (
                "https://www.yelp.co.uk/biz/joes",
                excluded("www.yelp.co.uk", "directory"),
            ),
            ("linktr.ee/joe", excluded("linktr.ee", "link-page")),
            (
                "sites.google.com/view/joe",
                excluded("sites.google.com", "page-host"),
            ),
            (
                "joes.business.site",
                excluded("joes.business.site", "closed"),
            ),
            (
                "maps.google.de/x",
                excluded("maps.google.de", "search-and-maps"),
            ),
        ] {
            assert_eq!(site(raw), Err(expected), "for {raw:?}");
        }
        for raw in [
            "mailto:a@example.com",
            "javascript:alert(1)",
            "ftp://example.com",
            "/x",
            "http://exa%00mple.com",
        ] {
            assert!(
                matches!(site(raw), Err(DomainError::NotAUrl(_))),
                "{raw:?}: {:?}",
                site(raw)
            );
        }
        let long = format!("{}.com", "a".repeat(64));
        assert!(matches!(site(&long), Err(DomainError::NotAHostName { .. })));
    }

    #[test]
    fn shared_hosts_are_matched_by_whole_labels() {
        for (host, expected) in [
            ("facebook.com", Some("social")),
            ("FACEBOOK.com.", Some("social")),
            ("fr-fr.facebook.com", Some("social")),
            ("notfacebook.com", None),
            ("facebook.com.example.org", None),
            ("x.com", Some("social")),
            ("phoenix.com", None),
            ("amazon.com.br", Some("marketplace")),
            ("amazon.example.org", None),
            ("amazon.github.io", None),
            ("amazonia.com", None),
            ("joe.tumblr.com", Some("social")),
            ("", None),
            ("com", None),
        ] {
            assert_eq!(is_excluded(host), expected, "for {host:?}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_a_host() {
        for name in shared::SHARED_HOSTS.domains.keys() {
            assert!(
                is_host_name(name) && name.contains('.') && is_excluded(name).is_some(),
                "{name}"
            );
        }
        for name in shared::SHARED_HOSTS.names.keys() {
            assert!(is_host_name(name) && !name.contains('.'), "{name}");
        }
        assert!(shared::SHARED_HOSTS.domains.len() > 250);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(raw in ".{0,120}") {
            if let Ok(found) = site(&raw) {
                prop_assert!(found.host.ends_with(&found.registrable));
                prop_assert!(found.registrable.ends_with(&found.suffix));
            }
            prop_assert!(registrable(&raw).is_none_or(|found| found.domain.ends_with(&found.suffix)));
            prop_assert!(is_excluded(&raw).is_none_or(|list| !list.is_empty()));
        }

        #[test]
        fn a_plain_host_is_what_the_parser_finds(
            scheme in "(https?://|https?:/|//|)",
            host in "(www[.])?([a-z0-9.-]{0,8}|[a-zA-Z0-9._@-]{0,6})[.]?(com|co[.]uk|github[.]io|kobe[.]jp|1|0x7f|xn--p1ai|facebook[.]com|)",
            rest in "(:[0-9]{0,6})?([/?#,; @][a-z@/:,; ]{0,6})?",
        ) {
            let raw = format!("{scheme}{host}{rest}");
            if let Some(host) = plain_host(&raw) {
                let url = address(&raw).unwrap();
                prop_assert_eq!(url.host(), Some(Host::Domain(host)), "{}", raw);
                for suffixes in [Suffixes::Icann, Suffixes::WithPrivate] {
                    let found = parts_of(host, true, suffixes);
                    let bare = without_www(host);
                    prop_assert_eq!(found.host.as_deref(), Some(bare));
                    prop_assert_eq!(found.shared, is_excluded(bare));
                    if suffixes == Suffixes::WithPrivate {
                        prop_assert_eq!(found.registrable, registrable(bare).map(|found| found.domain));
                    }
                }
            }
        }

        #[test]
        fn a_site_names_itself(raw in "(https?://)?([a-z@:ü-]{0,6}[.]){0,4}(com|co[.]uk|рф|github[.]io)(:[0-9]{1,4})?(/[a-z@]{0,5})?") {
            if let Ok(found) = site(&raw) {
                let again = site(&found.host).unwrap();
                prop_assert_eq!(again.registrable, found.registrable);
            }
        }
    }
}

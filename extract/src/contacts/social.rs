//! Profiles on social platforms: links that lead to one, in canonical form.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use url::Url;

use super::finding::{MAX_FINDINGS, Social};
use super::structured::{Property, Structured};
use crate::html::{Attributes, Page};
use crate::table::rows;

/// What templates have in place of a handle.
const STAND_INS: &[&str] = &[
    "username",
    "user-name",
    "yourusername",
    "your-username",
    "your_username",
    "yourname",
    "your-name",
    "yourpage",
    "your-page",
    "yourprofile",
    "your-profile",
    "yourhandle",
    "yourcompany",
    "your-company",
    "yourbrand",
];

struct Platform {
    name: &'static str,
    hosts: Vec<&'static str>,
    shapes: Vec<&'static str>,
    base: &'static str,
    reserved: Vec<&'static str>,
    tails: Vec<&'static str>,
}

static PLATFORMS: LazyLock<Vec<Platform>> = LazyLock::new(|| {
    let list = |text: &'static str| {
        text.split('|')
            .filter(|item| *item != "-")
            .collect::<Vec<_>>()
    };
    rows(include_str!("../data/socials.txt"))
        .filter_map(|row| match row.as_slice() {
            [name, hosts, shapes, base, reserved, tails] => Some(Platform {
                name,
                hosts: list(hosts),
                shapes: list(shapes),
                base,
                reserved: list(reserved),
                tails: list(tails),
            }),
            _ => None,
        })
        .collect()
});

/// All profiles a page links to, in document order, each once.
pub(super) fn extract(page: &Page, url: &Url, structured: &Structured) -> Vec<Social> {
    let base = page.base_url(url);
    let is_on_platform = base
        .host_str()
        .is_some_and(|host| platform_of(host).is_some());
    let mut found: Vec<Social> = Vec::new();
    let links = page.links().filter_map(|(_, element, href)| {
        if !matches!(element.name(), "a" | "area" | "link") {
            return None;
        }
        let is_me = element
            .attribute("rel")
            .is_some_and(|rel| rel.split_ascii_whitespace().any(|r| r == "me"));
        Some((href, is_me))
    });
    let same_as = structured
        .properties
        .iter()
        .filter(|(property, _, _)| *property == Property::SameAs)
        .map(|(_, value, _)| (value.as_str(), false));
    for (href, is_me) in links.chain(same_as) {
        let bare = without_scheme(href.trim());
        let href = bare.as_deref().unwrap_or(href.trim());
        let may_lead_there = is_on_platform || is_me || may_lead_to_platform(href);
        if href.len() > 500 || found.len() >= MAX_FINDINGS || !may_lead_there {
            continue;
        }
        let Ok(target) = base.join(href) else {
            continue;
        };
        let Some(social) = profile(&target).or_else(|| is_me.then(|| mastodon(&target)).flatten())
        else {
            continue;
        };
        if !found
            .iter()
            .any(|known| known.url.eq_ignore_ascii_case(&social.url))
        {
            found.push(social);
        }
    }
    found
}

/// A link to a platform that lacks its scheme, with one: `www.facebook.com/acme`.
fn without_scheme(href: &str) -> Option<String> {
    let (host, _) = href.split_once('/')?;
    let is_host = host.contains('.') && !host.contains(':');
    (is_host && platform_of(&host.to_ascii_lowercase()).is_some())
        .then(|| format!("https://{href}"))
}

/// Whether a link may lead to a platform from a page that is on none: a cheap look before it is read as a URL.
fn may_lead_to_platform(href: &str) -> bool {
    // Two slashes that nothing but a scheme precedes.
    let parts = href
        .split_once('/')
        .and_then(|(scheme, rest)| Some((scheme, rest.strip_prefix('/')?)));
    let Some((scheme, rest)) = parts.filter(|(scheme, _)| !scheme.contains(['?', '#'])) else {
        // A path leads to where the page is.
        return href.contains(':') || href.contains(|c: char| c == '\\' || c.is_control());
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    !is_plain(scheme.trim_end_matches(':'))
        || !is_plain(host)
        || platform_of(&host.to_ascii_lowercase()).is_some()
}

/// The platform that a host belongs to.
fn platform_of(host: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().find(|platform| {
        platform.hosts.iter().any(|name| {
            host.strip_suffix(name)
                .is_some_and(|front| front.is_empty() || front.ends_with('.'))
        })
    })
}

/// The profile that `target` leads to, if it leads to one.
fn profile(target: &Url) -> Option<Social> {
    if !matches!(target.scheme(), "http" | "https") {
        return None;
    }
    let host = target.host_str()?.to_ascii_lowercase();
    let platform = platform_of(&host)?;
    let query = |wanted: &str| {
        target
            .query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    if platform.name == "facebook" && target.path() == "/profile.php" {
        let id = query("id").filter(|id| is_number(id))?;
        return Some(Social {
            platform: platform.name,
            url: format!("{}/profile.php?id={id}", platform.base),
            handle: id,
        });
    }
    if platform.name == "whatsapp" && target.path().trim_matches('/') == "send" {
        let digits: String = query("phone")?
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        return whatsapp_number(platform, &digits);
    }
    // `twitter.com/#!/name`: the old address of a profile.
    let path = match target
        .fragment()
        .and_then(|fragment| fragment.strip_prefix("!/"))
    {
        Some(rest) if target.path() == "/" => rest,
        _ => target.path(),
    };
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take(8)
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let (handle, path) = platform
        .shapes
        .iter()
        .find_map(|shape| fit(platform, shape, &segments))?;
    if platform.name == "whatsapp" && !host.starts_with("chat.") && !path.contains('/') {
        return whatsapp_number(platform, handle.trim_start_matches('+'));
    }
    Some(Social {
        platform: platform.name,
        url: format!("{}/{path}", platform.base),
        handle,
    })
}

fn whatsapp_number(platform: &Platform, digits: &str) -> Option<Social> {
    (is_number(digits) && digits.len() >= 7).then(|| Social {
        platform: platform.name,
        url: format!("{}/{digits}", platform.base),
        handle: digits.to_owned(),
    })
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Matches a path against a shape; gives the handle and the canonical path.
fn fit(platform: &Platform, shape: &str, segments: &[String]) -> Option<(String, String)> {
    let drops_prefix = shape.starts_with('!') || shape.contains('?');
    let parts: Vec<&str> = shape.trim_start_matches('!').split('/').collect();
    let (matched, rest) = segments.split_at_checked(parts.len())?;
    let mut handle = None;
    let mut path = Vec::new();
    for (part, segment) in parts.iter().zip(matched) {
        match *part {
            "?" => {}
            // `twitter.com/@acme`: some write the sign where the platform has none.
            "*" => handle = Some(segment.strip_prefix('@').unwrap_or(segment)),
            "@*" => handle = Some(segment.strip_prefix('@')?),
            literal if literal.eq_ignore_ascii_case(segment) => path.push(literal.to_owned()),
            _ => return None,
        }
    }
    let handle = handle?.trim();
    if !is_handle(handle)
        || STAND_INS
            .iter()
            .any(|word| word.eq_ignore_ascii_case(handle))
        || platform
            .reserved
            .iter()
            .any(|word| word.eq_ignore_ascii_case(handle))
    {
        return None;
    }
    let is_tail = |word: &String| {
        platform
            .tails
            .iter()
            .any(|tail| tail.eq_ignore_ascii_case(word))
    };
    if rest.first().is_some_and(|word| !is_tail(word)) {
        return None;
    }
    if drops_prefix {
        path.clear();
    }
    let sign = if parts.last() == Some(&"@*") { "@" } else { "" };
    path.push(format!("{sign}{handle}"));
    Some((handle.to_owned(), path.join("/")))
}

fn is_handle(handle: &str) -> bool {
    let lower = handle.to_ascii_lowercase();
    handle.chars().count() <= 120
        && handle.chars().any(char::is_alphanumeric)
        && handle
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '\''))
        && ![
            ".php", ".html", ".htm", ".js", ".aspx", ".png", ".svg", ".ico",
        ]
        .iter()
        .any(|extension| lower.ends_with(extension))
}

/// `rel="me"` to `https://host/@name`: a Mastodon (or compatible) profile.
fn mastodon(target: &Url) -> Option<Social> {
    let host = target.host_str()?;
    let name = target.path().trim_end_matches('/').strip_prefix("/@")?;
    (is_handle(name) && target.scheme() == "https").then(|| Social {
        platform: "mastodon",
        url: format!("https://{host}/@{name}"),
        handle: format!("{name}@{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_shape_and_reserved_word_of_every_platform_counts() {
        for platform in PLATFORMS.iter() {
            let handle = if platform.name == "whatsapp" {
                "4930901820"
            } else {
                "acmeworks"
            };
            for host in &platform.hosts {
                let at = |path: &str| {
                    profile(&Url::parse(&format!("https://www.{host}/{path}")).unwrap())
                };
                for shape in &platform.shapes {
                    let path = shape.trim_start_matches('!').replace('?', "some");
                    let path = path.replace('*', handle);
                    let found = at(&path).unwrap_or_else(|| panic!("{host}/{path}"));
                    assert_eq!(found.platform, platform.name, "{host}/{path}");
                    for tail in &platform.tails {
                        assert!(
                            at(&format!("{path}/{tail}")).is_some(),
                            "{host}/{path}/{tail}"
                        );
                    }
                }
                for word in &platform.reserved {
                    let found = at(word);
                    assert!(found.is_none(), "{host}/{word}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn links_elsewhere_are_told_from_others() {
        let check = |href: &str, expected: bool| {
            assert_eq!(may_lead_to_platform(href), expected, "{href}");
        };
        check("https://www.facebook.com/acme", true);
        check("HTTPS://WWW.Facebook.COM?x", true);
        check("//x.com/acme", true);
        check("https://user@x.com/acme", true);
        check("https:\\\\x.com/acme", true);
        check("https:x.com", true);
        check("https://x.com:443/acme", true);
        check("https://acme.com/?to=//x.com", false);
        check("/contact?to=//x.com", false);
        check("/contact?to=https://x.com", true);
        check("contact", false);
    }

    #[test]
    fn a_link_without_its_scheme_leads_to_the_platform() {
        let check = |href: &str, expected: Option<&str>| {
            assert_eq!(without_scheme(href).as_deref(), expected, "{href}");
        };
        check(
            "www.facebook.com/acme",
            Some("https://www.facebook.com/acme"),
        );
        check("Instagram.com/acme", Some("https://Instagram.com/acme"));
        check("https://www.facebook.com/acme", None);
        check("/www.facebook.com/acme", None);
        check("index.html", None);
        check("pages/facebook.com", None);
    }

    #[test]
    fn only_profile_links_count() {
        let check = |url: &str, expected: Option<(&str, &str, &str)>| {
            let found = profile(&Url::parse(url).unwrap());
            let found = found
                .as_ref()
                .map(|s| (s.platform, s.url.as_str(), s.handle.as_str()));
            assert_eq!(found, expected, "{url}");
        };
        check(
            "http://www.facebook.com/Acme/?ref=ts",
            Some(("facebook", "https://www.facebook.com/Acme", "Acme")),
        );
        check(
            "https://de-de.facebook.com/pages/Acme/123456",
            Some(("facebook", "https://www.facebook.com/123456", "123456")),
        );
        check(
            "https://facebook.com/profile.php?id=77",
            Some((
                "facebook",
                "https://www.facebook.com/profile.php?id=77",
                "77",
            )),
        );
        check("https://www.facebook.com/your-page", None);
        check("https://x.com/UserName", None);
        check(
            "https://twitter.com/@acme",
            Some(("x", "https://x.com/acme", "acme")),
        );
        check(
            "https://instagr.am/acme",
            Some(("instagram", "https://www.instagram.com/acme", "acme")),
        );
        check(
            "https://www.youtube.com/c/@AcmeTeapots",
            Some((
                "youtube",
                "https://www.youtube.com/@AcmeTeapots",
                "AcmeTeapots",
            )),
        );
        check(
            "https://m.me/acme",
            Some(("facebook", "https://www.facebook.com/acme", "acme")),
        );
        check(
            "https://www.facebook.com/groups/acmefans/",
            Some((
                "facebook",
                "https://www.facebook.com/groups/acmefans",
                "acmefans",
            )),
        );
        check("https://www.facebook.com/sharer/sharer.php?u=x", None);
        check("https://www.facebook.com/sharer.php?u=x", None);
        check(
            "https://www.facebook.com/acme/posts/123",
            Some(("facebook", "https://www.facebook.com/acme", "acme")),
        );
        check("https://www.facebook.com/tr?id=1", None);
        check("https://www.facebook.com/", None);
        check("https://twitter.com/intent/tweet?text=x", None);
        check("https://twitter.com/share", None);
        check(
            "https://twitter.com/#!/acme",
            Some(("x", "https://x.com/acme", "acme")),
        );
        check("https://twitter.com/acme/status/1", None);
        check(
            "https://mobile.x.com/acme",
            Some(("x", "https://x.com/acme", "acme")),
        );
        check(
            "https://nl.linkedin.com/company/acme-bv/about/",
            Some((
                "linkedin",
                "https://www.linkedin.com/company/acme-bv",
                "acme-bv",
            )),
        );
        check("https://www.linkedin.com/shareArticle?url=x", None);
        check("https://www.linkedin.com/", None);
        check("https://www.instagram.com/p/abc/", None);
        check(
            "https://instagram.com/acme",
            Some(("instagram", "https://www.instagram.com/acme", "acme")),
        );
        check("https://www.youtube.com/watch?v=1", None);
        check(
            "https://www.youtube.com/@acme/videos",
            Some(("youtube", "https://www.youtube.com/@acme", "acme")),
        );
        check(
            "https://www.youtube.com/channel/UCx_1",
            Some(("youtube", "https://www.youtube.com/channel/UCx_1", "UCx_1")),
        );
        check(
            "https://www.tiktok.com/@acme",
            Some(("tiktok", "https://www.tiktok.com/@acme", "acme")),
        );
        check("https://www.pinterest.com/pin/create/button/?url=x", None);
        check(
            "https://wa.me/491512345678?text=hi",
            Some(("whatsapp", "https://wa.me/491512345678", "491512345678")),
        );
        check(
            "https://api.whatsapp.com/send?phone=%2B49151234567",
            Some(("whatsapp", "https://wa.me/49151234567", "49151234567")),
        );
        check("https://api.whatsapp.com/send?text=share", None);
        check(
            "https://t.me/acme",
            Some(("telegram", "https://t.me/acme", "acme")),
        );
        check("https://t.me/share/url?url=x", None);
        check("https://vk.com/share.php?url=x", None);
        check(
            "https://github.com/acme",
            Some(("github", "https://github.com/acme", "acme")),
        );
        check("https://github.com/acme/repo", None);
        check("https://notfacebook.com/acme", None);
        check("https://fakex.com/acme", None);
        check(
            "https://www.threads.net/@acme",
            Some(("threads", "https://www.threads.net/@acme", "acme")),
        );
        check(
            "https://www.xing.com/companies/acme",
            Some(("xing", "https://www.xing.com/companies/acme", "acme")),
        );
    }
}

//! Where a page leads on by itself: `<meta http-equiv=refresh>`, and the `Refresh` header that says the same.
//!
//! After the HTML Standard, "shared declarative refresh steps": of what nobody would write, whatever browsers follow is followed.
//! One thing is not as in a browser without scripts: what stands in `<noscript>` is for those who cannot see the page, and leads to
//! where that is said or to a lesser page. The page itself is the better one.

use std::time::Duration;

use memchr::{memchr, memchr_iter};
use url::Url;

use super::html::{Attributes, Page, is_for_others};

/// The longest wait after which a page is taken to lead on.
///
/// What sends its reader away later than that is read by people first: a page that is loaded anew, a session that ends.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// How much of a tag is looked at for what it is.
const MAX_TAG_BYTES: usize = 4 * 1024;

/// A page that leads on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// How long the page is shown before.
    pub after: Duration,
    /// Where to.
    pub url: Url,
}

/// Whether a page in any encoding that writes ASCII as it is may hold such an element. Quick, for pages of which nearly none does.
#[must_use]
pub fn may_be_in(body: &[u8]) -> bool {
    memchr_iter(b'<', body).any(|open| {
        let tag = body.get(open + 1..).unwrap_or_default();
        let is_meta = tag
            .get(..4)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"meta"));
        is_meta && {
            let tag = tag.get(..MAX_TAG_BYTES).unwrap_or(tag);
            let end = memchr(b'<', tag).unwrap_or(tag.len());
            let tag = tag.get(..end).unwrap_or(tag);
            tag.windows(7)
                .any(|word| word.eq_ignore_ascii_case(b"refresh"))
        }
    })
}

/// Where this page leads on by its first element that says so, if it does: to another document of the web, in a time that nobody
/// waits for.
#[must_use]
pub fn of_page(page: &Page, url: &Url) -> Option<Refresh> {
    let base = page.base_url(url);
    page.elements().find_map(|(node, element)| {
        let is_refresh = element.name() == "meta"
            && element
                .attribute("http-equiv")
                .is_some_and(|name| name.trim().eq_ignore_ascii_case("refresh"));
        if !is_refresh || is_for_others(node) {
            return None;
        }
        parse(element.attribute("content")?, &base, url)
    })
}

/// Where the header `Refresh` of the page at `url` leads on.
#[must_use]
pub fn of_header(value: &str, url: &Url) -> Option<Refresh> {
    parse(value, url, url)
}

fn parse(value: &str, base: &Url, page: &Url) -> Option<Refresh> {
    let value = value.trim_start_matches(is_space);
    let digits = digits_of(value)?;
    // More digits than fit mean: never.
    let after = Duration::from_secs(match digits {
        "" => 0,
        digits => digits.parse().unwrap_or(u64::MAX),
    });
    let rest = value.get(digits.len()..)?;
    let rest = rest.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '.');
    let mut url = match target(rest)? {
        "" => page.clone(),
        target => base.join(target).ok()?,
    };
    let is_within = url.fragment().is_some() && without_fragment(&url) == without_fragment(page);
    url.set_fragment(None);
    let leads_on = after <= MAX_WAIT && matches!(url.scheme(), "http" | "https") && !is_within;
    leads_on.then_some(Refresh { after, url })
}

/// The whole seconds at the beginning; none where a fraction begins. `None` where there is no time at all.
fn digits_of(value: &str) -> Option<&str> {
    let end = value
        .find(|sign: char| !sign.is_ascii_digit())
        .unwrap_or(value.len());
    let digits = value.get(..end)?;
    (!digits.is_empty() || value.starts_with('.')).then_some(digits)
}

/// The address behind the time; empty where there is none. `None` where something else follows.
fn target(rest: &str) -> Option<&str> {
    if rest.is_empty() {
        return Some("");
    }
    let behind = rest
        .strip_prefix([';', ','])
        .or_else(|| rest.starts_with(is_space).then_some(rest))?;
    let behind = behind.trim_start_matches(is_space);
    // A blank, then the sign.
    let behind = behind.strip_prefix([';', ',']).unwrap_or(behind);
    let behind = behind.trim_start_matches(is_space);
    let named = after_name(behind).unwrap_or(behind);
    let quoted = ['\'', '"']
        .into_iter()
        .find_map(|quote| named.strip_prefix(quote)?.split(quote).next());
    Some(quoted.unwrap_or(named).trim_matches(is_space))
}

/// What follows `url =`, if that stands here.
fn after_name(text: &str) -> Option<&str> {
    let (name, rest) = text.split_at_checked(3)?;
    let rest = rest.trim_start_matches(is_space).strip_prefix('=')?;
    name.eq_ignore_ascii_case("url")
        .then(|| rest.trim_start_matches(is_space))
}

fn without_fragment(url: &Url) -> &str {
    url.as_str().split('#').next().unwrap_or_default()
}

/// ASCII whitespace as the standard has it.
fn is_space(sign: char) -> bool {
    matches!(sign, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Url {
        Url::parse("https://kettle.org/start?x=1").unwrap()
    }

    #[test]
    fn whatever_a_browser_follows_is_followed() {
        let refresh = |after, path: &str| Some((after, format!("https://kettle.org{path}")));
        for (value, expected) in [
            ("0;url=/en/", refresh(0, "/en/")),
            ("0;URL=/en/", refresh(0, "/en/")),
            ("0; Url = '/en/'", refresh(0, "/en/")),
            (" 5 ; url=\"/en/\" ", refresh(5, "/en/")),
            ("0;/en/", refresh(0, "/en/")),
            ("0,/en/", refresh(0, "/en/")),
            ("0, url=en/", refresh(0, "/en/")),
            ("0 url=/en/", refresh(0, "/en/")),
            ("\t0\n;\r\nurl\t=\n/en/", refresh(0, "/en/")),
            (".5; url=/en/", refresh(0, "/en/")),
            ("2.75;url=/en/", refresh(2, "/en/")),
            ("0;url='/en/", refresh(0, "/en/")),
            ("0;url='/en/' target=_top", refresh(0, "/en/")),
            ("0;'/en/'", refresh(0, "/en/")),
            ("0;url=https:/en/", refresh(0, "/en/")),
            ("0;url=//kettle.org/käse", refresh(0, "/k%C3%A4se")),
            ("0;url=/en/#top", refresh(0, "/en/")),
            // The page itself, once more.
            ("10", refresh(10, "/start?x=1")),
            ("0;", refresh(0, "/start?x=1")),
            ("0;url=", refresh(0, "/start?x=1")),
            ("0;url=?x=1", refresh(0, "/start?x=1")),
            // An address called so.
            ("0;url", refresh(0, "/url")),
            ("0;urls=/en/", refresh(0, "/urls=/en/")),
            // Nowhere.
            ("", None),
            ("url=/en/", None),
            ("-1;url=/en/", None),
            ("soon;url=/en/", None),
            ("0x;url=/en/", None),
            ("0;url=#top", None),
            ("0;url=/start?x=1#top", None),
            ("0;url=javascript:go()", None),
            ("0;url=mailto:x@kettle.org", None),
            ("0;url=data:text/html,x", None),
            ("0;url=https://[", None),
            // So late that the page has been read.
            ("30;url=/en/", refresh(30, "/en/")),
            ("31;url=/en/", None),
            ("1800;url=/logout", None),
            ("99999999999999999999999;url=/en/", None),
        ] {
            let found = of_header(value, &page());
            let found = found.map(|own| (own.after.as_secs(), own.url.to_string()));
            assert_eq!(found, expected, "{value:?}");
        }
    }

    #[test]
    fn an_element_says_so_unless_it_is_for_others() {
        for (html, expected) in [
            ("<meta http-equiv=refresh content='0;url=/a'>", Some("/a")),
            (
                "<META CONTENT=\"1; URL='/a'\" HTTP-EQUIV=\"Refresh\">",
                Some("/a"),
            ),
            (
                "<body><p>x<meta http-equiv=' REFRESH ' content=0;/a></body>",
                Some("/a"),
            ),
            (
                "<meta http-equiv=refresh content='0;url=/?a&amp;b&#61;&#x31;'>",
                Some("/?a&b=1"),
            ),
            (
                "<base href=/shop/><meta http-equiv=refresh content='0;url=a'>",
                Some("/shop/a"),
            ),
            // One that leads nowhere stands in nobody's way; of two the first counts.
            (
                "<meta http-equiv=refresh content=x><meta http-equiv=refresh content='0;url=/a'><meta http-equiv=refresh content='0;url=/b'>",
                Some("/a"),
            ),
            (
                "<noscript><meta http-equiv=refresh content='0;url=/a'></noscript>",
                None,
            ),
            (
                "<body><noscript><div><meta http-equiv=refresh content='0;url=/a'></div></noscript>",
                None,
            ),
            (
                "<!-- <meta http-equiv=refresh content='0;url=/a'> -->",
                None,
            ),
            (
                "<template><meta http-equiv=refresh content='0;url=/a'></template>",
                None,
            ),
            (
                "<script>'<meta http-equiv=refresh content=\"0;url=/a\">'</script>",
                None,
            ),
            ("<meta name=refresh content='0;url=/a'>", None),
            ("<meta http-equiv=refresh>", None),
        ] {
            let expected = expected.map(|path| format!("https://kettle.org{path}"));
            let found = of_page(&Page::parse(html), &page());
            assert_eq!(found.map(|own| own.url.to_string()), expected, "{html}");
            assert!(expected.is_none() || may_be_in(html.as_bytes()), "{html}");
        }
        for html in [
            "",
            "<meta",
            "<meta charset=utf-8><p>refresh",
            "<metal refresh>",
            "refresh<met",
        ] {
            assert_eq!(may_be_in(html.as_bytes()), html == "<metal refresh>");
        }
    }
}

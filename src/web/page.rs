//! What came of asking for a page: where it led, whether that is still the site that was asked, and the document itself.
//!
//! [`Landing`] is the one way from an answer, fetched or rendered, to a page that is read. It decides once for every workflow
//! what each would otherwise decide a little differently: whose page it is ([`is_same_site`]), whether it is one at all
//! ([`media::is_html`]), and in which encoding it is ([`html::decode_from`]: byte order mark, declaration, else a guess that
//! knows the country of the host). A workflow says what it wants of a page, and nothing of how it is got.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gleaner_extract::domain::registrable;
use gleaner_extract::{address, html, media};
use url::Url;

use super::fetch::Response;
use super::render::{RenderError, Rendered, Tab};
use crate::compute::compute;

/// Why an answer is not the page that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The server led to a site that is not the one that was asked.
    #[error("leads to another site ({host})")]
    OtherSite {
        /// Where to.
        host: String,
    },
    /// A file that is not to be read as a page.
    #[error("not HTML ({content_type})")]
    NotHtml {
        /// What the server calls it; empty when it says nothing.
        content_type: String,
    },
}

/// An answer to the request for a page, judged but not read.
#[derive(Clone, Debug)]
pub struct Landing {
    response: Response,
    /// The document as its scripts have left it, where they have been run.
    rendered: Option<String>,
}

impl Landing {
    /// The answer as it was fetched, whatever its status.
    #[must_use]
    pub fn new(response: Response) -> Self {
        Self {
            response,
            rendered: None,
        }
    }

    /// Where it is, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.response.url
    }

    /// The landing itself, if it is a page of this site, of which a host is given.
    ///
    /// # Errors
    /// What else it is. Whose it is comes first: what sort of file stands on another site is nobody's question.
    pub fn page_of(self, site: &str) -> Result<Self, PageError> {
        let host = self.response.url.host_str().unwrap_or_default();
        if !is_same_site(host, site) {
            return Err(PageError::OtherSite {
                host: host.to_owned(),
            });
        }
        let content_type = self.response.content_type.as_deref();
        if !media::is_html(content_type, &self.response.body) {
            return Err(PageError::NotHtml {
                content_type: content_type.unwrap_or_default().to_owned(),
            });
        }
        Ok(self)
    }

    /// Runs the page's scripts. These may lead on, so that it has to be judged again.
    ///
    /// # Errors
    /// As [`Tab::render`].
    ///
    /// # Cancel safety
    /// As [`Tab::render`].
    pub async fn render(self, tab: Tab) -> Result<Self, RenderError> {
        let Rendered { response, html } = tab.render(self.response).await?;
        Ok(Self {
            response,
            rendered: Some(html),
        })
    }

    /// Decodes and parses it, and takes from the document what the caller wants; all of that off the runtime's threads.
    ///
    /// The document lives no longer than `work` does: its tree cannot change threads.
    pub async fn read<T: Send + 'static>(
        self,
        work: impl FnOnce(&Document) -> T + Send + 'static,
    ) -> T {
        compute(move || work(&self.into_document())).await
    }

    fn into_document(self) -> Document {
        let Self { response, rendered } = self;
        let text = rendered.unwrap_or_else(|| {
            let content_type = response.content_type.as_deref();
            html::decode_from(response.url.host_str(), &response.body, content_type).text
        });
        Document::parse(response.url, text)
    }
}

/// A page as it is read: its text, and the tree that is made of it.
#[derive(Debug)]
pub struct Document {
    /// Where it is, after redirects.
    pub url: Url,
    /// All of it, as text.
    pub text: String,
    /// The same as a tree.
    pub tree: html::Page,
}

impl Document {
    /// Parses the text of the page at `url`. It takes its time: see [`compute`].
    #[must_use]
    pub fn parse(url: Url, text: String) -> Self {
        let tree = html::Page::parse(&text);
        Self { url, text, tree }
    }

    /// The address by which the site itself knows the page; `None` for a home page.
    ///
    /// What a page declares as such is believed only within its own site. To be had as it is declared, slips and all, from
    /// [`gleaner_extract::page::extract`].
    #[must_use]
    pub fn canonical(&self) -> Option<String> {
        address::canonical(&self.tree, &self.url)
    }

    /// The text as it is kept: UTF-8, gzip. `None` when that is more than `max_bytes`.
    #[must_use]
    pub fn packed(&self, max_bytes: usize) -> Option<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(self.text.as_bytes()).ok()?;
        encoder.finish().ok().filter(|body| body.len() <= max_bytes)
    }

    /// Reads what [`Document::packed`] has made of a page, at most `max_bytes` of it. `None` when that is damaged.
    #[must_use]
    pub fn unpack(url: Url, packed: &[u8], max_bytes: u64) -> Option<Self> {
        let mut text = Vec::new();
        GzDecoder::new(packed)
            .take(max_bytes)
            .read_to_end(&mut text)
            .ok()?;
        // A character that the limit cut in two is no reason to lose the page.
        let text = String::from_utf8_lossy(&text).into_owned();
        Some(Self::parse(url, text))
    }
}

/// Whether two hosts, in ASCII (IDNA) form, are of one site: what was registered as one name, with all names below it.
///
/// So `www.` and a domain's own `m.` or `shop.` are the same site, and scheme, port and path do not matter. Two customers of a
/// platform (`joe.github.io`, `ann.github.io`) are two sites, by the private part of the public suffix list. Where nothing was
/// registered (an address, a local name, a suffix itself) only the host itself counts, with `www.` or without.
///
/// The same name under another suffix (`kettle.com`, `kettle.de`) is another site: nothing but that redirect says that both
/// belong to one owner, and where they do, prices, currency and telephone numbers are those of another country all the same.
#[must_use]
pub fn is_same_site(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|host| host.trim_end_matches('.').to_ascii_lowercase());
    let registered = |host: &str| registrable(host).map(|found| found.domain);
    is_one_host(&one, &other)
        || registered(&one).is_some_and(|domain| registered(&other) == Some(domain))
}

/// Whether two hosts, in ASCII (IDNA) form, are one, with `www.` or without.
#[must_use]
pub fn is_same_host(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|host| host.trim_end_matches('.').to_ascii_lowercase());
    is_one_host(&one, &other)
}

fn is_one_host(one: &str, other: &str) -> bool {
    !one.is_empty() && without_www(one) == without_www(other)
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn landing(url: &str, content_type: Option<&str>, body: &[u8]) -> Landing {
        let url = Url::parse(url).unwrap();
        Landing::new(Response {
            requested: url.clone(),
            url,
            status: 200,
            headers: HeaderMap::new(),
            content_type: content_type.map(str::to_owned),
            last_modified: None,
            etag: None,
            retry_after: None,
            body: Bytes::copy_from_slice(body),
            truncated: false,
            elapsed: Duration::ZERO,
            redirects: 0,
        })
    }

    #[test]
    fn a_site_is_what_was_registered_as_one_name() {
        for (one, other, expected) in [
            ("kettle.com", "kettle.com", true),
            ("kettle.com", "www.kettle.com", true),
            ("kettle.com", "m.kettle.com", true),
            ("shop.kettle.com", "blog.kettle.com", true),
            ("Kettle.COM.", "kettle.com", true),
            ("kettle.co.uk", "www.kettle.co.uk", true),
            ("xn--bcher-kva.de", "www.xn--bcher-kva.de", true),
            // Somebody else's, whatever the names have in common.
            ("kettle.com", "pot.com", false),
            ("kettle.com", "brass-kettle.com", false),
            ("kettle.com", "kettle.com.pot.com", false),
            ("kettle.co.uk", "pot.co.uk", false),
            ("kettle.com", "kettle.com.", true),
            // Another country's.
            ("kettle.com", "kettle.de", false),
            ("kettle.co.uk", "kettle.uk", false),
            // Two customers of one platform, and the platform.
            ("joe.github.io", "ann.github.io", false),
            ("joe.github.io", "www.joe.github.io", true),
            ("joe.github.io", "github.io", false),
            ("kettle.myshopify.com", "kettle.com", false),
            // Nothing registered.
            ("github.io", "www.github.io", true),
            ("www.ck", "shop.www.ck", true),
            ("co.uk", "kettle.co.uk", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("[2001:db8::1]", "[2001:db8::1]", true),
            ("localhost", "localhost", true),
            ("printer.local", "scanner.local", false),
            ("", "", false),
            ("", "kettle.com", false),
        ] {
            assert_eq!(is_same_site(one, other), expected, "{one} {other}");
            assert_eq!(is_same_site(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn what_is_not_the_page_says_what_it_is() {
        let other = Err("leads to another site (pot.com)".to_owned());
        for (url, content_type, body, expected) in [
            ("https://www.kettle.com/a", Some("text/html"), "", Ok(())),
            ("http://kettle.com:8080/", None, "<!DOCTYPE html>", Ok(())),
            ("https://pot.com/", Some("text/html"), "", other.clone()),
            ("https://pot.com/", Some("image/png"), "", other),
            (
                "https://kettle.com/",
                Some("application/pdf"),
                "%PDF",
                Err("not HTML (application/pdf)".to_owned()),
            ),
            (
                "https://kettle.com/",
                None,
                "%PDF",
                Err("not HTML ()".to_owned()),
            ),
        ] {
            let judged = landing(url, content_type, body.as_bytes()).page_of("kettle.com");
            let judged = judged.map(drop).map_err(|error| error.to_string());
            assert_eq!(judged, expected, "{url} {content_type:?}");
        }
    }

    #[tokio::test]
    async fn text_is_in_the_encoding_declared_or_else_likely_in_that_country() {
        use encoding_rs::{GBK, ISO_8859_2, SHIFT_JIS, UTF_8, WINDOWS_1251};
        let plain = "text/html";
        for (host, encoding, content_type, head, name) in [
            ("kettle.ru", WINDOWS_1251, plain, "", "Сыр"),
            ("kettle.jp", SHIFT_JIS, plain, "", "やかん"),
            ("kettle.cn", GBK, plain, "", "茶壶"),
            ("kettle.cz", ISO_8859_2, plain, "", "Čaj"),
            ("kettle.ru", UTF_8, plain, "", "Čaj"),
            (
                "kettle.cn",
                WINDOWS_1251,
                "text/html; charset=windows-1251",
                "",
                "Сыр",
            ),
            (
                "kettle.cn",
                WINDOWS_1251,
                plain,
                "<meta charset=cp1251>",
                "Сыр",
            ),
            (
                "kettle.cn",
                UTF_8,
                "text/html; charset=gbk",
                "\u{feff}",
                "Сыр",
            ),
        ] {
            let (body, _, _) = encoding.encode(head);
            let (title, _, is_lossy) = encoding.encode(name);
            assert!(!is_lossy, "{name}");
            let body = [&body[..], b"<title>", &title[..], b"</title>"].concat();
            let landing = landing(&format!("https://{host}/"), Some(content_type), &body);
            let found = landing
                .read(|document| gleaner_extract::page::extract(&document.tree, &document.url))
                .await;
            assert_eq!(found.title.as_deref(), Some(name), "{host} {content_type}");
        }
    }

    #[test]
    fn a_page_that_is_kept_is_read_as_it_was() {
        let url = Url::parse("https://kettle.com/p?id=1").unwrap();
        let document = Document::parse(url.clone(), "<title>Čajník</title>".to_owned());
        let packed = document.packed(1_000).unwrap();
        assert_eq!(document.packed(packed.len() - 1), None);
        let again = Document::unpack(url.clone(), &packed, 1_000).unwrap();
        assert_eq!((&again.url, &again.text), (&url, &document.text));
        // Cut within the first letter of the title.
        let cut = Document::unpack(url.clone(), &packed, 8).unwrap();
        assert_eq!(cut.text, "<title>\u{fffd}");
        assert!(Document::unpack(url, b"no gzip", 1_000).is_none());
    }
}

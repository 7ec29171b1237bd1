//! The one way to a page: where an address leads, whether that is still the site that was asked, and the document itself.
//!
//! [`get`] and [`home()`] get a page, [`Landing`] is what they found. Here is decided once for every workflow what each would
//! otherwise decide a little differently: where a page leads on by itself ([`refresh`]), whose it is ([`is_same_site`]), whether it
//! is one at all ([`media::is_html`]), what is kept of one whose end is missing, in which encoding it is ([`html::decode_from`]: byte
//! order mark, declaration, else a guess that knows the country of the host), and whether it is only a notice, which a browser may
//! get past ([`Landing::read_or_render`]). A workflow says what it wants of a page, and nothing of how it is got.

mod end;
mod home;

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gleaner_extract::domain::registrable;
use gleaner_extract::notice::{Notice, notice_of};
use gleaner_extract::refresh::{self, Refresh};
use gleaner_extract::{address, html, media};
use http::header;
use url::Url;

pub use self::home::{Door, Missed, home};

use super::fetch::{Client, FetchError, RequestOptions, Response, decode_text};
use super::render::{RenderError, Rendered, Renderer, Tab};
use crate::compute::compute;

/// Why an answer is not the page that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The server led to a site that is not the one that was asked.
    #[error("leads to another site ({})", .url.host_str().unwrap_or_default())]
    OtherSite {
        /// Where to.
        url: Url,
    },
    /// A file that is not to be read as a page.
    #[error("not HTML ({content_type})")]
    NotHtml {
        /// What the server calls it; empty when it says nothing.
        content_type: String,
    },
}

/// Why there is no page to read.
#[derive(Debug, thiserror::Error)]
pub enum NoPage {
    /// Nothing was got.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was got could not be rendered.
    #[error(transparent)]
    Render(RenderError),
    /// What was got is something else.
    #[error(transparent)]
    Page(#[from] PageError),
}

impl From<RenderError> for NoPage {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Fetch(error) => Self::Fetch(error),
            error => Self::Render(error),
        }
    }
}

/// Gets a page of this site, of which a host is given: by redirects as by what the page itself says of where to go on.
///
/// # Errors
/// Any [`FetchError`], that of an error status included; what else it is.
///
/// # Cancel safety
/// As [`Client::get`].
pub async fn get(client: &Client, url: &Url, site: &str) -> Result<Landing, NoPage> {
    let response = client.get_with(url, options()).await?;
    Landing::of(response, site)?.arrive(client, site).await
}

fn options() -> RequestOptions {
    RequestOptions {
        keep_cut: true,
        ..RequestOptions::default()
    }
}

/// A page of the site that was asked, not read yet.
#[derive(Clone, Debug)]
pub struct Landing {
    response: Response,
    /// The document as its scripts have left it, where they have been run.
    rendered: Option<String>,
}

impl Landing {
    /// The answer as it was fetched, if it is a page of this site, of which a host is given.
    ///
    /// Whose it is comes first: what sort of answer another site gives is nobody's question.
    fn of(response: Response, site: &str) -> Result<Self, NoPage> {
        let landing = Self {
            response,
            rendered: None,
        };
        check_site(landing.url(), site)?;
        let leads_on = landing.refresh_header().is_some();
        let mut response = landing.response.error_for_status()?;
        let content_type = response.content_type.as_deref();
        // What its header sends on is never seen, whatever it is.
        if !leads_on && !media::is_html(content_type, &response.body) {
            let content_type = content_type.unwrap_or_default().to_owned();
            return Err(PageError::NotHtml { content_type }.into());
        }
        end::mend(&mut response)?;
        Ok(Self {
            response,
            rendered: None,
        })
    }

    /// Where it is, after redirects and whatever else led on.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.response.url
    }

    /// The landing itself, if nothing of the page is known to be missing.
    ///
    /// # Errors
    /// Why its end is.
    pub fn whole(self) -> Result<Self, FetchError> {
        match self.response.cut {
            Some(why) if !end::is_there(&self.response.body) => Err(why),
            _ => Ok(self),
        }
    }

    /// Goes on to where the page leads by itself, until one stays.
    ///
    /// A page of another site would not be read, so it is not asked for. One that is shown for a while before it leads back to where
    /// one has been (a picture of the day, a page that is loaded anew) stays; one that does so at once is never seen.
    async fn arrive(mut self, client: &Client, site: &str) -> Result<Self, NoPage> {
        while let Some(Refresh { after, url }) = self.refresh().await {
            check_site(&url, site)?;
            match client.follow(&self.response, &url, options()).await {
                Ok(response) => self = Self::of(response, site)?,
                Err(FetchError::TooManyRedirects { .. }) if !after.is_zero() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self)
    }

    /// Where it leads on. The header counts before what stands in the page, as it does in a browser, which has read it by then.
    async fn refresh(&self) -> Option<Refresh> {
        let by_header = self.refresh_header();
        if by_header.is_some() || !refresh::may_be_in(&self.response.body) {
            return by_header;
        }
        self.clone()
            .read(|document| refresh::of_page(&document.tree, &document.url))
            .await
    }

    fn refresh_header(&self) -> Option<Refresh> {
        let value = self.response.headers.get(header::REFRESH)?;
        let value = decode_text(value.as_bytes(), None, None);
        refresh::of_header(&value, self.url())
    }

    /// Runs the page's scripts.
    ///
    /// # Errors
    /// As [`Tab::render`]; where scripts have led on to something else.
    ///
    /// # Cancel safety
    /// As [`Tab::render`].
    pub async fn render(self, tab: Tab, site: &str) -> Result<Self, NoPage> {
        let Rendered { response, html } = tab.render(self.response).await?;
        Ok(Self {
            rendered: Some(html),
            ..Self::of(response, site)?
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

    /// As [`Landing::read`]; a page that is only a notice is rendered, if there is a browser, and read again.
    ///
    /// Whatever tells something is no notice, by the word of `tells`.
    ///
    /// # Errors
    /// As [`Landing::render`].
    ///
    /// # Cancel safety
    /// As [`Landing::render`].
    pub async fn read_or_render<T: Send + 'static>(
        self,
        renderer: &Renderer,
        site: &str,
        work: impl Fn(&Document) -> T + Clone + Send + 'static,
        tells: fn(&T) -> bool,
    ) -> Result<Seen<T>, NoPage> {
        let seen = self.clone().look(work.clone(), tells).await;
        self.get_past(seen, renderer, site, work, tells).await
    }

    /// As [`Landing::read`], with what else is to be known of the page.
    async fn look<T: Send + 'static>(
        self,
        work: impl Fn(&Document) -> T + Send + 'static,
        tells: fn(&T) -> bool,
    ) -> Seen<T> {
        self.read(move |document| {
            let told = work(document);
            Seen {
                url: document.url.clone(),
                is_partial: document.is_partial,
                notice: document.notice().filter(|_| !tells(&told)),
                told,
            }
        })
        .await
    }

    /// What a browser sees where only a notice was seen, if there is a browser.
    async fn get_past<T: Send + 'static>(
        self,
        seen: Seen<T>,
        renderer: &Renderer,
        site: &str,
        work: impl Fn(&Document) -> T + Send + 'static,
        tells: fn(&T) -> bool,
    ) -> Result<Seen<T>, NoPage> {
        if !seen.needs_browser() {
            return Ok(seen);
        }
        match renderer.tab().await {
            Ok(tab) => Ok(self.render(tab, site).await?.look(work, tells).await),
            Err(RenderError::Off) => Ok(seen),
            Err(error) => Err(error.into()),
        }
    }

    fn into_document(self) -> Document {
        let Self { response, rendered } = self;
        let text = rendered.unwrap_or_else(|| {
            let content_type = response.content_type.as_deref();
            html::decode_from(response.url.host_str(), &response.body, content_type).text
        });
        Document {
            is_partial: response.cut.is_some(),
            ..Document::parse(response.url, text)
        }
    }
}

fn check_site(url: &Url, site: &str) -> Result<(), PageError> {
    if is_same_site(url.host_str().unwrap_or_default(), site) {
        Ok(())
    } else {
        Err(PageError::OtherSite { url: url.clone() })
    }
}

/// What was read of a page.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// Where it is.
    pub url: Url,
    /// Whether its end was missing.
    pub is_partial: bool,
    /// What it tells.
    pub told: T,
    /// What it is, where it is none and tells nothing.
    pub notice: Option<Notice>,
}

impl<T> Seen<T> {
    /// Whether a browser may see more.
    fn needs_browser(&self) -> bool {
        self.notice.is_some_and(Notice::needs_browser)
    }

    /// Why it is no page, and what may help, in words; `None` where it is one.
    #[must_use]
    pub fn complaint(&self, renderer: &Renderer) -> Option<String> {
        let notice = self.notice?;
        let said = notice.describe();
        Some(match (notice.needs_browser(), renderer.is_on()) {
            (true, false) => format!("{said}; with render.enabled = true a browser is asked"),
            (true, true) => format!("{said}, in a browser too"),
            (false, _) => said.to_owned(),
        })
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
    /// Whether its end was missing when it came.
    pub is_partial: bool,
}

impl Document {
    /// Parses the text of the page at `url`. It takes its time: see [`compute`].
    #[must_use]
    pub fn parse(url: Url, text: String) -> Self {
        let tree = html::Page::parse(&text);
        Self {
            url,
            text,
            tree,
            is_partial: false,
        }
    }

    /// The address by which the site itself knows the page; `None` for a home page.
    ///
    /// What a page declares as such is believed only within its own site. To be had as it is declared, slips and all, from
    /// [`gleaner_extract::page::extract`].
    #[must_use]
    pub fn canonical(&self) -> Option<String> {
        address::canonical(&self.tree, &self.url)
    }

    /// What the page is, if it is only a notice.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        notice_of(&self.tree)
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
    use crate::web::fetch::Trail;

    fn response(url: &str, content_type: Option<&str>, body: &[u8]) -> Response {
        let url = Url::parse(url).unwrap();
        Response {
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
            cut: None,
            elapsed: Duration::ZERO,
            redirects: 0,
            trail: Trail::default(),
        }
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
            let judged = Landing::of(response(url, content_type, body.as_bytes()), "kettle.com");
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
            let response = response(&format!("https://{host}/"), Some(content_type), &body);
            let found = Landing::of(response, host)
                .unwrap()
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

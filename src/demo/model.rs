//! What a generated host is made of. Plain data: [`super::site`] fills it, [`super::render`] turns it into bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::country::{Country, Telephone, Town};
use super::names::Trade;

/// How a generated host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Answers at once.
    Normal,
    /// Answers after 200 to 800 ms.
    Slow,
    /// Answers the first requests of many paths with 503 (and `Retry-After: 1`) or 500, then well.
    Flaky,
    /// Closes every connection without an answer.
    Dead,
    /// Redirects every path of the bare host to `www.`.
    ApexToWww,
    /// Redirects every path of `www.` to the bare host.
    WwwToApex,
    /// Answers 200 with an HTML page for every path, `robots.txt` and sitemaps included.
    SoftNotFound,
    /// Its `robots.txt` disallows a contact page and its shop.
    RobotsDisallow,
    /// Its listed contact page has moved (301).
    MovedPage,
    /// One listed page redirects to a private address, another to itself.
    PrivateRedirect,
    /// Answers on `www.` only; the bare host says 404 to everything.
    WwwOnly,
    /// Its home page and a listed contact page lead on by themselves (`<meta http-equiv=refresh>`).
    LeadsOn,
    /// Sends whoever comes without its cookie back for it.
    CookieCheck,
}

/// How a generated host publishes the list of its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SitemapForm {
    /// One XML sitemap named in `robots.txt`.
    Robots,
    /// An index with two children, named in `robots.txt` beside a sitemap that is gone.
    Index,
    /// An index in an index.
    NestedIndex,
    /// An index that lists itself.
    SelfReferencingIndex,
    /// A gzip file (`sitemap.xml.gz`) named in `robots.txt`.
    Gzip,
    /// A well-known path; there is no `robots.txt`.
    WellKnown,
    /// Linked from the home page only.
    HomeLink,
    /// One URL per line.
    Text,
    /// An RSS feed.
    Rss,
    /// None at all.
    None,
    /// 2,000 URLs in one file.
    Large,
    /// Two sitemaps that list the same pages, with tracking parameters and fragments.
    Overlapping,
}

/// What kind of contact detail a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    /// An e-mail address, lower case.
    Email,
    /// A telephone number in E.164.
    Phone,
    /// The URL of a profile on a social network.
    Social,
}

/// How a planted contact detail is written on its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Visible text; telephone numbers in national form.
    Plain,
    /// A telephone number as visible text in international form.
    International,
    /// A telephone number behind a name that could be a label of something else: an inn's, a bank's.
    Named,
    /// A `mailto:` link.
    Mailto,
    /// A `mailto:` link with a subject.
    MailtoSubject,
    /// A `tel:` link.
    Tel,
    /// schema.org `LocalBusiness` as JSON-LD.
    JsonLd,
    /// schema.org microdata.
    Microdata,
    /// `info [at] host [dot] tld` and its like.
    Obfuscated,
    /// Every character as an HTML entity.
    Entities,
    /// Cloudflare's `data-cfemail`.
    Cloudflare,
    /// An ordinary link.
    Link,
}

/// One contact detail on one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planted {
    pub(crate) kind: ContactKind,
    /// In the form the truth uses.
    pub(crate) value: String,
    /// As a person would write it.
    pub(crate) written: String,
    pub(crate) form: Form,
}

/// Something on a page that looks like a contact detail and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageDecoy {
    pub(crate) kind: DecoyKind,
    pub(crate) value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DecoyKind {
    ImageName,
    PlaceholderEmail,
    Timestamp,
    OrderNumber,
    TrackingId,
    ErrorReporting,
    Coordinates,
    VatNumber,
    ShareLink,
    OpeningHours,
    RegisterNumber,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageKind {
    Home,
    About,
    Services,
    Team,
    Blog,
    Product,
    Careers,
    /// Contact, legal and career contact pages: what the pipeline fetches by itself.
    Contact,
    /// A sitemap for people, which is no sitemap for machines.
    HtmlSitemap,
    Pdf,
    /// Elsewhere by this status; 200 for a page that leads on by itself.
    Redirect {
        status: u16,
        to: String,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) kind: PageKind,
    pub(crate) title: String,
    pub(crate) contacts: Vec<Planted>,
    /// A telefax number: really there, but a pipeline may rightly leave it out.
    pub(crate) fax: Option<Planted>,
    pub(crate) decoys: Vec<PageDecoy>,
    pub(crate) is_malformed: bool,
    pub(crate) seed: u64,
}

/// One entry of a sitemap.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// The page's key in [`Site::pages`], which is its normalised path and query.
    pub(crate) page: String,
    /// As listed: the same page, perhaps with tracking parameters, a fragment or another order of the query.
    pub(crate) listed: String,
    pub(crate) lastmod: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum SitemapBody {
    Urls(Vec<Listing>),
    Text(Vec<Listing>),
    Rss(Vec<Listing>),
    /// Paths of the children on the same host.
    Index(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) struct SitemapFile {
    pub(crate) body: SitemapBody,
    pub(crate) is_gzip: bool,
}

#[derive(Debug)]
pub(crate) struct Site {
    /// Position in the plan; also the number in the host name.
    pub(crate) index: usize,
    /// The registrable domain, in ASCII.
    pub(crate) host: String,
    /// The same as a person would type it.
    pub(crate) typed_host: String,
    pub(crate) name: String,
    pub(crate) trade: &'static Trade,
    pub(crate) country: Country,
    pub(crate) town: &'static Town,
    pub(crate) street: &'static str,
    pub(crate) house_number: u32,
    pub(crate) postcode: String,
    /// The number the Places API gives, which the contact page also has.
    pub(crate) telephone: Option<Telephone>,
    pub(crate) behaviour: Behaviour,
    pub(crate) sitemap_form: SitemapForm,
    pub(crate) pages: BTreeMap<String, Page>,
    pub(crate) sitemaps: BTreeMap<String, SitemapFile>,
    /// The text of `robots.txt`; `None` is a 404.
    pub(crate) robots: Option<String>,
    /// Path prefixes that `robots.txt` disallows.
    pub(crate) disallowed: Vec<String>,
    /// Markup for the home page's head or footer that links the sitemap.
    pub(crate) home_sitemap_link: Option<String>,
    /// Pages are sent as windows-1252 and say so.
    pub(crate) is_windows_1252: bool,
    pub(crate) seed: u64,
}

impl Site {
    /// The host that answers pages without a redirect.
    pub(crate) fn canonical_host(&self) -> String {
        if matches!(self.behaviour, Behaviour::ApexToWww | Behaviour::WwwOnly) {
            format!("www.{}", self.host)
        } else {
            self.host.clone()
        }
    }

    /// The absolute URL of a path on this site.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.canonical_host())
    }

    pub(crate) fn is_disallowed(&self, path: &str) -> bool {
        self.disallowed
            .iter()
            .any(|prefix| path.starts_with(prefix.as_str()))
    }

    pub(crate) fn street_line(&self) -> String {
        self.country.street_line(self.street, self.house_number)
    }

    /// The path of the first page of a kind.
    pub(crate) fn path_of(&self, kind: &PageKind) -> Option<&str> {
        self.pages
            .iter()
            .find(|(_, page)| page.kind == *kind)
            .map(|(path, _)| path.as_str())
    }

    pub(crate) fn listings(&self) -> impl Iterator<Item = &Listing> {
        self.sitemaps
            .values()
            .flat_map(|sitemap| match &sitemap.body {
                SitemapBody::Urls(listings)
                | SitemapBody::Text(listings)
                | SitemapBody::Rss(listings) => listings.as_slice(),
                SitemapBody::Index(_) => &[],
            })
    }
}

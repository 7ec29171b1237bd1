//! From a request to what is printed: one function per kind, each no more than its extractor and the form of the output.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::ops::Not;
use std::sync::Arc;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Serialize, Serializer};
use serde_json::Number;
use url::Url;

use super::input::{self, InputError};
use super::request::Request;
use crate::category::categorize;
use crate::html::{self, MAX_HTML_BYTES, Page};
use crate::pattern::{Fields, Pattern, PatternError};
use crate::price::{self, Amount, Currency};
use crate::robots::{MAX_ROBOTS_BYTES, Robots};
use crate::sitemap::{self, AsGiven, Entry, Kind as Form, Limits, Progress, SitemapError};
use crate::url::{TrackingParameters, UrlError, key, normalize_with};
use crate::{contacts, domain, offer, page};

/// What can be extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A URL as it is stored and fetched, and by what it is told from others.
    Url,
    /// Host, registrable domain and public suffix of a URL.
    Domain,
    /// What a robots.txt allows.
    Robots,
    /// The entries of a sitemap or feed.
    Sitemap,
    /// E-mail addresses, telephone numbers, social profiles, name, address.
    Contacts,
    /// The price in a text.
    Price,
    /// What a product page offers, and for how much.
    Offer,
    /// What a pattern selects on a page.
    Pattern,
    /// Title, texts, links and type of a page.
    Page,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Url,
        Self::Domain,
        Self::Robots,
        Self::Sitemap,
        Self::Contacts,
        Self::Price,
        Self::Offer,
        Self::Pattern,
        Self::Page,
    ];

    /// The word for it on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Domain => "domain",
            Self::Robots => "robots",
            Self::Sitemap => "sitemap",
            Self::Contacts => "contacts",
            Self::Price => "price",
            Self::Offer => "offer",
            Self::Pattern => "pattern",
            Self::Page => "page",
        }
    }
}

/// The longest text that is read as a URL, in bytes, before white space is trimmed.
const MAX_SHORT_TEXT_BYTES: usize = 64 * 1024;

/// Stands for the address of a document that has none: a name that never exists (RFC 6761).
const NOWHERE: &str = "https://nowhere.invalid/";

/// Opens what a request names as its `file`.
pub type Opener = dyn Fn(&str) -> Result<Box<dyn Read>, InputError> + Send + Sync;

/// What all requests of one run share.
pub struct Context {
    /// Opens the files that requests name.
    pub open: Box<Opener>,
    /// Parameters that URLs lose.
    pub tracking: Arc<TrackingParameters>,
    /// The pattern of requests that bring none.
    pub pattern: Option<Pattern>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The document cannot be had.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Nothing was given to work on.
    #[error("nothing to work on: give one of {0}")]
    NoDocument(&'static str),
    /// A URL that had to be one.
    #[error("not a url that can be fetched")]
    Url(#[from] UrlError),
    /// The `url` beside the document.
    #[error("\"url\" is not a url")]
    Address(#[source] url::ParseError),
    /// The `currency` beside the text.
    #[error("\"currency\" must be an ISO 4217 code or the sign of one currency, not {0:?}")]
    Currency(String),
    /// The `decimal_separator` beside the text.
    #[error("\"decimal_separator\" must be \".\", \",\" or a currency sign")]
    DecimalSeparator,
    /// The sitemap is refused.
    #[error(transparent)]
    Sitemap(#[from] SitemapError),
    /// The pattern is no pattern.
    #[error("the pattern is refused")]
    Pattern(#[from] PatternError),
    /// No pattern was given.
    #[error("no pattern: give \"pattern\" in the line or --pattern FILE")]
    NoPattern,
    /// A panic, which should never be.
    #[error("a defect of this program; please report it")]
    Defect,
}

/// What is printed for a request, as JSON.
#[derive(Serialize)]
pub struct Answer(Output);

/// One form per kind.
#[derive(Serialize)]
#[serde(untagged)]
enum Output {
    Url(UrlAnswer),
    Domain(DomainAnswer),
    Robots(RobotsAnswer),
    Sitemap(SitemapAnswer),
    Contacts(contacts::Contacts),
    Price(PriceAnswer),
    Offer(Box<offer::Offer>),
    Pattern(Fields),
    Page(Box<PageAnswer>),
}

/// The document of a request.
enum Document<'a> {
    /// In the request, and text already.
    Text(&'a str),
    /// Yet to be read.
    File(Box<dyn Read>),
}

impl<'a> Document<'a> {
    fn of(
        request: &'a Request<'_>,
        context: &Context,
        wanted: &'static str,
    ) -> Result<Self, Refusal> {
        if let Some(text) = request.html.as_deref().or(request.text.as_deref()) {
            return Ok(Self::Text(text));
        }
        match request.file.as_deref() {
            Some(file) => Ok(Self::File((context.open)(file)?)),
            None => Err(Refusal::NoDocument(wanted)),
        }
    }

    /// Its bytes, at most `limit` of them.
    fn bytes(self, limit: usize) -> Result<Cow<'a, [u8]>, InputError> {
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Self::File(file) => input::read(file, limit).map(Cow::Owned),
        }
    }

    /// Its text, in whatever encoding it is.
    fn text(self, host: Option<&str>, limit: usize) -> Result<Cow<'a, str>, InputError> {
        if let Self::Text(text) = self {
            return Ok(Cow::Borrowed(text));
        }
        let bytes = self.bytes(limit)?;
        Ok(Cow::Owned(html::decode_from(host, &bytes, None).text))
    }

    /// A reader over all of it. Text says that it is UTF-8, whatever it declares.
    fn reader(self) -> Box<dyn Read + 'a> {
        match self {
            Self::Text(text) => Box::new(Cursor::new(b"\xef\xbb\xbf").chain(Cursor::new(
                text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes(),
            ))),
            Self::File(file) => file,
        }
    }
}

/// Answers one request.
///
/// # Errors
/// Why it cannot be answered; the next one can be all the same.
pub fn answer(kind: Kind, request: &Request<'_>, context: &Context) -> Result<Answer, Refusal> {
    Ok(Answer(match kind {
        Kind::Url => Output::Url(url(request, context)?),
        Kind::Domain => Output::Domain(domain_parts(request, context)?),
        Kind::Robots => Output::Robots(robots(request, context)?),
        Kind::Sitemap => Output::Sitemap(sitemap(request, context)?),
        Kind::Contacts => Output::Contacts(contacts_of(request, context)?),
        Kind::Price => Output::Price(price_in(request, context)?),
        Kind::Offer => {
            let (page, url) = parsed(request, context)?;
            Output::Offer(Box::new(offer::offer_of(&page, url.as_ref())))
        }
        Kind::Pattern => Output::Pattern(pattern(request, context)?),
        Kind::Page => Output::Page(Box::new(page_facts(request, context)?)),
    }))
}

/// The output of kind `url`.
#[derive(Serialize)]
struct UrlAnswer {
    url: String,
    /// By what it is told from other addresses, where that is not `url` itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Whether `url` differs from what was given.
    changed: bool,
}

fn url(request: &Request<'_>, context: &Context) -> Result<UrlAnswer, Refusal> {
    let raw = short_text(request, context)?;
    let url = normalize_with(&context.tracking, &raw)?;
    let key = match key(&url) {
        Cow::Owned(key) => Some(key),
        Cow::Borrowed(_) => None,
    };
    let url = String::from(url);
    let changed = url != raw.as_ref();
    Ok(UrlAnswer { url, key, changed })
}

/// The text of the request or its file; its `url` where that is all there is.
fn short_text<'a>(request: &'a Request<'_>, context: &Context) -> Result<Cow<'a, str>, Refusal> {
    match Document::of(request, context, "\"text\", \"url\" or \"file\"") {
        Ok(Document::Text(text)) => Ok(Cow::Borrowed(text)),
        Ok(document) => {
            let text = document.text(None, MAX_SHORT_TEXT_BYTES)?;
            Ok(Cow::Owned(text.trim().to_owned()))
        }
        Err(Refusal::NoDocument(wanted)) => match request.url.as_deref() {
            Some(url) => Ok(Cow::Borrowed(url)),
            None => Err(Refusal::NoDocument(wanted)),
        },
        Err(refusal) => Err(refusal),
    }
}

/// The output of kind `domain`.
#[derive(Default, Serialize)]
struct DomainAnswer {
    host: Option<String>,
    registrable: Option<String>,
    suffix: Option<String>,
    /// The list of shared hosts it is in (`social`, `directory` …), if any.
    shared: Option<&'static str>,
}

fn domain_parts(request: &Request<'_>, context: &Context) -> Result<DomainAnswer, Refusal> {
    let raw = short_text(request, context)?;
    let suffixes = if request.private == Some(true) {
        domain::Suffixes::WithPrivate
    } else {
        domain::Suffixes::Icann
    };
    // What names no host has none of the three.
    let parts = domain::parts(&raw, suffixes).unwrap_or_default();
    Ok(DomainAnswer {
        host: parts.host,
        registrable: parts.registrable,
        suffix: parts.suffix,
        shared: parts.shared,
    })
}

/// The output of kind `robots`.
#[derive(Serialize)]
struct RobotsAnswer {
    /// Whether the agent may fetch the address; null where none was given.
    allowed: Option<bool>,
    /// In seconds.
    crawl_delay: Option<Number>,
    sitemaps: Vec<String>,
}

fn robots(request: &Request<'_>, context: &Context) -> Result<RobotsAnswer, Refusal> {
    let document = Document::of(request, context, "\"text\" or \"file\"")?;
    let robots = Robots::parse(&document.bytes(MAX_ROBOTS_BYTES + 1)?);
    let agent = request.user_agent.as_deref().unwrap_or("*");
    let url = address(request)?;
    Ok(RobotsAnswer {
        allowed: url.map(|url| robots.is_allowed(agent, &url)),
        crawl_delay: robots.crawl_delay(agent).and_then(|delay| {
            if delay.subsec_nanos() == 0 {
                Some(delay.as_secs().into())
            } else {
                Number::from_f64(delay.as_secs_f64())
            }
        }),
        sitemaps: robots.sitemaps().to_vec(),
    })
}

/// The address of the document, as it was given: what normalising drops may be what counts. A path alone is one of some host.
fn address(request: &Request<'_>) -> Result<Option<Url>, Refusal> {
    let Some(text) = request.url.as_deref() else {
        return Ok(None);
    };
    let text = text.trim();
    let parsed = match Url::parse(text) {
        Err(url::ParseError::RelativeUrlWithoutBase) if text.starts_with('/') => {
            nowhere()?.join(text)
        }
        Err(url::ParseError::RelativeUrlWithoutBase) => Url::parse(&format!("https://{text}")),
        parsed => parsed,
    };
    parsed.map(Some).map_err(Refusal::Address)
}

fn nowhere() -> Result<Url, Refusal> {
    Url::parse(NOWHERE).map_err(Refusal::Address)
}

/// The output of kind `sitemap`.
#[derive(Serialize)]
struct SitemapAnswer {
    kind: &'static str,
    urls: Urls,
    /// Why the end was not read: `max_bytes`, `max_urls`, `damaged_gzip`, `unexpected_end`; null if it was.
    truncated: Option<&'static str>,
    /// Entries without a URL that can be fetched.
    invalid: u64,
}

/// The entries, or their addresses alone.
#[derive(Serialize)]
#[serde(untagged)]
enum Urls {
    Entries(Vec<Shown>),
    Only(Vec<String>),
}

/// An entry as it is printed.
#[derive(Serialize)]
struct Shown {
    loc: String,
    #[serde(serialize_with = "rfc3339")]
    lastmod: Option<DateTime<Utc>>,
    changefreq: Option<&'static str>,
    priority: Option<f32>,
}

/// Writes a time in UTC as RFC 3339 has it.
fn rfc3339<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(time) = time else {
        return serializer.serialize_none();
    };
    let whole = whole_second(time);
    match whole.as_ref().map(|text| std::str::from_utf8(text)) {
        Some(Ok(text)) => serializer.serialize_str(text),
        _ => serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
    }
}

/// A time without a fraction in the years 0 to 9999, which are nearly all; chrono takes several times as long.
fn whole_second(time: &DateTime<Utc>) -> Option<[u8; 20]> {
    let year = u32::try_from(time.year())
        .ok()
        .filter(|year| *year <= 9_999)?;
    if time.nanosecond() != 0 {
        return None;
    }
    let mut text = *b"0000-00-00T00:00:00Z";
    let mut put = |range: std::ops::Range<usize>, mut value: u32| {
        for digit in text.get_mut(range).unwrap_or_default().iter_mut().rev() {
            *digit += u8::try_from(value % 10).unwrap_or_default();
            value /= 10;
        }
    };
    put(0..4, year);
    put(5..7, time.month());
    put(8..10, time.day());
    put(11..13, time.hour());
    put(14..16, time.minute());
    put(17..19, time.second());
    Some(text)
}

fn sitemap(request: &Request<'_>, context: &Context) -> Result<SitemapAnswer, Refusal> {
    let mut input = Document::of(request, context, "\"file\", \"text\"")?.reader();
    let base = match address(request)? {
        Some(url) => url,
        None => nowhere()?,
    };
    let mut parser = sitemap::Parser::<AsGiven>::with_tracking(
        &base,
        Limits::default(),
        Arc::clone(&context.tracking),
    );
    let mut urls = if request.urls_only == Some(true) {
        Urls::Only(Vec::new())
    } else {
        Urls::Entries(Vec::new())
    };
    // Without an address of its own, a relative entry leads nowhere.
    let mut relative = 0;
    let is_placeholder = request.url.is_none();
    let mut each = |entry: Entry<AsGiven>| {
        if is_placeholder && entry.loc.is_relative {
            relative += 1;
            return;
        }
        let loc = entry.loc.url;
        match &mut urls {
            Urls::Entries(entries) => entries.push(Shown {
                loc,
                lastmod: entry.lastmod,
                changefreq: entry.changefreq.map(|frequency| frequency.as_str()),
                priority: entry.priority,
            }),
            Urls::Only(urls) => urls.push(loc),
        }
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(InputError::Broken(error).into()),
        };
        let chunk = buffer.get(..length).unwrap_or_default();
        if parser.feed(chunk, &mut each)? == Progress::Done {
            break;
        }
    }
    let summary = parser.finish(&mut each)?;
    Ok(SitemapAnswer {
        kind: match summary.kind {
            Form::Index => "index",
            other => other.as_str(),
        },
        urls,
        truncated: summary.truncated.map(sitemap::Reason::as_str),
        invalid: summary.invalid_urls + relative,
    })
}

/// The page of a request, and its address.
fn parsed(request: &Request<'_>, context: &Context) -> Result<(Page, Option<Url>), Refusal> {
    let url = address(request)?;
    let host = url.as_ref().and_then(Url::host_str);
    // One byte more than is looked at shows the parser that it was cut.
    let text =
        Document::of(request, context, "\"html\" or \"file\"")?.text(host, MAX_HTML_BYTES + 1)?;
    Ok((Page::parse(&text), url))
}

fn contacts_of(request: &Request<'_>, context: &Context) -> Result<contacts::Contacts, Refusal> {
    let (page, url) = parsed(request, context)?;
    let options = contacts::Options {
        default_region: request.default_region.as_deref(),
    };
    let url = url.map_or_else(nowhere, Ok)?;
    Ok(contacts::extract(&page, &url, &options))
}

/// The output of kind `price`.
#[derive(Default, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not states"
)]
struct PriceAnswer {
    amount: Option<Amount>,
    currency: Option<Currency>,
    currency_raw: Option<String>,
    /// What it cost before, where the text says both.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_amount: Option<Amount>,
    /// The least of several: the lower end of a range. This mark and those below are left out where they do not hold.
    #[serde(skip_serializing_if = "Not::not")]
    is_range: bool,
    /// "From".
    #[serde(skip_serializing_if = "Not::not")]
    is_from: bool,
    /// A former price, and no current one.
    #[serde(skip_serializing_if = "Not::not")]
    is_old: bool,
    /// By the month, the year.
    #[serde(skip_serializing_if = "Not::not")]
    is_periodic: bool,
    /// By the kilogram, the litre.
    #[serde(skip_serializing_if = "Not::not")]
    is_per_unit: bool,
    #[serde(skip_serializing_if = "Not::not")]
    is_free: bool,
}

fn price_in(request: &Request<'_>, context: &Context) -> Result<PriceAnswer, Refusal> {
    let text = Document::of(request, context, "\"text\" or \"file\"")?
        .text(None, price::MAX_TEXT_BYTES)?;
    let decimal_separator = match request.decimal_separator.as_deref() {
        None | Some("") => None,
        Some(".") => Some('.'),
        Some(",") => Some(','),
        Some(sign) => Some(price::currency_sign(sign).ok_or(Refusal::DecimalSeparator)?),
    };
    let url = address(request)?;
    let mut hints = price::Hints {
        currency: None,
        decimal_separator,
        language: request.language.as_deref(),
        domain: url.as_ref().and_then(Url::host_str),
    };
    if let Some(field) = request
        .currency
        .as_deref()
        .filter(|field| !field.trim().is_empty())
    {
        let currency = Currency::from_field(field, &hints)
            .ok_or_else(|| Refusal::Currency(field.chars().take(20).collect()))?;
        hints.currency = Some(currency);
    }
    let Some(price) = price::parse(&text, &hints) else {
        return Ok(PriceAnswer::default());
    };
    Ok(PriceAnswer {
        amount: Some(price.amount),
        currency: price.currency,
        currency_raw: price.currency_raw,
        old_amount: price.old_amount,
        is_range: price.flags.is_range,
        is_from: price.flags.is_from,
        is_old: price.flags.is_old,
        is_periodic: price.flags.is_periodic,
        is_per_unit: price.flags.is_per_unit,
        is_free: price.flags.is_free,
    })
}

fn pattern(request: &Request<'_>, context: &Context) -> Result<Fields, Refusal> {
    let own = match request.pattern {
        Some(raw) => Some(Pattern::parse(
            &serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned()),
        )?),
        None => None,
    };
    let pattern = own
        .as_ref()
        .or(context.pattern.as_ref())
        .ok_or(Refusal::NoPattern)?;
    let (page, url) = parsed(request, context)?;
    Ok(pattern.apply(&page, url.as_ref()))
}

/// The output of kind `page`.
#[derive(Serialize)]
struct PageAnswer {
    title: Option<String>,
    description: Option<String>,
    canonical: Option<String>,
    language: Option<String>,
    h1: Option<String>,
    text: String,
    word_count: usize,
    links: Vec<page::Link>,
    /// By the address; null without one, like the two that follow.
    page_type: Option<&'static str>,
    rule: Option<&'static str>,
    confidence: Option<f32>,
    favicon: Option<String>,
    logo: Option<String>,
    generator: Option<String>,
    meta_robots: Option<String>,
    has_contact_form: bool,
    schema_types: std::collections::BTreeSet<String>,
    /// Whether a bound cut the document.
    truncated: bool,
}

fn page_facts(request: &Request<'_>, context: &Context) -> Result<PageAnswer, Refusal> {
    let (page, url) = parsed(request, context)?;
    let category = url.as_ref().map(categorize);
    let facts = page::extract_with(&context.tracking, &page, &url.map_or_else(nowhere, Ok)?);
    Ok(PageAnswer {
        title: facts.title,
        description: facts.description,
        canonical: facts.canonical,
        language: facts.language,
        h1: facts.h1,
        text: facts.text,
        word_count: facts.word_count,
        links: facts.links,
        page_type: category.map(|category| category.page_type.as_str()),
        rule: category.map(|category| category.rule),
        confidence: category.map(|category| category.confidence),
        favicon: facts.favicon,
        logo: facts.logo,
        generator: facts.generator,
        meta_robots: facts.meta_robots,
        has_contact_form: facts.has_contact_form,
        schema_types: facts.schema_types,
        truncated: page.is_truncated(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(second in -70_000_000_000_i64..260_000_000_000, fraction in 0..3_u32) {
            let time = DateTime::from_timestamp(second, fraction * 250_000_000).unwrap();
            let mut written = Vec::new();
            rfc3339(&Some(time), &mut serde_json::Serializer::new(&mut written)).unwrap();
            let expected = format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            proptest::prop_assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}

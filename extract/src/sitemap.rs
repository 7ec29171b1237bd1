//! Sitemaps in every form the protocol knows, parsed as they arrive.
//!
//! Bytes pass through four stages, none of which keeps more than a few hundred kilobytes, however large the file:
//!
//! ```text
//! chunks → gunzip (by magic bytes, up to two layers) → budget → encoding → XML scanner or text lines → entries
//! ```
//!
//! Forms: `urlset` and `sitemapindex` (sitemaps.org, protocol 0.9) with or without namespaces, text with one URL per line, RSS and
//! Atom feeds. Anything else, HTML above all, is [`Kind::None`]. A file that is damaged or cut keeps what can be read of it; one
//! with a document type declaration is refused, because no sitemap has one and entity bombs need one.
//!
//! Entries are passed on as they come: duplicates are the caller's business, and so is whether a URL may be on this host.

mod date;
mod document;
mod gunzip;
mod lines;
mod reader;
mod xml;

use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use url::Url;

use super::url::{MAX_URL_BYTES, TrackingParameters, normalize_with, resolve_with};

pub use date::parse_lastmod;

use gunzip::Gunzip;
use reader::Reader;

/// What a file may cost. Reaching a limit ends the parse cleanly and is told in [`Summary::truncated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression. The protocol allows 50 MiB.
    pub max_bytes: u64,
    /// Entries. The protocol allows 50,000.
    pub max_urls: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 50 * 1024 * 1024,
            max_urls: 50_000,
        }
    }
}

/// One URL of a sitemap, or one child of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<L = Url> {
    /// The absolute URL: normalised as by [`super::url::resolve`], or as the file has it, as the parser was asked.
    pub loc: L,
    /// When the page changed, if a readable date was given.
    pub lastmod: Option<DateTime<Utc>>,
    /// How often the page is said to change.
    pub changefreq: Option<ChangeFrequency>,
    /// From 0 to 1; values outside are dropped.
    pub priority: Option<f32>,
}

/// The values of `changefreq` (sitemaps.org, protocol 0.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeFrequency {
    /// On every access.
    Always,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
    /// Every year.
    Yearly,
    /// Archived.
    Never,
}

impl ChangeFrequency {
    const ALL: [Self; 7] = [
        Self::Always,
        Self::Hourly,
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Yearly,
        Self::Never,
    ];

    /// Returns the protocol's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::Never => "never",
        }
    }

    /// Reads the protocol's word without regard to case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|value| value.as_str().eq_ignore_ascii_case(text.trim()))
    }
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A list of pages.
    UrlSet,
    /// A list of further sitemaps.
    Index,
    /// One URL per line.
    Text,
    /// An RSS feed, of any version.
    Rss,
    /// An Atom feed.
    Atom,
    /// No sitemap.
    None,
}

impl Kind {
    /// Returns the name under which the kind is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UrlSet => "urlset",
            Self::Index => "sitemapindex",
            Self::Text => "text",
            Self::Rss => "rss",
            Self::Atom => "atom",
            Self::None => "none",
        }
    }
}

/// Why the end of a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// [`Limits::max_bytes`] was reached.
    MaxBytes,
    /// There were more entries than [`Limits::max_urls`].
    MaxUrls,
    /// The gzip data is damaged, or ends too early.
    DamagedGzip,
    /// The XML ends inside its root element.
    UnexpectedEnd,
}

impl Reason {
    /// Returns the name under which the reason is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxBytes => "max_bytes",
            Self::MaxUrls => "max_urls",
            Self::DamagedGzip => "damaged_gzip",
            Self::UnexpectedEnd => "unexpected_end",
        }
    }
}

/// What a whole file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it was.
    pub kind: Kind,
    /// Entries passed on.
    pub urls: u64,
    /// Entries without a URL that can be fetched, dropped.
    pub invalid_urls: u64,
    /// Bytes read after decompression.
    pub bytes: u64,
    /// Bytes fed in.
    pub bytes_fed: u64,
    /// Layers of gzip taken off.
    pub gzip_layers: usize,
    /// Why the end was not read, if it was not.
    pub truncated: Option<Reason>,
}

/// Whether a parser wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Feed the next chunk.
    More,
    /// Nothing further will be read: stop the download.
    Done,
}

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SitemapError {
    /// It declares a document type, and so perhaps entities. They are never resolved, fetched or expanded.
    #[error("the sitemap has a document type declaration")]
    Doctype,
}

/// Why the stages stop before the end of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Limit(Reason),
    NotASitemap,
    Refused(SitemapError),
}

/// Goes on, or ends the parse.
type Step = ControlFlow<End>;

/// A parser for one file, which passes on each address as an `L`.
pub struct Parser<L = Url> {
    gunzip: Gunzip,
    reader: Reader<L>,
    bytes_fed: u64,
    end: Option<End>,
}

impl Parser {
    /// Starts a file that was found at `base`, against which relative URLs are resolved.
    #[must_use]
    pub fn new(base: &Url, limits: Limits) -> Self {
        Self::with_tracking(base, limits, Arc::clone(TrackingParameters::built_in()))
    }
}

#[expect(private_bounds, reason = "the two kinds of addresses are ours to name")]
impl<L: Location> Parser<L> {
    /// As [`Parser::new`], dropping the parameters in `tracking` from the URLs.
    #[must_use]
    pub fn with_tracking(base: &Url, limits: Limits, tracking: Arc<TrackingParameters>) -> Self {
        let base = Base {
            url: base.clone(),
            tracking,
        };
        Self {
            gunzip: Gunzip::new(limits.max_bytes),
            reader: Reader::new(base, limits),
            bytes_fed: 0,
            end: None,
        }
    }

    /// Takes the next bytes, and passes on the entries that became complete.
    ///
    /// # Errors
    ///
    /// When the file is refused; what was passed on before stands, and every later call fails alike.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Entry<L>),
    ) -> Result<Progress, SitemapError> {
        if self.end.is_none() {
            self.bytes_fed = self.bytes_fed.saturating_add(length(chunk));
            let reader = &mut self.reader;
            let step = self
                .gunzip
                .feed(chunk, &mut |bytes| reader.feed(bytes, &mut each));
            self.end = step.break_value();
        }
        match self.end {
            Some(End::Refused(err)) => Err(err),
            Some(_) => Ok(Progress::Done),
            None => Ok(Progress::More),
        }
    }

    /// Ends the file, and passes on what was still held back.
    ///
    /// # Errors
    ///
    /// When the file was refused.
    pub fn finish(mut self, mut each: impl FnMut(Entry<L>)) -> Result<Summary, SitemapError> {
        if self.end.is_none() {
            let reader = &mut self.reader;
            let gunzipped = self
                .gunzip
                .finish(&mut |bytes| reader.feed(bytes, &mut each));
            // Damage to the compression does not keep the reader from finishing what came before.
            let read = match gunzipped {
                ControlFlow::Continue(()) | ControlFlow::Break(End::Limit(Reason::DamagedGzip)) => {
                    self.reader.finish(&mut each)
                }
                ControlFlow::Break(_) => ControlFlow::Continue(()),
            };
            self.end = gunzipped.break_value().or(read.break_value());
        } else if self.end == Some(End::Limit(Reason::DamagedGzip)) {
            let read = self.reader.finish(&mut each);
            if let Some(End::Refused(err)) = read.break_value() {
                self.end = Some(End::Refused(err));
            }
        }
        let truncated = match self.end {
            Some(End::Refused(err)) => return Err(err),
            Some(End::Limit(reason)) => Some(reason),
            Some(End::NotASitemap) | None => None,
        };
        Ok(Summary {
            kind: self.reader.kind(),
            urls: self.reader.counts().urls,
            invalid_urls: self.reader.counts().invalid_urls,
            bytes: self.reader.bytes(),
            bytes_fed: self.bytes_fed,
            gzip_layers: self.gunzip.layers(),
            truncated,
        })
    }
}

/// Where relative URLs lead, and how all of them are normalised.
#[derive(Clone)]
struct Base {
    url: Url,
    tracking: Arc<TrackingParameters>,
}

/// What becomes of the text of an address.
trait Location: Sized {
    /// `None` for what cannot be fetched.
    fn resolve(base: &Base, href: &str) -> Option<Self>;

    /// As [`Location::resolve`], for a text that is absolute.
    fn normalize(base: &Base, absolute: &str) -> Option<Self>;
}

impl Location for Url {
    fn resolve(base: &Base, href: &str) -> Option<Self> {
        resolve_with(&base.tracking, &base.url, href)
    }

    fn normalize(base: &Base, absolute: &str) -> Option<Self> {
        normalize_with(&base.tracking, absolute).ok()
    }
}

/// An address as the file has it, of one that can be fetched; a relative one resolved and normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsGiven {
    /// The absolute URL.
    pub url: String,
    /// Whether it has its host from the file's own address.
    pub is_relative: bool,
}

impl AsGiven {
    fn of(base: &Base, text: &str, parse: impl FnOnce() -> Option<Url>) -> Option<Self> {
        if is_plainly_fetchable(text) {
            return Some(Self {
                url: text.to_owned(),
                is_relative: false,
            });
        }
        let url = parse()?;
        // Only if it leads there from anywhere: `https:/a` is a path to a base of the same scheme, and a host to none.
        let is_absolute =
            !text.starts_with('/') && Url::normalize(base, text).as_ref() == Some(&url);
        Some(Self {
            is_relative: !is_absolute && url.host_str() == base.url.host_str(),
            url: if is_absolute {
                text.to_owned()
            } else {
                url.into()
            },
        })
    }
}

impl Location for AsGiven {
    fn resolve(base: &Base, href: &str) -> Option<Self> {
        Self::of(base, href, || Url::resolve(base, href))
    }

    fn normalize(base: &Base, absolute: &str) -> Option<Self> {
        Self::of(base, absolute, || Url::normalize(base, absolute))
    }
}

/// Whether no parser can refuse a text: a web address with a host of plain letters, which is most of them. After the slash that
/// ends the host anything goes (WHATWG URL, "path state").
fn is_plainly_fetchable(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let Some((host, _)) = memchr::memchr(b'/', rest.as_bytes())
        .and_then(|slash| rest.as_bytes().split_at_checked(slash))
    else {
        return false;
    };
    // No numbers, which may be an address, and no Punycode.
    let is_plain = |label: &[u8]| {
        label.first().is_some_and(u8::is_ascii_lowercase)
            && label.last() != Some(&b'-')
            && label
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.windows(2).any(|pair| pair == b"--")
    };
    text.len() <= MAX_URL_BYTES
        && host.len() <= 253
        && host.split(|byte| *byte == b'.').all(is_plain)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

//! What a file may cost, what it is, what it holds, and what was wrong with it.

use chrono::{DateTime, Utc};
use url::Url;

/// What a file may cost. Reaching a limit ends the parse cleanly and is told in [`super::Summary::truncated`].
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
    /// The absolute URL: normalised as by [`crate::url::resolve`], or as the file has it, as the parser was asked.
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
    Always,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
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
    /// There were more entries without a URL that can be fetched than [`Limits::max_urls`].
    MaxInvalid,
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
            Self::MaxInvalid => "max_invalid",
            Self::DamagedGzip => "damaged_gzip",
            Self::UnexpectedEnd => "unexpected_end",
        }
    }
}

/// Most members of one layer of gzip. Whoever compresses a sitemap in parallel makes one for each 64 KiB or more.
pub const MAX_GZIP_MEMBERS: u64 = 4_096;

/// So many bytes of gzip may hold nothing: beyond what comes out of them, and an eighth more.
pub const MAX_GZIP_IDLE_BYTES: u64 = 256 * 1024;

/// Most tags of one file, ends not counted. A full sitemap with pictures and languages has a third of it.
pub const MAX_TAGS: u64 = 2_000_000;

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SitemapError {
    /// It declares entities, which no sitemap needs. They are never resolved, fetched or expanded.
    #[error("the sitemap has a document type declaration with entities")]
    Entities,
    /// Each member costs time, whether it holds anything or not.
    #[error("the sitemap has more than {MAX_GZIP_MEMBERS} gzip members")]
    GzipMembers,
    /// Blocks that hold nothing cost time as well.
    #[error("the sitemap has more than {MAX_GZIP_IDLE_BYTES} bytes of gzip that hold nothing")]
    GzipIdle,
    /// Tags cost time, whatever they say.
    #[error("the sitemap has more than {MAX_TAGS} tags")]
    Tags,
}

impl SitemapError {
    /// Returns the name under which the limit is stored that the file went beyond, where that is why it is refused.
    #[must_use]
    pub fn limit(self) -> Option<&'static str> {
        match self {
            Self::Entities => None,
            Self::GzipMembers => Some("gzip_members"),
            Self::GzipIdle => Some("gzip_idle_bytes"),
            Self::Tags => Some("tags"),
        }
    }
}

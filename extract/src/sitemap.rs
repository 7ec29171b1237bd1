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
//! that declares entities is refused, because no sitemap does and entity bombs do. So is one that costs more
//! than it can hold: too many gzip members, compressed bytes that hold nothing, too many tags. Work is bounded by what the file
//! has, never by a clock, so that it ends alike everywhere.
//!
//! Entries are passed on as they come: duplicates are the caller's business, and so is whether a URL may be on this host.

mod date;
mod document;
mod entry;
mod gunzip;
mod lines;
mod location;
mod reader;
mod stage;
mod utf32;
mod xml;

use std::ops::ControlFlow;
use std::sync::Arc;

use url::Url;

use super::url::TrackingParameters;

pub use date::parse_lastmod;
pub use entry::{
    ChangeFrequency, Entry, Kind, Limits, MAX_GZIP_IDLE_BYTES, MAX_GZIP_MEMBERS, MAX_TAGS, Reason,
    SitemapError,
};
pub use location::AsGiven;

use gunzip::Gunzip;
use location::{Base, Location};
use reader::Reader;
use stage::{End, length};

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

    /// Bytes read so far, after decompression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.reader.bytes()
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

#[cfg(test)]
mod tests;

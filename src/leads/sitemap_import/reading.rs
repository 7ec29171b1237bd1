//! A sitemap on its way from bytes to entries: parsed beside the runtime's threads, in bounded time and bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use gleaner_extract::category::{Disposition, categorize};
use gleaner_extract::sitemap::{self, Entry, Progress, SitemapError, Summary};
use gleaner_extract::url::key;
use url::Url;

use super::{Input, host_of, settings_count};
use crate::compute::{compute, timed};
use crate::web::fetch::BodyStream;
use crate::web::page::{is_same_host, is_same_site};
use crate::workflow::WorkflowError;

/// Address cannot be longer in the table.
const MAX_URL_BYTES: usize = 2_048;

/// What an address in memory takes beside its text, about.
const ENTRY_BYTES: u64 = 160;

/// What is fetched is parsed in pieces of about this size: one is worth the change of threads.
const PIECE_BYTES: usize = 128 * 1024;

/// Within a piece, so many bytes are parsed before the time is looked at.
const STEP_BYTES: usize = 16 * 1024;

/// Why an entry that leads to another site is filtered.
const OTHER_SITE: &str = "other_site";

/// How the limit on the time is named.
const MAX_PARSE_TIME: &str = "max_parse_time";

/// A page as the sitemap lists it and the rules see it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Its place in the sitemap.
    pub(super) place: u32,
    /// Its address as it is fetched, where that is not the key.
    url: Option<Box<str>>,
    pub(super) last_modified: Option<DateTime<Utc>>,
    pub(super) changefreq: Option<&'static str>,
    pub(super) priority: Option<f32>,
    pub(super) page_type: &'static str,
    pub(super) rule: &'static str,
    pub(super) confidence: f32,
    pub(super) path_depth: i16,
    pub(super) disposition: Disposition,
}

impl Listed {
    /// The address of a page with this key.
    pub(super) fn url<'a>(&'a self, key: &'a str) -> &'a str {
        self.url.as_deref().unwrap_or(key)
    }
}

/// Fetches and parses, the one beside the other. Returns whether the body was cut at its limit.
pub(super) async fn read(
    mut reading: Reading,
    mut body: BodyStream,
) -> Result<(Reading, bool), WorkflowError> {
    let mut is_last = false;
    while !is_last {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while size < PIECE_BYTES {
            let Some(chunk) = body.next_chunk().await? else {
                is_last = true;
                break;
            };
            size += chunk.len();
            pieces.push(chunk);
        }
        if pieces.is_empty() {
            break;
        }
        let progress;
        (reading, progress) = compute(move || reading.feed(&pieces)).await;
        if progress == Progress::Done {
            break;
        }
    }
    Ok((reading, body.is_truncated()))
}

/// Why a sitemap was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The parser refuses it.
    #[error(transparent)]
    Refused(#[from] SitemapError),
    /// Whatever it is made of, nothing that is meant to be read takes so long.
    #[error("the sitemap takes more than {0:?} of processor time to parse (max_parse_time)")]
    ParseTime(Duration),
}

impl ReadError {
    /// The limit that it went beyond, if it did.
    pub(super) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Refused(error) => error.limit(),
            Self::ParseTime(_) => Some(MAX_PARSE_TIME),
        }
    }
}

/// A sitemap on its way from bytes to entries.
pub(super) struct Reading {
    pub(super) parser: sitemap::Parser,
    pub(super) collected: Collected,
    /// The most processor time that parsing may take, and what it has taken.
    pub(super) max_time: Duration,
    pub(super) spent: Duration,
    pub(super) failed: Option<ReadError>,
}

impl Reading {
    fn feed(mut self, pieces: &[Bytes]) -> (Self, Progress) {
        for step in pieces.iter().flat_map(|piece| piece.chunks(STEP_BYTES)) {
            let Self {
                parser, collected, ..
            } = &mut self;
            let (fed, took) = timed(|| parser.feed(step, |entry| collected.add(&entry)));
            self.spent += took;
            match fed {
                Ok(Progress::More) if self.spent > self.max_time => {
                    self.failed = Some(ReadError::ParseTime(self.max_time));
                }
                Ok(Progress::More) if !self.collected.is_over() => continue,
                Ok(_) => {}
                Err(error) => self.failed = Some(error.into()),
            }
            return (self, Progress::Done);
        }
        (self, Progress::More)
    }

    /// Ends it. A file that is refused tells how many bytes were read of it.
    pub(super) fn finish(self) -> Result<(Summary, Collected), (ReadError, u64)> {
        let Self {
            parser,
            mut collected,
            failed,
            ..
        } = self;
        let bytes = parser.bytes();
        if let Some(error) = failed {
            return Err((error, bytes));
        }
        let summary = parser.finish(|entry| collected.add(&entry));
        summary
            .map(|summary| (summary, collected))
            .map_err(|error| (error.into(), bytes))
    }
}

/// Whose pages a sitemap may list.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    /// Those of the site of this host.
    Site(String),
    /// Those of this host alone, with www or without.
    Host(String),
}

impl Pages {
    /// `None` for a sitemap that has led to another site, where nobody speaks for it.
    pub(super) fn of(input: &Input, asked: &Url, landed: &Url) -> Option<Self> {
        let landed = host_of(landed);
        if is_same_site(landed, &input.host) {
            return Some(Self::Site(input.host.clone()));
        }
        // Whoever speaks for a sitemap speaks for where it leads; what an index lists stays where it is listed.
        let is_root = input.root == input.id;
        let host = input.vouched_by.as_ref()?;
        (is_root || landed == host_of(asked)).then(|| Self::Host(host.clone()))
    }

    fn has(&self, host: &str) -> bool {
        match self {
            Self::Site(own) => is_same_site(host, own),
            Self::Host(own) => is_same_host(host, own),
        }
    }
}

/// What was found out about hosts: a sitemap has few of them, many times.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    known: HashMap<String, bool>,
}

impl Hosts {
    /// More are not remembered.
    const MOST: usize = 1_000;

    /// What `judge` says of the host of this URL; `false` for none.
    pub(super) fn asked(&mut self, url: &str, judge: impl FnOnce(&str) -> bool) -> bool {
        Url::parse(url).is_ok_and(|url| self.of(host_of(&url), judge))
    }

    fn of(&mut self, host: &str, judge: impl FnOnce(&str) -> bool) -> bool {
        if let Some(known) = self.known.get(host) {
            return *known;
        }
        let judged = judge(host);
        if self.known.len() < Self::MOST {
            self.known.insert(host.to_owned(), judged);
        }
        judged
    }
}

/// The addresses that all imports of the process hold, in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<AtomicU64>);

impl Memory {
    pub(super) fn hold(&self) -> Held {
        Held {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

/// One import's part of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    memory: Memory,
    bytes: u64,
}

impl Held {
    /// Takes more, and returns what all hold together.
    fn grow(&mut self, bytes: u64) -> u64 {
        self.bytes += bytes;
        let before = self.memory.0.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Entries gathered while a file streams by.
pub(super) struct Collected {
    scope: Pages,
    hosts: Hosts,
    /// By their keys.
    pub(super) pages: BTreeMap<String, Listed>,
    pub(super) held: Held,
    max_memory: u64,
    /// The file has more addresses than one may have.
    pub(super) is_full: bool,
    /// All imports together have more than they may have.
    pub(super) is_memory_full: bool,
}

impl Collected {
    pub(super) fn new(scope: Pages, held: Held, max_memory: u64) -> Self {
        Self {
            scope,
            hosts: Hosts::default(),
            pages: BTreeMap::new(),
            held,
            max_memory,
            is_full: false,
            is_memory_full: false,
        }
    }

    /// Whether no more is taken.
    fn is_over(&self) -> bool {
        self.is_full || self.is_memory_full
    }

    fn add(&mut self, entry: &Entry) {
        let text = entry.loc.as_str();
        let key = key(&entry.loc);
        if text.len() > MAX_URL_BYTES || self.is_over() || self.pages.contains_key(key.as_ref()) {
            return;
        }
        let url = (key != text).then(|| Box::from(text));
        let texts = key.len() + url.as_deref().map_or(0, str::len);
        let size = settings_count(texts) + ENTRY_BYTES;
        self.is_memory_full = self.held.grow(size) > self.max_memory;
        self.is_full = self.held.bytes > self.max_memory / 4;
        if self.is_over() {
            return;
        }
        let Self { scope, hosts, .. } = self;
        let host = entry.loc.host_str().unwrap_or_default();
        let is_ours = hosts.of(host, |host| scope.has(host));
        let category = categorize(&entry.loc);
        let listed = Listed {
            place: u32::try_from(self.pages.len()).unwrap_or(u32::MAX),
            url,
            last_modified: entry.lastmod,
            changefreq: entry.changefreq.map(|frequency| frequency.as_str()),
            priority: entry.priority,
            page_type: category.page_type.as_str(),
            rule: if is_ours { category.rule } else { OTHER_SITE },
            confidence: category.confidence,
            path_depth: i16::try_from(category.path_depth).unwrap_or(i16::MAX),
            disposition: if is_ours {
                category.disposition
            } else {
                Disposition::Filter
            },
        };
        self.pages.insert(key.into_owned(), listed);
    }
}

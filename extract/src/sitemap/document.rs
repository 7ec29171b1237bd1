//! What the tags mean: which elements are entries, and which of their children matter.

use std::borrow::Cow;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use super::date::parse_lastmod;
use super::entry::{ChangeFrequency, Entry, Kind, MAX_TAGS, Reason, SitemapError};
use super::location::{Base, Location};
use super::stage::{End, Step};
use crate::url::MAX_URL_BYTES;

/// How much text of one element or line is kept; a longer URL is invalid.
pub(super) const MAX_TEXT_BYTES: usize = MAX_URL_BYTES;

/// Addresses looked at for each entry that there may be: a feed has two or three.
const LOOKS_PER_URL: u64 = 8;

/// What was passed on and what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) urls: u64,
    pub(super) invalid_urls: u64,
}

impl Counts {
    /// Counts an entry without a URL, of which there may be as many as there may be entries.
    pub(super) fn miss(&mut self, most: u64) -> Step {
        if self.invalid_urls >= most {
            return ControlFlow::Break(End::Limit(Reason::MaxInvalid));
        }
        self.invalid_urls += 1;
        ControlFlow::Continue(())
    }
}

/// The state of one XML document.
///
/// Elements are known by their local name, in whatever case, and their prefix's text, not by resolved namespaces: an entry's children count if they
/// have its prefix and stand directly below it, which keeps `image:loc` out whatever it is bound to.
pub(super) struct Document<L> {
    base: Base,
    max_urls: u64,
    tags: u64,
    /// Addresses looked at, whatever came of them.
    looked_at: u64,
    kind: Kind,
    root: Vec<u8>,
    is_root_closed: bool,
    depth: u64,
    entry: Option<OpenEntry<L>>,
    /// The name of the entry that is open, or was last.
    entry_name: Vec<u8>,
    field: Option<Field>,
    field_depth: u64,
    text: Vec<u8>,
    is_text_too_long: bool,
}

/// An entry whose end has not been seen.
struct OpenEntry<L> {
    depth: u64,
    loc: Option<L>,
    /// The second best URL of a feed item: its `guid`.
    fallback: Option<L>,
    lastmod: Option<DateTime<Utc>>,
    changefreq: Option<ChangeFrequency>,
    priority: Option<f32>,
}

impl<L> OpenEntry<L> {
    fn at(depth: u64, loc: Option<L>) -> Self {
        Self {
            depth,
            loc,
            fallback: None,
            lastmod: None,
            changefreq: None,
            priority: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Loc,
    LastMod,
    ChangeFreq,
    Priority,
    Guid,
    FeedDate,
}

impl<L: Location> Document<L> {
    pub(super) fn new(base: Base, max_urls: u64) -> Self {
        Self {
            base,
            max_urls,
            tags: 0,
            looked_at: 0,
            kind: Kind::None,
            root: Vec::new(),
            is_root_closed: false,
            depth: 0,
            entry: None,
            entry_name: Vec::new(),
            field: None,
            field_depth: 0,
            text: Vec::new(),
            is_text_too_long: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn start(
        &mut self,
        name: &[u8],
        attributes: &[u8],
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        self.depth += 1;
        self.tags += 1;
        if self.tags > MAX_TAGS {
            return ControlFlow::Break(End::Refused(SitemapError::Tags));
        }
        if self.looked_at > self.max_urls.saturating_mul(LOOKS_PER_URL) {
            return ControlFlow::Break(End::Limit(Reason::MaxInvalid));
        }
        let (prefix, local) = split_name(name);
        if self.kind == Kind::None {
            self.kind = kind_of_root(local);
            if self.kind == Kind::None {
                return ControlFlow::Break(End::NotASitemap);
            }
            name.clone_into(&mut self.root);
            if !self.is_entry(prefix, local) {
                return ControlFlow::Continue(());
            }
        }
        if self.is_entry(prefix, local) {
            // A second start means that the end of the first is missing.
            self.close_entry(counts, each)?;
            self.field = None;
            name.clone_into(&mut self.entry_name);
            self.entry = Some(OpenEntry::at(self.depth, None));
            return ControlFlow::Continue(());
        }
        // Markup inside a value: its own end is missing, so nobody knows where it ended.
        self.field = None;
        let Some(entry) = &mut self.entry else {
            return ControlFlow::Continue(());
        };
        if self.depth != entry.depth + 1 {
            return ControlFlow::Continue(());
        }
        if self.kind == Kind::Atom && local.eq_ignore_ascii_case(b"link") {
            if entry.loc.is_none() {
                self.looked_at += 1;
                entry.loc = atom_link(&self.base, attributes);
            }
            return ControlFlow::Continue(());
        }
        self.field = field_of(self.kind, prefix, local, split_name(&self.entry_name).0)
            .filter(|field| *field != Field::Guid || is_permalink(attributes));
        self.field_depth = self.depth;
        self.text.clear();
        self.is_text_too_long = false;
        ControlFlow::Continue(())
    }

    pub(super) fn end(
        &mut self,
        name: &[u8],
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        let closes_entry = self.entry.is_some() && self.entry_name.eq_ignore_ascii_case(name);
        if self.field.is_some() && (self.depth == self.field_depth || closes_entry) {
            self.close_field(counts, each)?;
        }
        if closes_entry {
            if let Some(entry) = &self.entry {
                self.depth = entry.depth;
            }
            self.close_entry(counts, each)?;
        }
        self.depth = self.depth.saturating_sub(1);
        if name.eq_ignore_ascii_case(&self.root) {
            self.is_root_closed = true;
        }
        ControlFlow::Continue(())
    }

    pub(super) fn text(&mut self, bytes: &[u8]) {
        if self.field.is_none() {
            return;
        }
        if self.text.len() + bytes.len() > MAX_TEXT_BYTES {
            self.is_text_too_long = true;
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    /// Takes text in which an ampersand is only an ampersand.
    pub(super) fn cdata(&mut self, bytes: &[u8]) {
        for (at, piece) in bytes.split(|&byte| byte == b'&').enumerate() {
            if at > 0 {
                self.text(b"&amp;");
            }
            self.text(piece);
        }
    }

    pub(super) fn finish(&mut self, counts: &mut Counts, each: &mut dyn FnMut(Entry<L>)) -> Step {
        if self.kind == Kind::None {
            return ControlFlow::Continue(());
        }
        // The value being read may be cut; the entry stands if its URL was complete.
        self.field = None;
        if self.entry.as_ref().is_some_and(|entry| entry.loc.is_none()) {
            self.entry = None;
        }
        self.close_entry(counts, each)?;
        if self.is_root_closed {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(End::Limit(Reason::UnexpectedEnd))
        }
    }

    /// In sitemaps `url` and `sitemap`, with the root's prefix or directly below it; in feeds `item` or `entry` anywhere.
    fn is_entry(&self, prefix: &[u8], local: &[u8]) -> bool {
        let is = |name: &[u8]| local.eq_ignore_ascii_case(name);
        match self.kind {
            Kind::UrlSet | Kind::Index => {
                (is(b"url") || is(b"sitemap"))
                    && (self.depth <= 2 || prefix == split_name(&self.root).0)
            }
            Kind::Rss => is(b"item"),
            Kind::Atom => is(b"entry"),
            Kind::Text | Kind::None => false,
        }
    }

    fn close_field(&mut self, counts: &mut Counts, each: &mut dyn FnMut(Entry<L>)) -> Step {
        let field = self.field.take();
        if field == Some(Field::Loc) {
            return self.close_loc(counts, each);
        }
        let Some(entry) = &mut self.entry else {
            return ControlFlow::Continue(());
        };
        if self.is_text_too_long {
            return ControlFlow::Continue(());
        }
        let text = decode(&self.text);
        let text = text.trim();
        match field {
            Some(Field::Guid) if text.starts_with("http") => {
                self.looked_at += 1;
                entry.fallback = L::resolve(&self.base, text);
            }
            Some(Field::LastMod) => entry.lastmod = parse_lastmod(text),
            Some(Field::FeedDate) => entry.lastmod = parse_lastmod(text).or(entry.lastmod),
            Some(Field::ChangeFreq) => entry.changefreq = ChangeFrequency::parse(text),
            Some(Field::Priority) => {
                entry.priority = text
                    .parse()
                    .ok()
                    .filter(|value| (0.0..=1.0).contains(value));
            }
            Some(Field::Loc | Field::Guid) | None => {}
        }
        ControlFlow::Continue(())
    }

    /// Takes an address. In a sitemap, another one in the same entry is a page of its own, with what is said behind it.
    fn close_loc(&mut self, counts: &mut Counts, each: &mut dyn FnMut(Entry<L>)) -> Step {
        let text = decode(&self.text);
        let text = text.trim();
        let Some(entry) = self.entry.as_mut().filter(|entry| {
            let is_first = entry.loc.is_none();
            (is_first || self.kind != Kind::Rss) && !self.is_text_too_long && !text.is_empty()
        }) else {
            return ControlFlow::Continue(());
        };
        self.looked_at += 1;
        let loc = L::resolve(&self.base, &unwrapped(text));
        if entry.loc.is_none() {
            entry.loc = loc;
        } else if loc.is_none() {
            counts.miss(self.max_urls)?;
        } else if entry.loc != loc {
            let depth = entry.depth;
            self.close_entry(counts, each)?;
            self.entry = Some(OpenEntry::at(depth, loc));
        }
        ControlFlow::Continue(())
    }

    fn close_entry(&mut self, counts: &mut Counts, each: &mut dyn FnMut(Entry<L>)) -> Step {
        let Some(entry) = self.entry.take() else {
            return ControlFlow::Continue(());
        };
        let Some(loc) = entry.loc.or(entry.fallback) else {
            return counts.miss(self.max_urls);
        };
        if counts.urls >= self.max_urls {
            return ControlFlow::Break(End::Limit(Reason::MaxUrls));
        }
        counts.urls += 1;
        each(Entry {
            loc,
            lastmod: entry.lastmod,
            changefreq: entry.changefreq,
            priority: entry.priority,
        });
        ControlFlow::Continue(())
    }
}

/// Splits `prefix:local`; without a colon the prefix is empty.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().position(|&byte| byte == b':') {
        Some(colon) => {
            let (prefix, rest) = name.split_at(colon);
            (prefix, rest.get(1..).unwrap_or_default())
        }
        // An empty piece of the name: to compare a slice that points nowhere costs a processor fault here and there, a quarter
        // of the time of a whole sitemap.
        None => name.split_at(0),
    }
}

/// A root of `url` or `sitemap` is a file that lost its real root.
fn kind_of_root(local: &[u8]) -> Kind {
    match local.to_ascii_lowercase().as_slice() {
        b"urlset" | b"url" => Kind::UrlSet,
        b"sitemapindex" | b"sitemap" => Kind::Index,
        b"rss" | b"rdf" => Kind::Rss,
        b"feed" => Kind::Atom,
        _ => Kind::None,
    }
}

fn field_of(kind: Kind, prefix: &[u8], local: &[u8], entry_prefix: &[u8]) -> Option<Field> {
    let mut lower = [0; "changefreq".len()];
    let lower = lower.get_mut(..local.len())?;
    lower.copy_from_slice(local);
    lower.make_ascii_lowercase();
    match kind {
        Kind::UrlSet | Kind::Index if prefix == entry_prefix => match &*lower {
            b"loc" => Some(Field::Loc),
            b"lastmod" => Some(Field::LastMod),
            b"changefreq" => Some(Field::ChangeFreq),
            b"priority" => Some(Field::Priority),
            _ => None,
        },
        Kind::Rss => match (prefix, &*lower) {
            (b"", b"link") => Some(Field::Loc),
            (b"", b"guid") => Some(Field::Guid),
            (b"", b"pubdate") | (b"dc", b"date") => Some(Field::FeedDate),
            _ => None,
        },
        Kind::Atom if prefix == entry_prefix => match &*lower {
            b"updated" => Some(Field::LastMod),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a `guid` with these attributes is an address (RSS 2.0: unless it says that it is none).
fn is_permalink(attributes: &[u8]) -> bool {
    attribute(attributes, b"isPermaLink").is_none_or(|value| !value.eq_ignore_ascii_case(b"false"))
}

/// An address that was broken over several lines, in one piece.
fn unwrapped(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
        text.lines().map(str::trim).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// Reads the `href` of an Atom link that names the entry's own page (RFC 4287, section 4.2.7).
fn atom_link<L: Location>(base: &Base, attributes: &[u8]) -> Option<L> {
    let rel = attribute(attributes, b"rel");
    if rel.is_some_and(|rel| rel != b"alternate") {
        return None;
    }
    L::resolve(base, decode(attribute(attributes, b"href")?).trim())
}

fn attribute<'a>(mut attributes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    loop {
        let equals = attributes.iter().position(|&byte| byte == b'=')?;
        let (name, rest) = attributes.split_at(equals);
        let (&quote, rest) = rest.get(1..)?.trim_ascii_start().split_first()?;
        if quote != b'"' && quote != b'\'' {
            return None;
        }
        let end = rest.iter().position(|&byte| byte == quote)?;
        let (value, rest) = rest.split_at(end);
        if name.trim_ascii() == wanted {
            return Some(value);
        }
        attributes = rest.get(1..)?;
    }
}

/// Turns bytes into text, and the five entities of XML and character references into characters.
///
/// Any other reference stays as it is: it is an ampersand that was not escaped.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let text = decode_text(bytes);
    if !text.contains('&') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        match piece
            .split_once(';')
            .and_then(|(name, rest)| Some((reference(name)?, rest)))
        {
            Some((character, rest)) => {
                out.push(character);
                out.push_str(rest);
            }
            None => {
                out.push('&');
                out.push_str(piece);
            }
        }
    }
    Cow::Owned(out)
}

/// Turns bytes into text. Those that are no UTF-8 are read as windows-1252, which is what such a file was written in.
pub(super) fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            encoding_rs::WINDOWS_1252
                .decode_without_bom_handling(bytes)
                .0
        }
    }
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

//! The text form: one absolute URL per line (sitemaps.org, "Text file"). Comments between them are passed over, as robots.txt has
//! them, and so is a scheme that was left out.

use std::ops::ControlFlow;

use super::document::{Counts, MAX_TEXT_BYTES, decode_text};
use super::entry::{Entry, Kind, Reason};
use super::location::{Base, Location};
use super::stage::{End, Step};
use crate::listing::named_host;

/// Reads lines. The first one that is neither blank nor a comment decides: if it is no URL, the file is no sitemap.
pub(super) struct Lines {
    base: Base,
    max_urls: u64,
    line: Vec<u8>,
    is_too_long: bool,
    is_sitemap: bool,
}

impl Lines {
    pub(super) fn new(base: Base, max_urls: u64) -> Self {
        Self {
            base,
            max_urls,
            line: Vec::new(),
            is_too_long: false,
            is_sitemap: false,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.is_sitemap {
            Kind::Text
        } else {
            Kind::None
        }
    }

    pub(super) fn feed<L: Location>(
        &mut self,
        mut bytes: &[u8],
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (head, tail) = bytes.split_at(end);
            self.append(head);
            self.end_line(counts, each)?;
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.append(bytes);
        if self.is_too_long && !self.is_sitemap {
            return ControlFlow::Break(End::NotASitemap);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn finish<L: Location>(
        &mut self,
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        self.end_line(counts, each)
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > MAX_TEXT_BYTES {
            self.is_too_long = true;
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line<L: Location>(
        &mut self,
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        let line = self.line.trim_ascii();
        if is_comment(line) || line.is_empty() && !self.is_too_long {
            self.line.clear();
            self.is_too_long = false;
            return ControlFlow::Continue(());
        }
        let url = if self.is_too_long {
            None
        } else {
            absolute_url(&self.base, line)
        };
        self.line.clear();
        self.is_too_long = false;
        match url {
            Some(_) if counts.urls >= self.max_urls => {
                ControlFlow::Break(End::Limit(Reason::MaxUrls))
            }
            Some(loc) => {
                self.is_sitemap = true;
                counts.urls += 1;
                each(Entry {
                    loc,
                    lastmod: None,
                    changefreq: None,
                    priority: None,
                });
                ControlFlow::Continue(())
            }
            None if self.is_sitemap => counts.miss(self.max_urls),
            None => ControlFlow::Break(End::NotASitemap),
        }
    }
}

fn is_comment(line: &[u8]) -> bool {
    matches!(line, [b'#' | b';', ..] | [b'/', b'/', b' ', ..])
}

fn absolute_url<L: Location>(base: &Base, line: &[u8]) -> Option<L> {
    let line = &*decode_text(line);
    if line.contains(char::is_whitespace) {
        return None;
    }
    // A lone host is as likely a word.
    if line.contains('/') && named_host(&base.url, line).is_some() {
        return L::resolve(base, line);
    }
    let (scheme, _) = line.split_once("://")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web.then(|| L::normalize(base, line))?
}

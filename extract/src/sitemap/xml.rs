//! A scanner that cuts XML into tags and text as the bytes arrive.
//!
//! It is not a validating parser, and is meant not to be: real sitemaps have bare ampersands, unquoted attributes and missing end
//! tags, and a file cut in the middle still lists good URLs before the cut. A pull parser over a buffer would either fail there
//! or hold the file; this one keeps at most one tag. It never resolves anything: a document type declaration is passed over, and
//! ends the parse where it declares an entity.

use std::ops::ControlFlow;

use super::document::{Counts, Document};
use super::entry::{Entry, SitemapError};
use super::location::Location;
use super::stage::{End, Step};

/// How much of one tag is kept. A root element with twenty namespaces has about 2 KiB.
const MAX_TAG_BYTES: usize = 16 * 1024;

/// How the declaration of an entity begins.
const ENTITY: &[u8] = b"<!ENTITY";

#[derive(Default)]
pub(super) struct Scanner {
    state: State,
    /// What is known of the tag or declaration that is being read.
    tag: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Text,
    /// Behind `<`, before it is known what follows.
    Opened,
    /// In a tag, and perhaps in a quoted value.
    Tag { quote: Option<u8> },
    /// In `<? … ?>`.
    Instruction { after_mark: bool },
    /// In `<!-- … -->`, with so many hyphens just seen.
    Comment { hyphens: u8 },
    /// In `<![CDATA[ … ]]>`, with so many brackets just seen.
    Cdata { brackets: u8 },
    /// In `<!DOCTYPE`, reading the name.
    Doctype,
    /// Behind that name, perhaps in a quoted value or between the brackets of the internal subset.
    Declared { quote: Option<u8>, is_inner: bool },
}

impl Scanner {
    pub(super) fn feed<L: Location>(
        &mut self,
        bytes: &[u8],
        document: &mut Document<L>,
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> Step {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Text => self.text(rest, document),
                State::Opened => self.opened(rest),
                State::Tag { quote } => self.tag(rest, quote, document, counts, each)?,
                State::Instruction { after_mark } => self.instruction(rest, after_mark),
                State::Comment { hyphens } => self.comment(rest, hyphens),
                State::Cdata { brackets } => self.cdata(rest, brackets, document),
                State::Doctype => self.doctype(rest)?,
                State::Declared { quote, is_inner } => self.declared(rest, quote, is_inner)?,
            };
        }
        ControlFlow::Continue(())
    }

    fn text<'a, L: Location>(&mut self, bytes: &'a [u8], document: &mut Document<L>) -> &'a [u8] {
        let Some(end) = memchr::memchr(b'<', bytes) else {
            document.text(bytes);
            return &[];
        };
        let (text, rest) = bytes.split_at(end);
        document.text(text);
        self.state = State::Opened;
        self.tag.clear();
        rest.get(1..).unwrap_or_default()
    }

    fn opened<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((&byte, rest)) = bytes.split_first() else {
            return bytes;
        };
        if self.tag.is_empty() && byte == b'?' {
            self.state = State::Instruction { after_mark: false };
            return rest;
        }
        if self.tag.is_empty() && byte != b'!' {
            self.state = State::Tag { quote: None };
            return bytes;
        }
        self.tag.push(byte);
        let is_start_of = |word: &[u8]| {
            word.get(..self.tag.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(&self.tag))
        };
        self.state = if self.tag == b"!--" {
            State::Comment { hyphens: 0 }
        } else if self.tag == b"![CDATA[" {
            State::Cdata { brackets: 0 }
        } else if self.tag.eq_ignore_ascii_case(b"!DOCTYPE") {
            self.tag.clear();
            State::Doctype
        } else if is_start_of(b"!--") || is_start_of(b"![CDATA[") || is_start_of(b"!DOCTYPE") {
            State::Opened
        } else if byte == b'>' {
            State::Text
        } else {
            // Some other declaration, outside a document type and so without meaning.
            State::Tag { quote: None }
        };
        rest
    }

    fn tag<'a, L: Location>(
        &mut self,
        bytes: &'a [u8],
        mut quote: Option<u8>,
        document: &mut Document<L>,
        counts: &mut Counts,
        each: &mut dyn FnMut(Entry<L>),
    ) -> ControlFlow<End, &'a [u8]> {
        let mut end = None;
        for (at, &byte) in bytes.iter().enumerate() {
            match (byte, quote) {
                // Forbidden in tags and in attribute values: the end of this one is missing.
                (b'<', _) | (b'>', None) => {
                    end = Some((at, byte));
                    break;
                }
                (b'"' | b'\'', None) => quote = Some(byte),
                (_, Some(open)) if open == byte => quote = None,
                _ => {}
            }
        }
        let Some((at, terminator)) = end else {
            self.keep(bytes);
            self.state = State::Tag { quote };
            return ControlFlow::Continue(&[]);
        };
        let (within, rest) = bytes.split_at(at);
        if self.tag.is_empty() {
            element(within, document, counts, each)?;
        } else {
            self.keep(within);
            element(&self.tag, document, counts, each)?;
        }
        self.tag.clear();
        self.state = if terminator == b'<' {
            State::Opened
        } else {
            State::Text
        };
        ControlFlow::Continue(rest.get(1..).unwrap_or_default())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_TAG_BYTES.saturating_sub(self.tag.len());
        self.tag
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn instruction<'a>(&mut self, bytes: &'a [u8], mut after_mark: bool) -> &'a [u8] {
        for (at, &byte) in bytes.iter().enumerate() {
            if after_mark && byte == b'>' {
                self.state = State::Text;
                return bytes.get(at + 1..).unwrap_or_default();
            }
            after_mark = byte == b'?';
        }
        self.state = State::Instruction { after_mark };
        &[]
    }

    fn comment<'a>(&mut self, bytes: &'a [u8], mut hyphens: u8) -> &'a [u8] {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'>' if hyphens >= 2 => {
                    self.state = State::Text;
                    return bytes.get(at + 1..).unwrap_or_default();
                }
                b'-' => hyphens = hyphens.saturating_add(1),
                _ => hyphens = 0,
            }
        }
        self.state = State::Comment { hyphens };
        &[]
    }

    /// Hands on the content of a CDATA section, except for brackets at its end that may belong to the end mark.
    fn cdata<'a, L: Location>(
        &mut self,
        bytes: &'a [u8],
        brackets: u8,
        document: &mut Document<L>,
    ) -> &'a [u8] {
        let mut seen = brackets;
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'>' if seen >= 2 => {
                    self.state = State::Text;
                    return after;
                }
                b']' => {
                    // A third bracket shows that the first one was content.
                    if seen == 2 {
                        document.cdata(b"]");
                    }
                    seen = (seen + 1).min(2);
                    rest = after;
                }
                _ => {
                    document.cdata(b"]]".get(..usize::from(seen)).unwrap_or_default());
                    let end = memchr::memchr(b']', rest).unwrap_or(rest.len());
                    let (content, behind) = rest.split_at(end);
                    document.cdata(content);
                    seen = 0;
                    rest = behind;
                }
            }
        }
        self.state = State::Cdata { brackets: seen };
        &[]
    }

    /// Reads the name of the root: HTML is no sitemap.
    fn doctype<'a>(&mut self, bytes: &'a [u8]) -> ControlFlow<End, &'a [u8]> {
        for (at, &byte) in bytes.iter().enumerate() {
            if byte.is_ascii_whitespace() && self.tag.is_empty() {
                continue;
            }
            if byte.is_ascii_whitespace() || byte == b'>' || byte == b'[' {
                if self.tag.eq_ignore_ascii_case(b"html") {
                    return ControlFlow::Break(End::NotASitemap);
                }
                self.tag.clear();
                self.state = State::Declared {
                    quote: None,
                    is_inner: false,
                };
                return ControlFlow::Continue(bytes.get(at..).unwrap_or_default());
            }
            if self.tag.len() <= b"html".len() {
                self.tag.push(byte);
            }
        }
        ControlFlow::Continue(&[])
    }

    /// Passes over the rest of a document type, unless it declares an entity.
    fn declared<'a>(
        &mut self,
        bytes: &'a [u8],
        mut quote: Option<u8>,
        mut is_inner: bool,
    ) -> ControlFlow<End, &'a [u8]> {
        for (at, &byte) in bytes.iter().enumerate() {
            match (byte, quote) {
                (_, Some(open)) if open == byte => quote = None,
                (_, Some(_)) => {}
                (b'"' | b'\'', None) => quote = Some(byte),
                (b'[', None) => is_inner = true,
                (b']', None) => is_inner = false,
                (b'>', None) if !is_inner => {
                    self.state = State::Text;
                    return ControlFlow::Continue(bytes.get(at + 1..).unwrap_or_default());
                }
                (b'<', None) => {
                    self.tag.clear();
                    self.tag.push(byte);
                }
                _ if self.tag.len() < ENTITY.len() => {
                    self.tag.push(byte);
                    if self.tag.eq_ignore_ascii_case(ENTITY) {
                        return ControlFlow::Break(End::Refused(SitemapError::Entities));
                    }
                }
                _ => {}
            }
        }
        self.state = State::Declared { quote, is_inner };
        ControlFlow::Continue(&[])
    }
}

/// Hands on what stands between `<` and `>`.
fn element<L: Location>(
    tag: &[u8],
    document: &mut Document<L>,
    counts: &mut Counts,
    each: &mut dyn FnMut(Entry<L>),
) -> Step {
    if let Some(name) = tag.strip_prefix(b"/") {
        return document.end(name.trim_ascii(), counts, each);
    }
    let is_name_start =
        |byte: &u8| byte.is_ascii_alphabetic() || b"_:".contains(byte) || !byte.is_ascii();
    if !tag.first().is_some_and(is_name_start) {
        return ControlFlow::Continue(());
    }
    let (tag, is_empty) = match tag.strip_suffix(b"/") {
        Some(tag) => (tag, true),
        None => (tag, false),
    };
    let name_end = tag
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(tag.len());
    let (name, attributes) = tag.split_at(name_end);
    document.start(name, attributes, counts, each)?;
    if is_empty {
        document.end(name, counts, each)
    } else {
        ControlFlow::Continue(())
    }
}

//! Reads markup the way nearly all of it is written, several times as fast as html5ever's tokenizer.
//!
//! That one looks at each character on its own, in some eighty states. Text, tags with quoted values, comments and the content of
//! scripts can be cut out of the document in whole pieces. [`Document::step`] does so for one piece where it is certain to give the tokens
//! that the standard gives; whatever is not plain is left to html5ever, which goes on from the same place.

use std::cell::Cell;

use html5ever::data::NAMED_ENTITIES;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult};
use html5ever::{Attribute, LocalName, QualName, ns};
use memchr::{memchr, memmem};

/// Most attributes of a tag that is read here: each is compared with all before it.
const MAX_ATTRIBUTES: usize = 64;

/// The longest name of a character reference is 31 characters (`CounterClockwiseContourIntegral`).
const MAX_REFERENCE_BYTES: usize = 32;

/// How often all of a document is looked at before the rest is left to html5ever: what is not plain is looked at in vain, and a
/// hostile page could make that the whole page for each of its tags.
const MAX_LOOKS: usize = 8;

/// A document and the buffer that its tokens share.
pub(super) struct Document<'a> {
    html: &'a str,
    buffer: StrTendril,
    /// Bytes searched so far.
    looked: Cell<usize>,
}

impl<'a> Document<'a> {
    /// A document whose line breaks are line feeds.
    pub(super) fn new(html: &'a str) -> Self {
        Self {
            html,
            buffer: StrTendril::from_slice(html),
            looked: Cell::new(0),
        }
    }

    /// The text between two places, without a copy.
    pub(super) fn piece(&self, start: usize, end: usize) -> Option<StrTendril> {
        let offset = u32::try_from(start).ok()?;
        let length = u32::try_from(end.checked_sub(start)?).ok()?;
        self.html.get(start..end)?;
        Some(self.buffer.subtendril(offset, length))
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.html.as_bytes().get(at).copied()
    }

    /// The first place from `at` on that `search` finds in the bytes there.
    fn find(&self, at: usize, search: impl FnOnce(&[u8]) -> Option<usize>) -> Option<usize> {
        let rest = self.html.as_bytes().get(at..)?;
        let found = search(rest);
        let looked = found.unwrap_or(rest.len());
        self.looked.set(self.looked.get() + looked);
        found.map(|n| at + n)
    }

    /// The first place from `at` on that `stops`.
    fn until(&self, at: usize, stops: impl Fn(u8) -> bool) -> Option<usize> {
        self.find(at, |rest| rest.iter().position(|byte| stops(*byte)))
    }

    fn after_space(&self, at: usize) -> Option<usize> {
        self.until(at, |byte| !is_space(byte))
    }

    /// Hands what stands at `start`, outside of any markup, to `sink`.
    ///
    /// Returns where that ends, or nothing if it is not plain; then nothing was handed on.
    pub(super) fn step<S: TokenSink>(&self, start: usize, sink: &S) -> Option<usize> {
        if self.looked.get() / MAX_LOOKS > self.html.len() {
            return None;
        }
        match (self.byte(start)?, self.byte(start + 1)) {
            (b'<', Some(b'/')) => self.end_tag(start, sink),
            (b'<', Some(b'!')) => self.comment(start, sink),
            (b'<', Some(byte)) if byte.is_ascii_alphabetic() => self.start_tag(start, sink),
            (b'<', _) => None,
            _ => self.text(start, sink),
        }
    }

    fn text<S: TokenSink>(&self, start: usize, sink: &S) -> Option<usize> {
        let end = self
            .find(start, |rest| memchr(b'<', rest))
            .unwrap_or(self.html.len());
        let text = self.plain(start, end, Place::Text)?;
        give(sink, Token::CharacterTokens(text));
        Some(end)
    }

    fn comment<S: TokenSink>(&self, start: usize, sink: &S) -> Option<usize> {
        let rest = self.html.get(start..)?.strip_prefix("<!--")?;
        if rest.starts_with(['>', '-']) {
            return None;
        }
        let body = start + "<!--".len();
        let end = self.find(body, |rest| memmem::find(rest, b"-->"))?;
        let text = self.html.get(body..end)?;
        let holds = |sign: &str| memmem::find(text.as_bytes(), sign.as_bytes()).is_some();
        if holds("--!") || holds("<!") {
            return None;
        }
        give(sink, Token::CommentToken(self.piece(body, end)?));
        Some(end + "-->".len())
    }

    fn end_tag<S: TokenSink>(&self, start: usize, sink: &S) -> Option<usize> {
        let (name, name_end) = self.name(start + 2)?;
        let end = self.after_space(name_end)?;
        if self.byte(end) != Some(b'>') {
            return None;
        }
        give(sink, Token::TagToken(tag(TagKind::EndTag, name)));
        Some(end + 1)
    }

    fn start_tag<S: TokenSink>(&self, start: usize, sink: &S) -> Option<usize> {
        let (name, name_end) = self.name(start + 1)?;
        let (start_tag, end) = self.attributes(tag(TagKind::StartTag, name), name_end)?;
        if &*start_tag.name == "plaintext" {
            return None;
        }
        let Some(holds_references) = raw_content(&start_tag.name) else {
            give(sink, Token::TagToken(start_tag));
            return Some(end);
        };
        // Whether the content is raw is the tree's to say, which asks for the tag. So it is looked at before.
        let raw = self.raw(&start_tag.name, end, holds_references)?;
        let end_tag = tag(TagKind::EndTag, start_tag.name.clone());
        let result = sink.process_token(Token::TagToken(start_tag), 1);
        if !matches!(result, TokenSinkResult::RawData(_)) {
            return Some(end);
        }
        if !raw.text.is_empty() {
            give(sink, Token::CharacterTokens(raw.text));
        }
        give(sink, Token::TagToken(end_tag));
        Some(raw.end)
    }

    /// The name of a tag, in lower case, and where it ends.
    fn name(&self, start: usize) -> Option<(LocalName, usize)> {
        let end = self.until(start, |byte| is_space(byte) || matches!(byte, b'/' | b'>'))?;
        let name = self.html.get(start..end)?;
        let is_plain =
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(is_name_byte);
        is_plain.then(|| (lower(name), end))
    }

    /// Fills in the attributes of a tag; also where the tag ends.
    fn attributes(&self, mut tag: Tag, start: usize) -> Option<(Tag, usize)> {
        let mut at = start;
        loop {
            at = self.after_space(at)?;
            match self.byte(at)? {
                b'>' => return Some((tag, at + 1)),
                b'/' if self.byte(at + 1) == Some(b'>') => {
                    tag.self_closing = true;
                    return Some((tag, at + 2));
                }
                b'/' => return None,
                _ => {}
            }
            let (attribute, end) = self.attribute(at)?;
            let is_repeated = tag.attrs.iter().any(|known| known.name == attribute.name);
            if is_repeated || tag.attrs.len() >= MAX_ATTRIBUTES {
                return None;
            }
            tag.attrs.push(attribute);
            at = end;
        }
    }

    fn attribute(&self, start: usize) -> Option<(Attribute, usize)> {
        let name_end = self.until(start, |byte| {
            is_space(byte) || matches!(byte, b'=' | b'/' | b'>')
        })?;
        let name = self.html.get(start..name_end)?;
        if name.is_empty() || !name.bytes().all(is_name_byte) {
            return None;
        }
        let sign = self.after_space(name_end)?;
        let (value, end) = if self.byte(sign) == Some(b'=') {
            self.value(self.after_space(sign + 1)?)?
        } else {
            (StrTendril::new(), name_end)
        };
        let name = QualName::new(None, ns!(), lower(name));
        Some((Attribute { name, value }, end))
    }

    fn value(&self, start: usize) -> Option<(StrTendril, usize)> {
        let quote = self.byte(start)?;
        if !matches!(quote, b'"' | b'\'') {
            let end = self.until(start, |byte| is_space(byte) || byte == b'>')?;
            let value = self.html.get(start..end)?;
            if value.is_empty() || value.contains(['"', '\'', '<', '=', '`']) {
                return None;
            }
            return Some((self.plain(start, end, Place::Attribute)?, end));
        }
        let from = start + 1;
        let end = self.find(from, |rest| memchr(quote, rest))?;
        let follows = self.byte(end + 1)?;
        let is_apart = is_space(follows) || matches!(follows, b'/' | b'>');
        let value = self.plain(from, end, Place::Attribute)?;
        is_apart.then_some((value, end + 1))
    }

    /// The text between two places with its character references resolved.
    fn plain(&self, start: usize, end: usize, place: Place) -> Option<StrTendril> {
        let text = self.html.get(start..end)?;
        if memchr(b'&', text.as_bytes()).is_none() {
            return self.piece(start, end);
        }
        resolved(text, place)
    }

    /// The content of an element that holds no markup, up to its end tag.
    fn raw(&self, name: &LocalName, start: usize, holds_references: bool) -> Option<Raw> {
        let end = self.find(start, |rest| {
            memmem::find_iter(rest, b"</").find(|end| ends_raw(rest, end + 2, name))
        })?;
        let close = self.after_space(end + 2 + name.len())?;
        let content = self.html.get(start..end)?;
        let bytes = content.as_bytes();
        let is_escaped = &**name == "script" && memmem::find(bytes, b"<!--").is_some();
        if self.byte(close) != Some(b'>') || is_escaped {
            return None;
        }
        let text = if holds_references {
            self.plain(start, end, Place::Text)?
        } else {
            self.piece(start, end)?
        };
        Some(Raw {
            text,
            end: close + 1,
        })
    }
}

/// The content of a script, style or the like.
struct Raw {
    text: StrTendril,
    /// After the end tag.
    end: usize,
}

/// Where character references stand; those without a semicolon are read in one way in text and in another in attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Attribute,
}

/// Hands on a token whose answer changes nothing: scripts are not run, and the encoding is known.
fn give<S: TokenSink>(sink: &S, token: Token) {
    drop(sink.process_token(token, 1));
}

fn tag(kind: TagKind, name: LocalName) -> Tag {
    Tag {
        kind,
        name,
        self_closing: false,
        attrs: Vec::new(),
        had_duplicate_attributes: false,
    }
}

fn lower(name: &str) -> LocalName {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        LocalName::from(name.to_ascii_lowercase())
    } else {
        LocalName::from(name)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\x0c')
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.' | b'@' | b'*' | b'#')
}

/// For elements whose content is no markup, whether it may have character references.
fn raw_content(name: &str) -> Option<bool> {
    match name {
        "title" | "textarea" => Some(true),
        "script" | "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(false),
        _ => None,
    }
}

/// Whether the name of an end tag stands at `at`, and not a longer one.
fn ends_raw(bytes: &[u8], at: usize, name: &str) -> bool {
    let after = at + name.len();
    bytes
        .get(at..after)
        .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        && bytes
            .get(after)
            .is_some_and(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'))
}

/// The text with its character references resolved (13.2.5.72 and following of the standard); nothing if one of them is not plain.
fn resolved(text: &str, place: Place) -> Option<StrTendril> {
    let mut out = StrTendril::with_capacity(u32::try_from(text.len()).ok()?);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_slice(before);
        rest = after;
        let length = after
            .bytes()
            .position(|byte| !byte.is_ascii_alphanumeric() && byte != b'#')
            .unwrap_or(after.len());
        let (name, tail) = after.split_at_checked(length)?;
        if let Some(after) = tail.strip_prefix(';')
            && push_reference(&mut out, name)
        {
            rest = after;
        } else if is_literal(name, tail, place) {
            out.push_char('&');
        } else {
            return None;
        }
    }
    out.push_slice(rest);
    Some(out)
}

/// Whether the sign before `name` is no character reference: a name that may go on as one must end in a semicolon in text, and in
/// attributes must not be followed by `=`, as in `?a=1&copy=2`.
fn is_literal(name: &str, tail: &str, place: Place) -> bool {
    if name.is_empty() {
        return true;
    }
    let is_known = NAMED_ENTITIES.get(name).is_some_and(|found| found.0 != 0);
    place == Place::Attribute && !name.contains('#') && (!is_known || tail.starts_with('='))
}

/// Appends what `&name;` stands for, and tells whether it stands for anything.
fn push_reference(out: &mut StrTendril, name: &str) -> bool {
    // Nearly all of them are these, which need not be looked up.
    let common = match name {
        "amp" => Some('&'),
        "quot" => Some('"'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "nbsp" => Some('\u{a0}'),
        _ => None,
    };
    if let Some(common) = common {
        out.push_char(common);
        return true;
    }
    reference(name)
        .map(|found| out.push_slice(&found))
        .is_some()
}

/// What `&name;` stands for.
fn reference(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        // The others are errors, and some of them stand for something else.
        return char::from_u32(code)
            .filter(|c| {
                !c.is_control() && code & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&code)
            })
            .map(String::from);
    }
    if name.len() >= MAX_REFERENCE_BYTES {
        return None;
    }
    let (first, second) = NAMED_ENTITIES.get(&format!("{name};"))?;
    [first, second]
        .into_iter()
        .filter(|code| **code != 0)
        .map(|code| char::from_u32(*code))
        .collect()
}

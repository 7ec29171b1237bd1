//! HTML as a row of tags and texts.
//!
//! No tree is built: what a page says stands in the order of its markup, and a row takes no memory and no time that is not in
//! proportion to it, however it nests. Elements whose content is no markup (`<script>`, `<title>`) come whole.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use html5ever::data::NAMED_ENTITIES;
use memchr::{memchr, memmem::find};

/// Elements whose content is text up to their end tag, whatever it looks like.
const RAW: &[&str] = &[
    "script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp",
];
/// The longest name of a tag or entity, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What stands in a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// With its entities decoded.
    Text(Cow<'a, str>),
    /// The name in lower case.
    Start(Cow<'a, str>),
    End(Cow<'a, str>),
    /// An element with its content, in which entities are decoded if it is a title.
    Raw(Cow<'a, str>, Cow<'a, str>),
}

/// Reads a page from its beginning.
pub(crate) struct Tokens<'a> {
    rest: &'a str,
    /// In XML an element ends where it begins if its tag says so.
    is_xml: bool,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(html: &'a str) -> Self {
        let rest = html.trim_start_matches('\u{feff}');
        let is_xml = rest.trim_start().starts_with("<?xml");
        Self { rest, is_xml }
    }

    fn split_to(&mut self, at: usize) -> &'a str {
        let (piece, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
        self.rest = rest;
        piece
    }

    /// What stands up to this mark, which is passed over; all if it never comes.
    fn until(&mut self, mark: &str) -> &'a str {
        match find(self.rest.as_bytes(), mark.as_bytes()) {
            Some(at) => {
                let piece = self.split_to(at);
                self.split_to(mark.len());
                piece
            }
            None => self.split_to(self.rest.len()),
        }
    }

    /// A tag from behind its name: whether it says that the element is empty.
    fn attributes(&mut self) -> bool {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        let mut is_value = false;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'>' => break,
                // A quote is one only where a value begins.
                b'"' | b'\'' if is_value => {
                    let behind = bytes.get(at + 1..).unwrap_or_default();
                    at += memchr(*byte, behind).map_or(bytes.len(), |end| end + 1);
                    is_value = false;
                }
                b'=' => is_value = true,
                byte if byte.is_ascii_whitespace() => {}
                _ => is_value = false,
            }
            at += 1;
        }
        let attributes = self.split_to(at.min(bytes.len()));
        self.split_to(1);
        attributes.ends_with('/')
    }

    /// The content of an element up to its end tag, which is passed over.
    fn raw(&mut self, name: &str) -> &'a str {
        let text = self.rest;
        let mut from = 0;
        while let Some(at) = text
            .get(from..)
            .and_then(|rest| find(rest.as_bytes(), b"</"))
        {
            let behind = from + at + 2;
            let end = text.get(behind..behind + name.len());
            if end.is_some_and(|end| end.eq_ignore_ascii_case(name)) {
                let content = self.split_to(from + at);
                self.until(">");
                return content;
            }
            from = behind;
        }
        self.split_to(text.len())
    }

    /// What begins with `<`; nothing if it says nothing.
    fn markup(&mut self) -> Option<Token<'a>> {
        if self.rest.starts_with("<!--") {
            self.split_to(4);
            self.until("-->");
            return None;
        }
        if self.rest.starts_with("<![CDATA[") {
            self.split_to(9);
            return Some(Token::Text(Cow::Borrowed(self.until("]]>"))));
        }
        if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
            self.until(">");
            return None;
        }
        let is_end = self.rest.starts_with("</");
        let start = 1 + usize::from(is_end);
        let behind = self.rest.get(start..).unwrap_or_default();
        if !behind.starts_with(|character: char| character.is_ascii_alphabetic()) {
            return Some(Token::Text(Cow::Borrowed(self.split_to(1))));
        }
        let is_over = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
        let length = behind.bytes().position(is_over).unwrap_or(behind.len());
        self.split_to(start);
        let name = lower(self.split_to(length));
        let is_empty = self.attributes();
        if is_end {
            return Some(Token::End(name));
        }
        if !RAW.contains(&&*name) {
            return Some(Token::Start(name));
        }
        if is_empty && self.is_xml {
            return None;
        }
        let content = self.raw(&name);
        let content = if name == "title" || name == "textarea" {
            decoded(content)
        } else {
            Cow::Borrowed(content)
        };
        Some(Token::Raw(name, content))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let text = memchr(b'<', self.rest.as_bytes()).unwrap_or(self.rest.len());
            if text > 0 {
                return Some(Token::Text(decoded(self.split_to(text))));
            }
            if let Some(token) = self.markup() {
                return Some(token);
            }
        }
        None
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    let name = name.get(..MAX_NAME_BYTES).unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// What the page is called.
pub(crate) fn title(html: &str) -> Option<String> {
    let title = Tokens::new(html).find_map(|token| match token {
        Token::Raw(name, text) if name == "title" => Some(text),
        _ => None,
    })?;
    let words: Vec<&str> = title.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Text with its entities replaced. What is none stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr(b'&', text.as_bytes()) else {
        return Cow::Borrowed(text);
    };
    let (before, mut rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len());
    out.push_str(before);
    while let Some(behind) = rest.strip_prefix('&') {
        rest = match entity(behind) {
            Some((characters, length)) => {
                out.extend(characters.into_iter().flatten());
                behind.get(length..).unwrap_or_default()
            }
            None => {
                out.push('&');
                behind
            }
        };
        let next = memchr(b'&', rest.as_bytes()).unwrap_or(rest.len());
        let (plain, behind) = rest.split_at(next);
        out.push_str(plain);
        rest = behind;
    }
    Cow::Owned(out)
}

/// What stands behind `&`: the characters meant, and how many bytes say so.
fn entity(text: &str) -> Option<([Option<char>; 2], usize)> {
    if let Some(number) = text.strip_prefix('#') {
        let (digits, radix, before) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16, 2),
            None => (number, 10, 1),
        };
        let length = digits
            .bytes()
            .position(|byte| !char::from(byte).is_digit(radix))
            .unwrap_or(digits.len());
        if length == 0 {
            return None;
        }
        // Too great a number is none that a character has.
        let code = u32::from_str_radix(digits.get(..length)?, radix).unwrap_or(u32::MAX);
        let end = usize::from(digits.get(length..)?.starts_with(';'));
        return Some(([Some(character(code)), None], before + length + end));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    let length = bytes
        .iter()
        .position(|byte| !is_name(*byte))
        .unwrap_or(bytes.len())
        .min(MAX_NAME_BYTES);
    let with_end = length + usize::from(bytes.get(length) == Some(&b';'));
    // `&notit;` is `¬it;`: the longest name that there is.
    (1..=with_end).rev().find_map(|length| {
        let (first, second) = NAMED_ENTITIES.get(text.get(..length)?)?;
        let first = char::from_u32(*first).filter(|first| *first != '\0')?;
        let second = char::from_u32(*second).filter(|second| *second != '\0');
        Some(([Some(first), second], length))
    })
}

/// The character of a number, as browsers have it: those that are control characters are meant as windows-1252.
fn character(code: u32) -> char {
    match u8::try_from(code) {
        Ok(byte @ 0x80..=0x9f) => {
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(std::slice::from_ref(&byte));
            text.chars().next().unwrap_or('\u{fffd}')
        }
        _ => char::from_u32(code)
            .filter(|character| *character != '\0')
            .unwrap_or('\u{fffd}'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(html: &str) -> String {
        Tokens::new(html)
            .map(|token| match token {
                Token::Text(text) => text.into_owned(),
                Token::Start(name) => format!("<{name}>"),
                Token::End(name) => format!("</{name}>"),
                Token::Raw(name, text) => format!("[{name} {text}]"),
            })
            .collect()
    }

    #[test]
    fn pages_are_parted_into_tags_and_text() {
        for (html, expected) in [
            ("a<B c='>' d=\">\" e=f>b</B >c", "a<b>b</b>c"),
            ("<!doctype html><!-- <p> --><p\n>x", "<p>x"),
            ("1 < 2 <3 </ 4", "1 < 2 <3 </ 4"),
            (
                "<script>if (a<b) '</p>'</SCRIPT >x",
                "[script if (a<b) '</p>']x",
            ),
            ("<title>A &amp; B</title>", "[title A & B]"),
            ("<?xml version='1.0'?><title/><p/>x", "<p>x"),
            ("<title/>x", "[title x]"),
            ("<p title=it's>x<p a = 'b>'>y", "<p>x<p>y"),
            ("<a href='x", "<a>"),
            ("a<!-- never ends", "a"),
            ("<![CDATA[<x>&amp;]]>y", "<x>&amp;y"),
            ("ä<ö>", "ä<ö>"),
        ] {
            assert_eq!(told(html), expected, "{html}");
        }
    }

    #[test]
    fn entities_are_decoded() {
        for (text, expected) in [
            ("&lt;&gt;&amp;&quot;&nbsp;", "<>&\"\u{a0}"),
            ("&eacute;&eacute&copy2", "éé©2"),
            ("&notit; &unknown; & &;", "¬it; &unknown; & &;"),
            (
                "&#65;&#x42;&#x43 &#150; &#0; &#xd800; &#99999999999;",
                "ABC – \u{fffd} \u{fffd} \u{fffd}",
            ),
            ("&#; &#x;", "&#; &#x;"),
            ("&NotEqualTilde;", "\u{2242}\u{338}"),
        ] {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }

    #[test]
    fn titles_are_found() {
        assert_eq!(title("<p><title>\n A  b\n</title>").as_deref(), Some("A b"));
        assert_eq!(title("<title> </title>"), None);
        assert_eq!(title("<p>x"), None);
    }
}

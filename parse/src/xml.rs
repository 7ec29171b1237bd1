//! XML within bounds: no document type, no entity but the five, not too deep, and nothing of it held but one tag or text.
//!
//! In UTF-8, which all that is packed into documents is in.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use quick_xml::XmlVersion;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use crate::failure::Failure;

/// The deepest that elements nest.
pub(crate) const MAX_DEPTH: u32 = 256;
/// The longest tag, text or comment, in bytes.
const MAX_EVENT_BYTES: u64 = 16 << 20;

/// What comes next. Names are without prefix: which one a file gives a namespace is its own affair.
pub(crate) enum Node<'a> {
    Start(Tag<'a>),
    /// Also of an element that was empty.
    End(String),
    /// A part of a text: there may be more.
    Text(Cow<'a, str>),
    Eof,
}

/// A start tag.
pub(crate) struct Tag<'a>(BytesStart<'a>);

impl Tag<'_> {
    pub(crate) fn name(&self) -> String {
        self.0.local_name().as_ref().to_owned()
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.0.local_name().as_ref() == name
    }

    /// The value of an attribute, by its name without prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let mut attributes = self.0.attributes();
        let attribute = attributes
            .with_checks(false)
            .flatten()
            .find(|attribute| attribute.key.local_name().as_ref() == name)?;
        Some(plain_value(&attribute.value))
    }

    /// The value of an `id` that has a prefix: which relationship is meant (`r:id`), beside which there may be an `id` of another
    /// meaning.
    pub(crate) fn relationship(&self) -> Option<String> {
        let mut attributes = self.0.attributes();
        let attribute = attributes.with_checks(false).flatten().find(|attribute| {
            let (name, prefix) = attribute.key.decompose();
            name.as_ref() == "id" && prefix.is_some()
        })?;
        Some(plain_value(&attribute.value))
    }
}

fn plain_value(value: &str) -> String {
    unescape(value).map_or_else(|_| value.to_owned(), Cow::into_owned)
}

/// A reader of one file.
pub(crate) struct Xml<R> {
    reader: quick_xml::Reader<Watched<R>>,
    buffer: Vec<u8>,
    depth: u32,
    /// Since the last event, in bytes.
    taken: Rc<Cell<u64>>,
}

impl<R: BufRead> Xml<R> {
    pub(crate) fn new(file: R) -> Self {
        let taken = Rc::new(Cell::new(0));
        let watched = Watched {
            inner: file,
            taken: Rc::clone(&taken),
        };
        let mut reader = quick_xml::Reader::from_reader(watched);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self {
            reader,
            buffer: Vec::new(),
            depth: 0,
            taken,
        }
    }

    /// # Errors
    ///
    /// It is not well-formed, goes beyond the bounds, or the file ends early.
    pub(crate) fn next(&mut self) -> Result<Node<'_>, Failure> {
        // Comments and the like are passed over; the borrow checker wants the loop to be told first what it ends with.
        loop {
            self.buffer.clear();
            self.taken.set(0);
            let event = self
                .reader
                .read_event_into(&mut self.buffer)
                .map_err(|error| failure(&error))?;
            match event {
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
                Event::DocType(_) => {
                    return Err(Failure::limit("its XML declares a document type"));
                }
                Event::Start(tag) => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(Failure::limit(format_args!(
                            "its XML nests deeper than {MAX_DEPTH}"
                        )));
                    }
                    return Ok(Node::Start(Tag(tag.into_owned())));
                }
                Event::Empty(tag) => return Ok(Node::Start(Tag(tag.into_owned()))),
                Event::End(tag) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Node::End(tag.local_name().as_ref().to_owned()));
                }
                Event::Text(text) => {
                    return Ok(Node::Text(Cow::Owned(
                        text.xml_content(XmlVersion::Implicit1_0).into_owned(),
                    )));
                }
                Event::CData(text) => {
                    return Ok(Node::Text(Cow::Owned(
                        text.xml_content(XmlVersion::Implicit1_0).into_owned(),
                    )));
                }
                Event::GeneralRef(name) => {
                    let text = match name.resolve_char_ref() {
                        Ok(Some(character)) => character.to_string(),
                        _ => resolved(&name),
                    };
                    return Ok(Node::Text(Cow::Owned(text)));
                }
                // Also in the midst of an element: what is missing is the end.
                Event::Eof if self.depth > 0 => {
                    return Err(Failure::corrupt("its XML ends early"));
                }
                Event::Eof => return Ok(Node::Eof),
            }
        }
    }

    /// The text up to the end of the element that was just begun, at most so many bytes of it.
    pub(crate) fn text(&mut self, most: usize) -> Result<String, Failure> {
        let until = self.depth.saturating_sub(1);
        let mut out = String::new();
        loop {
            let piece = match self.next()? {
                Node::Text(text) => Some(text.into_owned()),
                Node::Eof => return Ok(out),
                _ => None,
            };
            if self.depth <= until {
                return Ok(out);
            }
            if let Some(piece) = piece.filter(|_| out.len() < most) {
                out.push_str(&piece);
            }
        }
    }

    /// Passes over all up to the end of the element that was just begun.
    pub(crate) fn skip(&mut self) -> Result<(), Failure> {
        self.text(0).map(drop)
    }
}

/// One of the five, or what stands there.
fn resolved(name: &str) -> String {
    match quick_xml::escape::resolve_xml_entity(name) {
        Some(text) => text.to_owned(),
        None => format!("&{name};"),
    }
}

fn failure(error: &quick_xml::Error) -> Failure {
    if let quick_xml::Error::Io(error) = error {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(failure) = inner {
            return Failure::clone(failure);
        }
    }
    Failure::corrupt(format_args!("its XML cannot be read ({error})"))
}

/// Ends an event that never ends.
struct Watched<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken.get() > MAX_EVENT_BYTES {
            return Err(Failure::limit("its XML has a tag or text without end").into());
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        self.taken.set(self.taken.get().saturating_add(amount));
        self.inner.consume(amount.try_into().unwrap_or(usize::MAX));
    }
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    /// What comes of it, in one line.
    fn told(xml: &[u8]) -> Result<String, Failure> {
        let mut reader = Xml::new(io::BufReader::new(xml));
        let mut told = String::new();
        loop {
            match reader.next()? {
                Node::Start(tag) => {
                    let value = tag.attribute("v").unwrap_or_default();
                    told.push_str(&format!("<{} {value}>", tag.name()));
                }
                Node::End(name) => told.push_str(&format!("</{name}>")),
                Node::Text(text) => told.push_str(&text),
                Node::Eof => return Ok(told),
            }
        }
    }

    #[test]
    fn xml_is_read() {
        for (xml, expected) in [
            (
                &b"<?xml version='1.0'?><a:b x:v='1 &amp; &lt;'>T&amp;t &#65;&unknown;<c/><!-- no --><![CDATA[<d>]]></a:b>"[..],
                "<b 1 & <>T&t A&unknown;<c ></c><d></b>",
            ),
            (b"\xef\xbb\xbf<a>\xc3\xa9</a>", "<a >\u{e9}</a>"),
        ] {
            assert_eq!(told(xml).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let deep = "<a>".repeat(1_000);
        let long = format!("<a>{}</a>", "x".repeat(17 << 20));
        let attribute = format!("<a b='{}'/>", "x".repeat(17 << 20));
        for (xml, expected) in [
            (
                "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
                Code::SecurityLimit,
            ),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
                Code::SecurityLimit,
            ),
            (&*deep, Code::SecurityLimit),
            (&*long, Code::SecurityLimit),
            (&*attribute, Code::SecurityLimit),
            ("<a>", Code::Corrupt),
            ("<a></b>", Code::Corrupt),
            ("<a b='", Code::Corrupt),
        ] {
            let failure = told(xml.as_bytes()).expect_err("it is refused");
            let shown: String = xml.chars().take(40).collect();
            assert_eq!(failure.code, expected, "{shown}");
        }
        let other = told(b"\xff\xfe<\0a\0/\0>\0").expect_err("it is in UTF-16");
        assert_eq!(other.code, Code::Corrupt);
    }

    #[test]
    fn elements_are_passed_over() {
        let mut xml = Xml::new(&b"<a><b>one<c>two</c></b>three</a>"[..]);
        for name in ["a", "b"] {
            assert!(matches!(xml.next(), Ok(Node::Start(tag)) if tag.is(name)));
        }
        assert_eq!(xml.text(100).as_deref(), Ok("onetwo"));
        assert!(matches!(xml.next(), Ok(Node::Text(text)) if text == "three"));
    }
}

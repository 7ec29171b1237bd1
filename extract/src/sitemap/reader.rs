//! From plain bytes to entries: the budget, the character encoding, and which form it is.

use std::ops::ControlFlow;

use encoding_rs::{CoderResult, Decoder, Encoding};

use super::document::{Counts, Document};
use super::entry::{Entry, Kind, Limits, Reason};
use super::lines::Lines;
use super::location::{Base, Location};
use super::stage::{End, Step, length};
use super::utf32::Utf32;
use super::xml::Scanner;

/// How many bytes the XML declaration is looked for in.
const HEAD_BYTES: usize = 1024;

/// Bytes decoded to UTF-8 at once.
const DECODE_BYTES: usize = 8 * 1024;

pub(super) struct Reader<L> {
    base: Base,
    limits: Limits,
    bytes: u64,
    /// The first bytes, until the encoding is known.
    head: Vec<u8>,
    encoding: Detection,
    form: Form<L>,
    counts: Counts,
}

enum Detection {
    Open,
    /// UTF-8 or windows-1252, which the scanners read as it is.
    Bytes,
    Utf32(Utf32),
    Other(Box<Decoder>),
}

enum Form<L> {
    Open,
    Xml(Box<Scanner>, Box<Document<L>>),
    Text(Box<Lines>),
}

impl<L: Location> Reader<L> {
    pub(super) fn new(base: Base, limits: Limits) -> Self {
        Self {
            base,
            limits,
            bytes: 0,
            head: Vec::new(),
            encoding: Detection::Open,
            form: Form::Open,
            counts: Counts::default(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.form {
            Form::Open => Kind::None,
            Form::Xml(_, document) => document.kind(),
            Form::Text(lines) => lines.kind(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes plain bytes, as many as the budget still allows.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Entry<L>)) -> Step {
        let room = usize::try_from(self.limits.max_bytes - self.bytes).unwrap_or(usize::MAX);
        let (within, beyond) = bytes.split_at(bytes.len().min(room));
        self.bytes += length(within);
        self.detect(within, each)?;
        if beyond.is_empty() {
            return ControlFlow::Continue(());
        }
        if matches!(self.encoding, Detection::Open) {
            self.start(each)?;
        }
        ControlFlow::Break(End::Limit(Reason::MaxBytes))
    }

    pub(super) fn finish(&mut self, each: &mut dyn FnMut(Entry<L>)) -> Step {
        if matches!(self.encoding, Detection::Open) {
            self.start(each)?;
        }
        self.decode(&[], true, each)?;
        match &mut self.form {
            Form::Open => ControlFlow::Continue(()),
            Form::Xml(_, document) => document.finish(&mut self.counts, each),
            Form::Text(lines) => lines.finish(&mut self.counts, each),
        }
    }

    fn detect(&mut self, bytes: &[u8], each: &mut dyn FnMut(Entry<L>)) -> Step {
        if !matches!(self.encoding, Detection::Open) {
            return self.decode(bytes, false, each);
        }
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        let (now, rest) = bytes.split_at(bytes.len().min(missing));
        self.head.extend_from_slice(now);
        if self.head.len() < HEAD_BYTES {
            return ControlFlow::Continue(());
        }
        self.start(each)?;
        self.decode(rest, false, each)
    }

    fn start(&mut self, each: &mut dyn FnMut(Entry<L>)) -> Step {
        let head = std::mem::take(&mut self.head);
        if let Some(decoder) = Utf32::of(&head) {
            self.encoding = Detection::Utf32(decoder);
            return self.decode(&head, false, each);
        }
        let (encoding, mark) = encoding_of(&head);
        // What is declared windows-1252 may be UTF-8 all the same; the scanners tell them apart value by value.
        self.encoding = if encoding == encoding_rs::UTF_8 || encoding == encoding_rs::WINDOWS_1252 {
            Detection::Bytes
        } else {
            Detection::Other(Box::new(encoding.new_decoder_without_bom_handling()))
        };
        self.decode(head.get(mark..).unwrap_or_default(), false, each)
    }

    fn decode(&mut self, mut bytes: &[u8], is_last: bool, each: &mut dyn FnMut(Entry<L>)) -> Step {
        let Self {
            base,
            limits,
            encoding,
            form,
            counts,
            ..
        } = self;
        let mut hand_on = |plain: &[u8]| text(form, base, *limits, counts, plain, each);
        let decoder = match encoding {
            Detection::Open | Detection::Bytes => return hand_on(bytes),
            Detection::Utf32(decoder) => return hand_on(decoder.decode(bytes).as_bytes()),
            Detection::Other(decoder) => decoder,
        };
        let mut buffer = [0; DECODE_BYTES];
        loop {
            let (result, read, written, _) = decoder.decode_to_utf8(bytes, &mut buffer, is_last);
            hand_on(buffer.get(..written).unwrap_or_default())?;
            bytes = bytes.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return ControlFlow::Continue(());
            }
        }
    }
}

/// Takes text, decides on the form at the first character that is no white space, and hands on.
fn text<L: Location>(
    form: &mut Form<L>,
    base: &Base,
    limits: Limits,
    counts: &mut Counts,
    mut bytes: &[u8],
    each: &mut dyn FnMut(Entry<L>),
) -> Step {
    if matches!(form, Form::Open) {
        bytes = bytes.trim_ascii_start();
        // What a server's script printed before the declaration (a warning, a second byte order mark) is no part of the file.
        if let Some(declaration) = memchr::memmem::find(bytes, b"<?xml ") {
            bytes = bytes.get(declaration..).unwrap_or_default();
        }
        *form = match bytes.first() {
            None => return ControlFlow::Continue(()),
            Some(b'<') => Form::Xml(
                Box::default(),
                Box::new(Document::new(base.clone(), limits.max_urls)),
            ),
            Some(_) => Form::Text(Box::new(Lines::new(base.clone(), limits.max_urls))),
        };
    }
    match form {
        Form::Open => ControlFlow::Continue(()),
        Form::Xml(scanner, document) => scanner.feed(bytes, document, counts, each),
        Form::Text(lines) => lines.feed(bytes, counts, each),
    }
}

/// Finds the encoding (XML 1.0, appendix F) and the length of the byte order mark.
///
/// A declaration that says UTF-16 in single bytes is wrong, and the file is read as UTF-8.
fn encoding_of(head: &[u8]) -> (&'static Encoding, usize) {
    if let Some(found) = Encoding::for_bom(head) {
        return found;
    }
    match head {
        [first, 0, ..] if *first != 0 => return (encoding_rs::UTF_16LE, 0),
        [0, second, ..] if *second != 0 => return (encoding_rs::UTF_16BE, 0),
        _ => {}
    }
    let declared = declared_encoding(head).filter(|found| {
        *found != encoding_rs::UTF_16LE
            && *found != encoding_rs::UTF_16BE
            && *found != encoding_rs::REPLACEMENT
    });
    (declared.unwrap_or(encoding_rs::UTF_8), 0)
}

fn declared_encoding(head: &[u8]) -> Option<&'static Encoding> {
    let declaration = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(declaration, b"?>")?;
    let declaration = declaration.get(..end)?;
    let at = memchr::memmem::find(declaration, b"encoding")?;
    let value = declaration
        .get(at + b"encoding".len()..)?
        .trim_ascii_start()
        .strip_prefix(b"=")?;
    let (quote, value) = value.trim_ascii_start().split_first()?;
    let label = value.split(|byte| byte == quote).next()?;
    Encoding::for_label(label)
}

//! A reader of JSON and of JavaScript literals that never gives up.
//!
//! It takes what it understands and skips what it does not. Depth and number of values are
//! bounded; a value too deep is `null`.

use serde_json::{Map, Number, Value};

/// Deepest nesting that is kept.
const MAX_DEPTH: usize = 100;

/// Most values read from one text.
const MAX_VALUES: usize = 200_000;

/// Most roots of one text.
const MAX_ROOTS: usize = 50;

/// A literal in a text, and where it ends.
pub(in super::super) struct Literal {
    /// The object or array, if one begins there.
    pub(in super::super) value: Option<Value>,
    /// The place after it, in bytes.
    pub(in super::super) end: usize,
}

/// Reads the object or array that begins at `start`, after white space.
pub(in super::super) fn literal(text: &str, start: usize) -> Literal {
    let mut reader = Reader::new(text, start);
    reader.skip_blank();
    let value = matches!(reader.peek(), Some(b'{' | b'[')).then(|| reader.value(0));
    Literal {
        value,
        end: reader.at,
    }
}

/// Every object and array at the top of a text.
pub(super) fn roots(text: &str) -> Vec<Value> {
    let mut reader = Reader::new(text, 0);
    let mut roots = Vec::new();
    while roots.len() < MAX_ROOTS {
        reader.skip_blank();
        match reader.peek() {
            None => break,
            Some(b'{' | b'[') => roots.push(reader.value(0)),
            Some(_) => reader.at += 1,
        }
    }
    roots
}

/// What parts the groups of digits of a number as people write it.
struct Separator {
    /// In bytes.
    length: usize,
    /// Three digits follow it; a comma or point may stand before decimals too.
    parts_thousands: bool,
}

/// The separator that a text begins with, if any.
fn separator(text: &[u8]) -> Option<Separator> {
    let (length, parts_thousands) = match text {
        [b',' | b'.', ..] => (1, false),
        [b' ' | b'\'', ..] => (1, true),
        // U+00A0.
        [0xc2, 0xa0, ..] => (2, true),
        // U+2009, U+202F and U+2019.
        [0xe2, 0x80, 0x89 | 0xaf | 0x99, ..] => (3, true),
        _ => return None,
    };
    Some(Separator {
        length,
        parts_thousands,
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    left: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        Self {
            text,
            at,
            left: MAX_VALUES,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest_starts_with(&self, prefix: &str) -> bool {
        self.text
            .as_bytes()
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(prefix.as_bytes()))
    }

    /// Moves after the next `mark`, or to the end.
    fn skip_past(&mut self, mark: &str) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at = rest
            .find(mark)
            .map_or(self.text.len(), |found| self.at + found + mark.len());
    }

    /// White space, comments, and the marks that hide scripts from old browsers.
    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0..=0x1f => self.at += 1,
                b'/' if self.rest_starts_with("/*") => {
                    self.at += 2;
                    self.skip_past("*/");
                }
                b'/' if self.rest_starts_with("//<![CDATA[") => self.at += 11,
                b'/' if self.rest_starts_with("//") => self.skip_past("\n"),
                b'<' if self.rest_starts_with("<![CDATA[") => self.at += 9,
                b'<' if self.rest_starts_with("<!--") => self.at += 4,
                b'-' if self.rest_starts_with("-->") => self.at += 3,
                b']' if self.rest_starts_with("]]>") => self.at += 3,
                0xc2 if self.rest_starts_with("\u{a0}") => self.at += 2,
                0xef if self.rest_starts_with("\u{feff}") => self.at += 3,
                _ => break,
            }
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        self.skip_blank();
        self.left = self.left.saturating_sub(1);
        if depth > MAX_DEPTH || self.left == 0 {
            self.at = self.text.len();
            return Value::Null;
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'' | b'`')) => Value::String(self.string(quote)),
            Some(b'-' | b'+' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        self.at += 1;
        let mut object = Map::new();
        loop {
            self.skip_blank();
            let key = match self.peek() {
                None => break,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(quote @ (b'"' | b'\'' | b'`')) => self.string(quote),
                Some(byte)
                    if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@') =>
                {
                    self.name()
                }
                // The end of what is around: this object's own end is missing.
                Some(b']') => break,
                Some(_) => {
                    self.skip_one();
                    continue;
                }
            };
            self.skip_blank();
            if self.peek() != Some(b':') {
                continue;
            }
            self.at += 1;
            self.skip_blank();
            let value = match self.peek() {
                None | Some(b',' | b'}') => Value::Null,
                Some(_) => self.property(depth + 1),
            };
            object.insert(key, value);
        }
        Value::Object(object)
    }

    /// The value of a key. Templates print numbers there as people write them (`1,299.00`, `19,99`, `1 299`); what follows such a comma is no key.
    fn property(&mut self, depth: usize) -> Value {
        self.skip_sign();
        let start = self.at;
        let begins_with_digit = self.peek().is_some_and(|byte| byte.is_ascii_digit());
        let value = self.value(depth);
        if !begins_with_digit {
            return value;
        }
        let Some(end) = self.end_of_written_number() else {
            return value;
        };
        self.at = end;
        Value::String(self.text.get(start..end).unwrap_or_default().to_owned())
    }

    /// Skips a currency sign before a number, which stands there only in what people read.
    fn skip_sign(&mut self) {
        if self
            .peek()
            .is_none_or(|byte| byte.is_ascii() && byte != b'$')
        {
            return;
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let number = ["$", "€", "£", "¥", "₹"]
            .iter()
            .find_map(|sign| rest.strip_prefix(sign))
            .map(str::trim_start)
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(number) = number {
            self.at = self.text.len() - number.len();
        }
    }

    /// Where a number ends of which what was read so far is but the first group of digits.
    fn end_of_written_number(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let digits_from = |at: usize| {
            let rest = bytes.get(at..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let mut end = self.at;
        while let Some(separator) = separator(bytes.get(end..).unwrap_or_default()) {
            let digits = digits_from(end + separator.length);
            if digits == 0 || separator.parts_thousands && digits != 3 {
                break;
            }
            end += separator.length + digits;
        }
        let rest = bytes.get(end..).unwrap_or_default();
        let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
        // `{a: 1,2: 3}` has digits for a key.
        (end > self.at && next != Some(&b':')).then_some(end)
    }

    fn array(&mut self, depth: usize) -> Value {
        self.at += 1;
        let mut array = Vec::new();
        loop {
            self.skip_blank();
            match self.peek() {
                None => break,
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(b'}') => break,
                Some(b',' | b':' | b';') => self.at += 1,
                Some(_) => {
                    let before = self.at;
                    array.push(self.value(depth + 1));
                    if self.at == before {
                        self.skip_one();
                    }
                }
            }
        }
        Value::Array(array)
    }

    fn skip_one(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.chars().next().map_or(1, char::len_utf8);
    }

    /// A string; raw line breaks are kept. A quotation mark ends it only where a string can end, so
    /// that `"24" desk"` is one string.
    fn string(&mut self, quote: u8) -> String {
        self.at += 1;
        let mut out = String::new();
        let mut start = self.at;
        while let Some(byte) = self.next_of(quote) {
            if byte == b'\\' {
                out.push_str(self.text.get(start..self.at).unwrap_or_default());
                self.at += 1;
                self.escape(&mut out);
                start = self.at;
            } else if byte == quote && self.ends_string() {
                break;
            } else {
                self.at += 1;
            }
        }
        out.push_str(self.text.get(start..self.at).unwrap_or_default());
        self.at = (self.at + 1).min(self.text.len());
        out
    }

    /// Moves to the next quotation mark or backslash, or to the end.
    fn next_of(&mut self, quote: u8) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = memchr::memchr2(quote, b'\\', rest);
        self.at += found.unwrap_or(rest.len());
        self.peek()
    }

    /// Whether what follows the quotation mark here can follow a string.
    fn ends_string(&self) -> bool {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let next = rest.iter().position(|byte| !byte.is_ascii_whitespace());
        match next.and_then(|next| rest.get(next).map(|byte| (next, *byte))) {
            None => true,
            Some((_, b',' | b':' | b'}' | b']' | b')' | b';' | b'/')) => true,
            // A missing comma: the next key stands on its own after white space.
            Some((next, b'"' | b'\'')) => next > 0,
            Some(_) => false,
        }
    }

    fn escape(&mut self, out: &mut String) {
        let Some(byte) = self.peek() else {
            return;
        };
        self.at += 1;
        match byte {
            b'n' => out.push('\n'),
            b't' => out.push('\t'),
            b'r' => out.push('\r'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'u' => {
                let first = self.hex(4);
                let code = match first {
                    Some(high @ 0xd800..=0xdbff) if self.rest_starts_with("\\u") => {
                        self.at += 2;
                        self.hex(4)
                            .filter(|low| (0xdc00..=0xdfff).contains(low))
                            .map(|low| 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    }
                    other => other,
                };
                out.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
            }
            b'x' => out.push(self.hex(2).and_then(char::from_u32).unwrap_or('\u{fffd}')),
            _ => {
                self.at -= 1;
                let start = self.at;
                self.skip_one();
                out.push_str(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }

    fn hex(&mut self, count: usize) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + count)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.at += count;
        Some(code)
    }

    fn number(&mut self) -> Value {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let parsed: Option<Number> = serde_json::from_str(text).ok();
        parsed.map_or_else(|| Value::String(text.to_owned()), Value::Number)
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while let Some(byte) = self.peek()
            && (byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | b'-'))
        {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    /// `true`, `false`, or any other expression, which is `null`: skipped to where it ends.
    fn word(&mut self) -> Value {
        for (word, value) in [("true", true), ("false", false)] {
            if self.rest_starts_with(word) {
                self.at += word.len();
                return Value::Bool(value);
            }
        }
        let mut depth = 0_u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b',' | b'}' | b']' | b';' | b')' if depth == 0 => break,
                b'"' | b'\'' | b'`' => {
                    self.string(byte);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        // Never inside a character.
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        Value::Null
    }
}

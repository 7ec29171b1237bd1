//! The one spelling of what may be spelt in several ways (RFC 3986, section 6.2.2).

use std::borrow::Cow;

use crate::percent::{escape_at, is_unreserved, push_escape};

/// A path or query with its escapes in one spelling: digits in upper case, and unreserved characters plain. `%c3%a9` becomes `%C3%A9`,
/// and `%7E` becomes `~`.
///
/// A sign that makes an escape with what stands before it stays escaped (`%%34`), so that a second pass changes nothing.
pub(super) fn spelled(text: &str) -> Cow<'_, str> {
    if is_spelled(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let Some((byte, _)) = escape_at(escaped.as_bytes()) else {
            out.push('%');
            rest = escaped.get(1..).unwrap_or_default();
            continue;
        };
        if is_unreserved(byte) && !completes_escape(out.as_bytes(), byte) {
            out.push(char::from(byte));
        } else {
            push_escape(&mut out, byte);
        }
        rest = escaped.get(3..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Whether no escape in it has another spelling.
fn is_spelled(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        let escape = text.get(at..).unwrap_or_default();
        escape_at(escape).is_none_or(|(byte, rest)| {
            let digits = escape.get(1..escape.len() - rest.len());
            !is_unreserved(byte)
                && digits.is_some_and(|own| !own.iter().any(u8::is_ascii_lowercase))
        })
    })
}

/// Whether a plain `byte` would be read as part of an escape that was none: behind `%`, or `%` and one digit.
fn completes_escape(before: &[u8], byte: u8) -> bool {
    byte.is_ascii_hexdigit()
        && match before {
            [.., b'%'] => true,
            [.., b'%', digit] => digit.is_ascii_hexdigit(),
            _ => false,
        }
}

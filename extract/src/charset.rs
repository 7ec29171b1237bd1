//! Bytes to text: which encoding a page is in.
//!
//! The one answer to that question: what is fetched, what the workflows read and what the command line reads all come here.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::memmem::find;

/// How many bytes at the start of a page are searched for a declaration.
///
/// The HTML standard (13.2.3.2) says 1,024; real pages put scripts before it, so this is wider.
const PRESCAN_BYTES: usize = 8 * 1024;
/// How many bytes are looked at when nothing is declared: the detector's answer does not get better.
const DETECT_BYTES: usize = 64 * 1024;

/// Decodes a page as browsers do.
///
/// In this order: byte order mark, `Content-Type`, declaration in the page, UTF-8 if it is valid
/// UTF-8, and else a guess from the bytes and the host's top-level domain. A declaration in the page
/// is overruled where the bytes are UTF-8 with characters of several bytes, which never happens by
/// chance. Malformed sequences become U+FFFD.
#[must_use]
pub fn decode<'a>(body: &'a [u8], content_type: Option<&str>, host: Option<&str>) -> Cow<'a, str> {
    let (text, _, _) = encoding(body, content_type, host).decode(body);
    text
}

/// The encoding that [`decode`] uses, byte order mark aside.
#[must_use]
pub fn encoding(body: &[u8], content_type: Option<&str>, host: Option<&str>) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(body) {
        return encoding;
    }
    if let Some(encoding) = content_type.and_then(from_content_type) {
        return encoding;
    }
    let head = body.get(..PRESCAN_BYTES).unwrap_or(body);
    let is_utf8 = is_utf8(body);
    match from_declaration(head) {
        Some(encoding) if !is_utf8 || body.is_ascii() => encoding,
        _ if is_utf8 => UTF_8,
        _ => guess(body, host),
    }
}

/// Valid UTF-8. A last character that somebody's limit cut in two is forgiven where others of several bytes stand before it.
fn is_utf8(body: &[u8]) -> bool {
    match std::str::from_utf8(body) {
        Ok(_) => true,
        Err(error) => {
            let valid = body.get(..error.valid_up_to()).unwrap_or_default();
            error.error_len().is_none() && !valid.is_ascii()
        }
    }
}

fn from_content_type(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| Encoding::for_label(value.as_bytes()))?
    })
}

/// The declaration in `<meta charset=…>`, `<meta … content="…; charset=…">` or `<?xml encoding=…?>`,
/// not inside a comment.
fn from_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let text = head.to_ascii_lowercase();
    let mut rest = text.as_slice();
    while let Some(at) = find(rest, b"<") {
        rest = rest.get(at..)?;
        if rest.starts_with(b"<!--") {
            rest = rest.get(find(rest, b"-->")?..)?;
            continue;
        }
        let end = find(rest, b">").unwrap_or(rest.len());
        let (tag, after) = rest.split_at(end);
        let label = if tag.starts_with(b"<meta") {
            label_after(tag, b"charset")
        } else if tag.starts_with(b"<?xml") {
            label_after(tag, b"encoding")
        } else {
            None
        };
        if let Some(encoding) = label.and_then(Encoding::for_label) {
            return Some(as_declared(encoding));
        }
        rest = after;
    }
    None
}

/// The HTML standard's corrections: a page whose declaration could be read as ASCII is not UTF-16,
/// and `x-user-defined` means windows-1252.
fn as_declared(encoding: &'static Encoding) -> &'static Encoding {
    if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else if encoding.name() == "x-user-defined" {
        WINDOWS_1252
    } else {
        encoding
    }
}

/// The value of `name = "value"` in a tag.
fn label_after<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = tag;
    while let Some(at) = find(rest, name) {
        rest = rest.get(at + name.len()..)?;
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let value = value
                .strip_prefix(b"\"")
                .or(value.strip_prefix(b"'"))
                .unwrap_or(value);
            let is_end = |byte: &u8| b"\"'; \t\r\n?/>".contains(byte);
            let end = value.iter().position(is_end).unwrap_or(value.len());
            return value.get(..end);
        }
    }
    None
}

fn guess(body: &[u8], host: Option<&str>) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(
        body.get(..DETECT_BYTES).unwrap_or(body),
        body.len() <= DETECT_BYTES,
    );
    // The detector wants a lower-case ASCII label and panics at anything else.
    let tld = host
        .and_then(|host| host.trim_end_matches('.').rsplit('.').next())
        .map(str::to_ascii_lowercase)
        .filter(|tld| !tld.is_empty() && tld.bytes().all(|byte| byte.is_ascii_alphabetic()));
    detector.guess(tld.as_deref().map(str::as_bytes), Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_found_where_browsers_find_it() {
        let long_comment = format!("<!-- {} --><meta charset=koi8-r>", "x".repeat(9_000));
        for (body, content_type, expected) in [
            (&b"plain"[..], None, "UTF-8"),
            (b"caf\xc3\xa9", None, "UTF-8"),
            (b"\xef\xbb\xbfx", Some("text/html; charset=koi8-r"), "UTF-8"),
            (b"\xff\xfex\0", None, "UTF-16LE"),
            (
                b"x",
                Some("text/html; charset=\"ISO-8859-2\""),
                "ISO-8859-2",
            ),
            (b"x", Some("text/html;CHARSET=shift_jis; a=b"), "Shift_JIS"),
            (
                b"<meta charset=gbk>",
                Some("text/html; charset=nonsense"),
                "GBK",
            ),
            (
                b"<meta charset='windows-1251'>",
                Some("text/html"),
                "windows-1251",
            ),
            (
                b"<META http-equiv=Content-Type content=\"text/html; charset=EUC-JP\">",
                None,
                "EUC-JP",
            ),
            (
                b"<?xml version=\"1.0\" encoding=\"koi8-r\"?><a/>",
                None,
                "KOI8-R",
            ),
            (
                b"<!-- <meta charset=gbk> --><meta charset=big5>",
                None,
                "Big5",
            ),
            (b"<meta charset=utf-16le>", None, "UTF-8"),
            (b"<meta charset=x-user-defined>", None, "windows-1252"),
            (
                b"<meta name=charset content=x><meta charset = koi8-r >",
                None,
                "KOI8-R",
            ),
            (b"<meta charset=iso-8859-1>caf\xc3\xa9", None, "UTF-8"),
            (b"<meta charset=iso-8859-1>caf\xe9", None, "windows-1252"),
            (b"<meta charset=iso-8859-1>caf\xc3", None, "windows-1252"),
            (b"<meta charset=iso-8859-1>caf\xc3\xa9 \xc3", None, "UTF-8"),
            (b"<meta charset=", None, "UTF-8"),
            (b"<meta charset=><", None, "UTF-8"),
            (b"<!-- <meta charset=gbk>", None, "UTF-8"),
            (long_comment.as_bytes(), None, "UTF-8"),
        ] {
            let found = encoding(body, content_type, Some("example.com")).name();
            assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn undeclared_text_is_guessed() {
        let (bytes, _, _) =
            encoding_rs::WINDOWS_1251.encode("Добро пожаловать в наш магазин, дорогие друзья");
        assert_eq!(
            decode(&bytes, None, Some("shop.ru")),
            "Добро пожаловать в наш магазин, дорогие друзья"
        );
        let (bytes, _, _) = WINDOWS_1252.encode("Öffnungszeiten für Köln: täglich");
        assert_eq!(
            decode(&bytes, Some("text/html"), Some("laden.de.")),
            "Öffnungszeiten für Köln: täglich"
        );
        for host in ["", ".", "xn--p1ai", "127.0.0.1", "Ü.ß", "[::1]", "a.DE"] {
            assert!(!decode(&bytes, None, Some(host)).is_empty());
        }
    }
}

//! Bytes to text: which encoding a page is in.
//!
//! The one answer to that question: what is fetched, what the workflows read and what the command line reads all come here.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use memchr::{memchr, memmem::find};

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
/// chance. Where nothing is declared, UTF-8 may have a few bytes that are none. Malformed sequences
/// become U+FFFD.
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
        None if !is_utf8 && !is_mostly_utf8(body) => guess(body, host),
        _ => UTF_8,
    }
}

/// UTF-8 in which somebody put bytes of another encoding. A character of several bytes comes about by chance in one of twelve
/// pairs of the encodings of East Asia, and next to never in the others; so they outnumber what is none only where they were meant.
fn is_mostly_utf8(body: &[u8]) -> bool {
    const CHARACTERS_PER_FAULT: usize = 4;
    let head = body.get(..DETECT_BYTES).unwrap_or(body);
    let (mut characters, mut faults) = (0, 0);
    for piece in head.utf8_chunks() {
        characters += piece.valid().chars().filter(|own| !own.is_ascii()).count();
        faults += usize::from(!piece.invalid().is_empty());
    }
    characters >= faults * CHARACTERS_PER_FAULT
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

/// The declaration in `<meta charset=…>`, `<meta http-equiv=content-type content="…; charset=…">` or `<?xml encoding=…?>`, not
/// inside a comment nor inside the value of another attribute (HTML standard, "prescan a byte stream to determine its encoding").
fn from_declaration(head: &[u8]) -> Option<&'static Encoding> {
    let text = head.to_ascii_lowercase();
    let mut rest = text.as_slice();
    while let Some(at) = memchr(b'<', rest) {
        rest = rest.get(at..)?;
        if rest.starts_with(b"<!--") {
            rest = rest.get(find(rest, b"-->")?..)?;
            continue;
        }
        let name = rest.get(1..)?;
        let name_end = name
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !b"/?".contains(byte))
            .unwrap_or(name.len());
        let (name, inside) = name.split_at(name_end);
        let mut attributes = TagAttributes { rest: inside };
        let label = match name {
            b"meta" => declared_by(&mut attributes),
            b"?xml" => attributes
                .by_ref()
                .find_map(|(name, value)| (name == b"encoding").then_some(value)),
            _ => None,
        };
        if let Some(encoding) = label.and_then(Encoding::for_label) {
            return Some(as_declared(encoding));
        }
        // To the end of the tag.
        attributes.by_ref().for_each(drop);
        rest = attributes.rest;
    }
    None
}

/// What a `<meta>` declares. The type of the content is told by an attribute that says `Content-Type`, whatever that attribute is
/// called: `httpequiv` and `name` are common mistakes. What another attribute names may be a description that speaks of charsets.
fn declared_by<'a>(attributes: &mut TagAttributes<'a>) -> Option<&'a [u8]> {
    let (mut is_content_type, mut is_other, mut in_content) = (false, false, None);
    for (name, value) in attributes {
        match name {
            b"charset" => return Some(value),
            b"content" => in_content = charset_in(value),
            _ if is_word(value, b"contenttype") => is_content_type = true,
            _ => is_other = true,
        }
    }
    in_content.filter(|_| is_content_type || !is_other)
}

/// Whether a value is this word, its hyphens and spaces aside.
fn is_word(value: &[u8], word: &[u8]) -> bool {
    let letters = value.iter().filter(|byte| byte.is_ascii_alphanumeric());
    letters.eq(word)
}

/// The value of `charset = "value"` in a text.
fn charset_in(text: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"charset";
    let mut rest = text;
    while let Some(at) = find(rest, NAME) {
        rest = rest.get(at + NAME.len()..)?;
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let is_quote = |byte: &u8| b"\"'".contains(byte);
            let value = value
                .strip_prefix(b"\"")
                .or(value.strip_prefix(b"'"))
                .unwrap_or(value);
            let is_end =
                |byte: &u8| is_quote(byte) || byte.is_ascii_whitespace() || b";,".contains(byte);
            return value.split(is_end).next();
        }
    }
    None
}

/// The attributes of a tag in lower case, each with its value, to the `>` that ends it.
struct TagAttributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TagAttributes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || b"/?".contains(byte);
        let start = self.rest.iter().position(|byte| !is_between(byte));
        self.rest = self.rest.get(start?..)?;
        if self.rest.starts_with(b">") {
            return None;
        }
        let name = self.take_until(|byte| byte.is_ascii_whitespace() || b"=/>".contains(&byte));
        let Some(value) = self.rest.trim_ascii_start().strip_prefix(b"=") else {
            return Some((name, b""));
        };
        self.rest = value.trim_ascii_start();
        let value = match self.rest {
            // A quote that nobody closes is part of the value.
            [quote @ (b'"' | b'\''), value @ ..] if value.contains(quote) => {
                self.rest = value;
                let value = self.take_until(|byte| byte == *quote);
                self.rest = self.rest.get(1..).unwrap_or_default();
                value
            }
            _ => self.take_until(|byte| byte.is_ascii_whitespace() || byte == b'>'),
        };
        Some((name, value))
    }
}

impl<'a> TagAttributes<'a> {
    fn take_until(&mut self, is_end: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| is_end(*byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }
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
            (
                b"<meta name=description content='All about charset=windows-1251'><meta charset=koi8-r>",
                None,
                "KOI8-R",
            ),
            (
                b"<meta content=\"text/html; charset=gbk\" property=og:description>caf\xc3\xa9",
                None,
                "UTF-8",
            ),
            (
                b"<meta http-equiv=refresh content='0; url=/?charset=gbk'><p>x",
                None,
                "UTF-8",
            ),
            (
                b"<meta name=keywords content='<meta charset=gbk> explained'>x",
                None,
                "UTF-8",
            ),
            (
                b"<meta name=\"Content-Type\" content=\"text/html;charset=Big5\"/>",
                None,
                "Big5",
            ),
            (
                b"<meta content='text/html; charset = EUC-KR'>",
                None,
                "EUC-KR",
            ),
            (
                b"<meta httpequiv=ContentType content=\"text/html; charset='gbk'\">",
                None,
                "GBK",
            ),
            (b"<a title='never closed><meta charset=big5>", None, "Big5"),
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
    fn a_few_bytes_of_another_encoding_leave_utf8_what_it_is() {
        for (text, stray) in [
            ("<title>Café Zürich – Öffnungszeiten</title>", &b"\xe9"[..]),
            ("<p>Καλώς ήρθατε στο κατάστημα", b"\xff\xfe"),
            ("<p>Добро пожаловать", b"\xd0 "),
            ("<p>営業時間のご案内", b"\x8a"),
        ] {
            let page = [text.as_bytes(), stray, b" tail"].concat();
            let decoded = decode(&page, None, Some("example.com"));
            assert!(decoded.starts_with(text), "{decoded}");
            assert!(decoded.ends_with(" tail"), "{decoded}");
        }
        for (text, encoding) in [
            ("京都市のホテルと旅館のご案内です。", encoding_rs::SHIFT_JIS),
            ("北京市旅馆的营业时间和价格", encoding_rs::GBK),
            ("서울 호텔 영업 시간 안내", encoding_rs::EUC_KR),
            ("ยินดีต้อนรับสู่ร้านค้าของเรา", encoding_rs::WINDOWS_874),
            ("Été à la plage, déjà vu, naïveté", WINDOWS_1252),
        ] {
            let (bytes, _, _) = encoding.encode(text);
            assert!(!is_mostly_utf8(&bytes), "{text}");
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
